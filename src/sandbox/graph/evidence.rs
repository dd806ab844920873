//! Evidence: what Defender calls the devices and the entities of an alert, each with its type. Knows nothing of alerts.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::sandbox::alert::DeviceJson;
use crate::sandbox::entity::Entity;
use crate::sandbox::graph::words;
use crate::sandbox::stamp::Trimmed;

/// One piece of evidence.
#[derive(Debug)]
pub(crate) enum Evidence {
    /// A device, found at this time.
    Device(DeviceJson, Trimmed),
    /// Anything else.
    Entity(Entity),
}

/// A member: its name, and what it holds.
type Member = (&'static str, Held);

/// What a member holds.
#[derive(Debug, Clone, Copy)]
enum Held {
    /// What the entity has under this key of Defender's, or null.
    Own(&'static str),
    /// An object of such members.
    Part(&'static [Member]),
    /// This text.
    Text(&'static str),
    /// Null.
    Null,
}

const ACCOUNT: Held = Held::Part(&[
    ("accountName", Held::Own("accountName")),
    ("domainName", Held::Own("domainName")),
    ("userSid", Held::Own("userSid")),
    ("azureAdUserId", Held::Own("aadUserId")),
    ("userPrincipalName", Held::Own("userPrincipalName")),
    ("displayName", Held::Null),
]);
const FILE: Held = Held::Part(&[
    ("sha1", Held::Own("sha1")),
    ("sha256", Held::Own("sha256")),
    ("fileName", Held::Own("fileName")),
    ("filePath", Held::Own("filePath")),
    ("fileSize", Held::Null),
    ("filePublisher", Held::Null),
    ("signer", Held::Null),
    ("issuer", Held::Null),
]);
const SENDER: Held =
    Held::Part(&[("emailAddress", Held::Own("sender")), ("displayName", Held::Null), ("domainName", Held::Null)]);

/// The type and its own members, by Defender's word for it.
fn layout(kind: &str) -> (&'static str, &'static [Member]) {
    match kind {
        "User" => ("user", &[("stream", Held::Null), ("userAccount", ACCOUNT)]),
        "Ip" => ("ip", &[("ipAddress", Held::Own("ipAddress")), ("countryLetterCode", Held::Null)]),
        "Url" => ("url", &[("url", Held::Own("url"))]),
        "File" => {
            ("file", &[("detectionStatus", Held::Text("detected")), ("mdeDeviceId", Held::Null), ("fileDetails", FILE)])
        }
        "Process" => (
            "process",
            &[
                ("processId", Held::Own("processId")),
                ("parentProcessId", Held::Own("parentProcessId")),
                ("processCommandLine", Held::Own("processCommandLine")),
                ("processCreationDateTime", Held::Own("processCreationTime")),
                ("parentProcessCreationDateTime", Held::Own("parentProcessCreationTime")),
                ("detectionStatus", Held::Text("detected")),
                ("mdeDeviceId", Held::Own("deviceId")),
                ("imageFile", FILE),
                ("parentProcessImageFile", Held::Null),
                ("userAccount", Held::Null),
            ],
        ),
        "Mailbox" => (
            "mailbox",
            &[
                ("primaryAddress", Held::Own("mailboxAddress")),
                ("displayName", Held::Own("mailboxDisplayName")),
                ("upn", Held::Own("userPrincipalName")),
                ("userAccount", ACCOUNT),
            ],
        ),
        "MailMessage" => (
            "analyzedMessage",
            &[
                ("networkMessageId", Held::Null),
                ("internetMessageId", Held::Own("internetMessageId")),
                ("subject", Held::Own("subject")),
                ("recipientEmailAddress", Held::Own("recipient")),
                ("senderIp", Held::Null),
                ("p1Sender", SENDER),
                ("p2Sender", SENDER),
                ("deliveryAction", Held::Own("deliveryAction")),
                ("deliveryLocation", Held::Null),
                ("receivedDateTime", Held::Null),
            ],
        ),
        "MailCluster" => (
            "mailCluster",
            &[
                ("clusterBy", Held::Own("clusterBy")),
                ("clusterByValue", Held::Own("clusterByValue")),
                ("emailCount", Held::Own("emailCount")),
                ("query", Held::Null),
                ("urn", Held::Null),
            ],
        ),
        "Registry" => (
            "registryValue",
            &[
                ("registryHive", Held::Own("registryHive")),
                ("registryKey", Held::Own("registryKey")),
                ("registryValue", Held::Own("registryValue")),
                ("registryValueName", Held::Null),
                ("registryValueType", Held::Own("registryValueType")),
            ],
        ),
        // The rest is `SecurityGroup`, the tenth type.
        _ => (
            "securityGroup",
            &[("securityGroupId", Held::Own("securityGroupId")), ("displayName", Held::Own("securityGroupName"))],
        ),
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Device(device, created) => {
                common(&mut map, "device", created, "unknown", device.tags.unwrap_or_default())?;
                of_device(&mut map, device)?;
            }
            Self::Entity(entity) => {
                let (name, members) = layout(entity.plain_kind());
                common(&mut map, name, &Trimmed(entity.evidence_created()), &words::plain(entity.verdict()), &[])?;
                for (name, held) in members {
                    map.serialize_entry(name, &Filled(entity, *held))?;
                }
            }
        }
        map.end()
    }
}

/// What every type has.
fn common<M: SerializeMap>(
    map: &mut M,
    name: &str,
    created: &Trimmed,
    verdict: &str,
    tags: &[&str],
) -> Result<(), M::Error> {
    map.serialize_entry("@odata.type", &format_args!("#microsoft.graph.security.{name}Evidence"))?;
    map.serialize_entry("createdDateTime", created)?;
    map.serialize_entry("verdict", verdict)?;
    map.serialize_entry("remediationStatus", "none")?;
    map.serialize_entry("remediationStatusDetails", &())?;
    map.serialize_entry("roles", &[(); 0])?;
    map.serialize_entry("detailedRoles", &[(); 0])?;
    map.serialize_entry("tags", tags)
}

fn of_device<M: SerializeMap>(map: &mut M, device: &DeviceJson) -> Result<(), M::Error> {
    map.serialize_entry("firstSeenDateTime", &device.first_seen)?;
    map.serialize_entry("mdeDeviceId", &device.mdatp_device_id)?;
    map.serialize_entry("azureAdDeviceId", &device.aad_device_id)?;
    map.serialize_entry("deviceDnsName", device.device_dns_name)?;
    map.serialize_entry("osPlatform", device.os_platform)?;
    map.serialize_entry("osBuild", &device.os_build)?;
    map.serialize_entry("version", device.version)?;
    map.serialize_entry("healthStatus", &words::plain(device.health_status))?;
    map.serialize_entry("riskScore", &words::plain(device.risk_score))?;
    map.serialize_entry("rbacGroupId", &device.rbac_group_id)?;
    map.serialize_entry("rbacGroupName", &device.rbac_group_name)?;
    map.serialize_entry("onboardingStatus", &device.onboarding_status.map(words::plain))?;
    map.serialize_entry("defenderAvStatus", &device.defender_av_status.map(words::plain))?;
    map.serialize_entry("lastIpAddress", &())?;
    map.serialize_entry("ipInterfaces", &[(); 0])?;
    map.serialize_entry("loggedOnUsers", &[(); 0])?;
    map.serialize_entry("vmMetadata", &())
}

/// A member of an entity, filled in.
struct Filled<'a>(&'a Entity, Held);

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(entity, held) = self;
        match held {
            Held::Own(key) => entity.member(key).serialize(serializer),
            Held::Text(text) => serializer.serialize_str(text),
            Held::Null => serializer.serialize_unit(),
            Held::Part(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, held) in *members {
                    map.serialize_entry(name, &Filled(entity, *held))?;
                }
                map.end()
            }
        }
    }
}
