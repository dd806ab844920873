//! Incidents of arbitrary texts, for the proof that no input makes a second record or a field. No test is in here.

use proptest::prelude::*;
use serde_json::{Value, json};
use xdrelay::format::split::{Split, split};
use xdrelay::model::event::{Change, Event, Kind};
use xdrelay::model::names::{EventId, IncidentId, TenantName};

use crate::event_of;

/// Texts that mean something to one format or the other, among any characters at all.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<String>(),
        2 => prop::sample::select(vec![
            "|", "\\", "\\\\", "=", " ", "  ", "\n", "\r\n", "\t", "\0", "^", "\u{1f}", "~", ",", ";", "#", "\"",
            " act=forged", "^sev=10", "\tsev=10", "|10|", "\u{2028}", "\u{2029}", "\u{85}", "\u{202e}", "\u{1b}[31m",
            "CEF:0|x|y|z|1|2|3|", "LEEF:2.0|x|y|z|1|^|", "é", "𝕏", "\u{fffd}", "203.0.113.7", "high",
        ]).prop_map(str::to_owned),
        1 => (prop::sample::select(vec!["x", "é", "=", "\\", " ", "|", "𝕏"]), 0usize..5000).prop_map(|(one, n)| one.repeat(n)),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn texts(count: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), count)
}

fn entity() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["User", "Ip", "Url", "File", "Process", "Mailbox", "MailMessage", "Other"]);
    (kind, texts(7)).prop_map(|(kind, t)| {
        json!({"entityType": kind, "userPrincipalName": t[0], "accountName": t[1], "domainName": t[2], "sha1": t[3], "sha256": t[4],
               "ipAddress": t[5], "fileName": t[6]})
    })
}

fn alert() -> impl Strategy<Value = Value> {
    let lists = (texts(3), texts(3), prop::collection::vec(entity(), 0..5));
    (texts(13), lists).prop_map(|(t, (techniques, hosts, entities))| {
        let devices: Vec<Value> = hosts.iter().map(|host| json!({"deviceDnsName": host})).collect();
        json!({"alertId": t[0], "title": t[1], "description": t[2], "category": t[3], "status": t[4], "severity": t[5],
               "classification": t[6], "determination": t[7], "assignedTo": t[8], "serviceSource": t[9],
               "firstActivity": t[10], "lastActivity": "2026-11-20T08:11:59.7654321Z", "alertWebUrl": t[11],
               "mitreTechniques": techniques, "devices": devices, "entities": entities, "creationTime": t[12]})
    })
}

/// An event with any text in each field, whole or as a part of it; its JSON sometimes has half a surrogate pair.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    let incident = (texts(12), texts(3), prop::collection::vec(alert(), 0..3)).prop_map(|(t, tags, alerts)| {
        json!({"incidentId": t[0], "incidentName": t[1], "incidentUri": t[2], "redirectIncidentId": t[3], "status": t[4],
               "severity": t[5], "classification": t[6], "determination": t[7], "assignedTo": t[8], "description": t[9],
               "createdTime": t[10], "lastUpdateTime": "2026-11-20T09:35:45.1133333Z", "tags": tags, "alerts": alerts})
    });
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let by = prop::option::of(prop::sample::select(vec![Split::Alerts, Split::Entities]));
    (incident, kind, by, any::<prop::sample::Index>(), texts(5), any::<bool>()).prop_map(
        |(incident, kind, by, which, t, is_broken)| {
            let mut json = incident.to_string();
            if is_broken {
                json = json.replacen("\u{fffd}", "\\ud83d", 3).replacen('é', "\\udfff\\ud800", 3);
            }
            let mut event = event_of(&json, kind);
            event.event_id = EventId::new(t[0].clone());
            event.tenant = TenantName::new(t[1].clone());
            event.incident_id = IncidentId::new(t[2].clone());
            event.notes.odd = Some(t[3].clone());
            match by {
                None => {
                    event.changes.push(Change::value("assignee", Some(t[4].clone()), None));
                    event
                }
                Some(by) => {
                    event.changes.clear();
                    event.notes.compared = false;
                    let parts = split(event, by);
                    parts[which.index(parts.len())].clone()
                }
            }
        },
    )
}

/// The first alert of an incident as a part of its event.
pub(crate) fn first_part(event: Event, by: Split) -> Event {
    split(event, by).into_iter().next_back().expect("at least one")
}
