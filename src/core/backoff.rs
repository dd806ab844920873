//! How long to wait after a failure: doubling, with jitter, bounded. Counts nothing but its own attempts.

use std::time::Duration;

/// Doubling pauses with jitter between `first` and `longest`.
///
/// The jitter is the upper half: attempt n waits between 50 % and 100 % of `first * 2^n`. It comes from the seed alone, so
/// a simulation repeats it and two daemons do not march in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
    seed: u64,
}

impl Backoff {
    /// Pauses from `first` up to `longest`.
    pub const fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, attempts: 0, seed }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.attempts.min(20)).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        let random = splitmix(self.seed.wrapping_add(u64::from(self.attempts)));
        full.mul_f64(0.5 + (random % 1000) as f64 / 2000.0)
    }

    /// Something worked: the next failure starts from `first` again.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Failures since something worked.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a well-mixed number from any seed.
const fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), 7);
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let pause = backoff.pause();
            assert!(Duration::from_secs(full) / 2 <= pause && pause <= Duration::from_secs(full), "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(1));
    }

    #[test]
    fn a_seed_repeats_itself_and_two_seeds_differ() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), seed);
            [backoff.pause(), backoff.pause(), backoff.pause()]
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}
