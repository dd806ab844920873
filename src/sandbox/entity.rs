//! Entities of an alert, in both shapes that were seen on the wire: every one of 31 keys, most of them null, or the few
//! that matter with the nulls left out. Knows nothing of incidents.

use std::borrow::Cow;
use std::time::Duration;

use rand::RngExt;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::model::timestamp::Timestamp;
use crate::sandbox::names::{self, Dice, pick};
use crate::sandbox::stamp::{Trimmed, on_tick};

/// The keys of the padded shape after `entityType`, in the order of the wire.
pub const PADDED_KEYS: [&str; 30] = [
    "sha1",
    "sha256",
    "fileName",
    "filePath",
    "processId",
    "processCommandLine",
    "processCreationTime",
    "parentProcessId",
    "parentProcessCreationTime",
    "ipAddress",
    "url",
    "accountName",
    "domainName",
    "userSid",
    "aadUserId",
    "userPrincipalName",
    "mailboxDisplayName",
    "mailboxAddress",
    "clusterBy",
    "sender",
    "recipient",
    "subject",
    "deliveryAction",
    "securityGroupId",
    "securityGroupName",
    "registryHive",
    "registryKey",
    "registryValueType",
    "registryValue",
    "deviceId",
];

/// How entities stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All 31 keys, null where there is nothing.
    Padded,
    /// Nulls left out, with a verdict and the time of the evidence.
    Sparse,
}

/// One entity.
#[derive(Debug)]
pub struct Entity {
    shape: Shape,
    kind: &'static str,
    evidence_created: Timestamp,
    verdict: &'static str,
    /// In the order of [`PADDED_KEYS`]; keys that are not there exist in the sparse shape only.
    members: Vec<(&'static str, Value)>,
}

/// What an entity says of itself.
#[derive(Debug)]
pub(crate) enum Value {
    Text(Cow<'static, str>),
    Number(u64),
    Time(Timestamp),
}

impl Entity {
    /// About so many bytes of JSON.
    pub const fn size(shape: Shape) -> usize {
        match shape {
            Shape::Padded => 720,
            Shape::Sparse => 320,
        }
    }

    /// An entity of a type, as evidence found at about this time.
    pub fn new(kind: &'static str, shape: Shape, around: Timestamp, verdict: &'static str, dice: &mut Dice) -> Self {
        let members = match kind {
            "User" => user(dice),
            "Ip" => vec![("ipAddress", text(names::address(dice)))],
            "Url" => vec![("url", text(url(dice)))],
            "File" => file(dice),
            "Process" => process(around, dice),
            "Mailbox" => mailbox(dice),
            "MailMessage" => mail_message(dice),
            "MailCluster" => mail_cluster(dice),
            "Registry" => registry(dice),
            // The rest is `SecurityGroup`, the tenth type.
            _ => vec![("securityGroupId", text(names::guid(dice))), ("securityGroupName", known("Domain \"Admins\""))],
        };
        let evidence_created = on_tick(around.later(Duration::from_millis(dice.random_range(0..600_000))));
        Self { shape, kind, evidence_created, verdict, members }
    }

    /// What it is, in the spelling of the sparse shape.
    pub(crate) const fn plain_kind(&self) -> &'static str {
        self.kind
    }

    /// When it was found.
    pub(crate) const fn evidence_created(&self) -> Timestamp {
        self.evidence_created
    }

    /// What is thought of it.
    pub(crate) const fn verdict(&self) -> &'static str {
        self.verdict
    }

    /// One member, by its key in the sparse shape; none where its shape does not have it.
    pub(crate) fn member(&self, key: &str) -> Option<&Value> {
        let kept = self.shape == Shape::Sparse || PADDED_KEYS.contains(&key);
        self.members.iter().find(|(known, _)| kept && *known == key).map(|(_, value)| value)
    }

    /// The type's name: its case differs between the shapes.
    fn kind(&self) -> &'static str {
        match (self.shape, self.kind) {
            (Shape::Padded, "Mailbox") => "MailBox",
            (Shape::Padded | Shape::Sparse, kind) => kind,
        }
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("entityType", self.kind())?;
        match self.shape {
            Shape::Padded => {
                let mut members = self.members.iter().filter(|(key, _)| PADDED_KEYS.contains(key)).peekable();
                for key in PADDED_KEYS {
                    let value = members.next_if(|(next, _)| *next == key).map(|(_, value)| value);
                    map.serialize_entry(key, &value)?;
                }
            }
            Shape::Sparse => {
                map.serialize_entry("evidenceCreationTime", &Trimmed(self.evidence_created))?;
                map.serialize_entry("verdict", self.verdict)?;
                map.serialize_entry("remediationStatus", "None")?;
                for (key, value) in &self.members {
                    map.serialize_entry(key, value)?;
                }
            }
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Time(time) => Trimmed(*time).serialize(serializer),
        }
    }
}

type Members = Vec<(&'static str, Value)>;

fn text(text: String) -> Value {
    Value::Text(text.into())
}

const fn known(text: &'static str) -> Value {
    Value::Text(Cow::Borrowed(text))
}

fn user(dice: &mut Dice) -> Members {
    let name = pick(dice, &names::PEOPLE);
    vec![
        ("accountName", known(name)),
        ("domainName", known(pick(dice, &["corp.example", ""]))),
        ("userSid", text(format!("S-1-12-1-{}-{}", dice.random::<u32>(), dice.random::<u32>()))),
        ("aadUserId", text(names::guid(dice))),
        ("userPrincipalName", text(format!("{name}@corp.example"))),
    ]
}

fn file(dice: &mut Dice) -> Members {
    vec![
        ("sha1", text(names::hex(dice, 40))),
        ("sha256", text(names::hex(dice, 64))),
        ("fileName", known(pick(dice, &names::FILES))),
        ("filePath", known(pick(dice, &names::FOLDERS))),
    ]
}

fn process(around: Timestamp, dice: &mut Dice) -> Members {
    let mut members = file(dice);
    let started = around.earlier(Duration::from_nanos(dice.random_range(1..3_600_000_000_000)));
    members.extend([
        ("processId", Value::Number(dice.random_range(4..65_000))),
        ("processCommandLine", known(pick(dice, &names::COMMANDS))),
        ("processCreationTime", Value::Time(started)),
        ("parentProcessId", Value::Number(dice.random_range(4..65_000))),
        ("parentProcessCreationTime", Value::Time(started.earlier(Duration::from_secs(7)))),
        ("deviceId", text(names::hex(dice, 40))),
    ]);
    members
}

fn url(dice: &mut Dice) -> String {
    format!("https://login-{}.example/?next=%2Fa|b&id=\"{}\"", names::hex(dice, 6), dice.random::<u16>())
}

fn mailbox(dice: &mut Dice) -> Members {
    let mut members = user(dice);
    members.retain(|(key, _)| *key != "domainName");
    members.push(("mailboxDisplayName", known("Shared  \"Front Desk\" [1st floor]")));
    members.push(("mailboxAddress", text(format!("{}@corp.example", pick(dice, &names::PEOPLE)))));
    members
}

fn mail_message(dice: &mut Dice) -> Members {
    vec![
        ("userPrincipalName", text(format!("{}@corp.example", pick(dice, &names::PEOPLE)))),
        ("sender", text(format!("\"Support\" <{}@mail.example>", names::hex(dice, 8)))),
        ("recipient", text(format!("{}@corp.example", pick(dice, &names::PEOPLE)))),
        ("subject", known(pick(dice, &names::SUBJECTS))),
        ("internetMessageId", text(format!("<{}@mail.example>", names::hex(dice, 32)))),
        ("deliveryAction", known(pick(dice, &["Blocked", "Delivered", "DeliveredAsSpam"]))),
    ]
}

fn mail_cluster(dice: &mut Dice) -> Members {
    let subject = pick(dice, &names::SUBJECTS);
    vec![
        ("clusterBy", known("Subject;SenderIp;AntispamDirection;ContentType")),
        ("clusterByValue", text(format!("{subject};{};1;1", names::address(dice)))),
        ("emailCount", Value::Number(dice.random_range(1..500))),
    ]
}

fn registry(dice: &mut Dice) -> Members {
    vec![
        ("registryHive", known(pick(dice, &["HKEY_LOCAL_MACHINE", "HKEY_CURRENT_USER"]))),
        ("registryKey", known(pick(dice, &names::REGISTRY_KEYS))),
        ("registryValueType", known("ExpandString")),
        ("registryValue", known(pick(dice, &names::COMMANDS))),
    ]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const KINDS: [&str; 10] =
        ["User", "Ip", "Url", "File", "Process", "Mailbox", "MailMessage", "MailCluster", "Registry", "SecurityGroup"];

    fn keys(kind: &'static str, shape: Shape) -> Vec<String> {
        let mut dice = Dice::seed_from_u64(7);
        let entity = Entity::new(kind, shape, Timestamp::from_seconds(1_800_000_000), "Suspicious", &mut dice);
        let json = serde_json::to_value(&entity).expect("JSON");
        json.as_object().expect("an object").keys().cloned().collect()
    }

    #[test]
    fn the_padded_shape_has_31_keys_and_the_sparse_one_no_nulls() {
        for kind in KINDS {
            assert_eq!(keys(kind, Shape::Padded).len(), 31, "{kind}");
            let sparse = keys(kind, Shape::Sparse);
            assert!((5..20).contains(&sparse.len()), "{kind}: {sparse:?}");
        }
    }

    #[test]
    fn no_member_of_a_padded_entity_is_lost_to_a_wrong_order() {
        for kind in KINDS {
            let mut dice = Dice::seed_from_u64(7);
            let entity =
                Entity::new(kind, Shape::Padded, Timestamp::from_seconds(1_800_000_000), "Suspicious", &mut dice);
            let json = serde_json::to_value(&entity).expect("JSON");
            for (key, _) in entity.members.iter().filter(|(key, _)| PADDED_KEYS.contains(key)) {
                assert!(!json[key].is_null(), "{kind}.{key}");
            }
        }
    }
}
