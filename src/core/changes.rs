//! What happened between two revisions of an incident: the kind of the event, and what differs.

use std::time::Duration;

use crate::model::digest::{Digest, Lists};
use crate::model::event::{Change, Kind};
use crate::model::incident::{Fields, Header};

/// An incident first seen with a last update this long after its creation was there before we looked: it is `updated`
/// with `first_seen`, not `created`. Ten minutes is what Defender takes to settle a fresh incident's alerts.
pub const FRESH: Duration = Duration::from_secs(600);

/// What to tell of an incident of which nothing is remembered: its kind, and whether it is an old one first seen now.
pub fn first_kind(header: &Header) -> (Kind, bool) {
    let old = header.created.is_some_and(|created| FRESH < header.last_update.since(created));
    if is_status(&header.fields, "redirected") {
        (Kind::Redirected, true)
    } else if old {
        (Kind::Updated, true)
    } else {
        (Kind::Created, false)
    }
}

/// What happened from one revision to the next.
pub fn kind(from: &Fields, to: &Fields) -> Kind {
    let became = |status| is_status(to, status) && !is_status(from, status);
    if became("redirected") {
        Kind::Redirected
    } else if became("resolved") {
        Kind::Resolved
    } else if is_status(from, "resolved") && !is_status(to, "resolved") && !is_status(to, "redirected") {
        Kind::Reopened
    } else {
        Kind::Updated
    }
}

/// The plain fields that differ, in a fixed order. Spelling in another case (the dialects write `Active` and `active`) is
/// no difference, except in the assignee, which is free text.
pub fn changes(from: &Fields, to: &Fields) -> Vec<Change> {
    let exact = |a: &str, b: &str| a == b;
    let folded = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let mut changes = Vec::new();
    let mut compare = |field: &str, from: &Option<String>, to: &Option<String>, same: &dyn Fn(&str, &str) -> bool| {
        let equal = match (from, to) {
            (None, None) => true,
            (Some(from), Some(to)) => same(from, to),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !equal {
            changes.push(Change::value(field, from.clone(), to.clone()));
        }
    };
    compare("status", &from.status, &to.status, &folded);
    compare("severity", &from.severity, &to.severity, &folded);
    compare("assignee", &from.assignee, &to.assignee, &exact);
    compare("classification", &from.classification, &to.classification, &folded);
    compare("determination", &from.determination, &to.determination, &folded);
    compare("redirected_to", &from.redirected_to, &to.redirected_to, &exact);
    changes
}

/// Names of entities in one change at most.
const ENTITY_NAMES_MAX: usize = 50;

/// The lists that differ, in a fixed order. What was too much to be remembered one by one is compared by its number.
pub fn lists(from: &Digest, to: &Lists) -> Vec<Change> {
    let mut changes = Vec::new();
    if from.name != to.name {
        changes.push(Change::value("name", from.name.clone(), to.name.clone()));
    }
    changes.extend(tags(from, to));
    changes.extend(comments(from, to));
    changes.extend(alerts(from, to));
    changes.extend(entities(from, to));
    changes
}

fn tags(from: &Digest, to: &Lists) -> Option<Change> {
    if from.tags.len() < from.tag_count as usize {
        return counted("tags", from.tag_count, to.tags.len());
    }
    let added = to.tags.iter().filter(|tag| !from.tags.contains(tag)).cloned().collect();
    let removed = from.tags.iter().filter(|tag| !to.tags.contains(tag)).cloned().collect();
    listed("tags", added, removed, Vec::new())
}

/// New ones; nobody is told of a comment that is gone.
fn comments(from: &Digest, to: &Lists) -> Option<Change> {
    if from.comments.len() < from.comment_count as usize {
        return counted("comments", from.comment_count, to.comments.len());
    }
    let new = to.comments.iter().filter(|comment| !from.comments.contains(&comment.mark));
    listed("comments", new.map(|comment| comment.name.clone()).collect(), Vec::new(), Vec::new())
}

fn alerts(from: &Digest, to: &Lists) -> Option<Change> {
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for alert in &to.alerts {
        match from.alert(&alert.name) {
            None => added.push(alert.name.clone()),
            Some(mark) if mark != alert.mark => changed.push(alert.name.clone()),
            Some(_) => {}
        }
    }
    if !from.has_all_alerts() {
        // Which of those that are not remembered are new, nobody knows.
        let by_number = counted("alerts", from.alert_count, to.alerts.len());
        return by_number.or_else(|| listed("alerts", Vec::new(), Vec::new(), changed));
    }
    let names: Vec<&str> = to.alerts.iter().map(|alert| alert.name.as_str()).collect();
    listed("alerts", added, from.alerts_beside(&names), changed)
}

/// New ones. Of too many those with the lowest marks are remembered, so among these it is known who is new.
fn entities(from: &Digest, to: &Lists) -> Option<Change> {
    let is_whole = from.entities.len() == from.entity_count as usize;
    let known_to = if is_whole { u32::MAX } else { from.entities.last().copied().unwrap_or_default() };
    let is_new = |mark: u32| mark <= known_to && from.entities.binary_search(&mark).is_err();
    let new: Vec<&str> =
        to.entities.iter().filter(|entity| is_new(entity.mark)).map(|entity| entity.name.as_str()).collect();
    let mut added: Vec<String> = new.iter().take(ENTITY_NAMES_MAX).map(|name| (*name).to_owned()).collect();
    if added.len() < new.len() {
        added.push(format!("and {} more", new.len() - added.len()));
    }
    listed("entities", added, Vec::new(), Vec::new())
}

fn listed(field: &str, added: Vec<String>, removed: Vec<String>, changed: Vec<String>) -> Option<Change> {
    let differs = !(added.is_empty() && removed.is_empty() && changed.is_empty());
    differs.then(|| Change::list(field, added, removed, changed))
}

fn counted(field: &str, from: u32, to: usize) -> Option<Change> {
    (from as usize != to).then(|| Change::value(field, Some(from.to_string()), Some(to.to_string())))
}

fn is_status(fields: &Fields, status: &str) -> bool {
    fields.status.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(status: &str) -> Fields {
        Fields { status: Some(status.into()), ..Fields::default() }
    }

    #[test]
    fn the_kind_follows_the_status() {
        let check = |from: &str, to: &str, expected: Kind| {
            assert_eq!(kind(&fields(from), &fields(to)), expected, "{from} {to}")
        };
        check("Active", "Active", Kind::Updated);
        check("Active", "InProgress", Kind::Updated);
        check("Active", "Resolved", Kind::Resolved);
        check("Resolved", "Resolved", Kind::Updated);
        check("Resolved", "resolved", Kind::Updated);
        check("Resolved", "Active", Kind::Reopened);
        check("Resolved", "somethingNew", Kind::Reopened);
        check("Resolved", "Redirected", Kind::Redirected);
        check("Active", "Redirected", Kind::Redirected);
        check("Redirected", "Redirected", Kind::Updated);
    }

    #[test]
    fn an_old_incident_first_seen_is_an_update() {
        let header = |created: &str, last_update: &str, status: &str| Header {
            id: crate::model::names::IncidentId::new("1"),
            created: created.parse().ok(),
            last_update: last_update.parse().expect("a time"),
            fields: fields(status),
        };
        let check =
            |created, updated, status, expected| assert_eq!(first_kind(&header(created, updated, status)), expected);
        check("2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z", "Active", (Kind::Created, false));
        check("2026-01-01T00:00:00Z", "2026-01-01T00:11:00Z", "Active", (Kind::Updated, true));
        check("2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z", "Redirected", (Kind::Redirected, true));
        check("never", "2026-01-01T00:00:03Z", "Active", (Kind::Created, false));
    }

    #[test]
    fn changes_name_the_fields_that_differ() {
        let from = Fields { severity: Some("Low".into()), assignee: None, ..fields("Active") };
        let to = Fields { severity: Some("High".into()), assignee: Some("kim@example.net".into()), ..fields("active") };
        let names = changes(&from, &to);
        assert_eq!(
            names,
            [
                Change::value("severity", Some("Low".into()), Some("High".into())),
                Change::value("assignee", None, Some("kim@example.net".into())),
            ]
        );
        assert_eq!(changes(&to, &to), []);
    }

    fn of(json: &str) -> Lists {
        Lists::of(json, &crate::model::hash::ContentHash::with_alerts(json).1)
    }

    /// What is said of the way from one incident to another, and that nothing is said of the way to itself.
    fn check(from: &str, to: &str, expected: &[Change]) {
        let (from, to) = (of(from), of(to));
        assert_eq!(lists(&from.digest(), &to), expected);
        for lists_of in [from, to] {
            assert_eq!(lists(&lists_of.digest(), &lists_of), []);
        }
    }

    #[test]
    fn lists_are_compared_element_by_element() {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let list = |field, added: &[&str], removed: &[&str], changed: &[&str]| {
            Change::list(field, texts(added), texts(removed), texts(changed))
        };
        check(
            r#"{"incidentName":"a","tags":["x","y"],"comments":[],"alerts":[{"alertId":"1"},{"alertId":"2","status":"New"},
                {"alertId":"3","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"}]}]}"#,
            r#"{"incidentName":"b","tags":["z","x"],"comments":[{"comment":"c","createdBy":"kim","createdTime":"2026-01-01T00:00:00Z"}],
                "alerts":[{"alertId":"4"},{"alertId":"3","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"}]},
                {"status":"Resolved","alertId":"2","entities":[{"entityType":"User","userPrincipalName":"kim@example.net"}]}]}"#,
            &[
                Change::value("name", Some("a".into()), Some("b".into())),
                list("tags", &["z"], &["y"], &[]),
                list("comments", &["kim 2026-01-01T00:00:00.0000000Z"], &[], &[]),
                list("alerts", &["4"], &["1"], &["2"]),
                list("entities", &["user kim@example.net"], &[], &[]),
            ],
        );
    }

    #[test]
    fn order_and_volatile_members_are_no_change() {
        check(
            r#"{"tags":["x","y"],"alerts":[{"alertId":"1","devices":[{"riskScore":"High"}]},{"alertId":"2","a":[1,2]}]}"#,
            r#"{"tags":["y","x"],"alerts":[{"alertId":"2","a":[2,1]},{"alertId":"1","devices":[{"riskScore":"Low"}]}]}"#,
            &[],
        );
    }

    #[test]
    fn alerts_that_share_an_id_are_one() {
        let (one, other) = (r#"{"alertId":"1","a":1}"#, r#"{"alertId":"1","a":2}"#);
        let incident = |alerts: &[&str]| format!(r#"{{"alerts":[{}]}}"#, alerts.join(","));
        check(&incident(&[one, other]), &incident(&[other, one]), &[]);
        let changed = Change::list("alerts", vec![], vec![], vec!["1".into()]);
        check(&incident(&[one, other]), &incident(&[one, one]), std::slice::from_ref(&changed));
        check(&incident(&[one]), &incident(&[one, one]), &[changed]);
        check(&incident(&["{}", "{}", one]), &incident(&["{}", one, "{}"]), &[]);
    }

    #[test]
    fn of_more_than_is_remembered_the_numbers_are_compared() {
        let incident = |alerts: std::ops::Range<u32>, edited: u32| {
            let alert = |n| format!(r#"{{"alertId":"da{n}","edits":{}}}"#, u32::from(n == edited));
            format!(r#"{{"alerts":[{}]}}"#, alerts.map(alert).collect::<Vec<_>>().join(","))
        };
        let (from, more) = (of(&incident(0..200, 300)), of(&incident(0..201, 300)));
        assert_eq!(lists(&from.digest(), &more), [Change::value("alerts", Some("200".into()), Some("201".into()))]);
        let edited = of(&incident(0..200, 3));
        assert_eq!(lists(&from.digest(), &edited), [Change::list("alerts", vec![], vec![], vec!["da3".into()])]);
        // What was remembered whole is compared one by one, however much there is now.
        let few = of(&incident(0..5, 300));
        let added = (5..200).map(|n| format!("da{n}")).collect();
        assert_eq!(lists(&few.digest(), &from), [Change::list("alerts", added, vec![], vec![])]);
    }

    #[test]
    fn entities_are_named_up_to_a_limit() {
        let incident = |entities: u32| {
            let entity = |n| format!(r#"{{"entityType":"Ip","ipAddress":"192.0.2.{n}"}}"#);
            let entities = (0..entities).map(entity).collect::<Vec<_>>().join(",");
            of(&format!(r#"{{"alerts":[{{"alertId":"1","entities":[{entities}]}}]}}"#))
        };
        let added = |from: &Lists, to: &Lists| {
            let changes = lists(&from.digest(), to);
            let of_entities = changes.into_iter().find(|change| change.field == "entities");
            of_entities.map(|change| match change.difference {
                crate::model::event::Difference::List { added, .. } => added.len(),
                crate::model::event::Difference::Value { .. } => 0,
            })
        };
        assert_eq!(added(&incident(1), &incident(3)), Some(2));
        assert_eq!(added(&incident(0), &incident(60)), Some(ENTITY_NAMES_MAX + 1));
        assert_eq!(added(&incident(200), &incident(200)), None);
        // Of the hundred new ones those are named that come before the last that is remembered.
        assert!(added(&incident(200), &incident(300)).is_some_and(|count| (1..=51).contains(&count)));
    }
}
