//! What a replay has had already, so that what comes twice is delivered once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::core::seen;
use crate::model::incident::Row;

/// Rows and incidents that are told apart, 16 bytes each; beyond it some come twice.
const TOLD_MAX: usize = 1 << 20;

/// What this replay has had already: pages overlap, and a window may be read twice.
#[derive(Default)]
pub(super) struct Told {
    rows: HashSet<u64>,
    pub(super) incidents: HashSet<u64>,
    /// How many of them the progress knows of.
    pub(super) counted: u64,
}

impl Told {
    /// Whether this replay has not had this revision yet.
    pub(super) fn is_news(&mut self, row: &Row) -> bool {
        let id = seen::id_of(row);
        if TOLD_MAX <= self.rows.len() {
            self.rows.clear();
        }
        if self.incidents.len() < TOLD_MAX {
            self.incidents.insert(short(&id));
        }
        self.rows.insert(short(&(&id, row.last_update(), row.hash)))
    }
}

/// 64 bits of something, the same for the same thing.
fn short(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}
