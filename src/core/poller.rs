//! Reads one tenant: the tail for freshness, the sweep for completeness. Decides what to ask and when the cursor moves.

use serde::{Deserialize, Serialize};

use crate::model::event::Kind;
use crate::model::names::EventId;
use crate::model::timestamp::Timestamp;

/// How far a tenant has been read. Durable; on the source's clock throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Every revision that is current and older than this has been taken.
    pub cursor: Timestamp,
    /// Where reading began at the first run: no query asks for anything older.
    pub floor: Timestamp,
    /// The server's time at the start of the last complete sweep: what the next one may move the cursor to, less the
    /// overlap.
    pub swept: Option<Timestamp>,
}

/// What became of the rows of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The events that are durable now, in the order of the outbox.
    pub events: Vec<Brief>,
    /// The earliest time among the rows whose (id, time) was not seen before.
    pub oldest_unseen: Option<Timestamp>,
    /// How many rows were not known before, by time or by content.
    pub unseen_rows: u32,
}

/// One event in brief, for counters and progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its id.
    pub event_id: EventId,
    /// What happened.
    pub kind: Kind,
    /// The time of the revision.
    pub last_update: Option<Timestamp>,
}
