//! Receivers and parsers that come as Python packages: an environment of their own for each list of packages, made once and
//! kept below target/. Include it by `#[path]`, and `skipped.rs` beside it; no test is in here.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::skipped::skipped;

/// The interpreter that has these packages (`name==version`), or nothing, and then somebody was told. In CI that is a failure.
pub(crate) fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    match installed(name, packages) {
        Ok(interpreter) => Some(interpreter),
        Err(why) => skipped(&format!("{} cannot be installed: {why}", packages.join(", "))),
    }
}

fn installed(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    // Test binaries may want the same one at the same time.
    let lock = std::fs::File::create(place.join("lock")).map_err(|error| error.to_string())?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
    let interpreter = place.join("bin/python");
    let (done, list) = (place.join("installed"), packages.join("\n"));
    if interpreter.exists() && std::fs::read_to_string(&done).is_ok_and(|installed| installed == list) {
        return Ok(interpreter);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    run(Command::new(&interpreter).args(pip).args(packages))?;
    std::fs::write(&done, list).map_err(|error| error.to_string())?;
    Ok(interpreter)
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}; install python3 with python3-venv"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{shown}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
