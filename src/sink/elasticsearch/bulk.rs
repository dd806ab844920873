//! The body of a `_bulk` request: for each record a line that says what to do and a line that is the document. Sends nothing.

use serde::Serialize;

use crate::model::event::Event;
use crate::sink::Outgoing;
use crate::sink::elasticsearch::Mode;

/// Bytes of an `_id` at most: Elasticsearch and OpenSearch refuse a longer one.
const ID_SIZE_MAX: usize = 512;
/// What stands in an index name for the tenant's.
pub(super) const TENANT: &str = "{tenant}";
/// What a record begins with whose format brings its own time.
const STAMPED: &[u8] = b"{\"@timestamp\":";

/// What to do with the document that follows.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Action<'a> {
    /// Add it, unless there is one of this id.
    Create { _index: &'a str, _id: &'a str },
    /// Add it or take the place of the one there is, unless that is newer.
    Index { _index: &'a str, _id: &'a str, version: u64, version_type: &'static str },
}

/// As many of these records as fit into one request, at least one: the body, and how many they are.
pub(super) fn body(
    mode: Mode,
    index: &str,
    records: &[Outgoing],
    records_max: usize,
    size_max: usize,
) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    let mut count = 0;
    for record in records.iter().take(records_max.max(1)) {
        let before = body.len();
        append(mode, index, record, &mut body);
        if count != 0 && size_max < body.len() {
            body.truncate(before);
            break;
        }
        count += 1;
    }
    (body, count)
}

fn append(mode: Mode, index: &str, record: &Outgoing, body: &mut Vec<u8>) {
    let event = &record.event;
    let (id, version) = identity(mode, event);
    let _index = &*index.replace(TENANT, event.tenant.as_str());
    let _id = &*shortened(id);
    let action = match version {
        Some(version) => Action::Index { _index, _id, version, version_type: "external_gte" },
        None => Action::Create { _index, _id },
    };
    serde_json::to_writer(&mut *body, &action).expect("texts and numbers go into memory without fail");
    body.push(b'\n');
    append_document(event, &record.body, body);
    body.push(b'\n');
}

/// The `_id`, and the version where the document may be replaced.
///
/// What has no usable time has no place in the order of revisions: it is a document of its own in either mode, which takes
/// nobody's place.
fn identity(mode: Mode, event: &Event) -> (String, Option<u64>) {
    match (mode, event.last_update) {
        (Mode::Current, Some(time)) => {
            let whole = format!("{}:{}", event.tenant, event.incident_id);
            let id = part_suffix(event).map_or_else(|| whole.clone(), |suffix| format!("{whole}#{suffix}"));
            (id, Some(time.ticks()))
        }
        (Mode::Current, None) | (Mode::History, _) => (event.event_id.as_str().to_owned(), None),
    }
}

/// What tells a part of a split event from the others: the alert's id, and the entity's where it is about one. The `event_id`
/// has it behind a `#`; an incident's id may hold one too.
fn part_suffix(event: &Event) -> Option<&str> {
    event.for_sink.part.as_ref()?;
    let incident = format!("{}/{}/", event.tenant, event.incident_id);
    let (_, suffix) = event.event_id.as_str().strip_prefix(&incident)?.split_once('#')?;
    Some(suffix)
}

/// An id that the cluster takes: a longer one keeps its beginning, and the hash of all of it tells it from others.
fn shortened(id: String) -> String {
    if id.len() <= ID_SIZE_MAX {
        return id;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut end = ID_SIZE_MAX - hex.len() - 1;
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hex}", &id[..end])
}

/// The record with `@timestamp` at its front, which a data stream asks of every document: when the incident changed, or
/// where that is not known, when it was taken in.
fn append_document(event: &Event, record: &[u8], body: &mut Vec<u8>) {
    match record.strip_prefix(b"{") {
        Some(members) if !record.starts_with(STAMPED) => {
            body.extend_from_slice(STAMPED);
            let time = event.last_update.unwrap_or(event.observed_at);
            body.extend_from_slice(format!("\"{time}\"").as_bytes());
            body.extend_from_slice(if members.starts_with(b"}") { b"" } else { b"," });
            body.extend_from_slice(members);
        }
        Some(_) | None => body.extend_from_slice(record),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::model::delivery::{ForSink, Part};
    use crate::model::event::{Kind, Notes};
    use crate::model::names::{EventId, IncidentId, Seq, TenantName};
    use crate::model::timestamp::Timestamp;

    fn record(event_id: &str, incident: &str, ticks: Option<u64>, is_part: bool, body: &str) -> Outgoing {
        let part = is_part.then(|| Part { number: 1, of: 1, alert: Some("a1".into()), entity: None });
        let event = Event {
            event_id: EventId::new(event_id),
            kind: Kind::Updated,
            tenant: TenantName::new("contoso"),
            sequence: 1,
            observed_at: "2026-11-21T10:00:00.1234567Z".parse().expect("a time"),
            changes: vec![],
            incident_id: IncidentId::new(incident),
            last_update: ticks.map(Timestamp::from_ticks),
            severity: None,
            notes: Notes::default(),
            incident: RawValue::from_string("null".into()).expect("JSON"),
            for_sink: ForSink { part, ..ForSink::default() },
        };
        Outgoing { seq: Seq(1), event, body: body.as_bytes().to_vec() }
    }

    fn lines(mode: Mode, index: &str, record: &Outgoing) -> (String, String) {
        let (body, count) = body(mode, index, std::slice::from_ref(record), 10, 10);
        let text = String::from_utf8(body).expect("UTF-8");
        let (action, document) = text.strip_suffix('\n').expect("a newline at the end").split_once('\n').expect("two");
        assert_eq!((count, document.contains('\n')), (1, false));
        (action.to_owned(), document.to_owned())
    }

    #[test]
    fn each_mode_has_its_action_and_its_id() {
        let check = |mode, record: Outgoing, expected: &str| {
            assert_eq!(lines(mode, "x-{tenant}", &record).0, expected);
        };
        let whole = || record("contoso/7/10/9f3c01ab", "7", Some(10), false, "{}");
        check(Mode::History, whole(), r#"{"create":{"_index":"x-contoso","_id":"contoso/7/10/9f3c01ab"}}"#);
        let current = |id: &str| {
            format!(r#"{{"index":{{"_index":"x-contoso","_id":"{id}","version":10,"version_type":"external_gte"}}}}"#)
        };
        check(Mode::Current, whole(), &current("contoso:7"));
        let part = || record("contoso/7/10/9f3c01ab#a#1/0000", "7", Some(10), true, "{}");
        check(Mode::History, part(), r#"{"create":{"_index":"x-contoso","_id":"contoso/7/10/9f3c01ab#a#1/0000"}}"#);
        check(Mode::Current, part(), &current("contoso:7#a#1/0000"));
        let strange = record("contoso/7#\"/10/9f3c01ab#a1", "7#\"", Some(10), true, "{}");
        check(Mode::Current, strange, &current("contoso:7#\\\"#a1"));
        let headless = record("contoso/7/10/9f3c01ab", "7", Some(10), true, "{}");
        check(Mode::Current, headless, &current("contoso:7"));
        let timeless = record("contoso/7/0/9f3c01ab", "7", None, false, "{}");
        check(Mode::Current, timeless, r#"{"create":{"_index":"x-contoso","_id":"contoso/7/0/9f3c01ab"}}"#);
    }

    #[test]
    fn every_document_has_one_time_at_its_front() {
        let check = |ticks, body: &str, expected: &str| {
            assert_eq!(lines(Mode::History, "x", &record("e", "7", ticks, false, body)).1, expected);
        };
        check(
            Some(15_994_036_172_900_001),
            r#"{"a":1.10}"#,
            r#"{"@timestamp":"2020-09-06T14:46:57.2900001Z","a":1.10}"#,
        );
        check(None, r#"{"a":1}"#, r#"{"@timestamp":"2026-11-21T10:00:00.1234567Z","a":1}"#);
        check(None, "{}", r#"{"@timestamp":"2026-11-21T10:00:00.1234567Z"}"#);
        check(None, r#"{"@timestamp":"own","a":1}"#, r#"{"@timestamp":"own","a":1}"#);
    }

    #[test]
    fn an_id_that_is_too_long_is_shortened_and_stays_another_for_another() {
        let id = |last: &str| shortened(format!("{}{last}", "é".repeat(400)));
        let (one, other) = (id("1"), id("2"));
        assert!(one.len() <= ID_SIZE_MAX && 500 < one.len() && one != other, "{one}");
        assert_eq!(id("1"), one);
        assert_eq!(shortened("x".repeat(512)).len(), 512);
        assert!(shortened("x".repeat(513)).starts_with("xxx"));
    }

    #[test]
    fn a_request_holds_what_fits_and_at_least_one() {
        let records = vec![record("e", "7", None, false, r#"{"a":1}"#); 5];
        let one = body(Mode::History, "x", &records, 1, 0).0.len();
        let check = |records_max, size_max, expected| {
            let (text, count) = body(Mode::History, "x", &records, records_max, size_max);
            assert_eq!((count, text.len()), (expected, one * expected));
        };
        check(10, 1 << 20, 5);
        check(3, 1 << 20, 3);
        check(10, 0, 1);
        check(10, 2 * one, 2);
        check(10, 3 * one - 1, 2);
    }
}
