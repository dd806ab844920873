//! The members of an event that are there only where they say something, by the same names in every form that has them.

use serde::Serialize;

use crate::model::delivery::{Original, Part, Passage};
use crate::model::event::Event;

/// What is unusual about an event, in the order in which it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Remarks<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    first_seen: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repaired: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    odd: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Passage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a Original>,
}

impl<'a> Remarks<'a> {
    /// All of an event.
    pub(crate) fn of(event: &'a Event) -> Self {
        Self {
            first_seen: event.notes.first_seen,
            repaired: event.notes.repaired,
            truncated: event.notes.truncated,
            odd: event.notes.odd.as_deref(),
            sink_sequence: event.for_sink.sequence,
            filter: event.for_sink.passage,
            part: event.for_sink.part.as_ref(),
            original: event.for_sink.original.as_ref(),
        }
    }

    /// The same for a form that has a place of its own for `sink_sequence`.
    pub(crate) fn without_sequence(self) -> Self {
        Self { sink_sequence: None, ..self }
    }
}
