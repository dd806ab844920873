//! The source's clock as its `Date` headers show it, held against our monotonic time. It says which times may be trusted;
//! it never asks our wall clock.

use std::time::Duration;

use crate::model::moment::Moment;
use crate::model::timestamp::Timestamp;

/// How far a `Date` may run ahead of what the last ones and our monotonic time foretell: it is in whole seconds, and front
/// ends differ a little.
const AHEAD_MAX: Duration = Duration::from_secs(5);
/// How far it may lag behind before it counts as another time: front ends differ, and a `Date` is written before the answer
/// travels.
const BEHIND_MAX: Duration = Duration::from_secs(90);
/// A clock that runs ahead is believed once it has said the same for this long: then it was ours that stood still.
const BELIEVED_AFTER: Duration = Duration::from_secs(300);

/// The source's clock.
#[derive(Debug, Clone, Default)]
pub struct SourceClock {
    /// The line that later readings are judged by.
    line: Option<Reading>,
    latest: Option<Reading>,
    agreeing: u32,
    /// Two answers have agreed before.
    was_agreed: bool,
    suspect: Option<Suspect>,
}

/// A `Date` was written at some moment between asking and having the whole answer.
#[derive(Debug, Clone, Copy)]
struct Reading {
    date: Timestamp,
    asked: Moment,
    answered: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    latest: Reading,
    since: Moment,
}

impl Reading {
    /// The earliest that the clock can show at a moment, and the latest.
    fn foretold(&self, at: Moment) -> (Timestamp, Timestamp) {
        (self.date.later(at.since(self.answered)), self.date.later(at.since(self.asked)))
    }

    /// Whether another reading fits on the line of this one.
    fn fits(&self, other: &Self) -> bool {
        let (earliest, latest) = (self.foretold(other.asked).0, self.foretold(other.answered).1);
        earliest.earlier(BEHIND_MAX) <= other.date && other.date <= latest.later(AHEAD_MAX)
    }
}

impl SourceClock {
    /// The answer to a call carried this `Date`. Returns whether it is trusted; one that is not moves nothing.
    pub fn observed(&mut self, date: Timestamp, asked: Moment, answered: Moment) -> bool {
        let reading = Reading { date, asked, answered };
        let Some(line) = self.line else {
            self.begin(reading);
            return true;
        };
        if line.fits(&reading) {
            self.suspect = None;
            self.latest = Some(reading);
            self.agreeing = self.agreeing.saturating_add(1);
            self.was_agreed = true;
            // The line follows what is ahead of it, never a front end that lags or an answer that took long.
            if line.foretold(answered).0 < date {
                self.line = Some(reading);
            }
            return true;
        }
        if date < line.foretold(answered).0 {
            // Far behind is the safe side: a cursor reckoned from it moves less. It has to be agreed on again.
            self.begin(reading);
            return false;
        }
        self.suspected(reading)
    }

    fn begin(&mut self, reading: Reading) {
        let was_agreed = self.was_agreed;
        *self = Self { line: Some(reading), latest: Some(reading), agreeing: 1, was_agreed, suspect: None };
    }

    /// A clock that jumped ahead is believed when later readings agree with the jump for long enough; or at once, where all that
    /// speaks against two that agree is a single first one.
    fn suspected(&mut self, reading: Reading) -> bool {
        let agreeing = self.suspect.filter(|suspect| suspect.latest.fits(&reading));
        let since = agreeing.map_or(reading.answered, |suspect| suspect.since);
        let is_first = agreeing.is_some() && !self.was_agreed;
        if is_first || BELIEVED_AFTER <= reading.answered.since(since) {
            self.begin(reading);
            (self.agreeing, self.was_agreed) = (2, true);
            return true;
        }
        self.suspect = Some(Suspect { latest: reading, since });
        false
    }

    /// The latest trusted `Date`: server time then, and not later than server time now. Not for the cursor, see
    /// [`agreed`](Self::agreed).
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest.map(|reading| reading.date)
    }

    /// The latest trusted `Date`, once two answers agree and nothing speaks against it: what a cursor may be reckoned from.
    pub fn agreed(&self) -> Option<Timestamp> {
        self.latest().filter(|_| 2 <= self.agreeing && self.suspect.is_none())
    }

    /// Whether the last answer ran against our monotonic time.
    pub const fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// About what the source's clock shows now. For freshness and display, never for the cursor.
    pub fn now(&self, now: Moment) -> Option<Timestamp> {
        self.latest.map(|reading| reading.foretold(now).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    /// Readings as (date, asked, answered, trusted), and what a cursor may be reckoned from in the end.
    fn check(readings: &[(u64, u64, u64, bool)], agreed: Option<u64>) {
        let mut clock = SourceClock::default();
        for &(date, asked, answered, trusted) in readings {
            let date = Timestamp::from_seconds(date);
            assert_eq!(clock.observed(date, at(asked), at(answered)), trusted, "{date} at {answered}");
        }
        assert_eq!(clock.agreed(), agreed.map(Timestamp::from_seconds), "{readings:?}");
    }

    #[test]
    fn a_steady_clock_is_trusted_once_two_answers_agree() {
        check(&[(1000, 0, 0, true)], None);
        check(&[(1000, 0, 0, true), (1003, 3, 3, true), (1005, 6, 6, true), (1070, 70, 70, true)], Some(1070));
    }

    #[test]
    fn one_date_ahead_moves_nothing() {
        check(&[(1000, 0, 0, true), (1001, 1, 1, true), (9000, 3, 3, false)], None);
        check(&[(1000, 0, 0, true), (9000, 3, 3, false), (1006, 6, 6, true)], Some(1006));
    }

    #[test]
    fn a_first_date_that_was_ahead_has_to_be_agreed_on_again() {
        check(&[(9000, 0, 0, true), (1003, 3, 3, false)], None);
        check(&[(9000, 0, 0, true), (1003, 3, 3, false), (1006, 6, 6, true)], Some(1006));
    }

    #[test]
    fn slow_answers_between_fast_ones_make_no_clock_suspect() {
        let slow_and_fast = [
            (1000, 0, 0, true),
            (1003, 3, 3, true),
            (1004, 4, 34, true),
            (1036, 36, 36, true),
            (1060, 60, 75, true),
            (1078, 78, 78, true),
        ];
        check(&slow_and_fast, Some(1078));
    }

    #[test]
    fn two_front_ends_a_minute_apart_are_one_clock() {
        let readings = [(1060, 0, 0, true), (1003, 3, 3, true), (1066, 6, 6, true), (1009, 9, 9, true)];
        check(&readings, Some(1009));
    }

    #[test]
    fn a_jump_that_lasts_is_believed() {
        let agreed = [(999, 0, 0, true), (1000, 1, 1, true)];
        let jump = [(9000, 10, 10, false), (9100, 110, 110, false), (9299, 309, 309, false)];
        check(&[&agreed[..], &jump].concat(), None);
        check(&[&agreed[..], &jump, &[(9301, 311, 311, true)]].concat(), Some(9301));
        let jumps = [(9000, 10, 10, false), (20_000, 110, 110, false), (20_290, 400, 400, false)];
        check(&[&agreed[..], &jumps].concat(), None);
    }

    #[test]
    fn a_first_date_that_was_behind_counts_less_than_two_that_agree() {
        let behind = [(1000, 0, 0, true), (9003, 3, 3, false)];
        check(&behind, None);
        check(&[&behind[..], &[(9006, 6, 6, true)]].concat(), Some(9006));
        check(&[&behind[..], &[(20_006, 6, 6, false)]].concat(), None);
        // Later it is the clock that jumps: what lagged once is behind what was agreed on before.
        let lagging = [(9000, 0, 0, true), (9001, 1, 1, true), (1002, 2, 2, false)];
        check(&[&lagging[..], &[(9003, 3, 3, false), (9004, 4, 4, false)]].concat(), None);
    }
}
