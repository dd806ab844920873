//! The checkpoint: a small file beside the database from which a lost one is made again without loss. It must not depend on
//! sled.
//!
//! Two generations, written in turn: to a new file, synced, renamed, the directory synced. A torn or flipped newest one
//! leaves the one before it. It is a header line with a checksum over everything after it, then JSON that people can read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::QuotaState;
use crate::model::names::{Seq, TenantKey};

/// The two generations.
pub(crate) const NAMES: [&str; 2] = ["checkpoint.a", "checkpoint.b"];
/// What one is written as before it takes its name.
pub(crate) const NEW: &str = "checkpoint.new";

/// What the next ledger starts from where this one is lost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Grows by one with every write.
    pub(crate) generation: u64,
    /// When it was written, in seconds since 1970.
    pub(crate) written: u64,
    /// The newest position of the outbox.
    pub(crate) end: Seq,
    /// What is known of each tenant.
    pub(crate) tenants: BTreeMap<TenantKey, Tenant>,
}

/// One tenant in the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tenant {
    /// Its cursor is safe: not later than the oldest event that some sink still lacks.
    pub(crate) position: Option<Position>,
    /// The `sequence` of its newest event.
    pub(crate) sequence: u64,
    /// What could not be read of it.
    #[serde(default)]
    pub(crate) quarantine: Quarantine,
    /// Quota of the list calls.
    pub(crate) list: Option<QuotaState>,
    /// Quota of the get calls.
    pub(crate) get: Option<QuotaState>,
}

impl Checkpoint {
    /// The newest generation that can be read; none where neither can.
    pub(crate) fn load(dir: &Path) -> Option<Self> {
        let read = |name: &&str| fs::read(dir.join(name)).ok().and_then(|bytes| Self::decode(&bytes));
        NAMES.iter().filter_map(read).max_by_key(|checkpoint| checkpoint.generation)
    }

    /// Writes it over the older generation. Durable on return.
    pub(crate) fn store(&self, dir: &Path) -> io::Result<()> {
        let name = NAMES[usize::from(!self.generation.is_multiple_of(2))];
        let mut file = File::create(dir.join(NEW))?;
        file.write_all(&self.encode())?;
        file.sync_all()?;
        fs::rename(dir.join(NEW), dir.join(name))?;
        File::open(dir)?.sync_all()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("our own struct has text keys and no failing serializer");
        [header(&body).as_bytes(), &body].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = bytes.split_at(end + 1);
        (head == header(body).as_bytes()).then(|| serde_json::from_slice(body).ok()).flatten()
    }
}

pub(crate) fn header(body: &[u8]) -> String {
    format!("xdrelay checkpoint 1 {:08x}\n", crc32fast::hash(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::quarantine::Quarantined;
    use crate::model::moment::Moment;
    use crate::model::timestamp::Timestamp;

    fn checkpoint(generation: u64) -> Checkpoint {
        let quota = |n| QuotaState { minute: Moment::from_nanos(n), hour: Moment::from_nanos(n + 1) };
        let position =
            Position { floor: Timestamp::from_ticks(3), ..Position::start(Timestamp::from_ticks(generation)) };
        let window = (Timestamp::from_seconds(generation), Timestamp::from_seconds(generation + 1));
        let window = Quarantined::new(window, Timestamp::from_seconds(99), "500 for this window");
        let quarantine = Quarantine::default().with(window).expect("room");
        let (list, get) = (Some(quota(5)), None);
        let tenant = Tenant { position: Some(position), sequence: 9, quarantine, list, get };
        Checkpoint {
            generation,
            written: 1_795_000_000,
            end: Seq(4711),
            tenants: BTreeMap::from([(TenantKey::of("global", "11"), tenant)]),
        }
    }

    #[test]
    fn the_newer_generation_is_read_whichever_file_it_is_in() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Checkpoint::load(dir.path()), None);
        for generation in 1..6 {
            checkpoint(generation).store(dir.path()).expect("written");
            assert_eq!(Checkpoint::load(dir.path()), Some(checkpoint(generation)));
        }
    }

    #[test]
    fn a_newer_generation_cut_anywhere_or_flipped_anywhere_leaves_the_older_one() {
        let dir = tempfile::tempdir().expect("a directory");
        checkpoint(1).store(dir.path()).expect("written");
        checkpoint(2).store(dir.path()).expect("written");
        let newer = dir.path().join(NAMES[0]);
        let whole = fs::read(&newer).expect("the newer one");
        let check = |bytes: &[u8], what: &str| {
            fs::write(&newer, bytes).expect("written");
            assert_eq!(Checkpoint::load(dir.path()), Some(checkpoint(1)), "{what}");
        };
        for length in 0..whole.len() {
            check(&whole[..length], &format!("cut at {length}"));
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(Checkpoint::decode(&flipped), None, "bit {bit} of byte {at}");
            }
        }
        fs::write(&newer, &whole).expect("written");
        assert_eq!(Checkpoint::load(dir.path()), Some(checkpoint(2)));
    }
}
