//! What a line of text says of an event, the same for every such format: of the incident, or of the one alert that a part of a
//! split event is about. Which keys and how many bytes is the format's business.

use core::net::IpAddr;
use std::borrow::Cow;

use crate::model::content::Content;
use crate::model::content::alert::Alert;
use crate::model::content::entity::{Entity, EntityKind};
use crate::model::delivery::{Passage, Reduction};
use crate::model::event::Event;
use crate::model::timestamp::Timestamp;
use crate::model::words::Vocabulary;

/// Whose product it is.
pub(crate) const VENDOR: &str = "Microsoft";
/// The product that events come from; the one that carries them is not named.
pub(crate) const PRODUCT: &str = "Defender XDR";
/// A service has no version: this is the version of our tables of fields, raised when a field changes its meaning.
pub(crate) const VERSION: &str = "1.0";

/// Elements of one list at most.
const LIST_LENGTH_MAX: usize = 16;

/// A list of different texts.
pub(crate) type List<'c> = Vec<Cow<'c, str>>;

/// What there is to say.
#[derive(Debug)]
pub(crate) struct Gist<'c> {
    /// `incident`, or `alert`.
    pub(crate) subject: &'static str,
    /// The id of that alert; empty where it has none.
    pub(crate) alert_id: Option<&'c str>,
    /// The name of the entity that the part is about.
    pub(crate) entity: Option<&'c str>,
    pub(crate) title: Option<&'c str>,
    pub(crate) description: Option<&'c str>,
    pub(crate) status: Option<Cow<'c, str>>,
    pub(crate) severity: Option<Cow<'c, str>>,
    pub(crate) classification: Option<Cow<'c, str>>,
    pub(crate) determination: Option<Cow<'c, str>>,
    pub(crate) assignee: Option<&'c str>,
    pub(crate) url: Option<&'c str>,
    pub(crate) redirected_to: Option<Cow<'c, str>>,
    /// The time of the revision, or where that has none when we took it in.
    pub(crate) time: Timestamp,
    pub(crate) created: Option<Timestamp>,
    /// Of all alerts the earliest.
    pub(crate) first_activity: Option<Timestamp>,
    /// Of all alerts the latest.
    pub(crate) last_activity: Option<Timestamp>,
    /// How many alerts the incident has, where all of them are there.
    pub(crate) alert_count: Option<u64>,
    pub(crate) tags: List<'c>,
    pub(crate) categories: List<'c>,
    pub(crate) services: List<'c>,
    pub(crate) techniques: List<'c>,
    pub(crate) hosts: List<'c>,
    pub(crate) users: List<'c>,
    /// What is an IP address, and no other text that stands in its place.
    pub(crate) addresses: List<'c>,
    /// SHA-256 of files, or SHA-1 where that is all; likewise nothing but digits.
    pub(crate) hashes: List<'c>,
}

impl<'c> Gist<'c> {
    /// What the event says; `content` is its incident.
    pub(crate) fn of(event: &'c Event, content: &'c Content<'_>) -> Self {
        let part = event.for_sink.part.as_ref();
        let alert_id = part.and_then(|part| part.alert.as_deref());
        // A part has its own alert alone, or none where it had to be reduced.
        let alert = alert_id.and(content.alerts().next());
        let is_whole = part.is_none() && !event.notes.truncated;
        let either = |of_alert: fn(Alert<'c>) -> Option<&'c str>, of_incident: Option<&'c str>| match alert_id {
            Some(_) => alert.and_then(of_alert),
            None => of_incident,
        };
        let word = |of_alert: fn(Alert<'c>) -> Option<Cow<'c, str>>, of_incident: Option<Cow<'c, str>>| match alert_id {
            Some(_) => alert.and_then(of_alert),
            None => of_incident,
        };
        let severity = || event.severity.as_deref().map(|word| Vocabulary::Severity.written(word));
        let mut gist = Self {
            subject: if alert_id.is_some() { "alert" } else { "incident" },
            alert_id,
            entity: part.and_then(|part| part.entity.as_deref()),
            title: either(Alert::title, content.title()),
            description: either(Alert::description, content.description()),
            status: word(Alert::status, content.status()),
            severity: word(Alert::severity, content.severity().or_else(severity)),
            classification: word(Alert::classification, content.classification()),
            determination: word(Alert::determination, content.determination()),
            assignee: either(Alert::assignee, content.assignee()),
            url: alert.and_then(Alert::url).or(content.url()),
            redirected_to: content.redirected_to(),
            time: event.last_update.unwrap_or(event.observed_at),
            created: alert.map_or(content.created(), Alert::created),
            first_activity: None,
            last_activity: None,
            alert_count: is_whole.then(|| content.alerts().count() as u64),
            tags: content.tags().into_iter().take(LIST_LENGTH_MAX).map(Cow::Borrowed).collect(),
            categories: List::new(),
            services: List::new(),
            techniques: List::new(),
            hosts: List::new(),
            users: List::new(),
            addresses: List::new(),
            hashes: List::new(),
        };
        content.alerts().for_each(|alert| gist.add(alert));
        gist
    }

    fn add(&mut self, alert: Alert<'c>) {
        let first = alert.first_activity().into_iter().chain(self.first_activity).min();
        let last = alert.last_activity().into_iter().chain(self.last_activity).max();
        (self.first_activity, self.last_activity) = (first, last);
        note(&mut self.categories, alert.category());
        note(&mut self.services, alert.service_source());
        alert.techniques().for_each(|technique| note(&mut self.techniques, Some(technique)));
        alert.devices().for_each(|device| note(&mut self.hosts, device.name()));
        for entity in alert.entities() {
            let is_hash = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            note(&mut self.hashes, entity.sha256().or(entity.sha1()).filter(is_hash));
            note(&mut self.addresses, entity.address().filter(|text| text.parse::<IpAddr>().is_ok()));
            note(&mut self.users, user(entity));
        }
    }
}

/// Who an entity is, or acts as; of a mail whose account nobody says who got it, which is the same one.
fn user(entity: Entity<'_>) -> Option<Cow<'_, str>> {
    let account = || match (entity.account_domain(), entity.account_name()?) {
        (Some(domain), name) => Some(Cow::Owned(format!("{domain}\\{name}"))),
        (None, name) => Some(Cow::Borrowed(name)),
    };
    let acting = || entity.user_principal_name().map(Cow::Borrowed).or_else(account);
    match entity.kind() {
        EntityKind::User | EntityKind::Mailbox | EntityKind::Process => acting(),
        EntityKind::MailMessage => acting().or(entity.recipient().map(Cow::Borrowed)),
        EntityKind::Ip
        | EntityKind::Url
        | EntityKind::File
        | EntityKind::MailCluster
        | EntityKind::Registry
        | EntityKind::SecurityGroup
        | EntityKind::Other => None,
    }
}

fn note<'c>(list: &mut List<'c>, text: Option<impl Into<Cow<'c, str>>>) {
    if let Some(text) = text.map(Into::into)
        && list.len() < LIST_LENGTH_MAX
        && !list.contains(&text)
    {
        list.push(text);
    }
}

/// Why there is this event, in words: what is unusual about it first, then what changed.
pub(crate) fn reason(event: &Event) -> String {
    let mut said: Vec<Cow<'_, str>> = Vec::new();
    match event.for_sink.passage {
        Some(Passage::Entered) => said.push("entered the filter".into()),
        Some(Passage::Left) => said.push("left the filter".into()),
        None => {}
    }
    if event.notes.first_seen {
        said.push("first seen long after its creation".into());
    }
    if event.notes.repaired {
        said.push("invalid UTF-8 replaced".into());
    }
    match &event.for_sink.original {
        Some(original) => {
            let left_out = match original.left_out {
                Reduction::Evidence => "without evidence",
                Reduction::Alerts => "without alerts",
                Reduction::AllButSummary => "a summary",
            };
            said.push(format!("{left_out}: the incident has {} B", original.size).into());
        }
        None if event.notes.truncated => said.push("truncated: the incident is too large".into()),
        None => {}
    }
    said.extend(event.notes.odd.as_ref().map(|why| format!("odd: {why}").into()));
    said.extend(event.changes.iter().map(|change| change.to_string().into()));
    said.join("; ")
}

/// 1 to 10 for a severity in the spelling of either dialect; one that is missing, unspecified or newer than we know is in the
/// middle, neither hidden nor an alarm.
pub(crate) fn severity_number(severity: Option<&str>) -> u64 {
    let known = [("informational", 1), ("low", 3), ("medium", 5), ("high", 8)];
    let severity = severity.unwrap_or_default();
    known.iter().find(|(word, _)| severity.eq_ignore_ascii_case(word)).map_or(5, |(_, number)| *number)
}

/// Milliseconds since 1970.
pub(crate) const fn millis(time: Timestamp) -> u64 {
    time.ticks() / 10_000
}
