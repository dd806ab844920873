//! One device or entity of an alert below the prefix, both shapes of the API alike. Only what has a name here is told; the rest
//! is in the incident's own JSON.

use std::borrow::Cow;
// Not the network: what an address looks like.
use core::net::IpAddr;

use serde::Serialize;

use crate::format::ecs::Fields;
use crate::format::ecs::bounds::{Date, address, keyword, long, short, text};
use crate::model::content::device::Device;
use crate::model::content::entity::{Entity, EntityKind};
use crate::model::words::Vocabulary;

/// The members.
#[derive(Default, Serialize)]
pub(super) struct Evidence<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_type: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation_status: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_dns_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mde_device_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    azure_ad_device_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_platform: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_account: Option<UserAccount<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_details: Option<FileDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_file: Option<FileDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_process: Option<ParentProcess>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p2_sender: Option<Sender<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_email_address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internet_message_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct UserAccount<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_sid: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    azure_ad_user_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_principal_name: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct FileDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha1: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Process<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_datetime: Option<Date>,
}

#[derive(Serialize)]
struct ParentProcess {
    id: u64,
}

#[derive(Serialize)]
struct Sender<'a> {
    email_address: Cow<'a, str>,
}

impl<'a> Evidence<'a> {
    /// A device.
    pub(super) fn of_device(device: Device<'a>, fields: Fields) -> Self {
        Self {
            entity_type: Some(Cow::Borrowed("device")),
            verdict: device.verdict().map(|word| fields.word(Vocabulary::Verdict, word)),
            remediation_status: device
                .remediation_status()
                .map(|word| fields.word(Vocabulary::RemediationStatus, word)),
            device_dns_name: device.name().map(keyword),
            mde_device_id: device.id().map(keyword),
            azure_ad_device_id: device.directory_id().map(keyword),
            os_platform: device.platform().map(keyword),
            version: device.version().map(keyword),
            ip_address: device.address().and_then(address),
            ..Self::default()
        }
    }

    /// Anything else.
    pub(super) fn of_entity(entity: Entity<'a>, fields: Fields) -> Self {
        let kind = entity.kind();
        let file = FileDetails::of(entity);
        let (image_file, file_details) = if kind == EntityKind::Process { (file, None) } else { (None, file) };
        let known = entity.address().and_then(address);
        let (sender_ip, ip_address) = if kind == EntityKind::MailMessage { (known, None) } else { (None, known) };
        Self {
            entity_type: entity.kind_word().map(short),
            verdict: entity.verdict().map(|word| fields.word(Vocabulary::Verdict, word)),
            remediation_status: entity
                .remediation_status()
                .map(|word| fields.word(Vocabulary::RemediationStatus, word)),
            user_account: UserAccount::of(entity),
            file_details,
            image_file,
            process: Process::of(entity),
            parent_process: entity.parent_process_id().and_then(long).map(|id| ParentProcess { id }),
            ip_address,
            sender_ip,
            url: entity.url().map(keyword),
            primary_address: entity.mailbox().map(keyword),
            p2_sender: entity.sender().map(|sender| Sender { email_address: keyword(sender) }),
            recipient_email_address: entity.recipient().map(keyword),
            subject: entity.subject().map(keyword),
            internet_message_id: entity.message_id().map(keyword),
            registry_key: entity.registry_key().map(keyword),
            registry_value: entity.registry_value().map(keyword),
            display_name: entity.group_name().map(keyword),
            ..Self::default()
        }
    }
}

impl<'a> UserAccount<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let account = Self {
            account_name: entity.account_name().map(keyword),
            domain_name: entity.account_domain().map(keyword),
            user_sid: entity.user_sid().map(keyword),
            azure_ad_user_id: entity.user_directory_id().map(keyword),
            user_principal_name: entity.user_principal_name().map(keyword),
        };
        let Self { account_name, domain_name, user_sid, azure_ad_user_id, user_principal_name } = &account;
        let said = [account_name, domain_name, user_sid, azure_ad_user_id, user_principal_name];
        let says = said.into_iter().any(Option::is_some);
        says.then_some(account)
    }
}

impl<'a> FileDetails<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let file = Self {
            name: entity.file_name().map(keyword),
            path: entity.file_path().map(keyword),
            sha1: entity.sha1().map(keyword),
            sha256: entity.sha256().map(keyword),
        };
        let Self { name, path, sha1, sha256 } = &file;
        let says = [name, path, sha1, sha256].into_iter().any(Option::is_some);
        says.then_some(file)
    }
}

impl<'a> Process<'a> {
    fn of(entity: Entity<'a>) -> Option<Self> {
        let created = entity.node().first(&["processCreationTime", "processCreationDateTime"]);
        let process = Self {
            id: entity.process_id().and_then(long),
            command_line: entity.command_line().map(text),
            creation_datetime: created.text().and_then(|text| text.parse().ok()).map(Date),
        };
        let Self { id, command_line, creation_datetime } = &process;
        (id.is_some() || command_line.is_some() || creation_datetime.is_some()).then_some(process)
    }
}
