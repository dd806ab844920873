//! What one sink's settings make of an event: its number there, whether it has just come into what the sink wants, which part of
//! it this is. Never stored: it follows from the event and the settings.

use serde::Serialize;

/// What is this sink's alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForSink {
    /// Grows by one per event that the sink gets; only where a filter keeps others away.
    pub sequence: Option<u64>,
    /// How the event passed the sink's filter, where it was not simply inside of it.
    pub passage: Option<Passage>,
    /// Which part of a split event this is.
    pub part: Option<Part>,
    /// What the incident was before it was reduced to the sink's size.
    pub original: Option<Original>,
}

/// A transition over the border of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    /// It did not fit before and does now: new to this sink.
    Entered,
    /// It did fit before and does no more: the sink is told once.
    Left,
}

impl Passage {
    /// The word in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Left => "left",
        }
    }
}

/// One part of an event that is sent as several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// From 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// The alert that this part is about; none: what is left of an event without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The entity of that alert, where the part is about one: its name, see `Entity::name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
}

/// An incident before it was reduced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Original {
    /// Bytes of its JSON.
    pub size: usize,
    /// SHA-256 of its JSON, in hex.
    pub sha256: String,
    /// What was left out: `evidence`, `alerts`, or all but a summary.
    pub left_out: Reduction,
}

/// How far an incident was reduced, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Devices and entities of its alerts.
    Evidence,
    /// Its alerts.
    Alerts,
    /// Everything but the few members that say which it is and how bad.
    AllButSummary,
}
