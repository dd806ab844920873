//! Elastic Common Schema: an event as one document. What the schema has a field for stands there, and everything else below
//! one prefix of its own; no field is used for something else than what the schema says of it.

mod alert;
mod bounds;
mod custom;
mod evidence;
mod record;
mod related;
mod subject;
mod threat;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format::ecs::alert::Alert;
use crate::format::ecs::custom::Custom;
use crate::format::ecs::record::Record;
use crate::model::content::{self, Content};
use crate::model::event::Event;
use crate::model::words::Vocabulary;

/// `ecs.version`: the release of the schema whose fields and values are used. It is the oldest one that has them all, so that
/// the statement holds for clusters of 8.11 and newer, and it is the one that Elastic's own package for this product states.
/// Every field and value is the same in 9.4.0 (`tests/formats/ecs.rs` reads records back against both).
pub const VERSION: &str = "8.11.0";

/// Characters of a prefix at most.
const PREFIX_MAX: usize = 100;

/// What the schema has at the top of a document, as of 9.4.0: no prefix may begin with one of these.
pub const ROOTS: [&str; 50] = [
    "agent",
    "client",
    "cloud",
    "container",
    "data_stream",
    "destination",
    "device",
    "dll",
    "dns",
    "ecs",
    "email",
    "entity",
    "error",
    "event",
    "faas",
    "file",
    "gen_ai",
    "group",
    "host",
    "http",
    "labels",
    "log",
    "message",
    "network",
    "observer",
    "orchestrator",
    "organization",
    "package",
    "process",
    "registry",
    "related",
    "rule",
    "server",
    "service",
    "source",
    "span",
    "tags",
    "threat",
    "tls",
    "trace",
    "transaction",
    "url",
    "user",
    "user_agent",
    "volume",
    "vulnerability",
    // Of the first releases, and of documents themselves.
    "as",
    "geo",
    "hash",
    "os",
];

/// The keys of `ecs = { … }` of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Ecs")]
pub struct Config {
    /// Whose names what the schema has no field for goes by.
    pub fields: Fields,
    /// What these names stand below, with dots between; left out: what `fields` implies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Whether the incident's own JSON goes along as `event.original`.
    pub original: bool,
}

/// The values of `ecs.fields`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EcsFields")]
pub enum Fields {
    /// Ours: `microsoft.defender.incident.*`.
    #[default]
    Defender,
    /// Those of Elastic's integration of the same name: `m365_defender.incident.*`.
    M365Defender,
}

/// What a record is about, and how it goes by its names.
#[derive(Clone, Copy)]
struct Reading<'a> {
    event: &'a Event,
    content: &'a Content<'a>,
    /// The alert that this is one part of an event about.
    alert: Option<content::alert::Alert<'a>>,
    fields: Fields,
}

impl Fields {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Defender => "microsoft.defender.incident",
            Self::M365Defender => "m365_defender.incident",
        }
    }

    const fn module(self) -> &'static str {
        match self {
            Self::Defender => "microsoft_defender",
            Self::M365Defender => "m365_defender",
        }
    }

    const fn dataset(self) -> &'static str {
        match self {
            Self::Defender => "microsoft_defender.incident",
            Self::M365Defender => "m365_defender.incident",
        }
    }

    /// A word of an enumeration, cut to a keyword. Elastic's integration knows the spelling of Graph.
    fn word<'a>(self, vocabulary: Vocabulary, word: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let word = word.into();
        match self {
            Self::M365Defender => Cow::Owned(bounds::keyword(&vocabulary.in_graph(&word)).into_owned()),
            Self::Defender => bounds::short(word),
        }
    }
}

impl Config {
    /// What is wrong with the settings as far as they alone tell: the key below `ecs`, and what would be right.
    pub fn validate(&self) -> Vec<(String, String)> {
        let wrong = self.prefix.as_deref().and_then(|prefix| unsound(prefix).map(|why| ("prefix".to_owned(), why)));
        wrong.into_iter().collect()
    }

    /// A prefix that nobody checked and that is none must not cost a record its form.
    fn prefix(&self) -> &str {
        self.prefix.as_deref().filter(|prefix| unsound(prefix).is_none()).unwrap_or(self.fields.prefix())
    }
}

fn unsound(prefix: &str) -> Option<String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
    };
    if PREFIX_MAX < prefix.len() || !prefix.split('.').all(is_name) {
        let like = Fields::Defender.prefix();
        return Some(format!(
            "must be names of a-z, 0-9, _ and - with dots between, such as \"{like}\", at most {PREFIX_MAX}"
        ));
    }
    let root = prefix.split('.').next().unwrap_or(prefix);
    ROOTS.contains(&root).then(|| format!("must not begin with \"{root}\", which the schema has a meaning for"))
}

/// One event as one record.
///
/// An event that is one part of several and about an alert gives a record about that alert. What the schema wants to be a date or
/// an address is one, or not there.
pub fn render(event: &Event, config: &Config) -> Vec<u8> {
    let content = Content::of(event.incident.get());
    let is_of_an_alert = event.for_sink.part.as_ref().is_some_and(|part| part.alert.is_some());
    let alert = is_of_an_alert.then(|| content.alerts().next()).flatten();
    let reading = Reading { event, content: &content, alert, fields: config.fields };
    let mut record = Vec::with_capacity(event.incident.get().len() / 2 + 1024);
    write(&mut record, &Record::of(reading, config.original));
    nest(&mut record, config.prefix(), &Custom::of(reading));
    record
}

/// Puts another member behind those of the object: a value, as deep as its name has parts.
fn nest(record: &mut Vec<u8>, prefix: &str, value: &impl Serialize) {
    let end = record.pop();
    debug_assert_eq!(end, Some(b'}'), "it is an object");
    let mut opener = ",\"";
    for name in prefix.split('.') {
        record.extend_from_slice(opener.as_bytes());
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(b"\":");
        opener = "{\"";
    }
    write(record, value);
    record.extend(prefix.split('.').map(|_| b'}'));
}

fn write(record: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(record, value).expect("texts, numbers and lists of them go into memory without fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &str, expected: bool) {
        let config = Config { prefix: Some(prefix.into()), ..Config::default() };
        assert_eq!(config.validate().is_empty(), expected, "{prefix:?}");
        assert_eq!(config.prefix() == prefix, expected, "{prefix:?}");
    }

    #[test]
    fn a_prefix_is_names_with_dots_that_the_schema_has_no_use_for() {
        for fields in [Fields::Defender, Fields::M365Defender] {
            check(fields.prefix(), true);
        }
        for prefix in ["acme", "acme.xdr_2", "a-b.c", "events.x"] {
            check(prefix, true);
        }
        for prefix in
            ["", ".", "a.", ".a", "a..b", "A", "a b", "a\"b", "ä", "event", "event.x", "labels.x", "@timestamp"]
        {
            check(prefix, false);
        }
        check(&"a".repeat(PREFIX_MAX), true);
        check(&"a".repeat(PREFIX_MAX + 1), false);
    }
}
