//! The fields of the schema that every record has. What has none stands in `custom`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::format::ecs::bounds::{Date, distinct, keyword, long, only, text, url};
use crate::format::ecs::related::Related;
use crate::format::ecs::subject::{File, Host, Process, Subject, User};
use crate::format::ecs::threat::Threat;
use crate::format::ecs::{Fields, Reading, VERSION};
use crate::model::content::alert::Alert;
use crate::model::event::Event;
use crate::model::words::Vocabulary;

/// Where the alerts of an incident come from several services, the one that made an incident of them.
const CORRELATION: &str = "Microsoft Defender XDR";

/// Determinations that the schema has a category for, with the type that this category allows.
const CATEGORIES: [(&str, &str, &str); 3] =
    [("malware", "malware", "info"), ("phishing", "email", "info"), ("apt", "threat", "indicator")];
/// Of every other determination, and of none.
const CATEGORY_ELSE: (&str, &str) = ("intrusion_detection", "info");

/// The severities in Elastic's numbers.
const SEVERITIES: [(&str, u8); 4] = [("informational", 1), ("low", 2), ("medium", 3), ("high", 4)];

/// The document, but for what stands below the prefix.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Date,
    ecs: Ecs,
    message: Cow<'a, str>,
    event: Fieldset<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<Cloud<'a>>,
    observer: Observer,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<Threat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Related<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Host<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Cow<'a, str>>,
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

/// `event.*`
#[derive(Serialize)]
struct Fieldset<'a> {
    kind: &'static str,
    category: [&'static str; 1],
    r#type: [&'static str; 1],
    action: &'static str,
    module: &'static str,
    dataset: &'static str,
    id: Cow<'a, str>,
    provider: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    created: Date,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a str>,
}

#[derive(Serialize)]
struct Cloud<'a> {
    account: Account<'a>,
}

#[derive(Serialize)]
struct Account<'a> {
    id: Cow<'a, str>,
}

#[derive(Serialize)]
struct Observer {
    vendor: &'static str,
    product: &'static str,
}

#[derive(Serialize)]
struct Labels<'a> {
    tenant: Cow<'a, str>,
}

impl<'a> Record<'a> {
    /// With the incident's own JSON, where that is wanted.
    pub(super) fn of(reading: Reading<'a>, with_original: bool) -> Self {
        let Reading { event, content, alert, .. } = reading;
        let alerts: Vec<Alert<'a>> = content.alerts().collect();
        let Subject { host, user, process, file } = alert.map(Subject::of).unwrap_or_default();
        Self {
            timestamp: Date(event.last_update.unwrap_or(event.observed_at)),
            ecs: Ecs { version: VERSION },
            message: message(reading),
            event: Fieldset::of(reading, &alerts, with_original.then_some(&event.incident)),
            cloud: content.tenant_id().map(|id| Cloud { account: Account { id: keyword(id) } }),
            observer: Observer { vendor: "Microsoft", product: "Defender XDR" },
            threat: Threat::of(&alerts),
            related: Related::of(&alerts),
            host,
            user,
            process,
            file,
            tags: distinct(content.tags().into_iter()),
            labels: Labels { tenant: keyword(event.tenant.as_str()) },
        }
    }
}

impl<'a> Fieldset<'a> {
    fn of(reading: Reading<'a>, alerts: &[Alert<'a>], original: Option<&'a RawValue>) -> Self {
        let Reading { event, content, fields, .. } = reading;
        let alert = about(reading);
        let (category, r#type) =
            category(alert.and_then(Alert::determination).as_deref(), content.determination().as_deref());
        let service = only(alerts.iter().filter_map(|alert| alert.service_source()));
        let start = alerts.iter().filter_map(|alert| alert.first_activity()).min().or(content.created());
        let end = alerts.iter().filter_map(|alert| alert.last_activity()).max();
        Self {
            kind: "alert",
            category: [category],
            r#type: [r#type],
            action: event.kind.as_str(),
            module: fields.module(),
            dataset: fields.dataset(),
            id: id(reading),
            provider: service
                .map_or(Cow::Borrowed(CORRELATION), |service| fields.word(Vocabulary::ServiceSource, service)),
            severity: severity(alert.and_then(Alert::severity).as_deref(), content.severity().as_deref()),
            sequence: long(event.sequence),
            created: Date(event.observed_at),
            start: start.map(Date),
            // An end before the start is a mistake of somebody's, and the start is the one that is always there.
            end: end.filter(|end| start.is_none_or(|start| start <= *end)).map(Date),
            url: alert.and_then(Alert::url).or(content.url()).and_then(url),
            original: original.map(RawValue::get),
        }
    }
}

/// The alert that a record goes by. Elastic's integration makes a document of each alert as well, but names it by its incident.
fn about(reading: Reading<'_>) -> Option<Alert<'_>> {
    match reading.fields {
        Fields::Defender => reading.alert,
        Fields::M365Defender => None,
    }
}

/// The alert's or the incident's; of a row without any, the event's.
fn id<'a>(reading: Reading<'a>) -> Cow<'a, str> {
    let of_incident = match reading.event.incident_id.as_str() {
        "" => keyword(reading.event.event_id.as_str()),
        id => keyword(id),
    };
    match about(reading).and_then(Alert::id) {
        Some(Cow::Borrowed(id)) => keyword(id),
        Some(Cow::Owned(id)) => Cow::Owned(keyword(&id).into_owned()),
        None => of_incident,
    }
}

fn message<'a>(reading: Reading<'a>) -> Cow<'a, str> {
    let title = about(reading).and_then(Alert::title).or(reading.content.title());
    let without = |event: &Event| Cow::Owned(format!("Incident {} {}", event.incident_id, event.kind));
    title.map_or_else(|| without(reading.event), text)
}

/// Of the alert's determination or else the incident's, whichever has one.
fn category(of_alert: Option<&str>, of_incident: Option<&str>) -> (&'static str, &'static str) {
    let known = |name: &str| CATEGORIES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    let found = [of_alert, of_incident].into_iter().flatten().find_map(known);
    found.map_or(CATEGORY_ELSE, |(_, category, kind)| (*category, *kind))
}

/// Of the alert's word or else the incident's, whichever is one.
fn severity(of_alert: Option<&str>, of_incident: Option<&str>) -> Option<u8> {
    let known = |name: &str| SEVERITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    [of_alert, of_incident].into_iter().flatten().find_map(known).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_severity_has_its_number_and_no_other_word_has_one() {
        let check = |of_alert, of_incident, expected| {
            assert_eq!(severity(of_alert, of_incident), expected, "{of_alert:?} {of_incident:?}");
        };
        for (name, number) in [("Informational", 1), ("low", 2), ("Medium", 3), ("HIGH", 4)] {
            check(None, Some(name), Some(number));
            check(Some(name), Some("low"), Some(number));
            check(Some("unspecified"), Some(name), Some(number));
        }
        for name in [None, Some(""), Some("unknown"), Some("High|10")] {
            check(None, name, None);
        }
    }

    #[test]
    fn a_determination_without_a_category_of_its_own_is_a_detection() {
        let check = |of_alert, of_incident, expected| {
            assert_eq!(category(of_alert, of_incident), expected, "{of_alert:?} {of_incident:?}");
        };
        check(None, Some("Malware"), ("malware", "info"));
        check(Some("phishing"), Some("Malware"), ("email", "info"));
        check(Some("NotAvailable"), Some("Apt"), ("threat", "indicator"));
        for name in [None, Some("NotAvailable"), Some("MultiStagedAttack"), Some("")] {
            check(None, name, ("intrusion_detection", "info"));
        }
    }
}
