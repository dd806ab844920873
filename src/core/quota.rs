//! How many calls may go now. Two governor limiters per endpoint; nothing else in the program counts calls.
//!
//! A token bucket lets burst + refill through in one window, so `per_minute(50)` would let 100 through. Here burst and
//! refill together stay under the quota in every sliding window:
//!
//! | limiter | burst | refill | calls in any closed window |
//! |---|---|---|---|
//! | minute paces | 1 | N - 1 - A per minute | at most N - A |
//! | hour lends | N * 40 / 1500 | N * 1440 / 1500 per hour | at most N * 1480 / 1500 |
//!
//! The margin A is the number of calls that can be in the air at once, one of each who asks: three of the list (tail, sweep and a
//! replay), four for single incidents and their alerts (the same, and `xdrelay get`). A call counts at the server when it arrives,
//! which is at most those later than we reckoned. The state is two instants on our own clock; the caller makes it durable before
//! the call leaves.

mod limiter;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::planted::{self, Mistake};
use crate::core::quota::limiter::Limiter;
use crate::model::moment::Moment;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Calls of the list that can be in the air at once, see above.
const LISTS_IN_THE_AIR: u32 = 3;
/// The same of calls for one incident.
const GETS_IN_THE_AIR: u32 = 4;

/// Of the hour's calls, what the audit has for certain: one in so many.
const AUDIT_SHARE: u32 = 20;
/// A tail that has been due for so long without asking is not there; nobody waits for it.
const TAIL_IS_AWAY: Duration = Duration::from_secs(10);

/// The quota of one endpoint, calls in any sliding window. Of one tenant and one app registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In any 60 s.
    pub per_minute: u32,
    /// In any 3600 s.
    pub per_hour: u32,
    /// Calls that can be in the air at once.
    in_the_air: u32,
}

impl Limits {
    /// The smallest quota of the list that still leaves a call after the margins.
    pub const LIST_MIN: u32 = Self::of_list(0, 0).min();
    /// The same of single incidents.
    pub const GET_MIN: u32 = Self::of_get(0, 0).min();

    /// Of the list.
    pub const fn of_list(per_minute: u32, per_hour: u32) -> Self {
        Self { per_minute, per_hour, in_the_air: LISTS_IN_THE_AIR }
    }

    /// Of single incidents and their alerts.
    pub const fn of_get(per_minute: u32, per_hour: u32) -> Self {
        Self { per_minute, per_hour, in_the_air: GETS_IN_THE_AIR }
    }

    /// A burst of one, one that refills, and the margin.
    const fn min(&self) -> u32 {
        self.in_the_air + 2
    }

    /// The tail takes every second slot of the minute and 80 % of the hour at most. Any faster runs the hour dry, and then
    /// it waits for most of it, and the sweep with it.
    pub fn tail_interval_min(&self) -> Duration {
        (self.pace() * 2).max(HOUR * 5 / self.per_hour.max(self.min()) / 4)
    }

    fn pace(&self) -> Duration {
        MINUTE / (self.per_minute.max(self.min()) - 1 - self.in_the_air)
    }
}

/// Who asks, most urgent first. A lower lane leaves a reserve of the hour for the lanes above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What is new, now.
    Tail,
    /// Completeness; and single incidents that somebody asked for.
    Sweep,
    /// A sink that is replayed.
    Replay,
    /// A long way back.
    CatchUp,
    /// The second look.
    Audit,
}

impl Lane {
    /// Of the hour's burst, in 40ths, how many calls must be left after a call of this lane.
    const fn reserve(self) -> u32 {
        match self {
            Self::Tail => 0,
            Self::Sweep => 4,
            Self::Replay => 8,
            Self::CatchUp => 12,
            Self::Audit => 20,
        }
    }
}

/// What is durable of a quota: when each limiter will have forgotten all calls, on our own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuotaState {
    /// Of the minute.
    pub minute: Moment,
    /// Of the hour.
    pub hour: Moment,
}

/// The quota of one endpoint of one tenant.
#[derive(Debug)]
pub struct Quota {
    minute: Limiter,
    hour: Limiter,
    blocked_until: Moment,
    /// When the tail wants its next call; none while it has one under way.
    tail_due: Option<Moment>,
    /// The tail had the last slot: the next one is for whoever asks first, so that no lane starves another.
    tail_had_its_turn: bool,
    /// When the audit asked last: it is never without a twentieth of the hour's calls.
    audited_at: Moment,
    /// Between two calls of the audit at least once in so long.
    audit_period: Duration,
}

impl Quota {
    /// A quota with nothing used.
    pub fn fresh(limits: Limits) -> Self {
        let per_hour = limits.per_hour.max(limits.min());
        let audit_period = HOUR / (per_hour / AUDIT_SHARE).max(1);
        let minute = Limiter::new(1, limits.pace());
        let burst = part(per_hour, 40, 1500).max(1);
        let hour = Limiter::new(burst, HOUR / part(per_hour, 24, 25).min(per_hour - burst - limits.in_the_air).max(1));
        let (minute, hour) = match () {
            () if planted::is(Mistake::QuotaIsABucket) => {
                (Limiter::new(limits.per_minute, MINUTE / limits.per_minute), Limiter::new(per_hour, HOUR / per_hour))
            }
            // All of a window's calls at once, and nothing until `new_calendar_window` forgets them.
            () if planted::is(Mistake::QuotaPerCalendarMinute) => {
                (Limiter::new(limits.per_minute, HOUR), Limiter::new(per_hour, HOUR))
            }
            () if planted::is(Mistake::QuotaIsCountedAtSend) => {
                let rest = (per_hour - burst).max(1);
                (Limiter::new(1, MINUTE / (limits.per_minute - 1)), Limiter::new(burst, HOUR / rest))
            }
            () => (minute, hour),
        };
        Self {
            minute,
            hour,
            blocked_until: Moment::default(),
            tail_due: None,
            tail_had_its_turn: false,
            audited_at: Moment::default(),
            audit_period,
        }
    }

    /// The quota as a former process left it. An instant that lies further ahead than its limiter can owe (our clock was
    /// set back) is cut to that.
    pub fn resumed(limits: Limits, state: QuotaState, now: Moment) -> Self {
        let quota = Self::fresh(limits);
        quota.minute.resume(state.minute, now);
        quota.hour.resume(state.hour, now);
        quota
    }

    /// The quota of a tenant that is known but whose record is lost: as if the burst had just been spent. Costs minutes of
    /// waiting, not an hour.
    pub fn spent(limits: Limits, now: Moment) -> Self {
        let far = Moment::from_nanos(u64::MAX);
        Self::resumed(limits, QuotaState { minute: far, hour: far }, now)
    }

    /// When the next call of this lane may go: `now` or earlier means at once.
    pub fn ready_at(&self, lane: Lane, now: Moment) -> Moment {
        if planted::is(Mistake::QuotaPerCalendarMinute) {
            self.minute.new_calendar_window(MINUTE, now);
            self.hour.new_calendar_window(HOUR, now);
        }
        let lane_of_reserve = if lane == Lane::Audit && self.audit_starves(now) { Lane::Sweep } else { lane };
        let reserve = part(self.hour.burst, lane_of_reserve.reserve(), 40);
        let paid = self.minute.ready_at(0, now).max(self.hour.ready_at(reserve, now)).max(self.blocked_until);
        let slot = paid.max(now);
        match self.tail_due {
            // A tail that is due goes first, every second time: it is about to ask, or it is not there to ask at all.
            Some(due)
                if lane != Lane::Tail && due <= slot && slot.since(due) < TAIL_IS_AWAY && !self.tail_had_its_turn =>
            {
                slot + self.minute.period
            }
            Some(_) | None => paid,
        }
    }

    /// Whether the audit has not had a call for longer than its share of the hour allows.
    pub fn audit_starves(&self, now: Moment) -> bool {
        self.audit_period <= now.since(self.audited_at)
    }

    /// Charges both limiters for one call, or neither. Returns the state to make durable before the call leaves; `None`
    /// where [`ready_at`](Self::ready_at) is still ahead.
    pub fn charge(&mut self, lane: Lane, now: Moment) -> Option<QuotaState> {
        if now < self.ready_at(lane, now) {
            return None;
        }
        let before = self.minute.tat.get();
        if !self.minute.take(now) {
            return None;
        }
        if !self.hour.take(now) {
            self.minute.tat.set(before);
            return None;
        }
        self.tail_had_its_turn = lane == Lane::Tail;
        if lane == Lane::Audit {
            self.audited_at = now;
        }
        if lane == Lane::Tail {
            self.tail_due = None;
        }
        Some(self.state())
    }

    /// The server said 429: no call until then.
    pub fn block_until(&mut self, until: Moment) {
        self.blocked_until = self.blocked_until.max(until);
    }

    /// When the tail wants its next call; lower lanes keep out of that slot.
    pub fn tail_due_at(&mut self, due: Moment) {
        self.tail_due = Some(due);
    }

    /// What to make durable.
    pub fn state(&self) -> QuotaState {
        QuotaState { minute: self.minute.state(), hour: self.hour.state() }
    }

    /// Calls that could go at once as far as the hour's burst is concerned.
    pub fn hour_remaining(&self, now: Moment) -> u32 {
        self.hour.remaining(now)
    }

    /// Calls that could go at once as far as the minute is concerned: none or one.
    pub fn minute_remaining(&self, now: Moment) -> u32 {
        self.minute.remaining(now)
    }

    /// The shortest time between two calls that can be kept up for ever.
    pub fn sustained_period(&self) -> Duration {
        self.minute.period.max(self.hour.period)
    }
}

/// `numerator / denominator` of a limit, rounded down. A quota that somebody lifts may be any number.
fn part(limit: u32, numerator: u32, denominator: u32) -> u32 {
    u32::try_from(u64::from(limit) * u64::from(numerator) / u64::from(denominator)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFENDER: Limits = Limits::of_list(50, 1500);
    const START: Moment = Moment::from_nanos(1_800_000_000_000_000_000);

    /// The most calls in any closed window; `calls` are in order.
    fn most_in_any(window: Duration, calls: &[Moment]) -> usize {
        let mut first = 0;
        let counted = calls.iter().enumerate().map(|(last, &call)| {
            while calls[first] + window < call {
                first += 1;
            }
            last + 1 - first
        });
        counted.max().unwrap_or(0)
    }

    /// Calls as fast as the lane may, with restarts at the given steps.
    fn run(limits: Limits, lane: Lane, span: Duration, mut restart: impl FnMut(usize) -> bool) -> Vec<Moment> {
        let mut quota = Quota::fresh(limits);
        let (mut now, mut calls) = (START, Vec::new());
        while now < START + span {
            if restart(calls.len()) {
                quota = Quota::resumed(limits, quota.state(), now);
            }
            match quota.charge(lane, now) {
                Some(_) => calls.push(now),
                None => now = quota.ready_at(lane, now),
            }
        }
        calls
    }

    #[test]
    fn a_hungry_caller_stays_under_the_quota_in_every_window_and_uses_most_of_it() {
        let calls = run(DEFENDER, Lane::Tail, HOUR * 3, |_| false);
        assert_eq!(most_in_any(MINUTE, &calls), 47);
        assert!(most_in_any(HOUR, &calls) <= 1480);
        assert!(1440 * 3 <= calls.len(), "{}", calls.len());
    }

    #[test]
    fn a_quota_may_be_any_number() {
        for limit in [0, 1, Limits::LIST_MIN, Limits::GET_MIN, 200_000_000, u32::MAX] {
            for limits in [Limits::of_list(limit, limit), Limits::of_get(limit, limit)] {
                let mut quota = Quota::fresh(limits);
                assert!(quota.charge(Lane::Audit, START).is_some(), "{limits:?}");
                assert!(quota.ready_at(Lane::Audit, START) <= START + HOUR, "{limits:?}");
            }
        }
    }

    #[test]
    fn restarts_change_nothing() {
        assert_eq!(
            run(DEFENDER, Lane::Tail, HOUR, |n| n % 3 == 0).len(),
            run(DEFENDER, Lane::Tail, HOUR, |_| false).len()
        );
    }

    #[test]
    fn a_lower_lane_leaves_a_reserve_for_the_tail() {
        let mut quota = Quota::fresh(DEFENDER);
        let mut now = START;
        for _ in 0..200 {
            now = quota.ready_at(Lane::CatchUp, now);
            assert!(quota.charge(Lane::CatchUp, now).is_some());
        }
        now = now + MINUTE / 46;
        assert!(now < quota.ready_at(Lane::CatchUp, now), "the lower lane waits");
        assert_eq!(quota.ready_at(Lane::Tail, now), now, "the tail does not");
    }

    #[test]
    fn a_tail_that_is_due_goes_first_and_only_every_second_time() {
        let mut quota = Quota::fresh(DEFENDER);
        quota.tail_due_at(START);
        assert!(quota.charge(Lane::CatchUp, START).is_none());
        assert!(quota.charge(Lane::Tail, START).is_some());
        let next = quota.ready_at(Lane::Tail, START);
        quota.tail_due_at(next);
        assert!(quota.charge(Lane::CatchUp, next).is_some(), "the tail had its turn");
        let next = quota.ready_at(Lane::Tail, next);
        assert!(quota.charge(Lane::CatchUp, next).is_none(), "and now it is the tail's again");
        assert!(quota.charge(Lane::CatchUp, next + TAIL_IS_AWAY * 2).is_some(), "nobody waits for a tail that is away");
    }

    /// Sweeps of two calls a minute beside a tail that asks every `interval`; returns the calls of each in an hour.
    fn share(limits: Limits, interval: Duration) -> (usize, usize) {
        let mut quota = Quota::fresh(limits);
        let (mut tail, mut sweep) = ((START, 0), (START, 0));
        loop {
            let now = tail.0.min(sweep.0);
            if START + HOUR < now {
                return (tail.1, sweep.1);
            }
            if tail.0 == now {
                quota.tail_due_at(now.max(tail.0));
                match quota.charge(Lane::Tail, now) {
                    Some(_) => tail = (now + interval, tail.1 + 1),
                    None => tail.0 = quota.ready_at(Lane::Tail, now).max(now + Duration::from_millis(1)),
                }
            } else {
                match quota.charge(Lane::Sweep, now) {
                    Some(_) => sweep = (now + MINUTE / 2, sweep.1 + 1),
                    None => sweep.0 = quota.ready_at(Lane::Sweep, now).max(now + Duration::from_millis(1)),
                }
            }
        }
    }

    #[test]
    fn no_quota_and_no_interval_starves_the_sweep() {
        for per_minute in (10..60).chain([200]) {
            for (per_hour, seconds) in [(1500, 3.0), (3000, 1.5), (1500, 2.0), (600, 7.5)] {
                let limits = Limits::of_list(per_minute, per_hour);
                let interval = Duration::from_secs_f64(seconds).max(limits.tail_interval_min());
                let (tail, sweep) = share(limits, interval);
                assert!(30 <= sweep, "{per_minute}/{per_hour}: {tail} tail calls, {sweep} sweep calls");
            }
        }
    }

    #[test]
    fn an_audit_has_its_twentieth_even_where_the_hour_runs_dry() {
        let mut quota = Quota::fresh(DEFENDER);
        let (mut now, mut audits) = (START, 0);
        while now < START + HOUR * 2 {
            // Sweeps without end, as nobody should make them.
            audits += u32::from(START + HOUR <= now && quota.charge(Lane::Audit, now).is_some());
            while quota.charge(Lane::Sweep, now).is_some() {}
            now = now + Duration::from_millis(500);
        }
        assert!((60..=90).contains(&audits), "{audits}");
    }

    #[test]
    fn a_429_stops_every_lane() {
        let mut quota = Quota::fresh(DEFENDER);
        quota.block_until(START + HOUR);
        assert!(quota.charge(Lane::Tail, START).is_none());
        assert_eq!(quota.ready_at(Lane::Tail, START), START + HOUR);
    }

    #[test]
    fn a_lost_record_costs_minutes_and_a_clock_set_back_no_more() {
        let mut quota = Quota::spent(DEFENDER, START);
        assert!(quota.charge(Lane::Tail, START).is_none());
        assert!(quota.ready_at(Lane::CatchUp, START) < START + MINUTE * 3);
        let ahead = QuotaState { minute: START + HOUR * 24, hour: START + HOUR * 24 };
        assert!(Quota::resumed(DEFENDER, ahead, START).ready_at(Lane::Tail, START) < START + MINUTE);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_quota_is_exceeded_in_any_window(
            per_minute in Limits::GET_MIN..200,
            per_hour in Limits::GET_MIN..3000,
            restarts in 1usize..40,
        ) {
            // Who asks, in `run::poll`, `run::replay` and `run::ask`.
            for (limits, askers) in [(Limits::of_list(per_minute, per_hour), 3), (Limits::of_get(per_minute, per_hour), 4)] {
                let calls = run(limits, Lane::Tail, Duration::from_secs(5400), |n| n % restarts == 0);
                prop_assert!(most_in_any(MINUTE, &calls) + askers <= per_minute as usize);
                prop_assert!(most_in_any(HOUR, &calls) + askers <= per_hour as usize);
            }
        }
    }
}
