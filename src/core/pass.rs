//! One cell of a reading, page by page, with proof that no row fell between two pages. Knows nothing of cursors, and nothing
//! of what to do where the proof fails: `reading` does.
//!
//! A row that leaves the window while it is read shifts the rows behind it up, and `$skip` would jump over one. So the next
//! page starts a few rows before the end of the last one, and one of those rows must come back. If none does, half a
//! page further back is tried; where that fails too the reading is broken and proves nothing. And because rows of one time may
//! change places from call to call, as many different rows must have come as there are positions.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::core::cell::{Cell, Times};
use crate::core::planted::{self, Mistake};
use crate::core::seen;
use crate::model::incident::{Head, Row};
use crate::model::names::IncidentId;
use crate::model::page::{Alerts, Query};
use crate::model::timestamp::Timestamp;

/// Rows that two pages share. Four rows may leave at once before a step back is needed.
const SHARED_ROWS: u32 = 5;
/// Rows per page at least: with fewer, two pages cannot share one and move on.
pub const ROWS_MIN: u32 = 2;
/// How often a reading may step back or find that a short page was not the end without a row to show for it, before it
/// counts as broken.
const STUMBLES_MAX: u32 = 20;
/// Pages of one reading at most. What holds more is cut by time.
const PAGES_MAX: u32 = 5_000;
/// Rows whose times are remembered.
const TIMES_MAX: usize = 2_000;

/// A reading of one cell under way.
#[derive(Debug, Clone)]
pub struct Pass {
    cell: Cell,
    alerts: Alerts,
    top: u32,
    /// A page of so many rows is full: what is asked for, or what the server was found to give at most.
    full: u32,
    skip: u32,
    phase: Phase,
    /// The rows of the last page that held any, in their order.
    last: Vec<RowKey>,
    /// Every row so far, as a number; none where a count proves nothing. Bounded by [`PAGES_MAX`].
    distinct: Option<BTreeSet<u64>>,
    /// Every row of the readings of this cell before this one.
    before: BTreeSet<u64>,
    /// Rows that came in front meanwhile: positions that are nobody's before.
    grown: u32,
    /// When the rows were last changed and created, for whoever has to cut the cell in two. Bounded by [`TIMES_MAX`].
    times: Vec<Times>,
    pages: u32,
    rows: u32,
    stumbles: u32,
}

/// Where a reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first page is asked for.
    First,
    /// A page that shares rows with the last one is asked for.
    Joining,
    /// The last one did not join; half a page further back is asked for.
    SteppedBack,
    /// The last page was short; nothing must be behind it.
    Confirming,
    /// Read to the end.
    Complete,
    /// The pages did not join.
    Broken,
}

/// A row as far as joining is concerned. The time belongs to it: a row that was updated has moved and joins nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RowKey(IncidentId, Option<Timestamp>);

impl RowKey {
    /// The same number in every run of one build; two rows share one by a chance of one in 2^64.
    fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0.as_str(), self.1.map(Timestamp::ticks)).hash(&mut hasher);
        hasher.finish()
    }
}

/// What a reading needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This call.
    Read(Query),
    /// Nothing: the whole window was read, and the pages join.
    Complete,
    /// Nothing: the pages did not join, so nothing may be concluded.
    Broken,
}

impl Pass {
    /// A reading of `cell` with `top` rows a page, of which the server is known to give `most`. With `counts`, there must be as
    /// many different rows as positions: a list that grows while it is read over several pages is then broken.
    pub fn new(cell: Cell, top: u32, most: Option<u32>, counts: bool) -> Self {
        let top = top.max(ROWS_MIN);
        let full = most.map_or(top, |most| top.min(most.max(ROWS_MIN)));
        let (last, times) = (Vec::new(), Vec::new());
        let distinct = counts.then(BTreeSet::new);
        Self {
            cell,
            alerts: Alerts::Within,
            top,
            full,
            skip: 0,
            phase: Phase::First,
            last,
            distinct,
            before: BTreeSet::new(),
            grown: 0,
            times,
            pages: 0,
            rows: 0,
            stumbles: 0,
        }
    }

    /// The same with its pages asked for so.
    #[must_use]
    pub fn asking(self, alerts: Alerts) -> Self {
        Self { alerts, ..self }
    }

    /// What is needed next.
    pub fn step(&self) -> Step {
        match self.phase {
            Phase::First | Phase::Joining | Phase::SteppedBack | Phase::Confirming => {
                let Cell { window, created } = self.cell;
                Step::Read(Query { window, created, skip: self.skip, top: self.top, alerts: self.alerts })
            }
            Phase::Complete => Step::Complete,
            Phase::Broken => Step::Broken,
        }
    }

    /// The call that [`step`](Self::step) asked for was answered with these rows.
    pub fn read(&mut self, rows: &[Row]) {
        let keys: Vec<_> = rows.iter().map(|row| RowKey(seen::id_of(row), row.last_update())).collect();
        self.pages += 1;
        self.rows += u32::try_from(keys.len()).unwrap_or(u32::MAX);
        self.remember_times(rows);
        if let Some(distinct) = &mut self.distinct {
            distinct.extend(keys.iter().map(RowKey::number));
        }
        match self.phase {
            Phase::First => self.follow(keys),
            Phase::Joining if self.joins(&keys) => {
                // What is bounded grows nowhere; what looks so changed places.
                if self.cell.window.to.is_none() {
                    self.grown += self.shift(&keys);
                }
                self.follow(keys);
            }
            Phase::SteppedBack if self.joins(&keys) => self.follow(keys),
            Phase::Joining => self.stumble(Phase::SteppedBack, self.skip.saturating_sub((self.full / 2).max(1))),
            // Nothing is behind the last row, though rows may have come in front and pushed more of them into sight.
            Phase::Confirming if self.is_short(&keys) && self.is_the_end(&keys) => self.phase = Phase::Complete,
            // The first page was empty, and lied.
            Phase::Confirming if self.last.is_empty() => self.follow(keys),
            // The short page was not the end, or its last row has moved: join it to what comes behind.
            Phase::Confirming => {
                if self.last.last().is_some_and(|last| keys.contains(last)) {
                    // Perhaps the server gives no more at a time.
                    self.full = u32::try_from(self.last.len()).unwrap_or(self.full).clamp(ROWS_MIN, self.top);
                }
                self.stumble(Phase::Joining, (self.skip + 1).saturating_sub(self.shared()));
            }
            Phase::SteppedBack | Phase::Complete | Phase::Broken => self.phase = Phase::Broken,
        }
        if self.phase == Phase::Complete && !self.is_counted() && !planted::is(Mistake::PagesNeedNotJoin) {
            self.phase = Phase::Broken;
        }
        if PAGES_MAX <= self.pages && self.phase != Phase::Complete {
            self.phase = Phase::Broken;
        }
    }

    /// The answer was too large: ask for half the rows. False where there is nothing to halve.
    pub fn shrink(&mut self) -> bool {
        let smaller = (self.top / 2).max(ROWS_MIN);
        if self.top <= smaller {
            return false;
        }
        self.top = smaller;
        self.full = self.full.min(smaller);
        true
    }

    /// How many rows the server gives on a page at most, where that was found to be less than what is asked for.
    pub const fn most(&self) -> Option<u32> {
        if self.full < self.top { Some(self.full) } else { None }
    }

    /// The same cell once more: what both readings found counts together.
    #[must_use]
    pub fn again(&self, top: u32, most: Option<u32>) -> Self {
        let before = self.before.iter().chain(self.distinct.iter().flatten()).copied().collect();
        Self { before, alerts: self.alerts, ..Self::new(self.cell, top, most, self.distinct.is_some()) }
    }

    /// Whether a bounded cell holds more than a page.
    pub fn is_more_than_a_page(&self) -> bool {
        self.phase == Phase::Joining && self.cell.window.to.is_some()
    }

    /// What is read.
    pub const fn cell(&self) -> Cell {
        self.cell
    }

    /// When the rows so far were last changed and created.
    pub fn times(&self) -> &[Times] {
        &self.times
    }

    /// Rows to leave out of the next page.
    pub const fn skip(&self) -> u32 {
        self.skip
    }

    /// Pages read so far.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// Rows read so far, those that two pages share counted twice.
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    fn follow(&mut self, keys: Vec<RowKey>) {
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let end = self.skip.saturating_add(count);
        if keys.iter().any(|key| !self.last.contains(key)) {
            // It goes on, so what it stumbled over lies behind it.
            self.stumbles = 0;
        } else if self.full <= count {
            // A full page that holds nothing new: a server that takes no notice of `$skip` would answer so for ever.
            return self.stumble(Phase::Joining, end.saturating_sub(self.shared()));
        }
        let is_end = count < self.full || planted::is(Mistake::FullPageIsEnd);
        (self.phase, self.skip) = match is_end {
            true if planted::is(Mistake::ShortPageIsEnd) || planted::is(Mistake::FullPageIsEnd) => {
                (Phase::Complete, end)
            }
            // From the last row on: were it asked for from behind that, a row that leaves would let the next one slip through.
            true => (Phase::Confirming, end.saturating_sub(u32::from(count != 0))),
            false => (Phase::Joining, end.saturating_sub(self.shared())),
        };
        if !keys.is_empty() {
            self.last = keys;
        }
    }

    fn is_the_end(&self, keys: &[RowKey]) -> bool {
        keys.iter().all(|key| self.last.contains(key)) && self.last.last().is_none_or(|last| keys.contains(last))
    }

    /// As many different rows came as there are positions, or this reading found nothing that those before it had not.
    fn is_counted(&self) -> bool {
        let Some(distinct) = &self.distinct else { return true };
        let positions = self.skip as usize + usize::from(!self.last.is_empty());
        let counted = positions <= distinct.len() + self.grown as usize;
        let agrees = !self.before.is_empty() && distinct.is_subset(&self.before) && positions <= self.before.len();
        counted || agrees
    }

    const fn is_short(&self, keys: &[RowKey]) -> bool {
        keys.len() < self.full as usize
    }

    fn remember_times(&mut self, rows: &[Row]) {
        let room = TIMES_MAX.saturating_sub(self.times.len());
        let times = rows.iter().filter_map(|row| match &row.head {
            Head::Usual(header) => Some((header.last_update, header.created)),
            Head::Odd { .. } => None,
        });
        self.times.extend(times.take(room));
    }

    fn joins(&self, keys: &[RowKey]) -> bool {
        // Any row of the last page proves it: whatever stands behind that row now is in this page or after it, and
        // whatever stood before it was in the last one.
        planted::is(Mistake::PagesNeedNotJoin) || self.last.iter().any(|key| keys.contains(key))
    }

    /// How far all of the shared rows have moved down together; nothing where they did not.
    fn shift(&self, keys: &[RowKey]) -> u32 {
        let shared = self.last.iter().rev().take(self.shared() as usize).rev();
        let found: Option<Vec<usize>> = shared.map(|key| keys.iter().position(|other| other == key)).collect();
        match found.as_deref() {
            Some([first, rest @ ..]) if rest.iter().zip(1..).all(|(place, n)| *place == first + n) => {
                u32::try_from(*first).unwrap_or_default()
            }
            Some(_) | None => 0,
        }
    }

    fn stumble(&mut self, phase: Phase, skip: u32) {
        self.stumbles += 1;
        self.phase = if STUMBLES_MAX < self.stumbles { Phase::Broken } else { phase };
        self.skip = skip;
    }

    fn shared(&self) -> u32 {
        if planted::is(Mistake::PagesNeedNotJoin) { 0 } else { SHARED_ROWS.min(self.full / 2) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::model::page::Window;

    /// A list whose rows a test takes away or adds between two calls.
    fn list(ids: impl IntoIterator<Item = u32>) -> Vec<Row> {
        let row = |id| format!(r#"{{"incidentId":{id},"lastUpdateTime":"2026-01-01T00:00:00Z"}}"#);
        ids.into_iter().map(|id| Row::new(RawValue::from_string(row(id)).expect("JSON"))).collect()
    }

    fn everything() -> Cell {
        Cell::of(Window { from: Timestamp::default(), to: None })
    }

    fn ids(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| seen::id_of(row).to_string()).collect()
    }

    /// Reads a list that `change` alters before each call; returns the ids read, whether complete, and the calls made.
    fn check(mut rows: Vec<Row>, top: u32, mut change: impl FnMut(u32, &mut Vec<Row>)) -> (Vec<String>, bool, u32) {
        let mut pass = Pass::new(everything(), top, None, true);
        let (mut taken, mut calls) = (Vec::new(), 0);
        loop {
            let query = match pass.step() {
                Step::Read(query) => query,
                Step::Complete => return (taken, true, calls),
                Step::Broken => return (taken, false, calls),
            };
            change(calls, &mut rows);
            let page: Vec<_> = rows.iter().skip(query.skip as usize).take(query.top as usize).cloned().collect();
            pass.read(&page);
            taken.extend(ids(&page));
            calls += 1;
        }
    }

    fn all(ids: std::ops::Range<u32>, taken: &[String]) -> bool {
        ids.into_iter().all(|id| taken.contains(&id.to_string()))
    }

    #[test]
    fn a_quiet_window_is_read_once_and_confirmed() {
        let check_calls = |count: u32, top, calls| {
            let (taken, complete, made) = check(list(0..count), top, |_, _| {});
            assert!(complete && all(0..count, &taken));
            assert_eq!(made, calls, "{count} rows by {top}");
        };
        check_calls(0, 100, 2);
        check_calls(99, 100, 2);
        check_calls(100, 100, 3);
        check_calls(195, 100, 4);
        check_calls(300, 100, 5);
        check_calls(3, 2, 4);
    }

    #[test]
    fn rows_that_leave_shift_no_row_out_of_sight() {
        for leaving in 1..=50 {
            let (taken, complete, _) = check(list(0..250), 100, |call, rows| {
                if call == 1 {
                    rows.drain(0..leaving);
                }
            });
            assert!(complete && all(100..250, &taken), "{leaving} rows left");
        }
    }

    #[test]
    fn a_window_that_shrinks_beyond_proof_is_broken_and_not_complete() {
        let (_, complete, _) = check(list(0..250), 100, |call, rows| {
            if call == 1 {
                rows.drain(0..180);
            }
        });
        assert!(!complete);
    }

    #[test]
    fn a_short_page_that_was_not_the_end_is_found_out() {
        let all_rows = list(0..250);
        let (taken, complete, _) = check(all_rows.clone(), 100, |call, rows| {
            *rows = if call == 0 { all_rows[..60].to_vec() } else { all_rows.clone() };
        });
        assert!(complete && all(0..250, &taken));
    }

    #[test]
    fn an_empty_page_is_not_believed_at_once() {
        let all_rows = list(0..30);
        let (taken, complete, _) = check(all_rows.clone(), 100, |call, rows| {
            *rows = if call == 0 { Vec::new() } else { all_rows.clone() };
        });
        assert!(complete && all(0..30, &taken));
    }

    #[test]
    fn rows_that_come_in_front_while_reading_hide_nothing() {
        let (taken, complete, _) = check(list(100..400), 100, |call, rows| {
            rows.splice(0..0, list(call * 7..call * 7 + 7));
        });
        assert!(complete && all(100..400, &taken));
    }

    #[test]
    fn a_list_that_never_agrees_with_itself_ends_broken() {
        let (_, complete, calls) = check(list(0..100), 10, |call, rows| *rows = list(call * 100..call * 100 + 100));
        assert!(!complete && calls < 100, "{calls}");
    }

    #[test]
    fn rows_that_change_places_across_a_border_are_counted() {
        // Of a tie, one row of the second page and one that was read change places between the two calls.
        let (_, complete, _) = check(list(0..150), 100, |call, rows| {
            if call == 1 {
                rows.swap(10, 120);
            }
        });
        assert!(!complete, "one row was never seen");
    }

    #[test]
    fn a_server_that_gives_fewer_rows_than_it_is_asked_for_is_read_to_the_end() {
        for most in [2, 3, 7, 10] {
            let (mut pass, mut taken) = (Pass::new(everything(), 10, None, true), Vec::new());
            let mut calls = 0;
            while let Step::Read(query) = pass.step() {
                let page: Vec<_> = list(0..40).into_iter().skip(query.skip as usize).take(most).collect();
                pass.read(&page);
                taken.extend(ids(&page));
                calls += 1;
            }
            assert!(pass.step() == Step::Complete && all(0..40, &taken), "{most} rows at a time");
            assert!(calls <= 60, "{calls}");
            assert_eq!(pass.most(), (most < 10).then_some(most as u32));
        }
    }

    #[test]
    fn a_server_that_takes_no_notice_of_skip_is_found_out() {
        let mut pass = Pass::new(everything(), 10, None, true);
        let mut calls = 0;
        while let Step::Read(_) = pass.step() {
            pass.read(&list(0..10));
            calls += 1;
        }
        assert_eq!(pass.step(), Step::Broken);
        assert!(calls < 50, "{calls}");
    }

    #[test]
    fn too_large_pages_are_halved_down_to_two_rows() {
        let mut pass = Pass::new(everything(), 9, None, true);
        assert!(pass.shrink() && pass.shrink());
        assert_eq!(
            pass.step(),
            Step::Read(Query { window: everything().window, created: None, skip: 0, top: 2, alerts: Alerts::Within })
        );
        assert!(!pass.shrink());
    }
}
