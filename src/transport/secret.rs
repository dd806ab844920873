//! Secrets from files and the environment. A secret is in no configuration, no log, no error and no dump.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes read from a secret's file at most: a key or a token is far smaller, a mistaken path may be far larger.
const SECRET_SIZE_MAX: u64 = 64 * 1024;

/// Where a secret is. Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["file"] }, { "required": ["env"] }]))]
pub struct SecretSource {
    /// A file whose whole text, without the newline at its end, is the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The name of an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
}

/// Why a secret cannot be read. Never holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// There is nothing in it.
    #[error("the secret in {0} is empty")]
    Empty(String),
    /// What stands there is not what is needed.
    #[error("{path}: {why}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// The cause and the remedy.
        why: String,
    },
    /// Neither or both of `file` and `env`.
    #[error("a secret needs either `file` or `env`")]
    Unclear,
}

impl SecretSource {
    /// A secret in a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), env: None }
    }

    /// Reads the secret as it is now; files are read anew each time, so that a rotated secret counts without a restart.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let (text, place) = match (&self.file, &self.env) {
            (Some(path), None) => (read_file(path)?, path.display().to_string()),
            (None, Some(name)) => {
                let text = std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?;
                (Zeroizing::new(text), name.clone())
            }
            (None, None) | (Some(_), Some(_)) => return Err(SecretError::Unclear),
        };
        let secret = SecretString::from(text.trim_end_matches(['\r', '\n']));
        match secrecy::ExposeSecret::expose_secret(&secret).is_empty() {
            true => Err(SecretError::Empty(place)),
            false => Ok(secret),
        }
    }

    /// The file, where others than its owner and group can read it: worth a warning.
    pub fn readable_by_everybody(&self) -> Option<&Path> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file.as_deref()?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o004 != 0).then_some(path)
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let text = std::str::from_utf8(&read_bytes(path)?).map(str::to_owned);
    let why = || "it is no text in UTF-8".into();
    text.map(Zeroizing::new).map_err(|_| SecretError::File { path: path.to_owned(), why: why() })
}

/// Everything in a file with something secret in it: a key, a chain of certificates with one. At most 64 KiB.
///
/// # Errors
/// It cannot be read, it is no file, as a pipe that one reader empties for all, or it is larger.
pub fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    use std::io::Read;
    let fail = |why: &dyn std::fmt::Display| SecretError::File { path: path.to_owned(), why: why.to_string() };
    // Opening a pipe that nobody writes to would wait for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| fail(&error))?;
    let about = file.metadata().map_err(|error| fail(&error))?;
    if !about.is_file() {
        return Err(fail(&"it is no regular file"));
    }
    // Large enough from the start: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(about.len().min(SECRET_SIZE_MAX) as usize + 64));
    file.take(SECRET_SIZE_MAX + 1).read_to_end(&mut bytes).map_err(|error| fail(&error))?;
    match SECRET_SIZE_MAX < bytes.len() as u64 {
        true => Err(fail(&format_args!("it is larger than {SECRET_SIZE_MAX} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_is_read_without_its_newline_and_never_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, "s3cret+/=\r\n").expect("written");
        let secret = SecretSource::file(&path).read().expect("a secret");
        assert_eq!(secret.expose_secret(), "s3cret+/=");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        let check = |source: &SecretSource, word: &str| {
            let error = source.read().expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        };
        check(&SecretSource::file(&path), "cannot be read");
        std::fs::write(&path, "\n").expect("written");
        check(&SecretSource::file(&path), "is empty");
        std::fs::write(&path, vec![b'x'; 70_000]).expect("written");
        check(&SecretSource::file(&path), "larger");
        check(&SecretSource::file(dir.path()), "no regular file");
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        check(&SecretSource::file(&pipe), "no regular file");
        check(&SecretSource { file: None, env: Some("XDRELAY_NOT_SET_ANYWHERE".into()) }, "not set");
        check(&SecretSource::default(), "either");
    }

    #[test]
    fn a_file_that_everybody_reads_is_noticed() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, "x").expect("written");
        let source = SecretSource::file(&path);
        for (mode, noticed) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(source.readable_by_everybody().is_some(), noticed, "{mode:o}");
        }
    }
}
