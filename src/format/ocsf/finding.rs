//! `finding_info_list`: one finding per alert. An incident without alerts has one that is the incident itself, since the list is
//! required and an empty one finds nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::ocsf::attack::Attack;
use crate::format::ocsf::version::{Text, Version};
use crate::format::ocsf::{Source, millis};
use crate::model::content::alert::Alert;
use crate::model::event::Event;
use crate::model::hash::ContentHash;

/// Findings of one record at most.
pub(in crate::format::ocsf) const FINDINGS_MAX: usize = 1_024;
/// Techniques of one alert at most.
const TECHNIQUES_MAX: usize = 64;

#[derive(Debug, Serialize)]
pub(in crate::format::ocsf) struct FindingInfo<'a> {
    pub(in crate::format::ocsf) uid: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_alt: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    types: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<Product<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_uid: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data_sources: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    analytic: Option<Analytic<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::format::ocsf) attacks: Vec<Attack<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_events: Vec<RelatedEvent<'a>>,
}

/// The product of an alert; that of the record is `metadata.product`.
#[derive(Debug, Serialize)]
struct Product<'a> {
    name: Text<'a>,
}

/// What found it. The source gives its id alone.
#[derive(Debug, Serialize)]
struct Analytic<'a> {
    uid: Text<'a>,
    type_id: u8,
    #[serde(rename = "type")]
    caption: &'static str,
}

/// The incident into which this one was merged.
#[derive(Debug, Serialize)]
struct RelatedEvent<'a> {
    uid: Text<'a>,
    /// Deprecated in 1.2.0, and back with a meaning of its own in 1.4.0: an event that is not one of OCSF.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    caption: Option<&'static str>,
}

/// The findings of the alerts, or that of the incident where there is none.
pub(in crate::format::ocsf) fn findings<'a>(source: &Source<'a>) -> Vec<FindingInfo<'a>> {
    let version = source.version;
    let mut uids = Uids { event: source.event, known: BTreeMap::new() };
    let alerts = source.alerts.iter().take(FINDINGS_MAX);
    let mut findings: Vec<FindingInfo<'a>> = alerts.map(|alert| of_alert(version, *alert, &mut uids)).collect();
    if findings.is_empty() {
        findings.push(of_incident(source));
    }
    if let Some(other) = source.content.redirected_to() {
        let caption = (version == Version::V1_1 || Version::V1_4 <= version).then_some("Incident");
        for finding in &mut findings {
            finding.related_events.push(RelatedEvent { uid: version.text(other.clone()), caption });
        }
    }
    findings
}

fn of_alert<'a>(version: Version, alert: Alert<'a>, uids: &mut Uids<'a>) -> FindingInfo<'a> {
    let text = |text: &'a str| version.text(text);
    let uid = match alert.id() {
        Some(id) => version.text(id),
        None => version.text(uids.stand_in(alert)),
    };
    let alternative = alert.provider_id().filter(|id| *id != uid.as_str()).filter(|_| Version::V1_4 <= version);
    let (old_product, product) = match Version::V1_4 <= version {
        true => (None, alert.service_source().map(|name| Product { name: version.text(name) })),
        false => (alert.service_source().map(|name| version.text(name)), None),
    };
    let tactic = alert.category().and_then(Attack::of_category);
    FindingInfo {
        title: title(version, alert.title(), &uid),
        uid,
        uid_alt: alternative.map(text),
        desc: alert.description().map(text),
        types: alert.category().map(text).into_iter().collect(),
        src_url: alert.url().map(text),
        created_time: alert.created().map(millis),
        modified_time: alert.last_update().map(millis),
        first_seen_time: alert.first_activity().map(millis),
        last_seen_time: alert.last_activity().map(millis),
        product,
        product_uid: old_product,
        data_sources: alert.detection_source().map(|name| version.text(name)).into_iter().collect(),
        analytic: alert.detector_id().map(|id| Analytic { uid: version.text(id), type_id: 0, caption: "Unknown" }),
        attacks: tactic
            .into_iter()
            .chain(alert.techniques().take(TECHNIQUES_MAX).filter_map(Attack::of_technique))
            .collect(),
        related_events: Vec::new(),
    }
}

fn of_incident<'a>(source: &Source<'a>) -> FindingInfo<'a> {
    let Source { version, event, content, .. } = *source;
    let incident = event.incident_id.as_str();
    let uid = version.text(if incident.is_empty() { event.event_id.as_str() } else { incident });
    FindingInfo {
        title: title(version, content.title(), &uid),
        uid,
        uid_alt: None,
        desc: content.description().map(|text| version.text(text)),
        types: Vec::new(),
        src_url: content.url().map(|text| version.text(text)),
        created_time: content.created().map(millis),
        modified_time: event.last_update.map(millis),
        first_seen_time: None,
        last_seen_time: None,
        product: None,
        product_uid: None,
        data_sources: Vec::new(),
        analytic: None,
        attacks: Vec::new(),
        related_events: Vec::new(),
    }
}

/// Required up to 1.3.0, so that there a finding without a title has its uid for one.
fn title<'a>(version: Version, title: Option<&'a str>, uid: &Text<'a>) -> Option<Text<'a>> {
    title.map(|title| version.text(title)).or_else(|| (version < Version::V1_4).then(|| uid.clone()))
}

/// Stand-ins for ids that are missing: required, and the same in every revision and in a part of a split event.
struct Uids<'a> {
    event: &'a Event,
    known: BTreeMap<String, usize>,
}

impl<'a> Uids<'a> {
    /// The provider's id; else the incident's and a hash over what does not change in the life of an alert, with a number where
    /// two are the same even so.
    fn stand_in(&mut self, alert: Alert<'a>) -> String {
        if let Some(id) = alert.provider_id() {
            return id.to_owned();
        }
        let service = alert.service_source();
        let stable = [alert.title(), alert.category(), service.as_deref(), alert.detector_id()];
        let created = alert.created().unwrap_or_default().ticks();
        let stable = stable.map(Option::unwrap_or_default).join("\n");
        let hash = ContentHash::of(&format!("alert\n{stable}\n{created}"));
        let uid = format!("{}/{hash}", self.event.incident_id);
        let count = self.known.entry(uid.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { uid } else { format!("{uid}-{count}") }
    }
}
