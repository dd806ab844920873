//! How a command ends when it does not end well: the exit codes of sysexits.h, and a sentence on standard error.

use std::process::ExitCode;

use crate::cli::log;
use crate::config::problem::Problems;
use crate::run::daemon::RunError;
use crate::store::error::{OpenError, StoreError};

/// A wrong call.
pub(crate) const USAGE: u8 = 64;
/// Bad input.
pub(crate) const DATA: u8 = 65;
/// There is no such incident.
pub(crate) const NO_INPUT: u8 = 66;
/// A service is unavailable.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A defect of ours.
pub(crate) const INTERNAL: u8 = 70;
/// The state directory cannot be opened.
pub(crate) const STATE: u8 = 73;
/// Input or output failed.
pub(crate) const IO: u8 = 74;
/// The credential was refused.
pub(crate) const CREDENTIAL: u8 = 77;
/// The configuration.
pub(crate) const CONFIG: u8 = 78;
/// Ctrl-C: 128 and SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// An end that is not a success.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    why: String,
}

impl Exit {
    pub(crate) fn new(code: u8, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }

    pub(crate) fn config(problems: &Problems) -> Self {
        Self::new(CONFIG, format!("the configuration cannot be used\n{problems}"))
    }

    /// Says why on standard error.
    pub(crate) fn report(self) -> ExitCode {
        if !self.why.is_empty() {
            log::last_words(self.code, &self.why);
        }
        ExitCode::from(self.code)
    }
}

impl From<OpenError> for Exit {
    fn from(error: OpenError) -> Self {
        Self::new(STATE, error.to_string())
    }
}

impl From<StoreError> for Exit {
    fn from(error: StoreError) -> Self {
        Self::new(IO, error.to_string())
    }
}

impl From<RunError> for Exit {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Open(error) => error.into(),
            RunError::Store(error) => error.into(),
            error @ RunError::Tenant { .. } => Self::new(CONFIG, error.to_string()),
            error @ RunError::Listen { .. } => Self::new(UNAVAILABLE, error.to_string()),
        }
    }
}

/// Standard output is gone or full.
impl From<std::io::Error> for Exit {
    fn from(error: std::io::Error) -> Self {
        // Whoever read has read enough, as `head` does.
        let enough = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self::new(IO, if enough { String::new() } else { format!("standard output: {error}") })
    }
}
