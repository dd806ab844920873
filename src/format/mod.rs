//! Events to bytes, and the one match over the formats. Pure: no I/O, no clock.

pub mod cef;
pub mod ecs;
pub mod fit;
mod gist;
pub mod json;
pub mod leef;
pub mod ocsf;
pub(crate) mod plain;
pub(crate) mod remarks;
pub mod split;
pub mod syslog;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::event::Event;
use crate::model::names::EventId;

/// The formats of a sink's `format` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object, the incident inside byte for byte.
    #[default]
    Json,
    /// ArcSight's Common Event Format.
    Cef,
    /// IBM's Log Event Extended Format 2.0.
    Leef,
    /// Elastic Common Schema.
    Ecs,
    /// Open Cybersecurity Schema Framework: Incident Finding.
    Ocsf,
}

/// How a sink's events are written: the format, and the settings of those formats that have any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// Which.
    pub format: Format,
    /// `leef = { … }`
    pub leef: leef::Config,
    /// `ecs = { … }`
    pub ecs: ecs::Config,
    /// `ocsf = { … }`
    pub ocsf: ocsf::Config,
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
    pub const ALL: &'static [Self] = &[Self::Json, Self::Cef, Self::Leef, Self::Ecs, Self::Ocsf];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
        }
    }

    /// Whether a record is one JSON object; otherwise it is a line of text.
    pub const fn is_json(self) -> bool {
        match self {
            Self::Json | Self::Ecs | Self::Ocsf => true,
            Self::Cef | Self::Leef => false,
        }
    }
}

impl Style {
    /// A format with its settings as they are where nobody sets any.
    pub fn of(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    /// One event as one record: never a newline in it, none at its end.
    pub fn render(&self, event: &Event) -> Vec<u8> {
        match self.format {
            Format::Json => json::render(event),
            Format::Cef => cef::render(event),
            Format::Leef => leef::render(event, &self.leef),
            Format::Ecs => ecs::render(event, &self.ecs),
            Format::Ocsf => ocsf::render(event, &self.ocsf),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
