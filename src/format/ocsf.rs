//! OCSF: an incident as one Incident Finding (class 2005) of the release that the receiver reads. Nothing is written that the
//! release does not know or has deprecated; what has no place in it is in `unmapped`, and nothing is made up but what the
//! schema requires.

mod attack;
mod finding;
mod line;
mod normal;
mod observable;
mod unmapped;
mod version;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format::fit::sha256;
use crate::format::ocsf::attack::Attack;
use crate::format::ocsf::finding::{FINDINGS_MAX, FindingInfo, findings};
use crate::format::ocsf::line::line;
use crate::format::ocsf::normal::{Normal, activity, severity, status, verdict};
use crate::format::ocsf::observable::{Observable, observables};
use crate::format::ocsf::unmapped::Unmapped;
use crate::format::ocsf::version::{Text, Version};
use crate::model::content::alert::Alert;
use crate::model::content::{Comment, Content};
use crate::model::event::Event;
use crate::model::timestamp::Timestamp;

/// The release where nobody sets one. A receiver of a later 1.x reads it, one of an earlier does not read later ones.
const VERSION_DEFAULT: Version = Version::V1_5;
/// Names of the creation in both dialects, for its text as it came.
const CREATED: [&str; 2] = ["createdTime", "createdDateTime"];
/// Attacks of the whole incident at most; each finding has its own besides.
const ATTACKS_MAX: usize = 256;

/// The keys of `ocsf = { … }` of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Ocsf")]
pub struct Config {
    /// The release of the schema: `1.1.0`, which had the class first, to `1.8.0`.
    #[schemars(extend("enum" = Version::ALL.map(Version::as_str)))]
    pub version: String,
    /// The incident as it came, in `raw_data`: twice as many bytes.
    pub raw_data: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { version: VERSION_DEFAULT.as_str().to_owned(), raw_data: false }
    }
}

impl Config {
    /// What is wrong with the settings as far as they alone tell: the key below `ocsf`, and what would be right.
    pub fn validate(&self) -> Vec<(String, String)> {
        match Version::named(&self.version) {
            Some(_) => Vec::new(),
            None => {
                let known = Version::ALL.map(Version::as_str).join(", ");
                vec![("version".into(), format!("no release of OCSF that xdrelay writes: one of {known}"))]
            }
        }
    }
}

/// The class, its attributes in the order of what people look at first.
#[derive(Debug, Serialize)]
struct IncidentFinding<'a> {
    class_uid: u16,
    class_name: &'static str,
    category_uid: u8,
    category_name: &'static str,
    activity_id: u8,
    activity_name: &'static str,
    type_uid: u32,
    type_name: &'static str,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<u64>,
    timezone_offset: u8,
    severity_id: u8,
    severity: Text<'a>,
    status_id: u8,
    status: Text<'a>,
    verdict_id: u8,
    verdict: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<Named<Text<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee_group: Option<Named<&'static str>>,
    metadata: Metadata<'a>,
    finding_info_list: &'a [FindingInfo<'a>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attacks: Vec<Attack<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observables: Vec<Observable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_data_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_data_hash: Option<Fingerprint>,
    unmapped: Unmapped<'a>,
}

/// A user or a group.
#[derive(Debug, Serialize)]
struct Named<T> {
    name: T,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    version: &'static str,
    product: Product,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    profiles: &'static [&'static str],
    uid: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_event_uid: Option<Text<'a>>,
    tenant_uid: Text<'a>,
    sequence: u64,
    log_name: &'static str,
    log_provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_time: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_time: Option<u64>,
    logged_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    untruncated_size: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
}

/// A SHA-256.
#[derive(Debug, Serialize)]
struct Fingerprint {
    algorithm_id: u8,
    algorithm: &'static str,
    value: String,
}

/// What a record is made from.
struct Source<'a> {
    version: Version,
    event: &'a Event,
    content: &'a Content<'a>,
    /// Those that the record is about.
    alerts: Vec<Alert<'a>>,
}

impl<'a> Source<'a> {
    /// All alerts of the incident, or the one that a part of it names.
    fn of(version: Version, event: &'a Event, content: &'a Content<'a>) -> Self {
        let named = event.for_sink.part.as_ref().and_then(|part| part.alert.as_deref());
        let is_named = |alert: &Alert<'a>| named.is_some() && alert.id().as_deref() == named;
        let alerts = match content.alerts().find(is_named) {
            Some(alert) => vec![alert],
            None => content.alerts().collect(),
        };
        Self { version, event, content, alerts }
    }

    fn text(&self, text: &'a str) -> Text<'a> {
        self.version.text(text)
    }
}

/// One event as one record.
pub fn render(event: &Event, config: &Config) -> Vec<u8> {
    // Settings that were not validated get the default rather than nothing.
    let version = Version::named(&config.version).unwrap_or(VERSION_DEFAULT);
    let content = Content::of(event.incident.get());
    let source = Source::of(version, event, &content);
    let findings = findings(&source);
    let mut record = record(&source, &findings);
    if config.raw_data {
        add_raw_data(version, event.incident.get(), &mut record);
    }
    line(&record, event.incident.get().len() + 2_048)
}

fn record<'a>(source: &Source<'a>, findings: &'a [FindingInfo<'a>]) -> IncidentFinding<'a> {
    let Source { version, event, content, .. } = *source;
    let activity = activity(event.kind);
    let severity: Normal<'a> = severity(version, content.severity());
    let status: Normal<'a> = status(version, content.status());
    let verdict: Normal<'a> = verdict(version, content.classification());
    let (start_time, end_time) = span(&source.alerts);
    let (observables, left_out) = observables(version, source.alerts.iter().take(FINDINGS_MAX).copied());
    let mut unmapped = Unmapped::of(source, findings);
    unmapped.left_out.observables = left_out;
    IncidentFinding {
        class_uid: 2005,
        class_name: "Incident Finding",
        category_uid: 2,
        category_name: "Findings",
        activity_id: activity.id,
        activity_name: activity.name,
        type_uid: activity.type_uid,
        type_name: activity.type_name,
        time: millis(time(source)),
        start_time,
        end_time,
        timezone_offset: 0,
        severity_id: severity.id,
        severity: severity.caption,
        status_id: status.id,
        status: status.caption,
        verdict_id: verdict.id,
        verdict: verdict.caption,
        message: content.title().map(|title| source.text(title)),
        desc: content.description().map(|text| source.text(text)),
        comment: content.comments().filter_map(Comment::text).last().map(|text| source.text(text)),
        src_url: content.url().map(|url| source.text(url)),
        assignee: content.assignee().map(|name| Named { name: source.text(name) }),
        // One of the two must be there, also where nobody is assigned.
        assignee_group: content.assignee().is_none().then_some(Named { name: "Unassigned" }),
        metadata: metadata(source),
        finding_info_list: findings,
        attacks: attacks(findings),
        observables,
        raw_data: None,
        raw_data_size: None,
        raw_data_hash: None,
        unmapped,
    }
}

fn metadata<'a>(source: &Source<'a>) -> Metadata<'a> {
    let Source { version, event, content, .. } = *source;
    let incident = Some(event.incident_id.as_str()).filter(|id| !id.is_empty()).map(|id| source.text(id));
    let original = event.for_sink.original.as_ref();
    let is_truncated = event.notes.truncated || original.is_some();
    Metadata {
        version: version.as_str(),
        product: Product { name: "Microsoft Defender XDR", vendor_name: "Microsoft" },
        profiles: if Version::V1_4 <= version { &["incident"] } else { &[] },
        uid: source.text(event.event_id.as_str()),
        original_event_uid: incident.clone().filter(|_| Version::V1_7 <= version),
        correlation_uid: incident,
        tenant_uid: source.text(event.tenant.as_str()),
        sequence: event.sequence,
        log_name: "incidents",
        log_provider: "xdrelay",
        original_time: content.root().first(&CREATED).text().map(|time| source.text(time)),
        modified_time: event.last_update.map(millis),
        logged_time: millis(event.observed_at),
        is_truncated: (is_truncated && Version::V1_6 <= version).then_some(true),
        untruncated_size: original.map(|original| original.size).filter(|_| Version::V1_6 <= version),
    }
}

/// Those of all findings, each once.
fn attacks<'a>(findings: &[FindingInfo<'a>]) -> Vec<Attack<'a>> {
    let mut known = BTreeSet::new();
    let all = findings.iter().flat_map(|finding| finding.attacks.iter().copied());
    all.filter(|attack| known.insert(*attack)).take(ATTACKS_MAX).collect()
}

/// When the incident was created; where it does not say, when the first of its alerts was; else its revision; else when we
/// took it in. The attribute is required.
fn time(source: &Source<'_>) -> Timestamp {
    let of_alerts = || source.alerts.iter().filter_map(|alert| alert.created()).min();
    source.content.created().or_else(of_alerts).or(source.event.last_update).unwrap_or(source.event.observed_at)
}

/// From the first activity to the last one.
fn span(alerts: &[Alert<'_>]) -> (Option<u64>, Option<u64>) {
    let start = alerts.iter().filter_map(|alert| alert.first_activity()).min();
    let end = alerts.iter().filter_map(|alert| alert.last_activity()).max();
    (start.map(millis), end.map(millis))
}

fn add_raw_data<'a>(version: Version, incident: &'a str, record: &mut IncidentFinding<'a>) {
    record.raw_data = version.whole_text(incident);
    record.unmapped.left_out.raw_data = record.raw_data.is_none();
    if Version::V1_5 <= version {
        record.raw_data_size = Some(incident.len());
    }
    if Version::V1_6 <= version {
        let value = sha256(incident);
        record.raw_data_hash = Some(Fingerprint { algorithm_id: 3, algorithm: "SHA-256", value });
    }
}

/// `timestamp_t`: milliseconds since 1970, rounded down.
const fn millis(time: Timestamp) -> u64 {
    time.ticks() / 10_000
}
