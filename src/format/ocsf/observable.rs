//! What of an incident a receiver searches for: hosts, addresses, users, URLs, files and hashes, each once. An observable claims
//! no type that its value does not have.

// From `core`: an address is a number, and nothing here can reach a network.
use core::net::IpAddr;
use std::collections::BTreeSet;

use serde::Serialize;

use crate::format::ocsf::version::{Text, Version};
use crate::model::content::alert::Alert;
use crate::model::content::device::Device;
use crate::model::content::entity::{Entity, EntityKind};

/// Observables of one record at most.
const OBSERVABLES_MAX: usize = 1_024;

#[derive(Debug, Serialize)]
pub(in crate::format::ocsf) struct Observable<'a> {
    /// The attribute in which OCSF's own objects hold such a value.
    name: &'static str,
    type_id: u8,
    #[serde(rename = "type")]
    caption: &'static str,
    value: Text<'a>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Host,
    Device,
    Address,
    Account,
    Principal,
    User,
    Mail,
    Message,
    Url,
    File,
    Hash,
    Process,
    CommandLine,
}

/// A kind in the schema.
struct Type {
    name: &'static str,
    id: u8,
    caption: &'static str,
    since: Version,
    /// What the source calls it: the type of what is 99.
    source: &'static str,
    fits: fn(&str) -> bool,
}

impl Kind {
    fn schema(self) -> Type {
        let v1 = Version::V1_1;
        let of = |name, id, caption, since, source, fits| Type { name, id, caption, since, source, fits };
        match self {
            Self::Host => of("device.hostname", 1, "Hostname", v1, "deviceDnsName", is_host),
            Self::Device => of("device.uid", 47, "Device Object: uid", Version::V1_6, "mdeDeviceId", is_anything),
            Self::Address => of("endpoint.ip", 2, "IP Address", v1, "ipAddress", is_address),
            Self::Account => of("user.name", 4, "User Name", v1, "accountName", is_anything),
            Self::Principal => of("user.name", 4, "User Name", v1, "userPrincipalName", is_anything),
            Self::User => of("user.uid", 31, "User Object: uid", Version::V1_4, "userId", is_anything),
            Self::Mail => of("email_addr", 5, "Email Address", v1, "emailAddress", is_mail),
            Self::Message => {
                of("email.message_uid", 42, "Message UID", Version::V1_5, "internetMessageId", is_anything)
            }
            Self::Url => of("url.url_string", 6, "URL String", v1, "url", is_url),
            Self::File => of("file.name", 7, "File Name", v1, "fileName", is_anything),
            Self::Hash => of("file.hashes.value", 8, "Hash", v1, "hash", is_hash),
            Self::Process => of("process.name", 9, "Process Name", v1, "fileName", is_anything),
            Self::CommandLine => {
                of("process.cmd_line", 13, "Command Line", Version::V1_2, "processCommandLine", is_anything)
            }
        }
    }
}

/// Those of these alerts, and how many were one too many.
pub(in crate::format::ocsf) fn observables<'a>(
    version: Version,
    alerts: impl Iterator<Item = Alert<'a>>,
) -> (Vec<Observable<'a>>, usize) {
    let mut observables = Observables::new(version);
    alerts.for_each(|alert| observables.add_alert(alert));
    (observables.list, observables.left_out)
}

/// Observables while they are gathered.
struct Observables<'a> {
    version: Version,
    known: BTreeSet<(&'static str, &'a str)>,
    list: Vec<Observable<'a>>,
    left_out: usize,
}

impl<'a> Observables<'a> {
    const fn new(version: Version) -> Self {
        Self { version, known: BTreeSet::new(), list: Vec::new(), left_out: 0 }
    }

    fn add_alert(&mut self, alert: Alert<'a>) {
        alert.devices().for_each(|device| self.add_device(device));
        alert.entities().for_each(|entity| self.add_entity(entity));
    }

    fn add_device(&mut self, device: Device<'a>) {
        self.add(Kind::Host, device.name());
        self.add(Kind::Device, device.id());
        self.add(Kind::Address, device.address());
    }

    fn add_entity(&mut self, entity: Entity<'a>) {
        self.add(Kind::Principal, entity.user_principal_name());
        self.add(Kind::Account, entity.account_name());
        self.add(Kind::User, entity.user_sid());
        self.add(Kind::User, entity.user_directory_id());
        self.add(Kind::Mail, entity.mailbox());
        self.add(Kind::Mail, entity.sender());
        self.add(Kind::Mail, entity.recipient());
        self.add(Kind::Message, entity.message_id());
        self.add(Kind::Address, entity.address());
        self.add(Kind::Url, entity.url());
        let is_process = entity.kind() == EntityKind::Process;
        self.add(if is_process { Kind::Process } else { Kind::File }, entity.file_name());
        self.add(Kind::Hash, entity.sha1());
        self.add(Kind::Hash, entity.sha256());
        self.add(Kind::CommandLine, entity.command_line());
    }

    fn add(&mut self, kind: Kind, value: Option<&'a str>) {
        let Some(value) = value else { return };
        let Type { name, id, caption, since, source, fits } = kind.schema();
        if self.known.contains(&(name, value)) {
            return;
        }
        if self.list.len() == OBSERVABLES_MAX {
            self.left_out += 1;
            return;
        }
        self.known.insert((name, value));
        let is_known = since <= self.version && fits(value);
        let (type_id, caption) = if is_known { (id, caption) } else { (99, source) };
        self.list.push(Observable { name, type_id, caption, value: self.version.text(value) });
    }
}

const fn is_anything(_: &str) -> bool {
    true
}

/// Letters, digits, `-`, `_` and dots.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Something, an `@`, something else, and no space.
fn is_mail(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty()) && is_url(text)
}

/// Neither spaces nor control characters.
fn is_url(text: &str) -> bool {
    !text.chars().any(|character| character.is_whitespace() || character.is_control())
}

/// MD5, SHA-1 or SHA-256 in hex.
fn is_hash(text: &str) -> bool {
    matches!(text.len(), 32 | 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, kind: Kind, value: &str, expected: (u8, &str)) {
        let mut observables = Observables::new(version);
        observables.add(kind, Some(value));
        observables.add(kind, Some(value));
        let list = observables.list;
        let [Observable { type_id, caption, value: kept, .. }] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!((*type_id, *caption, kept.as_str()), (expected.0, expected.1, value));
    }

    #[test]
    fn a_value_has_the_type_that_it_looks_like() {
        for (kind, value, expected) in [
            (Kind::Host, "pc-1.example.net", (1, "Hostname")),
            (Kind::Host, "pc 1", (99, "deviceDnsName")),
            (Kind::Address, "2001:db8::1", (2, "IP Address")),
            (Kind::Address, "203.0.113.9 src=198.51.100.9", (99, "ipAddress")),
            (Kind::Mail, "a@example.net", (5, "Email Address")),
            (Kind::Mail, "a b@example.net", (99, "emailAddress")),
            (Kind::Mail, "@", (99, "emailAddress")),
            (Kind::Url, "https://example.net/?a=b|c", (6, "URL String")),
            (Kind::Url, "https://example.net/\n", (99, "url")),
            (Kind::Hash, "da39a3ee5e6b4b0d3255bfef95601890afd80709", (8, "Hash")),
            (Kind::Hash, "'; DROP", (99, "hash")),
        ] {
            check(Version::V1_5, kind, value, expected);
        }
    }

    #[test]
    fn a_type_that_a_release_does_not_know_is_another() {
        for (kind, version, expected) in [
            (Kind::CommandLine, Version::V1_1, (99, "processCommandLine")),
            (Kind::CommandLine, Version::V1_2, (13, "Command Line")),
            (Kind::Device, Version::V1_5, (99, "mdeDeviceId")),
            (Kind::Device, Version::V1_6, (47, "Device Object: uid")),
        ] {
            check(version, kind, "x", expected);
        }
    }

    #[test]
    fn there_are_never_too_many() {
        let values: Vec<String> = (0..OBSERVABLES_MAX + 3).map(|number| format!("a{number}")).collect();
        let mut observables = Observables::new(Version::V1_5);
        values.iter().for_each(|value| observables.add(Kind::File, Some(value)));
        observables.add(Kind::File, Some("a0"));
        assert_eq!(observables.left_out, 3);
        assert_eq!(observables.list.len(), OBSERVABLES_MAX);
    }
}
