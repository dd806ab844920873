//! Lines to readers that nobody here wrote, and back as JSON. Who cannot be installed here says so, and fails in CI. No test is in
//! here.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::python;

/// Tenzir's engine (BSD-3), which comes as a Python package; the same place as that of other tests that run it.
const TENZIR: [&str; 1] = ["tenzir==6.20.0"];

/// What a pipeline of Tenzir makes of these lines.
pub(crate) fn tenzir(program: &str, lines: &[(&str, Vec<u8>)]) -> Option<Vec<Value>> {
    let interpreter = python::python("tenzir", &TENZIR)?;
    let tenzir = interpreter.with_file_name("tenzir");
    Some(answers(Command::new(tenzir).arg(program), lines))
}

/// What a parser in Python makes of these lines: `setup` defines `read`.
pub(crate) fn python(name: &str, packages: &[&str], setup: &str, lines: &[(&str, Vec<u8>)]) -> Option<Vec<Value>> {
    let interpreter = python::python(name, packages)?;
    let program = format!(
        "import json, sys\n{setup}\nsys.stdin.reconfigure(encoding='utf-8', newline='\\n')\n\
         for line in sys.stdin:\n    print(json.dumps(read(line.rstrip('\\n'))))\n"
    );
    Some(answers(Command::new(interpreter).args(["-c", &program]), lines))
}

/// The members of an object as texts.
pub(crate) fn texts(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().expect("an object").iter();
    members.map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect()
}

/// One line of JSON for each line.
fn answers(command: &mut Command, lines: &[(&str, Vec<u8>)]) -> Vec<Value> {
    let mut input = tempfile::tempfile_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a file");
    for (_, line) in lines {
        input.write_all(line).and_then(|()| input.write_all(b"\n")).expect("written");
    }
    input.seek(SeekFrom::Start(0)).expect("it is a file");
    let output = command.stdin(Stdio::from(input)).output().expect("it is installed");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && complained.is_empty(), "{complained}");
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), lines.len(), "each line is one record: {said}");
    answers
}
