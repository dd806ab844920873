//! What is wrong with a configuration, each thing with its place and what would be right. Never holds a secret.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Whether the daemon starts with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does not start.
    Error,
    /// It starts, and somebody should look.
    Warning,
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a file.
    File {
        /// Its path as it was given.
        path: PathBuf,
        /// The line, from 1; none where it is about the whole file.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
    },
    /// In an environment variable.
    Env {
        /// Its name, never its value.
        name: String,
    },
    /// Nowhere.
    None,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the daemon starts with it.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// Which setting, such as `tenants.contoso.client_id`; empty where it is about a whole file.
    pub key: String,
    /// What is wrong. A lowercase fragment; lines after the first show the text.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Everything that is wrong, in the order of the files and lines. Warnings are among them; at least one is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Env { name } => write!(f, "{}", name.escape_debug()),
            Self::None => write!(f, "configuration"),
        }
    }
}

/// `place: key: what; remedy`, with `warning: ` in front of what does not stop the daemon.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match self.severity {
            Severity::Error => {}
            Severity::Warning => write!(f, "warning: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        let (first, more) = self.what.split_once('\n').unwrap_or((&self.what, ""));
        write!(f, "{first}")?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        if !more.is_empty() {
            write!(f, "\n{more}")?;
        }
        Ok(())
    }
}

/// One paragraph each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at != 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
