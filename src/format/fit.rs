//! An event within the bytes that a sink takes: reduced member by member, never cut, and marked with what it was.

use std::fmt::Write;

use serde_json::value::RawValue;

use crate::format::{RenderError, Style};
use crate::model::content::Content;
use crate::model::delivery::{Original, Reduction};
use crate::model::event::{Change, Difference, Event};
use crate::model::parts::{Parts, elements};

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

pub(in crate::format) fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::Format;

    fn event(incident: &str) -> Event {
        let changes = vec![Change::list("alerts", vec!["x".into(); 200], vec![], vec!["y".into()])];
        Event { changes, ..Event::example(incident) }
    }

    /// An incident with so many bytes of evidence, of alerts, and of a tag.
    fn incident(evidence: usize, alert: usize, tag: usize) -> String {
        let (evidence, alert, tag) = ("e".repeat(evidence), "a".repeat(alert), "t".repeat(tag));
        format!(
            r#"{{"incidentId":1,"incidentName":"n","tags":["{tag}"],"alerts":[{{"alertId":"{alert}","entities":["{evidence}"],"devices":[],"x":1.50}}]}}"#
        )
    }

    fn check(incident: &str, limit: usize, expected: Option<Reduction>) -> String {
        let style = Style::of(Format::Json);
        let (event, record) = fit(event(incident), &style, Some(limit)).expect("it fits");
        assert!(record.len() <= limit, "{} of {limit}", record.len());
        assert_eq!(event.for_sink.original.as_ref().map(|original| original.left_out), expected);
        assert_eq!(event.notes.truncated, expected.is_some());
        assert!(event.for_sink.original.is_none_or(|original| original.size == incident.len()));
        event.incident.get().to_owned()
    }

    #[test]
    fn an_event_is_reduced_no_further_than_it_takes() {
        let whole = incident(1, 1, 1);
        assert_eq!(check(&whole, 10_000, None), whole);
        let without_evidence = check(&incident(9_000, 1, 1), 2_000, Some(Reduction::Evidence));
        assert_eq!(
            without_evidence,
            r#"{"incidentId":1,"incidentName":"n","tags":["t"],"alerts":[{"alertId":"a","x":1.50}]}"#
        );
        let without_alerts = check(&incident(9_000, 9_000, 1), 2_000, Some(Reduction::Alerts));
        assert_eq!(without_alerts, r#"{"incidentId":1,"incidentName":"n","tags":["t"]}"#);
        let summary = check(&incident(9_000, 9_000, 9_000), 2_000, Some(Reduction::AllButSummary));
        assert_eq!(summary, r#"{"incidentId":1,"incidentName":"n"}"#);
    }

    #[test]
    fn an_incident_of_graph_is_reduced_likewise() {
        let incident = |evidence: usize, text: usize, tags: usize| {
            let (evidence, text, tags) = ("e".repeat(evidence), "t".repeat(text), "c".repeat(tags));
            format!(
                r#"{{"id":"1","displayName":"n","customTags":["{tags}"],"severity":"high","alerts":[{{"id":"a","description":"{text}","evidence":["{evidence}"]}}]}}"#
            )
        };
        let without_evidence = check(&incident(9_000, 1, 1), 2_000, Some(Reduction::Evidence));
        assert_eq!(
            without_evidence,
            r#"{"id":"1","displayName":"n","customTags":["c"],"severity":"high","alerts":[{"id":"a","description":"t"}]}"#
        );
        let without_alerts = check(&incident(1, 9_000, 1), 2_000, Some(Reduction::Alerts));
        assert_eq!(without_alerts, r#"{"id":"1","displayName":"n","customTags":["c"],"severity":"high"}"#);
        let summary = check(&incident(1, 1, 9_000), 2_000, Some(Reduction::AllButSummary));
        assert_eq!(summary, r#"{"id":"1","displayName":"n","severity":"high"}"#);
    }

    #[test]
    fn what_does_not_fit_at_all_is_said() {
        let error = fit(event(&incident(1, 1, 1)), &Style::of(Format::Json), Some(100)).expect_err("100 bytes");
        assert!(error.to_string().starts_with("contoso/1/2/3 cannot be written as json: it has "), "{error}");
    }

    proptest! {
        #[test]
        fn a_summary_is_bounded_and_is_json(name in ".{0,400}") {
            let text = serde_json::to_string(&name).expect("a text");
            let summary = summary(&format!(r#"{{"incidentName":{text},"status":{text}}}"#));
            prop_assert!(summary.len() <= 2 * (SUMMARY_VALUE_MAX + 24));
            let read: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
            if let Some(kept) = read["incidentName"].as_str() {
                prop_assert!(name.starts_with(kept));
            }
        }
    }
}
