//! What differs between the lists of two revisions of an incident: tags, comments, alerts, entities. What was too much to be
//! remembered is compared by its number.

use crate::core::changes::Tellers;
use crate::model::digest::{Digest, Lists};
use crate::model::event::Change;

/// Names of entities in one change at most.
const ENTITY_NAMES_MAX: usize = 50;

/// Ends of names that nobody sees, and that one API may leave out.
const UNSEEN: [char; 2] = ['\u{200b}', ' '];

/// The lists that differ, in a fixed order. What was too much to be remembered one by one is compared by its number.
///
/// After a switch of the API alerts are compared by their ids alone and comments by their number, because what is remembered of
/// them are hashes of texts; entities are not compared at all, because the APIs do not show the same ones.
pub fn changes(from: &Digest, to: &Lists, tellers: Tellers) -> Vec<Change> {
    let changes = match tellers {
        Tellers::Same => {
            let name = (from.name != to.name).then(|| Change::value("name", from.name.clone(), to.name.clone()));
            [name, tags(from, to), comments(from, to), alerts(from, to), entities(from, to)]
        }
        Tellers::Switched => {
            let seen = |name: &Option<String>| name.as_deref().map(|name| name.trim_end_matches(UNSEEN).to_owned());
            let is_same = seen(&from.name) == seen(&to.name);
            let name = (!is_same).then(|| Change::value("name", from.name.clone(), to.name.clone()));
            [name, given_tags(from, to), more_comments(from, to), alerts_by_id(from, to), None]
        }
    };
    changes.into_iter().flatten().collect()
}

fn tags(from: &Digest, to: &Lists) -> Option<Change> {
    if from.tags.len() < from.tag_count as usize {
        return counted("tags", from.tag_count, to.tags.len());
    }
    let added = to.tags.iter().filter(|tag| !from.tags.contains(tag)).cloned().collect();
    let removed = from.tags.iter().filter(|tag| !to.tags.contains(tag)).cloned().collect();
    listed("tags", added, removed, Vec::new())
}

/// After a switch: the system's own tags come and go with Graph, which alone shows them.
fn given_tags(from: &Digest, to: &Lists) -> Option<Change> {
    if from.tags.len() < from.tag_count as usize {
        return None;
    }
    let is_new = |tag: &&String| !from.tags.contains(tag) && !to.system_tags.contains(tag);
    let added = to.tags.iter().filter(is_new).cloned().collect();
    let removed = from.given_tags().filter(|tag| !to.tags.contains(tag)).cloned().collect();
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

/// After a switch: authors go by other names there, so that who wrote the new ones is not known from here.
fn more_comments(from: &Digest, to: &Lists) -> Option<Change> {
    (from.comment_count < u32::try_from(to.comments.len()).unwrap_or(u32::MAX))
        .then(|| counted("comments", from.comment_count, to.comments.len()))?
}

/// After a switch.
fn alerts_by_id(from: &Digest, to: &Lists) -> Option<Change> {
    if !from.has_all_alerts() || from.has_nameless_alert() || to.has_nameless_alert() {
        return counted("alerts", from.alert_count, to.alerts.len());
    }
    let names: Vec<&str> = to.alerts.iter().map(|alert| alert.name.as_str()).collect();
    let added = names.iter().filter(|name| from.alert(name).is_none()).map(|name| (*name).to_owned()).collect();
    listed("alerts", added, from.alerts_beside(&names), Vec::new())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Lists {
        Lists::of(json, &crate::model::hash::ContentHash::with_alerts(json).1)
    }

    /// What is said of the way from one incident to another, and that nothing is said of the way to itself.
    fn check(from: &str, to: &str, expected: &[Change]) {
        let (from, to) = (of(from), of(to));
        assert_eq!(changes(&from.digest(), &to, Tellers::Same), expected);
        for (lists_of, tellers) in
            [&from, &to].into_iter().flat_map(|of| [(of, Tellers::Same), (of, Tellers::Switched)])
        {
            assert_eq!(changes(&lists_of.digest(), lists_of, tellers), []);
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
        assert_eq!(
            changes(&from.digest(), &more, Tellers::Same),
            [Change::value("alerts", Some("200".into()), Some("201".into()))]
        );
        let edited = of(&incident(0..200, 3));
        let changed = Change::list("alerts", vec![], vec![], vec!["da3".into()]);
        assert_eq!(changes(&from.digest(), &edited, Tellers::Same), [changed]);
        // What was remembered whole is compared one by one, however much there is now.
        let few = of(&incident(0..5, 300));
        let added = (5..200).map(|n| format!("da{n}")).collect();
        let added = [Change::list("alerts", added, vec![], vec![])];
        for tellers in [Tellers::Same, Tellers::Switched] {
            assert_eq!(changes(&few.digest(), &from, tellers), added);
        }
    }

    #[test]
    fn entities_are_named_up_to_a_limit() {
        let incident = |entities: u32| {
            let entity = |n| format!(r#"{{"entityType":"Ip","ipAddress":"192.0.2.{n}"}}"#);
            let entities = (0..entities).map(entity).collect::<Vec<_>>().join(",");
            of(&format!(r#"{{"alerts":[{{"alertId":"1","entities":[{entities}]}}]}}"#))
        };
        let added = |from: &Lists, to: &Lists| {
            let of_entities =
                changes(&from.digest(), to, Tellers::Same).into_iter().find(|change| change.field == "entities");
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

    /// One incident as either API tells it: alerts, comments and entities that have nothing to do with each other but their
    /// ids and numbers, and tags of the system that only one of them shows.
    const OF_DEFENDER: &str = r#"{"incidentName":"a\u200b","tags":["x","y"],"comments":[{"comment":"c","createdBy":"kim@example.net"}],
        "alerts":[{"alertId":"1","status":"New","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"}]},{"alertId":"2"}]}"#;
    const OF_GRAPH: &str = r#"{"displayName":"a","customTags":["x"],"systemTags":["y","z"],
        "comments":[{"comment":"c","createdByDisplayName":"Kim"}],"alerts":[{"id":"2"},{"id":"1","status":"new","evidence":[
        {"@odata.type":".ipEvidence","ipAddress":"192.0.2.1"},{"@odata.type":".urlEvidence","url":"u"}]}]}"#;

    fn switched(from: &str, to: &str, expected: &[Change]) {
        assert_eq!(changes(&of(from).digest(), &of(to), Tellers::Switched), expected, "{from} {to}");
    }

    #[test]
    fn a_switch_of_the_api_is_no_change() {
        switched(OF_DEFENDER, OF_GRAPH, &[]);
        switched(OF_GRAPH, OF_DEFENDER, &[]);
    }

    #[test]
    fn what_changed_besides_a_switch_is_told() {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        switched(
            OF_DEFENDER,
            r#"{"displayName":"b","customTags":["w"],"systemTags":["y","z"],"comments":[{},{}],"alerts":[{"id":"2"},{"id":"3"}]}"#,
            &[
                Change::value("name", Some("a\u{200b}".into()), Some("b".into())),
                Change::list("tags", texts(&["w"]), texts(&["x"]), vec![]),
                Change::value("comments", Some("1".into()), Some("2".into())),
                Change::list("alerts", texts(&["3"]), texts(&["1"]), vec![]),
            ],
        );
        // Of what is the system's nobody knows there whether it is gone.
        switched(
            OF_GRAPH,
            r#"{"incidentName":"a","tags":["v"],"alerts":[{"alertId":"1"},{"alertId":"2"}]}"#,
            &[Change::list("tags", texts(&["v"]), texts(&["x"]), vec![])],
        );
    }

    #[test]
    fn alerts_without_an_id_are_counted_where_the_api_is_another() {
        let (one, two) = (r#"{"alerts":[{"a":1}]}"#, r#"{"alerts":[{"id":"1"},{"b":1}]}"#);
        switched(one, r#"{"alerts":[{"b":1}]}"#, &[]);
        switched(one, two, &[Change::value("alerts", Some("1".into()), Some("2".into()))]);
        switched(two, one, &[Change::value("alerts", Some("2".into()), Some("1".into()))]);
    }
}
