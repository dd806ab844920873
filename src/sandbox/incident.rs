//! One incident: its facts, what can happen to it, and its JSON. Whether and when it is seen is not its business.

use std::fmt;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::model::names::IncidentId;
use crate::model::timestamp::Timestamp;
use crate::sandbox::alert::{Alert, AlertJson};
use crate::sandbox::entity::Shape;
use crate::sandbox::names::{self, Dice, pick};
use crate::sandbox::stamp::Trimmed;

/// Alerts of an incident at most; a merge that would pass it does not happen.
pub const ALERTS_MAX: usize = 150;
/// Comments of an incident at most; the oldest gives way.
const COMMENTS_MAX: usize = 50;
/// Bytes of an incident without alerts, about.
const BARE_SIZE: usize = 430;
/// Bytes of an alert of a large incident.
const ALERT_SIZE: usize = 6_000;
/// From low to high.
const SEVERITIES: [&str; 4] = ["Informational", "Low", "Medium", "High"];

/// The number of an incident. They grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentNumber(pub u64);

impl IncidentNumber {
    /// As the rest of the program names incidents.
    pub fn id(self) -> IncidentId {
        IncidentId::new(self.0.to_string())
    }
}

impl fmt::Display for IncidentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody works on it.
    Active,
    /// Somebody does.
    InProgress,
    /// Done with.
    Resolved,
    /// Merged into another.
    Redirected,
}

impl Status {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::InProgress => "InProgress",
            Self::Resolved => "Resolved",
            Self::Redirected => "Redirected",
        }
    }
}

/// The facts of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    number: IncidentNumber,
    pub(crate) name: String,
    shape: Shape,
    /// Written with `\u` escapes, as the OData writer does by default.
    ascii: bool,
    created: Timestamp,
    last_update: Timestamp,
    status: Status,
    severity: usize,
    pub(crate) classification: &'static str,
    pub(crate) determination: &'static str,
    assigned_to: Option<&'static str>,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) comments: Vec<Comment>,
    alerts: Vec<Alert>,
    pub(crate) redirected_to: Option<IncidentNumber>,
}

/// What an analyst wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) text: &'static str,
    pub(crate) by: &'static str,
    pub(crate) at: Timestamp,
}

impl Incident {
    /// A new incident of about `bytes` bytes of JSON.
    pub fn new(number: IncidentNumber, created: Timestamp, bytes: usize, seed: u64) -> Self {
        let mut dice = Dice::seed_from_u64(seed);
        let dice = &mut dice;
        let shape = if dice.random_bool(0.3) { Shape::Padded } else { Shape::Sparse };
        let severity = dice.random_range(0..3);
        let room = bytes.saturating_sub(BARE_SIZE);
        let count = room.div_ceil(ALERT_SIZE).clamp(1, ALERTS_MAX - 10);
        let alerts: Vec<_> =
            (0..count).map(|_| Alert::new(created, room / count, shape, SEVERITIES[severity], dice)).collect();
        Self {
            number,
            name: incident_name(&alerts, dice),
            shape,
            ascii: dice.random_bool(0.5),
            created,
            last_update: created,
            status: Status::Active,
            severity,
            classification: "Unknown",
            determination: "NotAvailable",
            assigned_to: None,
            tags: Vec::new(),
            comments: Vec::new(),
            alerts,
            redirected_to: None,
        }
    }

    /// Its number.
    pub const fn number(&self) -> IncidentNumber {
        self.number
    }

    /// `createdTime`.
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// `lastUpdateTime`.
    pub const fn last_update(&self) -> Timestamp {
        self.last_update
    }

    /// `status`.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// `assignedTo`.
    pub const fn assigned_to(&self) -> Option<&'static str> {
        self.assigned_to
    }

    /// Moves `lastUpdateTime`.
    pub const fn touch(&mut self, stamp: Timestamp) {
        self.last_update = stamp;
    }

    /// Something happens that an analyst or a detector does. Always changes the content.
    pub fn update(&mut self, at: Timestamp, dice: &mut Dice) {
        match dice.random_range(0..7u8) {
            0 if self.status == Status::Active => {
                self.status = Status::InProgress;
                self.assigned_to = Some(pick(dice, &names::ANALYSTS));
            }
            1 if self.severity + 1 < SEVERITIES.len() => self.severity += 1,
            2 if self.classification == "Unknown" => self.classify(dice),
            3 if self.alerts.len() < ALERTS_MAX => {
                self.alerts.push(Alert::new(at, 2_500, self.shape, SEVERITIES[self.severity], dice));
            }
            4 if self.tags.len() < names::TAGS.len() => self.tags.push(names::TAGS[self.tags.len()]),
            5 if !self.alerts.is_empty() => {
                let last = self.alerts.len() - 1;
                self.alerts[last].add_entities(dice.random_range(1..4), at);
            }
            0.. => self.comment(at, dice),
        }
    }

    /// It is resolved, and so are its alerts.
    pub fn resolve(&mut self, at: Timestamp, dice: &mut Dice) {
        self.status = Status::Resolved;
        self.classify(dice);
        self.assigned_to = self.assigned_to.or(Some("Automation"));
        self.alerts.iter_mut().for_each(|alert| alert.resolve(at));
    }

    /// It is active again, and so are its alerts.
    pub fn reopen(&mut self, at: Timestamp) {
        self.status = Status::Active;
        self.alerts.iter_mut().for_each(|alert| alert.reopen(at));
    }

    /// An alert changes and nothing else. False where it has none.
    pub fn edit_alert(&mut self, at: Timestamp, dice: &mut Dice) -> bool {
        let count = self.alerts.len();
        if 0 < count {
            self.alerts[dice.random_range(0..count)].edit(at);
        }
        0 < count
    }

    /// Its alerts and tags go to another incident; the comments stay. False, and nothing happens, where the other would
    /// hold too many.
    pub fn merge_into(&mut self, target: &mut Self) -> bool {
        if ALERTS_MAX < self.alerts.len() + target.alerts.len() {
            return false;
        }
        target.alerts.append(&mut self.alerts);
        for tag in std::mem::take(&mut self.tags) {
            if !target.tags.contains(&tag) {
                target.tags.push(tag);
            }
        }
        self.tags.push("Redirected");
        self.status = Status::Redirected;
        self.redirected_to = Some(target.number);
        target.name = format!("Multi-stage incident: {}", target.name.trim_start_matches("Multi-stage incident: "));
        true
    }

    fn classify(&mut self, dice: &mut Dice) {
        (self.classification, self.determination) = pick(
            dice,
            &[
                ("TruePositive", "Malware"),
                ("TruePositive", "Phishing"),
                ("FalsePositive", "Clean"),
                ("InformationalExpectedActivity", "SecurityTesting"),
            ],
        );
    }

    fn comment(&mut self, at: Timestamp, dice: &mut Dice) {
        if self.comments.len() == COMMENTS_MAX {
            self.comments.remove(0);
        }
        let at = at.earlier(Duration::from_nanos(dice.random_range(100..1_000_000)));
        let (text, by) = (pick(dice, &names::COMMENTS), pick(dice, &names::ANALYSTS));
        self.comments.push(Comment { text, by, at });
    }

    /// Its JSON as the API writes it now.
    pub fn json(&self, tenant_id: &str) -> String {
        let sparse = self.shape == Shape::Sparse;
        let wire = IncidentJson {
            incident_id: self.number.0,
            incident_uri: sparse
                .then(|| format!("https://security.microsoft.com/incidents/{}?tid={tenant_id}", self.number)),
            redirect_incident_id: self.redirected_to.map(|number| number.0),
            incident_name: &self.name,
            created_time: Trimmed(self.created),
            last_update_time: Trimmed(self.last_update),
            assigned_to: self.assigned_to,
            classification: self.classification,
            determination: self.determination,
            status: self.status.as_str(),
            severity: self.severity(),
            tags: &self.tags,
            comments: self.comments.iter().map(CommentJson::from).collect(),
            alerts: self.alerts_json().collect(),
            entities: (!sparse).then_some([]),
        };
        self.written(&wire)
    }

    /// As JSON, in the manner of this incident.
    pub(crate) fn written(&self, wire: &impl Serialize) -> String {
        let mut json = Vec::with_capacity(4_096);
        let written = match self.ascii {
            true => wire.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Ascii)),
            false => wire.serialize(&mut serde_json::Serializer::new(&mut json)),
        };
        written.expect("texts and numbers go into a Vec");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Its alerts as they are told of.
    pub(crate) fn alerts_json(&self) -> impl ExactSizeIterator<Item = AlertJson> {
        self.alerts.iter().map(|alert| alert.json(self.number.0, self.shape))
    }

    /// What the first alert says: Graph tells it of the incident as well.
    pub(crate) fn description(&self) -> Option<String> {
        self.alerts.first().map(|alert| alert.json(self.number.0, self.shape).description)
    }

    /// `severity`.
    pub const fn severity(&self) -> &'static str {
        SEVERITIES[self.severity]
    }
}

fn incident_name(alerts: &[Alert], dice: &mut Dice) -> String {
    let (title, user) = (alerts[0].scenario().title, pick(dice, &names::PEOPLE));
    let device = pick(dice, &names::DEVICES);
    match (alerts.len(), alerts[0].scenario().on_device) {
        (3.., _) => format!("Multi-stage incident: {title} & more, on {device}, involving \"{user}\""),
        (_, true) => format!("{title} on {device}"),
        (_, false) => format!("{title} involving {user}"),
    }
}

/// An incident on the wire, in the order of the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IncidentJson<'a> {
    incident_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_uri: Option<String>,
    redirect_incident_id: Option<u64>,
    incident_name: &'a str,
    created_time: Trimmed,
    last_update_time: Trimmed,
    assigned_to: Option<&'static str>,
    classification: &'static str,
    determination: &'static str,
    status: &'static str,
    severity: &'static str,
    tags: &'a [&'static str],
    comments: Vec<CommentJson>,
    alerts: Vec<AlertJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entities: Option<[u8; 0]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommentJson {
    comment: &'static str,
    created_by: &'static str,
    created_time: Trimmed,
}

impl From<&Comment> for CommentJson {
    fn from(comment: &Comment) -> Self {
        Self { comment: comment.text, created_by: comment.by, created_time: Trimmed(comment.at) }
    }
}

/// Writes everything beyond ASCII as `\u` escapes, in pairs beyond the first plane.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: std::io::Write + ?Sized>(&mut self, out: &mut W, text: &str) -> std::io::Result<()> {
        let mut plain = 0;
        for (at, letter) in text.char_indices().filter(|(_, letter)| !letter.is_ascii()) {
            out.write_all(&text.as_bytes()[plain..at])?;
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            plain = at + letter.len_utf8();
        }
        out.write_all(&text.as_bytes()[plain..])
    }
}
