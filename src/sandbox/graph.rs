//! Incidents and alerts as Microsoft Graph writes them, made of the same facts as Defender's. Knows nothing of calls.
//!
//! - [`evidence`]: devices and entities
//! - [`words`]: values of enumerations

pub mod evidence;
pub mod words;

use serde::Serialize;

use crate::sandbox::alert::AlertJson as Told;
use crate::sandbox::graph::evidence::Evidence;
use crate::sandbox::incident::{Comment, Incident};
use crate::sandbox::stamp::Trimmed;

/// Tags that the platform gives; the others are the customer's.
const SYSTEM_TAGS: [&str; 2] = ["Redirected", "ransomware"];

/// For whom it is written.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The tenant.
    pub tenant_id: &'a str,
    /// Members of enumerations that are newer than `unknownFutureValue` are wanted as they are.
    pub wants_newer: bool,
}

/// What is written of an incident's alerts.
#[derive(Debug, Clone, Default)]
pub enum Alerts {
    /// Nothing: `$expand` was not asked for.
    #[default]
    Apart,
    /// All.
    Within,
    /// The first so many, and the link where the others are.
    Cut(usize, String),
    /// Every second one, as where a part of the answer failed.
    Holed,
}

/// An incident.
pub fn incident(incident: &Incident, reader: Reader<'_>, alerts: &Alerts) -> String {
    let alert = |told| AlertJson::new(told, reader);
    let mut all = incident.alerts_json();
    let (next_link, alerts) = match alerts {
        Alerts::Apart => (None, None),
        Alerts::Within => (None, Some(all.map(alert).collect())),
        Alerts::Cut(most, link) => {
            let link = (*most < all.len()).then(|| link.clone());
            (link, Some(all.by_ref().take(*most).map(alert).collect()))
        }
        Alerts::Holed => (None, Some(all.skip(1).step_by(2).map(alert).collect())),
    };
    let (system, custom): (Vec<_>, Vec<_>) = incident.tags.iter().partition(|tag| SYSTEM_TAGS.contains(tag));
    incident.written(&IncidentJson {
        id: incident.number().to_string(),
        tenant_id: reader.tenant_id,
        status: words::plain(incident.status().as_str()),
        incident_web_url: web_url(incident.number().0, reader.tenant_id),
        redirect_incident_id: incident.redirected_to.map(|number| number.to_string()),
        display_name: &incident.name,
        created_date_time: Trimmed(incident.created()),
        last_update_date_time: Trimmed(incident.last_update()),
        assigned_to: incident.assigned_to(),
        classification: words::plain(incident.classification),
        determination: words::determination(incident.determination),
        severity: words::plain(incident.severity()),
        custom_tags: custom,
        system_tags: system,
        description: incident.description(),
        last_modified_by: incident.assigned_to().unwrap_or("Microsoft 365 Defender-IncidentCreation"),
        resolving_comment: None,
        summary: None,
        priority_score: 1 + incident.number().0 % 100,
        comments: incident.comments.iter().map(CommentJson::from).collect(),
        next_link,
        alerts,
    })
}

/// The alerts of an incident, from the one after `skip` on.
pub fn alerts(incident: &Incident, reader: Reader<'_>, skip: usize, most: usize) -> Vec<String> {
    let told = incident.alerts_json().skip(skip).take(most);
    told.map(|told| incident.written(&AlertJson::new(told, reader))).collect()
}

fn web_url(number: u64, tenant_id: &str) -> String {
    format!("https://security.microsoft.com/incident2/{number}/overview?tid={tenant_id}")
}

/// An incident on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IncidentJson<'a> {
    id: String,
    tenant_id: &'a str,
    status: String,
    incident_web_url: String,
    redirect_incident_id: Option<String>,
    display_name: &'a str,
    created_date_time: Trimmed,
    last_update_date_time: Trimmed,
    assigned_to: Option<&'static str>,
    classification: String,
    determination: String,
    severity: String,
    custom_tags: Vec<&'static str>,
    system_tags: Vec<&'static str>,
    description: Option<String>,
    last_modified_by: &'static str,
    // Null on the wire.
    resolving_comment: Option<()>,
    summary: Option<()>,
    priority_score: u64,
    comments: Vec<CommentJson>,
    #[serde(rename = "alerts@odata.nextLink", skip_serializing_if = "Option::is_none")]
    next_link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<AlertJson<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommentJson {
    comment: &'static str,
    created_by_display_name: &'static str,
    created_date_time: Trimmed,
}

impl From<&Comment> for CommentJson {
    fn from(comment: &Comment) -> Self {
        Self { comment: comment.text, created_by_display_name: comment.by, created_date_time: Trimmed(comment.at) }
    }
}

/// An alert on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertJson<'a> {
    id: String,
    provider_alert_id: String,
    incident_id: String,
    status: String,
    severity: String,
    classification: Option<String>,
    determination: Option<String>,
    service_source: String,
    detection_source: String,
    detector_id: Option<String>,
    tenant_id: &'a str,
    title: &'static str,
    description: String,
    recommended_actions: &'static str,
    category: &'static str,
    assigned_to: Option<&'static str>,
    alert_web_url: String,
    incident_web_url: String,
    actor_display_name: Option<&'static str>,
    threat_display_name: Option<&'static str>,
    threat_family_name: Option<&'static str>,
    mitre_techniques: &'static [&'static str],
    investigation_state: String,
    created_date_time: Trimmed,
    last_update_date_time: Trimmed,
    resolved_date_time: Option<Trimmed>,
    first_activity_date_time: Trimmed,
    last_activity_date_time: Trimmed,
    system_tags: [u8; 0],
    comments: [u8; 0],
    evidence: Vec<Evidence>,
}

impl<'a> AlertJson<'a> {
    fn new(told: Told, reader: Reader<'a>) -> Self {
        let created = told.creation_time;
        let of_devices = told.devices.into_iter().map(|device| Evidence::Device(device, created));
        let evidence = of_devices.chain(told.entities.into_iter().map(Evidence::Entity)).collect();
        Self {
            // Two letters of the provider stand in front.
            provider_alert_id: told.alert_id[2..].to_owned(),
            incident_id: told.incident_id.to_string(),
            status: words::plain(told.status),
            severity: words::plain(told.severity),
            classification: told.classification.map(words::plain),
            determination: told.determination.map(words::determination),
            service_source: words::service_source(told.service_source, reader.wants_newer),
            detection_source: words::detection_source(told.detection_source, reader.wants_newer),
            detector_id: told.detector_id,
            tenant_id: reader.tenant_id,
            title: told.title,
            description: told.description,
            recommended_actions: "Collect artifacts and determine scope\n\tReview the timeline.",
            category: told.category,
            assigned_to: told.assigned_to,
            alert_web_url: format!("https://security.microsoft.com/alerts/{}?tid={}", told.alert_id, reader.tenant_id),
            incident_web_url: web_url(told.incident_id, reader.tenant_id),
            actor_display_name: told.actor_name,
            threat_display_name: None,
            threat_family_name: told.threat_family_name,
            mitre_techniques: told.mitre_techniques,
            investigation_state: words::plain(told.investigation_state),
            created_date_time: created,
            last_update_date_time: told.last_updated_time,
            resolved_date_time: told.resolved_time,
            first_activity_date_time: told.first_activity,
            last_activity_date_time: told.last_activity,
            system_tags: [],
            comments: [],
            evidence,
            id: told.alert_id,
        }
    }
}
