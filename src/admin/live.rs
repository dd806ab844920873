//! The status page's stream: looks once a second while somebody watches, keeps the last hour, and sends everybody the same
//! small differences. Nobody who watches can hold up anything: who is too slow is let go and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::admin::board::Board;
use crate::admin::history::{Line, STEP, Tempo};
use crate::admin::metrics::{Metrics, age};
use crate::admin::status::Status;
use crate::admin::view::{self, Seen, View};
use crate::model::names::{SinkName, TenantName};
use crate::store::Store;
use crate::store::tally::{Behind, Tally};

/// Watchers at most.
pub const WATCHERS_MAX: usize = 16;
/// Between two looks while somebody watches.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that is younger serves a new watcher as well.
const FRESH: Duration = Duration::from_millis(500);
/// A watcher hears something at least this often: a line that is dead is noticed by its silence.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Differences that a watcher may be behind.
const BEHIND_MAX: usize = 16;

/// What the page is told of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The kind of each sink.
    pub kinds: BTreeMap<String, String>,
    /// Whether who looks has shown a token, and can sign out.
    pub is_locked: bool,
}

/// The stream.
#[derive(Debug)]
pub struct Live {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    store: Store,
    known: Known,
    start: Instant,
    memory: Mutex<Memory>,
    changes: broadcast::Sender<Bytes>,
    seats: Arc<Semaphore>,
    watching: AtomicUsize,
    joined: Notify,
    stop: CancellationToken,
}

/// What was seen.
#[derive(Debug)]
struct Memory {
    view: View,
    /// The number of the newest event that was sent.
    newest: u64,
    tenants: BTreeMap<String, TenantHistory>,
    sinks: BTreeMap<String, SinkHistory>,
    refusals: BTreeMap<SinkName, usize>,
    looked: Option<Instant>,
    sampled: Option<Instant>,
    said: Instant,
}

#[derive(Debug, Default)]
struct TenantHistory {
    lag: Line,
    freshness: Line,
    list: Tempo,
    get: Tempo,
}

#[derive(Debug, Default)]
struct SinkHistory {
    rate: Line,
    waiting: Line,
    delivered: Tempo,
}

/// A place among the watchers, given back when it is dropped.
struct Seat {
    live: Arc<Live>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.watching.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Live {
    /// A stream that nobody watches yet. It ends with `stop`.
    pub fn new(
        board: Arc<Board>,
        metrics: Arc<Metrics>,
        store: Store,
        known: Known,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let now = Instant::now();
        let memory = Memory {
            view: View::default(),
            newest: 0,
            tenants: BTreeMap::new(),
            sinks: BTreeMap::new(),
            refusals: BTreeMap::new(),
            looked: None,
            sampled: None,
            said: now,
        };
        Arc::new(Self {
            board,
            metrics,
            store,
            known,
            start: now,
            memory: Mutex::new(memory),
            changes: broadcast::channel(BEHIND_MAX).0,
            seats: Arc::new(Semaphore::new(WATCHERS_MAX)),
            watching: AtomicUsize::new(0),
            joined: Notify::new(),
            stop,
        })
    }

    /// Looks and samples until the end.
    pub async fn run(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let pause = if self.watching.load(Ordering::Relaxed) == 0 { STEP } else { LOOK_EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.joined.notified() => continue,
                () = self.stop.cancelled() => break,
            }
            self.look(&mut *self.memory.lock().await).await;
        }
    }

    /// Everything, and then what changes. None where all seats are taken.
    pub async fn watch(
        self: &Arc<Self>,
    ) -> Option<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + use<>> {
        let permit = self.seats.clone().try_acquire_owned().ok()?;
        self.watching.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { live: self.clone(), _permit: permit };
        let mut memory = self.memory.lock().await;
        if memory.looked.is_none_or(|looked| FRESH < looked.elapsed()) {
            self.look(&mut memory).await;
        }
        let first = self.everything(&memory);
        let changes = self.changes.subscribe();
        drop(memory);
        self.joined.notify_one();
        let rest = stream::unfold((changes, seat), |(mut changes, seat)| async move {
            let change = seat.live.stop.run_until_cancelled(changes.recv()).await?;
            // Who is behind by more than the channel holds begins anew with a connection of its own.
            let change = change.ok()?;
            Some((Ok(change), (changes, seat)))
        });
        Some(stream::StreamExt::chain(stream::once(async move { Ok(first) }), rest))
    }

    /// Looks, takes a sample where it is time for one, and sends what is new.
    async fn look(&self, memory: &mut Memory) {
        let is_sample = memory.sampled.is_none_or(|sampled| STEP <= sampled.elapsed() + LOOK_EVERY / 2);
        let status = self.board.status();
        let (store, sinks) = (self.store.clone(), status.sinks.clone());
        let read = tokio::task::spawn_blocking(move || {
            let tally = store.tally().unwrap_or_default();
            // They are read with their reasons: not every second, and only where there can be any.
            let kept = |name: &SinkName| store.refused(name).map_or(0, |refusals| refusals.len());
            let refusals = is_sample.then(|| sinks.keys().map(|name| (name.clone(), kept(name))).collect());
            (tally, refusals)
        });
        let (tally, refusals) = read.await.unwrap_or_default();
        // Whoever comes back under the name of one that is gone may be somebody else.
        memory.tenants.retain(|name, _| status.tenants.contains_key(&TenantName::new(name)));
        memory.sinks.retain(|name, _| status.sinks.contains_key(&SinkName::new(name)));
        memory.refusals = refusals.unwrap_or_else(|| std::mem::take(&mut memory.refusals));
        if is_sample {
            self.sample(memory, &status, &tally);
        }
        let view = self.view(memory, &status, &tally);
        let mut sent = view.since(&memory.view).unwrap_or_default();
        let events = self.board.recent(memory.newest);
        if let Some(newest) = events.last() {
            memory.newest = newest.number;
            let events: Vec<Value> = events.iter().map(|event| view::event(event, self.start)).collect();
            sent.insert("events".into(), events.into());
        }
        memory.view = view;
        memory.looked = Some(Instant::now());
        if is_sample {
            sent.insert("sample".into(), memory.newest_sample());
        }
        if !sent.is_empty() || SIGN_OF_LIFE <= memory.said.elapsed() {
            memory.said = Instant::now();
            sent.insert("t".into(), self.up().into());
            // Nobody may be there to hear it.
            let _ = self.changes.send(message("change", &sent));
        }
    }

    fn sample(&self, memory: &mut Memory, status: &Status, tally: &Tally) {
        let (freshness, calls) = (self.board.take_freshness(), self.metrics.calls());
        for (name, tenant) in &status.tenants {
            let history = memory.tenants.entry(name.to_string()).or_default();
            history.lag.push(tenant.lag_seconds);
            history.freshness.push(freshness.get(name).copied());
            let called = |endpoint| calls.get(&(name.clone(), endpoint)).copied().unwrap_or_default();
            history.list.push(called("list"));
            history.get.push(called("get"));
        }
        for (name, sink) in &status.sinks {
            let history = memory.sinks.entry(name.to_string()).or_default();
            history.delivered.push(sink.delivered);
            history.rate.push(Some(history.delivered.minute(sink.delivered) as f64));
            let waiting = tally.sinks.get(name).map(|behind| behind.events as f64);
            history.waiting.push(waiting);
        }
        memory.sampled = Some(Instant::now());
    }

    fn view(&self, memory: &Memory, status: &Status, tally: &Tally) -> View {
        let counted = self.metrics.calls();
        let calls = |name: &str| {
            let called = |endpoint| counted.get(&(TenantName::new(name), endpoint)).copied().unwrap_or_default();
            memory.tenants.get(name).map_or([0; 4], |history| {
                let (list, get) = (called("list"), called("get"));
                [history.list.minute(list), history.list.hour(list), history.get.minute(get), history.get.hour(get)]
            })
        };
        let delivered = |name: &str| status.sinks.get(&SinkName::new(name)).map_or(0, |sink| sink.delivered);
        let rates = |name: &str| memory.sinks.get(name).map_or(0, |history| history.delivered.minute(delivered(name)));
        View::new(&Seen {
            status,
            stuck: &self.board.stuck(),
            tally,
            refusals: &memory.refusals,
            calls: &calls,
            rates: &rates,
            up: self.start.elapsed(),
            age: &|behind: &Behind| behind.oldest.map(|oldest| age(oldest).as_secs_f64()),
        })
    }

    /// What somebody is told who knows nothing yet.
    fn everything(&self, memory: &Memory) -> Bytes {
        let events: Vec<Value> = self
            .board
            .recent(0)
            .iter()
            .filter(|event| event.number <= memory.newest)
            .map(|event| view::event(event, self.start))
            .collect();
        let tenants = memory
            .tenants
            .iter()
            .map(|(name, history)| (name.clone(), json!({ "lag": history.lag, "freshness": history.freshness })));
        let sinks = memory
            .sinks
            .iter()
            .map(|(name, history)| (name.clone(), json!({ "rate": history.rate, "waiting": history.waiting })));
        let all = json!({
            "t": self.up(),
            "step": STEP.as_secs(),
            "fixed": view::fixed(self.board.shows_incidents(), &self.known),
            "verdict": memory.view.verdict,
            "tenants": memory.view.tenants,
            "sinks": memory.view.sinks,
            "events": events,
            "history": {
                "tenants": tenants.collect::<Map<String, Value>>(),
                "sinks": sinks.collect::<Map<String, Value>>(),
            },
        });
        message("all", &all)
    }

    /// Seconds since the start.
    fn up(&self) -> f64 {
        (self.start.elapsed().as_secs_f64() * 10.0).round() / 10.0
    }
}

impl Memory {
    fn newest_sample(&self) -> Value {
        let tenants = self
            .tenants
            .iter()
            .map(|(name, history)| (name.clone(), json!([history.lag.newest(), history.freshness.newest()])));
        let sinks = self
            .sinks
            .iter()
            .map(|(name, history)| (name.clone(), json!([history.rate.newest(), history.waiting.newest()])));
        json!({ "tenants": tenants.collect::<Map<String, Value>>(), "sinks": sinks.collect::<Map<String, Value>>() })
    }
}

/// A server-sent event. JSON has no newline outside of its strings, and there it is written `\n`.
fn message(name: &str, data: &impl serde::Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".into());
    Bytes::from(format!("event: {name}\nretry: 3000\ndata: {data}\n\n"))
}
