//! Incidents as untouched raw JSON beside the few header fields that decisions need. Nothing of the raw text is ever changed.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::model::dialect::Dialect;
use crate::model::digest::Lists;
use crate::model::hash::ContentHash;
use crate::model::members::Members;
use crate::model::names::IncidentId;
use crate::model::page::excerpt;
use crate::model::timestamp::Timestamp;

/// One row of a page: an incident as it came, and what of it we could read.
#[derive(Debug, Clone)]
pub struct Row {
    /// The JSON text, byte for byte as the API sent it (or a stub, see `truncated`).
    pub raw: Box<RawValue>,
    /// The canonical hash of the content.
    pub hash: ContentHash,
    /// What changes are told from beside the header's fields; none of a stub. It takes as long to read as the hash does, so it is
    /// read where pages are, beside the one writer.
    pub lists: Option<Lists>,
    /// What decisions need, or why it could not be read.
    pub head: Head,
    /// Invalid UTF-8 in the body was replaced by U+FFFD.
    pub repaired: bool,
    /// The incident was over `max_incident_size`; `raw` is a stub with its id, times and size.
    pub truncated: bool,
    /// The list cut its alerts short and says so by `alerts@odata.nextLink`: it is not whole, and must not be delivered as if it
    /// were. Never where `truncated` is.
    pub cut: bool,
    /// The answer says that something is missing, and the alerts of this incident could not be asked for: it may lack some.
    pub part: bool,
}

/// How much of an incident a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// Its id and times, see [`Row::truncated`].
    Stub,
    /// What there was of it, see [`Row::part`].
    Part,
    /// All.
    #[default]
    Whole,
}

/// The header of a row. An odd row is delivered all the same, once per content, and moves no clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Id and time are usable.
    Usual(Header),
    /// No usable id or time.
    Odd {
        /// The id, where at least that is there.
        id: Option<IncidentId>,
        /// What is wrong, for people.
        why: String,
    },
}

/// The few fields that decisions, events and sinks' headers need. Both dialects' names are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `incidentId` (Defender) or `id` (Graph).
    pub id: IncidentId,
    /// `lastUpdateTime` or `lastUpdateDateTime`.
    pub last_update: Timestamp,
    /// Which of the two it was.
    pub dialect: Dialect,
    /// `createdTime` or `createdDateTime`, where it can be read.
    pub created: Option<Timestamp>,
    /// What `changes` compares.
    pub fields: Fields,
}

/// The plain fields that `changes` compares, as texts of either dialect. A member that is null, missing or no text is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fields {
    /// `Active`, `InProgress`, `Resolved`, `Redirected`, or something newer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<String>,
    /// `UnSpecified`, `Informational`, `Low`, `Medium`, `High`, or something newer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<String>,
    /// `assignedTo`, free text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assignee: Option<String>,
    /// `classification`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub classification: Option<String>,
    /// `determination`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub determination: Option<String>,
    /// `redirectIncidentId`: the incident that this one was merged into.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirected_to: Option<String>,
}

impl Head {
    /// Reads the header of one incident, which was read as JSON before. Lenient: a member of an unexpected type counts as
    /// absent; only the id and the time of the last update are required.
    pub fn read(json: &str) -> Self {
        Self::of(Wire::read(json))
    }

    fn of(wire: Result<Wire<'_>, serde_json::Error>) -> Self {
        let wire = match wire {
            Ok(wire) => wire,
            Err(error) => {
                let why = format!("its members cannot be read: {}", excerpt(&error.to_string()));
                return Self::Odd { id: None, why };
            }
        };
        let Some(id) = wire.id.and_then(id_text) else {
            return Self::Odd { id: None, why: "incidentId is missing".into() };
        };
        let id = IncidentId::new(id);
        let (dialect, time) = match (wire.last_update, wire.last_update_of_graph) {
            (Some(_), Some(_)) => {
                return Self::Odd { id: Some(id), why: "both lastUpdateTime and lastUpdateDateTime".into() };
            }
            (None, time @ Some(_)) => (Dialect::Graph, time),
            (time, None) => (Dialect::Defender, time),
        };
        let last_update = match time.and_then(text) {
            None => Err("lastUpdateTime is missing".to_owned()),
            Some(time) => time.parse().map_err(|error| format!("lastUpdateTime: {error}")),
        };
        match last_update {
            Err(why) => Self::Odd { id: Some(id), why },
            Ok(last_update) => {
                Self::Usual(Header { id, last_update, dialect, created: wire.created(), fields: wire.fields() })
            }
        }
    }

    /// The header, where it is usable.
    pub const fn usual(&self) -> Option<&Header> {
        match self {
            Self::Usual(header) => Some(header),
            Self::Odd { .. } => None,
        }
    }
}

impl Row {
    /// A row of an incident's own text.
    pub fn new(raw: Box<RawValue>) -> Self {
        let (hash, alerts) = ContentHash::with_alerts(raw.get());
        let lists = Some(Lists::of(raw.get(), &alerts));
        let wire = Wire::read(raw.get());
        let cut = match &wire {
            Ok(wire) => wire.alerts_behind.is_some(),
            // An odd one, whose members cannot be told apart.
            Err(_) => raw.get().contains(ALERTS_BEHIND),
        };
        Self { hash, lists, head: Head::of(wire), raw, repaired: false, truncated: false, cut, part: false }
    }

    /// How much of its incident it is.
    pub const fn extent(&self) -> Extent {
        match (self.truncated, self.part) {
            (true, _) => Extent::Stub,
            (false, true) => Extent::Part,
            (false, false) => Extent::Whole,
        }
    }

    /// The time of the last update, where it is usable.
    pub fn last_update(&self) -> Option<Timestamp> {
        self.head.usual().map(|header| header.last_update)
    }
}

/// What the server says where it gives only the first alerts of an incident (OData JSON Format 4.01, section 4.5.5).
pub const ALERTS_BEHIND: &str = "alerts@odata.nextLink";

/// The members as they stand, types unseen: what cannot be understood later must not fail the whole row now.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Wire<'a> {
    #[serde(borrow, alias = "incidentId")]
    id: Option<Raw<'a>>,
    #[serde(borrow, rename = "lastUpdateTime")]
    last_update: Option<Raw<'a>>,
    #[serde(borrow, rename = "lastUpdateDateTime")]
    last_update_of_graph: Option<Raw<'a>>,
    #[serde(borrow, rename = "createdTime", alias = "createdDateTime")]
    created: Option<Raw<'a>>,
    #[serde(borrow)]
    status: Option<Raw<'a>>,
    #[serde(borrow)]
    severity: Option<Raw<'a>>,
    #[serde(borrow, rename = "assignedTo")]
    assignee: Option<Raw<'a>>,
    #[serde(borrow)]
    classification: Option<Raw<'a>>,
    #[serde(borrow)]
    determination: Option<Raw<'a>>,
    #[serde(borrow, rename = "redirectIncidentId")]
    redirected_to: Option<Raw<'a>>,
    #[serde(borrow, rename = "alerts@odata.nextLink")]
    alerts_behind: Option<Raw<'a>>,
}

/// The JSON text of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Raw<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Raw(raw.get()))
    }
}

impl<'a> Wire<'a> {
    fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        Self::skim(json).map_or_else(|| serde_json::from_str(json), Ok)
    }

    /// The same several times as fast, of JSON that is nothing out of the ordinary: a page is mostly alerts, and they are of no
    /// interest here.
    fn skim(json: &'a str) -> Option<Self> {
        let mut wire = Self::default();
        let mut read = 0u16;
        for member in Members::of(json)? {
            let (name, value) = member?;
            let (bit, member) = match name {
                "id" | "incidentId" => (0, &mut wire.id),
                "lastUpdateTime" => (1, &mut wire.last_update),
                "lastUpdateDateTime" => (9, &mut wire.last_update_of_graph),
                "createdTime" | "createdDateTime" => (2, &mut wire.created),
                "status" => (3, &mut wire.status),
                "severity" => (4, &mut wire.severity),
                "assignedTo" => (5, &mut wire.assignee),
                "classification" => (6, &mut wire.classification),
                "determination" => (7, &mut wire.determination),
                "redirectIncidentId" => (8, &mut wire.redirected_to),
                ALERTS_BEHIND => (10, &mut wire.alerts_behind),
                _ => continue,
            };
            // Which of two is meant is not for us to say.
            if read & (1 << bit) != 0 {
                return None;
            }
            read |= 1 << bit;
            *member = (value != "null").then_some(Raw(value));
        }
        Some(wire)
    }

    fn created(&self) -> Option<Timestamp> {
        self.created.and_then(text)?.parse().ok()
    }

    fn fields(&self) -> Fields {
        let owned = |member: Option<Raw<'_>>| member.and_then(text).map(Cow::into_owned);
        Fields {
            status: owned(self.status),
            severity: owned(self.severity),
            assignee: owned(self.assignee),
            classification: owned(self.classification),
            determination: owned(self.determination),
            redirected_to: self.redirected_to.and_then(id_text),
        }
    }
}

/// The text of a JSON string; anything else is none.
fn text(Raw(json): Raw<'_>) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

/// The text of an id: the digits of a number as they stand, however many, or a string that is not empty.
fn id_text(raw: Raw<'_>) -> Option<String> {
    let id = text(raw).map(Cow::into_owned).or_else(|| {
        let digits = raw.0;
        digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-').then(|| digits.to_owned())
    })?;
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Header {
        match Head::read(json) {
            Head::Usual(header) => header,
            Head::Odd { why, .. } => panic!("{json} is odd: {why}"),
        }
    }

    #[test]
    fn both_dialects_give_the_same_header() {
        let defender = header(
            r#"{"incidentId":924565,"redirectIncidentId":7,"createdTime":"2020-09-06T12:07:54Z","lastUpdateTime":"2020-09-06T12:07:55.32Z",
                "assignedTo":null,"status":"Active","severity":"Low","classification":"Unknown","determination":"NotAvailable","alerts":[]}"#,
        );
        let graph = header(
            r#"{"id":"924565","redirectIncidentId":"7","createdDateTime":"2020-09-06T12:07:54.0000000Z","lastUpdateDateTime":"2020-09-06T12:07:55.3200000Z",
                "status":"Active","severity":"Low","classification":"Unknown","determination":"NotAvailable"}"#,
        );
        assert_eq!((defender.dialect, graph.dialect), (Dialect::Defender, Dialect::Graph));
        assert_eq!(defender, Header { dialect: Dialect::Defender, ..graph });
        assert_eq!(defender.fields.redirected_to.as_deref(), Some("7"));
    }

    #[test]
    fn skimming_finds_what_parsing_finds_or_leaves_it_alone() {
        let check = |json: &str, skims: bool| {
            let (skimmed, parsed) = (Wire::skim(json), serde_json::from_str::<Wire<'_>>(json));
            assert_eq!(skimmed.is_some(), skims, "{json}");
            if let Some(skimmed) = skimmed {
                assert_eq!(skimmed, parsed.expect("JSON"), "{json}");
            }
        };
        check(r#"{"incidentId":1,"x":{"status":"a"},"status" : "b\"" ,"severity":null,"alerts":[{"id":2}]}"#, true);
        check(r#"{"id":"1","lastUpdateDateTime":"t","createdDateTime":[],"assignedTo":{},"determination":1e3}"#, true);
        check(r#"{"classification":"","redirectIncidentId":7,"lastUpdateTime":true,"createdTime":"c"}"#, true);
        check(r#"{"id":"1","alerts":[],"alerts@odata.nextLink":"https://x/y?$skip=1"}"#, true);
        check("{}", true);
        check(r#"{"id":1,"incidentId":1}"#, false);
        check(r#"{"status":null,"status":"a"}"#, false);
        check(r#"{"\u0069d":1}"#, false);
        check("[1]", false);
    }

    #[test]
    fn a_row_whose_alerts_go_on_elsewhere_is_marked_as_cut() {
        let check = |json: &str, expected: bool| {
            let row = Row::new(RawValue::from_string(json.to_owned()).expect("JSON"));
            assert_eq!(row.cut, expected, "{json}");
        };
        check(r#"{"id":"1","alerts":[{}],"alerts@odata.nextLink":"https://x/y"}"#, true);
        check(r#"{"alerts\u0040odata.nextLink":"https://x/y","id":"1"}"#, true);
        check(r#"{"id":"1","alerts@odata.nextLink":null}"#, false);
        check(r#"{"id":"1","alerts@odata.nextLink":7}"#, true);
        check(r#"{"id":"1","alerts":[{"alerts@odata.nextLink":"https://x/y"}],"alerts@odata.count":9}"#, false);
        check(r#"{"id":"1","id":"2","alerts@odata.nextLink":"https://x/y"}"#, true);
        check("[1]", false);
    }

    #[test]
    fn ids_stay_exact_beyond_64_bits() {
        let json = r#"{"incidentId":123456789012345678901234567890,"lastUpdateTime":"2020-09-06T12:07:55Z"}"#;
        assert_eq!(header(json).id.as_str(), "123456789012345678901234567890");
    }

    #[test]
    fn a_member_of_an_unexpected_type_counts_as_absent() {
        let json = r#"{"incidentId":1,"lastUpdateTime":"2020-09-06T12:07:55Z","status":5,"severity":{"a":1},"createdTime":"soon"}"#;
        let header = header(json);
        assert_eq!((header.created, header.fields), (None, Fields::default()));
    }

    #[test]
    fn without_id_or_time_a_row_is_odd_and_says_why() {
        let check = |json: &str, id: Option<&str>, word: &str| match Head::read(json) {
            Head::Usual(header) => panic!("{json} gave {header:?}"),
            Head::Odd { id: found, why } => {
                assert_eq!(found.as_ref().map(IncidentId::as_str), id, "{json}");
                assert!(why.contains(word), "{why}");
            }
        };
        check(r#"{"lastUpdateTime":"2020-09-06T12:07:55Z"}"#, None, "incidentId");
        check(r#"{"incidentId":"","lastUpdateTime":"2020-09-06T12:07:55Z"}"#, None, "incidentId");
        check(r#"{"incidentId":1}"#, Some("1"), "lastUpdateTime is missing");
        check(r#"{"incidentId":1,"lastUpdateTime":"0001-01-01T00:00:00Z"}"#, Some("1"), "before 1970");
        check(r#"[1]"#, None, "members");
        check(r#"null"#, None, "members");
    }
}
