//! `xdrelay status`: what a running daemon says of itself; without one, what its state directory says.

use clap::Args;
use serde::Serialize;

use crate::admin::control;
use crate::admin::status;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output};
use crate::config::Config;
use crate::store::{OnCorrupt, Settings, Store};

/// Show what a running daemon, or else its state directory, says of itself.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

/// What a state directory says without a daemon.
#[derive(Debug, Serialize)]
struct AtRest {
    running: bool,
    tenants: Vec<TenantAtRest>,
    sinks: Vec<SinkAtRest>,
    outbox_events: u64,
    outbox_bytes: u64,
    incidents_remembered: u64,
}

#[derive(Debug, Serialize)]
struct TenantAtRest {
    name: String,
    cursor: Option<String>,
    last_complete_sweep: Option<String>,
}

#[derive(Debug, Serialize)]
struct SinkAtRest {
    name: String,
    events_waiting: u64,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        let config = self.files.parse()?;
        let unavailable = |why| Exit::new(exit::UNAVAILABLE, why);
        match control::ask(&config.state_dir, "/status").await.map_err(unavailable)? {
            Some(reply) => self.running(&reply.body),
            None => self.at_rest(&config).await,
        }
    }

    fn running(&self, body: &str) -> Result<(), Exit> {
        let status: status::Status = serde_json::from_str(body)
            .map_err(|error| Exit::new(exit::DATA, format!("the daemon's answer cannot be understood: {error}")))?;
        if self.json {
            #[derive(Serialize)]
            struct Running<'a> {
                running: bool,
                #[serde(flatten)]
                status: &'a status::Status,
            }
            return Ok(output::line(json(&Running { running: true, status: &status })?)?);
        }
        output::line("running")?;
        for (name, tenant) in &status.tenants {
            output::line(format_args!("tenant {name}: {}", describe(tenant)))?;
        }
        for (name, sink) in &status.sinks {
            let error = sink.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let (delivered, refused) = (sink.delivered, sink.refused);
            output::line(format_args!("sink {name}: {}, {delivered} delivered, {refused} refused{error}", sink.state))?;
        }
        Ok(status.paused.map(|why| output::line(format_args!("polling is paused: {why}"))).transpose().map(drop)?)
    }

    async fn at_rest(&self, config: &Config) -> Result<(), Exit> {
        if !config.state_dir.exists() {
            let dir = config.state_dir.display();
            return Err(Exit::new(exit::STATE, format!("no daemon runs, and there is no state directory {dir} yet")));
        }
        let settings = Settings {
            dir: config.state_dir.clone(),
            on_corrupt: OnCorrupt::Stop,
            max_size: config.outbox.max_size.0,
            min_free: config.outbox.min_free.0,
        };
        let store = Store::open(settings)?.store;
        let at_rest = read(config, &store)?;
        store.close().await?;
        if self.json {
            return Ok(output::line(json(&at_rest)?)?);
        }
        output::line("not running")?;
        for TenantAtRest { name, cursor, last_complete_sweep } in &at_rest.tenants {
            let never = || "never".to_owned();
            let (cursor, swept) =
                (cursor.clone().unwrap_or_else(never), last_complete_sweep.clone().unwrap_or_else(never));
            output::line(format_args!("tenant {name}: read up to {cursor}, last complete sweep {swept}"))?;
        }
        for SinkAtRest { name, events_waiting } in &at_rest.sinks {
            output::line(format_args!("sink {name}: {events_waiting} events waiting"))?;
        }
        Ok(())
    }
}

fn read(config: &Config, store: &Store) -> Result<AtRest, Exit> {
    let tally = store.tally()?;
    let mut tenants = Vec::new();
    for (name, tenant) in &config.tenants {
        let position = store.position(&tenant.key())?;
        tenants.push(TenantAtRest {
            name: name.to_string(),
            cursor: position.map(|position| position.cursor.to_string()),
            last_complete_sweep: position.and_then(|position| position.swept).map(|time| time.to_string()),
        });
    }
    let waiting = tally.sinks.iter();
    let sinks =
        waiting.map(|(name, behind)| SinkAtRest { name: name.to_string(), events_waiting: behind.events }).collect();
    Ok(AtRest {
        running: false,
        tenants,
        sinks,
        outbox_events: tally.outbox_events,
        outbox_bytes: tally.outbox_bytes,
        incidents_remembered: tally.seen,
    })
}

fn describe(tenant: &status::TenantStatus) -> String {
    let events: Vec<_> = tenant.events.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let events = if events.is_empty() { "no events yet".into() } else { events.join(", ") };
    let lag = tenant.lag_seconds.map(|lag| format!(", last complete sweep {lag:.0} s ago")).unwrap_or_default();
    let way = tenant.catching_up.as_ref().map(|(at, to)| format!(", catching up at {at} of {to}")).unwrap_or_default();
    let error = tenant.error.as_deref().map(|why| format!("\n  failing {} times in a row: {why}", tenant.failures));
    format!("{events}{lag}{way}{}", error.unwrap_or_default())
}

fn json(value: &impl Serialize) -> Result<String, Exit> {
    serde_json::to_string_pretty(value).map_err(|error| Exit::new(exit::INTERNAL, error.to_string()))
}
