//! What comes as npm packages: installed once from a lock file of ours, and kept below target/. Include it by `#[path]`; no test
//! is in here.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

/// A directory with these files of `tests/NAME` and with the packages of its `package-lock.json`, or why there is none.
pub(crate) fn installed(name: &str, files: &[&str]) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm").join(name);
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    // Tests run at the same time.
    let lock = std::fs::File::create(place.join("lock")).map_err(|error| error.to_string())?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
    for name in ["package.json", "package-lock.json"].iter().chain(files) {
        let fresh = std::fs::read(source.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if !std::fs::read(place.join(name)).is_ok_and(|known| known == fresh) {
            std::fs::write(place.join(name), fresh).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    let wanted = std::fs::read(source.join("package-lock.json")).map_err(|error| error.to_string())?;
    let done = place.join("installed.lock");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(place);
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-timeout=30000", "--fetch-retries=4"])
        .current_dir(&place)
        .output()
        .map_err(|error| format!("npm cannot be run: {error}; install Node.js 20 or newer with npm"))?;
    if !npm.status.success() {
        let why = String::from_utf8_lossy(&npm.stderr).into_owned();
        return Err(format!("npm ci fails; it needs a package registry or a full npm cache: {why}"));
    }
    std::fs::write(&done, wanted).map_err(|error| error.to_string())?;
    Ok(place)
}
