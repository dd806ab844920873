//! An event as one row of a table. Every value stays below what Azure Monitor cuts off, and nothing of the incident is parsed or
//! written anew. Pure.

use std::borrow::Cow;

use serde::Serialize;

use crate::format::fit::counted;
use crate::format::remarks::Remarks;
use crate::model::event::{Change, Event};
use crate::model::timestamp::Timestamp;
use crate::sink::Outgoing;

/// Bytes of one value at most. Azure Monitor cuts off what is longer than 64 KB, and does not say of what (service limits, Logs
/// Ingestion API); the rest is room for whatever it does to a value before it measures it.
pub(super) const VALUE_SIZE_MAX: usize = 60_000;
/// Columns that a text too long for one value is spread over.
pub(super) const PIECES_MAX: usize = 8;
/// Bytes of a rendered event at most, so that it fits into its pieces wherever its characters end.
pub(super) const RECORD_SIZE_MAX: usize = PIECES_MAX * (VALUE_SIZE_MAX - 3);

/// How `format::json` begins, and no other format: there the incident has a column, and its surroundings have theirs.
const JSON_EVENT: &[u8] = br#"{"event_id":"#;

/// The columns of every row, whatever the format. Absent ones are null in the table.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Head<'a> {
    time_generated: String,
    event_id: &'a str,
    kind: &'static str,
    tenant_name: &'a str,
    incident_id: &'a str,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink_sequence: Option<u64>,
    observed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    changes: Cow<'a, [Change]>,
    notes: Remarks<'a>,
}

/// One row: a JSON object.
///
/// The incident of a JSON event is the column `Incident`, a record of another format the column `Record`; one that is too long
/// for that, or that a strict reader would refuse with all its neighbours, is a text in pieces, `Incident1` and so on, which
/// together are its bytes.
///
/// # Errors
/// It is too long for its pieces, or no text: only where [`RECORD_SIZE_MAX`] was not heeded.
pub(super) fn row(outgoing: &Outgoing) -> Result<Vec<u8>, String> {
    let event = &outgoing.event;
    let (column, value) = match outgoing.body.starts_with(JSON_EVENT) {
        true => ("Incident", event.incident.get()),
        false => ("Record", std::str::from_utf8(&outgoing.body).map_err(|error| error.to_string())?),
    };
    let mut row = Vec::with_capacity(value.len() + value.len() / 4 + 1024);
    serde_json::to_writer(&mut row, &head(event)).expect("texts and numbers go into memory without fail");
    // The brace at the end.
    row.pop();
    if value.len() <= VALUE_SIZE_MAX && is_readable(value) {
        row.extend_from_slice(format!(",\"{column}\":{value}").as_bytes());
    } else {
        let pieces = pieces(value);
        if PIECES_MAX < pieces.len() {
            return Err(format!("a record of {} B is more than {PIECES_MAX} columns can hold", value.len()));
        }
        for (at, piece) in pieces.into_iter().enumerate() {
            row.extend_from_slice(format!(",\"{column}{}\":", at + 1).as_bytes());
            serde_json::to_writer(&mut row, piece).expect("a text goes into memory without fail");
        }
    }
    row.push(b'}');
    Ok(row)
}

fn head(event: &Event) -> Head<'_> {
    Head {
        time_generated: event.last_update.unwrap_or(event.observed_at).to_string(),
        event_id: event.event_id.as_str(),
        kind: event.kind.as_str(),
        tenant_name: event.tenant.as_str(),
        incident_id: event.incident_id.as_str(),
        sequence: event.sequence,
        sink_sequence: event.for_sink.sequence,
        observed_at: event.observed_at.to_string(),
        last_update: event.last_update.as_ref().map(Timestamp::to_string),
        severity: event.severity.as_deref(),
        changes: changes(&event.changes),
        notes: Remarks::of(event).without_sequence(),
    }
}

/// What changed; lists as their numbers where they are too long for one value.
fn changes(changes: &[Change]) -> Cow<'_, [Change]> {
    let size = serde_json::to_vec(changes).map_or(usize::MAX, |json| json.len());
    match size <= VALUE_SIZE_MAX {
        true => Cow::Borrowed(changes),
        false => Cow::Owned(counted(changes)),
    }
}

/// Whether everybody can read this JSON: half a surrogate pair (`"\ud800"`) is JSON and no text. Only where there are any is it
/// worth reading.
fn is_readable(json: &str) -> bool {
    let has_surrogates = json.as_bytes().windows(3).any(|three| three.eq_ignore_ascii_case(br"\ud"));
    !has_surrogates || serde_json::from_str::<serde_json::Value>(json).is_ok()
}

/// The text in pieces of at most [`VALUE_SIZE_MAX`] bytes, each of whole characters.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = (0..=VALUE_SIZE_MAX.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end));
        let (piece, later) = rest.split_at(end.expect("0 is a boundary"));
        pieces.push(piece);
        rest = later;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::format::{Format, Style};
    use crate::model::delivery::{ForSink, Original, Part, Passage, Reduction};
    use crate::model::event::{Kind, Notes};
    use crate::model::names::{EventId, IncidentId, Seq, TenantName};

    fn event(incident: &str) -> Event {
        Event {
            event_id: EventId::new("contoso/924565/15994036172900000/9f3c01ab"),
            kind: Kind::Resolved,
            tenant: TenantName::new("contoso"),
            sequence: 4711,
            observed_at: "2026-11-21T10:00:00.1234567Z".parse().expect("a time"),
            changes: vec![Change::value("status", Some("Active".into()), Some("Resolved".into()))],
            incident_id: IncidentId::new("924565"),
            last_update: Some("2020-09-06T12:00:17.29Z".parse().expect("a time")),
            severity: Some("High".into()),
            notes: Notes::default(),
            incident: RawValue::from_string(incident.into()).expect("JSON"),
            for_sink: ForSink::default(),
        }
    }

    fn outgoing(event: Event) -> Outgoing {
        let body = Style::of(Format::Json).render(&event);
        Outgoing { seq: Seq(1), event, body }
    }

    fn read(outgoing: &Outgoing) -> Value {
        serde_json::from_slice(&row(outgoing).expect("a row")).expect("JSON")
    }

    #[test]
    fn an_event_has_its_columns_and_the_incident_its_bytes() {
        let incident = "{\n \"incidentId\": 924565,\"score\":1.10,\"u\":\"\\u00e9\"}";
        let row = row(&outgoing(event(incident))).expect("a row");
        let text = String::from_utf8(row).expect("UTF-8");
        let expected = format!(
            r#"{{"TimeGenerated":"2020-09-06T12:00:17.2900000Z","EventId":"contoso/924565/15994036172900000/9f3c01ab","Kind":"resolved","TenantName":"contoso","IncidentId":"924565","Sequence":4711,"ObservedAt":"2026-11-21T10:00:00.1234567Z","LastUpdate":"2020-09-06T12:00:17.2900000Z","Severity":"High","Changes":[{{"field":"status","from":"Active","to":"Resolved"}}],"Notes":{{}},"Incident":{incident}}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_unusual_is_in_the_notes_and_what_is_absent_has_no_column() {
        let mut odd = event("{}");
        odd.last_update = None;
        odd.severity = None;
        odd.notes = Notes { first_seen: true, compared: true, odd: Some("no id".into()), ..Notes::default() };
        odd.for_sink = ForSink {
            sequence: Some(12),
            passage: Some(Passage::Entered),
            part: Some(Part { number: 1, of: 2, alert: Some("a1".into()), entity: None }),
            original: Some(Original { size: 9, sha256: "ab".into(), left_out: Reduction::Alerts }),
        };
        let row = read(&outgoing(odd));
        assert_eq!(row["TimeGenerated"], "2026-11-21T10:00:00.1234567Z");
        assert_eq!(row["SinkSequence"], 12);
        let notes = json!({
            "first_seen": true, "odd": "no id", "filter": "entered", "part": { "number": 1, "of": 2, "alert": "a1" },
            "original": { "size": 9, "sha256": "ab", "left_out": "alerts" },
        });
        assert_eq!(row["Notes"], notes);
        assert!(row.get("LastUpdate").is_none() && row.get("Severity").is_none(), "{row}");
    }

    #[test]
    fn a_record_of_another_format_is_a_column_of_its_own() {
        let mut ecs = outgoing(event("{}"));
        ecs.body = br#"{"@timestamp":"2020-09-06T12:00:17.290Z"}"#.to_vec();
        let row = read(&ecs);
        assert_eq!(row["Record"], json!({ "@timestamp": "2020-09-06T12:00:17.290Z" }));
        assert!(row.get("Incident").is_none() && row["EventId"].is_string(), "{row}");
    }

    #[test]
    fn what_is_too_long_for_one_value_is_in_pieces_that_make_it_up_again() {
        let check = |padding: usize, expected: usize| {
            let incident = format!("{{\"a\":1,\r\n\t\"b\":\"{}\"}}", "\u{20ac}\\\"".repeat(padding / 5));
            let row = read(&outgoing(event(&incident)));
            let pieces: Vec<&str> = (1..).map_while(|n| row[format!("Incident{n}")].as_str()).collect();
            assert_eq!(pieces.len(), expected, "{}", incident.len());
            assert!(pieces.iter().all(|piece| piece.len() <= VALUE_SIZE_MAX));
            match expected {
                0 => assert_eq!(row["Incident"], serde_json::from_str::<Value>(&incident).expect("JSON")),
                _ => assert!(pieces.concat() == incident && row.get("Incident").is_none()),
            }
        };
        check(59_900, 0);
        check(60_100, 2);
        check(RECORD_SIZE_MAX - 50, PIECES_MAX);
        let long = outgoing(event(&format!("\"{}\"", "x".repeat(PIECES_MAX * VALUE_SIZE_MAX))));
        assert!(row(&long).expect_err("too long").contains("8 columns"));
    }

    #[test]
    fn what_not_everybody_can_read_is_a_text() {
        let check = |incident: &str, is_text: bool| {
            let row = read(&outgoing(event(incident)));
            assert_eq!((row["Incident1"] == incident, row.get("Incident").is_none()), (is_text, is_text), "{incident}");
        };
        check(r#"{"a":"\ud83d\ude00"}"#, false);
        check(r#"{"a":"\\ud800"}"#, false);
        check(r#"{"a":"\uD800"}"#, true);
        check(r#"{"a":"\udfff\ud800"}"#, true);
    }

    #[test]
    fn changes_that_are_too_long_for_one_value_are_counted() {
        let mut long = event("{}");
        let alerts = |n: usize| (0..n).map(|n| format!("da637564{n:020}")).collect();
        long.changes.push(Change::list("alerts", alerts(5000), vec![], vec![]));
        let row = read(&outgoing(long));
        let expected = json!([
            { "field": "status", "from": "Active", "to": "Resolved" },
            { "field": "alerts", "from": null, "to": "5000 added" },
        ]);
        assert_eq!(row["Changes"], expected);
    }
}
