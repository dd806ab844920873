//! Looks at all of a ledger that nobody has open: every key, every checksum, every body, and whether they fit together. It
//! repairs nothing and writes nothing of its own; the database engine may take back what a crash left half written, as at
//! any start.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::core::courier::{Progress, Refusal};
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::model::names::{Seq, SinkName};
use crate::store::body;
use crate::store::checkpoint::{self, Checkpoint};
use crate::store::directory::Directory;
use crate::store::error::{OpenError, StoreError};
use crate::store::keys::Key;
use crate::store::ledger::{Ledger, guarded, is_locked};
use crate::store::open::is_not_behind;
use crate::store::values::{self, Entry, FORMAT, MAGIC, Read, Remembered, Totals, Version};

/// Problems that are kept in words; more are only counted.
const PROBLEMS_MAX: usize = 50;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Findings {
    /// Keys and values looked at.
    pub values: u64,
    /// Events in the outbox, each read whole.
    pub events: u64,
    /// Incidents that are remembered.
    pub marks: u64,
    /// What is wrong, the first fifty.
    pub problems: Vec<String>,
    /// How many things are wrong.
    pub problem_count: u64,
}

/// The newest checkpoint, as far as people want to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct CheckpointFacts {
    /// Grows by one with every write.
    pub generation: u64,
    /// When it was written, in seconds since 1970 on our own clock.
    pub written: u64,
    /// The newest position of the outbox then.
    pub end: Seq,
}

/// The newest checkpoint in a state directory that can be read; none where none can. Opening the store writes a new one.
pub fn checkpoint(dir: &Path) -> Option<CheckpointFacts> {
    let Checkpoint { generation, written, end, .. } = Checkpoint::load(dir)?;
    Some(CheckpointFacts { generation, written, end })
}

/// Looks at everything in a state directory. None where nothing was ever kept there.
///
/// # Errors
/// The directory cannot be opened at all: held by another process, of a newer version, or refused by the system.
pub fn verify(dir: &Path) -> Result<Option<Findings>, OpenError> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let directory = Directory::take(dir)?;
    if directory.is_fresh()? {
        return Ok(None);
    }
    let mut look = Look::default();
    if let Some(why) = directory.damage() {
        look.wrong(format!("damage was met while running, the next start rebuilds: {why}"));
    }
    look.checkpoints(dir);
    // The engine would make a database where there is none.
    if !directory.database().join("db").is_file() {
        look.wrong("its database is missing".into());
        return Ok(Some(look.found));
    }
    match guarded(|| look.ledger(&directory)) {
        Err(StoreError::Poisoned { why }) if is_locked(&why) => Err(OpenError::Held { dir: dir.to_owned(), pid: None }),
        Err(StoreError::Full { why }) => Err(OpenError::Full { dir: dir.to_owned(), why }),
        Ok(Some(found)) => Err(OpenError::OtherFormat { dir: dir.to_owned(), found, known: FORMAT }),
        Ok(None) => Ok(Some(look.found)),
        Err(
            error @ (StoreError::Poisoned { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Stopped
            | StoreError::Misused { .. }),
        ) => {
            look.wrong(error.to_string());
            Ok(Some(look.found))
        }
    }
}

/// A look under way: what was found, and what has to fit together at the end.
#[derive(Default)]
struct Look {
    found: Findings,
    totals: Option<Totals>,
    sinks: BTreeSet<SinkName>,
    /// The newest event without a gap before it.
    last: Seq,
    /// The event whose chunks are being looked at, and how many it has.
    chunks_of: Option<(Seq, u32)>,
}

impl Look {
    fn wrong(&mut self, what: String) {
        self.found.problem_count += 1;
        if self.found.problems.len() < PROBLEMS_MAX {
            self.found.problems.push(what);
        }
    }

    fn checkpoints(&mut self, dir: &Path) {
        for name in checkpoint::NAMES {
            let path = dir.join(name);
            if path.exists() && fs::read(&path).ok().is_none_or(|bytes| Checkpoint::decode(&bytes).is_none()) {
                self.wrong(format!("{name} cannot be read; the other generation is used"));
            }
        }
    }

    /// Looks at every value. The format, where it is one that this program does not know.
    fn ledger(&mut self, directory: &Directory) -> Result<Option<u32>, StoreError> {
        let ledger = Ledger::open(&directory.database())?;
        // What of these two cannot be read is said when its turn comes.
        match ledger.get::<Version>(&Key::Version).or_else(unless_corrupt)? {
            Some(Version { ledger: magic, format, .. }) if magic == MAGIC && format == FORMAT => {}
            Some(Version { ledger: magic, format, .. }) if magic == MAGIC => return Ok(Some(format)),
            Some(_) | None => self.wrong("the database is not marked as ours".into()),
        }
        self.totals = ledger.get(&Key::Totals).or_else(unless_corrupt)?;
        self.last = self.totals.unwrap_or_default().cut;
        for pair in ledger.pairs() {
            let (key, value) = pair?;
            self.found.values += 1;
            match Key::decode(&key) {
                Some(known) => self.value(&ledger, known, &key, &value)?,
                None => self.wrong(format!("a key that is none of ours: {key:02x?}")),
            }
        }
        self.together(&ledger, directory.path());
        Ok(None)
    }

    /// Looks at one value, and at what it says about others.
    fn value(&mut self, ledger: &Ledger, known: Key, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let end = self.totals.unwrap_or_default().end;
        match known {
            Key::Version => drop(self.read::<Version>(key, value)),
            Key::Totals => drop(self.read::<Totals>(key, value)),
            Key::Position(tenant) => {
                if self.read::<Read>(key, value).is_some_and(|read| end < read.end) {
                    self.wrong(format!("the cursor of {tenant} knows of events beyond the end of the outbox, {end}"));
                }
            }
            Key::Sequence(_) => drop(self.read::<u64>(key, value)),
            Key::Quota(..) => drop(self.read::<QuotaState>(key, value)),
            Key::Quarantine(_) => drop(self.read::<Quarantine>(key, value)),
            Key::Seen(tenant, incident) => {
                self.found.marks += 1;
                if let Some(seq) = self.read::<Remembered>(key, value).map(|mark| mark.seq).filter(|seq| end < *seq) {
                    self.wrong(format!("incident {incident} of {tenant} is remembered with event {seq}, beyond {end}"));
                }
            }
            Key::Event(seq) => self.event(ledger, seq, key, value),
            Key::Chunk(seq, n) => self.chunk(ledger, seq, n)?,
            Key::Progress(sink) => {
                if let Some(progress) = self.read::<Progress>(key, value).filter(|progress| end < progress.acknowledged)
                {
                    self.wrong(format!("sink {sink} has acknowledged {}, beyond {end}", progress.acknowledged));
                }
                self.sinks.insert(sink);
            }
            Key::Refused(sink, seq) => {
                self.read::<Refusal>(key, value);
                let is_there = guarded(|| ledger.get::<Entry>(&Key::Event(seq))).is_ok_and(|entry| entry.is_some());
                if !is_there {
                    self.wrong(format!("event {seq} that sink {sink} refused is not there any more"));
                }
                if !self.sinks.contains(&sink) {
                    self.wrong(format!("event {seq} was refused by sink {sink}, which is not there"));
                }
            }
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&mut self, key: &[u8], value: &[u8]) -> Option<T> {
        values::decode(key, value).map_err(|damage| self.wrong(damage.why)).ok()
    }

    fn event(&mut self, ledger: &Ledger, seq: Seq, key: &[u8], value: &[u8]) {
        self.found.events += 1;
        if self.last < seq && seq != self.last.next() {
            self.wrong(format!("the outbox has nothing between events {} and {seq}", self.last));
        }
        self.last = self.last.max(seq);
        let Some(entry) = self.read::<Entry>(key, value) else { return };
        // Its chunks, their checksums, and the event in them.
        match guarded(|| body::read(ledger, seq, &entry)) {
            Ok(Some(_)) => {}
            Ok(None) => self.wrong(format!("the entry of event {seq} was there and is not")),
            Err(error) => self.wrong(error.to_string()),
        }
    }

    /// A chunk was read with its event. One without, beyond the end, was being written when the process died: the next start
    /// clears it away.
    fn chunk(&mut self, ledger: &Ledger, seq: Seq, n: u32) -> Result<(), StoreError> {
        if self.totals.unwrap_or_default().end < seq {
            return Ok(());
        }
        if self.chunks_of.is_none_or(|(of, _)| of != seq) {
            let entry = guarded(|| ledger.get::<Entry>(&Key::Event(seq)));
            let chunks = match entry {
                Ok(entry) => entry.map_or(0, |entry| entry.chunks()),
                // Said already.
                Err(StoreError::Corrupt { .. }) => u32::MAX,
                Err(error) => return Err(error),
            };
            self.chunks_of = Some((seq, chunks));
        }
        if self.chunks_of.is_some_and(|(_, chunks)| chunks <= n) {
            self.wrong(format!("chunk {n} of event {seq} belongs to nothing"));
        }
        Ok(())
    }

    /// What the values say of each other.
    fn together(&mut self, ledger: &Ledger, dir: &Path) {
        let Some(totals) = self.totals else {
            return self.wrong("the totals of the database are missing".into());
        };
        if self.last != totals.end {
            self.wrong(format!("the outbox ends at event {}, not {}", self.last, totals.end));
        }
        if self.found.marks != totals.seen {
            self.wrong(format!("{} incidents are remembered, the totals say {}", self.found.marks, totals.seen));
        }
        let blobs = ledger.blobs();
        if 0 < blobs {
            self.wrong(format!("the database engine has spilled {blobs} files, which it never syncs"));
        }
        match Checkpoint::load(dir) {
            Some(checkpoint) => {
                if let Err(error) = guarded(|| is_not_behind(ledger, totals.end, &checkpoint)) {
                    self.wrong(error.to_string());
                }
            }
            None => self.wrong("no checkpoint can be read; the next start or stop writes one".into()),
        }
    }
}

fn unless_corrupt<T>(error: StoreError) -> Result<Option<T>, StoreError> {
    match error {
        StoreError::Corrupt { .. } => Ok(None),
        error @ (StoreError::Poisoned { .. }
        | StoreError::Full { .. }
        | StoreError::Stopped
        | StoreError::Misused { .. }) => Err(error),
    }
}
