//! What was written to a stream that acknowledges nothing and may still be lost. Knows no connection and no clock: whoever
//! owns it says what happened when, and drops it with its connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::model::names::Seq;

/// Batches that are reckoned apart; more are taken together with the last, whose time then counts for all of them.
const BATCHES_MAX: usize = 1024;

/// The batches of one connection that are not settled yet, oldest first.
#[derive(Debug, Default)]
pub struct Air {
    batches: VecDeque<Batch>,
    /// Bytes written to the connection so far.
    written_bytes: u64,
}

#[derive(Debug)]
struct Batch {
    /// Its last event.
    seq: Seq,
    /// Bytes of the connection up to its end.
    end_bytes: u64,
    /// Since when all of it is known to have left this machine.
    left: Option<Instant>,
}

impl Air {
    /// Everything up to `seq` was written, these bytes last.
    pub fn written(&mut self, seq: Seq, bytes: u64) {
        self.written_bytes = self.written_bytes.saturating_add(bytes);
        let end_bytes = self.written_bytes;
        if BATCHES_MAX <= self.batches.len() {
            self.batches.pop_back();
        }
        self.batches.push_back(Batch { seq, end_bytes, left: None });
    }

    /// At `now` no more than `unsent_bytes_max` of the written bytes were still on this machine.
    pub fn left(&mut self, unsent_bytes_max: u64, now: Instant) {
        let gone_bytes = self.written_bytes.saturating_sub(unsent_bytes_max);
        for batch in self.batches.iter_mut().take_while(|batch| batch.end_bytes <= gone_bytes) {
            batch.left.get_or_insert(now);
        }
    }

    /// The connection was alive at `alive`: whatever had left `settle` before is settled. Answers how far that reaches, if
    /// it is further than the last time.
    pub fn settled(&mut self, alive: Instant, settle: Duration) -> Option<Seq> {
        let is_settled = |batch: &Batch| batch.left.is_some_and(|left| settle <= alive.saturating_duration_since(left));
        let count = self.batches.iter().take_while(|batch| is_settled(batch)).count();
        self.batches.drain(..count).next_back().map(|batch| batch.seq)
    }

    /// The peer has read everything: how far that reaches, if anything was open.
    pub fn arrived(self) -> Option<Seq> {
        self.batches.back().map(|batch| batch.seq)
    }

    /// Whether everything that was written is settled.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_batch_settles_when_its_connection_was_alive_long_enough_after_it_had_left() {
        let (mut air, start) = (Air::default(), Instant::now());
        air.written(Seq(3), 100);
        assert_eq!(air.settled(at(start, 99), SETTLE), None, "nobody said that it has left");
        air.left(0, at(start, 100));
        air.written(Seq(5), 100);
        air.left(0, at(start, 105));
        assert_eq!(air.settled(at(start, 109), SETTLE), None);
        assert_eq!(air.settled(at(start, 110), SETTLE), Some(Seq(3)), "the first time counts");
        assert_eq!(air.settled(at(start, 114), SETTLE), None, "nothing is said twice");
        assert!(!air.is_empty());
        assert_eq!(air.settled(at(start, 115), SETTLE), Some(Seq(5)));
        assert!(air.is_empty());
        assert_eq!(air.arrived(), None);
    }

    #[test]
    fn several_batches_settle_at_once_and_a_clean_close_settles_the_rest() {
        let (mut air, start) = (Air::default(), Instant::now());
        air.written(Seq(1), 1);
        air.written(Seq(2), 1);
        air.left(0, start);
        air.written(Seq(9), 1);
        assert_eq!(air.settled(at(start, 10), SETTLE), Some(Seq(2)));
        assert_eq!(air.arrived(), Some(Seq(9)));
    }

    #[test]
    fn what_may_still_be_in_the_send_queue_has_not_left() {
        let (mut air, start) = (Air::default(), Instant::now());
        air.written(Seq(1), 100);
        air.written(Seq(2), 100);
        air.written(Seq(3), 100);
        air.left(150, start);
        assert_eq!(air.settled(at(start, 10), SETTLE), Some(Seq(1)), "150 bytes reach into the second");
        air.left(u64::MAX, at(start, 10));
        assert_eq!(air.settled(at(start, 99), SETTLE), None);
        air.left(100, at(start, 99));
        assert_eq!(air.settled(at(start, 109), SETTLE), Some(Seq(2)));
    }

    #[test]
    fn the_air_is_bounded_and_errs_on_the_late_side() {
        let (mut air, start) = (Air::default(), Instant::now());
        for number in 1..=5000 {
            air.written(Seq(number), 1);
            air.left(0, at(start, number));
        }
        assert_eq!(air.batches.len(), BATCHES_MAX);
        assert_eq!(
            air.settled(at(start, 5009), SETTLE),
            Some(Seq(1023)),
            "the last of the batches stands for the rest"
        );
        assert_eq!(air.settled(at(start, 5010), SETTLE), Some(Seq(5000)));
    }
}
