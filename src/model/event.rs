//! What is delivered: one incident's one revision, with what happened to it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::model::delivery::ForSink;
use crate::model::hash::ContentHash;
use crate::model::names::{EventId, IncidentId, TenantName};
use crate::model::timestamp::Timestamp;

/// One event, complete but for its rendering.
#[derive(Debug, Clone)]
pub struct Event {
    /// The same every time this revision is sent to anyone.
    pub event_id: EventId,
    /// What happened.
    pub kind: Kind,
    /// The configured name of the tenant.
    pub tenant: TenantName,
    /// Grows by one per event and tenant.
    pub sequence: u64,
    /// When we took it in, on our own wall clock.
    pub observed_at: Timestamp,
    /// What is different from the revision before, where one is remembered.
    pub changes: Vec<Change>,
    /// The id of the incident.
    pub incident_id: IncidentId,
    /// The time of the revision, where it has a usable one.
    pub last_update: Option<Timestamp>,
    /// Its severity, for the headers of sinks.
    pub severity: Option<String>,
    /// What is unusual about it.
    pub notes: Notes,
    /// The incident as the API returned it, byte for byte.
    pub incident: Box<RawValue>,
    /// What the sink that it goes to makes of it; nothing while it is in the outbox.
    pub for_sink: ForSink,
}

/// What happened to the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EventKind")]
pub enum Kind {
    /// New.
    Created,
    /// Changed in any other way, or first seen long after its creation.
    Updated,
    /// Its status became `Resolved`.
    Resolved,
    /// Its status was `Resolved` and is not any more.
    Reopened,
    /// It was merged into another.
    Redirected,
}

impl Kind {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Created, Self::Updated, Self::Resolved, Self::Reopened, Self::Redirected];

    /// The name in events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::Redirected => "redirected",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is different from the remembered revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `status`, `severity`, `assignee`, `classification`, `determination`, `redirected_to`, `name`, `tags`, `comments`, `alerts`
    /// or `entities`.
    pub field: String,
    /// How it differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// How a field differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Difference {
    /// A single value. Of a list too long to compare one by one, the number of its elements.
    Value {
        /// What it was; null where it was absent.
        from: Option<String>,
        /// What it is now; null where it is absent.
        to: Option<String>,
    },
    /// A list, by its elements.
    List {
        /// New ones.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        added: Vec<String>,
        /// Those that are gone.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        removed: Vec<String>,
        /// Those that say something else now.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        changed: Vec<String>,
    },
}

/// By the members that are there: an absent `from` is another thing than one that is null, which serde does not tell apart for an
/// untagged enum.
impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            field: String,
            #[serde(default, deserialize_with = "present")]
            from: Option<Option<String>>,
            #[serde(default, deserialize_with = "present")]
            to: Option<Option<String>>,
            #[serde(default)]
            added: Vec<String>,
            #[serde(default)]
            removed: Vec<String>,
            #[serde(default)]
            changed: Vec<String>,
        }
        fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
            Option::deserialize(deserializer).map(Some)
        }
        let Wire { field, from, to, added, removed, changed } = Wire::deserialize(deserializer)?;
        Ok(match (from, to) {
            (None, None) => Self::list(field, added, removed, changed),
            (from, to) => Self::value(field, from.flatten(), to.flatten()),
        })
    }
}

/// For people, in a few words: `status Active -> Resolved`, `alerts 2 added, 1 changed`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        match &self.difference {
            Difference::Value { from, to } => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
                write!(f, " {} -> {}", shown(from), shown(to))
            }
            Difference::List { added, removed, changed } => {
                let lists = [(added, "added"), (removed, "removed"), (changed, "changed")];
                let mut said = lists.into_iter().filter(|(list, _)| !list.is_empty());
                let first = said.next().map(|(list, word)| format!(" {} {word}", list.len()));
                f.write_str(&first.unwrap_or_default())?;
                said.try_for_each(|(list, word)| write!(f, ", {} {word}", list.len()))
            }
        }
    }
}

impl Change {
    /// A single value that differs.
    pub fn value(field: impl Into<String>, from: Option<String>, to: Option<String>) -> Self {
        Self { field: field.into(), difference: Difference::Value { from, to } }
    }

    /// A list that differs.
    pub fn list(field: impl Into<String>, added: Vec<String>, removed: Vec<String>, changed: Vec<String>) -> Self {
        Self { field: field.into(), difference: Difference::List { added, removed, changed } }
    }
}

/// What is unusual about an event. Absent members are false.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notes {
    /// First seen long after its creation.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub first_seen: bool,
    /// Invalid UTF-8 was replaced by U+FFFD.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub repaired: bool,
    /// Over `max_incident_size`: `incident` is a stub.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub truncated: bool,
    /// The lists of the incident were compared with those of the revision before, and one API told of both: what `changes` does not
    /// name is as it was. Of no interest to receivers, so no format shows it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub compared: bool,
    /// Why the incident has no usable id or time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub odd: Option<String>,
}

#[cfg(test)]
impl Event {
    /// The first event of a tenant, about this incident: what unit tests change a member of.
    pub(crate) fn example(incident: &str) -> Self {
        Self {
            event_id: EventId::new("contoso/1/2/3"),
            kind: Kind::Updated,
            tenant: TenantName::new("contoso"),
            sequence: 1,
            observed_at: Timestamp::from_ticks(0),
            changes: Vec::new(),
            incident_id: IncidentId::new("1"),
            last_update: None,
            severity: None,
            notes: Notes::default(),
            incident: RawValue::from_string(incident.into()).expect("JSON"),
            for_sink: ForSink::default(),
        }
    }
}

impl EventId {
    /// The id of a revision. A row without a usable time has 0 ticks.
    pub fn of(tenant: &TenantName, incident: &IncidentId, last_update: Option<Timestamp>, hash: ContentHash) -> Self {
        Self::new(format!("{tenant}/{incident}/{}/{hash}", last_update.unwrap_or_default().ticks()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_read_back_as_it_was_written() {
        let check = |change: Change, expected: &str| {
            let json = serde_json::to_string(&change).expect("JSON");
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_str::<Change>(&json).expect("our own"), change, "{json}");
        };
        let texts = |text: &str| vec![text.to_owned()];
        check(Change::value("x", None, None), r#"{"field":"x","from":null,"to":null}"#);
        check(Change::value("x", None, Some("a".into())), r#"{"field":"x","from":null,"to":"a"}"#);
        check(Change::list("x", texts("a"), vec![], vec![]), r#"{"field":"x","added":["a"]}"#);
        check(Change::list("x", vec![], texts("b"), vec![]), r#"{"field":"x","removed":["b"]}"#);
        check(Change::list("x", vec![], vec![], texts("c")), r#"{"field":"x","changed":["c"]}"#);
        check(Change::list("x", vec![], vec![], vec![]), r#"{"field":"x"}"#);
    }
}
