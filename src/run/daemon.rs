//! The daemon from start to end: opens the store, starts the loops, waits, drains, closes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::admin::board::Board;
use crate::admin::live::{Known, Live};
use crate::admin::replay::{Desk, Order};
use crate::admin::server::{self, AskError, Eyes};
use crate::config::Config;
use crate::core::poller::Reader;
use crate::model::names::{IncidentId, SinkName, TenantName};
use crate::model::timestamp::Timestamp;
use crate::run::ask;
use crate::run::deliver::Delivery;
use crate::run::reload::{self, Load, Reloader};
use crate::run::replay::{self, Replayer};
use crate::run::signal::Signals;
use crate::run::supervise::Loops;
use crate::run::tenant::{Access, Surroundings, Tenant, seed};
use crate::run::tenants::{self, ByName, Tenants};
use crate::run::{forget, intake, notify, round};
use crate::store::error::{OpenError, StoreError};
use crate::store::open::Recovery;
use crate::store::{self, Store};
use crate::transport::http::HttpError;

/// Requests for single incidents that wait at most.
const ASKS_MAX: usize = 16;
/// Between two looks at whether everything has gone out.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until a signal, or until the token of the caller is cancelled.
    Stopped,
    /// One complete round of every tenant, everything delivered.
    RoundIsDone,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// In good order.
    Stopped,
    /// The round was complete and everything was delivered.
    Complete,
    /// The round was given up: what is missing, and whether a credential was refused.
    Incomplete {
        /// For people.
        why: String,
        /// Whether a credential was refused.
        refused: bool,
    },
    /// The grace period ended first; what was in the air is sent again.
    Hurried,
}

/// Why a daemon does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed while running.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tenant's client cannot be made.
    #[error("tenant {tenant}: {why:#}")]
    Tenant {
        /// Which.
        tenant: TenantName,
        /// The cause.
        why: anyhow::Error,
    },
    /// The admin address or the control socket cannot be bound.
    #[error("cannot listen on {place}: {source}")]
    Listen {
        /// Where.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// What a caller may watch and stop.
#[derive(Clone, Default)]
pub struct Handle {
    /// Stops the daemon in good order.
    pub stop: CancellationToken,
    /// What the loops say.
    pub board: Arc<Board>,
    /// The address that the admin endpoints got, once they have.
    pub admin: Arc<std::sync::OnceLock<SocketAddr>>,
    /// How the configuration is read again on SIGHUP; none: it is not.
    pub load: Option<Load>,
}

/// Runs a daemon of this configuration.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: Config, until: Until, handle: Handle) -> Result<Ending, RunError> {
    // First of all: from here on a SIGHUP does not end the process.
    let signals = Signals::new();
    let store = open(&config)?;
    let around = Surroundings::of(store.clone(), handle.board.clone());
    let (metrics, herald) = (around.metrics.clone(), around.herald.clone());
    let names: Vec<SinkName> = config.sinks.keys().cloned().collect();
    for forgotten in store.register_sinks(&names).await? {
        tracing::warn!(sink = %forgotten, "the sink is not configured any more; what it had not got yet is not kept for it");
    }
    // Deliveries stop after the readers, see `wait`.
    let (stop_reading, stop_delivering) = (handle.stop.clone(), CancellationToken::new());
    let tenants = Tenants::of(tenants(&config, &around, &stop_reading)?);
    let intakes = intake::of(&config.sinks);

    let (hang_up, hang_ups) = watch::channel(0);
    let loops = Loops::new(herald.clone());
    tenants::read(&loops, tenants.all().values(), readers(until));
    for (name, sink) in &config.sinks {
        let (sink, intake) = (sink.clone(), intakes[name].clone());
        let delivery = Arc::new(Delivery::new(name.clone(), sink, intake, around.clone(), hang_ups.clone()));
        spawn_delivery(&loops, delivery, &stop_delivering);
    }
    let services = TaskTracker::new();
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let (replays, ordered) = Desk::new();
    let live = Live::new(handle.board.clone(), metrics.clone(), store.clone(), known(&config), stop_delivering.clone());
    let eyes = Eyes { board: handle.board.clone(), metrics, store: store.clone(), asks, replays, live };
    serve(&config, eyes, &handle, &stop_delivering, &services).await?;
    let (teller, stop_telling) = (herald.clone(), stop_delivering.clone());
    services.spawn(async move { teller.serve(&stop_telling).await });
    services.spawn(forget::forget(store.clone(), around.clock, tenants.clone(), stop_delivering.clone()));
    spawn_replays(&services, Replayer::new(tenants.clone(), intakes.clone()), ordered, &stop_reading);
    if let (Some(load), Until::Stopped) = (handle.load.clone(), until) {
        let running = config.clone();
        let (tenants, loops, stop_reading) = (tenants.clone(), loops.clone(), stop_reading.clone());
        let gone = BTreeSet::new();
        let reloader =
            Reloader { load, running, tenants, intakes, around, loops, stop_reading: stop_reading.clone(), gone };
        services.spawn(async move { stop_reading.run_until_cancelled(reload::serve(reloader, hang_ups)).await });
    }
    spawn_asks(&services, tenants, asked, &stop_delivering);
    spawn_signals(&services, &handle, signals, &stop_delivering, hang_up);
    let board = handle.board.clone();
    let _until_the_end = AbortOnDropHandle::new(tokio::spawn(async move { notify::feed_watchdog(&board).await }));
    notify::ready();
    tracing::info!(tenants = config.tenants.len(), sinks = names.len(), state_dir = %config.state_dir.display(), "running");

    let ending = wait(&config, until, &handle, &store, &loops, &stop_delivering).await;
    notify::stopping();
    stop_reading.cancel();
    stop_delivering.cancel();
    services.close();
    // The services end at once; their sockets must be gone before another daemon may begin.
    let _ = tokio::time::timeout(Duration::from_secs(2), services.wait()).await;
    let closed = tokio::time::timeout(config.shutdown.grace.0.max(Duration::from_secs(5)), store.close()).await;
    herald.end();
    let ending = ending?;
    match closed {
        // A full disk is no failure of the store: what is durable is, and the next start goes on from it.
        Ok(Err(error @ StoreError::Full { .. })) => {
            tracing::warn!(%error, "stopped while the disk of the store is full")
        }
        Ok(closed) => closed?,
        Err(_) => tracing::warn!("the store does not close; what is durable is, the next start goes on from it"),
    }
    Ok(ending)
}

/// Opens the store and says loudly what had to be made again.
pub(crate) fn open(config: &Config) -> Result<Store, OpenError> {
    let opened = Store::open(store::Settings {
        dir: config.state_dir.clone(),
        on_corrupt: match config.on_corrupt {
            crate::config::OnCorrupt::Rebuild => store::OnCorrupt::Rebuild,
            crate::config::OnCorrupt::Stop => store::OnCorrupt::Stop,
        },
        max_size: config.outbox.max_size.0,
        min_free: config.outbox.min_free.0,
    })?;
    if let Some(Recovery { why, set_aside, tenants, checkpoint_written }) = opened.recovery {
        tracing::warn!(
            error = why,
            set_aside = set_aside.map(|path| path.display().to_string()),
            tenants = tenants.len(),
            checkpoint = %Timestamp::from_seconds(checkpoint_written),
            "the ledger was damaged and has been made again; expect repetitions, nothing is lost"
        );
    }
    Ok(opened.store)
}

/// The tenants of a configuration, not at work yet. `stop` stops their readers.
pub(crate) fn tenants(config: &Config, around: &Surroundings, stop: &CancellationToken) -> Result<ByName, RunError> {
    let tenant = |(name, config): (&TenantName, _)| {
        let failed = |why: HttpError| RunError::Tenant { tenant: name.clone(), why: why.into() };
        let access = Access::of(config).map_err(failed)?;
        let tenant = Tenant::at_work_until(stop.child_token(), name.clone(), config, access, around.clone())?;
        Ok((name.clone(), Arc::new(tenant)))
    };
    config.tenants.iter().map(tenant).collect()
}

/// One round needs completeness and no freshness.
const fn readers(until: Until) -> &'static [Reader] {
    match until {
        Until::Stopped => &[Reader::Tail, Reader::Sweep],
        Until::RoundIsDone => &[Reader::Sweep],
    }
}

fn spawn_delivery(loops: &Loops, delivery: Arc<Delivery>, stop: &CancellationToken) {
    let (who, seed, stop) = (format!("sink {}", delivery.name), seed(&delivery.name), stop.clone());
    let span = tracing::error_span!("delivering", sink = %delivery.name);
    loops.spawn(who, span, stop.clone(), seed, move || {
        let (delivery, stop) = (delivery.clone(), stop.clone());
        async move { delivery.run(&stop).await }
    });
}

async fn serve(
    config: &Config,
    eyes: Eyes,
    handle: &Handle,
    stop: &CancellationToken,
    services: &TaskTracker,
) -> Result<(), RunError> {
    let local = server::listen_locally(&config.state_dir).map_err(|source| RunError::Listen {
        place: config.state_dir.join(server::SOCKET).display().to_string(),
        source,
    })?;
    services.spawn(server::serve_locally(local, eyes.clone(), stop.clone()));
    let Some(admin) = &config.admin else { return Ok(()) };
    let failed = |source| RunError::Listen { place: format!("admin.listen {}", admin.listen), source };
    let listener = server::listen(admin.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let _ = handle.admin.set(address);
    tracing::info!(%address, "admin endpoints: / /metrics /healthz /readyz /status");
    if admin.show_incidents {
        handle.board.show_incidents();
    }
    services.spawn(eyes.live.clone().run());
    services.spawn(server::serve(listener, admin.token.clone(), eyes, stop.clone()));
    Ok(())
}

/// What the status page is told of the configuration.
fn known(config: &Config) -> Known {
    let kind = |sink: &crate::config::sink::Sink| {
        serde_json::to_value(&sink.kind).ok()?.get("kind")?.as_str().map(str::to_owned)
    };
    let kinds = config.sinks.iter().filter_map(|(name, sink)| Some((name.to_string(), kind(sink)?)));
    let is_locked = config.admin.as_ref().is_some_and(|admin| admin.token.is_some());
    Known { kinds: kinds.collect(), is_locked }
}

/// Replays are reading: they stop when it does.
fn spawn_replays(
    services: &TaskTracker,
    replayer: Replayer,
    mut ordered: mpsc::Receiver<Order>,
    stop: &CancellationToken,
) {
    let stop = stop.clone();
    services.spawn(async move { replay::serve(&replayer, &mut ordered, &stop).await });
}

fn spawn_asks(
    services: &TaskTracker,
    tenants: Tenants,
    mut asked: mpsc::Receiver<server::Ask>,
    stop: &CancellationToken,
) {
    let stop = stop.clone();
    services.spawn(async move { ask::answer(&tenants, &mut asked, &stop).await });
}

fn spawn_signals(
    services: &TaskTracker,
    handle: &Handle,
    signals: std::io::Result<Signals>,
    stop: &CancellationToken,
    hang_up: watch::Sender<u64>,
) {
    let (stopped, stop) = (handle.stop.clone(), stop.clone());
    match signals {
        Ok(signals) => {
            _ = services.spawn(async move { stop.run_until_cancelled(signals.listen(stopped, hang_up)).await })
        }
        Err(error) => tracing::warn!(%error, "signals cannot be listened for"),
    }
}

/// Until the end: a stop, a finished round, or a store that failed.
async fn wait(
    config: &Config,
    until: Until,
    handle: &Handle,
    store: &Store,
    loops: &Loops,
    stop_delivering: &CancellationToken,
) -> Result<Ending, RunError> {
    let ending = tokio::select! {
        failed = loops.failed() => return Err(failed.into()),
        () = handle.stop.cancelled() => Ending::Stopped,
        ending = round::done(config, &handle.board, store), if until == Until::RoundIsDone => ending,
    };
    handle.stop.cancel();
    // What was just read still goes out where its sink takes it; half of the grace is for that, the rest for closing.
    let _ = tokio::time::timeout(config.shutdown.grace.0 / 2, drained(config, handle, store)).await;
    stop_delivering.cancel();
    match tokio::time::timeout(config.shutdown.grace.0 / 2, loops.ended()).await {
        Ok(Ok(())) => Ok(ending),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            tracing::warn!(
                grace_seconds = config.shutdown.grace.0.as_secs(),
                "the grace period is over; what is in the air is sent again at the next start"
            );
            Ok(Ending::Hurried)
        }
    }
}

/// Until no sink that takes events lacks any.
async fn drained(config: &Config, handle: &Handle, store: &Store) {
    let newest = store.newest();
    let lacks = |name: &SinkName| {
        let takes = handle.board.status().sinks.get(name).is_some_and(|sink| sink.state == "delivering");
        takes && store.progress(name).is_ok_and(|progress| progress.acknowledged < *newest.borrow())
    };
    while config.sinks.iter().any(|(name, sink)| !sink.kind.settings().settles() && lacks(name)) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks for one incident without a daemon: with its store, so that its quota holds.
///
/// # Errors
/// See [`RunError`].
pub async fn get_alone(
    config: Config,
    tenant: Option<TenantName>,
    id: IncidentId,
) -> Result<Result<String, AskError>, RunError> {
    let store = open(&config)?;
    let around = Surroundings::of(store.clone(), Arc::default());
    let tenants = tenants(&config, &around, &CancellationToken::new())?;
    let answer = match ask::choose(&tenants, tenant.as_ref()) {
        Ok(tenant) => ask::get(tenant, &id).await,
        Err(why) => Err(AskError::Tenant(why)),
    };
    store.close().await?;
    Ok(answer)
}
