//! Delivers again from the source: reads a window on the quota's own lane and puts every row of it into the outbox once more.
//! It gives way to live reading in everything: quota, room, disk. It moves no cursor and forgets no mark.

mod told;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::admin::replay::{Blame, End, Order, Progress, Request};
use crate::config::Config;
use crate::core::backoff::Backoff;
use crate::core::commit::Committed;
use crate::core::quarantine::Quarantined;
use crate::core::quota::{Lane, QuotaState};
use crate::core::reading::{Reading, Refusals, Step};
use crate::core::seen::{self, Verdict};
use crate::model::incident::Row;
use crate::model::names::{SinkName, TenantName};
use crate::model::page::{FetchError, Page, Query, Window};
use crate::model::timestamp::Timestamp;
use crate::run::complete::{self, Asker, Kept};
use crate::run::daemon::{self, RunError};
use crate::run::herald::{Topic, Whom};
use crate::run::intake::{self, Intakes};
use crate::run::poll::{self, outcome};
use crate::run::replay::told::Told;
use crate::run::tenant::{Surroundings, Tenant, seed};
use crate::run::tenants::Tenants;
use crate::store::Endpoint;
use crate::store::error::StoreError;
use crate::store::page::{Again, PageBatch};
use crate::transport::hands::{self, Hands};

/// First and longest pause after a failure that may pass by itself.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Failures of one call in a row after which the replay is given up: some ten minutes.
const FAILURES_MAX: u32 = 12;
/// What a 429 without any hint is taken for, and the longest hint that is followed.
const THROTTLED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// Between two looks at the quota.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));
/// Between two looks at a full outbox.
const ROOM_EVERY: Duration = Duration::from_secs(2);
/// Readings of a window whose pages do not join, before it is given up.
const READINGS_MAX: u32 = 3;

/// What replays are made with.
pub(crate) struct Replayer {
    tenants: Tenants,
    sinks: Intakes,
    /// Couriers empty the outbox meanwhile, so that it is worth waiting for room.
    has_couriers: bool,
}

/// One replay.
struct Job<'a> {
    request: &'a Request,
    progress: &'a watch::Sender<Progress>,
    told: Told,
    left_out: LeftOut,
}

/// How often a call has failed in a row, and how long to wait for the next one.
struct Patience {
    failures: u32,
    backoff: Backoff,
}

/// What could not be read, which everything else was delivered around.
#[derive(Default)]
struct LeftOut {
    /// Whose, and from when on: a window may be read several times.
    windows: BTreeSet<(TenantName, Timestamp)>,
    first: Option<String>,
}

/// Why a replay cannot go on.
struct Failed(Blame, String);

/// What there is to say where a reload has ended the tenant.
fn gone() -> Failed {
    let why = "it was taken out of the configuration or changed in it meanwhile; give the command again where it is still there";
    Failed(Blame::Source, why.into())
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(Blame::Store, error.to_string())
    }
}

/// Carries out orders, one at a time, until it is stopped.
pub(crate) async fn serve(replayer: &Replayer, orders: &mut mpsc::Receiver<Order>, stop: &CancellationToken) {
    while let Some(Some(order)) = stop.run_until_cancelled(orders.recv()).await {
        let Order { request, progress, accepted, turn } = order;
        let tenants = match replayer.choose(&request) {
            Ok(tenants) => tenants,
            Err(why) => {
                // Nobody may be waiting any more, which is their business.
                let _ = accepted.send(Err(why));
                continue;
            }
        };
        if accepted.send(Ok(())).is_err() {
            continue;
        }
        let (tenant, sink) =
            (request.tenant.as_ref().map(TenantName::as_str), request.sink.as_ref().map(SinkName::as_str));
        let until = request.until.map(|until| until.to_string());
        tracing::info!(since = %request.since, until, tenant, sink, dry_run = request.dry_run, "replay");
        let end = tokio::select! {
            end = replayer.run(&tenants, &request, &progress) => end,
            () = progress.closed() => End::Stopped,
            () = stop.cancelled() => End::Stopped,
        };
        let events = progress.borrow().events;
        match &end {
            End::Complete => tracing::info!(events, "replay is complete"),
            End::Stopped => tracing::info!(events, "replay was stopped"),
            End::Failed { why, .. } => tracing::warn!(events, error = why, "replay was given up"),
        }
        progress.send_modify(|progress| progress.end = Some(end));
        drop(turn);
    }
}

/// Replays without a daemon: with its store and its quota. What it delivers waits in the outbox for the next start. A wrong
/// request is answered with why.
///
/// # Errors
/// See [`RunError`].
pub async fn alone(
    config: Config,
    request: &Request,
    progress: &watch::Sender<Progress>,
    stop: &CancellationToken,
) -> Result<Result<End, String>, RunError> {
    let store = daemon::open(&config)?;
    let around = Surroundings::of(store.clone(), Arc::default());
    let tenants = Tenants::of(daemon::tenants(&config, &around, &CancellationToken::new())?);
    let replayer = Replayer { tenants, sinks: intake::of(&config.sinks), has_couriers: false };
    let end = match replayer.choose(request) {
        Ok(tenants) => {
            let run = stop.run_until_cancelled(replayer.run(&tenants, request, progress));
            Ok(run.await.unwrap_or(End::Stopped))
        }
        Err(why) => Err(why),
    };
    store.close().await?;
    Ok(end)
}

impl Replayer {
    pub(crate) const fn new(tenants: Tenants, sinks: Intakes) -> Self {
        Self { tenants, sinks, has_couriers: true }
    }

    /// The tenants that are asked for, or what is wrong with the request.
    fn choose(&self, request: &Request) -> Result<Vec<Arc<Tenant>>, String> {
        if let Some(until) = request.until.filter(|until| *until <= request.since) {
            return Err(format!("--until {until} is not after --since {}", request.since));
        }
        let names = |names: Vec<&str>| names.join(", ");
        let tenants = self.tenants.all();
        let sink = match &request.sink {
            None => None,
            Some(name) => Some((
                name,
                self.sinks.get(name).ok_or_else(|| {
                    let known = self.sinks.keys().map(SinkName::as_str).collect();
                    format!("--sink: there is no sink {name}; there are: {}", names(known))
                })?,
            )),
        };
        if let Some(name) = &request.tenant {
            let Some(tenant) = tenants.get(name) else {
                let known = tenants.keys().map(TenantName::as_str).collect();
                return Err(format!("--tenant: there is no tenant {name}; there are: {}", names(known)));
            };
            return match sink {
                Some((sink, intake)) if !intake.takes(name) => {
                    Err(format!("--sink: sink {sink} gets nothing of tenant {name}, see `sinks.{sink}.tenants`"))
                }
                Some(_) | None => Ok(vec![tenant.clone()]),
            };
        }
        let takes = |name: &TenantName| sink.is_none_or(|(_, intake)| intake.takes(name));
        Ok(tenants.iter().filter(|(name, _)| takes(name)).map(|(_, tenant)| tenant.clone()).collect())
    }

    /// One tenant after the other.
    async fn run(&self, tenants: &[Arc<Tenant>], request: &Request, progress: &watch::Sender<Progress>) -> End {
        let mut job = Job { request, progress, told: Told::default(), left_out: LeftOut::default() };
        for tenant in tenants {
            progress.send_modify(|progress| progress.tenant = Some(tenant.name.clone()));
            job.told = Told::default();
            let replayed = hands::carrying(Hands::of_this_process().load(), self.tenant(tenant, &mut job));
            let span = tracing::error_span!("replaying", tenant = %tenant.name);
            let replayed = tenant.unless_gone(replayed).instrument(span).await;
            if let Err(Failed(blame, why)) = replayed.unwrap_or_else(|| Err(gone())) {
                return End::Failed { blame, why: format!("tenant {}: {why}", tenant.name) };
            }
        }
        job.left_out.end()
    }

    async fn tenant(&self, tenant: &Tenant, job: &mut Job<'_>) -> Result<(), Failed> {
        let window = Window { from: job.request.since, to: job.request.until };
        for _ in 0..READINGS_MAX {
            if self.read(tenant, window, job).await? {
                return Ok(());
            }
            tracing::debug!("the pages of a replay did not join, it is read once more");
        }
        let why = "its incidents change faster than they can be read; replay shorter windows with --until".into();
        Err(Failed(Blame::Source, why))
    }

    /// Reads a window to its end. False where its pages did not join.
    async fn read(&self, tenant: &Tenant, window: Window, job: &mut Job<'_>) -> Result<bool, Failed> {
        // What cannot be read is known by now, and is delivered when it can be.
        let (windows, time) = {
            let poller = &tenant.decisions().poller;
            (poller.quarantine().around(window), poller.clock().latest())
        };
        let horizon = time.unwrap_or(window.from).max(window.from);
        let mut reading = Reading::new(&windows, tenant.page_size(), Refusals::default(), horizon, false)
            .listing_alerts_apart(tenant.client.asks_for_alerts_apart());
        let mut patience = Patience::of(tenant);
        loop {
            // What was read has been taken.
            hands::put_down();
            let query = match reading.step() {
                Step::Read(query) => query,
                Step::Complete => return Ok(true),
                Step::Broken(_) => return Ok(false),
                Step::Quarantine(window) => {
                    let facts = poll::facts_of(&window);
                    if !tenant.herald.happened(Whom::Tenant(&tenant.name), Topic::GoesAround, 1, &facts) {
                        let (from, to) = (window.from, window.to);
                        tracing::debug!(%from, %to, error = window.why, "the replay goes around this too");
                    }
                    job.left_out.note(tenant, &window);
                    reading.went_around();
                    continue;
                }
            };
            let error = match self.fetch(tenant, &query, job).await? {
                // Nobody would look for what is missing on it.
                Ok(Page { incomplete: Some(why), .. }) => FetchError::Unavailable { after: None, why },
                Ok(page) => {
                    patience = Patience::of(tenant);
                    let wanted = reading.wants_rows();
                    reading.read(&page.rows, tenant.clock.now());
                    if wanted {
                        self.take(tenant, page, job).await?;
                    }
                    continue;
                }
                // There is a way around it.
                Err(error) if reading.failed(&error, None, tenant.clock.now()) => {
                    patience = Patience::of(tenant);
                    continue;
                }
                Err(error) => error,
            };
            let pause = patience.pause_after(&error)?;
            if let FetchError::Throttled { of_one: false, .. } = error {
                tenant.decisions().list.block_until(tenant.clock.now() + pause);
            }
            job.waits(Some(format!("{error}; it is tried again in {} s", pause.as_secs().max(1))));
            tokio::time::sleep(pause).await;
        }
    }

    /// The answer to a call, with a new token where that is all it wants.
    async fn fetch(&self, tenant: &Tenant, query: &Query, job: &Job<'_>) -> Result<Result<Page, FetchError>, Failed> {
        let mut has_new_token = false;
        loop {
            let charged = self.slot(tenant, job).await?;
            tenant.store.set_quota(&tenant.key, Endpoint::List, charged).await?;
            job.waits(None);
            let answer = tenant.client.list(query).await;
            tenant.metrics.called(&tenant.name, "list", outcome(answer.as_ref().err()));
            let answer = match answer {
                Ok(page) => match (Asker { tenant, lane: Lane::Replay, who: None })
                    .page(query, page, &mut Kept::default())
                    .await
                {
                    Ok(page) => Ok(page),
                    Err(complete::Failed::Call(error)) => Err(error),
                    Err(complete::Failed::Store(error)) => return Err(error.into()),
                },
                Err(error) => Err(error),
            };
            match answer {
                Err(FetchError::Unauthorized { .. }) if !has_new_token => has_new_token = true,
                answer => return Ok(answer),
            }
        }
    }

    /// Waits for room and then for the quota, and takes one call of it.
    async fn slot(&self, tenant: &Tenant, job: &Job<'_>) -> Result<QuotaState, Failed> {
        loop {
            tenant.store.state()?;
            if !job.request.dry_run && !tenant.store.has_ample_room() {
                let why = "the outbox is half full, or the disk nearly so";
                if !self.has_couriers {
                    let remedy = "start the daemon, so that its sinks take what is there, and replay with it";
                    return Err(Failed(Blame::Store, format!("{why}; {remedy}")));
                }
                job.waits(Some(format!("{why}; it waits for the sinks, see `xdrelay status`")));
                tokio::time::sleep(ROOM_EVERY).await;
                continue;
            }
            let now = tenant.clock.now();
            let (charged, ready) = {
                let list = &mut tenant.decisions().list;
                (list.charge(Lane::Replay, now), list.ready_at(Lane::Replay, now).since(now))
            };
            if let Some(charged) = charged {
                return Ok(charged);
            }
            if Duration::from_secs(1) <= ready {
                job.waits(Some("the quota; what is new goes first".into()));
            }
            tokio::time::sleep(ready.clamp(LOOK_EVERY.0, LOOK_EVERY.1)).await;
        }
    }

    /// Puts the rows of a page that this replay has not had yet into the outbox, or only counts them.
    async fn take(&self, tenant: &Tenant, page: Page, job: &mut Job<'_>) -> Result<(), Failed> {
        let Page { mut rows, date, incomplete: _ } = page;
        rows.retain(|row| job.told.is_news(row));
        let (count, now) = (rows.len() as u64, tenant.clock.now());
        let events = if job.request.dry_run {
            let is_stale = |row: &Row| {
                let mark = tenant.store.mark(&tenant.key, &seen::id_of(row))?;
                Ok(seen::judge(mark.as_ref(), row, date, now) == Verdict::Stale)
            };
            let stale = rows.iter().map(is_stale).collect::<Result<Vec<_>, StoreError>>()?;
            stale.into_iter().filter(|stale| !stale).count()
        } else {
            let again = Some(Again { sink: job.request.sink.clone() });
            let batch = PageBatch { key: tenant.key.clone(), tenant: tenant.name.clone(), rows, date, now, again };
            let committed = tenant.store.commit_page(batch).await?;
            note(tenant, &committed);
            committed.events.len()
        };
        let incidents = job.told.incidents.len() as u64;
        let before = job.told.counted;
        job.told.counted = incidents;
        job.progress.send_modify(|progress| {
            progress.pages += 1;
            progress.rows += count;
            progress.incidents += incidents - before;
            progress.events += events as u64;
        });
        Ok(())
    }
}

impl Job<'_> {
    fn waits(&self, why: Option<String>) {
        self.progress.send_if_modified(|progress| {
            let differs = progress.waiting != why;
            progress.waiting = why;
            differs
        });
    }
}

impl Patience {
    fn of(tenant: &Tenant) -> Self {
        Self { failures: 0, backoff: Backoff::new(RETRY.0, RETRY.1, seed(&tenant.name)) }
    }

    /// How long to wait before a call that failed so is made again; why not where that does not help.
    fn pause_after(&mut self, error: &FetchError) -> Result<Duration, Failed> {
        let pause = match error {
            FetchError::Unauthorized { .. } | FetchError::Refused { .. } => {
                return Err(Failed(Blame::Credential, error.to_string()));
            }
            FetchError::NotFound | FetchError::TooLarge { .. } | FetchError::Rejected { .. } => {
                return Err(Failed(Blame::Source, error.to_string()));
            }
            FetchError::Throttled { after, .. } => after.unwrap_or(THROTTLED.0).min(THROTTLED.1),
            FetchError::Unavailable { after, .. } => after.unwrap_or_default().clamp(self.backoff.pause(), THROTTLED.1),
            FetchError::Garbled { .. } => self.backoff.pause(),
        };
        self.failures += 1;
        if FAILURES_MAX <= self.failures {
            return Err(Failed(Blame::Source, format!("{} times in a row: {error}", self.failures)));
        }
        Ok(pause)
    }
}

impl LeftOut {
    fn note(&mut self, tenant: &Tenant, window: &Quarantined) {
        let (from, to, why) = (window.from, window.to, &window.why);
        self.windows.insert((tenant.name.clone(), from));
        self.first.get_or_insert_with(|| format!("tenant {}, from {from} to {to}: {why}", tenant.name));
    }

    /// How a replay ends that has read everything else.
    fn end(self) -> End {
        let Some(first) = self.first else { return End::Complete };
        let count = self.windows.len();
        let why = format!(
            "everything else was read, but what was changed in {count} windows of time cannot be; the first: {first}"
        );
        End::Failed { blame: Blame::Source, why }
    }
}

/// What a replay finds that live reading had not is an event like any other; what it repeats is not counted again.
fn note(tenant: &Tenant, committed: &Committed) {
    for event in committed.events.iter().filter(|event| event.unseen_time.is_some()) {
        tenant.metrics.committed(&tenant.name, event.kind, event.last_update);
        tenant.board.tenant(&tenant.name, |status| *status.events.entry(event.kind).or_default() += 1);
    }
}
