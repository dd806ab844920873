//! What is in quarantine, tried again on its own, for ever: one window at a time, every few minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::position::Position;
use crate::core::quarantine::{Quarantine, Quarantined};
use crate::core::reading::{Reading, Refusals, Step};
use crate::core::settings::Settings;
use crate::model::incident::Row;
use crate::model::moment::Moment;
use crate::model::page::FetchError;
use crate::model::timestamp::Timestamp;

/// Between two tries, unless audits are more frequent.
const EVERY: Duration = Duration::from_secs(600);

/// A window that is suddenly empty has healed when it has been so for this long: a source may say "nothing" for an hour and
/// lie.
const EMPTY_IS_DOUBTED: Duration = Duration::from_secs(2 * 3600);

/// The tries of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Retries {
    due: Moment,
    /// The window that was tried last.
    last: Timestamp,
    run: Option<Run>,
    /// Since when windows have been empty, by where they begin. As many as there are windows.
    empty_since: BTreeMap<Timestamp, Moment>,
}

/// A try under way.
#[derive(Debug, Clone)]
struct Run {
    window: Quarantined,
    /// It lay wholly before the overlap when the try began: nothing in it can become visible any more.
    is_settled: bool,
    reading: Reading,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It can be read again: it leaves the quarantine.
    Healed(Quarantine),
    /// It cannot.
    Same,
}

impl Retries {
    pub(crate) const fn new(now: Moment) -> Self {
        Self { due: now, last: Timestamp::from_ticks(0), run: None, empty_since: BTreeMap::new() }
    }

    /// When the next try is due; none while nothing is in quarantine.
    pub(crate) fn due(&self, quarantine: &Quarantine) -> Option<Moment> {
        (!quarantine.is_empty()).then_some(self.due)
    }

    /// Nothing more before then.
    pub(crate) const fn due_at(&mut self, due: Moment) {
        self.due = due;
    }

    /// The try that is under way, or the next one. What the server refused elsewhere is asked for all the same.
    pub(crate) fn reading(
        &mut self,
        quarantine: &Quarantine,
        settings: &Settings,
        time: Option<Timestamp>,
    ) -> Option<&Reading> {
        if self.run.is_none() {
            let windows = quarantine.windows();
            let window = windows.iter().find(|window| self.last < window.from).or(windows.first())?.clone();
            self.last = window.from;
            let refusals = Refusals::default();
            let reading = Reading::new(&[window.window()], settings.page_size, refusals, window.since, false)
                .listing_alerts_apart(settings.lists_alerts_apart);
            let is_settled = time.is_some_and(|time| window.to.later(settings.overlap) <= time);
            self.run = Some(Run { window, is_settled, reading });
        }
        self.run.as_ref().map(|run| &run.reading)
    }

    pub(crate) fn read(&mut self, rows: &[Row], now: Moment) {
        if let Some(run) = &mut self.run {
            run.reading.read(rows, now);
        }
    }

    /// Returns as [`Reading::read_in_part`].
    pub(crate) fn read_in_part(&mut self, rows: &[Row], why: &str, others: Option<Moment>, now: Moment) -> bool {
        self.run.as_mut().is_some_and(|run| run.reading.read_in_part(rows, why, others, now))
    }

    /// Whether anybody wants the rows of the call that is asked for.
    pub(crate) fn wants_rows(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.reading.wants_rows())
    }

    /// The call failed: a page is cut down as far as it goes, so that what can be read of the second is.
    pub(crate) fn failed(&mut self, error: &FetchError, others: Option<Moment>, now: Moment) -> bool {
        self.run.as_mut().is_some_and(|run| run.reading.failed(error, others, now))
    }

    /// Ends the try if it has come to its end.
    pub(crate) fn finish(
        &mut self,
        quarantine: &Quarantine,
        settings: &Settings,
        position: Position,
        now: Moment,
    ) -> Option<Outcome> {
        let run = self.run.as_ref()?;
        let (from, to) = (run.window.from, run.window.to);
        let was_read = match run.reading.step() {
            Step::Read(_) => return None,
            Step::Quarantine(_) | Step::Broken(_) => false,
            // One that the cursor has not passed is read by the next sweep all the same.
            Step::Complete => run.is_settled || position.cursor < to,
        };
        let is_empty = was_read && run.reading.rows() == 0;
        self.run = None;
        self.due = now + EVERY.min(settings.audit.every);
        let is_last = quarantine.windows().last().is_none_or(|last| last.from <= from);
        if is_empty && !is_last {
            // Where there is nothing any more, all of them are doubted at the same time and not one after the other.
            self.due = now;
        }
        if is_empty && now.since(*self.empty_since.entry(from).or_insert(now)) < EMPTY_IS_DOUBTED {
            return Some(Outcome::Same);
        }
        self.empty_since.remove(&from);
        if !was_read {
            return Some(Outcome::Same);
        }
        // What was wrong with one may be over for all.
        self.due = now;
        Some(Outcome::Healed(quarantine.without(from, to)))
    }
}
