//! How a tenant fares, as its readers see it: for people, `/readyz` and the metrics. Decides nothing.

use crate::core::commit::Committed;
use crate::core::poller::Reader;
use crate::core::position::Position;
use crate::model::moment::Moment;
use crate::model::page::FetchError;
use crate::model::timestamp::Timestamp;

/// How a tenant fares.
#[derive(Debug, Clone, Default)]
pub struct Health {
    tail: ReaderHealth,
    sweep: ReaderHealth,
    position: Option<Position>,
    passes: u64,
    rounds: u64,
    way_back: Option<(Timestamp, Timestamp)>,
    clock_is_suspect: bool,
    events: u64,
    missed: u64,
    broken: u32,
    audits: u64,
}

/// One reader's share.
#[derive(Debug, Clone, Default)]
pub struct ReaderHealth {
    /// When the last good answer came.
    pub answered_at: Option<Moment>,
    /// What failed since then, and when.
    pub error: Option<(FetchError, Moment)>,
    /// Failures since the last good answer.
    pub failures: u32,
    /// Good answers.
    pub answers: u64,
}

impl Health {
    /// Nothing has happened yet, to a tenant that was read so far before.
    pub(crate) fn resumed(position: Option<Position>) -> Self {
        Self { position, ..Self::default() }
    }

    /// One reader's share.
    pub const fn reader(&self, reader: Reader) -> &ReaderHealth {
        match reader {
            Reader::Tail => &self.tail,
            Reader::Sweep => &self.sweep,
        }
    }

    /// Readings since the start that were complete: sweeps and windows.
    pub const fn passes(&self) -> u64 {
        self.passes
    }

    /// Sweeps since the start that were complete and read everything from the cursor to the newest.
    pub const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Server time at the start of the last complete sweep, of this process or a former one.
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

    /// Readings since the last complete one that proved nothing.
    pub const fn broken_readings(&self) -> u32 {
        self.broken
    }

    /// Audits since the start that were complete.
    pub const fn audits(&self) -> u64 {
        self.audits
    }

    /// Events since the start that an audit made of what lay below the cursor: late beyond the overlap, or changed without a
    /// new `lastUpdateTime`.
    pub const fn audit_missed(&self) -> u64 {
        self.missed
    }

    /// Events since the start.
    pub const fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn answered(&mut self, reader: Reader, now: Moment) {
        let share = self.share(reader);
        *share = ReaderHealth { answered_at: Some(now), error: None, failures: 0, answers: share.answers + 1 };
    }

    pub(crate) fn failed(&mut self, reader: Reader, error: FetchError, now: Moment) {
        let share = self.share(reader);
        share.error = Some((error, now));
        share.failures = share.failures.saturating_add(1);
    }

    /// The failure leads to another call at once, which is tried first.
    pub(crate) const fn has_another_way(&mut self, reader: Reader) {
        self.share(reader).failures = 0;
    }

    /// A reading proved nothing.
    pub(crate) fn broken(&mut self, error: FetchError, now: Moment) {
        self.failed(Reader::Sweep, error, now);
        self.broken = self.broken.saturating_add(1);
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

    pub(crate) const fn missed(&mut self, rows: u64) {
        self.missed += rows;
    }

    pub(crate) fn positioned(&mut self, position: Position, before: Option<Position>) {
        self.position = Some(position);
        let Some(before) = before else { return };
        if before.audited == position.audited {
            self.broken = 0;
            self.passes += 1;
            self.rounds += u64::from(self.way_back.is_none());
        } else {
            self.audits += 1;
        }
    }

    const fn share(&mut self, reader: Reader) -> &mut ReaderHealth {
        match reader {
            Reader::Tail => &mut self.tail,
            Reader::Sweep => &mut self.sweep,
        }
    }
}
