//! The metrics of `/metrics`, with the names that dashboards rely on. Counts what it is told; a scrape fills in the rest.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::admin::labels::{
    ByCall, ByOutcome, ByQuota, BySink, ByTenant, ByTenantAndKind, ByTenantAndPass, ByTenantAndSink, Label,
};
use crate::admin::series::Series;
use crate::admin::status::{ReloadOutcome, Status};
use crate::model::event::Kind;
use crate::model::names::{SinkName, TenantName};
use crate::model::timestamp::Timestamp;
use crate::store::tally::Tally;

/// From a second, which a quiet tail takes, to a day, which an outage takes.
const BUCKETS: [f64; 13] = [1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

type Number = Gauge<f64, AtomicU64>;
type Gauges<L> = Series<L, Number>;
type Histograms<L> = Series<L, Histogram, Buckets>;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    source_lag: Gauges<ByTenant>,
    freshness: Histograms<ByTenant>,
    delivery: Histograms<ByTenantAndSink>,
    events: Series<ByTenantAndKind, Counter>,
    delivered: Family<BySink, Counter>,
    refused: Family<BySink, Counter>,
    outbox_events: Family<BySink, Number>,
    outbox_oldest: Family<BySink, Number>,
    outbox_bytes: Number,
    outbox_limit: Number,
    disk_free: Number,
    disk_min_free: Number,
    api_calls: Series<ByCall, Counter>,
    quota_remaining: Gauges<ByQuota>,
    quota_limit: Gauges<ByQuota>,
    audit_missed: Series<ByTenant, Counter>,
    quarantined: Gauges<ByTenant>,
    visibility_lag: Histograms<ByTenantAndPass>,
    clock_skew: Gauges<ByTenant>,
    token_expires: Gauges<ByTenant>,
    certificate_expires: Gauges<ByTenant>,
    reloads: Family<ByOutcome, Counter>,
    calls: Mutex<Calls>,
}

/// Calls of the source since the start, by tenant and endpoint.
pub type Calls = BTreeMap<(TenantName, &'static str), u64>;

#[derive(Debug, Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

impl Metrics {
    /// Metrics with nothing counted.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("xdrelay"),
            source_lag: Series::of(Family::default()),
            freshness: Series::of(Family::new_with_constructor(Buckets)),
            delivery: Series::of(Family::new_with_constructor(Buckets)),
            events: Series::of(Family::default()),
            delivered: Family::default(),
            refused: Family::default(),
            outbox_events: Family::default(),
            outbox_oldest: Family::default(),
            outbox_bytes: Number::default(),
            outbox_limit: Number::default(),
            disk_free: Number::default(),
            disk_min_free: Number::default(),
            api_calls: Series::of(Family::default()),
            quota_remaining: Series::of(Family::default()),
            quota_limit: Series::of(Family::default()),
            audit_missed: Series::of(Family::default()),
            quarantined: Series::of(Family::default()),
            visibility_lag: Series::of(Family::new_with_constructor(Buckets)),
            clock_skew: Series::of(Family::default()),
            token_expires: Series::of(Family::default()),
            certificate_expires: Series::of(Family::default()),
            reloads: Family::default(),
            calls: Mutex::default(),
        };
        metrics.register();
        for outcome in ReloadOutcome::ALL {
            metrics.reloads.get_or_create(&ByOutcome { outcome: outcome.as_str() }).inc_by(0);
        }
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "source_lag_seconds",
            "Now less the start of the last complete sweep",
            self.source_lag.family().clone(),
        );
        r.register("freshness_seconds", "From lastUpdateTime to committed", self.freshness.family().clone());
        r.register("delivery_seconds", "From lastUpdateTime to acknowledged", self.delivery.family().clone());
        r.register("events", "Events taken in", self.events.family().clone());
        r.register("delivered", "Events acknowledged", self.delivered.clone());
        r.register("refused", "Events refused for good", self.refused.clone());
        r.register("outbox_events", "Events that wait", self.outbox_events.clone());
        r.register("outbox_oldest_seconds", "Age of the oldest event that waits", self.outbox_oldest.clone());
        r.register("outbox_bytes", "What the outbox holds, compressed", self.outbox_bytes.clone());
        r.register("outbox_limit_bytes", "outbox.max_size: from there on polling pauses", self.outbox_limit.clone());
        r.register("disk_free_bytes", "What is free on the disk of the state directory", self.disk_free.clone());
        r.register("disk_min_free_bytes", "outbox.min_free: below it polling pauses", self.disk_min_free.clone());
        r.register("api_calls", "Calls of the source", self.api_calls.family().clone());
        r.register("quota_remaining", "Calls that may go at once", self.quota_remaining.family().clone());
        r.register("quota_limit", "Calls that the quota allows in a window", self.quota_limit.family().clone());
        r.register("audit_missed", "Events that only an audit found", self.audit_missed.family().clone());
        r.register("quarantined", "Windows of time that cannot be read", self.quarantined.family().clone());
        r.register(
            "visibility_lag_seconds",
            "From lastUpdateTime to visible, by pass",
            self.visibility_lag.family().clone(),
        );
        r.register("clock_skew_seconds", "Our clock less the source's", self.clock_skew.family().clone());
        r.register("token_expires_seconds", "Until the token ends", self.token_expires.family().clone());
        let certificate = "Until the certificate of the sign-in ends";
        r.register("certificate_expires_seconds", certificate, self.certificate_expires.family().clone());
        r.register("config_reloads", "Readings of the configuration since the start", self.reloads.clone());
    }

    /// A sink begins. Its counters are there from the first scrape on: one that appears with a 1 is no increase to Prometheus.
    pub fn sink_begins(&self, sink: &SinkName) {
        self.delivered.get_or_create(&BySink { sink: Label(sink.clone()) }).inc_by(0);
        self.refused.get_or_create(&BySink { sink: Label(sink.clone()) }).inc_by(0);
    }

    /// A tenant begins; the same.
    pub fn tenant_begins(&self, tenant: &TenantName) {
        self.audit_missed.with(&ByTenant { tenant: Label(tenant.clone()) }, |count| _ = count.inc_by(0));
        for kind in Kind::ALL {
            let labels = ByTenantAndKind { tenant: Label(tenant.clone()), kind: Label(kind) };
            self.events.with(&labels, |count| _ = count.inc_by(0));
        }
        for outcome in ["ok", "throttled", "unavailable", "unauthorized", "refused"] {
            let labels = ByCall { tenant: Label(tenant.clone()), endpoint: "list", outcome };
            self.api_calls.with(&labels, |count| _ = count.inc_by(0));
        }
    }

    /// An event has been committed.
    pub fn committed(&self, tenant: &TenantName, kind: Kind, last_update: Option<Timestamp>) {
        self.events
            .with(&ByTenantAndKind { tenant: Label(tenant.clone()), kind: Label(kind) }, |count| _ = count.inc());
        if let Some(age) = last_update.map(age) {
            let labels = ByTenant { tenant: Label(tenant.clone()) };
            self.freshness.with(&labels, |ages| ages.observe(age.as_secs_f64()));
        }
    }

    /// A row was seen for the first time so long after its `lastUpdateTime`, by this kind of pass, and was not there before.
    pub fn visible_after(&self, tenant: &TenantName, pass: &'static str, lag: Duration) {
        let labels = ByTenantAndPass { tenant: Label(tenant.clone()), pass };
        self.visibility_lag.with(&labels, |lags| lags.observe(lag.as_secs_f64()));
    }

    /// An audit has found so many events that the sweeps had not.
    pub fn audit_missed(&self, tenant: &TenantName, count: u64) {
        self.audit_missed.with(&ByTenant { tenant: Label(tenant.clone()) }, |missed| _ = missed.inc_by(count));
    }

    /// A sink has acknowledged an event.
    pub fn acknowledged(&self, sink: &SinkName, tenant: &TenantName, last_update: Option<Timestamp>) {
        self.delivered.get_or_create(&BySink { sink: Label(sink.clone()) }).inc();
        if let Some(age) = last_update.map(age) {
            let labels = ByTenantAndSink { tenant: Label(tenant.clone()), sink: Label(sink.clone()) };
            self.delivery.with(&labels, |ages| ages.observe(age.as_secs_f64()));
        }
    }

    /// A sink has refused events for good.
    pub fn refused(&self, sink: &SinkName, count: u64) {
        self.refused.get_or_create(&BySink { sink: Label(sink.clone()) }).inc_by(count);
    }

    /// A call of the source has been answered.
    pub fn called(&self, tenant: &TenantName, endpoint: &'static str, outcome: &'static str) {
        self.api_calls.with(&ByCall { tenant: Label(tenant.clone()), endpoint, outcome }, |calls| _ = calls.inc());
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((tenant.clone(), endpoint)).or_default() += 1;
    }

    /// Calls of the source since the start.
    pub fn calls(&self) -> Calls {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration was read again.
    pub fn reloaded(&self, outcome: ReloadOutcome) {
        self.reloads.get_or_create(&ByOutcome { outcome: outcome.as_str() }).inc();
    }

    /// This tenant is not there any more. What it left in the outbox still counts as delivered when it is.
    pub fn forget(&self, tenant: &TenantName) {
        let is_there = |name: &TenantName| name != tenant;
        self.freshness.retain(is_there);
        self.delivery.retain(is_there);
        self.events.retain(is_there);
        self.api_calls.retain(is_there);
        self.audit_missed.retain(is_there);
        self.visibility_lag.retain(is_there);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).retain(|(name, _), _| name != tenant);
        self.retain_gauges(is_there);
    }

    /// Of these tenants only: a scrape may have seen one that is gone meanwhile.
    fn retain_gauges(&self, is_there: impl Fn(&TenantName) -> bool + Copy) {
        self.quota_remaining.retain(is_there);
        self.quota_limit.retain(is_there);
        let by_tenant =
            [&self.source_lag, &self.quarantined, &self.clock_skew, &self.token_expires, &self.certificate_expires];
        by_tenant.into_iter().for_each(|gauges| gauges.retain(is_there));
    }

    /// The text of a scrape, in OpenMetrics format.
    pub fn scrape(&self, status: &Status, tally: Option<&Tally>) -> String {
        self.fill_in(status, tally);
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => "# EOF\n".into(),
        }
    }

    fn fill_in(&self, status: &Status, tally: Option<&Tally>) {
        self.retain_gauges(|name| status.tenants.contains_key(name));
        for (name, tenant) in &status.tenants {
            let by_tenant = ByTenant { tenant: Label(name.clone()) };
            let set = |family: &Gauges<ByTenant>, value: Option<f64>| {
                if let Some(value) = value {
                    family.with(&by_tenant, |gauge| _ = gauge.set(value));
                }
            };
            // One that was never read is behind all the same: nobody is woken by a series that is not there.
            set(&self.source_lag, Some(tenant.lag_seconds.unwrap_or(tenant.since_pass_seconds)));
            set(&self.quarantined, Some(tenant.quarantined as f64));
            set(&self.clock_skew, tenant.clock_skew_seconds);
            set(&self.token_expires, tenant.token_expires_seconds);
            set(&self.certificate_expires, tenant.certificate_expires_seconds);
            let quotas = [("list", "minute"), ("list", "hour"), ("get", "minute"), ("get", "hour")];
            let numbers = tenant.quota_remaining.into_iter().zip(tenant.quota_limits);
            for ((endpoint, window), (remaining, limit)) in quotas.into_iter().zip(numbers) {
                let labels = ByQuota { tenant: Label(name.clone()), endpoint, window };
                self.quota_remaining.with(&labels, |gauge| _ = gauge.set(f64::from(remaining)));
                self.quota_limit.with(&labels, |gauge| _ = gauge.set(f64::from(limit)));
            }
        }
        if let Some(tally) = tally {
            self.outbox_bytes.set(tally.outbox_bytes as f64);
            self.outbox_limit.set(tally.outbox_limit_bytes as f64);
            self.disk_free.set(tally.free_bytes as f64);
            self.disk_min_free.set(tally.min_free_bytes as f64);
        }
        for (name, behind) in tally.map(|tally| &tally.sinks).into_iter().flatten() {
            let by_sink = BySink { sink: Label(name.clone()) };
            self.outbox_events.get_or_create(&by_sink).set(behind.events as f64);
            let oldest = behind.oldest.map_or(0.0, |oldest| age(oldest).as_secs_f64());
            self.outbox_oldest.get_or_create(&by_sink).set(oldest);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// How long ago a time was on our wall clock; for people and plots only.
pub fn age(time: Timestamp) -> Duration {
    wall_clock().since(time)
}

/// Our wall clock in the source's units. No decision rests on it.
pub fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ticks(u64::try_from(since_epoch.as_nanos() / 100).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_dashboards_rely_on() {
        let metrics = Metrics::new();
        let (tenant, sink) = (TenantName::new("contoso"), SinkName::new("siem"));
        metrics.committed(&tenant, Kind::Created, Some(Timestamp::from_seconds(1)));
        metrics.acknowledged(&sink, &tenant, Some(Timestamp::from_seconds(1)));
        metrics.refused(&sink, 2);
        metrics.called(&tenant, "list", "ok");
        metrics.audit_missed(&tenant, 3);
        metrics.visible_after(&tenant, "sweep", Duration::from_secs(40));
        let mut status = Status::default();
        let lag = Some(61.5);
        let never_read = status.tenants.entry(TenantName::new("fabrikam")).or_default();
        (never_read.certificate_expires_seconds, never_read.since_pass_seconds) = (Some(-3.5), 1200.0);
        let read = status.tenants.entry(tenant).or_default();
        (read.lag_seconds, read.quota_limits) = (lag, [50, 1500, 100, 1500]);
        let tally = Tally { sinks: [(sink, crate::store::tally::Behind::default())].into(), ..Tally::default() };
        let text = metrics.scrape(&status, Some(&tally));
        for line in [
            "xdrelay_source_lag_seconds{tenant=\"contoso\"} 61.5",
            "xdrelay_source_lag_seconds{tenant=\"fabrikam\"} 1200",
            "xdrelay_freshness_seconds_count{tenant=\"contoso\"} 1",
            "xdrelay_delivery_seconds_count{tenant=\"contoso\",sink=\"siem\"} 1",
            "xdrelay_events_total{tenant=\"contoso\",kind=\"created\"} 1",
            "xdrelay_delivered_total{sink=\"siem\"} 1",
            "xdrelay_refused_total{sink=\"siem\"} 2",
            "xdrelay_outbox_events{sink=\"siem\"} 0",
            "xdrelay_outbox_oldest_seconds{sink=\"siem\"} 0",
            "xdrelay_api_calls_total{tenant=\"contoso\",endpoint=\"list\",outcome=\"ok\"} 1",
            "xdrelay_audit_missed_total{tenant=\"contoso\"} 3",
            "xdrelay_quarantined{tenant=\"contoso\"} 0",
            "xdrelay_visibility_lag_seconds_count{tenant=\"contoso\",pass=\"sweep\"} 1",
            "xdrelay_quota_remaining{tenant=\"contoso\",endpoint=\"get\",window=\"hour\"} 0",
            "xdrelay_quota_limit{tenant=\"contoso\",endpoint=\"list\",window=\"hour\"} 1500",
            "xdrelay_quota_limit{tenant=\"contoso\",endpoint=\"get\",window=\"minute\"} 100",
            "xdrelay_certificate_expires_seconds{tenant=\"fabrikam\"} -3.5",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("certificate_expires_seconds{tenant=\"contoso\""), "it has none:\n{text}");
        metrics.forget(&TenantName::new("contoso"));
        let text = metrics.scrape(&Status::default(), None);
        assert!(!text.contains("tenant="), "a series of a tenant that is gone is left:\n{text}");
        assert!(text.contains("xdrelay_delivered_total{sink=\"siem\"} 1"), "the sink is still there:\n{text}");
    }
}
