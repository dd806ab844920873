//! What is to become durable of a tenant, and what came of it once it is. Who makes it durable knows nothing of readers.

use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::model::event::Kind;
use crate::model::names::EventId;
use crate::model::page::Page;
use crate::model::timestamp::Timestamp;

/// What is to become durable.
#[derive(Debug, Clone)]
pub enum Commit {
    /// The rows of a page: what is new among them is decided where the seen marks are.
    Rows(PassKind, Page),
    /// How far the tenant has been read. Written alone, after everything before it.
    Position(Position),
    /// What cannot be read. Written before a position that passes it.
    Quarantine(Quarantine),
}

/// What a page was read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PassKind {
    /// Freshness.
    Tail,
    /// Everything since the cursor.
    Sweep,
    /// A window of a long way back.
    CatchUp,
    /// What the other two missed.
    Audit,
    /// A window in quarantine, once more.
    Retry,
}

/// What has become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The rows of a page, and what came of them.
    Rows(Committed),
    /// This position.
    Position(Position),
    /// This quarantine.
    Quarantine(Quarantine),
}

/// What came of the rows of a page.
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
    /// The same, where this (id, time) was not seen before; none for a new content at a known time.
    pub unseen_time: Option<Timestamp>,
}
