//! One second that cannot be read in one piece, row by row around what fails, and where the API lists alerts apart, the rows that
//! fail once more without theirs. Says whether a hole is left; what follows from one is decided in `reading`.

use std::collections::BTreeSet;

use crate::core::cell::Cell;
use crate::core::planted::{self, Mistake};
use crate::core::seen;
use crate::model::incident::Row;
use crate::model::names::IncidentId;
use crate::model::page::{Alerts, Query};

/// Calls of one scan at most.
const CALLS_MAX: u32 = 200;
/// Places in a row that cannot be read before the rest counts as unreadable too.
const HOLES_MAX: u32 = 4;

/// A scan under way.
#[derive(Debug, Clone)]
pub struct Scan {
    cell: Cell,
    skip: u32,
    top: u32,
    top_max: u32,
    alerts: Alerts,
    /// A row that fails may be asked for without its alerts.
    lists_alerts_apart: bool,
    calls: u32,
    holes: u32,
    holes_in_a_row: u32,
    ids: BTreeSet<IncidentId>,
    before: Option<IncidentId>,
    after: Option<IncidentId>,
    is_over: bool,
}

impl Scan {
    /// A scan of `cell` that begins with `top` rows a call. With `lists_alerts_apart`, a row that fails is asked for once more
    /// with [`Alerts::Apart`].
    pub fn new(cell: Cell, top: u32, lists_alerts_apart: bool) -> Self {
        let top = top.max(1);
        Self {
            cell,
            skip: 0,
            top,
            top_max: top,
            alerts: Alerts::Within,
            lists_alerts_apart,
            calls: 0,
            holes: 0,
            holes_in_a_row: 0,
            ids: BTreeSet::new(),
            before: None,
            after: None,
            is_over: false,
        }
    }

    /// The next call.
    pub const fn query(&self) -> Query {
        Query {
            window: self.cell.window,
            created: self.cell.created,
            skip: self.skip,
            top: self.top,
            alerts: self.alerts,
        }
    }

    /// The call was answered with these rows.
    pub fn read(&mut self, rows: &[Row]) {
        self.called();
        self.holes_in_a_row = 0;
        self.alerts = Alerts::Within;
        self.ids.extend(rows.iter().map(seen::id_of));
        if self.holes == 0 {
            self.before = rows.last().map(seen::id_of).or(self.before.take());
        } else if self.after.is_none() {
            self.after = rows.first().map(seen::id_of);
        }
        self.skip = self.skip.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        self.top = (self.top * 2).min(self.top_max);
        self.is_over |= rows.is_empty();
    }

    /// The call fails for good: fewer rows, then the one row without its alerts, and where that is no use either, go on behind it.
    pub fn failed(&mut self) {
        self.called();
        if 1 < self.top {
            self.top /= 2;
            return;
        }
        let is_tried = self.alerts == Alerts::Apart || planted::is(Mistake::ApartIsNeverAsked);
        if self.lists_alerts_apart && !is_tried {
            self.alerts = Alerts::Apart;
            return;
        }
        self.alerts = Alerts::Within;
        self.holes += 1;
        self.holes_in_a_row += 1;
        self.skip += 1;
        self.is_over |= HOLES_MAX <= self.holes_in_a_row;
    }

    /// Nothing more can be asked.
    pub const fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether nothing is left to ask.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether every row was read.
    pub fn has_no_hole(&self) -> bool {
        // Rows that change places from call to call may hide one: there are as many as positions, or it was not seen.
        self.holes == 0 && self.calls < CALLS_MAX && self.skip as usize <= self.ids.len()
    }

    /// Whether every row came that was asked for, one way or the other. Another may have changed places and not been asked for.
    pub const fn has_left_out_nothing(&self) -> bool {
        self.holes == 0
    }

    /// Every incident that was read.
    pub const fn ids(&self) -> &BTreeSet<IncidentId> {
        &self.ids
    }

    /// The incidents listed before and behind the first row that fails.
    pub fn neighbours(&self) -> (Option<IncidentId>, Option<IncidentId>) {
        (self.before.clone(), self.after.clone())
    }

    const fn called(&mut self) {
        self.calls += 1;
        if CALLS_MAX <= self.calls {
            self.is_over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::value::RawValue;

    use super::*;
    use crate::model::page::Window;
    use crate::model::timestamp::Timestamp;

    fn row(id: u32) -> Row {
        let json = format!(r#"{{"incidentId":{id},"lastUpdateTime":"2026-01-01T00:00:00Z"}}"#);
        Row::new(RawValue::from_string(json).expect("JSON"))
    }

    /// Scans rows 0 to `count`, of which some make every page fail that holds them; returns what was read.
    fn check(count: u32, poison: &[u32]) -> (BTreeSet<String>, Scan) {
        check_apart(count, poison, None)
    }

    /// The same where alerts are listed apart, and these rows fail without theirs too.
    fn check_apart(count: u32, poison: &[u32], apart: Option<&[u32]>) -> (BTreeSet<String>, Scan) {
        let window = Window { from: Timestamp::from_seconds(0), to: Some(Timestamp::from_seconds(1)) };
        let mut scan = Scan::new(Cell::of(window), 100, apart.is_some());
        let mut read = BTreeSet::new();
        while !scan.is_over() {
            let query = scan.query();
            let page = query.skip..(query.skip + query.top).min(count);
            let poison = match query.alerts {
                Alerts::Within => poison,
                Alerts::Apart => apart.expect("it is asked for only where it is there"),
            };
            if query.alerts == Alerts::Apart {
                assert_eq!(query.top, 1, "the alerts of no more incidents than need it");
            }
            if poison.iter().any(|row| page.contains(row)) {
                scan.failed();
            } else {
                let rows: Vec<_> = page.map(row).collect();
                read.extend(rows.iter().map(|row| seen::id_of(row).to_string()));
                scan.read(&rows);
            }
        }
        (read, scan)
    }

    #[test]
    fn every_row_but_those_that_fail_is_read() {
        for (count, poison) in [
            (1, vec![0]),
            (250, vec![]),
            (250, vec![120]),
            (250, vec![0, 249]),
            (90, vec![5, 10, 15, 20, 25]),
            (100, vec![40, 41]),
        ] {
            let (read, scan) = check(count, &poison);
            assert_eq!(read.len(), count as usize - poison.len(), "{count} rows, {poison:?} fail");
            assert_eq!(scan.has_no_hole(), poison.is_empty());
        }
    }

    #[test]
    fn a_row_that_fails_only_with_its_alerts_is_no_hole() {
        let all = [0, 5, 10, 11, 249];
        for (holes, expected) in [(vec![], 250), (vec![10], 249), (vec![10, 11], 248), (all.to_vec(), 245)] {
            let (read, scan) = check_apart(250, &all, Some(&holes));
            assert_eq!(read.len(), expected, "{holes:?}");
            assert_eq!((scan.has_no_hole(), scan.has_left_out_nothing()), (holes.is_empty(), holes.is_empty()));
        }
    }

    #[test]
    fn the_neighbours_of_the_first_that_fails_are_named() {
        let (_, scan) = check(250, &[120, 130]);
        let id = |id: u32| Some(IncidentId::new(id.to_string()));
        assert_eq!(scan.neighbours(), (id(119), id(121)));
    }

    #[test]
    fn a_second_that_fails_altogether_is_given_up() {
        let (read, scan) = check(1000, &(0..1000).collect::<Vec<_>>());
        assert!(read.is_empty() && !scan.has_no_hole() && scan.calls < 20, "{}", scan.calls);
    }
}
