//! Stand-in: replaced on the branch of its own.

use serde::{Deserialize, Serialize};

use crate::model::event::Event;

/// The keys of `leef = { … }` of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Config {
    /// What is wrong with the settings as far as they alone tell: the key below `leef`, and what would be right.
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// One event as one record.
pub fn render(event: &Event, _config: &Config) -> Vec<u8> {
    crate::format::json::render(event)
}
