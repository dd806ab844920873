//! What the schema has no field for, as it stands below the prefix: the incident's own members and the event's. The names are
//! those of Elastic's integration wherever it has one, in both settings of `fields`.

use std::borrow::Cow;

use serde::Serialize;
use url::Url;

use crate::format::ecs::bounds::{
    ALERTS_MAX, CHANGES_MAX, COMMENTS_MAX, Date, LIST_MAX, distinct, keyword, long, short, text, url,
};
use crate::format::ecs::{Alert, Fields, Reading};
use crate::model::content::Comment;
use crate::model::delivery::{Original, Part, Passage};
use crate::model::event::{Change, Difference};
use crate::model::words::Vocabulary;

/// The members.
#[derive(Serialize)]
pub(super) struct Custom<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: Cow<'a, str>,
    event_id: Cow<'a, str>,
    tenant: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Passage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Piece<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a Original>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    first_seen: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repaired: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    odd: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Changed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    determination: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_to: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_incident_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_url: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_datetime: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_datetime: Option<Date>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Cow<'a, str>>,
    /// The last ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comments: Vec<Remark<'a>>,
    comments_count: usize,
    /// The first ones; in Elastic's integration `alert`, one object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<Alert<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<OneOrMore<'a>>,
    alerts_count: usize,
}

/// Elastic's documents have one alert each; several are for an index the same as one with several values.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMore<'a> {
    One(Box<Alert<'a>>),
    More(Vec<Alert<'a>>),
}

#[derive(Serialize)]
struct Piece<'a> {
    number: usize,
    of: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<Cow<'a, str>>,
}

#[derive(Default, Serialize)]
struct Changed<'a> {
    field: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Remark<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by_display_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_datetime: Option<Date>,
}

/// A URL: ours is one keyword, Elastic's integration has its parts.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Link<'a> {
    Whole(&'a str),
    Parts(LinkParts<'a>),
}

#[derive(Serialize)]
pub(super) struct LinkParts<'a> {
    original: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

impl<'a> Custom<'a> {
    /// All of them.
    pub(super) fn of(reading: Reading<'a>) -> Self {
        let Reading { event, content, fields, .. } = reading;
        let for_sink = &event.for_sink;
        let comments: Vec<Remark<'a>> = content.comments().map(Remark::of).collect();
        let comments_count = comments.len();
        let alerts_count = content.alerts().count();
        let read = || content.alerts().take(ALERTS_MAX).map(|alert| Alert::of(alert, fields));
        let (alerts, alert) = match fields {
            Fields::Defender => (read().collect(), None),
            Fields::M365Defender => (Vec::new(), OneOrMore::of(read())),
        };
        Self {
            id: keyword(event.incident_id.as_str()),
            event_id: keyword(event.event_id.as_str()),
            tenant: keyword(event.tenant.as_str()),
            tenant_id: content.tenant_id().map(keyword),
            sequence: long(event.sequence),
            sink_sequence: for_sink.sequence.and_then(long),
            filter: for_sink.passage,
            part: for_sink.part.as_ref().map(Piece::of),
            original: for_sink.original.as_ref(),
            first_seen: event.notes.first_seen,
            repaired: event.notes.repaired,
            truncated: event.notes.truncated,
            odd: event.notes.odd.as_deref().map(keyword),
            changes: event.changes.iter().take(CHANGES_MAX).map(Changed::of).collect(),
            display_name: content.title().map(text),
            description: content.description().map(text),
            status: content.status().map(|word| fields.word(Vocabulary::Status, word)),
            severity: content.severity().map(|word| fields.word(Vocabulary::Severity, word)),
            classification: content.classification().map(|word| fields.word(Vocabulary::Classification, word)),
            determination: content.determination().map(|word| fields.word(Vocabulary::Determination, word)),
            assigned_to: content.assignee().map(keyword),
            redirect_incident_id: content.redirected_to().map(short),
            web_url: content.url().and_then(|url| Link::of(url, fields)),
            created_datetime: content.created().map(Date),
            last_update_datetime: content.last_update().map(Date),
            tags: distinct(content.tags().into_iter()),
            comments: comments.into_iter().skip(comments_count.saturating_sub(COMMENTS_MAX)).collect(),
            comments_count,
            alerts,
            alert,
            alerts_count,
        }
    }
}

impl<'a> OneOrMore<'a> {
    fn of(alerts: impl Iterator<Item = Alert<'a>>) -> Option<Self> {
        let mut alerts: Vec<Alert<'a>> = alerts.collect();
        match alerts.len() {
            0 | 1 => alerts.pop().map(Box::new).map(Self::One),
            2.. => Some(Self::More(alerts)),
        }
    }
}

impl<'a> Piece<'a> {
    fn of(part: &'a Part) -> Self {
        let Part { number, of, alert, entity } = part;
        let known = |name: &'a Option<String>| name.as_deref().filter(|name| !name.is_empty()).map(keyword);
        Self { number: *number, of: *of, alert: known(alert), entity: known(entity) }
    }
}

impl<'a> Changed<'a> {
    fn of(change: &'a Change) -> Self {
        let field = keyword(&change.field);
        let list = |names: &'a [String]| names.iter().take(LIST_MAX).map(|name| keyword(name)).collect();
        match &change.difference {
            Difference::Value { from, to } => {
                Self { field, from: from.as_deref().map(keyword), to: to.as_deref().map(keyword), ..Self::default() }
            }
            Difference::List { added, removed, changed } => {
                Self { field, added: list(added), removed: list(removed), changed: list(changed), ..Self::default() }
            }
        }
    }
}

impl<'a> Remark<'a> {
    fn of(comment: Comment<'a>) -> Self {
        Self {
            message: comment.text().map(text),
            created_by_display_name: comment.author().map(keyword),
            created_datetime: comment.created().map(Date),
        }
    }
}

impl<'a> Link<'a> {
    /// Nothing where it is too long.
    pub(super) fn of(link: &'a str, fields: Fields) -> Option<Self> {
        let original = url(link)?;
        Some(match fields {
            Fields::Defender => Self::Whole(original),
            Fields::M365Defender => Self::Parts(LinkParts::of(original)),
        })
    }
}

impl<'a> LinkParts<'a> {
    fn of(original: &'a str) -> Self {
        let url = Url::parse(original).ok();
        let part = |part: &dyn Fn(&Url) -> Option<&str>| {
            let text = url.as_ref().and_then(part).filter(|text| !text.is_empty())?;
            Some(keyword(text).into_owned())
        };
        Self {
            original,
            scheme: part(&|url| Some(url.scheme())),
            domain: part(&Url::host_str),
            path: part(&|url| Some(url.path())),
            query: part(&Url::query),
        }
    }
}
