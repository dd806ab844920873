//! The bodies of events: compressed, cut into chunks, put together again. It must not know who reads them or when.

use std::io;

use crate::model::event::Event;
use crate::model::names::{Seq, SinkName, TenantKey};
use crate::store::error::StoreError;
use crate::store::keys::Key;
use crate::store::ledger::{Ledger, Pending};
use crate::store::values::{self, CHUNK_MAX, Damage, Entry};

/// zstd's own default. Incidents shrink to a fifth of their size; higher levels gain little and cost much.
const LEVEL: i32 = 3;
/// Bytes that an event's entry, mark and counts usually need beside its last chunk.
const BESIDE: usize = 2048;

/// Compresses one body after another in one piece of memory.
pub(crate) struct Press(zstd::bulk::Compressor<'static>);

/// A body that is ready to be written.
pub(crate) struct Packed {
    compressed: Vec<u8>,
    entry: Entry,
}

impl Press {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(zstd::bulk::Compressor::new(LEVEL)?))
    }

    /// Packs the event of a tenant, for one sink or for all.
    pub(crate) fn pack(
        &mut self,
        key: &TenantKey,
        event: &Event,
        only: Option<&SinkName>,
    ) -> Result<Packed, StoreError> {
        let body = values::write_body(event);
        let compressed = self.0.compress(&body)?;
        let entry = Entry {
            tenant: event.tenant.clone(),
            key: key.clone(),
            observed_at: event.observed_at,
            last_update: event.last_update,
            compressed: compressed.len() as u64,
            whole: body.len() as u64,
            only: only.cloned(),
        };
        Ok(Packed { compressed, entry })
    }
}

impl Packed {
    pub(crate) const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Puts the body and its entry into what is pending. A body that does not fit there any more is written ahead, chunk
    /// by chunk; until its entry is written too, with whatever the caller adds, those are orphans and no event.
    pub(crate) fn write(self, seq: Seq, ledger: &Ledger, pending: &mut Pending) -> Result<(), StoreError> {
        for (n, chunk) in (0..).zip(self.compressed.chunks(CHUNK_MAX)) {
            if !pending.has_room(chunk.len() + BESIDE) {
                pending.apply(ledger)?;
            }
            pending.put_bytes(&Key::Chunk(seq, n), chunk);
        }
        pending.put(&Key::Event(seq), &self.entry);
        Ok(())
    }
}

/// Puts the body of one event once more under another position, with its entry there, as [`Packed::write`] does.
pub(crate) fn copy(
    from: Seq,
    to: Seq,
    entry: &Entry,
    ledger: &Ledger,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    for n in 0..entry.chunks() {
        let chunk = ledger.chunk(&Key::Chunk(from, n))?;
        let chunk = chunk.ok_or_else(|| Damage { why: format!("the body of event {from} lacks chunk {n}") })?;
        if !pending.has_room(chunk.len() + BESIDE) {
            pending.apply(ledger)?;
        }
        pending.put_bytes(&Key::Chunk(to, n), &chunk);
    }
    pending.put(&Key::Event(to), entry);
    Ok(())
}

/// Reads the event of an entry; none where it was cut in the meantime.
pub(crate) fn read(ledger: &Ledger, seq: Seq, entry: &Entry) -> Result<Option<Event>, StoreError> {
    let damage = |why: String| Damage { why: format!("the body of event {seq} {why}") };
    let mut compressed = Vec::new();
    for n in 0..entry.chunks() {
        match ledger.chunk(&Key::Chunk(seq, n))? {
            Some(chunk) => compressed.extend_from_slice(&chunk),
            None if ledger.get::<Entry>(&Key::Event(seq))?.is_none() => return Ok(None),
            None => return Err(damage(format!("lacks chunk {n}")).into()),
        }
    }
    let whole = usize::try_from(entry.whole).map_err(|error| damage(error.to_string()))?;
    let body = zstd::bulk::decompress(&compressed, whole).map_err(|error| damage(error.to_string()))?;
    Ok(Some(values::read_body(seq, body)?))
}

/// Takes an event out, whole.
pub(crate) fn remove(seq: Seq, entry: &Entry, pending: &mut Pending) {
    pending.remove(&Key::Event(seq));
    for n in 0..entry.chunks() {
        pending.remove(&Key::Chunk(seq, n));
    }
}
