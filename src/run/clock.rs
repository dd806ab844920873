//! Our own clock, read in one place: the wall once at start, the monotonic time from then on.

use std::time::{Duration, Instant, SystemTime};

use crate::model::moment::Moment;

/// Our own clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_at_start: Moment,
    start: Instant,
}

impl Clock {
    /// Starts it.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { wall_at_start: Moment::from_nanos(0) + wall, start: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.wall_at_start + self.start.elapsed()
    }

    /// How long until then; zero where it has come.
    pub fn until(&self, moment: Moment) -> Duration {
        moment.since(self.now())
    }
}
