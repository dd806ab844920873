//! The tail: one page of the newest rows, every few seconds. It finds what is new soon and concludes nothing; it never
//! moves the cursor. What it cannot read with its alerts it asks for once without, and goes on behind that.

use std::time::Duration;

use crate::core::pass::ROWS_MIN;
use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::source_clock::SourceClock;
use crate::model::incident::Row;
use crate::model::moment::Moment;
use crate::model::page::{Alerts, FetchError, Page, Query, Window};
use crate::model::timestamp::Timestamp;

const SECOND: Duration = Duration::from_secs(1);
/// How far below the newest row the tail asks: rows that became visible a little late, or share its tick.
const BELOW_NEWEST: Duration = Duration::from_secs(5);
/// Once the newest row is this old the tail asks from server time less this, so that a quiet tenant answers with nothing.
const QUIET: Duration = Duration::from_secs(60);
/// A page that had to be made smaller grows again after so many answers.
const GROW_AFTER: u32 = 20;
/// After so many failures in a row that a row may be at fault for, the newest rows are asked for without their alerts, and so
/// every other time: all of them may be down as well.
const APART_AFTER: u32 = 2;
/// Rows of such a page at most: the alerts of each are a call.
const APART_ROWS: u32 = 10;
/// A row dated more than this after the answer is no measure of what is newest.
const AHEAD: Duration = crate::core::seen::AHEAD;

/// The state of a tail.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    top: u32,
    top_max: u32,
    /// Answers since the last one that was too large.
    fitting: u32,
    newest: Option<Timestamp>,
    due: Moment,
    lists_alerts_apart: bool,
    /// Failures in a row that a row may be at fault for.
    failures: u32,
    /// What is older came without its alerts, and would fail with them: it is not asked for again here.
    read_apart: Option<Timestamp>,
    /// The source's time of the last answer, and of the one before.
    read_at: Option<Timestamp>,
    read_before: Option<Timestamp>,
}

impl Tail {
    pub(crate) const fn new(top: u32, lists_alerts_apart: bool, now: Moment) -> Self {
        Self {
            top,
            top_max: top,
            fitting: 0,
            newest: None,
            due: now,
            lists_alerts_apart,
            failures: 0,
            read_apart: None,
            read_at: None,
            read_before: None,
        }
    }

    /// When the next page is due.
    pub(crate) const fn due(&self) -> Moment {
        self.due
    }

    pub(crate) const fn due_at(&mut self, due: Moment) {
        self.due = due;
    }

    /// The page to ask for now: never anything older than the floor, and the newest behind the cursor where nothing is known
    /// yet of the source's clock.
    pub(crate) fn query(
        &self,
        position: Position,
        clock: &SourceClock,
        quarantine: Option<&Quarantine>,
        now: Moment,
    ) -> Query {
        let time = clock.now(now);
        let quiet = time.map(|time| time.earlier(QUIET));
        let below = self.newest.map(|newest| newest.earlier(BELOW_NEWEST));
        let from = below.max(quiet).unwrap_or(position.cursor).max(position.floor).floor_to_second();
        let from = self.read_apart.map_or(from, |end| end.max(from));
        // Neither from before what cannot be read, nor up to what cannot be read and is dated ahead.
        let whole = Window { from, to: None };
        let open = quarantine.map_or(vec![whole], |quarantine| quarantine.around(whole));
        let has_begun = |window: &&Window| window.from <= time.unwrap_or(from);
        let window = open.iter().rev().find(has_begun).or(open.first()).copied().unwrap_or(whole);
        Query { window, created: None, skip: 0, top: self.top(), alerts: self.alerts() }
    }

    const fn alerts(&self) -> Alerts {
        let is_its_turn = APART_AFTER <= self.failures && (self.failures - APART_AFTER).is_multiple_of(2);
        if self.lists_alerts_apart && is_its_turn { Alerts::Apart } else { Alerts::Within }
    }

    /// Takes note of the newest row of an answer.
    pub(crate) fn read(&mut self, page: &Page) {
        self.newest = self.newest.max(newest(page));
        if self.alerts() == Alerts::Apart {
            self.read_apart = self.newest.map(|newest| newest.floor_to_second().later(SECOND)).max(self.read_apart);
        }
        self.failures = 0;
        if page.incomplete.is_none() {
            // What was missing is no measure of when rows become visible.
            (self.read_before, self.read_at) = (self.read_at, page.date);
        }
        self.fitting = self.fitting.saturating_add(1);
        if GROW_AFTER <= self.fitting {
            self.fitting = 0;
            self.top = (self.top * 2).min(self.top_max);
        }
    }

    /// The source's time of the answer before the last one.
    pub(crate) const fn read_before(&self) -> Option<Timestamp> {
        self.read_before
    }

    /// The newest row so far.
    pub(crate) const fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Rows that are asked for.
    pub(crate) fn top(&self) -> u32 {
        match self.alerts() {
            Alerts::Within => self.top,
            Alerts::Apart => self.top.min(APART_ROWS),
        }
    }

    /// The call failed. Returns whether fewer rows are asked for at once, because the answer was too large.
    pub(crate) fn failed(&mut self, error: &FetchError) -> bool {
        let is_too_large = matches!(error, FetchError::TooLarge { .. });
        if is_too_large && self.alerts() == Alerts::Within && self.shrink() {
            return true;
        }
        let may_be_a_row = matches!(error, FetchError::Unavailable { .. } | FetchError::Garbled { .. });
        self.failures = self.failures.saturating_add(u32::from(is_too_large || may_be_a_row));
        false
    }

    /// Asks for fewer rows for a while. False where there are no fewer.
    fn shrink(&mut self) -> bool {
        self.fitting = 0;
        let smaller = (self.top / 2).max(ROWS_MIN);
        let shrunk = smaller < self.top;
        self.top = smaller;
        shrunk
    }
}

/// The newest time on a page that is not ahead of its answer.
pub(crate) fn newest(page: &Page) -> Option<Timestamp> {
    page.rows.iter().filter_map(Row::last_update).filter(|&time| !is_ahead(time, page.date)).max()
}

fn is_ahead(time: Timestamp, date: Option<Timestamp>) -> bool {
    date.is_some_and(|date| date.later(AHEAD) < time)
}
