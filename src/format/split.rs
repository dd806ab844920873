//! One event as several: one for each alert that is new or says something new, with the head of its incident.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::content::Content;
use crate::model::delivery::{Part, Passage};
use crate::model::digest::{ENTITY_NAME_MAX, beginning};
use crate::model::event::{Difference, Event};
use crate::model::hash::ContentHash;
use crate::model::names::EventId;
use crate::model::node::Node;
use crate::model::parts::{Parts, elements};

/// Bytes of all parts of one event at most, so that many alerts with a large head are no way to fill the memory.
const PARTS_SIZE_MAX: usize = 64 << 20;
/// What a part takes beside its incident and the changes, more or less.
const PART_OVERHEAD: usize = 512;

/// The values of a sink's `split` key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The parts of an event, in the order of its alerts; at least one. What cannot be taken apart, or into too many, stays whole; where
/// only its entities are too many, it is split by alerts.
pub fn split(mut event: Event, by: Split) -> Vec<Event> {
    let incident = std::mem::replace(&mut event.incident, RawValue::NULL.to_owned());
    let found = match by {
        Split::Alerts => pieces(&event, incident.get(), by),
        Split::Entities => pieces(&event, incident.get(), by).or_else(|| pieces(&event, incident.get(), Split::Alerts)),
    };
    let found = found.unwrap_or_default();
    let of = found.len();
    let parts = found.into_iter().enumerate().filter_map(|(at, piece)| {
        let mut part = event.clone();
        if !piece.suffix.is_empty() {
            part.event_id = EventId::new(format!("{}#{}", event.event_id, piece.suffix));
        }
        part.incident = RawValue::from_string(piece.incident).ok()?;
        part.for_sink.part = Some(Part { number: at + 1, of, alert: piece.alert, entity: piece.entity });
        Some(part)
    });
    let parts: Vec<Event> = parts.collect();
    if parts.len() == of && 0 < of { parts } else { vec![Event { incident, ..event }] }
}

/// What an event is taken apart into, as far as it may be.
struct Pieces {
    found: Vec<Piece>,
    /// How often each suffix was asked for.
    suffixes: HashMap<String, usize>,
    /// Bytes that all of them may still have.
    room: usize,
    /// Bytes that each has beside its incident.
    each: usize,
}

impl Pieces {
    /// None: there are too many.
    fn add(&mut self, alert: Option<&str>, entity: Option<String>, suffix: &str, incident: &[&str]) -> Option<()> {
        let size = incident.iter().map(|text| text.len()).sum::<usize>();
        self.room = self.room.checked_sub(size + self.each)?;
        let suffix = self.unique(suffix);
        self.found.push(Piece { alert: alert.map(str::to_owned), entity, suffix, incident: incident.concat() });
        Some(())
    }

    /// Two alerts of one id, or an entity that stands twice, are two parts all the same, and receivers drop what has an `event_id` that they
    /// know.
    fn unique(&mut self, suffix: &str) -> String {
        let mut unique = suffix.to_owned();
        while let Some(before) = self.suffixes.get_mut(&unique) {
            *before += 1;
            unique = format!("{unique}~{before}");
        }
        self.suffixes.insert(unique.clone(), 1);
        unique
    }
}

/// None: it cannot be taken apart.
fn pieces(event: &Event, incident: &str, by: Split) -> Option<Vec<Piece>> {
    let parts = Parts::of(incident)?;
    let alerts = parts.get("alerts")?.to_owned();
    let (before, behind) = parts.with("alerts", "\"alerts\"", "[]".into()).around("alerts")?;
    let changes = serde_json::to_vec(&event.changes).map_or(0, |json| json.len());
    let (room, each) = (PARTS_SIZE_MAX, PART_OVERHEAD + changes);
    let mut pieces = Pieces { found: Vec::new(), suffixes: HashMap::new(), room, each };
    let told = Told::of(event);
    for alert in elements(Some(&alerts)) {
        let id = alert_id(alert);
        if !told.holds(id.as_deref()) {
            continue;
        }
        let suffix = id.clone().unwrap_or_else(|| ContentHash::of(alert).to_string());
        let id = Some(id.as_deref().unwrap_or_default());
        pieces.add(id, None, &suffix, &[&before, "[", alert, "]", &behind])?;
        if by == Split::Entities {
            entities(alert, &mut |name, entity, from, to| {
                let suffix = format!("{suffix}/{}", ContentHash::of(entity));
                let incident = [&before, "[", from, entity, to, "]", &behind];
                pieces.add(id, Some(name), &suffix, &incident)
            })?;
        }
    }
    if pieces.found.is_empty() {
        pieces.add(None, None, "", &[&before, "[]", &behind])?;
    }
    Some(pieces.found)
}

/// The alerts that are new to the sink or say something new.
enum Told<'e> {
    All,
    None,
    /// These, and those without an id.
    These(HashSet<&'e str>),
}

impl<'e> Told<'e> {
    /// Where nobody compared the alerts one by one, each may be new or say something new; and to a sink that the incident has just
    /// entered, each is new.
    fn of(event: &'e Event) -> Self {
        if event.for_sink.passage == Some(Passage::Entered) {
            return Self::All;
        }
        match event.changes.iter().find(|change| change.field == "alerts").map(|change| &change.difference) {
            Some(Difference::List { added, changed, .. }) if event.notes.compared => {
                Self::These(added.iter().chain(changed).map(String::as_str).collect())
            }
            Some(Difference::List { .. } | Difference::Value { .. }) => Self::All,
            None if event.notes.compared => Self::None,
            None => Self::All,
        }
    }

    fn holds(&self, id: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::These(ids) => id.is_none_or(|id| ids.contains(id)),
        }
    }
}

/// The id, as `changes` calls the alert.
fn alert_id(alert: &str) -> Option<String> {
    Node::parse(alert).first(&["alertId", "id"]).shown().map(Cow::into_owned)
}

/// Gives each entity of an alert away: the beginning of its name, its text, and the text of the alert around it, which has its devices and
/// no other entity. None as soon as it is not taken.
fn entities(alert: &str, give: &mut impl FnMut(String, &str, &str, &str) -> Option<()>) -> Option<()> {
    let incident = format!(r#"{{"alerts":[{alert}]}}"#);
    let content = Content::of(&incident);
    let Some(read) = content.alerts().next() else { return Some(()) };
    let mut named = read.entities().map(|entity| entity.name());
    for (list, quoted) in ENTITIES {
        let Some(parts) = Parts::of(alert) else { continue };
        let Some(text) = parts.get(list).map(str::to_owned) else { continue };
        let others: Vec<&str> = ENTITIES.iter().map(|(list, _)| *list).filter(|other| *other != list).collect();
        let Some((from, to)) = parts.without(&others).with(list, quoted, "[]".into()).around(list) else { continue };
        // Graph's devices stand among the entities; they stay, as those of the other dialect do in their own list.
        let (devices, entities): (Vec<&str>, Vec<&str>) =
            elements(Some(&text)).into_iter().partition(|element| list == "evidence" && is_device(element));
        let comma = if devices.is_empty() { "" } else { "," };
        let (from, to) = (format!("{from}[{}{comma}", devices.join(",")), format!("]{to}"));
        for entity in entities {
            let Some(name) = named.next() else { continue };
            give(beginning(&name, ENTITY_NAME_MAX).to_owned(), entity, &from, &to)?;
        }
    }
    Some(())
}

/// Devices stand among Graph's evidence; they are no entity of an alert, they are where it happened.
fn is_device(evidence: &str) -> bool {
    let kind = Parts::of(evidence).and_then(|parts| parts.get("@odata.type").map(str::to_owned));
    kind.is_some_and(|kind| kind.trim_end_matches('"').ends_with(".deviceEvidence"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Change, Notes};

    const INCIDENT: &str = r#"{"incidentId":1, "alerts":[{"alertId":"a","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"},{"entityType":"Url"}],"x":1.50},{"alertId":"b","entities":[]}],"status":"Active"}"#;

    fn event(incident: &str, changes: Vec<Change>) -> Event {
        let compared = changes.iter().any(|change| matches!(change.difference, Difference::List { .. }));
        Event { changes, notes: Notes { compared, ..Notes::default() }, ..Event::example(incident) }
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
        // After a switch of the API the ids were compared, and not what the alerts say.
        let mut by_id = event(INCIDENT, alerts(&["b"], &[], &[]));
        by_id.notes.compared = false;
        check(by_id, Split::Alerts, &[("contoso/1/2/3#a", A), ("contoso/1/2/3#b", B)]);
        let by_number = vec![Change::value("alerts", Some("1".into()), Some("2".into()))];
        check(event(INCIDENT, by_number), Split::Alerts, &[("contoso/1/2/3#a", A), ("contoso/1/2/3#b", B)]);
    }

    #[test]
    fn a_change_of_something_else_is_told_without_alerts() {
        let status = || vec![Change::value("status", None, Some("Active".into()))];
        let compared = |changes| {
            let mut event = event(INCIDENT, changes);
            event.notes.compared = true;
            event
        };
        check(compared(status()), Split::Alerts, &[("contoso/1/2/3", NONE)]);
        check(compared(vec![]), Split::Alerts, &[("contoso/1/2/3", NONE)]);
        check(compared(alerts(&[], &["c"], &[])), Split::Alerts, &[("contoso/1/2/3", NONE)]);
        let all = [("contoso/1/2/3#a", A), ("contoso/1/2/3#b", B)];
        check(event(INCIDENT, status()), Split::Alerts, &all);
        for (passage, changes, expected) in [
            (Passage::Entered, status(), &all[..]),
            (Passage::Entered, alerts(&["b"], &[], &[]), &all[..]),
            (Passage::Left, alerts(&["b"], &[], &[]), &all[1..]),
            (Passage::Left, status(), &[("contoso/1/2/3", NONE)]),
        ] {
            let mut event = compared(changes);
            event.for_sink.passage = Some(passage);
            check(event, Split::Alerts, expected);
        }
    }

    #[test]
    fn no_two_parts_have_the_same_id() {
        let ids = |alerts: &str| -> Vec<String> {
            let parts = split(event(&format!(r#"{{"alerts":{alerts}}}"#), vec![]), Split::Entities);
            parts.iter().map(|part| part.event_id.as_str().trim_start_matches("contoso/1/2/3#").to_owned()).collect()
        };
        let twice = r#"[{"alertId":"a"},{"alertId":"a","x":1},{"alertId":"a~2"},{"alertId":"a"}]"#;
        assert_eq!(ids(twice), ["a", "a~2", "a~2~2", "a~3"]);
        assert_eq!(ids(r#"[{"alertId":7},{"alertId":null,"id":"b"}]"#), ["7", "b"]);
        let entity = ContentHash::of(r#"{"x":1}"#);
        let entities = ids(r#"[{"alertId":"a","entities":[{"x":1},{"x":1}]}]"#);
        assert_eq!(entities, ["a".to_owned(), format!("a/{entity}"), format!("a/{entity}~2")]);
        // What has no id has that of its content, wherever it stands.
        let (first, last) = (ids(r#"[{"x":1},{"alertId":""}]"#), ids(r#"[{"alertId":""},{"x":1}]"#));
        assert_eq!(first, [&*last[1], &*last[0]]);
    }

    #[test]
    fn a_number_is_an_id_too() {
        let incident = r#"{"alerts":[{"alertId":7},{"alertId":8}]}"#;
        let parts = split(event(incident, alerts(&["8"], &[], &[])), Split::Alerts);
        assert_eq!(parts.iter().map(|part| part.event_id.as_str()).collect::<Vec<_>>(), ["contoso/1/2/3#8"]);
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let incident =
            format!(r#"{{"alerts":[{{"entities":[{{"entityType":"Url","url":"{}"}}]}}]}}"#, "x".repeat(9000));
        let name = split(event(&incident, vec![]), Split::Entities).pop().and_then(|part| part.for_sink.part?.entity);
        assert_eq!(name.map(|name| name.len()), Some(ENTITY_NAME_MAX));
    }

    #[test]
    fn what_would_make_too_much_stays_whole_or_at_least_its_alerts() {
        let incident = |head: usize, alerts: usize, entities: usize| {
            let alert = format!(r#"{{"entities":[{}]}}"#, vec!["{}"; entities].join(","));
            format!(r#"{{"head":"{}","alerts":[{}]}}"#, "x".repeat(head), vec![&*alert; alerts].join(","))
        };
        let parts = |incident: String, by| split(event(&incident, vec![]), by).len();
        assert_eq!(parts(incident(1 << 20, 60, 0), Split::Alerts), 60);
        assert_eq!(parts(incident(1 << 20, 70, 0), Split::Alerts), 1);
        assert_eq!(parts(incident(100, 10, 100), Split::Entities), 1010);
        assert_eq!(parts(incident(1 << 20, 10, 100), Split::Entities), 10);
        assert_eq!(parts(incident(0, 300_000, 0), Split::Alerts), 1, "and in no time");
        assert_eq!(parts(incident(0, 1, 300_000), Split::Entities), 1);
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
        assert_eq!(parts[1].incident.get(), incident, "where it happened is in both parts");
    }

    #[test]
    fn what_cannot_be_taken_apart_stays_whole() {
        for incident in ["null", "[1]", r#"{"incidentId":1}"#] {
            check(event(incident, vec![]), Split::Alerts, &[("contoso/1/2/3", incident)]);
        }
    }
}
