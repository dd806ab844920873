//! The smallest and the largest sensible value of each number. Beyond them nothing breaks that would say why.

use crate::config::Config;
use crate::config::key::Key;
use crate::config::poll::{Interval, Poll, Quota, Share};
use crate::config::report::Report;
use crate::config::tenant::Tenant;
use crate::core::quota::Limits;
use crate::model::units::{Size, Span};
use crate::sink::Config as Kind;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

type Durations = (&'static str, fn(&Poll) -> Span, Span, Span);

/// The durations of `[poll]`, each with its bounds.
const DURATIONS: [Durations; 8] = [
    ("overlap", |poll| poll.overlap, Span::seconds(MINUTE), Span::seconds(7 * DAY)),
    ("sweep_every", |poll| poll.sweep_every, Span::seconds(5), Span::seconds(HOUR)),
    ("audit_every", |poll| poll.audit_every, Span::seconds(5), Span::seconds(30 * DAY)),
    ("audit_window", |poll| poll.audit_window, Span::seconds(MINUTE), Span::seconds(400 * DAY)),
    ("deep_audit_every", |poll| poll.deep_audit_every, Span::seconds(HOUR), Span::seconds(90 * DAY)),
    ("deep_audit_window", |poll| poll.deep_audit_window, Span::seconds(HOUR), Span::seconds(400 * DAY)),
    ("remember", |poll| poll.remember, Span::seconds(DAY), Span::seconds(3650 * DAY)),
    ("request_timeout", |poll| poll.request_timeout, Span::seconds(1), Span::seconds(10 * MINUTE)),
];

/// A limit of `[quota]`, and the smallest that leaves a call.
type Limit = (&'static str, fn(&Quota) -> u32, u32);

/// What must not be smaller than another: a name, its value, the other's name and value, and why.
type Pair = (&'static str, fn(&Poll) -> u128, &'static str, fn(&Poll) -> u128, &'static str);

const PAIRS: [Pair; 4] = [
    ("audit_window", |p| p.audit_window.0.as_nanos(), "overlap", |p| p.overlap.0.as_nanos(), "sweeps read that anyway"),
    (
        "deep_audit_window",
        |p| p.deep_audit_window.0.as_nanos(),
        "audit_window",
        |p| p.audit_window.0.as_nanos(),
        "the audit reads that anyway",
    ),
    (
        "remember",
        |p| p.remember.0.as_nanos(),
        "deep_audit_window",
        |p| p.deep_audit_window.0.as_nanos(),
        "the audit would deliver again what was forgotten",
    ),
    (
        "max_body_size",
        |p| p.max_body_size.0.into(),
        "max_incident_size",
        |p| p.max_incident_size.0.into(),
        "a page holds at least one incident",
    ),
];

/// `[poll]` and `[quota]` of a tenant, all layers merged.
pub(crate) fn of_tenant(key: &Key, tenant: &Tenant, report: &mut Report) {
    let poll = &tenant.poll;
    for (name, value, least, most) in DURATIONS {
        within(&made(key, "poll", name, report), value(poll), least, most, report);
    }
    if let Interval::Every(every) = poll.interval {
        let interval = made(key, "poll", "interval", report);
        within(&interval, every, Span::seconds(1), Span::seconds(HOUR), report);
        let allowed = Span::seconds(HOUR.div_ceil(u64::from(tenant.quota.list().per_hour.max(1))));
        if every < allowed && !report.is_wrong(&interval) {
            let what =
                format!("{every} asks more often than list_per_hour allows (one call in {allowed}, sweeps included)");
            report.warning(&interval, what, Some("\"auto\" is as often as the quota allows".into()));
        }
    }
    let most = tenant.api.page_size_max();
    within(&made(key, "poll", "page_size", report), poll.page_size, 1, most, report);
    let gibibyte = Size::mebibytes(1024);
    within(&made(key, "poll", "max_body_size", report), poll.max_body_size, Size::mebibytes(1), gibibyte, report);
    within(&made(key, "poll", "max_incident_size", report), poll.max_incident_size, Size(64 << 10), gibibyte, report);
    for (name, value, other, other_value, why) in PAIRS {
        if value(poll) < other_value(poll) {
            let (mut key, other_key) = (made(key, "poll", name, report), made(key, "poll", other, report));
            if report.index.layer(&key).is_none() {
                key = other_key.clone();
            }
            if !report.is_wrong(&other_key) {
                report.error(
                    &key,
                    format!("{name} is less than {other}"),
                    Some(format!("make it at least that: {why}")),
                );
            }
        }
    }
    of_quota(key, &tenant.quota, report);
}

fn of_quota(key: &Key, quota: &Quota, report: &mut Report) {
    let documented = Quota::default();
    let limits: [Limit; 4] = [
        ("list_per_minute", |quota| quota.list_per_minute, Limits::LIST_MIN),
        ("list_per_hour", |quota| quota.list_per_hour, Limits::LIST_MIN),
        ("get_per_minute", |quota| quota.get_per_minute, Limits::GET_MIN),
        ("get_per_hour", |quota| quota.get_per_hour, Limits::GET_MIN),
    ];
    let share_key = made(key, "quota", "share", report);
    for (name, value, min) in limits {
        let key = made(key, "quota", name, report);
        let (value, most) = (value(quota), value(&documented));
        if value < min {
            let remedy = format!("at least {min}; Microsoft allows {most}");
            report.error(&key, format!("{value} leaves no call after the margins"), Some(remedy));
            continue;
        }
        let (share, ours) = (quota.share, quota.share.of(value));
        if ours < min {
            let what = format!("{share} of {name} = {value} is {ours}, which leaves no call after the margins");
            let remedy = Share::least(value, min).map(|least| format!("at least {least}, which leaves {min}"));
            report.error(&share_key, what, remedy);
        }
        if most < value {
            let what = format!("{value} is more than the {most} that Microsoft documents");
            report.warning(&key, what, Some("calls beyond that are answered with 429".into()));
        }
    }
}

/// What is not of a tenant or a sink.
pub(crate) fn general(config: &Config, report: &mut Report) {
    let outbox = &config.outbox;
    within(&Key::of(["outbox", "max_size"]), outbox.max_size, Size::mebibytes(16), Size::mebibytes(64 << 20), report);
    within(&Key::of(["outbox", "min_free"]), outbox.min_free, Size::mebibytes(1), Size::mebibytes(64 << 20), report);
    within(
        &Key::of(["shutdown", "grace"]),
        config.shutdown.grace,
        Span::seconds(1),
        Span::seconds(10 * MINUTE),
        report,
    );
}

/// The numbers of a sink.
pub(crate) fn of_sink(key: &Key, kind: &Kind, report: &mut Report) {
    let mebibyte = Size::mebibytes(1);
    match kind {
        Kind::File(file) => {
            if let Some(size) = file.rotate_size {
                within(&key.child("rotate_size"), size, Size(64 << 10), Size::mebibytes(1 << 20), report);
            }
            if let Some(every) = file.rotate_every {
                within(&key.child("rotate_every"), every, Span::seconds(MINUTE), Span::seconds(400 * DAY), report);
            }
            within(&key.child("keep"), file.keep, 0, 10_000, report);
        }
        Kind::Stdout(_) => {}
        Kind::Syslog(syslog) => {
            if let Some(size) = syslog.max_message_size {
                // RFC 5424 section 6.1: every receiver takes 480 bytes.
                within(&key.child("max_message_size"), size, Size(480), Size::mebibytes(64), report);
            }
            within(&key.child("settle"), syslog.settle, Span::seconds(0), Span::seconds(10 * MINUTE), report);
        }
        Kind::Http(http) => {
            within(&key.child("batch_events"), http.batch_events, 1, 10_000, report);
            within(&key.child("batch_size"), http.batch_size, Size(1 << 10), Size(100 * mebibyte.0), report);
            within(&key.child("timeout"), http.timeout, Span::seconds(1), Span::seconds(10 * MINUTE), report);
        }
        // These say it themselves, in `Settings::validate`.
        Kind::SplunkHec(_) | Kind::Elasticsearch(_) | Kind::Relp(_) | Kind::Kafka(_) | Kind::AzureMonitor(_) => {}
    }
}

/// Where a tenant's value was made: in its own table, or in the one for all.
fn made(tenant: &Key, table: &str, name: &str, report: &Report) -> Key {
    let own = tenant.join([table, name]);
    match report.index.layer(&own) {
        Some(_) => own,
        None => Key::of([table, name]),
    }
}

fn within<T: PartialOrd + std::fmt::Display>(key: &Key, value: T, least: T, most: T, report: &mut Report) {
    if value < least || most < value {
        report.error(key, format!("{value} is out of range"), Some(format!("from {least} to {most}")));
    }
}
