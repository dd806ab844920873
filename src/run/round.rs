//! One round, for `xdrelay run --once`: when it is complete, and when nothing moves any more and it is given up.

use std::time::Duration;

use crate::admin::board::Board;
use crate::admin::status::{Status, TenantStatus};
use crate::config::Config;
use crate::model::names::SinkName;
use crate::run::daemon::Ending;
use crate::store::Store;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A round in which nothing moves for so long is given up: longer than any ordinary wait for the quota or a token.
const ROUND_PATIENCE: Duration = Duration::from_secs(300);
/// Failures in a row after which one round is given up.
const FAILURES_MAX: u32 = 4;
/// Readings in a row that prove nothing, after which it is given up.
const BROKEN_MAX: u32 = 3;

/// One complete round: every tenant swept once, every sink past the newest event. Given up where nothing moves any more.
pub(crate) async fn done(config: &Config, board: &Board, store: &Store) -> Ending {
    let patience = config.shutdown.grace.0.max(Duration::from_secs(15));
    let mut last_move = tokio::time::Instant::now();
    let mut before = 0;
    loop {
        let status = board.status();
        let reading = status.tenants.values().any(|tenant| tenant.rounds == 0 && !is_given_up(tenant));
        let waiting = behind(config, &status, store);
        let moved = movement(&status, reading);
        if moved != before {
            (before, last_move) = (moved, tokio::time::Instant::now());
        }
        let still = last_move.elapsed();
        let read_enough = !reading || ROUND_PATIENCE < still || (status.paused.is_some() && patience < still);
        if read_enough && (waiting.is_empty() || patience < still) {
            return verdict(&status, &waiting);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A number that grows with every acknowledgement, and while tenants are read with every event and reading too. A round that
/// only waits for sinks goes on sweeping, which is no reason to wait longer.
fn movement(status: &Status, reading: bool) -> u64 {
    let sinks = status.sinks.values().map(|sink| sink.acknowledged + sink.refused);
    let tenants = status.tenants.values().filter(|_| reading).map(|tenant| tenant.pages + tenant.events_total());
    sinks.chain(tenants).sum()
}

fn is_given_up(tenant: &TenantStatus) -> bool {
    let fails = FAILURES_MAX <= tenant.failures || BROKEN_MAX <= tenant.broken_readings;
    tenant.rounds == 0 && (tenant.refused || fails)
}

/// The sinks that lack something, and how much.
fn behind(config: &Config, status: &Status, store: &Store) -> Vec<String> {
    let newest = *store.newest().borrow();
    let lacks = |name: &&SinkName| store.progress(name).is_ok_and(|progress| progress.acknowledged < newest);
    let lacking: Vec<_> = config.sinks.keys().filter(lacks).collect();
    if lacking.is_empty() {
        return Vec::new();
    }
    // Counted over all tenants; a sink that takes only some of them lacks at most so many.
    let waiting = store.tally().map(|tally| tally.sinks).unwrap_or_default();
    let say = |name: &SinkName| {
        let events = waiting.get(name).map(|behind| format!("{} events wait: ", behind.events)).unwrap_or_default();
        let why = status.sinks.get(name).and_then(|sink| sink.error.clone());
        format!("sink {name}: {events}{}", why.unwrap_or_else(|| "they are on their way".into()))
    };
    lacking.into_iter().map(say).collect()
}

fn verdict(status: &Status, waiting: &[String]) -> Ending {
    let unread: Vec<_> = status.tenants.iter().filter(|(_, tenant)| tenant.rounds == 0).collect();
    if unread.is_empty() && waiting.is_empty() {
        let events: u64 = status.tenants.values().map(TenantStatus::events_total).sum();
        tracing::info!(tenants = status.tenants.len(), events, "one round is complete, everything is delivered");
        return Ending::Complete;
    }
    let tenants = unread.iter().map(|(name, tenant)| {
        let why = tenant.error.clone().or_else(|| status.paused.clone());
        format!("tenant {name}: {}", why.unwrap_or_else(|| "it was not read to the end".into()))
    });
    let why = tenants.chain(waiting.iter().cloned()).collect::<Vec<_>>().join("\n");
    Ending::Incomplete { why, refused: unread.iter().any(|(_, tenant)| tenant.refused) }
}
