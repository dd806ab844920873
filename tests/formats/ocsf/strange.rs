//! Incidents and events with any text in every place. No test is in here.

use proptest::prelude::*;
use serde_json::Value;
use xdrelay::model::event::{Event, Kind};
use xdrelay::model::names::{EventId, IncidentId, TenantName};

use crate::event_of;

/// A text of any kind, those among them that a line, a field or an enumeration could trip over.
fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => any::<String>().prop_map(Value::from),
        2 => "[\\x00-\\x1f\"\\\\|=\\]\u{85}\u{2028}\u{2029}\u{202e}\u{fffd}a-c ]{0,12}".prop_map(Value::from),
        1 => Just(Value::Null),
        1 => prop::sample::select(vec!["Active", "Redirected", "High", "TruePositive", "T1059.001", "Execution", "192.0.2.1",
            "2026-11-20T08:00:00Z", "9999-12-31T23:59:59.9999999Z", "User", "Process", "#microsoft.graph.security.deviceEvidence"])
            .prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
    ]
}

/// An object with any of these members, each any text.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec(text(), names.len()).prop_map(|values| {
        names.iter().map(|name| (*name).to_owned()).zip(values).collect::<serde_json::Map<_, _>>().into()
    })
}

/// An incident of either dialect with arbitrary texts in every member.
fn incident() -> impl Strategy<Value = String> {
    const HEAD: &[&str] = &[
        "incidentName",
        "displayName",
        "status",
        "severity",
        "classification",
        "determination",
        "assignedTo",
        "redirectIncidentId",
        "description",
        "summary",
        "incidentUri",
        "incidentWebUrl",
        "tenantId",
        "createdTime",
        "createdDateTime",
    ];
    const ALERT: &[&str] = &[
        "alertId",
        "id",
        "providerAlertId",
        "title",
        "description",
        "recommendedActions",
        "category",
        "severity",
        "status",
        "classification",
        "determination",
        "assignedTo",
        "serviceSource",
        "detectionSource",
        "detectorId",
        "actorName",
        "threatFamilyName",
        "alertWebUrl",
        "creationTime",
        "lastUpdatedTime",
        "resolvedTime",
        "firstActivity",
        "lastActivity",
    ];
    const DEVICE: &[&str] =
        &["deviceDnsName", "mdatpDeviceId", "aadDeviceId", "osPlatform", "version", "lastIpAddress"];
    const ENTITY: &[&str] = &[
        "entityType",
        "@odata.type",
        "accountName",
        "domainName",
        "userSid",
        "aadUserId",
        "userPrincipalName",
        "fileName",
        "filePath",
        "sha1",
        "sha256",
        "processCommandLine",
        "ipAddress",
        "url",
        "mailboxAddress",
        "sender",
        "recipient",
        "subject",
        "internetMessageId",
        "registryKey",
        "registryValue",
        "verdict",
        "remediationStatus",
        "deviceDnsName",
    ];
    const COMMENT: &[&str] = &["comment", "createdBy", "createdTime"];
    let list = |names| prop::collection::vec(object(names), 0..3);
    let alert = (object(ALERT), list(DEVICE), list(ENTITY), list(ENTITY), prop::collection::vec(text(), 0..4))
        .prop_map(|(mut alert, devices, entities, evidence, techniques)| {
            alert["devices"] = devices.into();
            alert["entities"] = entities.into();
            alert["evidence"] = evidence.into();
            alert["mitreTechniques"] = techniques.into();
            alert
        });
    let lists = (prop::collection::vec(text(), 0..4), list(COMMENT), prop::collection::vec(alert, 0..3));
    (object(HEAD), lists).prop_map(|(mut incident, (tags, comments, alerts))| {
        incident["tags"] = tags.into();
        incident["comments"] = comments.into();
        incident["alerts"] = alerts.into();
        incident.to_string()
    })
}

/// An event around it whose own texts are arbitrary too.
pub(super) fn any_event() -> impl Strategy<Value = Event> {
    (incident(), any::<[String; 4]>(), 0..Kind::ALL.len(), any::<Option<u64>>()).prop_map(
        |(incident, [event_id, tenant, id, odd], kind, sequence)| {
            let mut event = event_of(&incident, Kind::ALL[kind]);
            event.event_id = EventId::new(event_id);
            event.tenant = TenantName::new(tenant);
            event.incident_id = IncidentId::new(id);
            event.notes.odd = Some(odd);
            event.for_sink.sequence = sequence;
            event
        },
    )
}
