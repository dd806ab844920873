//! What the handles and the writer share: the open database for reading, the failure that ended it, and a few gauges.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Semaphore, watch};

use crate::model::names::Seq;
use crate::store::Settings;
use crate::store::directory::Directory;
use crate::store::error::StoreError;
use crate::store::ledger::{Ledger, guarded};
use crate::store::outbox::Outbox;

/// Commands that may wait for the writer. The next caller waits for a place.
pub(crate) const COMMANDS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    /// Places in the queue.
    pub(crate) places: Semaphore,
    /// The newest durable position.
    pub(crate) newest: watch::Sender<Seq>,
    ledger: RwLock<Result<Arc<Ledger>, StoreError>>,
    gauges: Mutex<Gauges>,
}

/// Of the outbox and the marks, as of the last group of commands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) seen: u64,
}

impl Shared {
    pub(crate) fn new(settings: Settings, directory: Directory, ledger: Arc<Ledger>, outbox: &Outbox) -> Self {
        let shared = Self {
            settings,
            directory,
            places: Semaphore::new(COMMANDS_MAX),
            newest: watch::Sender::new(outbox.totals.end),
            ledger: RwLock::new(Ok(ledger)),
            gauges: Mutex::default(),
        };
        shared.gauge(outbox);
        shared
    }

    /// Reads with the database held open. Damage that shows ends the store.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Ledger) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let outcome = {
            let held = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
            let ledger = held.as_ref().map_err(Clone::clone)?;
            guarded(|| read(ledger))
        };
        match outcome {
            Err(error @ (StoreError::Corrupt { .. } | StoreError::Poisoned { .. })) => Err(self.fail(error)),
            outcome => outcome,
        }
    }

    /// Whether the store can be used, and if not, why.
    pub(crate) fn state(&self) -> Result<(), StoreError> {
        let held = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Ends the store for good; the first reason stays. Returns the reason that holds.
    pub(crate) fn fail(&self, error: StoreError) -> StoreError {
        let mut held = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(first @ (StoreError::Corrupt { .. } | StoreError::Poisoned { .. } | StoreError::Stopped)) = &*held {
            return first.clone();
        }
        if let StoreError::Corrupt { why } = &error
            && let Err(problem) = self.directory.note_damage(why)
        {
            tracing::error!(error = %problem, "damage could not be noted for the next start");
        }
        *held = Err(error.clone());
        self.places.close();
        error
    }

    /// Takes the database from the readers, waiting for those that read right now.
    pub(crate) fn withdraw(&self, why: StoreError) {
        let mut held = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_ok_and(|_| true) || matches!(&*held, Err(StoreError::Full { .. })) {
            *held = Err(why);
        }
    }

    /// Gives readers a database that was opened again.
    pub(crate) fn restore(&self, ledger: Arc<Ledger>) {
        let mut held = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*held, Err(StoreError::Full { .. })) {
            *held = Ok(ledger);
        }
    }

    pub(crate) fn gauge(&self, outbox: &Outbox) {
        *self.lock_gauges() = Gauges { events: outbox.events, bytes: outbox.bytes, seen: outbox.totals.seen };
    }

    pub(crate) fn gauges(&self) -> Gauges {
        *self.lock_gauges()
    }

    fn lock_gauges(&self) -> MutexGuard<'_, Gauges> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
