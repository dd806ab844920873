//! Elastic's own schema, as npm has it (pinned in package.json beside this file): two releases, each with the type, the levels,
//! the normalisation and the allowed values of every field. No test is in here.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::npm;
use crate::skipped::skipped;

/// What the schema says against each of these documents, `OK` where nothing; or nothing, and then somebody was told. In CI that
/// is a failure. Below the first name of a prefix anything may stand.
pub(crate) fn judged(root: &str, documents: &[Vec<u8>]) -> Option<Vec<String>> {
    let lines = documents.iter().flat_map(|document| [document, &b"\n"[..]].concat()).collect();
    let verdicts = asked(root, lines)?;
    assert_eq!(verdicts.len(), documents.len(), "one line of verdicts for each document");
    Some(verdicts)
}

/// The names at the top of a document that the newest release has.
pub(crate) fn roots() -> Option<Vec<String>> {
    let said = asked("roots", Vec::new())?;
    Some(said.join(" ").split_whitespace().map(str::to_owned).collect())
}

fn asked(argument: &str, input: Vec<u8>) -> Option<Vec<String>> {
    match npm::installed("formats/ecs", &["judge.cjs"]).and_then(|place| run(&place, argument, input)) {
        Ok(lines) => Some(lines),
        Err(why) => skipped(&format!("nothing was read back against Elastic's schema: {why}")),
    }
}

fn run(place: &Path, argument: &str, input: Vec<u8>) -> Result<Vec<String>, String> {
    let mut node = Command::new("node")
        .args(["judge.cjs", argument])
        .current_dir(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node cannot be run: {error}; install Node.js 20 or newer"))?;
    let mut stdin = node.stdin.take().expect("it is piped");
    // Beside the reading, or both sides wait for each other with full pipes.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = node.wait_with_output().map_err(|error| error.to_string())?;
    let written = writer.join().expect("it does not panic");
    match output.status.success() {
        // Who only asks for the names of the schema gets them without being read from.
        true => written.map_err(|error| error.to_string())?,
        false => return Err(format!("judge.cjs ends with {}", output.status)),
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
