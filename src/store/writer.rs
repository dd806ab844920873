//! The one thread that writes. It takes what waits, does it all, syncs once, and only then answers anybody. It must not
//! wait for anything but its queue and the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::model::names::TenantKey;
use crate::store::body::Press;
use crate::store::checkpoint::Checkpoint;
use crate::store::command::{Command, Tell};
use crate::store::directory::unix_seconds;
use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::ledger::{Ledger, Pending, guarded};
use crate::store::outbox::Outbox;
use crate::store::shared::Shared;
use crate::store::values::Read;
use crate::store::{Endpoint, page, seen, sinks};

/// A group takes no more commands after this long: the first of them waits for the last.
const GROUP_MAX: Duration = Duration::from_millis(50);
/// The checkpoint is at most this much behind the ledger.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3);
/// How often a disk that was full is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// Nothing is due: only a command ends the wait.
const IDLE: Duration = Duration::from_secs(3600);

/// The thread's own things.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// None while the disk is full.
    ledger: Option<Arc<Ledger>>,
    outbox: Outbox,
    press: Press,
    /// Of the newest checkpoint.
    generation: u64,
    checkpoint_at: Option<Instant>,
    retry_at: Option<Instant>,
}

/// Tells who asked, given what came of the sync.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What is done, and waits for one sync together.
#[derive(Default)]
struct Group {
    wrote: bool,
    /// A tenant got its first position, or one that went back: the checkpoint must not say otherwise.
    founded: bool,
    failure: Option<StoreError>,
    answers: Vec<Answer>,
    close: Option<Tell<()>>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, ledger: Arc<Ledger>, outbox: Outbox, press: Press, generation: u64) -> Self {
        // What was just opened may differ from its checkpoint.
        let checkpoint_at = Some(Instant::now());
        Self { shared, ledger: Some(ledger), outbox, press, generation, checkpoint_at, retry_at: None }
    }

    /// Runs until the store is closed, all handles are gone, or it fails for good.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        match guarded(|| self.serve(commands)) {
            Err(error) => {
                // Whoever runs it says so at its end.
                tracing::debug!(%error, "the store has failed");
                self.shared.fail(error);
            }
            Ok(tell) => {
                let outcome = guarded(|| self.finish());
                self.shared.withdraw(StoreError::Stopped);
                self.ledger = None;
                self.shared.places.close();
                self.shared.directory.release();
                if let Some(tell) = tell {
                    // Who asked may have gone.
                    let _ = tell.send(outcome);
                }
            }
        }
    }

    fn serve(&mut self, commands: &Receiver<Command>) -> Result<Option<Tell<()>>, StoreError> {
        loop {
            let mut next = match commands.recv_timeout(self.patience()) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            };
            let mut group = Group::default();
            let start = Instant::now();
            while let Some(command) = next {
                self.shared.places.add_permits(1);
                self.act(command, &mut group);
                next = if start.elapsed() < GROUP_MAX { commands.try_recv().ok() } else { None };
            }
            if let Some(tell) = self.settle(group)? {
                return Ok(Some(tell));
            }
            self.chores()?;
        }
    }

    /// How long there is nothing to do but wait for a command.
    fn patience(&self) -> Duration {
        if self.ledger.is_some() && self.outbox.has_cuttable() {
            return Duration::ZERO;
        }
        let due = [self.checkpoint_at, self.retry_at].into_iter().flatten().min();
        due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()))
    }

    fn act(&mut self, command: Command, group: &mut Group) {
        match command {
            Command::SetPosition { tenant, position, may_go_back, tell } => {
                self.answer(group, tell, |writer, group| writer.set_position(tenant, position, may_go_back, group));
            }
            Command::SetQuarantine { tenant, quarantine, tell } => self.answer(group, tell, |writer, group| {
                let mut pending = Pending::default();
                pending.put(&Key::Quarantine(tenant), &quarantine);
                group.wrote |= pending.apply(&*writer.ledger()?)?;
                Ok(())
            }),
            Command::CommitPage { batch, tell } => self.answer(group, tell, |writer, group| {
                let ledger = writer.ledger()?;
                page::commit(batch, &ledger, &mut writer.outbox, &mut writer.press, &mut group.wrote)
            }),
            Command::SetQuota { tenant, endpoint, state, tell } => {
                self.answer(group, tell, |writer, group| writer.set_quota(tenant, endpoint, state, group));
            }
            Command::RegisterSinks { names, tell } => self.answer(group, tell, |writer, group| {
                sinks::register(&names, &*writer.ledger()?, &mut writer.outbox, &mut group.wrote)
            }),
            Command::Acknowledge { sink, progress, refused, tell } => self.answer(group, tell, |writer, group| {
                let ledger = writer.ledger()?;
                sinks::acknowledge(&sink, progress, refused, &ledger, &mut writer.outbox, &mut group.wrote)
            }),
            Command::RetryRefused { sink, seqs, tell } => self.answer(group, tell, |writer, group| {
                sinks::retry_refused(&sink, seqs, &*writer.ledger()?, &mut writer.outbox, &mut group.wrote)
            }),
            Command::DropRefused { sink, seqs, tell } => self.answer(group, tell, |writer, group| {
                sinks::drop_refused(&sink, &seqs, &*writer.ledger()?, &mut writer.outbox, &mut group.wrote)
            }),
            Command::Evict { older_than, after, tell } => self.answer(group, tell, |writer, group| {
                let ledger = writer.ledger()?;
                seen::evict(older_than, after.as_ref(), &ledger, &mut writer.outbox, &mut group.wrote)
            }),
            Command::Close { tell } => group.close = Some(tell),
        }
    }

    /// Does one thing, unless something before it in the group failed, and keeps the answer until the sync.
    fn answer<T: Send + 'static>(
        &mut self,
        group: &mut Group,
        tell: Tell<T>,
        act: impl FnOnce(&mut Self, &mut Group) -> Result<T, StoreError>,
    ) {
        let outcome = match &group.failure {
            Some(failure) => Err(failure.clone()),
            None => self.shared.state().and_then(|()| guarded(|| act(self, group))),
        };
        if let Err(error) = &outcome
            && !error.is_harmless()
        {
            group.failure.get_or_insert_with(|| error.clone());
        }
        group.answers.push(Box::new(move |synced| {
            // Who asked may have gone.
            let _ = tell.send(outcome.and_then(|answer| synced.map(|()| answer)));
        }));
    }

    /// Makes a group durable and answers it. sled's errors are sticky and its later flushes may lie: after a failure nothing
    /// of the group counts.
    fn settle(&mut self, group: Group) -> Result<Option<Tell<()>>, StoreError> {
        let Group { wrote, founded, failure, answers, close } = group;
        let synced = match (failure, &self.ledger) {
            (Some(failure), _) => Err(failure),
            (None, Some(ledger)) if wrote => ledger.sync(),
            (None, Some(_) | None) => Ok(()),
        };
        let synced = synced.and_then(|()| if founded { self.checkpoint() } else { Ok(()) });
        let failed = synced.clone().err();
        if failed.is_none() && wrote {
            self.shared.gauge(&self.outbox);
            self.shared.newest.send_if_modified(|newest| {
                let moved = *newest != self.outbox.totals.end;
                *newest = self.outbox.totals.end;
                moved
            });
            self.checkpoint_at.get_or_insert_with(|| Instant::now() + CHECKPOINT_EVERY);
        }
        // Ended first, so that whoever hears of it finds it so.
        let failed = failed.map(|error| match error {
            StoreError::Full { .. } | StoreError::Stopped | StoreError::Misused { .. } => error,
            StoreError::Poisoned { .. } | StoreError::Corrupt { .. } => self.shared.fail(error),
        });
        for answer in answers {
            answer(synced.clone());
        }
        match failed {
            None => {}
            Some(StoreError::Full { why }) => self.let_go(why),
            Some(error) => return Err(error),
        }
        Ok(close)
    }

    /// What is done when nobody waits, or every few seconds.
    fn chores(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.reopen()?;
        }
        let Some(ledger) = self.ledger.clone() else { return Ok(()) };
        let mut outcome = Ok(());
        if self.outbox.has_cuttable() {
            outcome = self.outbox.cut_step(&ledger).map(|wrote| {
                if wrote {
                    self.checkpoint_at.get_or_insert(now + CHECKPOINT_EVERY);
                }
            });
            self.shared.gauge(&self.outbox);
        }
        if outcome.is_ok() && self.checkpoint_at.is_some_and(|at| at <= now) {
            if let Err(problem) = self.shared.directory.lay_ballast(self.shared.settings.min_free) {
                tracing::debug!(error = %problem, "the ballast could not be laid in");
            }
            // What was cut since the last group is made durable along with it.
            outcome = ledger.sync().and_then(|()| self.checkpoint());
        }
        drop(ledger);
        match outcome {
            Err(StoreError::Full { why }) => {
                self.let_go(why);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn ledger(&self) -> Result<Arc<Ledger>, StoreError> {
        match &self.ledger {
            Some(ledger) => Ok(ledger.clone()),
            None => Err(self.shared.state().err().unwrap_or(StoreError::Stopped)),
        }
    }

    fn set_position(
        &mut self,
        tenant: TenantKey,
        position: Position,
        may_go_back: bool,
        group: &mut Group,
    ) -> Result<(), StoreError> {
        let ledger = self.ledger()?;
        let key = Key::Position(tenant);
        let before = ledger.get::<Read>(&key)?.map(|read| read.position);
        if before == Some(position) {
            return Ok(());
        }
        if let Some(before) = before.filter(|before| position.cursor < before.cursor && !may_go_back) {
            let (from, to) = (before.cursor, position.cursor);
            return Err(StoreError::misused(format!("a cursor cannot go back from {from} to {to}")));
        }
        let mut pending = Pending::default();
        pending.put(&key, &Read { position, end: self.outbox.totals.end });
        group.founded |= before.is_none_or(|before| position.cursor < before.cursor);
        group.wrote |= pending.apply(&ledger)?;
        Ok(())
    }

    fn set_quota(
        &mut self,
        tenant: TenantKey,
        endpoint: Endpoint,
        state: QuotaState,
        group: &mut Group,
    ) -> Result<(), StoreError> {
        let key = Key::Quota(tenant, endpoint);
        let ledger = self.ledger()?;
        // Two readers charge in order and may tell us in another: a later instant knows of more calls.
        let before = ledger.get::<QuotaState>(&key)?.unwrap_or_default();
        let state = QuotaState { minute: state.minute.max(before.minute), hour: state.hour.max(before.hour) };
        let mut pending = Pending::default();
        pending.put(&key, &state);
        group.wrote |= pending.apply(&ledger)?;
        Ok(())
    }

    /// Writes the next generation of the checkpoint from what is durable.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let ledger = self.ledger()?;
        let mut checkpoint = Checkpoint {
            generation: self.generation + 1,
            written: unix_seconds(),
            end: self.outbox.totals.end,
            ..Checkpoint::default()
        };
        for pair in ledger.scan::<Read>(Prefix::Positions) {
            if let (Key::Position(key), Read { position, .. }) = pair? {
                let oldest = self.outbox.oldest_undelivered(&key).unwrap_or(position.cursor);
                let cursor = position.cursor.min(oldest).max(position.floor);
                checkpoint.tenants.entry(key).or_default().position = Some(Position { cursor, ..position });
            }
        }
        for pair in ledger.scan::<u64>(Prefix::Sequences) {
            if let (Key::Sequence(key), sequence) = pair? {
                checkpoint.tenants.entry(key).or_default().sequence = sequence;
            }
        }
        for pair in ledger.scan::<Quarantine>(Prefix::Quarantines) {
            if let (Key::Quarantine(key), quarantine) = pair? {
                checkpoint.tenants.entry(key).or_default().quarantine = quarantine;
            }
        }
        for pair in ledger.scan::<QuotaState>(Prefix::Quotas) {
            if let (Key::Quota(key, endpoint), state) = pair? {
                let tenant = checkpoint.tenants.entry(key).or_default();
                match endpoint {
                    Endpoint::List => tenant.list = Some(state),
                    Endpoint::Get => tenant.get = Some(state),
                }
            }
        }
        checkpoint.store(self.shared.directory.path())?;
        self.generation = checkpoint.generation;
        self.checkpoint_at = None;
        Ok(())
    }

    /// The disk is full, and sled stays stuck even when it is not any more: closes the database and gives the ballast back.
    fn let_go(&mut self, why: String) {
        if self.ledger.is_none() {
            return;
        }
        // Those who want to write say so.
        tracing::debug!(error = why, "the disk of the store is full");
        self.shared.withdraw(StoreError::Full { why });
        self.ledger = None;
        if let Err(problem) = self.shared.directory.drop_ballast() {
            tracing::debug!(error = %problem, "the ballast could not be given back");
        }
        self.retry_at = Some(Instant::now() + FULL_RETRY);
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let opened = Ledger::open(&self.shared.directory.database())
            .and_then(|ledger| guarded(|| Outbox::load(&ledger)).map(|outbox| (ledger, outbox)));
        match opened {
            Ok((ledger, outbox)) => {
                tracing::debug!("the store is open again");
                let ledger = Arc::new(ledger);
                self.shared.restore(ledger.clone());
                self.shared.gauge(&outbox);
                self.shared
                    .newest
                    .send_if_modified(|newest| std::mem::replace(newest, outbox.totals.end) < outbox.totals.end);
                (self.ledger, self.outbox, self.retry_at) = (Some(ledger), outbox, None);
                self.checkpoint_at = Some(Instant::now() + CHECKPOINT_EVERY);
                Ok(())
            }
            Err(StoreError::Full { .. }) => {
                self.retry_at = Some(Instant::now() + FULL_RETRY);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        let Some(ledger) = self.ledger.clone() else { return Ok(()) };
        ledger.sync()?;
        if self.checkpoint_at.is_some() { self.checkpoint() } else { Ok(()) }
    }
}
