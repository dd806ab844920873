//! What is remembered of a revision to tell later what changed: small, whatever the incident is. Beside the plain fields
//! (`incident::Fields`): its name, its tags, and the marks of its comments, alerts and entities.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use crate::model::content::Content;
use crate::model::hash::AlertHash;

/// Alerts remembered with their ids, so that one that is gone can be named.
pub const NAMED_MAX: usize = 24;
/// Alerts remembered by the hash of their id, beyond those.
pub const UNNAMED_MAX: usize = 64;
/// Comments remembered.
pub const COMMENTS_MAX: usize = 32;
/// Entities remembered.
pub const ENTITIES_MAX: usize = 128;
/// Tags remembered.
pub const TAGS_MAX: usize = 8;
/// Bytes of a name, a tag or an id; a longer name or tag is cut, a longer id is remembered by its hash.
pub const TEXT_MAX: usize = 64;
/// Bytes of an entity's name; it is remembered by the hash of all of it.
pub const ENTITY_NAME_MAX: usize = 200;

/// What is remembered of one revision: a few hundred bytes of JSON for most incidents, at most a few KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// The beginning of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The beginnings of its tags, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How many tags there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tag_count: u32,
    /// Bit n is set where tag n is the system's alone, which only Graph says.
    #[serde(default, skip_serializing_if = "is_none")]
    pub system_tags: u32,
    /// The first [`NAMED_MAX`] alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<(String, AlertHash)>,
    /// Further alerts, by the hash of the id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_alerts: Vec<(u32, AlertHash)>,
    /// How many alerts there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub alert_count: u32,
    /// Comments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<u32>,
    /// How many comments there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub comment_count: u32,
    /// Entities, by the hash of their name, in order and each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<u32>,
    /// How many different entities there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub entity_count: u32,
}

/// An alert, a comment or an entity, with what it is remembered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked<M> {
    /// What people call it.
    pub name: String,
    /// What it is remembered by.
    pub mark: M,
}

/// The lists of a revision, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// The name.
    pub name: Option<String>,
    /// The tags, in order.
    pub tags: Vec<String>,
    /// Those of them that are the system's alone, which only Graph says.
    pub system_tags: Vec<String>,
    /// The alerts by their ids, each id once.
    pub alerts: Vec<Marked<AlertHash>>,
    /// The comments by author and time.
    pub comments: Vec<Marked<u32>>,
    /// The entities of all alerts, each once.
    pub entities: Vec<Marked<u32>>,
}

impl Lists {
    /// The lists of an incident whose alerts have these hashes.
    pub fn of(json: &str, hashes: &[AlertHash]) -> Self {
        let content = Content::of(json);
        let mut lists = Self { name: content.title().map(|name| cut(name).to_owned()), ..Self::default() };
        lists.tags = content.tags().into_iter().map(|tag| cut(tag).to_owned()).collect();
        lists.tags.dedup();
        lists.system_tags = content.system_tags().into_iter().map(|tag| cut(tag).to_owned()).collect();
        for comment in content.comments() {
            let (author, text) = (comment.author().unwrap_or("somebody"), comment.text().unwrap_or_default());
            let time = comment.created().map(|time| time.to_string()).unwrap_or_default();
            lists.comments.push(Marked { name: format!("{author} {time}"), mark: hash_of(&[author, &time, text]) });
        }
        let mut known: HashMap<String, usize> = HashMap::new();
        for (at, alert) in content.alerts().enumerate() {
            let mark = hashes.get(at).copied().unwrap_or(AlertHash(0));
            let name = alert.id().map_or_else(|| stand_in(mark), |id| id.into_owned());
            match known.entry(id(&name)) {
                // Several of one id are one, whose mark does not depend on their order.
                Entry::Occupied(first) => {
                    let AlertHash(sum) = &mut lists.alerts[*first.get()].mark;
                    *sum = sum.wrapping_add(mark.0);
                }
                Entry::Vacant(place) => {
                    place.insert(lists.alerts.len());
                    lists.alerts.push(Marked { name, mark });
                }
            }
            lists.entities.extend(alert.entities().map(|entity| {
                let name = entity.name();
                Marked { mark: hash_of(&[&name]), name: beginning(&name, ENTITY_NAME_MAX).to_owned() }
            }));
        }
        lists.entities.sort_by_key(|entity| entity.mark);
        lists.entities.dedup_by_key(|entity| entity.mark);
        lists
    }

    /// Whether there is an alert without an id.
    pub fn has_nameless_alert(&self) -> bool {
        self.alerts.iter().any(|alert| alert.name == stand_in(alert.mark))
    }

    /// What is remembered of them.
    pub fn digest(&self) -> Digest {
        let (named, further) = self.alerts.split_at(self.alerts.len().min(NAMED_MAX));
        let first = |list: &[Marked<u32>], most: usize| list.iter().take(most).map(|marked| marked.mark).collect();
        Digest {
            name: self.name.clone(),
            tags: self.tags.iter().take(TAGS_MAX).cloned().collect(),
            tag_count: count(&self.tags),
            system_tags: (0..)
                .zip(&self.tags)
                .take(TAGS_MAX)
                .fold(0, |bits, (at, tag)| bits | u32::from(self.system_tags.contains(tag)) << at),
            alerts: named.iter().map(|alert| (id(&alert.name), alert.mark)).collect(),
            further_alerts: further.iter().take(UNNAMED_MAX).map(|a| (hash_of(&[&id(&a.name)]), a.mark)).collect(),
            alert_count: count(&self.alerts),
            comments: first(&self.comments, COMMENTS_MAX),
            comment_count: count(&self.comments),
            entities: first(&self.entities, ENTITIES_MAX),
            entity_count: count(&self.entities),
        }
    }
}

impl Digest {
    /// What is remembered of the alert of this id.
    pub fn alert(&self, name: &str) -> Option<AlertHash> {
        let id = id(name);
        let named = self.alerts.iter().find(|(known, _)| *known == id).map(|(_, mark)| *mark);
        let key = hash_of(&[&id]);
        named.or_else(|| self.further_alerts.iter().find(|(known, _)| *known == key).map(|(_, mark)| *mark))
    }

    /// The ids of the alerts that are not among these names.
    pub fn alerts_beside(&self, names: &[&str]) -> Vec<String> {
        let named = self.alerts.iter().filter(|(known, _)| !names.iter().any(|name| id(name) == *known));
        let keys: Vec<u32> = names.iter().map(|name| hash_of(&[&id(name)])).collect();
        let further = self.further_alerts.iter().filter(|(known, _)| !keys.contains(known));
        named.map(|(known, _)| known.clone()).chain(further.map(|(known, _)| format!("#{known:08x}"))).collect()
    }

    /// The tags that somebody gave it.
    pub fn given_tags(&self) -> impl Iterator<Item = &String> {
        let is_given = |at: u32| self.system_tags.checked_shr(at).is_none_or(|bits| bits & 1 == 0);
        (0..).zip(&self.tags).filter(move |(at, _)| is_given(*at)).map(|(_, tag)| tag)
    }

    /// Whether an alert without an id is among those that are remembered by name.
    pub fn has_nameless_alert(&self) -> bool {
        self.alerts.iter().any(|(known, mark)| *known == stand_in(*mark))
    }

    /// Whether all alerts are remembered one by one.
    pub fn has_all_alerts(&self) -> bool {
        self.alerts.len() + self.further_alerts.len() == self.alert_count as usize
    }
}

/// What an alert without an id goes by: what it says, in the words of its API.
fn stand_in(mark: AlertHash) -> String {
    format!("#{:08x}", mark.0)
}

/// An id as it is remembered.
fn id(name: &str) -> String {
    let plain =
        name.len() <= TEXT_MAX && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if plain { name.to_owned() } else { format!("#{:08x}", hash_of(&[name])) }
}

/// A name or a tag as it is remembered.
pub(crate) fn cut(text: &str) -> &str {
    beginning(text, TEXT_MAX)
}

/// The first bytes of a text, whole characters of it.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// The first 32 bits of SHA-256 of these texts.
fn hash_of(texts: &[&str]) -> u32 {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for text in texts {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    let first: [u8; 4] = digest.finish().as_ref()[..4].try_into().expect("SHA-256 has 32 bytes");
    u32::from_be_bytes(first)
}

fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_stays_small_whatever_the_incident_is() {
        let alert = |n: usize| Marked { name: format!("{n:0>60}"), mark: AlertHash(u32::MAX) };
        let mark = |n: usize| Marked { name: String::new(), mark: u32::MAX - n as u32 };
        let lists = Lists {
            name: Some("\u{1}".repeat(TEXT_MAX)),
            tags: (0..1000).map(|n| format!("{n:\u{1}>64}")).collect(),
            system_tags: (0..1000).map(|n| format!("{n:\u{1}>64}")).collect(),
            alerts: (0..1000).map(alert).collect(),
            comments: (0..1000).map(mark).collect(),
            entities: (0..1000).map(mark).collect(),
        };
        let json = serde_json::to_string(&lists.digest()).expect("JSON");
        assert!(json.len() < 9_000, "{}", json.len());
        let usual =
            Lists { name: Some("x".repeat(64)), tags: (0..1000).map(|n| format!("{n:x>64}")).collect(), ..lists };
        let json = serde_json::to_string(&usual.digest()).expect("JSON");
        assert!(json.len() < 6_000, "{}", json.len());
    }

    #[test]
    fn the_systems_tags_are_told_from_those_that_were_given() {
        let check = |json: &str, given: &[&str]| {
            let digest = Lists::of(json, &[]).digest();
            assert_eq!(digest.given_tags().collect::<Vec<_>>(), given, "{json}");
            let read: Digest = serde_json::from_str(&serde_json::to_string(&digest).expect("JSON")).expect("JSON");
            assert_eq!(read, digest);
        };
        check(r#"{"tags":["b","a"]}"#, &["a", "b"]);
        check(r#"{"customTags":["c","a"],"systemTags":["b","d","a"]}"#, &["a", "c"]);
        check(r#"{"systemTags":["a","b","c","d","e","f","g","h","i"]}"#, &[]);
    }

    #[test]
    fn alerts_are_found_by_their_ids_named_or_not() {
        let alert = |n: usize| Marked { name: format!("da{n}"), mark: AlertHash(n as u32) };
        let lists = Lists { alerts: (0..40).map(alert).collect(), ..Lists::default() };
        let digest = lists.digest();
        assert!(digest.has_all_alerts());
        assert_eq!(
            [0, 23, 24, 39].map(|n: usize| digest.alert(&format!("da{n}"))),
            [0, 23, 24, 39].map(|n| Some(AlertHash(n)))
        );
        assert_eq!(digest.alert("da40"), None);
        let names: Vec<String> = (2..39).map(|n| format!("da{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let beside = digest.alerts_beside(&names);
        assert_eq!(beside[..2], ["da0", "da1"]);
        assert_eq!(beside.len(), 3);
        assert!(beside[2].starts_with('#'), "{beside:?}");
    }

    #[test]
    fn lists_name_what_an_incident_has() {
        let json = r#"{"incidentName":"n","tags":["b","a"],"comments":[{"comment":"c","createdBy":"kim","createdTime":"2026-01-01T00:00:00Z"}],
            "alerts":[{"alertId":"da1","entities":[{"entityType":"Ip","ipAddress":"192.0.2.1"},{"entityType":"Ip","ipAddress":"192.0.2.1"}]},{}]}"#;
        let lists = Lists::of(json, &[AlertHash(1), AlertHash(2)]);
        let names = |list: &[Marked<u32>]| list.iter().map(|marked| marked.name.clone()).collect::<Vec<_>>();
        assert_eq!((lists.name.as_deref(), lists.tags.join(",")), (Some("n"), "a,b".to_owned()));
        assert_eq!(names(&lists.comments), ["kim 2026-01-01T00:00:00.0000000Z"]);
        assert_eq!(names(&lists.entities), ["ip 192.0.2.1"]);
        assert_eq!(lists.alerts[1].name, "#00000002");
    }
}
