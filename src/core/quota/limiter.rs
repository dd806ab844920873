//! One governor limiter whose state and clock are held where they can be read, stored and restored. Knows no quota and no lane.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};

use crate::model::moment::Moment;

/// One governor limiter, its state and its clock held where we can read, store and restore them.
#[derive(Debug)]
pub(super) struct Limiter {
    governor: governor::RateLimiter<NotKeyed, Cell, Cell, NoOpMiddleware<Duration>>,
    /// governor's theoretical arrival time. Absolute, because `face` showed 1970 while governor was made.
    pub(super) tat: Cell,
    face: Cell,
    pub(super) burst: u32,
    pub(super) period: Duration,
}

/// Nanoseconds since 1970: governor's one state, or the time it is told.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell(Arc<AtomicU64>);

impl Limiter {
    pub(super) fn new(burst: u32, period: Duration) -> Self {
        let (tat, face) = (Cell::default(), Cell::default());
        let quota = governor::Quota::with_period(period)
            .expect("a period of an hour or less over a u32 is not zero")
            .allow_burst(NonZeroU32::new(burst).expect("a burst is at least one"));
        let governor = governor::RateLimiter::new(quota, tat.clone(), face.clone());
        Self { governor, tat, face, burst, period }
    }

    pub(super) fn resume(&self, state: Moment, now: Moment) {
        let owed = self.period * self.burst;
        self.tat.set(state.min(now + owed));
    }

    pub(super) fn state(&self) -> Moment {
        self.tat.get()
    }

    /// Forgets all calls where the clock has begun another minute or hour since it was asked last. A mistake.
    pub(super) fn new_calendar_window(&self, window: Duration, now: Moment) {
        let number = |moment: Moment| moment.since_epoch().as_nanos() / window.as_nanos();
        if number(self.face.get()) != number(now) {
            self.tat.set(Moment::default());
        }
        self.face.set(now);
    }

    /// Takes one call, if it may go now.
    pub(super) fn take(&self, now: Moment) -> bool {
        self.face.set(now);
        self.governor.check().is_ok()
    }

    /// From when on a call may go that leaves `reserve` more in the burst. Takes nothing.
    pub(super) fn ready_at(&self, reserve: u32, now: Moment) -> Moment {
        let calls = NonZeroU32::new((reserve + 1).min(self.burst)).expect("one or more");
        let before = self.tat.get();
        self.face.set(now);
        let answer = self.governor.check_n(calls);
        self.tat.set(before);
        match answer {
            Ok(Ok(())) => now,
            Ok(Err(not_until)) => now + not_until.wait_time_from(now.since_epoch()),
            Err(_) => now + self.period,
        }
    }

    pub(super) fn remaining(&self, now: Moment) -> u32 {
        (1..=self.burst).rev().find(|&n| self.ready_at(n - 1, now) <= now).unwrap_or(0)
    }
}

impl Cell {
    pub(super) fn get(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, moment: Moment) {
        self.0.store(moment.nanos(), Ordering::Relaxed);
    }
}

impl StateStore for Cell {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // One owner at a time: `Quota` is charged behind a lock.
        let (answer, next) = decide(Some(Nanos::new(self.0.load(Ordering::Relaxed))))?;
        self.0.store(next.as_u64(), Ordering::Relaxed);
        Ok(answer)
    }
}

impl Clock for Cell {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.get().since_epoch()
    }
}
