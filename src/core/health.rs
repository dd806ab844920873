//! How a tenant fares, as its readers see it: for people, `/readyz` and the metrics. Decides nothing.

use crate::core::poller::{Committed, Position, Reader};
use crate::model::moment::Moment;
use crate::model::timestamp::Timestamp;

/// How a tenant fares.
#[derive(Debug, Clone, Default)]
pub struct Health {
    tail: ReaderHealth,
    sweep: ReaderHealth,
    position: Option<Position>,
    complete_sweeps: u64,
    way_back: Option<(Timestamp, Timestamp)>,
    clock_is_suspect: bool,
    events: u64,
}

/// One reader's share.
#[derive(Debug, Clone, Default)]
pub struct ReaderHealth {
    /// When the last good answer came.
    pub answered_at: Option<Moment>,
    /// What failed since then, and when.
    pub error: Option<(String, Moment)>,
    /// Failures since the last good answer.
    pub failures: u32,
    /// Good answers.
    pub answers: u64,
}

impl Health {
    /// One reader's share.
    pub const fn reader(&self, reader: Reader) -> &ReaderHealth {
        match reader {
            Reader::Tail => &self.tail,
            Reader::Sweep => &self.sweep,
        }
    }

    /// Whether a pass has been completed since the start.
    pub const fn is_complete(&self) -> bool {
        0 < self.complete_sweeps
    }

    /// Complete sweeps and windows since the start.
    pub const fn complete_sweeps(&self) -> u64 {
        self.complete_sweeps
    }

    /// Server time at the start of the last complete sweep.
    pub fn swept(&self) -> Option<Timestamp> {
        self.position.and_then(|position| position.swept)
    }

    /// From where to where a long way back is being read; none where the cursor is near.
    pub const fn catching_up(&self) -> Option<(Timestamp, Timestamp)> {
        self.way_back
    }

    /// Whether the source's clock runs against ours.
    pub const fn clock_is_suspect(&self) -> bool {
        self.clock_is_suspect
    }

    /// Events since the start.
    pub const fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn answered(&mut self, reader: Reader, now: Moment) {
        let share = self.share(reader);
        *share = ReaderHealth { answered_at: Some(now), error: None, failures: 0, answers: share.answers + 1 };
    }

    pub(crate) fn failed(&mut self, reader: Reader, why: String, now: Moment) {
        let share = self.share(reader);
        share.error = Some((why, now));
        share.failures = share.failures.saturating_add(1);
    }

    pub(crate) const fn clock(&mut self, trusted: bool) {
        self.clock_is_suspect = !trusted;
    }

    pub(crate) fn committed(&mut self, outcome: &Committed) {
        self.events += outcome.events.len() as u64;
    }

    pub(crate) const fn reading(&mut self, way_back: Option<(Timestamp, Timestamp)>) {
        self.way_back = way_back;
    }

    pub(crate) const fn positioned(&mut self, position: Position, first: bool) {
        self.position = Some(position);
        if !first {
            self.complete_sweeps += 1;
        }
    }

    const fn share(&mut self, reader: Reader) -> &mut ReaderHealth {
        match reader {
            Reader::Tail => &mut self.tail,
            Reader::Sweep => &mut self.sweep,
        }
    }
}
