//! The audit: reads again what tail and sweeps have read, near and often or far back and seldom, on quota that nobody needs. It
//! finds what broke the assumptions; it never moves the cursor.

use std::time::Duration;

use crate::core::planted::{self, Mistake};
use crate::core::position::{Audited, Position};
use crate::core::reading::{Reading, Step};
use crate::core::settings::Settings;
use crate::core::sweep::{Around, FIRST_WIDTH, next_width};
use crate::model::moment::Moment;
use crate::model::page::{Page, Window};
use crate::model::timestamp::Timestamp;

/// A window whose reading failed is begun anew after so long.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// A window that could not be read so often is left to the next audit, so that the others are looked at.
const BROKEN_MAX: u32 = 3;

/// The audits of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Audits {
    run: Option<Run>,
    width: Duration,
    not_before: Moment,
}

/// An audit under way: window by window, up to where the cursor was.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    is_deep: bool,
    started: Timestamp,
    next: Timestamp,
    end: Timestamp,
    /// Where the window that is read ends.
    to: Timestamp,
    /// How often it could not be read.
    broken: u32,
    pub(crate) reading: Reading,
}

/// What came of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There are more windows.
    Goes,
    /// That was the last one: everything up to the cursor has been looked at again.
    Complete(Position),
    /// It could not be read, and why. It is tried again.
    Broken(String),
    /// It could not be read so often that the next one's turn has come, or the end.
    Skipped(String, Option<Position>),
}

impl Audits {
    pub(crate) const fn new(now: Moment) -> Self {
        Self { run: None, width: FIRST_WIDTH, not_before: now }
    }

    pub(crate) const fn run_mut(&mut self) -> Option<&mut Run> {
        self.run.as_mut()
    }

    pub(crate) const fn not_before(&mut self, moment: Moment) {
        self.not_before = moment;
    }

    /// When there is something to do; none while nothing is due by the source's time `time`.
    pub(crate) fn due(&self, position: Position, settings: &Settings, time: Timestamp, now: Moment) -> Option<Moment> {
        if planted::is(Mistake::AuditIsSkipped) {
            return None;
        }
        let Audited { near, deep } = position.audited;
        let wait = |last: Option<Timestamp>, every: Duration| {
            last.map_or(Duration::ZERO, |last| last.later(every).since(time))
        };
        let wait = wait(near, settings.audit.every).min(wait(deep, settings.deep_audit.every));
        let due = if self.run.is_some() { now } else { now + wait };
        Some(due.max(self.not_before))
    }

    /// The reading that is under way, or the next one: nothing where there is nothing to look at again.
    pub(crate) fn reading(
        &mut self,
        position: Position,
        settings: &Settings,
        time: Timestamp,
        around: Around<'_>,
    ) -> Option<&Reading> {
        if self.run.is_none() {
            self.run = self.begin(position, settings, time, around);
        }
        self.run.as_ref().map(|run| &run.reading)
    }

    /// What to remember where there is nothing to look at again.
    pub(crate) fn nothing_to_do(position: Position, settings: &Settings, time: Timestamp) -> Position {
        let deep = if Self::is_deep(position, settings, time) { Some(time) } else { position.audited.deep };
        Position { audited: Audited { near: Some(time), deep }, ..position }
    }

    fn is_deep(position: Position, settings: &Settings, time: Timestamp) -> bool {
        position.audited.deep.is_none_or(|last| last.later(settings.deep_audit.every) <= time)
    }

    fn begin(&self, position: Position, settings: &Settings, time: Timestamp, around: Around<'_>) -> Option<Run> {
        let deep_due = Self::is_deep(position, settings, time);
        let window = if deep_due { settings.deep_audit.window } else { settings.audit.window };
        let from = time.earlier(window).max(position.floor).floor_to_second();
        let end = position.cursor;
        (from < end).then(|| self.window(deep_due, time, (from, end), settings, around))
    }

    fn window(
        &self,
        is_deep: bool,
        started: Timestamp,
        (next, end): (Timestamp, Timestamp),
        settings: &Settings,
        around: Around<'_>,
    ) -> Run {
        let Around { quarantine, refusals, doubts_nothing } = around;
        // Without bounds there is one reading, up to now, around nothing.
        let to = if refusals.bounds { end } else { next.later(self.width).floor_to_second().min(end) };
        let windows = match refusals.bounds {
            true => vec![Window { from: next, to: None }],
            false => quarantine.around(Window { from: next, to: Some(to) }),
        };
        let reading = Reading::new(&windows, settings.page_size, refusals, started, doubts_nothing)
            .listing_alerts_apart(settings.lists_alerts_apart);
        Run { is_deep, started, next, end, to, broken: 0, reading }
    }

    /// Goes on where a reading has come to its end.
    pub(crate) fn finish(
        &mut self,
        position: Position,
        settings: &Settings,
        around: Around<'_>,
        now: Moment,
    ) -> Option<Outcome> {
        let run = self.run.as_ref()?;
        match run.reading.step() {
            Step::Read(_) | Step::Quarantine(_) => None,
            Step::Broken(why) => {
                let broken = run.broken + 1;
                self.width = next_width(self.width, u32::MAX, settings.page_size);
                self.not_before = now + FAILED_PAUSE;
                if BROKEN_MAX <= broken {
                    return Some(Outcome::Skipped(why, self.next_window(position, settings, around)?));
                }
                let again = self.window(run.is_deep, run.started, (run.next, run.end), settings, around);
                self.run = Some(Run { broken, ..again });
                Some(Outcome::Broken(why))
            }
            Step::Complete => {
                self.width = next_width(self.width, run.reading.rows(), settings.page_size);
                match self.next_window(position, settings, around)? {
                    Some(position) => Some(Outcome::Complete(position)),
                    None => Some(Outcome::Goes),
                }
            }
        }
    }

    /// Begins the next window; where there is none, the position that says that the audit is over.
    #[allow(clippy::option_option, reason = "no audit at all, no end of it, and its end are three things")]
    fn next_window(&mut self, position: Position, settings: &Settings, around: Around<'_>) -> Option<Option<Position>> {
        let Run { is_deep, started, to, end, .. } = *self.run.as_ref()?;
        if to < end {
            self.run = Some(self.window(is_deep, started, (to, end), settings, around));
            return Some(None);
        }
        self.run = None;
        let deep = if is_deep { Some(started) } else { position.audited.deep };
        Some(Some(Position { audited: Audited { near: Some(started), deep }, ..position }))
    }
}

impl Run {
    /// A call was answered with this page.
    pub(crate) fn read(&mut self, page: &Page, now: Moment) {
        self.reading.read(&page.rows, now);
    }

    /// Whether a row of this time should have been found by a sweep: it lies below where the cursor was.
    pub(crate) fn was_due(&self, time: Option<Timestamp>) -> bool {
        time.is_none_or(|time| time < self.end)
    }
}
