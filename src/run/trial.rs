//! Trying each tenant and each sink once, for `xdrelay check`: side by side, within a bound. Every call to the API goes through the
//! quota here too, and nothing is sent to a sink.

mod api;
mod finding;
mod purse;
pub mod sink;
pub mod tenant;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, timeout_at};

use crate::admin::status::Status;
use crate::config::Config;
use crate::model::names::{SinkName, TenantName};
use crate::run::clock::Clock;
use crate::run::daemon::{self, RunError};
use crate::run::trial::sink::SinkTrial;
use crate::run::trial::tenant::{TenantTrial, Witness};

/// Tenants, or sinks, that are tried at the same time.
const AT_ONCE: usize = 8;
/// How long one of them may take.
const EACH_MAX: Duration = Duration::from_secs(120);
/// How long all of them may take: hundreds of tenants, a few calls each at the pace of the quota.
const ALL_MAX: Duration = Duration::from_secs(300);

/// What was found for people: what it is about, and the words.
pub type Line = (&'static str, String);

/// Tries each tenant. Where a daemon is `running`, it reads the tenants: then only the sign-in is tried, and what it says counts.
/// `tell` hears how many are done.
///
/// # Errors
/// The store is there and does not open or fails, or a client cannot be made.
pub async fn tenants(
    config: &Config,
    running: Option<&Status>,
    tell: &dyn Fn(usize),
) -> Result<BTreeMap<TenantName, TenantTrial>, RunError> {
    // A check leaves no new state directory behind, which might belong to the wrong user.
    let opens = running.is_none() && config.state_dir.exists();
    let store = opens.then(|| daemon::open(config)).transpose()?;
    let witness = match running {
        Some(status) => Witness::Daemon(status),
        None => Witness::Api { store: store.as_ref(), clock: Clock::start() },
    };
    let till = Instant::now() + ALL_MAX;
    let tried = config.tenants.iter().map(|(name, tenant)| async {
        let each = tenant::try_one(name, tenant, &witness);
        let trial = timeout_at(till.min(Instant::now() + EACH_MAX), each).await;
        (name.clone(), trial.unwrap_or_else(|_| Ok(TenantTrial::unfinished(tenant))))
    });
    let mut tried = stream::iter(tried).buffer_unordered(AT_ONCE);
    let mut trials = BTreeMap::new();
    while let Some((name, trial)) = tried.next().await {
        trials.insert(name, trial?);
        tell(trials.len());
    }
    drop(tried);
    if let Some(store) = store {
        store.close().await?;
    }
    Ok(trials)
}

/// Tries each sink: opens it, connects where there is something to connect to, and asks what changes nothing. Sends no event.
pub async fn sinks(config: &Config, running: Option<&Status>) -> BTreeMap<SinkName, SinkTrial> {
    let till = Instant::now() + ALL_MAX;
    let tried = config.sinks.iter().map(|(name, sink)| async {
        let known = running.and_then(|status| status.sinks.get(name));
        let mut trial = SinkTrial::of(&sink.kind, known);
        let each = trial.fill(name, &sink.kind, running.is_some());
        if timeout_at(till.min(Instant::now() + EACH_MAX), each).await.is_err() {
            trial.give_up();
        }
        (name.clone(), trial)
    });
    stream::iter(tried).buffer_unordered(AT_ONCE).collect().await
}

/// What is said where the time was up.
const NO_END: &str = "the check came to no end in time: something in between neither answers nor refuses";
