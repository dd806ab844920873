//! Events to bytes, and the one match over the formats. Pure: no I/O, no clock.

pub mod json;

use std::fmt;

pub mod syslog;

use serde::{Deserialize, Serialize};

use crate::model::event::Event;
use crate::model::names::EventId;

/// The formats of a sink's `format` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object, the incident inside byte for byte.
    #[default]
    Json,
}

/// Why an event cannot be written in a format. It concerns this event alone, and trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event_id} cannot be written as {format}: {why}")]
pub struct RenderError {
    /// Which event.
    pub event_id: EventId,
    /// In what.
    pub format: Format,
    /// The cause.
    pub why: String,
}

impl Format {
    /// All of them, in the order of the documentation.
    pub const ALL: &'static [Self] = &[Self::Json];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
        }
    }

    /// The media type of one rendered event.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
        }
    }

    /// One event as one record: never a newline in it, none at its end.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub fn render(self, event: &Event) -> Result<Vec<u8>, RenderError> {
        match self {
            Self::Json => Ok(json::render(event)),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
