//! The loop of one sink: reads the outbox, renders, hands over, makes the progress durable. The courier decides.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::board::Board;
use crate::admin::metrics::Metrics;
use crate::config::sink::Sink as Config;
use crate::core::courier::{Courier, DeliverError, Handed, Progress, Refusal, State, Todo};
use crate::core::numbering::Numbering;
use crate::model::names::{Seq, SinkName, TenantName};
use crate::model::timestamp::Timestamp;
use crate::run::clock::Clock;
use crate::run::herald::{Facts, Herald, Topic, Whom};
use crate::run::intake::Intake;
use crate::run::prepare::Prepared;
use crate::run::quotes;
use crate::run::tenant::Surroundings;
use crate::run::tenant::seed;
use crate::sink::{Outgoing, Sink};
use crate::store::Store;
use crate::store::chunk::{Chunk, ReadLimit};
use crate::store::error::StoreError;

/// A loop comes round at least this often, so that its heartbeat shows and a stop is seen.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long a sink may take to close in good order.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// How often a full store is looked at.
const ROOM_EVERY: Duration = Duration::from_secs(2);
/// Pause before a sink that cannot be opened is tried again.
const REOPEN_EVERY: Duration = Duration::from_secs(15);

/// One sink at work.
pub(crate) struct Delivery {
    pub(crate) name: SinkName,
    config: Config,
    intake: Arc<Intake>,
    store: Store,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    clock: Clock,
    herald: Arc<Herald>,
    /// Counts up when files are to be opened anew (SIGHUP).
    reopen: watch::Receiver<u64>,
}

/// What a delivery has open.
struct Open {
    sink: Box<dyn Sink>,
    courier: Courier,
    newest: watch::Receiver<Seq>,
    numbering: Numbering,
    /// Handed over and not yet counted as delivered.
    handed_over: BTreeMap<Seq, Handover>,
    /// The last error in the far side's words, and as it may be shown.
    error: Option<(String, String)>,
}

/// What the metrics want to know of an event once it is acknowledged.
struct Handover {
    tenant: TenantName,
    last_update: Option<Timestamp>,
}

impl Delivery {
    pub(crate) fn new(
        name: SinkName,
        config: Config,
        intake: Arc<Intake>,
        around: Surroundings,
        reopen: watch::Receiver<u64>,
    ) -> Self {
        let Surroundings { store, board, metrics, clock, herald } = around;
        board.sink(&name, |status| {
            status.state = "new".into();
            status.guarantee = config.kind.settings().guarantee().into();
        });
        metrics.sink_begins(&name);
        Self { name, config, intake, store, board, metrics, clock, herald, reopen }
    }

    /// Delivers until it is stopped; then closes the sink in good order.
    ///
    /// # Errors
    /// The store can take nothing any more: the process has to end.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let who = format!("sink {}", self.name);
        while !stop.is_cancelled() {
            self.board.beat(&who);
            match self.deliver(&who, stop).await {
                // Nothing can be acknowledged now: go on from what is durable, once there is room.
                Err(StoreError::Full { why }) => {
                    tracing::debug!(error = why, "delivery pauses while the disk of the store is full");
                    stop.run_until_cancelled(tokio::time::sleep(ROOM_EVERY)).await;
                }
                result => result?,
            }
        }
        self.board.ended(&who);
        Ok(())
    }

    /// Delivers until it is stopped, or files are to be opened anew.
    async fn deliver(&self, who: &str, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut reopen = self.reopen.clone();
        let Some(mut open) = self.open(stop).await? else { return Ok(()) };
        reopen.mark_unchanged();
        while !stop.is_cancelled() && !reopen.has_changed().unwrap_or(false) {
            self.board.beat(who);
            self.step(&mut open, &mut reopen, stop).await?;
        }
        self.close(open).await
    }

    /// Opens the sink. One that cannot be opened is tried again; it stops nobody else.
    async fn open(&self, stop: &CancellationToken) -> Result<Option<Open>, StoreError> {
        let sink = match self.config.kind.open(&self.name) {
            Ok(sink) => sink,
            Err(error) => {
                self.failed("paused", &error.why);
                self.herald.fails(Whom::Sink(&self.name), Topic::CannotOpen, &error.why);
                stop.run_until_cancelled(tokio::time::sleep(REOPEN_EVERY)).await;
                return Ok(None);
            }
        };
        let progress = self.store.progress(&self.name)?;
        let refused = self.store.refused(&self.name)?.into_iter().map(|refusal| refusal.seq);
        let settings = self.config.kind.settings();
        let (limit, _) = settings.batch_limit();
        let courier = Courier::new(&progress, refused, limit, settings.settles(), seed(&self.name));
        let (newest, numbering) = (self.store.newest(), Numbering::after(progress.counted));
        Ok(Some(Open { sink, courier, newest, numbering, handed_over: BTreeMap::new(), error: None }))
    }

    async fn step(
        &self,
        open: &mut Open,
        reopen: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let newest = *open.newest.borrow_and_update();
        match open.courier.todo(now, newest) {
            Todo::Idle => self.wait(LONGEST_WAIT, true, open, reopen, stop).await,
            Todo::Wait(until) => {
                let may_send = matches!(open.courier.state(), State::New | State::Delivering);
                self.wait(until.since(now).min(LONGEST_WAIT), may_send, open, reopen, stop).await;
            }
            Todo::Settle => {
                let result = self.limited(open.sink.deliver(&[])).await;
                let (failures, works) = (open.courier.failures(), result.is_ok());
                open.courier.settled(result, self.clock.now());
                self.show(open, failures, works, &[]);
            }
            Todo::Send { after, limit } => self.send(open, after, limit).await?,
            Todo::Commit(progress, refusals) => self.commit(open, progress, refusals).await?,
        }
        Ok(())
    }

    /// Until then, or until there is more to send, or a stop.
    async fn wait(
        &self,
        wait: Duration,
        for_more: bool,
        open: &mut Open,
        reopen: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
            _ = reopen.changed() => reopen.mark_changed(),
            _ = open.newest.changed(), if for_more => {}
        }
    }

    async fn send(&self, open: &mut Open, after: Seq, limit: usize) -> Result<(), StoreError> {
        let chunk = self.read(after, limit).await?;
        let scanned_to = chunk.scanned_to;
        let Prepared { outgoing, unfit } = self.prepare(chunk, open);
        let last = outgoing.last().map(|outgoing| outgoing.seq);
        let handed = Handed { scanned_to, last, count: events_in(&outgoing) + unfit.len() };
        let result = if !unfit.is_empty() {
            Err(DeliverError::Refused(unfit))
        } else if outgoing.is_empty() {
            Ok(None)
        } else {
            self.limited(open.sink.deliver(&outgoing)).await
        };
        if let Err(DeliverError::RefusedBatch { why }) = &result {
            tracing::debug!(
                events = handed.count,
                error = why,
                "a batch was refused; smaller ones tell which event it is"
            );
        }
        if result.is_ok() {
            open.handed_over.extend(outgoing.iter().map(|Outgoing { seq, event, .. }| {
                (*seq, Handover { tenant: event.tenant.clone(), last_update: event.last_update })
            }));
        }
        // Where nothing was sent, nothing is known of the far side.
        let (failures, works) = (open.courier.failures(), result.is_ok() && !outgoing.is_empty());
        open.courier.sent(handed, result, self.clock.now());
        self.show(open, failures, works, &outgoing);
        Ok(())
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Chunk, StoreError> {
        let (_, bytes) = self.config.kind.settings().batch_limit();
        let (store, intake) = (self.store.clone(), self.intake.clone());
        let limit = ReadLimit { events: limit, bytes: bytes as u64 };
        let name = self.name.clone();
        let read = tokio::task::spawn_blocking(move || {
            let is_ours = |only: Option<&SinkName>| only.is_none_or(|only| *only == name);
            store.read_after(after, &|tenant, only| is_ours(only) && intake.takes(tenant), limit)
        });
        read.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// The events of a chunk as the sink takes them, without those it refused before.
    fn prepare(&self, chunk: Chunk, open: &mut Open) -> Prepared {
        let mut prepared = Prepared::default();
        for (seq, event) in chunk.events {
            let has_refused = open.courier.is_refused(seq);
            prepared.add(seq, event, has_refused, &self.config, &mut open.numbering);
        }
        prepared
    }

    async fn commit(&self, open: &mut Open, mut progress: Progress, refusals: Vec<Refusal>) -> Result<(), StoreError> {
        for Refusal { seq, why } in &refusals {
            // Why, may quote the event, and is kept with it for those who may see that.
            let facts = Facts { position: Some(seq.0), ..Facts::default() };
            self.herald.happened(Whom::Sink(&self.name), Topic::Refused, 1, &facts);
            tracing::debug!(position = seq.0, error = why, "refused");
        }
        let refused = refusals.len() as u64;
        let acknowledged = progress.acknowledged;
        progress.counted = open.numbering.acknowledged(acknowledged);
        self.store.acknowledge(&self.name, progress, refusals).await?;
        let waiting = open.handed_over.split_off(&acknowledged.next());
        let delivered = std::mem::replace(&mut open.handed_over, waiting);
        for event in delivered.values() {
            self.metrics.acknowledged(&self.name, &event.tenant, event.last_update);
        }
        self.metrics.refused(&self.name, refused);
        self.board.sink(&self.name, |status| {
            status.acknowledged = acknowledged.0;
            status.delivered += delivered.len() as u64;
            status.refused += refused;
        });
        Ok(())
    }

    /// What a clean close proves is made durable too.
    async fn close(&self, mut open: Open) -> Result<(), StoreError> {
        let result = tokio::time::timeout(CLOSE_MAX, open.sink.close()).await;
        open.courier.settled(result.unwrap_or(Ok(None)), self.clock.now());
        let newest = *open.newest.borrow();
        while let Todo::Commit(progress, refusals) = open.courier.todo(self.clock.now(), newest) {
            self.commit(&mut open, progress, refusals).await?;
        }
        Ok(())
    }

    /// How the sink fares now, and what is news since there were so many failures in a row: whether it was just seen to work, or what
    /// it failed with.
    fn show(&self, open: &mut Open, failures_before: u32, works: bool, sent: &[Outgoing]) {
        let failures = open.courier.failures();
        let (state, why) = match open.courier.state() {
            State::New => ("new", None),
            State::Delivering => ("delivering", None),
            State::Retrying { why } => ("retrying", Some(why)),
            State::Paused { why } => ("paused", Some(why)),
        };
        open.error = why.map(|why| match open.error.take() {
            Some((known, shown)) if known == *why => (known, shown),
            Some(_) | None => (why.clone(), quotes::without(why, sent.iter().map(|sent| sent.body.as_slice()))),
        });
        let error = open.error.as_ref().map(|(_, shown)| shown.clone());
        match &error {
            Some(why) if failures != failures_before => self.complain(state, failures, why),
            None if works => self.herald.works(Whom::Sink(&self.name), Topic::TakesAgain),
            Some(_) | None => {}
        }
        self.board.sink(&self.name, |status| {
            state.clone_into(&mut status.state);
            status.error = error;
            status.failures = failures;
        });
    }

    fn complain(&self, state: &str, failures: u32, why: &str) {
        let topic = if state == "paused" { Topic::NeedsAttention } else { Topic::TakesNothing };
        if !self.herald.fails(Whom::Sink(&self.name), topic, why) {
            tracing::debug!(failures, error = why, "{}", topic.words());
        }
    }

    /// A delivery within the time that a sink may take; one that hangs beyond its own timeouts is given up for now.
    async fn limited(
        &self,
        delivery: impl Future<Output = Result<Option<Seq>, DeliverError>>,
    ) -> Result<Option<Seq>, DeliverError> {
        let longest = self.config.kind.settings().delivery_max();
        let mut delivery = pin!(tokio::time::timeout(longest, delivery));
        let who = format!("sink {}", self.name);
        loop {
            // It is waited for and not stuck: `timeout` of a sink may be longer than a loop may be silent.
            match tokio::time::timeout(LONGEST_WAIT, &mut delivery).await {
                Ok(delivered) => {
                    let why = || format!("no answer within {} s", longest.as_secs());
                    return delivered.unwrap_or_else(|_| Err(DeliverError::Retry { why: why(), after: None }));
                }
                Err(_) => self.board.beat(&who),
            }
        }
    }

    /// Writes a failure to the board.
    fn failed(&self, state: &str, why: &str) {
        self.board.sink(&self.name, |status| {
            state.clone_into(&mut status.state);
            status.error = Some(why.to_owned());
            status.failures += 1;
        });
    }
}

/// How many events these are; parts of one count once.
fn events_in(outgoing: &[Outgoing]) -> usize {
    outgoing.chunk_by(|one, next| one.seq == next.seq).count()
}
