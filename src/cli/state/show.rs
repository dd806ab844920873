//! `xdrelay state show`: what a state directory knows, in times that people read.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use crate::admin::metrics::wall_clock;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output, state};
use crate::config::Config;
use crate::core::position::Position;
use crate::core::quota::{Limits, Quota};
use crate::model::moment::Moment;
use crate::model::names::{SinkName, TenantKey, TenantName};
use crate::model::timestamp::Timestamp;
use crate::store::verify::{self, CheckpointFacts};
use crate::store::{Endpoint, Store};

/// Show what is in the state directory.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

#[derive(Debug, Serialize)]
struct Shown {
    state_dir: String,
    tenants: Vec<TenantShown>,
    sinks: Vec<SinkShown>,
    outbox_events: u64,
    outbox_bytes: u64,
    outbox_newest: u64,
    incidents_remembered: u64,
    database_bytes: u64,
    free_bytes: u64,
    /// None where no checkpoint can be read.
    checkpoint: Option<CheckpointFacts>,
    checkpoint_age_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct TenantShown {
    /// What the configuration calls it; none where it is not configured any more.
    name: Option<TenantName>,
    key: TenantKey,
    cursor: String,
    floor: String,
    last_complete_sweep: Option<String>,
    last_audit: Option<String>,
    last_deep_audit: Option<String>,
    /// Calls of the hour that may go at once, list and get; none where the tenant is not configured.
    quota_remaining: Option<[u32; 2]>,
    quarantine: Vec<Hole>,
}

/// A window that cannot be read.
#[derive(Debug, Serialize)]
struct Hole {
    from: String,
    to: String,
    since: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct SinkShown {
    name: SinkName,
    acknowledged: u64,
    events_waiting: u64,
    oldest_waiting: Option<String>,
    events_refused: u64,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = self.files.parse()?;
        // An opening writes a new one.
        let checkpoint = verify::checkpoint(&config.state_dir);
        let store = state::open(&config)?;
        let shown = look(&config, &store, checkpoint);
        store.close().await?;
        let shown = shown?;
        if self.json {
            let json = serde_json::to_string_pretty(&shown);
            return Ok(output::line(json.map_err(|error| Exit::new(exit::INTERNAL, error.to_string()))?)?);
        }
        shown.print()
    }
}

fn look(config: &Config, store: &Store, checkpoint: Option<CheckpointFacts>) -> Result<Shown, Exit> {
    let tally = store.tally()?;
    let mut tenants = Vec::new();
    for (key, position) in store.tenants()? {
        tenants.push(tenant(config, store, key, position)?);
    }
    let mut sinks = Vec::new();
    for (name, behind) in tally.sinks {
        sinks.push(SinkShown {
            acknowledged: store.progress(&name)?.acknowledged.0,
            events_waiting: behind.events,
            oldest_waiting: behind.oldest.map(|time| time.to_string()),
            events_refused: store.refused_count(&name)?,
            name,
        });
    }
    let age = checkpoint.map(|facts| wall_clock().seconds().saturating_sub(facts.written));
    let outbox_newest = store.newest().borrow().0;
    Ok(Shown {
        state_dir: config.state_dir.display().to_string(),
        tenants,
        sinks,
        outbox_events: tally.outbox_events,
        outbox_bytes: tally.outbox_bytes,
        outbox_newest,
        incidents_remembered: tally.seen,
        database_bytes: tally.disk_bytes,
        free_bytes: tally.free_bytes,
        checkpoint,
        checkpoint_age_seconds: age,
    })
}

fn tenant(config: &Config, store: &Store, key: TenantKey, position: Position) -> Result<TenantShown, Exit> {
    let names: BTreeMap<TenantKey, &TenantName> =
        config.tenants.iter().map(|(name, tenant)| (tenant.key(), name)).collect();
    let name = names.get(&key).map(|name| (*name).clone());
    let limits = name.as_ref().and_then(|name| config.tenants.get(name)).map(|tenant| tenant.quota);
    let now = Moment::from_nanos(wall_clock().ticks().saturating_mul(100));
    let remaining = |endpoint, limits: Limits| -> Result<u32, Exit> {
        let state = store.quota(&key, endpoint)?.unwrap_or_default();
        Ok(Quota::resumed(limits, state, now).hour_remaining(now))
    };
    let quota_remaining = match limits {
        Some(quota) => Some([remaining(Endpoint::List, quota.list())?, remaining(Endpoint::Get, quota.get())?]),
        None => None,
    };
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let holes = store.quarantine(&key)?;
    let hole = |hole: &crate::core::quarantine::Quarantined| Hole {
        from: hole.from.to_string(),
        to: hole.to.to_string(),
        since: hole.since.to_string(),
        why: hole.why.clone(),
    };
    Ok(TenantShown {
        name,
        cursor: position.cursor.to_string(),
        floor: position.floor.to_string(),
        last_complete_sweep: text(position.swept),
        last_audit: text(position.audited.near),
        last_deep_audit: text(position.audited.deep),
        quota_remaining,
        quarantine: holes.windows().iter().map(hole).collect(),
        key,
    })
}

impl Shown {
    fn print(&self) -> Result<(), Exit> {
        let never = |time: &Option<String>| time.clone().unwrap_or_else(|| "never".into());
        for tenant in &self.tenants {
            let name = tenant.name.as_ref().map_or_else(|| "(not configured)".into(), ToString::to_string);
            output::line(format_args!("tenant {name}, {}", tenant.key))?;
            output::line(format_args!("  read up to   {}, from {} on", tenant.cursor, tenant.floor))?;
            output::line(format_args!("  last sweep   {}", never(&tenant.last_complete_sweep)))?;
            let (near, deep) = (never(&tenant.last_audit), never(&tenant.last_deep_audit));
            output::line(format_args!("  last audit   {near}, deep {deep}"))?;
            if let Some([list, get]) = tenant.quota_remaining {
                output::line(format_args!("  quota left   {list} list calls and {get} get calls at once"))?;
            }
            for Hole { from, to, since, why } in &tenant.quarantine {
                output::line(format_args!("  cannot read  {from} to {to}, since {since}: {why}"))?;
            }
        }
        for SinkShown { name, acknowledged, events_waiting, oldest_waiting, events_refused } in &self.sinks {
            let oldest = oldest_waiting.as_ref().map(|time| format!(", the oldest since {time}")).unwrap_or_default();
            output::line(format_args!(
                "sink {name}: has all up to {acknowledged}, {events_waiting} events waiting{oldest}, {events_refused} refused"
            ))?;
        }
        let (events, bytes, newest) = (self.outbox_events, self.outbox_bytes, self.outbox_newest);
        output::line(format_args!("outbox: {events} events, {bytes} bytes, the newest is {newest}"))?;
        output::line(format_args!("remembered: {} incidents", self.incidents_remembered))?;
        output::line(format_args!(
            "database: {} bytes, {} bytes free on its disk",
            self.database_bytes, self.free_bytes
        ))?;
        match (self.checkpoint, self.checkpoint_age_seconds) {
            (Some(CheckpointFacts { generation, end, .. }), Some(age)) => {
                output::line(format_args!("checkpoint: number {generation}, {age} s old, up to event {end}"))?;
            }
            (Some(_) | None, _) => output::line("checkpoint: none can be read")?,
        }
        Ok(())
    }
}
