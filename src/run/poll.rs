//! The loop of one reader of one tenant: asks for the one thing to do, does it, reports it.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::admin::metrics::wall_clock;
use crate::core::commit::{Brief, Commit, Committed, Done, PassKind};
use crate::core::health::Health;
use crate::core::poller::{Reader, Todo};
use crate::core::quarantine::{Quarantine, Quarantined};
use crate::core::quota::{Lane, QuotaState};
use crate::identity::TokenError;
use crate::model::page::{FetchError, Page, Query};
use crate::run::complete::{Asker, Failed, Kept};
use crate::run::herald::{Facts, Topic, Whom};
use crate::run::passing::Contents;
use crate::run::tenant::{Decisions, Tenant};
use crate::store::Endpoint;
use crate::store::error::StoreError;
use crate::store::page::PageBatch;
use crate::transport::hands::{self, Hands, Load};

/// A loop comes round at least this often, so that its heartbeat shows and a stop is seen.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often a full store is looked at.
const ROOM_EVERY: Duration = Duration::from_secs(2);

/// What a store without room holds up.
const POLLING: Whom<'static> = Whom::Part("polling");

/// What a decision asks for, with the quota already charged.
enum Next {
    Wait(Duration),
    Fetch(Query, Lane, QuotaState),
    Commit(Commit),
}

/// Reads until it is stopped.
///
/// # Errors
/// The store can take nothing any more: the process has to end.
pub(crate) async fn read(tenant: &Tenant, reader: Reader, stop: &CancellationToken) -> Result<(), StoreError> {
    let who = who(tenant, reader);
    let mut kept = Kept::default();
    let load = Hands::of_this_process().load();
    while !stop.is_cancelled() {
        tenant.board.beat(&who);
        if !has_room(tenant, stop).await {
            continue;
        }
        let step = hands::carrying(load.clone(), step(tenant, reader, &who, &mut kept));
        let Some(step) = stop.run_until_cancelled(beating(tenant, &who, &load, step)).await else { break };
        match step {
            Ok(()) => {}
            // Nobody knows what of the commit is durable: go on from what is, once there is room.
            Err(StoreError::Full { why }) => {
                tracing::debug!(error = why, "the disk of the store is full: it is unknown what of this is durable");
                start_over(tenant, stop).await?;
            }
            Err(error) => return Err(error),
        }
    }
    tenant.board.ended(&who);
    Ok(())
}

/// What the board calls a reader.
pub(crate) fn who(tenant: &Tenant, reader: Reader) -> String {
    format!("tenant {} {}", tenant.name, name(reader))
}

/// Goes on from what is durable as soon as the store says again what that is.
async fn start_over(tenant: &Tenant, stop: &CancellationToken) -> Result<(), StoreError> {
    while stop.run_until_cancelled(tokio::time::sleep(ROOM_EVERY)).await.is_some() {
        match tenant.start_over() {
            Err(StoreError::Full { .. }) => {}
            result => return result,
        }
    }
    Ok(())
}

/// A reader that waits for a place in memory is not stuck.
async fn beating<T>(tenant: &Tenant, who: &str, load: &Load, step: impl Future<Output = T>) -> T {
    let mut step = pin!(step);
    loop {
        match tokio::time::timeout(LONGEST_WAIT, &mut step).await {
            Ok(done) => return done,
            Err(_) if load.is_waiting() => tenant.board.beat(who),
            Err(_) => {}
        }
    }
}

async fn step(tenant: &Tenant, reader: Reader, who: &str, kept: &mut Kept) -> Result<(), StoreError> {
    let next = decide(tenant, reader);
    // What is not committed now is not going to be.
    if !matches!(next, Next::Commit(_)) {
        hands::put_down();
    }
    match next {
        Next::Wait(wait) => {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = tenant.woken(reader) => {}
            }
        }
        Next::Fetch(query, lane, charged) => {
            tenant.store.set_quota(&tenant.key, Endpoint::List, charged).await?;
            let answer = match tenant.client.list(&query).await {
                Ok(page) => {
                    tenant.metrics.called(&tenant.name, "list", outcome(None));
                    match (Asker { tenant, lane, who: Some(who) }).page(&query, page, kept).await {
                        Ok(page) => Ok(page),
                        Err(Failed::Call(error)) => Err(error),
                        Err(Failed::Store(error)) => return Err(error),
                    }
                }
                Err(error) => {
                    tenant.metrics.called(&tenant.name, "list", outcome(Some(&error)));
                    Err(error)
                }
            };
            fetched(tenant, reader, answer);
        }
        Next::Commit(commit) => {
            let done = perform(tenant, commit).await;
            hands::put_down();
            let done = done?;
            let mut decisions = tenant.decisions();
            let before = decisions.poller.health().clone();
            decisions.poller.committed(reader, &done, tenant.clock.now());
            let health = decisions.poller.health();
            tell_of_missed(tenant, health.audit_missed() - before.audit_missed());
            if let Some((error, _)) = &health.reader(reader).error
                && before.broken_readings() < health.broken_readings()
            {
                tracing::debug!(%error, broken_readings = health.broken_readings(), "a reading proved nothing");
            }
            show(tenant, &decisions);
            drop(decisions);
            tenant.wake(other(reader));
        }
    }
    Ok(())
}

/// Decides and charges under one lock, so that what is asked for can be paid.
fn decide(tenant: &Tenant, reader: Reader) -> Next {
    let now = tenant.clock.now();
    let Decisions { poller, list, .. } = &mut *tenant.decisions();
    match poller.todo(reader, now, list) {
        Todo::Wait(until) => Next::Wait(until.since(now).min(LONGEST_WAIT)),
        Todo::Commit(commit) => Next::Commit(commit),
        Todo::Fetch(query, lane) => match list.charge(lane, now) {
            Some(charged) => Next::Fetch(query, lane, charged),
            None => Next::Wait(list.ready_at(lane, now).since(now).min(LONGEST_WAIT)),
        },
    }
}

fn fetched(tenant: &Tenant, reader: Reader, answer: Result<Page, FetchError>) {
    let now = tenant.clock.now();
    let mut decisions = tenant.decisions();
    let failure = match &answer {
        Ok(Page { incomplete, rows, .. }) => {
            tracing::debug!(rows = rows.len(), incomplete, "page");
            tenant.board.tenant(&tenant.name, |status| status.pages += u64::from(incomplete.is_none()));
            None
        }
        Err(error) => Some(error.to_string()),
    };
    let Decisions { poller, list, .. } = &mut *decisions;
    poller.fetched(reader, answer, now, list);
    tell_of_failures(tenant, reader, decisions.poller.health(), failure);
    show(tenant, &decisions);
}

/// Whether the tenant can be read, as far as that is news: both readers fail of the same, which is one trouble.
fn tell_of_failures(tenant: &Tenant, reader: Reader, health: &Health, failure: Option<String>) {
    let whom = Whom::Tenant(&tenant.name);
    let share = health.reader(reader);
    let failing = share.error.as_ref().filter(|(error, _)| {
        // One retry with a new token is the ordinary end of a token's life, and another way that is tried is no failure yet.
        0 < share.failures && !(matches!(error, FetchError::Unauthorized { .. }) && share.failures == 1)
    });
    let says = match failing {
        Some((error, _)) => tenant.herald.fails(whom, Topic::CannotRead, &error.to_string()),
        None if [Reader::Tail, Reader::Sweep].iter().all(|reader| health.reader(*reader).failures == 0) => {
            tenant.herald.works(whom, Topic::ReadsAgain);
            false
        }
        None => false,
    };
    if let Some(error) = failure.filter(|_| !says) {
        tracing::debug!(failures = share.failures, error, "cannot read incidents");
    }
}

async fn perform(tenant: &Tenant, commit: Commit) -> Result<Done, StoreError> {
    match commit {
        Commit::Position(position) => {
            tenant.store.set_position(&tenant.key, position).await?;
            tracing::debug!(cursor = %position.cursor, "position");
            Ok(Done::Position(position))
        }
        Commit::Quarantine(quarantine) => {
            tenant.store.set_quarantine(&tenant.key, quarantine.clone()).await?;
            tell_of_quarantine(tenant, &quarantine);
            Ok(Done::Quarantine(quarantine))
        }
        Commit::Rows(kind, page) => {
            let contents = Contents::of(&tenant.board, &page.rows);
            let batch = PageBatch {
                key: tenant.key.clone(),
                tenant: tenant.name.clone(),
                rows: page.rows,
                date: page.date,
                now: tenant.clock.now(),
                again: None,
            };
            let committed = tenant.store.commit_page(batch).await?;
            count(tenant, &committed);
            contents.pass(tenant, &committed.events);
            look_at_lag(tenant, kind, &committed);
            Ok(Done::Rows(committed))
        }
    }
}

/// What cannot be read is shouted about when it is found, and again when it can be.
fn tell_of_quarantine(tenant: &Tenant, quarantine: &Quarantine) {
    let before = tenant.decisions().poller.quarantine().clone();
    let tell = |topic: Topic, windows: &[Quarantined], without: &Quarantine| {
        for window in windows.iter().filter(|window| !without.holds(window.from)) {
            let facts = facts_of(window);
            if !tenant.herald.happened(Whom::Tenant(&tenant.name), topic, 1, &facts) {
                let Facts { from, to, before, after, error, .. } = facts;
                tracing::debug!(from, to, before, after, error, "{}", topic.words());
            }
        }
    };
    tell(Topic::Quarantined, quarantine.windows(), &before);
    tell(Topic::Healed, before.windows(), quarantine);
}

/// A window in quarantine, as fields.
pub(crate) fn facts_of(window: &Quarantined) -> Facts<'_> {
    let Quarantined { from, to, why, before, after, since: _ } = window;
    Facts {
        error: Some(why),
        from: Some(from.to_string()),
        to: Some(to.to_string()),
        before: before.as_deref(),
        after: after.as_deref(),
        ..Facts::default()
    }
}

fn tell_of_missed(tenant: &Tenant, missed: u64) {
    tenant.metrics.audit_missed(&tenant.name, missed);
    if missed != 0 {
        tenant.herald.happened(Whom::Tenant(&tenant.name), Topic::Missed, missed, &Facts::default());
    }
}

/// The assumption that everything rests on is measured: how late rows become visible.
fn look_at_lag(tenant: &Tenant, kind: PassKind, committed: &Committed) {
    let (decisions, now) = (tenant.decisions(), tenant.clock.now());
    let lag = |event: &Brief| decisions.poller.visibility_lag(kind, event.unseen_time?, now);
    let lags: Vec<_> = committed.events.iter().filter_map(lag).collect();
    drop(decisions);
    for lag in &lags {
        tenant.metrics.visible_after(&tenant.name, pass_name(kind), *lag);
    }
    let Some(latest) = lags.into_iter().max() else { return };
    if tenant.overlap() / 2 < latest && tenant.says_it_is_late(now) {
        let facts = Facts {
            pass: Some(pass_name(kind)),
            lag_seconds: Some(latest.as_secs()),
            overlap_seconds: Some(tenant.overlap().as_secs()),
            ..Facts::default()
        };
        tenant.herald.happened(Whom::Tenant(&tenant.name), Topic::Late, 1, &facts);
    }
}

const fn pass_name(kind: PassKind) -> &'static str {
    match kind {
        PassKind::Tail => "tail",
        PassKind::Sweep => "sweep",
        PassKind::CatchUp => "catch_up",
        PassKind::Audit => "audit",
        PassKind::Retry => "retry",
    }
}

fn count(tenant: &Tenant, committed: &Committed) {
    for event in &committed.events {
        tenant.metrics.committed(&tenant.name, event.kind, event.last_update);
        tracing::debug!(event_id = %event.event_id, kind = %event.kind, "event");
    }
    tenant.board.tenant(&tenant.name, |status| {
        for event in &committed.events {
            *status.events.entry(event.kind).or_default() += 1;
        }
    });
}

/// Writes to the board how the tenant fares.
fn show(tenant: &Tenant, decisions: &Decisions) {
    let Decisions { poller, list, get } = decisions;
    let (now, health, clock) = (tenant.clock.now(), poller.health(), poller.clock());
    let failing = [Reader::Tail, Reader::Sweep].map(|reader| health.reader(reader));
    let error = failing.iter().find_map(|share| share.error.as_ref()).map(|(error, _)| error);
    let server_time = clock.now(now);
    let certificate_expires_seconds = tenant.certificate_expires_seconds(now);
    let renewal = tenant.renewal_failure();
    tenant.board.tenant(&tenant.name, |status| {
        status.passes = health.passes();
        status.rounds = health.rounds();
        status.cursor = poller.position().map(|position| position.cursor.to_string());
        status.last_complete_sweep = health.swept().map(|time| time.to_string());
        // A source that has not told its time yet may never do so; for people and plots ours is near enough.
        let time = server_time.unwrap_or_else(wall_clock);
        status.lag_seconds = health.swept().map(|swept| time.since(swept).as_secs_f64());
        status.catching_up = health.catching_up().map(|(from, to)| (from.to_string(), to.to_string()));
        status.quarantined = poller.quarantine().windows().len();
        status.broken_readings = health.broken_readings();
        status.audits = health.audits();
        status.audit_missed = health.audit_missed();
        status.error = error.map(ToString::to_string);
        status.error_kind = error.map(|error| outcome(Some(error)).to_owned());
        status.refused = matches!(error, Some(FetchError::Refused { .. }));
        status.failures = failing.iter().map(|share| share.failures).max().unwrap_or_default();
        status.clock_skew_seconds = server_time.map(skew);
        status.quota_remaining =
            [list.minute_remaining(now), list.hour_remaining(now), get.minute_remaining(now), get.hour_remaining(now)];
        status.token_expires_seconds = tenant.tokens.expires_in().map(|left| left.as_secs_f64());
        status.certificate_expires_seconds = certificate_expires_seconds;
        status.renewal_error = renewal.as_ref().map(ToString::to_string);
        status.renewal_refused = matches!(renewal, Some(TokenError::Refused { .. }));
    });
}

fn skew(server_time: crate::model::timestamp::Timestamp) -> f64 {
    let ours = wall_clock();
    ours.since(server_time).as_secs_f64() - server_time.since(ours).as_secs_f64()
}

/// Waits for room in the store, and has it said. False where it came round without.
async fn has_room(tenant: &Tenant, stop: &CancellationToken) -> bool {
    let store = tenant.store.clone();
    let problem = store.room().problem();
    let news = tenant.board.paused(problem.clone());
    match problem {
        None => {
            if news {
                tenant.herald.works(POLLING, Topic::GoesOn);
            }
            true
        }
        Some(why) => {
            tenant.herald.fails(POLLING, Topic::Paused, &why);
            stop.run_until_cancelled(tokio::time::sleep(ROOM_EVERY)).await;
            // A store that is closed or poisoned says so at the next verb, and that ends the process.
            matches!(store.room(), crate::store::tally::Room::Closed(_))
        }
    }
}

const fn other(reader: Reader) -> Reader {
    match reader {
        Reader::Tail => Reader::Sweep,
        Reader::Sweep => Reader::Tail,
    }
}

pub(crate) const fn name(reader: Reader) -> &'static str {
    match reader {
        Reader::Tail => "tail",
        Reader::Sweep => "sweep",
    }
}

/// How a call ended, for `api_calls_total`.
pub(crate) const fn outcome(error: Option<&FetchError>) -> &'static str {
    match error {
        None => "ok",
        Some(FetchError::Throttled { .. }) => "throttled",
        Some(FetchError::Unavailable { .. }) => "unavailable",
        Some(FetchError::Unauthorized { .. }) => "unauthorized",
        Some(FetchError::Refused { .. }) => "refused",
        Some(FetchError::Rejected { .. }) => "rejected",
        Some(FetchError::Garbled { .. }) => "garbled",
        Some(FetchError::TooLarge { .. }) => "too_large",
        Some(FetchError::NotFound) => "not_found",
    }
}
