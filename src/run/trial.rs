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
        let trial = in_time(till, tenant::try_one(name, tenant, &witness)).await;
        (name.clone(), trial.unwrap_or_else(|late| Ok(TenantTrial::unfinished(tenant.api, late))))
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
        if let Err(late) = in_time(till, trial.fill(name, &sink.kind, running.is_some())).await {
            trial.give_up(late);
        }
        (name.clone(), trial)
    });
    stream::iter(tried).buffer_unordered(AT_ONCE).collect().await
}

/// One of them, as long as it may take; not begun where the time of all is up.
async fn in_time<T>(till: Instant, each: impl Future<Output = T>) -> Result<T, Late> {
    if till <= Instant::now() {
        return Err(Late::NotTried);
    }
    timeout_at(till.min(Instant::now() + EACH_MAX), each).await.map_err(|_| Late::NoEnd)
}

/// Why there is no finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Late {
    /// The others took all the time.
    #[error("not tried: the time of the whole check was up, {} s; what is slow is among the others", ALL_MAX.as_secs())]
    NotTried,
    /// It began, and did not end.
    #[error("the check came to no end in time: something in between neither answers nor refuses")]
    NoEnd,
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::model::dialect::Dialect;

    #[tokio::test]
    async fn what_was_never_begun_is_not_blamed() {
        let now = Instant::now();
        assert_eq!(in_time(now + ALL_MAX, ready(7)).await, Ok(7));
        let begun = async { panic!("it is begun though the time is up") };
        assert_eq!(in_time::<()>(now, begun).await, Err(Late::NotTried));
        assert_eq!(in_time(now + Duration::from_millis(10), pending::<()>()).await, Err(Late::NoEnd));
        for (late, words) in [(Late::NotTried, "not tried: the time"), (Late::NoEnd, "neither answers nor refuses")] {
            let trial = TenantTrial::unfinished(Dialect::Graph, late);
            assert!(trial.error.as_deref().is_some_and(|error| error.contains(words)), "{trial:?}");
        }
    }
}
