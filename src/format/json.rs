//! The JSON event: one object on one line around the untouched incident. Nothing of `incident` is dropped, renamed,
//! reordered or escaped anew.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::format::remarks::Remarks;
use crate::model::event::{Change, Event};

/// The members in their order. Optional ones are there only where they say something.
#[derive(Serialize)]
struct Wire<'a> {
    event_id: &'a str,
    kind: &'static str,
    tenant: &'a str,
    sequence: u64,
    observed_at: String,
    changes: &'a [Change],
    #[serde(flatten)]
    remarks: Remarks<'a>,
    incident: &'a RawValue,
}

/// One event as one line, without its newline.
///
/// Line ends between the tokens of the incident become spaces, because one event is one line; inside of strings JSON
/// has none (RFC 8259 section 7), so this changes no value.
pub fn render(event: &Event) -> Vec<u8> {
    let wire = Wire {
        event_id: event.event_id.as_str(),
        kind: event.kind.as_str(),
        tenant: event.tenant.as_str(),
        sequence: event.sequence,
        observed_at: event.observed_at.to_micros_text(),
        changes: &event.changes,
        remarks: Remarks::of(event),
        incident: &event.incident,
    };
    let mut line = Vec::with_capacity(event.incident.get().len() + 512);
    serde_json::to_writer(&mut line, &wire).expect("texts, numbers and raw JSON go into memory without fail");
    for byte in &mut line {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::model::delivery::ForSink;
    use crate::model::event::{Kind, Notes};
    use crate::model::names::{EventId, IncidentId, TenantName};
    use crate::model::timestamp::Timestamp;

    fn event(incident: &str) -> Event {
        Event {
            event_id: EventId::new("contoso/924565/15994036172900000/9f3c01ab"),
            kind: Kind::Updated,
            tenant: TenantName::new("contoso"),
            sequence: 4711,
            observed_at: "2026-11-21T10:00:00.1234567Z".parse().expect("a time"),
            changes: vec![],
            incident_id: IncidentId::new("924565"),
            last_update: Some(Timestamp::from_ticks(15_994_036_172_900_000)),
            severity: Some("Low".into()),
            notes: Notes::default(),
            incident: RawValue::from_string(incident.to_owned()).expect("JSON"),
            for_sink: ForSink::default(),
        }
    }

    fn check(event: &Event, expected: &str) {
        assert_eq!(String::from_utf8(render(event)).expect("UTF-8"), expected);
    }

    #[test]
    fn an_event_is_the_object_of_the_interface() {
        check(
            &Event {
                changes: vec![
                    Change::value("status", Some("Active".into()), Some("Resolved".into())),
                    Change::value("assignee", None, Some("kim \"k\"\n".into())),
                ],
                ..event(r#"{"incidentId":924565}"#)
            },
            concat!(
                r#"{"event_id":"contoso/924565/15994036172900000/9f3c01ab","kind":"updated","tenant":"contoso","sequence":4711,"#,
                r#""observed_at":"2026-11-21T10:00:00.123456Z","#,
                r#""changes":[{"field":"status","from":"Active","to":"Resolved"},{"field":"assignee","from":null,"to":"kim \"k\"\n"}],"#,
                r#""incident":{"incidentId":924565}}"#,
            ),
        );
    }

    #[test]
    fn what_is_unusual_stands_before_the_incident() {
        let notes = Notes {
            first_seen: true,
            repaired: true,
            truncated: true,
            compared: true,
            odd: Some("no \u{7} time".into()),
        };
        check(
            &Event { notes, kind: Kind::Created, ..event("null") },
            concat!(
                r#"{"event_id":"contoso/924565/15994036172900000/9f3c01ab","kind":"created","tenant":"contoso","sequence":4711,"#,
                r#""observed_at":"2026-11-21T10:00:00.123456Z","changes":[],"first_seen":true,"repaired":true,"truncated":true,"#,
                r#""odd":"no \u0007 time","incident":null}"#,
            ),
        );
    }

    #[test]
    fn the_incident_keeps_its_bytes_but_for_line_ends_between_tokens() {
        let incident = |text: &str| {
            let line = String::from_utf8(render(&event(text))).expect("UTF-8");
            line.split_once(r#""incident":"#).expect("the member").1.strip_suffix('}').expect("the end").to_owned()
        };
        let same = r#"{"a" : 1.10,	"b":"\n\u00e9é\/", "a":1e999,"c":[ ],"d":"\ud800"}"#;
        assert_eq!(incident(same), same);
        assert_eq!(incident("{\"a\":\r\n [1,\n2]\n,\"b\":\"\\r\\n\"}"), "{\"a\":   [1, 2] ,\"b\":\"\\r\\n\"}");
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(|number| serde_json::json!(number)),
            any::<i64>().prop_map(|number| serde_json::json!(number)),
            ".*".prop_map(serde_json::Value::String),
            any::<bool>().prop_map(serde_json::Value::Bool),
            Just(serde_json::Value::Null),
        ];
        let value = leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        });
        (value, any::<bool>(), any::<bool>()).prop_map(|(value, pretty, windows)| match (pretty, windows) {
            (false, _) => value.to_string(),
            (true, false) => format!("{value:#}"),
            (true, true) => format!("{value:#}").replace('\n', "\r\n"),
        })
    }

    #[derive(Deserialize)]
    struct Back<'a> {
        event_id: String,
        kind: String,
        tenant: String,
        sequence: u64,
        changes: Vec<Change>,
        odd: Option<String>,
        #[serde(borrow)]
        incident: &'a RawValue,
    }

    proptest! {
        #[test]
        fn any_event_is_one_line_that_is_read_back(
            incident in json(), event_id in ".*", tenant in ".*", sequence in any::<u64>(), odd in prop::option::of(".*"),
            from in prop::option::of(".*"), kind in 0usize..5,
        ) {
            let event = Event {
                event_id: EventId::new(event_id),
                kind: Kind::ALL[kind],
                tenant: TenantName::new(tenant),
                sequence,
                changes: vec![Change::value("assignee", from, None)],
                notes: Notes { odd, ..Notes::default() },
                ..event(&incident)
            };
            let line = render(&event);
            prop_assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
            let back: Back<'_> = serde_json::from_slice(&line).expect("our own line");
            prop_assert_eq!(back.event_id, event.event_id.as_str());
            prop_assert_eq!(back.kind, event.kind.as_str());
            prop_assert_eq!(back.tenant, event.tenant.as_str());
            prop_assert_eq!(back.sequence, sequence);
            prop_assert_eq!(back.changes, event.changes);
            prop_assert_eq!(back.odd, event.notes.odd);
            let text = incident.replace(['\r', '\n'], " ");
            prop_assert_eq!(back.incident.get(), text.trim());
        }
    }
}
