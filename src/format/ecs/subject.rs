//! `host`, `user`, `process` and `file` of a record about one alert: there only where the alert has exactly one of them, because
//! each of these fields takes one value, and one out of several would be a choice of ours.

use std::borrow::Cow;
// Not the network: what an address looks like.
use core::net::IpAddr;

use serde::Serialize;

use crate::format::ecs::bounds::{Date, address, hash, keyword, long, text};
use crate::model::content::alert::Alert;
use crate::model::content::device::Device;
use crate::model::content::entity::{Entity, EntityKind};

/// The fields.
#[derive(Default)]
pub(super) struct Subject<'a> {
    pub(super) host: Option<Host<'a>>,
    pub(super) user: Option<User<'a>>,
    pub(super) process: Option<Process<'a>>,
    pub(super) file: Option<File<'a>>,
}

#[derive(Serialize)]
pub(super) struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<[IpAddr; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<Os<'a>>,
}

#[derive(Serialize)]
struct Os<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
pub(super) struct Process<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
}

#[derive(Serialize)]
struct Parent {
    pid: u64,
}

#[derive(Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash<'a>>,
}

#[derive(Serialize)]
struct Hash<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sha1: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// What an alert is about.
    pub(super) fn of(alert: Alert<'a>) -> Self {
        let one = |kind| {
            let mut of_kind = alert.entities().filter(move |entity| entity.kind() == kind);
            of_kind.next().filter(|_| of_kind.next().is_none())
        };
        let mut devices = alert.devices();
        let device = devices.next().filter(|_| devices.next().is_none());
        Self {
            host: device.and_then(Host::of),
            user: one(EntityKind::User).and_then(User::of),
            process: one(EntityKind::Process).and_then(Process::of),
            file: one(EntityKind::File).and_then(File::of),
        }
    }
}

impl<'a> Host<'a> {
    fn of(device: Device<'a>) -> Option<Self> {
        let host = Self {
            id: device.id().map(keyword),
            // The schema recommends the whole name in lower case.
            name: device.name().map(|name| keyword(&name.to_lowercase()).into_owned().into()),
            ip: device.address().and_then(address).map(|address| [address]),
            os: device.platform().map(|name| Os { name: keyword(name), version: device.version().map(keyword) }),
        };
        (host.id.is_some() || host.name.is_some()).then_some(host)
    }
}

impl<'a> User<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let user = Self {
            id: entity.user_sid().or(entity.user_directory_id()).map(keyword),
            name: entity.account_name().or(entity.user_principal_name()).map(keyword),
            domain: entity.account_domain().map(keyword),
        };
        (user.id.is_some() || user.name.is_some()).then_some(user)
    }
}

impl<'a> Process<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let created = entity.node().first(&["processCreationTime", "processCreationDateTime"]);
        let process = Self {
            pid: entity.process_id().and_then(long),
            name: entity.file_name().map(keyword),
            executable: path(entity),
            command_line: entity.command_line().map(text),
            start: created.text().and_then(|text| text.parse().ok()).map(Date),
            hash: Hash::of(entity),
            parent: entity.parent_process_id().and_then(long).map(|pid| Parent { pid }),
        };
        (process.pid.is_some() || process.name.is_some() || process.command_line.is_some()).then_some(process)
    }
}

impl<'a> File<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let file = Self {
            name: entity.file_name().map(keyword),
            directory: entity.file_path().map(keyword),
            path: path(entity),
            hash: Hash::of(entity),
        };
        (file.name.is_some() || file.hash.is_some()).then_some(file)
    }
}

impl<'a> Hash<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let of_length = |text: Option<&'a str>, length| text.and_then(hash).filter(|hash| hash.len() == length);
        let hash = Self { sha1: of_length(entity.sha1(), 40), sha256: of_length(entity.sha256(), 64) };
        (hash.sha1.is_some() || hash.sha256.is_some()).then_some(hash)
    }
}

/// The folder and the name in it, with the separator that the folder has.
fn path<'a>(entity: Entity<'a>) -> Option<Cow<'a, str>> {
    let (folder, name) = (entity.file_path()?, entity.file_name()?);
    let separator = if folder.contains('\\') || !folder.contains('/') { '\\' } else { '/' };
    let path = format!("{}{separator}{name}", folder.trim_end_matches(separator));
    Some(keyword(&path).into_owned().into())
}
