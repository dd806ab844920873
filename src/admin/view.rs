//! What the status page shows of this moment, as JSON, and how it differs from the moment before. Times are seconds since the
//! daemon's start, so that what only grows older is no difference and has not to be sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::admin::board::Passing;
use crate::admin::diagnosis::{self, Diagnosis, Level};
use crate::admin::live::Known;
use crate::admin::status::{SinkStatus, Status, TenantStatus};
use crate::model::names::SinkName;
use crate::store::tally::{Behind, Tally};

/// Problems that are listed; how many more there are is said.
const PROBLEMS_MAX: usize = 8;
/// Characters of an error that are sent.
const ERROR_MAX: usize = 1_000;

/// Everything that changes, each tenant and sink as a map of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) verdict: Value,
    pub(crate) tenants: BTreeMap<String, Map<String, Value>>,
    pub(crate) sinks: BTreeMap<String, Map<String, Value>>,
}

/// What a view is made of.
pub(crate) struct Seen<'a> {
    pub(crate) status: &'a Status,
    pub(crate) stuck: &'a [String],
    pub(crate) tally: &'a Tally,
    /// Refused events that are kept.
    pub(crate) refusals: &'a BTreeMap<SinkName, usize>,
    /// Calls of each tenant: list by minute and hour, get by minute and hour.
    pub(crate) calls: &'a dyn Fn(&str) -> [u64; 4],
    /// Events delivered by each sink in the last minute.
    pub(crate) rates: &'a dyn Fn(&str) -> u64,
    /// Since the daemon's start.
    pub(crate) up: Duration,
    /// Age of a time of ours.
    pub(crate) age: &'a dyn Fn(&Behind) -> Option<f64>,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Problem {
    level: Level,
    /// `tenant`, `sink` or `daemon`.
    of: &'static str,
    name: String,
    headline: String,
    what: Option<String>,
    remedy: Option<&'static str>,
    since: Option<f64>,
}

impl View {
    /// The view of this moment.
    pub(crate) fn new(seen: &Seen<'_>) -> Self {
        let mut problems = Vec::new();
        let paused = seen.status.paused.as_deref().map(|why| (why, seen.status.paused_seconds));
        for diagnosis in diagnosis::of_daemon(paused, seen.stuck) {
            problems.push(Problem::new("daemon", "", &diagnosis, seen.up));
        }
        let mut sinks = BTreeMap::new();
        for (name, status) in &seen.status.sinks {
            let behind = seen.tally.sinks.get(name).copied().unwrap_or_default();
            let oldest = (seen.age)(&behind);
            let refusals = seen.refusals.get(name).copied().unwrap_or_default();
            let diagnosis = diagnosis::of_sink(status, oldest, refusals);
            problems.push(Problem::new("sink", name.as_str(), &diagnosis, seen.up));
            let rate = (seen.rates)(name.as_str());
            sinks.insert(name.to_string(), sink(status, &diagnosis, behind.events, oldest, refusals, rate, seen.up));
        }
        let mut tenants = BTreeMap::new();
        for (name, status) in &seen.status.tenants {
            let diagnosis = diagnosis::of_tenant(status);
            problems.push(Problem::new("tenant", name.as_str(), &diagnosis, seen.up));
            tenants.insert(name.to_string(), tenant(status, &diagnosis, (seen.calls)(name.as_str()), seen.up));
        }
        Self { verdict: verdict(problems), tenants, sinks }
    }

    /// What has to be sent to somebody who knows the view of before; none where that is nothing. Who is not there any more is null.
    pub(crate) fn since(&self, before: &Self) -> Option<Map<String, Value>> {
        let mut sent = Map::new();
        if self.verdict != before.verdict {
            sent.insert("verdict".into(), self.verdict.clone());
        }
        for (part, now, before) in [("tenants", &self.tenants, &before.tenants), ("sinks", &self.sinks, &before.sinks)]
        {
            let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), Value::Null));
            let changed: Map<String, Value> =
                now.iter().filter_map(|(name, now)| changed(name, now, before)).chain(gone).collect();
            if !changed.is_empty() {
                sent.insert(part.into(), changed.into());
            }
        }
        (!sent.is_empty()).then_some(sent)
    }
}

fn changed(
    name: &str,
    now: &Map<String, Value>,
    before: &BTreeMap<String, Map<String, Value>>,
) -> Option<(String, Value)> {
    let before = before.get(name);
    let differs = |(key, value): &(&String, &Value)| before.and_then(|before| before.get(*key)) != Some(value);
    let fields: Map<String, Value> =
        now.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
    (!fields.is_empty()).then(|| (name.to_owned(), fields.into()))
}

impl Problem {
    fn new(of: &'static str, name: &str, diagnosis: &Diagnosis, up: Duration) -> Self {
        Self {
            level: diagnosis.level,
            of,
            name: name.to_owned(),
            headline: diagnosis.headline.clone(),
            what: diagnosis.what.as_deref().map(cut),
            remedy: diagnosis.remedy,
            since: moment(up, diagnosis.seconds),
        }
    }
}

/// The worst first, the longest lasting first among the equally bad.
fn verdict(problems: Vec<Problem>) -> Value {
    let mut problems: Vec<Problem> = problems.into_iter().filter(|problem| problem.level != Level::Ok).collect();
    problems.sort_by(|one, other| {
        let since = |problem: &Problem| problem.since.unwrap_or(f64::MAX);
        other.level.cmp(&one.level).then(since(one).total_cmp(&since(other)))
    });
    let level = problems.first().map_or(Level::Ok, |worst| worst.level);
    let bad = problems.iter().filter(|problem| problem.level == Level::Bad).count();
    let (all, shown) = (problems.len(), problems.into_iter().take(PROBLEMS_MAX).collect::<Vec<_>>());
    json!({ "level": level, "bad": bad, "all": all, "problems": shown })
}

fn tenant(status: &TenantStatus, diagnosis: &Diagnosis, calls: [u64; 4], up: Duration) -> Map<String, Value> {
    let certificate_days = status.certificate_expires_seconds.map(|left| (left / 86_400.0).floor());
    let mut fields = common(diagnosis, up);
    fields.extend(members(json!({
        "error": status.error.as_deref().map(cut),
        "failures": status.failures,
        "swept": moment(up, status.lag_seconds),
        "cursor": status.cursor,
        "catching_up": status.catching_up,
        "quarantined": status.quarantined,
        "broken": status.broken_readings,
        "missed": status.audit_missed,
        "rounds": status.rounds,
        "events": status.events,
        "calls": calls,
        "limits": status.quota_limits,
        "ready": status.quota_remaining[1],
        "skew": status.clock_skew_seconds.map(|skew| (skew * 2.0).round() / 2.0),
        "certificate_days": certificate_days,
    })));
    fields
}

fn sink(
    status: &SinkStatus,
    diagnosis: &Diagnosis,
    waiting: u64,
    oldest: Option<f64>,
    refusals: usize,
    rate: u64,
    up: Duration,
) -> Map<String, Value> {
    let mut fields = common(diagnosis, up);
    fields.extend(members(json!({
        "error": status.error.as_deref().map(cut),
        "failures": status.failures,
        "guarantee": status.guarantee,
        "delivered": status.delivered,
        "refused": refusals,
        "waiting": waiting,
        "oldest": moment(up, oldest),
        "rate": rate,
    })));
    fields
}

fn common(diagnosis: &Diagnosis, up: Duration) -> Map<String, Value> {
    members(json!({
        "level": diagnosis.level,
        "state": diagnosis.state,
        "headline": diagnosis.headline,
        "what": diagnosis.what.as_deref().map(cut),
        "remedy": diagnosis.remedy,
        "since": moment(up, diagnosis.seconds),
    }))
}

fn members(mut value: Value) -> Map<String, Value> {
    value.as_object_mut().map(std::mem::take).unwrap_or_default()
}

/// When something was that is so many seconds old, in whole seconds since the start: it stays the same while it only ages.
fn moment(up: Duration, seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| (up.as_secs_f64() - seconds).round())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(ERROR_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An event as it is sent.
pub(crate) fn event(passing: &Passing, start: Instant) -> Value {
    let Passing { number, event_id, tenant, kind, at, age_seconds, content } = passing;
    let mut event = json!({
        "number": number,
        "id": event_id,
        "tenant": tenant.as_str(),
        "kind": kind,
        "at": (at.saturating_duration_since(start).as_secs_f64() * 10.0).round() / 10.0,
        "age": age_seconds.map(|age| (age * 10.0).round() / 10.0),
    });
    if let Some((title, severity)) = content {
        event["title"] = title.as_str().into();
        event["severity"] = severity.as_str().into();
    }
    event
}

/// What does not change while the daemon runs.
pub(crate) fn fixed(shows_incidents: bool, known: &Known) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "shows_incidents": shows_incidents,
        "locked": known.is_locked,
        "late": diagnosis::LATE.as_secs(),
        "kinds": known.kinds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_changed_or_gone_is_sent_and_nothing_else() {
        let view = |tenants: &[(&str, Value)]| View {
            tenants: tenants.iter().map(|(name, fields)| ((*name).to_owned(), members(fields.clone()))).collect(),
            ..View::default()
        };
        let (well, late) = (json!({ "state": "well", "missed": 0 }), json!({ "state": "late", "missed": 0 }));
        let before = view(&[("changes", well.clone()), ("leaves", well.clone()), ("stays", well.clone())]);
        let now = view(&[("changes", late), ("comes", well.clone()), ("stays", well)]);
        let sent = json!({
            "changes": { "state": "late" }, "comes": { "state": "well", "missed": 0 }, "leaves": null,
        });
        assert_eq!(now.since(&before).map(Value::from), Some(json!({ "tenants": sent })));
        assert_eq!(now.since(&now), None);
    }
}
