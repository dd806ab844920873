//! What stands below `m365_defender.incident`, held against the field definitions of Elastic's integration of that name, as of
//! its releases for 8.x and 9.x (`fields.yml` of its data stream `incident`). They are in no package registry, so the part of
//! them that we use is copied here by hand: its names and types. No test is in here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use xdrelay::model::timestamp::Timestamp;

/// Theirs that are keywords.
const KEYWORDS: [&str; 62] = [
    "alert.actor_display_name",
    "alert.alert_web_url.domain",
    "alert.alert_web_url.original",
    "alert.alert_web_url.path",
    "alert.alert_web_url.query",
    "alert.alert_web_url.scheme",
    "alert.assigned_to",
    "alert.category",
    "alert.classification",
    "alert.description",
    "alert.detection_source",
    "alert.detector_id",
    "alert.determination",
    "alert.evidence.azure_ad_device_id",
    "alert.evidence.device_dns_name",
    "alert.evidence.display_name",
    "alert.evidence.file_details.name",
    "alert.evidence.file_details.path",
    "alert.evidence.file_details.sha1",
    "alert.evidence.file_details.sha256",
    "alert.evidence.image_file.name",
    "alert.evidence.image_file.path",
    "alert.evidence.image_file.sha1",
    "alert.evidence.image_file.sha256",
    "alert.evidence.internet_message_id",
    "alert.evidence.mde_device_id",
    "alert.evidence.os_platform",
    "alert.evidence.p2_sender.email_address",
    "alert.evidence.primary_address",
    "alert.evidence.process.command_line",
    "alert.evidence.recipient_email_address",
    "alert.evidence.registry_key",
    "alert.evidence.registry_value",
    "alert.evidence.remediation_status",
    "alert.evidence.subject",
    "alert.evidence.url",
    "alert.evidence.user_account.account_name",
    "alert.evidence.user_account.azure_ad_user_id",
    "alert.evidence.user_account.domain_name",
    "alert.evidence.user_account.user_principal_name",
    "alert.evidence.user_account.user_sid",
    "alert.evidence.verdict",
    "alert.evidence.version",
    "alert.id",
    "alert.mitre_techniques",
    "alert.provider_alert_id",
    "alert.recommended_actions",
    "alert.service_source",
    "alert.severity",
    "alert.status",
    "alert.threat_family_name",
    "alert.title",
    "assigned_to",
    "classification",
    "comments.created_by_display_name",
    "comments.message",
    "determination",
    "display_name",
    "id",
    "redirect_incident_id",
    "severity",
    "status",
];
/// More of them.
const MORE_KEYWORDS: [&str; 7] =
    ["tags", "tenant_id", "web_url.domain", "web_url.original", "web_url.path", "web_url.query", "web_url.scheme"];
/// Theirs that are dates.
const DATES: [&str; 9] = [
    "alert.created_datetime",
    "alert.evidence.process.creation_datetime",
    "alert.first_activity_datetime",
    "alert.last_activity_datetime",
    "alert.last_update_datetime",
    "alert.resolved_datetime",
    "comments.created_datetime",
    "created_datetime",
    "last_update_datetime",
];
/// Theirs that are addresses.
const ADDRESSES: [&str; 2] = ["alert.evidence.ip_address", "alert.evidence.sender_ip"];
/// Theirs that are numbers.
const NUMBERS: [&str; 2] = ["alert.evidence.parent_process.id", "alert.evidence.process.id"];
/// Ours, beside theirs: a cluster maps them as they come.
const OURS: [&str; 25] = [
    "alert.evidence.entity_type",
    "alert.evidence_count",
    "alerts_count",
    "changes.added",
    "changes.field",
    "changes.from",
    "changes.to",
    "comments_count",
    "description",
    "event_id",
    "filter",
    "first_seen",
    "odd",
    "original.left_out",
    "original.sha256",
    "original.size",
    "part.alert",
    "part.entity",
    "part.number",
    "part.of",
    "repaired",
    "sequence",
    "sink_sequence",
    "tenant",
    "truncated",
];

/// All names.
pub(crate) fn below_prefix() -> impl Iterator<Item = &'static str> {
    KEYWORDS.into_iter().chain(MORE_KEYWORDS).chain(DATES).chain(ADDRESSES).chain(NUMBERS).chain(OURS)
}

/// Every value has a known name and the type that goes with it.
pub(crate) fn check(below: &Value, used: &mut BTreeSet<String>) {
    leaves(below, "", &mut |path, value| {
        let text = value.as_str();
        let fits = match path {
            path if KEYWORDS.contains(&path) || MORE_KEYWORDS.contains(&path) => text.is_some(),
            path if DATES.contains(&path) => text.is_some_and(|text| text.parse::<Timestamp>().is_ok()),
            path if ADDRESSES.contains(&path) => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            path if NUMBERS.contains(&path) => value.as_i64().is_some(),
            path => OURS.contains(&path),
        };
        assert!(fits, "{path}: {value}");
        used.insert(path.to_owned());
    });
}

fn leaves(value: &Value, path: &str, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            leaves(value, &path, each);
        }),
        Value::Array(elements) => elements.iter().for_each(|element| leaves(element, path, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => each(path, value),
    }
}
