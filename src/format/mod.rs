//! Events to bytes. Pure: no I/O, no clock.

pub mod syslog;

use serde::{Deserialize, Serialize};

/// The formats of a sink's `format` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object, the incident inside byte for byte.
    #[default]
    Json,
}
