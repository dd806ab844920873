//! When something was last said, for what is not to be said again so soon. What happens to many at once is for `herald`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::moment::Moment;

/// When something was last said, in nanoseconds of our clock; 0 for never.
#[derive(Debug, Default)]
pub struct Said(AtomicU64);

impl Said {
    /// Whether to say it now; then it counts as said.
    pub fn is_due(&self, now: Moment, every: Duration) -> bool {
        let before = self.0.load(Ordering::Relaxed);
        let due = before == 0 || every <= now.since(Moment::from_nanos(before));
        due && self.0.compare_exchange(before, now.nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_not_said_again_so_soon() {
        let (said, at) = (Said::default(), |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000));
        let due: Vec<_> =
            [5, 6, 64, 65, 66, 124, 125].into_iter().map(|now| said.is_due(at(now), at(60).since_epoch())).collect();
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
