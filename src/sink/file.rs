//! Events into a file, one line each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::units::{Size, Span};

/// The keys of a sink of kind `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file; its directory must exist.
    pub path: PathBuf,
    /// Begin a new file when this one would become larger; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_size: Option<Size>,
    /// Begin a new file when the first event in this one is older; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<Span>,
    /// How many rotated files are kept beside the current one (`path.1` is the youngest).
    #[serde(default = "keep_default")]
    pub keep: u32,
}

fn keep_default() -> u32 {
    7
}
