//! Pages and incidents: nothing of a row is changed, the fast reading finds what a parser finds, and the hash of the content
//! hangs on what is said and not on the order it is said in.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use xdrelay::model::hash::{ContentHash, VOLATILE_MEMBERS};
use xdrelay::model::incident::{Head, Row};
use xdrelay::model::page::{FetchError, split_with_heads};

/// Characters of a message at most, whatever it quotes: 200, each perhaps six once it is escaped, and our own.
const WORDS_MAX: usize = 1500;
/// serde_json gives up on a depth of 128.
const DEPTH_MAX: usize = 100;

/// The body of a list call, or one incident.
pub fn check(bytes: &[u8]) {
    let body = String::from_utf8_lossy(bytes);
    match split_with_heads(&body) {
        Err(error) => {
            assert!(matches!(error, FetchError::Garbled { .. }), "{error:?}");
            assert!(error.to_string().chars().count() <= WORDS_MAX, "too many words: {error}");
        }
        Ok(rows) => {
            let mut from = 0;
            for (raw, head) in &rows {
                let at = raw.get().as_ptr() as usize - body.as_ptr() as usize;
                assert!(from <= at && at + raw.get().len() <= body.len(), "a row is not where it was in the body");
                from = at + raw.get().len();
                check_row(raw, head);
            }
        }
    }
    if let Ok(raw) = serde_json::from_str::<&RawValue>(&body) {
        check_row(raw, &Head::read(raw.get()));
    }
}

fn check_row(raw: &RawValue, head: &Head) {
    let row = Row::new(raw.to_owned());
    assert_eq!((row.raw.get(), &row.head), (raw.get(), head));
    match head {
        Head::Usual(header) => assert!(!header.id.as_str().is_empty()),
        Head::Odd { why, .. } => assert!(why.chars().count() <= WORDS_MAX, "too many words: {why}"),
    }
    a_parser_finds_the_same(raw.get(), head);
    if let Some(part) = part(raw, 0).filter(|_| serde_json::from_str::<serde_json::Value>(raw.get()).is_ok()) {
        the_hash_follows_the_content(raw.get(), row.hash, part);
    }
}

/// A name with an escape in it leaves the object to a parser.
fn a_parser_finds_the_same(json: &str, head: &Head) {
    let Some(inside) = json.strip_prefix('{') else { return };
    let comma = if inside.trim_ascii_start().starts_with('}') { "" } else { "," };
    let parsed = Head::read(&format!("{{\"\\u007a\":0{comma}{inside}"));
    let place = " at line ";
    match (head, &parsed) {
        (Head::Odd { id: None, why }, Head::Odd { id: None, why: other }) if why.contains(place) => {
            assert_eq!(why.split(place).next(), other.split(place).next(), "{json}");
        }
        _ => assert_eq!(head, &parsed, "{json}"),
    }
}

/// JSON as far as its order matters.
enum Part<'a> {
    Plain(Cow<'a, str>),
    List(Vec<Part<'a>>),
    /// Of several members with one name the last.
    Object(Vec<(String, Part<'a>)>),
}

/// The members of an object in their order, names unescaped.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, &'de RawValue)> = Vec::new();
        while let Some(member) = map.next_entry::<String, &RawValue>()? {
            members.retain(|(name, _)| *name != member.0);
            members.push(member);
        }
        Ok(Members(members))
    }
}

fn part(raw: &RawValue, depth: usize) -> Option<Part<'_>> {
    let json = raw.get();
    if DEPTH_MAX < depth {
        return None;
    }
    match json.as_bytes().first()? {
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            elements.into_iter().map(|raw| part(raw, depth + 1)).collect::<Option<_>>().map(Part::List)
        }
        b'{' => {
            let Members(members) = serde_json::from_str(json).ok()?;
            let member = |(name, raw)| Some((name, part(raw, depth + 1)?));
            members.into_iter().map(member).collect::<Option<_>>().map(Part::Object)
        }
        _ => Some(Part::Plain(Cow::Borrowed(json))),
    }
}

fn the_hash_follows_the_content(json: &str, hash: ContentHash, mut part: Part<'_>) {
    let same = ContentHash::of(&turned(&part));
    assert_eq!(hash, same, "another order gave another hash: {json} and {}", turned(&part));
    let mut plains = Vec::new();
    count_plains(&mut part, &mut plains);
    let count = plains.len();
    if count == 0 {
        return;
    }
    let other = format!("\"{} of {count}\"", json.len());
    let chosen = plains.swap_remove(json.len() % count);
    if *chosen == other {
        return;
    }
    *chosen = Cow::Owned(other);
    let changed = turned(&part);
    assert_ne!(hash, ContentHash::of(&changed), "another content has the same hash: {json} and {changed}");
}

/// All that counts and is neither a list nor an object.
fn count_plains<'p, 'a>(part: &'p mut Part<'a>, plains: &mut Vec<&'p mut Cow<'a, str>>) {
    match part {
        Part::Plain(plain) => plains.push(plain),
        Part::List(list) => list.iter_mut().for_each(|part| count_plains(part, plains)),
        Part::Object(members) => {
            let counts = |name: &str| !VOLATILE_MEMBERS.contains(&name) && !name.starts_with("@odata.context");
            for (_, part) in members.iter_mut().filter(|(name, _)| counts(name)) {
                count_plains(part, plains);
            }
        }
    }
}

/// The same with every list and object the other way round, and blanks.
fn turned(part: &Part<'_>) -> String {
    match part {
        Part::Plain(json) => json.to_string(),
        Part::List(list) => {
            let parts: Vec<String> = list.iter().rev().map(turned).collect();
            format!("[ {}\n]", parts.join(" ,"))
        }
        Part::Object(members) => {
            let member = |(name, part): &(String, Part<'_>)| {
                format!("{} : {}", serde_json::to_string(name).expect("a text"), turned(part))
            };
            let members: Vec<String> = members.iter().rev().map(member).collect();
            format!("{{\t{} }}", members.join(","))
        }
    }
}
