//! Reading the outbox on from a position: a bounded stretch of it at a time.

use crate::model::event::Event;
use crate::model::names::{Seq, SinkName, TenantName};
use crate::store::error::StoreError;
use crate::store::keys::Key;
use crate::store::values::Entry;
use crate::store::{Store, body};

/// Entries of the index that one read looks at, wanted or not.
const SCAN_MAX: usize = 4096;

/// How much one read returns: as many events as both allow, and one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Events.
    pub events: usize,
    /// Bytes of incidents, decompressed.
    pub bytes: u64,
}

/// A stretch of the outbox.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The wanted events, in order.
    pub events: Vec<(Seq, Event)>,
    /// Everything wanted up to here is in `events`.
    pub scanned_to: Seq,
}

impl Store {
    /// The durable events behind a position that are wanted, by their tenant and by the one sink that they are for, where they
    /// are not for all. Looks at a bounded part of the outbox: where `scanned_to` is beyond `after`, go on from there.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn read_after(
        &self,
        after: Seq,
        wanted: &dyn Fn(&TenantName, Option<&SinkName>) -> bool,
        limit: ReadLimit,
    ) -> Result<Chunk, StoreError> {
        let newest = *self.shared.newest.borrow();
        self.shared.read(|ledger| {
            let mut chunk = Chunk { events: Vec::new(), scanned_to: after };
            let mut bytes = 0;
            for (looked_at, pair) in ledger.range::<Entry>(&Key::Event(after.next()), &Key::Event(newest)).enumerate() {
                let (Key::Event(seq), entry) = pair? else { continue };
                let is_wanted = wanted(&entry.tenant, entry.only.as_ref());
                let full = limit.events <= chunk.events.len() || limit.bytes < bytes + entry.whole;
                if SCAN_MAX <= looked_at || (is_wanted && full && !chunk.events.is_empty()) {
                    return Ok(chunk);
                }
                if is_wanted && let Some(event) = body::read(ledger, seq, &entry)? {
                    bytes += entry.whole;
                    chunk.events.push((seq, event));
                }
                chunk.scanned_to = seq;
            }
            chunk.scanned_to = newest.max(after);
            Ok(chunk)
        })
    }

    /// One event; none where it was cut.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn event(&self, seq: Seq) -> Result<Option<Event>, StoreError> {
        self.shared.read(|ledger| match ledger.get::<Entry>(&Key::Event(seq))? {
            Some(entry) => body::read(ledger, seq, &entry),
            None => Ok(None),
        })
    }
}
