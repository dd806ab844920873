//! One event as several: one for each alert that is new or says something new, with the head of its incident.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::content::Content;
use crate::model::delivery::Part;
use crate::model::event::{Difference, Event};
use crate::model::hash::ContentHash;
use crate::model::names::EventId;
use crate::model::parts::{Parts, elements};

/// The values of a sink's `split` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// One event per alert.
    Alerts,
    /// One event per alert, and one for each entity of it.
    Entities,
}

/// What holds the entities of an alert, in either dialect.
const ENTITIES: [(&str, &str); 2] = [("entities", "\"entities\""), ("evidence", "\"evidence\"")];

/// A part before it is numbered.
struct Piece {
    alert: Option<String>,
    entity: Option<String>,
    /// What the `event_id` gets behind a `#`.
    suffix: String,
    incident: String,
}

/// The parts of an event, in the order of its alerts; at least one. What cannot be taken apart stays whole.
pub fn split(event: Event, by: Split) -> Vec<Event> {
    let Some(pieces) = pieces(&event, by) else { return vec![event] };
    let of = pieces.len();
    let parts = pieces.into_iter().enumerate().filter_map(|(at, piece)| {
        let mut part = event.clone();
        if !piece.suffix.is_empty() {
            part.event_id = EventId::new(format!("{}#{}", event.event_id, piece.suffix));
        }
        part.incident = RawValue::from_string(piece.incident).ok()?;
        part.for_sink.part = Some(Part { number: at + 1, of, alert: piece.alert, entity: piece.entity });
        Some(part)
    });
    let parts: Vec<Event> = parts.collect();
    if parts.len() == of { parts } else { vec![event] }
}

fn pieces(event: &Event, by: Split) -> Option<Vec<Piece>> {
    let incident = event.incident.get();
    let alerts = Parts::of(incident)?.get("alerts").map(str::to_owned)?;
    let with =
        |alerts: &str| Parts::of(incident).map(|head| head.with("alerts", "\"alerts\"", format!("[{alerts}]")).text());
    let mut pieces = Vec::new();
    for (at, alert) in elements(Some(&alerts)).into_iter().enumerate() {
        let id = alert_id(alert);
        if !is_news(event, id.as_deref()) {
            continue;
        }
        let suffix = id.clone().unwrap_or_else(|| (at + 1).to_string());
        let piece =
            |entity, suffix, incident| Piece { alert: Some(id.clone().unwrap_or_default()), entity, suffix, incident };
        pieces.push(piece(None, suffix.clone(), with(alert)?));
        if by == Split::Entities {
            for (name, entity, reduced) in entities(alert) {
                let incident = with(&reduced)?;
                pieces.push(piece(Some(name), format!("{suffix}/{}", ContentHash::of(&entity)), incident));
            }
        }
    }
    if pieces.is_empty() {
        pieces.push(Piece { alert: None, entity: None, suffix: String::new(), incident: with("")? });
    }
    Some(pieces)
}

/// Whether an alert is new or says something new. Where nobody compared the alerts one by one, each may.
fn is_news(event: &Event, id: Option<&str>) -> bool {
    let compared = event.changes.iter().find(|change| change.field == "alerts").map(|change| &change.difference);
    match (compared, id) {
        (Some(Difference::List { added, changed, .. }), Some(id)) => {
            added.iter().chain(changed).any(|known| known == id)
        }
        (Some(Difference::List { .. } | Difference::Value { .. }), _) => true,
        // Something else changed, and the alerts are as they were.
        (None, _) => event.changes.is_empty() || event.for_sink.passage.is_some(),
    }
}

fn alert_id(alert: &str) -> Option<String> {
    let parts = Parts::of(alert)?;
    let id = parts.get("alertId").or(parts.get("id"))?;
    serde_json::from_str::<String>(id).ok().filter(|id| !id.is_empty())
}

/// Each entity of an alert: its name, its text, and the alert with this one alone.
fn entities(alert: &str) -> Vec<(String, String, String)> {
    let incident = format!(r#"{{"alerts":[{alert}]}}"#);
    let content = Content::of(&incident);
    let Some(read) = content.alerts().next() else { return Vec::new() };
    let mut named = read.entities().map(|entity| entity.name());
    let mut found = Vec::new();
    for (list, quoted) in ENTITIES {
        let Some(text) = Parts::of(alert).and_then(|parts| parts.get(list).map(str::to_owned)) else { continue };
        for entity in elements(Some(&text)) {
            if is_device(entity) {
                continue;
            }
            let (Some(name), Some(parts)) = (named.next(), Parts::of(alert)) else { continue };
            let others: Vec<&str> = ENTITIES.iter().map(|(list, _)| *list).filter(|other| *other != list).collect();
            let reduced = parts.without(&others).with(list, quoted, format!("[{entity}]")).text();
            found.push((name, entity.to_owned(), reduced));
        }
    }
    found
}

/// Devices stand among Graph's evidence; they are no entity of an alert, they are where it happened.
fn is_device(evidence: &str) -> bool {
    let kind = Parts::of(evidence).and_then(|parts| parts.get("@odata.type").map(str::to_owned));
    kind.is_some_and(|kind| kind.trim_end_matches('"').ends_with(".deviceEvidence"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::{ForSink, Passage};
    use crate::model::event::{Change, Kind, Notes};
    use crate::model::names::{IncidentId, TenantName};
    use crate::model::timestamp::Timestamp;

    const INCIDENT: &str = r#"{"incidentId":1, "alerts":[{"alertId":"a","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"},{"entityType":"Url"}],"x":1.50},{"alertId":"b","entities":[]}],"status":"Active"}"#;

    fn event(incident: &str, changes: Vec<Change>) -> Event {
        Event {
            event_id: EventId::new("contoso/1/2/3"),
            kind: Kind::Updated,
            tenant: TenantName::new("contoso"),
            sequence: 1,
            observed_at: Timestamp::from_ticks(0),
            changes,
            incident_id: IncidentId::new("1"),
            last_update: None,
            severity: None,
            notes: Notes::default(),
            incident: RawValue::from_string(incident.into()).expect("JSON"),
            for_sink: ForSink::default(),
        }
    }

    fn alerts(added: &[&str], removed: &[&str], changed: &[&str]) -> Vec<Change> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        vec![Change::list("alerts", texts(added), texts(removed), texts(changed))]
    }

    fn check(event: Event, by: Split, expected: &[(&str, &str)]) {
        let parts = split(event, by);
        let shown: Vec<(&str, &str)> = parts.iter().map(|part| (part.event_id.as_str(), part.incident.get())).collect();
        assert_eq!(shown, expected);
        for (at, part) in parts.iter().enumerate().filter(|_| 1 < parts.len()) {
            let known = part.for_sink.part.as_ref().expect("a part");
            assert_eq!((known.number, known.of), (at + 1, parts.len()));
        }
    }

    const A: &str = r#"{"incidentId":1,"alerts":[{"alertId":"a","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"},{"entityType":"Url"}],"x":1.50}],"status":"Active"}"#;
    const B: &str = r#"{"incidentId":1,"alerts":[{"alertId":"b","entities":[]}],"status":"Active"}"#;
    const NONE: &str = r#"{"incidentId":1,"alerts":[],"status":"Active"}"#;

    #[test]
    fn each_alert_that_is_new_or_changed_is_a_part() {
        check(event(INCIDENT, vec![]), Split::Alerts, &[("contoso/1/2/3#a", A), ("contoso/1/2/3#b", B)]);
        check(event(INCIDENT, alerts(&["b"], &["c"], &[])), Split::Alerts, &[("contoso/1/2/3#b", B)]);
        check(event(INCIDENT, alerts(&[], &[], &["a"])), Split::Alerts, &[("contoso/1/2/3#a", A)]);
        let by_number = vec![Change::value("alerts", Some("1".into()), Some("2".into()))];
        check(event(INCIDENT, by_number), Split::Alerts, &[("contoso/1/2/3#a", A), ("contoso/1/2/3#b", B)]);
    }

    #[test]
    fn a_change_of_something_else_is_told_without_alerts() {
        let status = vec![Change::value("status", None, Some("Active".into()))];
        check(event(INCIDENT, status.clone()), Split::Alerts, &[("contoso/1/2/3", NONE)]);
        check(event(INCIDENT, alerts(&[], &["c"], &[])), Split::Alerts, &[("contoso/1/2/3", NONE)]);
        let mut entered = event(INCIDENT, status);
        entered.for_sink.passage = Some(Passage::Entered);
        check(entered, Split::Alerts, &[("contoso/1/2/3#a", A), ("contoso/1/2/3#b", B)]);
    }

    #[test]
    fn entities_come_behind_their_alert() {
        let parts = split(event(INCIDENT, alerts(&["a"], &[], &[])), Split::Entities);
        let shown: Vec<_> = parts.iter().map(|part| part.for_sink.part.clone().and_then(|part| part.entity)).collect();
        assert_eq!(shown, [None, Some("ip 192.0.2.1".into()), Some("url".into())]);
        assert_eq!(
            parts[1].incident.get(),
            r#"{"incidentId":1,"alerts":[{"alertId":"a","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"}],"x":1.50}],"status":"Active"}"#
        );
        assert!(parts[1].event_id.as_str().starts_with("contoso/1/2/3#a/"));
    }

    #[test]
    fn devices_among_evidence_are_no_entities() {
        let incident = r##"{"id":"1","alerts":[{"id":"a","evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","mdeDeviceId":"d"},{"@odata.type":"#microsoft.graph.security.ipEvidence","ipAddress":"192.0.2.1"}]}]}"##;
        let parts = split(event(incident, vec![]), Split::Entities);
        let names: Vec<_> = parts.iter().filter_map(|part| part.for_sink.part.clone()?.entity).collect();
        assert_eq!(names, ["ip 192.0.2.1"]);
        assert!(!parts[1].incident.get().contains("deviceEvidence") && parts[1].incident.get().contains("ipEvidence"));
    }

    #[test]
    fn what_cannot_be_taken_apart_stays_whole() {
        for incident in ["null", "[1]", r#"{"incidentId":1}"#] {
            check(event(incident, vec![]), Split::Alerts, &[("contoso/1/2/3", incident)]);
        }
    }
}
