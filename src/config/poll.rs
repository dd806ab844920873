//! The keys of `[poll]` and `[quota]`: how a tenant is read and how often it is asked. Decides nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::quota::Limits;
use crate::model::units::{Size, Span};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How a tenant is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Poll {
    /// How often what is new is asked for.
    pub interval: Interval,
    /// How late a change may become visible and still be seen by the next sweep.
    pub overlap: Span,
    /// How often everything since the cursor is read again.
    pub sweep_every: Span,
    /// Incidents on a page at most.
    pub page_size: u32,
    /// How often `audit_window` is read again with spare quota.
    pub audit_every: Span,
    /// How far back the audit looks.
    pub audit_window: Span,
    /// How often `deep_audit_window` is read again with spare quota.
    pub deep_audit_every: Span,
    /// How far back the deep audit looks.
    pub deep_audit_window: Span,
    /// How long the last state of an incident is kept, to tell what changed.
    pub remember: Span,
    /// One page after decompression, in bytes.
    pub max_body_size: Size,
    /// One incident, in bytes; a larger one is delivered as a stub.
    pub max_incident_size: Size,
    /// One call, from connecting to the last byte.
    pub request_timeout: Span,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            interval: Interval::Auto,
            overlap: Span::seconds(30 * 60),
            sweep_every: Span::seconds(60),
            page_size: 100,
            audit_every: Span::seconds(HOUR),
            audit_window: Span::seconds(DAY),
            deep_audit_every: Span::seconds(DAY),
            deep_audit_window: Span::seconds(30 * DAY),
            remember: Span::seconds(180 * DAY),
            max_body_size: Size::mebibytes(64),
            max_incident_size: Size::mebibytes(16),
            request_timeout: Span::seconds(60),
        }
    }
}

/// How often what is new is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interval {
    /// As often as the quota allows.
    #[default]
    Auto,
    /// So often.
    Every(Span),
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text
                .parse()
                .map(Self::Every)
                .map_err(|_| format!("{text:?} is neither \"auto\" nor a duration with a unit, such as \"30s\"")),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Every(span) => span.fmt(f),
        }
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How often a tenant may be asked: calls in any sliding window, of one app registration. The defaults are what Microsoft
/// documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Pages in any 60 s.
    pub list_per_minute: u32,
    /// Pages in any 3600 s.
    pub list_per_hour: u32,
    /// Single incidents in any 60 s.
    pub get_per_minute: u32,
    /// Single incidents in any 3600 s.
    pub get_per_hour: u32,
}

impl Quota {
    /// Of the list endpoint.
    pub const fn list(&self) -> Limits {
        Limits { per_minute: self.list_per_minute, per_hour: self.list_per_hour }
    }

    /// Of the get endpoint.
    pub const fn get(&self) -> Limits {
        Limits { per_minute: self.get_per_minute, per_hour: self.get_per_hour }
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self { list_per_minute: 50, list_per_hour: 1500, get_per_minute: 100, get_per_hour: 1500 }
    }
}
