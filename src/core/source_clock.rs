//! The source's clock as its `Date` headers show it, held against our monotonic time. It says which times may be trusted;
//! it never asks our wall clock.

use std::time::Duration;

use crate::model::moment::Moment;
use crate::model::timestamp::Timestamp;

/// How far a `Date` may run ahead of what the last ones and our monotonic time foretell: whole seconds and a slow answer.
const AHEAD_MAX: Duration = Duration::from_secs(5);
/// How far it may lag behind: a `Date` is written before the answer travels, and a call may take a minute.
const BEHIND_MAX: Duration = Duration::from_secs(90);
/// A clock that runs ahead is believed once it has said the same for this long: then it was ours that stood still.
const BELIEVED_AFTER: Duration = Duration::from_secs(300);

/// The source's clock.
#[derive(Debug, Clone, Default)]
pub struct SourceClock {
    trusted: Option<Reading>,
    suspect: Option<Suspect>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    date: Timestamp,
    at: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    latest: Reading,
    since: Moment,
}

impl SourceClock {
    /// An answer carried this `Date`. Returns whether it is trusted; one that is not moves nothing.
    pub fn observed(&mut self, date: Timestamp, now: Moment) -> bool {
        let reading = Reading { date, at: now };
        let Some(expected) = self.now(now) else {
            self.trusted = Some(reading);
            return true;
        };
        if date <= expected.later(AHEAD_MAX) {
            // Behind is the safe side: a cursor reckoned from it moves less.
            self.trusted = Some(reading);
            self.suspect = None;
            return expected.earlier(BEHIND_MAX) <= date;
        }
        self.suspected(reading)
    }

    /// A clock that jumped ahead is believed when later readings agree with the jump for long enough.
    fn suspected(&mut self, reading: Reading) -> bool {
        let agrees = |suspect: &Suspect| {
            let foretold = suspect.latest.date.later(reading.at.since(suspect.latest.at));
            foretold.earlier(BEHIND_MAX) <= reading.date && reading.date <= foretold.later(AHEAD_MAX)
        };
        let since = self.suspect.filter(agrees).map_or(reading.at, |suspect| suspect.since);
        if BELIEVED_AFTER <= reading.at.since(since) {
            self.trusted = Some(reading);
            self.suspect = None;
            return true;
        }
        self.suspect = Some(Suspect { latest: reading, since });
        false
    }

    /// The latest trusted `Date`: server time then, and not later than server time now.
    pub fn latest(&self) -> Option<Timestamp> {
        self.trusted.map(|reading| reading.date)
    }

    /// Whether the clock runs against ours at the moment, so that no cursor may move on it.
    pub const fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// About what the source's clock shows now. For freshness and display, never for the cursor.
    pub fn now(&self, now: Moment) -> Option<Timestamp> {
        self.trusted.map(|reading| reading.date.later(now.since(reading.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn check(readings: &[(u64, u64, bool)], latest: u64) {
        let mut clock = SourceClock::default();
        for &(date, now, trusted) in readings {
            assert_eq!(clock.observed(Timestamp::from_seconds(date), at(now)), trusted, "{date} at {now}");
        }
        assert_eq!(clock.latest(), Some(Timestamp::from_seconds(latest)));
    }

    #[test]
    fn a_steady_clock_is_trusted() {
        check(&[(1000, 0, true), (1003, 3, true), (1005, 6, true), (1070, 70, true)], 1070);
    }

    #[test]
    fn one_date_ahead_moves_nothing() {
        check(&[(1000, 0, true), (9000, 3, false), (1006, 6, true)], 1006);
    }

    #[test]
    fn a_date_behind_is_reported_and_is_the_safe_side() {
        check(&[(1000, 0, true), (500, 3, false), (503, 6, true)], 503);
    }

    #[test]
    fn a_jump_that_lasts_is_believed() {
        check(&[(1000, 0, true), (9000, 10, false), (9100, 110, false), (9299, 309, false), (9301, 311, true)], 9301);
        check(&[(1000, 0, true), (9000, 10, false), (20_000, 110, false), (20_290, 400, false)], 1000);
    }
}
