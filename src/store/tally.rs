//! The store in numbers, for metrics and for the decision to poll. It reads what is there and changes nothing.

use std::collections::BTreeMap;

use crate::core::courier::Progress;
use crate::model::names::SinkName;
use crate::model::timestamp::Timestamp;
use crate::store::Settings;
use crate::store::directory::BALLAST_BYTES;
use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::shared::Shared;
use crate::store::values::Entry;

/// What a scrape shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Events in the outbox.
    pub outbox_events: u64,
    /// Bytes of them, compressed.
    pub outbox_bytes: u64,
    /// Bytes that it may hold: `outbox.max_size`.
    pub outbox_limit_bytes: u64,
    /// How far each sink is behind.
    pub sinks: BTreeMap<SinkName, Behind>,
    /// Incidents that are remembered.
    pub seen: u64,
    /// Bytes of the database file. It does not shrink.
    pub disk_bytes: u64,
    /// Bytes that are free on its disk.
    pub free_bytes: u64,
    /// Bytes that have to stay free there, or polling pauses: `outbox.min_free`.
    pub min_free_bytes: u64,
    /// Files that sled spilled. Any at all is a defect: they are never synced and never removed.
    pub blobs: u64,
}

/// What a sink lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behind {
    /// Events behind its progress, of all tenants: an upper bound where it wants only some.
    pub events: u64,
    /// When the oldest of them was taken in, on our own clock.
    pub oldest: Option<Timestamp>,
}

/// Whether the store takes more events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Enough,
    /// The outbox has reached its `max_size`: some sink is far behind.
    OutboxFull {
        /// What it holds.
        bytes: u64,
    },
    /// Less of the disk is free than `min_free`, or nothing at all.
    DiskFull {
        /// What is free.
        free: u64,
    },
    /// The store takes nothing at all.
    Closed(StoreError),
}

impl Room {
    /// Why the store takes nothing at the moment, for people; none where it does.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Enough => None,
            Self::OutboxFull { bytes } => Some(format!(
                "the outbox has reached outbox.max_size with {bytes} bytes; a sink is far behind, see `xdrelay status`"
            )),
            Self::DiskFull { free } => Some(format!(
                "only {free} bytes are free on the disk of the state directory, less than outbox.min_free; free some"
            )),
            Self::Closed(error) => Some(error.to_string()),
        }
    }
}

pub(crate) fn tally(shared: &Shared) -> Result<Tally, StoreError> {
    let gauges = shared.gauges();
    let newest = *shared.newest.borrow();
    let free_bytes = shared.directory.free().unwrap_or_default();
    shared.read(|ledger| {
        let mut sinks = BTreeMap::new();
        for pair in ledger.scan::<Progress>(Prefix::Progress) {
            let (Key::Progress(sink), progress) = pair? else { continue };
            let from = Key::Event(progress.acknowledged.next());
            let oldest = ledger.range::<Entry>(&from, &Key::Event(newest)).next().transpose()?;
            let oldest = oldest.map(|(_, entry)| entry.observed_at);
            let events = newest.0.saturating_sub(progress.acknowledged.0).min(gauges.events);
            sinks.insert(sink, Behind { events, oldest });
        }
        Ok(Tally {
            outbox_events: gauges.events,
            outbox_bytes: gauges.bytes,
            outbox_limit_bytes: shared.settings.max_size,
            sinks,
            seen: gauges.seen,
            disk_bytes: ledger.bytes_on_disk(),
            free_bytes,
            min_free_bytes: shared.settings.min_free,
            blobs: ledger.blobs(),
        })
    })
}

pub(crate) fn room(shared: &Shared) -> Room {
    room_within(shared, &shared.settings)
}

/// Whether there is room even for what nobody waits for: half of the outbox and of the spare disk is left to what is new.
pub(crate) fn has_ample_room(shared: &Shared) -> bool {
    let Settings { max_size, min_free, .. } = shared.settings;
    let ample = Settings { max_size: max_size / 2, min_free: min_free.saturating_mul(2), ..shared.settings.clone() };
    room_within(shared, &ample) == Room::Enough
}

fn room_within(shared: &Shared, settings: &Settings) -> Room {
    let free = shared.directory.free().unwrap_or_default();
    let bytes = shared.gauges().bytes;
    match shared.state() {
        Err(StoreError::Full { .. }) => Room::DiskFull { free },
        Err(error) => Room::Closed(error),
        // With less, the next page could be the one for which the ballast has to go, or it is gone already.
        Ok(()) if free < settings.min_free.max(2 * BALLAST_BYTES) => Room::DiskFull { free },
        Ok(()) if settings.max_size <= bytes => Room::OutboxFull { bytes },
        Ok(()) => Room::Enough,
    }
}
