//! Times on our own clock, for waiting, pacing and quotas. The cursor never sees one: that is [`Timestamp`]'s business.
//!
//! [`Timestamp`]: crate::model::timestamp::Timestamp

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time on our own clock: nanoseconds since 1970 as this process reckons them, which is the wall clock read once at
/// start plus the monotonic time since. It never runs backwards in a process, and two processes one after the other
/// agree as far as the wall clock does. Fits until the year 2554.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time since 1970.
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero where it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturating: a moment too far away is the last one.
impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}
