//! Which incidents a sink gets, by what they became and not only by what they are: one that rises to what a filter wants is new
//! to its sink, and one that falls out of it is told a last time. Only here: the source is always asked for everything.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::content::Content;
use crate::model::delivery::Passage;
use crate::model::digest::cut;
use crate::model::event::{Change, Difference, Event, Kind};
use crate::model::words::Vocabulary;

/// The keys of `filter = { … }` of a sink. Each that is set has to fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// This severity or a higher one; one that is unknown fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// One of these, in any case and in the words of either API: `active`, `inProgress`, `resolved`, `redirected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub status: Option<Vec<String>>,
    /// One of these, likewise: `truePositive` and its like.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub classification: Option<Vec<String>>,
    /// At least one of these among its tags, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub tags: Option<Vec<String>>,
    /// Only events of these kinds, `created` for what is new to the sink among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub kinds: Option<Vec<Kind>>,
}

/// The severities of incidents, from low to high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// `Informational`
    Informational,
    /// `Low`
    Low,
    /// `Medium`
    Medium,
    /// `High`
    High,
}

impl Severity {
    /// The severity of a word of either dialect; none for a word that is none of these.
    pub fn of(word: Option<&str>) -> Option<Self> {
        match word?.to_ascii_lowercase().as_str() {
            "informational" => Some(Self::Informational),
            "low" => Some(Self::Low),
            "medium" => Some(Self::Medium),
            "high" => Some(Self::High),
            _ => None,
        }
    }
}

/// What a filter looks at, of one revision.
#[derive(Debug, Clone)]
struct Revision {
    /// What is not there may have been left out.
    is_stub: bool,
    severity: Option<String>,
    status: Option<String>,
    classification: Option<String>,
    tags: Vec<String>,
}

impl Filter {
    /// The event as the sink gets it; none: it does not.
    pub fn pass(&self, mut event: Event) -> Option<Event> {
        let is = Revision::of(&event);
        let was = is.before(&event.changes);
        event.for_sink.passage = match (self.fits(&was), self.fits(&is)) {
            (false, false) => return None,
            (true, true) => None,
            (false, true) => Some(Passage::Entered),
            (true, false) => Some(Passage::Left),
        };
        if event.for_sink.passage == Some(Passage::Entered) {
            event.kind = Kind::Created;
        }
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&event.kind)).then_some(event)
    }

    fn fits(&self, revision: &Revision) -> bool {
        let among = |vocabulary: Vocabulary, words: &Option<Vec<String>>, value: Option<&str>| {
            let is_one = |words: &Vec<String>, value| words.iter().any(|word| vocabulary.is_same(word, value));
            words.as_ref().is_none_or(|words| value.map_or(revision.is_stub, |value| is_one(words, value)))
        };
        let is_same = |tag: &str, known: &str| known.to_lowercase() == cut(tag).to_lowercase();
        let tagged = self.tags.as_ref().is_none_or(|wanted| {
            let has = |tag: &String| revision.tags.iter().any(|known| is_same(tag, known));
            (revision.is_stub && revision.tags.is_empty()) || wanted.iter().any(has)
        });
        let severity = Severity::of(revision.severity.as_deref());
        let severe = self.min_severity.is_none_or(|least| severity.is_none_or(|severity| least <= severity));
        severe
            && tagged
            && among(Vocabulary::Status, &self.status, revision.status.as_deref())
            && among(Vocabulary::Classification, &self.classification, revision.classification.as_deref())
    }

    /// What is wrong with the settings as far as they alone tell: the key below `filter`, and what would be right.
    pub fn validate(&self) -> Vec<(String, String)> {
        let lists = [
            ("status", self.status.as_ref().map(Vec::len)),
            ("classification", self.classification.as_ref().map(Vec::len)),
            ("tags", self.tags.as_ref().map(Vec::len)),
            ("kinds", self.kinds.as_ref().map(Vec::len)),
        ];
        let empty = lists.into_iter().filter(|(_, length)| *length == Some(0));
        empty
            .map(|(key, _)| (key.to_owned(), "is empty: nothing would pass; leave it out for everything".into()))
            .collect()
    }
}

impl Revision {
    fn of(event: &Event) -> Self {
        let content = Content::of(event.incident.get());
        let severity = content.severity().map(Cow::into_owned);
        Self {
            is_stub: event.notes.truncated,
            severity: severity.or_else(|| event.severity.clone()),
            status: content.status().map(Cow::into_owned),
            classification: content.classification().map(Cow::into_owned),
            // As `changes` names them.
            tags: content.tags().into_iter().map(|tag| cut(tag).to_owned()).collect(),
        }
    }

    /// The same without these changes.
    fn before(&self, changes: &[Change]) -> Self {
        let mut before = self.clone();
        for Change { field, difference } in changes {
            match (field.as_str(), difference) {
                ("severity", Difference::Value { from, .. }) => before.severity.clone_from(from),
                ("status", Difference::Value { from, .. }) => before.status.clone_from(from),
                ("classification", Difference::Value { from, .. }) => before.classification.clone_from(from),
                ("tags", Difference::List { added, removed, .. }) => {
                    before.tags.retain(|tag| !added.contains(tag));
                    before.tags.extend(removed.iter().cloned());
                }
                (_, Difference::Value { .. } | Difference::List { .. }) => {}
            }
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, incident: &str, changes: Vec<Change>) -> Event {
        Event { kind, changes, ..Event::example(incident) }
    }

    fn value(field: &str, from: &str, to: &str) -> Change {
        Change::value(field, Some(from.into()), Some(to.into()))
    }

    /// What a filter makes of an event: the kind and the transition that the sink is told.
    fn check(filter: &str, event: Event, expected: Option<(Kind, Option<Passage>)>) {
        let filter: Filter = serde_json::from_str(filter).expect("a filter");
        let passed = filter.pass(event);
        assert_eq!(passed.map(|event| (event.kind, event.for_sink.passage)), expected, "{filter:?}");
    }

    #[test]
    fn what_rises_into_a_filter_is_new_and_what_falls_out_of_it_is_told_once() {
        let filter = r#"{"min_severity":"high"}"#;
        let (low, high) = (r#"{"severity":"Low"}"#, r#"{"severity":"high"}"#);
        check(filter, event(Kind::Created, low, vec![]), None);
        check(filter, event(Kind::Created, high, vec![]), Some((Kind::Created, None)));
        check(
            filter,
            event(Kind::Updated, high, vec![value("status", "Active", "InProgress")]),
            Some((Kind::Updated, None)),
        );
        let rises = vec![value("severity", "Low", "high")];
        check(filter, event(Kind::Updated, high, rises), Some((Kind::Created, Some(Passage::Entered))));
        let falls = vec![value("severity", "High", "Low")];
        check(filter, event(Kind::Resolved, low, falls), Some((Kind::Resolved, Some(Passage::Left))));
        check(filter, event(Kind::Updated, low, vec![value("severity", "Medium", "Low")]), None);
    }

    #[test]
    fn a_filter_makes_the_same_of_either_api() {
        let filter = r#"{"min_severity":"medium","status":["inProgress"],"classification":["unknown"],"tags":["vip"]}"#;
        let of_defender = r#"{"severity":"High","status":"InProgress","classification":"Unknown","tags":["VIP"]}"#;
        let of_graph = r#"{"severity":"high","status":"inProgress","classification":"unknown","customTags":["VIP"]}"#;
        let of_the_system = of_graph.replace("custom", "system");
        for incident in [of_defender, of_graph, &of_the_system] {
            let changed = |changes| event(Kind::Updated, incident, changes);
            check(filter, changed(vec![]), Some((Kind::Updated, None)));
            let entered = Some((Kind::Created, Some(Passage::Entered)));
            for [from, to] in [["Active", "InProgress"], ["active", "inProgress"], ["Active", "inProgress"]] {
                check(filter, changed(vec![value("status", from, to)]), entered);
            }
            check(filter, changed(vec![value("severity", "low", "High")]), entered);
            check(filter, changed(vec![value("classification", "truePositive", "Unknown")]), entered);
            check(filter, changed(vec![Change::list("tags", vec!["VIP".into()], vec![], vec![])]), entered);
        }
    }

    #[test]
    fn what_a_filter_does_not_understand_passes() {
        let filter = r#"{"min_severity":"high"}"#;
        check(filter, event(Kind::Created, r#"{"severity":"Critical"}"#, vec![]), Some((Kind::Created, None)));
        check(filter, event(Kind::Created, "{}", vec![]), Some((Kind::Created, None)));
    }

    #[test]
    fn a_stub_passes_where_nobody_knows_and_by_its_severity() {
        let stub = |severity: &str, changes| {
            let mut event = event(Kind::Updated, r#"{"incidentId":1,"truncated":true}"#, changes);
            event.notes.truncated = true;
            event.severity = Some(severity.into());
            event
        };
        let filter = r#"{"min_severity":"high","status":["active"],"classification":["truePositive"],"tags":["vip"]}"#;
        check(filter, stub("High", vec![]), Some((Kind::Updated, None)));
        check(filter, stub("Low", vec![]), None);
        let rises = vec![value("severity", "Low", "High")];
        check(filter, stub("High", rises), Some((Kind::Created, Some(Passage::Entered))));
    }

    #[test]
    fn a_long_tag_comes_and_goes_as_a_short_one_does() {
        let tag = "x".repeat(100);
        let (filter, named) = (format!(r#"{{"tags":["{tag}"]}}"#), vec![cut(&tag).to_owned()]);
        let tagged = format!(r#"{{"tags":["{tag}"]}}"#);
        let added = vec![Change::list("tags", named.clone(), vec![], vec![])];
        check(&filter, event(Kind::Updated, &tagged, added), Some((Kind::Created, Some(Passage::Entered))));
        let lost = vec![Change::list("tags", vec![], named, vec![])];
        check(&filter, event(Kind::Updated, "{}", lost), Some((Kind::Updated, Some(Passage::Left))));
    }

    #[test]
    fn every_key_that_is_set_has_to_fit() {
        let filter = r#"{"status":["active","inProgress"],"classification":["TruePositive"],"tags":["VIP"],"kinds":["created","updated"]}"#;
        let fits = r#"{"status":"InProgress","classification":"truePositive","tags":["vip","x"]}"#;
        check(filter, event(Kind::Updated, fits, vec![]), Some((Kind::Updated, None)));
        check(filter, event(Kind::Reopened, fits, vec![]), None);
        let tagged = Change::list("tags", vec!["vip".into()], vec![], vec![]);
        check(filter, event(Kind::Reopened, fits, vec![tagged]), Some((Kind::Created, Some(Passage::Entered))));
        let untagged = r#"{"status":"Active","classification":"truePositive","tags":["x"]}"#;
        let lost = Change::list("tags", vec![], vec!["VIP".into()], vec![]);
        check(filter, event(Kind::Updated, untagged, vec![lost]), Some((Kind::Updated, Some(Passage::Left))));
        check(filter, event(Kind::Updated, r#"{"status":"Resolved","tags":["vip"]}"#, vec![]), None);
    }

    #[test]
    fn a_list_without_anything_in_it_is_a_mistake() {
        let filter: Filter = serde_json::from_str(r#"{"status":[],"tags":["a"],"kinds":[]}"#).expect("a filter");
        assert_eq!(filter.validate().into_iter().map(|(key, _)| key).collect::<Vec<_>>(), ["status", "kinds"]);
    }
}
