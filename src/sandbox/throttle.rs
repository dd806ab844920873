//! The quotas: calls are counted on the server's clock when they arrive, in windows that slide. Sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::timestamp::Timestamp;
use crate::sandbox::calls::Endpoint;
use crate::sandbox::settings::Limits;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Arrivals remembered per endpoint at most.
const ARRIVALS_MAX: usize = 100_000;

/// The arrivals that count.
#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<Endpoint, VecDeque<Timestamp>>);

/// A call too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// Calls that are allowed.
    pub limit: u32,
    /// In this time.
    pub window: Duration,
    /// When the next one is allowed, if none comes before.
    pub wait: Duration,
}

impl Throttle {
    /// A call arrives. `Some` where it is one too many; the minute is looked at first.
    pub fn arrive(
        &mut self,
        endpoint: Endpoint,
        limits: Limits,
        count_rejected: bool,
        now: Timestamp,
    ) -> Option<Excess> {
        let arrivals = self.0.entry(endpoint).or_default();
        // A clock that is set back does not reorder what happened.
        let now = arrivals.back().map_or(now, |last| now.max(*last));
        let kept = after(arrivals, now, HOUR).min(ARRIVALS_MAX);
        arrivals.drain(..arrivals.len() - kept);
        let excess =
            excess(arrivals, limits.per_minute, MINUTE, now).or_else(|| excess(arrivals, limits.per_hour, HOUR, now));
        if excess.is_none() || count_rejected {
            arrivals.push_back(now);
        }
        excess
    }
}

/// How many arrivals lie in the window that ends now; one exactly a window ago does not.
fn after(arrivals: &VecDeque<Timestamp>, now: Timestamp, window: Duration) -> usize {
    arrivals.len() - arrivals.partition_point(|arrival| *arrival <= now.earlier(window))
}

fn excess(arrivals: &VecDeque<Timestamp>, limit: u32, window: Duration, now: Timestamp) -> Option<Excess> {
    let limit_here = limit as usize;
    if after(arrivals, now, window) < limit_here {
        return None;
    }
    let leaves = arrivals.get(arrivals.len().wrapping_sub(limit_here.max(1))).copied().unwrap_or(now);
    Some(Excess { limit, window, wait: leaves.later(window).since(now) })
}

/// The most calls in any sliding window, kept while they arrive.
#[derive(Debug, Clone, Default)]
pub struct Peak {
    arrivals: VecDeque<Timestamp>,
    minute: usize,
    hour: usize,
}

impl Peak {
    /// A call arrives.
    pub fn arrive(&mut self, now: Timestamp) {
        let now = self.arrivals.back().map_or(now, |last| now.max(*last));
        self.arrivals.push_back(now);
        let kept = after(&self.arrivals, now, HOUR).min(ARRIVALS_MAX);
        self.arrivals.drain(..self.arrivals.len() - kept);
        self.minute = self.minute.max(after(&self.arrivals, now, MINUTE));
        self.hour = self.hour.max(kept);
    }

    /// The most in any 60 s so far, on the server's clock.
    pub const fn minute(&self) -> usize {
        self.minute
    }

    /// The most in any 3600 s so far, on the server's clock.
    pub const fn hour(&self) -> usize {
        self.hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_minute: 3, per_hour: 5 };

    /// Arrivals at these seconds, and for each the wait it is told, in seconds.
    fn check(count_rejected: bool, cases: &[(u64, Option<u64>)]) {
        let mut throttle = Throttle::default();
        for (second, wait) in cases {
            let now = Timestamp::from_seconds(1_800_000_000 + second);
            let told = throttle.arrive(Endpoint::List, LIMITS, count_rejected, now);
            assert_eq!(told.map(|excess| excess.wait.as_secs()), *wait, "at {second} of {cases:?}");
        }
    }

    #[test]
    fn windows_slide_and_one_call_too_many_is_told_when_to_come_back() {
        check(false, &[(0, None), (10, None), (59, None), (59, Some(1)), (60, None), (61, Some(9)), (70, None)]);
        check(false, &[(0, None), (10, None), (59, None), (60, None), (70, None), (119, Some(3481)), (3600, None)]);
    }

    #[test]
    fn rejected_calls_count_where_they_do() {
        let first = [(0, None), (1, None), (2, None), (3, Some(57)), (60, Some(1)), (61, Some(1)), (3_599, Some(2))];
        check(true, &first);
    }

    #[test]
    fn endpoints_have_quotas_of_their_own() {
        let mut throttle = Throttle::default();
        let now = Timestamp::from_seconds(1_800_000_000);
        for _ in 0..3 {
            assert_eq!(throttle.arrive(Endpoint::List, LIMITS, true, now), None);
            assert_eq!(throttle.arrive(Endpoint::Get, LIMITS, true, now), None);
        }
        assert!(throttle.arrive(Endpoint::List, LIMITS, true, now).is_some());
    }

    #[test]
    fn the_peak_is_that_of_any_window() {
        let mut peak = Peak::default();
        for second in [0, 50, 55, 100, 109, 3_599, 3_600, 3_601] {
            peak.arrive(Timestamp::from_seconds(1_800_000_000 + second));
        }
        assert_eq!((peak.minute(), peak.hour()), (4, 7));
    }
}
