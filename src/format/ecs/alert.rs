//! One alert below the prefix.

use std::borrow::Cow;

use serde::Serialize;

use crate::format::ecs::Fields;
use crate::format::ecs::bounds::{Date, EVIDENCE_MAX, distinct, keyword, short, text};
use crate::format::ecs::custom::Link;
use crate::format::ecs::evidence::Evidence;
use crate::model::content;
use crate::model::words::Vocabulary;

/// The members.
#[derive(Serialize)]
pub(super) struct Alert<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_alert_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recommended_actions: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    determination: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_to: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_source: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detection_source: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detector_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_display_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat_family_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mitre_techniques: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_web_url: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_datetime: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_datetime: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_datetime: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_activity_datetime: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activity_datetime: Option<Date>,
    /// The first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<Evidence<'a>>,
    evidence_count: usize,
}

impl<'a> Alert<'a> {
    /// All of them.
    pub(super) fn of(alert: content::alert::Alert<'a>, fields: Fields) -> Self {
        let word = |vocabulary, word: Option<Cow<'a, str>>| word.map(|word| fields.word(vocabulary, word));
        let devices = alert.devices().map(|device| Evidence::of_device(device, fields));
        let entities = alert.entities().map(|entity| Evidence::of_entity(entity, fields));
        Self {
            id: alert.id().map(short),
            provider_alert_id: alert.provider_id().map(keyword),
            title: alert.title().map(text),
            description: alert.description().map(text),
            recommended_actions: alert.recommended_actions().map(text),
            category: alert.category().map(keyword),
            severity: word(Vocabulary::Severity, alert.severity()),
            status: word(Vocabulary::Status, alert.status()),
            classification: word(Vocabulary::Classification, alert.classification()),
            determination: word(Vocabulary::Determination, alert.determination()),
            assigned_to: alert.assignee().map(keyword),
            service_source: word(Vocabulary::ServiceSource, alert.service_source()),
            detection_source: word(Vocabulary::DetectionSource, alert.detection_source()),
            detector_id: alert.detector_id().map(keyword),
            actor_display_name: alert.actor().map(keyword),
            threat_family_name: alert.threat_family().map(keyword),
            mitre_techniques: distinct(alert.techniques()),
            alert_web_url: alert.url().and_then(|url| Link::of(url, fields)),
            created_datetime: alert.created().map(Date),
            last_update_datetime: alert.last_update().map(Date),
            resolved_datetime: alert.resolved().map(Date),
            first_activity_datetime: alert.first_activity().map(Date),
            last_activity_datetime: alert.last_activity().map(Date),
            evidence: devices.chain(entities).take(EVIDENCE_MAX).collect(),
            evidence_count: alert.devices().count() + alert.entities().count(),
        }
    }
}
