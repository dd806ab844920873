//! The ledger in sled: cursor, seen marks, outbox, progress and quota state, committed in atomic batches. It decides nothing
//! about incidents (`core` does) and knows no API and no sink.
//!
//! One thread writes; handles ask it and are answered once the answer is durable. Reads go to the database directly. What
//! lies where on the disk, and which of sled's traps is dealt with how, is in `docs/store.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::{oneshot, watch};

use crate::core::commit::Committed;
use crate::core::courier::{Progress, Refusal};
use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::model::moment::Moment;
use crate::model::names::{IncidentId, Seq, SinkName, TenantKey};
use crate::store::body::Press;
use crate::store::command::{Command, Tell};
use crate::store::error::{OpenError, StoreError};
use crate::store::keys::{Key, Prefix};
use crate::store::open::Recovery;
use crate::store::page::PageBatch;
use crate::store::shared::{COMMANDS_MAX, Shared};
use crate::store::tally::{Room, Tally};
use crate::store::values::{Read, Remembered};
use crate::store::writer::Writer;

mod body;
mod checkpoint;
pub mod chunk;
mod command;
mod directory;
pub mod error;
pub mod export;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod ledger;
pub mod open;
mod outbox;
pub mod page;
mod recall;
mod seen;
mod shared;
mod sinks;
pub mod tally;
mod values;
pub mod verify;
mod waker;
mod writer;

pub use crate::store::directory::Owner;

/// Where the store is, and its limits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state directory. Made, with mode 0700, where there is none.
    pub dir: PathBuf,
    /// What to do about a damaged database.
    pub on_corrupt: OnCorrupt,
    /// Bytes of the outbox, compressed; see [`Store::room`].
    pub max_size: u64,
    /// Bytes of the disk that are to stay free, 32 MiB at least whatever is said here; see [`Store::room`].
    pub min_free: u64,
}

/// What to do about a damaged database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// Set it aside, make it again from the checkpoint, go on: with duplicates and without loss.
    #[default]
    Rebuild,
    /// Do not open.
    Stop,
}

/// The two endpoints that have a quota of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// Many incidents.
    List,
    /// One incident.
    Get,
}

impl Endpoint {
    /// Its number in keys, for ever.
    const fn number(self) -> u8 {
        match self {
            Self::List => 1,
            Self::Get => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::List),
            2 => Some(Self::Get),
            _ => None,
        }
    }
}

/// A store that was just opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What had to be made again; say so loudly.
    pub recovery: Option<Recovery>,
}

/// A handle of the ledger. Clones are cheap and share it.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    commands: SyncSender<Command>,
}

impl Store {
    /// Opens the ledger, or makes it where the directory is empty, and starts its thread. Takes up to seconds where the
    /// outbox is long.
    ///
    /// # Errors
    /// [`OpenError`]; the process ends with exit code 73.
    pub fn open(settings: Settings) -> Result<Opened, OpenError> {
        let found = open::open(&settings)?;
        let io = |source| OpenError::at(&settings.dir, source);
        if let Err(problem) = found.directory.lay_ballast(settings.min_free) {
            tracing::debug!(error = %problem, "the ballast could not be laid in");
        }
        let press = Press::new().map_err(io)?;
        let ledger = Arc::new(found.ledger);
        let shared = Shared::new(settings.clone(), found.directory, ledger.clone(), &found.outbox);
        let shared = Arc::new(shared);
        let (commands, queue) = sync_channel(COMMANDS_MAX);
        let writer = Writer::new(shared.clone(), ledger, found.outbox, press, found.generation);
        let thread = std::thread::Builder::new().name("store".into());
        thread.spawn(move || writer.run(&queue)).map_err(io)?;
        Ok(Opened { store: Self { shared, commands }, recovery: found.recovery })
    }

    /// Whether the store takes commands.
    ///
    /// # Errors
    /// Why it does not. Every other verb fails the same way.
    pub fn state(&self) -> Result<(), StoreError> {
        self.shared.state()
    }

    /// The tenants that are known here, configured or not.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn tenants(&self) -> Result<Vec<(TenantKey, Position)>, StoreError> {
        self.shared.read(|ledger| {
            let pairs = ledger.scan::<Read>(Prefix::Positions);
            let pairs = pairs.filter_map(|pair| match pair {
                Ok((Key::Position(tenant), read)) => Some(Ok((tenant, read.position))),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            });
            pairs.collect()
        })
    }

    /// How far a tenant was read; none for one that never was.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn position(&self, tenant: &TenantKey) -> Result<Option<Position>, StoreError> {
        let read = self.shared.read(|ledger| ledger.get::<Read>(&Key::Position(tenant.clone())))?;
        Ok(read.map(|read| read.position))
    }

    /// Remembers how far a tenant was read. Durable on return.
    ///
    /// # Errors
    /// [`StoreError::Misused`] where the cursor would go back; else as [`state`](Self::state).
    pub async fn set_position(&self, tenant: &TenantKey, position: Position) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.ask(|tell| Command::SetPosition { tenant, position, may_go_back: false, tell }).await
    }

    /// As [`set_position`](Self::set_position), and may go back: for people who ask for it.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn reset_position(&self, tenant: &TenantKey, position: Position) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.ask(|tell| Command::SetPosition { tenant, position, may_go_back: true, tell }).await
    }

    /// What could not be read of a tenant.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn quarantine(&self, tenant: &TenantKey) -> Result<Quarantine, StoreError> {
        Ok(self.shared.read(|ledger| ledger.get(&Key::Quarantine(tenant.clone())))?.unwrap_or_default())
    }

    /// Whether any incident of a tenant is remembered.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn remembers(&self, tenant: &TenantKey) -> Result<bool, StoreError> {
        let (from, to) = (IncidentId::new(""), IncidentId::new("\u{10ffff}"));
        let (from, to) = (Key::Seen(tenant.clone(), from), Key::Seen(tenant.clone(), to));
        self.shared.read(|ledger| ledger.range::<Remembered>(&from, &to).next().transpose().map(|mark| mark.is_some()))
    }

    /// Remembers what could not be read of a tenant. A whole quarantine fits into one value.
    /// Durable on return.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn set_quarantine(&self, tenant: &TenantKey, quarantine: Quarantine) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.ask(|tell| Command::SetQuarantine { tenant, quarantine, tell }).await
    }

    /// Holds each row against what is remembered, and puts what is new into the outbox. Durable on return. Where it fails,
    /// the page may be given again: what is there already is then known.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn commit_page(&self, batch: PageBatch) -> Result<Committed, StoreError> {
        self.ask(|tell| Command::CommitPage { batch, tell }).await
    }

    /// The quota as it was when the last call left; none where none was remembered.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn quota(&self, tenant: &TenantKey, endpoint: Endpoint) -> Result<Option<QuotaState>, StoreError> {
        self.shared.read(|ledger| ledger.get(&Key::Quota(tenant.clone(), endpoint)))
    }

    /// Remembers the quota. Durable on return: one small value and one sync, shared with whoever else waits.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn set_quota(&self, tenant: &TenantKey, endpoint: Endpoint, state: QuotaState) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.ask(|tell| Command::SetQuota { tenant, endpoint, state, tell }).await
    }

    /// Says which sinks there are. A new one starts before the oldest event in the outbox. Those not named are forgotten,
    /// with what they refused, and returned.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn register_sinks(&self, names: &[SinkName]) -> Result<Vec<SinkName>, StoreError> {
        let names = names.to_vec();
        self.ask(|tell| Command::RegisterSinks { names, tell }).await
    }

    /// How far a sink has confirmed.
    ///
    /// # Errors
    /// [`StoreError::Misused`] for a sink that is not registered; else as [`state`](Self::state).
    pub fn progress(&self, sink: &SinkName) -> Result<Progress, StoreError> {
        self.shared
            .read(|ledger| ledger.get(&Key::Progress(sink.clone())))?
            .ok_or_else(|| StoreError::misused(format!("sink {sink} is not registered")))
    }

    /// What a sink refused for good, oldest first. The events are in the outbox still.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn refused(&self, sink: &SinkName) -> Result<Vec<Refusal>, StoreError> {
        self.shared.read(|ledger| {
            ledger.scan::<Refusal>(Prefix::Refused(sink)).map(|pair| pair.map(|(_, refusal)| refusal)).collect()
        })
    }

    /// Remembers how far a sink has confirmed and what it refused, in one piece. Durable on return. What every sink is past is
    /// cut afterwards, but for what some sink refused. Less progress than before changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Misused`] for a sink that is not registered and for positions not given out yet; else as
    /// [`state`](Self::state).
    pub async fn acknowledge(
        &self,
        sink: &SinkName,
        progress: Progress,
        refused: Vec<Refusal>,
    ) -> Result<(), StoreError> {
        let sink = sink.clone();
        self.ask(|tell| Command::Acknowledge { sink, progress, refused, tell }).await
    }

    /// Drops entries of what a sink refused. An event that nobody else needs goes with its entry.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn drop_refused(&self, sink: &SinkName, seqs: Vec<Seq>) -> Result<(), StoreError> {
        let sink = sink.clone();
        self.ask(|tell| Command::DropRefused { sink, seqs, tell }).await
    }

    /// The newest durable position of the outbox, to wake couriers.
    pub fn newest(&self) -> watch::Receiver<Seq> {
        self.shared.newest.subscribe()
    }

    /// Forgets marks that were last written before a moment, a bounded step at a time. Returns how many.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn evict(&self, older_than: Moment) -> Result<u64, StoreError> {
        let (mut marks, mut after) = (0, None);
        loop {
            let step = self.ask(|tell| Command::Evict { older_than, after, tell }).await?;
            marks += step.marks;
            after = step.after;
            if after.is_none() {
                return Ok(marks);
            }
        }
    }

    /// The store in numbers. Cheap: a few reads per sink and tenant.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn tally(&self) -> Result<Tally, StoreError> {
        tally::tally(&self.shared)
    }

    /// Whether there is room for more; where not, stop polling until there is.
    pub fn room(&self) -> Room {
        tally::room(&self.shared)
    }

    /// Whether there is [`room`](Self::room).
    pub fn has_room(&self) -> bool {
        self.room() == Room::Enough
    }

    /// Whether there is room even for what nobody waits for, such as a replay: with it, what is new still has half of the outbox
    /// and of the spare disk to itself.
    pub fn has_ample_room(&self) -> bool {
        tally::has_ample_room(&self.shared)
    }

    /// Makes everything durable, writes the checkpoint, stops the thread and lets go of the directory. Other handles find the
    /// store [`StoreError::Stopped`].
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn close(self) -> Result<(), StoreError> {
        self.ask(|tell| Command::Close { tell }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Tell<T>) -> Command) -> Result<T, StoreError> {
        self.shared.state()?;
        let place = self.shared.places.acquire().await.map_err(|_| self.ended())?;
        let (tell, told) = oneshot::channel();
        // Given back by the writer when it takes the command.
        place.forget();
        self.commands.try_send(command(tell)).map_err(|_| self.ended())?;
        told.await.map_err(|_| self.ended())?
    }

    /// Why the writer does not answer.
    fn ended(&self) -> StoreError {
        let gone = || StoreError::Poisoned { why: "its thread is gone".into() };
        self.shared.state().err().unwrap_or_else(gone)
    }
}
