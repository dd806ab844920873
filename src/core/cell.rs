//! A part of time to be read in one piece, and where it is cut in two. Pure arithmetic on times.

use std::time::Duration;

use crate::core::planted::{self, Mistake};
use crate::model::page::Window;
use crate::model::timestamp::Timestamp;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// A part that begins this far behind the source's time holds nothing that is worth another cut.
const FAR_FUTURE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// The last tick of the year 9999, which stands for no end at all.
pub const END_OF_TIME: Timestamp = Timestamp::from_ticks(2_534_023_007_999_999_999);

/// When a row was last changed and created.
pub type Times = (Timestamp, Option<Timestamp>);

/// A part of time to be read in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Which incidents, by `lastUpdateTime`.
    pub window: Window,
    /// Only those of them that were created then.
    pub created: Option<Window>,
}

impl Cell {
    /// All that was last changed then.
    pub const fn of(window: Window) -> Self {
        Self { window, created: None }
    }

    /// Its bounds, with an end where it has none.
    pub fn bounds(&self) -> (Timestamp, Timestamp) {
        (self.window.from, self.window.to.unwrap_or(END_OF_TIME))
    }

    /// The older and the newer half, in whole seconds: where half of the rows lie on either side, else in the middle, else,
    /// without an end, at `horizon`. None within one second.
    pub fn halves(&self, rows: &[Times], horizon: Timestamp) -> Option<(Self, Self)> {
        let Window { from, to } = self.window;
        let updated = rows.iter().map(|(updated, _)| *updated).collect();
        let middle = match to {
            Some(to) => from.later(to.since(from) / 2),
            None if from < horizon => horizon,
            None if FAR_FUTURE < from.since(horizon) => return None,
            None => from.later(from.since(horizon) * 2 + HOUR),
        };
        let at = cut(self.window, median(updated, self.window).unwrap_or(middle))?;
        let newer = if planted::is(Mistake::SplitLeavesAGap) { at.later(SECOND) } else { at };
        Some((
            Self { window: Window { from, to: Some(at) }, ..*self },
            Self { window: Window { from: newer, to }, ..*self },
        ))
    }

    /// As [`halves`](Self::halves), where the rows are a full page and there are more: if they came newest first, the newer part
    /// is what the page held but for its last second, so that it fits into one.
    pub fn parts_behind(&self, page: &[Times], horizon: Timestamp) -> Option<(Self, Self)> {
        let is_newest_first = page.is_sorted_by(|(a, _), (b, _)| b <= a);
        let last = page.last().filter(|_| is_newest_first).map(|(updated, _)| updated.later(SECOND).floor_to_second());
        let at = last.filter(|&at| self.window.from < at && self.window.to.is_some_and(|to| at < to));
        match at {
            Some(at) => self.halves(&[(at, None)], horizon),
            None => self.halves(page, horizon),
        }
    }

    /// The half that was created earlier and the other one, where half of the rows lie on either side. None where no rows
    /// tell of it, or all were created within one second.
    pub fn halves_by_creation(&self, rows: &[Times]) -> Option<(Self, Self)> {
        let created = self.created.unwrap_or(Window { from: Timestamp::from_ticks(0), to: None });
        let at = median(rows.iter().filter_map(|(_, created)| *created).collect(), created)?;
        let at = cut(created, at)?;
        let half = |from, to| Self { created: Some(Window { from, to }), ..*self };
        Some((half(created.from, Some(at)), half(at, created.to)))
    }
}

/// The median of the times within a window.
fn median(mut times: Vec<Timestamp>, window: Window) -> Option<Timestamp> {
    times.retain(|&time| window.from <= time && window.to.is_none_or(|to| time < to));
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// The whole second at or after the beginning of a window that cuts it in two; none where there is none within it.
fn cut(window: Window, wanted: Timestamp) -> Option<Timestamp> {
    let first = window.from.floor_to_second().later(SECOND);
    let at = wanted.floor_to_second().max(first);
    window.to.is_none_or(|to| at < to).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: u64 = 10_000;

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn window(from: u64, to: impl Into<Option<u64>>) -> Window {
        Window { from: time(from), to: to.into().map(time) }
    }

    #[test]
    fn a_window_is_cut_where_half_of_the_rows_lie_on_either_side() {
        let check = |from, to: Option<u64>, rows: &[u64], at: Option<u64>| {
            let rows: Vec<_> = rows.iter().map(|&row| (time(row), None)).collect();
            let halves = Cell::of(window(from, to)).halves(&rows, time(HORIZON));
            let expected = at.map(|at| (Cell::of(window(from, at)), Cell::of(window(at, to))));
            assert_eq!(halves, expected, "{from} to {to:?} with {rows:?}");
        };
        check(100, Some(200), &[], Some(150));
        check(100, Some(200), &[101, 102, 103, 190], Some(103));
        check(100, Some(200), &[100, 100, 100, 300], Some(101));
        check(100, Some(102), &[100], Some(101));
        check(100, Some(101), &[100], None);
        check(100, None, &[], Some(HORIZON));
        check(HORIZON, None, &[], Some(HORIZON + 3600));
        check(HORIZON + 1000, None, &[], Some(HORIZON + 1000 + 2000 + 3600));
        check(HORIZON + 30 * 365 * 86_400, None, &[], None);
    }

    #[test]
    fn an_open_window_with_something_in_the_future_is_cut_a_bounded_number_of_times() {
        let (mut cell, mut cuts) = (Cell::of(window(0, None)), 0);
        while let Some((_, newer)) = cell.halves(&[], time(HORIZON)) {
            (cell, cuts) = (newer, cuts + 1);
        }
        assert!(cuts < 20, "{cuts}");
        assert!(cell.bounds().0 < cell.bounds().1);
    }

    #[test]
    fn a_second_is_cut_by_creation_until_one_second_is_left() {
        let rows: Vec<_> = [5, 5, 7, 9].iter().map(|&created| (time(100), Some(time(created)))).collect();
        let second = Cell::of(window(100, 101));
        let (early, late) = second.halves_by_creation(&rows).expect("two halves");
        assert_eq!((early.created, late.created), (Some(window(0, 7)), Some(window(7, None))));
        let (none, five) = early.halves_by_creation(&rows[..2]).expect("two halves");
        assert_eq!((none.created, five.created), (Some(window(0, 5)), Some(window(5, 7))));
        let (five, six) = five.halves_by_creation(&rows[..2]).expect("two halves");
        assert_eq!((five.created, six.created), (Some(window(5, 6)), Some(window(6, 7))));
        assert_eq!(five.halves_by_creation(&rows[..2]), None);
        assert_eq!(second.halves_by_creation(&[]), None);
    }
}
