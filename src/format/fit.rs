//! An event within the bytes that a sink takes: reduced member by member, never cut, and marked with what it was.

use std::fmt::Write;

use serde_json::value::RawValue;

use crate::format::parts::{Parts, elements};
use crate::format::{RenderError, Style};
use crate::model::content::Content;
use crate::model::delivery::{Original, Reduction};
use crate::model::event::{Change, Difference, Event};

/// From least to most.
const REDUCTIONS: [Reduction; 3] = [Reduction::Evidence, Reduction::Alerts, Reduction::AllButSummary];
/// What alerts are reduced by.
const EVIDENCE: [&str; 3] = ["devices", "entities", "evidence"];
/// The members of a summary, in both dialects.
const SUMMARY: [&str; 18] = [
    "incidentId",
    "id",
    "redirectIncidentId",
    "tenantId",
    "incidentName",
    "displayName",
    "createdTime",
    "createdDateTime",
    "lastUpdateTime",
    "lastUpdateDateTime",
    "assignedTo",
    "classification",
    "determination",
    "status",
    "severity",
    "incidentUri",
    "incidentWebUrl",
    "truncated",
];
/// Bytes of one member of a summary, escapes and quotes included; a longer text is cut at a character, anything else left out.
const SUMMARY_VALUE_MAX: usize = 256;

/// The record of an event, reduced as far as it takes to stay within `limit` bytes.
///
/// # Errors
/// Not even a summary does.
pub fn fit(mut event: Event, style: &Style, limit: Option<usize>) -> Result<(Event, Vec<u8>), RenderError> {
    let whole = style.render(&event);
    let Some(limit) = limit.filter(|limit| *limit < whole.len()) else { return Ok((event, whole)) };
    let mut least = whole.len();
    let original = std::mem::replace(&mut event.incident, RawValue::NULL.to_owned());
    let changes = event.changes.clone();
    event.notes.truncated = true;
    for left_out in REDUCTIONS {
        let Some(reduced) = reduce(original.get(), left_out) else { continue };
        event.incident = reduced;
        event.changes = if left_out == Reduction::AllButSummary { counted(&changes) } else { changes.clone() };
        let (size, sha256) = (original.get().len(), sha256(original.get()));
        event.for_sink.original = Some(Original { size, sha256, left_out });
        let record = style.render(&event);
        if record.len() <= limit {
            return Ok((event, record));
        }
        least = record.len();
    }
    let why = format!("it has {} B, its summary {least} B, and the sink takes {limit} B", whole.len());
    Err(RenderError { event_id: event.event_id, format: style.format, why })
}

fn reduce(incident: &str, left_out: Reduction) -> Option<Box<RawValue>> {
    let parts = Parts::of(incident)?;
    let text = match left_out {
        Reduction::Evidence => {
            let bare = |alert: &str| {
                Parts::of(alert).map_or_else(|| alert.to_owned(), |alert| alert.without(&EVIDENCE).text())
            };
            let alerts: Vec<String> = elements(parts.get("alerts")).into_iter().map(bare).collect();
            parts.with("alerts", "\"alerts\"", format!("[{}]", alerts.join(","))).text()
        }
        Reduction::Alerts => parts.without(&["alerts"]).text(),
        Reduction::AllButSummary => summary(incident),
    };
    RawValue::from_string(text).ok()
}

fn summary(incident: &str) -> String {
    let content = Content::of(incident);
    let members = SUMMARY.iter().filter_map(|name| {
        let value = content.root().get(name);
        let text = match value.text() {
            Some(text) => short(text),
            None => value.shown()?.into_owned(),
        };
        (text.len() <= SUMMARY_VALUE_MAX).then(|| format!("\"{name}\":{text}"))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A text as a JSON string of at most [`SUMMARY_VALUE_MAX`] bytes.
fn short(text: &str) -> String {
    let mut json = String::new();
    for character in text.chars() {
        let escaped = serde_json::to_string(&character).expect("a character is JSON");
        if SUMMARY_VALUE_MAX < json.len() + escaped.len() {
            break;
        }
        json.push_str(&escaped[1..escaped.len() - 1]);
    }
    format!("\"{json}\"")
}

/// Lists of what changed as numbers.
pub(crate) fn counted(changes: &[Change]) -> Vec<Change> {
    let counted = changes.iter().map(|change| match &change.difference {
        Difference::Value { .. } => change.clone(),
        Difference::List { .. } => {
            let said = change.to_string();
            let count = said.strip_prefix(&change.field).unwrap_or(&said).trim().to_owned();
            Change::value(change.field.clone(), None, Some(count))
        }
    });
    counted.collect()
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
