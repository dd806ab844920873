//! What follows from a delivery that failed: when it is tried again, with how much, and which events are refused for good. Nothing is
//! ever given up but what the far side refuses, and a far side that refuses everything refuses nothing.

use std::time::Duration;

use crate::core::courier::{Courier, DeliverError, Handed, Refusal, State};
use crate::core::planted::{self, Mistake};
use crate::model::moment::Moment;

/// First and longest pause after a delivery that may work later.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// First and longest pause where somebody has to do something first.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(300));
/// No hint of a far side keeps us away for longer.
const AFTER_MAX: Duration = Duration::from_secs(3600);
/// Refusals in a row after which it is not the events any more: somebody has to look at the receiver or its settings.
const REFUSED_IN_A_ROW_MAX: usize = 20;
/// From so many failures in a row on, each batch is half of the one before: it may be too much for the far side to take in time,
/// or to refuse in a way that we could hear.
const SMALLER_AFTER: u32 = 4;

impl Courier {
    pub(super) fn failed(&mut self, error: DeliverError, handed: Handed, now: Moment) {
        match error {
            DeliverError::Retry { .. } if 2 <= self.failures && planted::is(Mistake::GiveUpAfterThree) => {
                self.failures = 0;
                self.confirmed(handed.last, now);
                self.acknowledged = self.acknowledged.max(handed.scanned_to);
                self.sent = self.sent.max(handed.scanned_to);
                self.unsaved.get_or_insert_default();
            }
            DeliverError::Retry { why, after } => {
                self.forget_the_air();
                let pause = self.retry.pause().max(after.unwrap_or_default().min(AFTER_MAX));
                self.stop_until(now + pause, State::Retrying { why });
                if SMALLER_AFTER <= self.failures && 0 < handed.count {
                    self.limit = (handed.count / 2).max(1);
                }
            }
            DeliverError::Pause { why } => {
                self.forget_the_air();
                let pause = self.pause.pause();
                self.stop_until(now + pause, State::Paused { why });
            }
            DeliverError::Refused(refusals) => self.refuse(refusals, handed, now),
            DeliverError::RefusedBatch { why } => match (handed.count, handed.last) {
                (1, Some(seq)) => self.refuse(vec![Refusal { seq, why }], handed, now),
                (count, _) => self.limit = (count / 2).max(1),
            },
        }
    }

    fn stop_until(&mut self, resume_at: Moment, state: State) {
        self.failures = self.failures.saturating_add(1);
        self.resume_at = resume_at;
        self.state = state;
    }

    /// For good: remembered with the reason, and the rest flows on at once. But a receiver that takes nothing at all refuses
    /// no events; it is set up wrongly, and then everything is kept.
    fn refuse(&mut self, refusals: Vec<Refusal>, handed: Handed, now: Moment) {
        // A part of a batch says nothing about the rest of it, however many they are.
        self.refused_in_a_row += if refusals.len() < handed.count { 1 } else { refusals.len() };
        if REFUSED_IN_A_ROW_MAX < self.refused_in_a_row {
            let last = refusals.into_iter().next_back().map(|refusal| refusal.why).unwrap_or_default();
            let why = format!("it refused {} times in a row, the last because {last}", self.refused_in_a_row);
            let pause = self.pause.pause();
            self.stop_until(now + pause, State::Paused { why });
            return;
        }
        self.state = State::Delivering;
        self.refused.extend(refusals.iter().map(|refusal| refusal.seq));
        self.unsaved.get_or_insert_default().extend(refusals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::courier::tests::{LATER, NOW, acknowledged, courier, handed, retry};
    use crate::core::courier::{Progress, Todo};
    use crate::model::names::Seq;

    fn refused_batch() -> DeliverError {
        DeliverError::RefusedBatch { why: "no".into() }
    }

    #[test]
    fn a_refused_batch_is_halved_until_the_guilty_event_is_known() {
        let mut courier = courier(false);
        let (guilty, newest) = (6, 8);
        let mut refused = Vec::new();
        for _ in 0..50 {
            match courier.todo(NOW, Seq(newest)) {
                Todo::Send { after, limit } => {
                    let batch: Vec<u64> =
                        (after.0 + 1..=newest).filter(|&seq| !courier.is_refused(Seq(seq))).take(limit).collect();
                    let last = batch.last().copied();
                    let handed =
                        Handed { scanned_to: Seq(last.unwrap_or(newest)), last: last.map(Seq), count: batch.len() };
                    let result = if batch.contains(&guilty) { Err(refused_batch()) } else { Ok(last.map(Seq)) };
                    courier.sent(handed, result, NOW);
                }
                Todo::Commit(progress, refusals) => {
                    refused.extend(refusals);
                    assert!(progress.acknowledged.0 < guilty || !refused.is_empty());
                }
                Todo::Idle => break,
                todo @ (Todo::Wait(_) | Todo::Settle) => panic!("{todo:?}"),
            }
        }
        assert_eq!(courier.acknowledged(), Seq(newest));
        assert_eq!(refused, [Refusal { seq: Seq(guilty), why: "no".into() }]);
    }

    #[test]
    fn a_receiver_that_refuses_everything_is_paused_and_loses_nothing() {
        let mut courier = courier(false);
        let mut refused = 0;
        for seq in 1..=100 {
            let refusal = Refusal { seq: Seq(seq), why: "wrong index".into() };
            courier.sent(handed(seq, seq), Err(DeliverError::Refused(vec![refusal])), NOW);
            match courier.todo(NOW, Seq(100)) {
                Todo::Commit(_, refusals) => refused += refusals.len(),
                todo @ (Todo::Idle | Todo::Wait(_) | Todo::Send { .. } | Todo::Settle) => {
                    assert!(matches!(todo, Todo::Wait(_)), "{todo:?}");
                }
            }
        }
        assert_eq!(refused, REFUSED_IN_A_ROW_MAX);
        assert!(matches!(courier.state(), State::Paused { why } if why.contains("wrong index")));
        courier.sent(handed(21, 21), Ok(Some(Seq(21))), LATER);
        assert_eq!(courier.todo(LATER, Seq(100)), acknowledged(21, vec![]), "once it takes one, all flows on");
    }

    #[test]
    fn a_batch_that_fails_again_and_again_becomes_smaller_until_it_works() {
        let mut courier = courier(false);
        let mut limits = Vec::new();
        for hour in 0..8 {
            let now = NOW + Duration::from_secs(3600 * hour);
            let Todo::Send { after: Seq(0), limit } = courier.todo(now, Seq(100)) else { panic!("it gave up") };
            limits.push(limit);
            courier.sent(handed(1, limit as u64), Err(retry()), now);
        }
        assert_eq!(limits, [8, 8, 8, 8, 4, 2, 1, 1], "first as it was, so that its key is the same");
        courier.sent(handed(1, 1), Ok(Some(Seq(1))), LATER);
        assert_eq!(courier.todo(LATER, Seq(100)), acknowledged(1, vec![]));
        assert_eq!(courier.todo(LATER, Seq(100)), Todo::Send { after: Seq(1), limit: 2 });
    }

    #[test]
    fn many_refusals_in_one_batch_do_not_stop_the_rest_of_it() {
        let mut courier = Courier::new(&Progress::default(), [], 100, true, 1);
        let refusals: Vec<_> = (1..=60).map(|seq| Refusal { seq: Seq(seq), why: "too long".into() }).collect();
        courier.sent(handed(1, 100), Err(DeliverError::Refused(refusals.clone())), NOW);
        assert_eq!(courier.todo(NOW, Seq(100)), acknowledged(0, refusals));
        assert_eq!(courier.todo(NOW, Seq(100)), Todo::Send { after: Seq(0), limit: 100 });
        assert_eq!(courier.failures(), 0, "a refusal is no failure");
    }

    #[test]
    fn a_refusal_leaves_what_is_in_the_air_alone() {
        let mut courier = courier(true);
        courier.sent(handed(1, 5), Ok(None), NOW);
        let refusal = Refusal { seq: Seq(6), why: "too long".into() };
        courier.sent(handed(6, 8), Err(DeliverError::Refused(vec![refusal.clone()])), NOW);
        assert_eq!(courier.todo(NOW, Seq(8)), acknowledged(0, vec![refusal]));
        assert_eq!(courier.todo(NOW, Seq(8)), Todo::Send { after: Seq(5), limit: 8 });
        assert!(courier.is_refused(Seq(6)));
    }

    #[test]
    fn a_far_side_is_asked_again_for_ever_and_its_hint_is_honoured() {
        let mut courier = courier(false);
        let mut now = NOW;
        for _ in 0..100 {
            assert!(matches!(courier.todo(now, Seq(1)), Todo::Send { after: Seq(0), .. }));
            courier.sent(handed(1, 1), Err(retry()), now);
            now = now + Duration::from_secs(61);
        }
        let after = Some(Duration::from_secs(600));
        courier.sent(handed(1, 1), Err(DeliverError::Retry { why: "busy".into(), after }), now);
        assert_eq!(courier.todo(now, Seq(1)), Todo::Wait(now + Duration::from_secs(600)));
    }
}
