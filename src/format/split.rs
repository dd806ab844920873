//! One event as several: one for each alert that is new or says something new, with the head of its incident.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::format::parts::{Parts, elements};
use crate::model::content::Content;
use crate::model::delivery::Part;
use crate::model::event::{Difference, Event};
use crate::model::hash::ContentHash;
use crate::model::names::EventId;

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
