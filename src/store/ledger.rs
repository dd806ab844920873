//! The sled database as we use it: typed reads, small atomic batches, and a sync that is one. It decides nothing.
//!
//! sled's traps, measured, and what is done about each, are in `docs/store.md`.

use std::fs::File;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::error::StoreError;
use crate::store::keys::{Key, Prefix};
use crate::store::values::{self, Damage, VALUE_MAX};
use crate::store::waker::{self, Waker};

/// sled's page cache, in bytes of its own counting: twice that in memory. Measured with 100 000 marks: 4 MiB make 23 MB of
/// resident memory, 16 MiB make 37 MB, and neither is faster.
const CACHE_BYTES: u64 = 4 << 20;
/// sled reclaims one segment (512 KiB) of its file at each tick of its flusher, and hardly any without one: then the file
/// grows with all that was ever written. No durability depends on it.
const TICK_MS: u64 = 500;
/// New data in one batch, in bytes: batches of adjacent keys beyond this make pages over 128 KiB, which sled spills into
/// files of their own, never syncs and leaks.
pub(crate) const BATCH_MAX: usize = 64 * 1024;
/// A database that this process closed a moment ago is let go of by sled's own threads only after a while.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// An open database.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    /// Taken when it is dropped, only then.
    db: Option<(Waker, sled::Db)>,
    /// A second handle of sled's file: sled's flush writes, only this syncs.
    file: File,
}

impl Ledger {
    /// Opens or makes the database in a directory. A panic inside sled, which damage can cause, is
    /// [`StoreError::Corrupt`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        remove_unfinished_snapshots(path)?;
        let start = Instant::now();
        let (config, db) = loop {
            let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(TICK_MS));
            match waker::open(&config) {
                Err(StoreError::Poisoned { why }) if is_locked(&why) && start.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                outcome => break (config, outcome?),
            }
        };
        let file = File::open(path.join("db"))?;
        let waker = Waker::new(config, db.clone())?;
        Ok(Self { path: path.to_owned(), db: Some((waker, db)), file })
    }

    fn db(&self) -> &sled::Db {
        let (_, db) = self.db.as_ref().expect("it is there until this is dropped");
        db
    }

    /// Whether there is nothing in it at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.db().is_empty()
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let key = key.encode();
        Ok(self.db().get(&key)?.map(|value| values::decode(&key, &value)).transpose()?)
    }

    /// Whether there is something under a key, whatever it is.
    pub(crate) fn has(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(self.db().contains_key(key.encode())?)
    }

    /// The body of a chunk.
    pub(crate) fn chunk(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.encode();
        Ok(self.db().get(&key)?.map(|value| values::unseal(&key, &value).map(<[u8]>::to_vec)).transpose()?)
    }

    /// Everything under a prefix, in order.
    pub(crate) fn scan<T: DeserializeOwned>(
        &self,
        prefix: Prefix<'_>,
    ) -> impl Iterator<Item = Result<(Key, T), StoreError>> + use<T> {
        self.db().scan_prefix(prefix.encode()).map(read)
    }

    /// Everything under a prefix behind one of its keys, in order.
    pub(crate) fn scan_after<T: DeserializeOwned>(
        &self,
        prefix: Prefix<'_>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = Result<(Key, T), StoreError>> + use<T> {
        let prefix = prefix.encode();
        let from = after.map_or_else(|| Bound::Included(prefix.clone()), |after| Bound::Excluded(after.encode()));
        let within = move |pair: &sled::Result<(sled::IVec, sled::IVec)>| {
            pair.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix))
        };
        self.db().range((from, Bound::Unbounded)).take_while(within).map(read)
    }

    /// Everything from one key up to another, both included, in order.
    pub(crate) fn range<T: DeserializeOwned>(
        &self,
        from: &Key,
        to: &Key,
    ) -> impl Iterator<Item = Result<(Key, T), StoreError>> + use<T> {
        self.db().range(from.encode()..=to.encode()).map(read)
    }

    /// The keys from one up to another, both included, whatever their values.
    pub(crate) fn keys(&self, from: &Key, to: &Key) -> impl Iterator<Item = Result<Key, StoreError>> + use<> {
        self.db().range(from.encode()..=to.encode()).keys().map(|key| Ok(known(&key?)?))
    }

    /// Every key and value as they stand there, in order, whatever they are.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<> {
        self.db().iter().map(|pair| pair.map_err(StoreError::from))
    }

    /// Makes everything that was applied durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.db().flush()?;
        self.file.sync_all()?;
        Ok(())
    }

    /// Files that sled spilled, which must be none.
    pub(crate) fn blobs(&self) -> u64 {
        std::fs::read_dir(self.path.join("blobs")).map_or(0, |entries| entries.count() as u64)
    }

    /// Bytes of the database file.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl Drop for Ledger {
    /// sled syncs once more when it closes, and panics where that fails. What was confirmed was synced before.
    fn drop(&mut self) {
        let parts = self.db.take();
        let close = || {
            if let Some((waker, db)) = parts {
                // Has a handle of its own, and the last one closes.
                drop(waker);
                drop(db);
            }
        };
        if catch_unwind(AssertUnwindSafe(close)).is_err() {
            // A full disk does that again and again.
            tracing::debug!("the database did not close in good order; what was confirmed is durable");
        }
    }
}

/// What is to be written in one piece.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    batch: sled::Batch,
    bytes: usize,
    count: usize,
}

impl Pending {
    pub(crate) fn put<T: Serialize>(&mut self, key: &Key, value: &T) {
        let key = key.encode();
        let value = values::encode(&key, value);
        self.insert(key, value);
    }

    pub(crate) fn put_bytes(&mut self, key: &Key, body: &[u8]) {
        let key = key.encode();
        let value = values::seal(&key, body);
        self.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        self.count += 1;
        self.batch.remove(key.encode());
    }

    /// Whether so many bytes more still belong in this batch. An empty one takes anything.
    pub(crate) const fn has_room(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= BATCH_MAX
    }

    /// How many writes and removals wait.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Writes it and starts over. Not durable before [`Ledger::sync`]. Says whether there was anything to write.
    pub(crate) fn apply(&mut self, ledger: &Ledger) -> Result<bool, StoreError> {
        let Self { batch, count, .. } = std::mem::take(self);
        if count == 0 {
            return Ok(false);
        }
        ledger.db().apply_batch(batch)?;
        Ok(true)
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        assert!(value.len() <= VALUE_MAX, "a value of {} bytes: its kind must be bounded or chunked", value.len());
        self.bytes += key.len() + value.len();
        self.count += 1;
        self.batch.insert(key, value);
    }
}

/// sled writes a snapshot of its page table at every start, under a name of its own until it is whole; killed in between, it
/// takes the half of it for damage of the whole database. The one before is there still, and all of it is in the log.
fn remove_unfinished_snapshots(path: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Runs something that reads the database; sled answers some kinds of damage with a panic.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(StoreError::Corrupt { why: format!("the database engine gave up: {}", text.unwrap_or("no reason given")) })
    })
}

/// The words of sled 0.34.7 when another process has the file; it has no error kind for that.
pub(crate) fn is_locked(why: &str) -> bool {
    why.contains("could not acquire lock")
}

fn read<T: DeserializeOwned>(pair: sled::Result<(sled::IVec, sled::IVec)>) -> Result<(Key, T), StoreError> {
    let (key, value) = pair?;
    Ok((known(&key)?, values::decode(&key, &value)?))
}

fn known(key: &[u8]) -> Result<Key, Damage> {
    Key::decode(key).ok_or_else(|| Damage { why: format!("a key that is none of ours: {key:02x?}") })
}
