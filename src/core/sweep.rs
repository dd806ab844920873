//! The sweep: everything since the cursor, read to the end; and the windows of a long way back. Only complete readings move
//! the cursor, and only as far as `Position::after_sweep` and `after_window` allow.

use std::time::Duration;

use crate::core::planted::{self, Mistake};
use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::reading::{Reading, Refusals, Step};
use crate::core::settings::Settings;
use crate::core::source_clock::SourceClock;
use crate::core::tail;
use crate::model::moment::Moment;
use crate::model::page::{Page, Window};
use crate::model::timestamp::Timestamp;

/// A cursor this much further back than a sweep leaves it is caught up with in windows.
const FAR: Duration = Duration::from_secs(1800);
/// The first window of a long way back, and of an audit; the next ones follow what was found.
pub(crate) const FIRST_WIDTH: Duration = Duration::from_secs(3600);
const WIDTH_MIN: Duration = Duration::from_secs(1);
const WIDTH_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Of the hour's calls, what sweeps may take: one in so many.
const SHARE_OF_HOUR: u32 = 3;
/// A sweep of more calls than this is never brought forward.
const HURRIED_CALLS: u32 = 10;
/// So many short pages of one length that were not the end show how many rows a server gives at most.
const CAP_IS_SEEN: u32 = 3;
/// What a server refused is asked for again after so long.
const REFUSAL_LASTS: Duration = Duration::from_secs(3600);

/// The state of the sweeps of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Sweeps {
    due: Moment,
    run: Option<Run>,
    width: Duration,
    /// Never more than a share of the hour, whoever is in a hurry.
    not_before: Moment,
}

/// A reading under way, with what it may conclude.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) reading: Reading,
    /// Where the window ends; none for a sweep, which is open-ended.
    pub(crate) end: Option<Timestamp>,
    /// The server's time before the reading began; none where its clock is not to be trusted.
    started: Option<Timestamp>,
    began: Moment,
    oldest_unseen: Option<Timestamp>,
    newest: Option<Timestamp>,
    calls: u32,
}

/// What came of a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The window was read to its end: this is the position now.
    Complete(Position),
    /// It could not be read, and why: nothing is concluded.
    Broken(String),
}

/// What the server was found not to do, for as long as that is believed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Abilities {
    refusals: Refusals,
    until: Moment,
    /// The longest short page that was not the end, and how often it was as long as that.
    cap: (u32, u32),
}

/// What a reading goes around, and what it must not rely on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) quarantine: &'a Quarantine,
    pub(crate) refusals: Refusals,
    /// The source listed incidents before: that it lists none wants proof.
    pub(crate) doubts_nothing: bool,
}

impl Abilities {
    pub(crate) fn refusals(&self, now: Moment) -> Refusals {
        if now < self.until { self.refusals } else { Refusals::default() }
    }

    /// A reading found out more.
    pub(crate) fn learn(&mut self, found: Refusals, now: Moment) {
        let known = self.refusals(now);
        let skip = known.skip.into_iter().chain(found.skip).min();
        let rows = known.rows.max(found.rows);
        let refusals =
            Refusals { bounds: known.bounds || found.bounds, created: known.created || found.created, skip, rows };
        if refusals != known {
            (self.refusals, self.until) = (refusals, now + REFUSAL_LASTS);
        }
    }

    /// A page was shorter than what was asked for, and there were rows behind it: several of the same length are no lie.
    pub(crate) fn found_cap(&mut self, rows: u32, now: Moment) {
        let (most, times) = self.cap;
        self.cap = match rows {
            rows if rows == most => (most, times.saturating_add(1)),
            rows if most < rows => (rows, 1),
            _ => (most, times),
        };
        if self.cap.0 == rows && CAP_IS_SEEN <= self.cap.1 {
            self.learn(Refusals { rows: Some(rows), ..Refusals::default() }, now);
        }
    }
}

impl Sweeps {
    pub(crate) const fn new(now: Moment) -> Self {
        Self { due: now, run: None, width: FIRST_WIDTH, not_before: now }
    }

    pub(crate) const fn due(&self) -> Moment {
        self.due
    }

    pub(crate) const fn due_at(&mut self, due: Moment) {
        self.due = due;
    }

    /// Somebody has reason to believe that there is more: sweep at once.
    pub(crate) fn hurry(&mut self, now: Moment) {
        self.due = self.due.min(now.max(self.not_before));
    }

    pub(crate) const fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    pub(crate) const fn run_mut(&mut self) -> Option<&mut Run> {
        self.run.as_mut()
    }

    /// Begins the next reading.
    pub(crate) fn begin(
        &mut self,
        position: Position,
        settings: &Settings,
        clock: &SourceClock,
        around: Around<'_>,
        now: Moment,
    ) {
        let started = clock.agreed();
        let Around { quarantine, refusals, doubts_nothing } = around;
        let end = if refusals.bounds { None } else { self.window_end(position, started, settings.overlap) };
        let whole = Window { from: position.cursor, to: end };
        // Without bounds one cannot go around anything.
        let windows = if refusals.bounds { vec![whole] } else { quarantine.around(whole) };
        let horizon = clock.latest().unwrap_or(position.cursor).max(position.cursor).floor_to_second();
        let reading = Reading::new(&windows, settings.page_size, refusals, horizon, doubts_nothing)
            .listing_alerts_apart(settings.lists_alerts_apart);
        self.run = Some(Run { reading, end, started, began: now, oldest_unseen: None, newest: None, calls: 0 });
    }

    /// Gives the reading up: it is begun anew, and what it committed is known then.
    pub(crate) fn abandon(&mut self) {
        self.run = None;
    }

    /// Ends the reading if it has come to its end, and reckons when the next one is due.
    pub(crate) fn finish(
        &mut self,
        position: Position,
        settings: &Settings,
        clock: &SourceClock,
        now: Moment,
    ) -> Option<Outcome> {
        match self.run.as_ref()?.reading.step() {
            Step::Read(_) | Step::Quarantine(_) => None,
            Step::Broken(why) => {
                let run = self.run.take().expect("it was there a moment ago");
                self.due = self.next_due(&run, settings, now);
                self.width = next_width(self.width, u32::MAX, settings.page_size);
                if planted::is(Mistake::IncompletePassMovesCursor) {
                    return Some(Outcome::Complete(self.conclude(&run, position, settings, clock, now)));
                }
                Some(Outcome::Broken(why))
            }
            Step::Complete => {
                let run = self.run.take().expect("it was there a moment ago");
                Some(Outcome::Complete(self.conclude(&run, position, settings, clock, now)))
            }
        }
    }

    fn conclude(
        &mut self,
        run: &Run,
        position: Position,
        settings: &Settings,
        clock: &SourceClock,
        now: Moment,
    ) -> Position {
        if let Some(end) = run.end {
            self.width = next_width(self.width, run.reading.rows(), settings.page_size);
            self.due = now;
            return position.after_window(end);
        }
        self.due = self.next_due(run, settings, now);
        let started = if planted::is(Mistake::CursorIsEndOfPass) { clock.agreed() } else { run.started };
        if planted::is(Mistake::CursorIsLocalClock) {
            let cursor = Timestamp::from_ticks(now.nanos() / 100);
            return Position { cursor: position.cursor.max(cursor), swept: started, ..position };
        }
        if planted::is(Mistake::CursorIsNewestRow) {
            return Position {
                cursor: position.cursor.max(run.newest.unwrap_or_default()),
                swept: started,
                ..position
            };
        }
        position.after_sweep(started, run.oldest_unseen, settings.overlap)
    }

    /// From where to where a long way back is being read, while a window of it is.
    pub(crate) fn way_back(
        &self,
        position: Position,
        settings: &Settings,
        clock: &SourceClock,
    ) -> Option<(Timestamp, Timestamp)> {
        self.run.as_ref()?.end?;
        Some((position.cursor, clock.latest()?.earlier(settings.overlap)))
    }

    /// Never more than a share of the hour: where a sweep takes many calls, the next one comes later.
    fn next_due(&mut self, run: &Run, settings: &Settings, now: Moment) -> Moment {
        let stretched = Duration::from_secs(3600) * run.calls * SHARE_OF_HOUR / settings.list.per_hour.max(1);
        // A short one may be repeated at once now and then.
        self.not_before = if HURRIED_CALLS < run.calls { run.began + stretched } else { run.began };
        (run.began + settings.sweep_every.max(stretched)).max(now)
    }

    /// Where the next window ends, or none for an open-ended sweep. A window lies wholly before the overlap.
    fn window_end(&self, position: Position, started: Option<Timestamp>, overlap: Duration) -> Option<Timestamp> {
        let settled = started?.earlier(overlap).floor_to_second();
        if settled.since(position.cursor) <= FAR {
            return None;
        }
        Some(position.cursor.later(self.width).floor_to_second().min(settled))
    }
}

impl Run {
    /// A call was answered with this page.
    pub(crate) fn read(&mut self, page: &Page, now: Moment) {
        self.calls += 1;
        self.newest = self.newest.max(tail::newest(page));
        self.reading.read(&page.rows, now);
    }

    /// A call was answered with a page that lacks rows. Returns as [`Reading::read_in_part`].
    pub(crate) fn read_in_part(&mut self, page: &Page, why: &str, others: Option<Moment>, now: Moment) -> bool {
        self.calls += 1;
        self.reading.read_in_part(&page.rows, why, others, now)
    }

    /// The rows of a page are durable; the oldest (id, time) among them that was not seen before.
    pub(crate) fn committed(&mut self, oldest_unseen: Option<Timestamp>) {
        self.oldest_unseen = self.oldest_unseen.into_iter().chain(oldest_unseen).min();
    }
}

/// Aims at one page that is not quite full: a window that fits in one page has no positions that could shift.
pub(crate) fn next_width(width: Duration, rows: u32, page_size: u32) -> Duration {
    let aim = page_size * 7 / 10;
    let factor = match rows {
        0 => 8.0,
        rows if rows < page_size / 2 => f64::from(aim) / f64::from(rows),
        rows if rows <= page_size * 9 / 10 => 1.0,
        rows => f64::from(aim) / f64::from(rows),
    };
    let wider = width.mul_f64(factor.clamp(0.05, 8.0));
    Duration::from_secs(wider.as_secs()).clamp(WIDTH_MIN, WIDTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_aim_at_one_page_that_is_not_quite_full() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let check = |rows, expected| assert_eq!(next_width(hours(10), rows, 100), expected, "{rows} rows");
        check(0, hours(80));
        check(7, hours(80));
        check(35, hours(20));
        check(70, hours(10));
        check(140, hours(5));
        check(100_000, hours(10) / 20);
        assert_eq!(next_width(WIDTH_MIN, 1000, 100), WIDTH_MIN);
        assert_eq!(next_width(WIDTH_MAX, 0, 100), WIDTH_MAX);
    }
}
