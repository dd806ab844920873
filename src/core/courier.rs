//! Sends one sink's part of the outbox on and reckons how far it got. Policy of delivery is here and nowhere else: batches,
//! retries, pauses, bisection. Sinks never retry. What follows from a failure is in `failure`.

mod failure;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::backoff::Backoff;
use crate::core::courier::failure::{PAUSE, RETRY};
use crate::core::planted::{self, Mistake};
use crate::model::moment::Moment;
use crate::model::names::Seq;

/// What is durable of a sink: how far it got, and what it refused on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Everything up to here is at the far side, was refused for good, or is not for this sink.
    pub acknowledged: Seq,
    /// The number of the last event among it, where the sink numbers what it gets (`core::numbering`). The courier leaves it at 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One event a sink refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which.
    pub seq: Seq,
    /// The sink's words.
    pub why: String,
}

/// What a failed delivery asks of the courier. `why` is for people and names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// Transient: everything that is not acknowledged is sent again, for ever, with backoff.
    #[error("{why}")]
    Retry {
        /// The cause.
        why: String,
        /// What the far side asked for, `Retry-After`.
        after: Option<Duration>,
    },
    /// Credentials or configuration: keep everything, say so loudly, try again slowly.
    #[error("{why}")]
    Pause {
        /// The cause and the remedy.
        why: String,
    },
    /// These events, for good. Nothing else of the batch was taken; it is sent again without them. What was handed over
    /// before stays as it is.
    #[error("{} events refused for good, the first because {}", .0.len(), .0.first().map_or("", |refusal| refusal.why.as_str()))]
    Refused(Vec<Refusal>),
    /// The batch, for good, and nobody says which event: the courier sends smaller ones until it knows. What was handed
    /// over before stays as it is.
    #[error("{why}")]
    RefusedBatch {
        /// The far side's words.
        why: String,
    },
}

/// How often a sink is asked how far it got while something is in the air.
const SETTLE_EVERY: Duration = Duration::from_millis(500);
/// Events in the air at most: sent, and not confirmed.
const IN_THE_AIR_MAX: u64 = 100_000;

/// The one thing to do next for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Todo {
    /// Nothing, until the outbox grows.
    Idle,
    /// Nothing before then.
    Wait(Moment),
    /// Read what follows `after`, this many events at most, and hand it to the sink.
    Send {
        /// The position before the first.
        after: Seq,
        /// Events at most.
        limit: usize,
    },
    /// Nothing new to send: ask the sink how far it got.
    Settle,
    /// Make this durable.
    Commit(Progress, Vec<Refusal>),
}

/// What was handed to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// Everything up to here was looked at: handed over, refused before, or not for this sink.
    pub scanned_to: Seq,
    /// The last event handed over; none where nothing was for this sink.
    pub last: Option<Seq>,
    /// How many events were handed over.
    pub count: usize,
}

/// How a sink fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing has been tried yet.
    #[default]
    New,
    /// The last delivery worked.
    Delivering,
    /// The last delivery failed in a way that may pass.
    Retrying {
        /// The sink's words.
        why: String,
    },
    /// Somebody has to do something.
    Paused {
        /// The sink's words.
        why: String,
    },
}

/// The decisions about one sink.
#[derive(Debug)]
pub struct Courier {
    acknowledged: Seq,
    /// Everything up to here was handed over since the last failure.
    sent: Seq,
    /// The last event handed over, where `sent` may lie behind it because the rest was not for this sink.
    last_event: Option<Seq>,
    /// Refused for good, beyond what is acknowledged.
    refused: BTreeSet<Seq>,
    unsaved: Option<Vec<Refusal>>,
    limit: usize,
    limit_max: usize,
    /// The far side confirms later than it takes: what is not confirmed at once is in the air, not unsent.
    settles: bool,
    resume_at: Moment,
    retry: Backoff,
    pause: Backoff,
    state: State,
    failures: u32,
    /// Events refused since the sink took one.
    refused_in_a_row: usize,
}

impl Courier {
    /// A courier that goes on from what is durable. `limit` is how many events the sink takes at once; `settles` says that
    /// what it takes may be confirmed later, where otherwise what is not confirmed at once was not taken; `seed` is for
    /// jitter.
    pub fn new(
        progress: &Progress,
        refused: impl IntoIterator<Item = Seq>,
        limit: usize,
        settles: bool,
        seed: u64,
    ) -> Self {
        let acknowledged = progress.acknowledged;
        Self {
            acknowledged,
            sent: acknowledged,
            last_event: None,
            refused: refused.into_iter().filter(|&seq| acknowledged < seq).collect(),
            unsaved: None,
            limit,
            limit_max: limit,
            settles,
            resume_at: Moment::default(),
            retry: Backoff::new(RETRY.0, RETRY.1, seed),
            pause: Backoff::new(PAUSE.0, PAUSE.1, seed.wrapping_add(1)),
            state: State::New,
            failures: 0,
            refused_in_a_row: 0,
        }
    }

    /// The one thing to do next; `newest` is the newest durable event of the outbox.
    pub fn todo(&mut self, now: Moment, newest: Seq) -> Todo {
        if let Some(refusals) = self.unsaved.take() {
            return Todo::Commit(Progress { acknowledged: self.acknowledged, counted: 0 }, refusals);
        }
        let in_the_air = self.acknowledged < self.sent;
        let may_send = self.sent < newest && self.sent.0 - self.acknowledged.0 < IN_THE_AIR_MAX;
        if !in_the_air && !may_send {
            return Todo::Idle;
        }
        if now < self.resume_at && !may_send_now(&self.state, may_send) {
            return Todo::Wait(self.resume_at);
        }
        if may_send { Todo::Send { after: self.sent, limit: self.limit } } else { Todo::Settle }
    }

    /// Whether an event was refused for good and is not to be handed over again.
    pub fn is_refused(&self, seq: Seq) -> bool {
        self.refused.contains(&seq)
    }

    /// What [`Todo::Send`] asked for was handed over, and this came of it.
    pub fn sent(&mut self, handed: Handed, result: Result<Option<Seq>, DeliverError>, now: Moment) {
        match result {
            Ok(confirmed) => {
                let confirmed = if planted::is(Mistake::AcknowledgeOnWrite) { handed.last } else { confirmed };
                self.sent = handed.scanned_to;
                self.last_event = handed.last.or(self.last_event);
                if handed.count != 0 {
                    self.refused_in_a_row = 0;
                    self.limit = (self.limit * 2).min(self.limit_max);
                }
                self.confirmed(confirmed, now);
                if !self.settles {
                    self.forget_the_air();
                }
            }
            Err(error) => self.failed(error, handed, now),
        }
    }

    /// What [`Todo::Settle`] asked for was answered with this.
    pub fn settled(&mut self, result: Result<Option<Seq>, DeliverError>, now: Moment) {
        let nothing = Handed { scanned_to: self.sent, last: None, count: 0 };
        match result {
            Ok(confirmed) => self.confirmed(confirmed, now),
            Err(error) => self.failed(error, nothing, now),
        }
    }

    /// Everything up to here is durable at the far side.
    pub const fn acknowledged(&self) -> Seq {
        self.acknowledged
    }

    /// How the sink fares.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Failures since the last delivery that worked. A refusal is none, as long as the rest flows on.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    fn confirmed(&mut self, confirmed: Option<Seq>, now: Moment) {
        self.state = State::Delivering;
        self.failures = 0;
        self.retry.reset();
        self.pause.reset();
        self.resume_at = now + SETTLE_EVERY;
        // What was not for this sink behind the last event it got needs no confirmation.
        let nothing_in_the_air = self.last_event.is_none_or(|last| confirmed.is_some_and(|seq| last <= seq));
        let reached = if nothing_in_the_air { self.sent } else { confirmed.unwrap_or_default() };
        if nothing_in_the_air {
            self.last_event = None;
        }
        if self.acknowledged < reached {
            self.acknowledged = reached;
            self.refused.retain(|&seq| reached < seq);
            self.unsaved.get_or_insert_default();
        }
    }

    /// Nobody knows what became of what was in the air: it is sent again.
    const fn forget_the_air(&mut self) {
        self.sent = self.acknowledged;
        self.last_event = None;
    }
}

/// After a failure nothing is sent before its time. While something is merely in the air, new events go out at once.
const fn may_send_now(state: &State, may_send: bool) -> bool {
    match state {
        State::New | State::Delivering => may_send,
        State::Retrying { .. } | State::Paused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const NOW: Moment = Moment::from_nanos(0);
    pub(super) const LATER: Moment = Moment::from_nanos(3_600_000_000_000_000);

    pub(super) fn courier(settles: bool) -> Courier {
        Courier::new(&Progress::default(), [], 8, settles, 1)
    }

    pub(super) fn handed(from: u64, to: u64) -> Handed {
        Handed { scanned_to: Seq(to), last: Some(Seq(to)), count: (to - from + 1) as usize }
    }

    pub(super) fn retry() -> DeliverError {
        DeliverError::Retry { why: "down".into(), after: None }
    }

    pub(super) fn acknowledged(to: u64, refusals: Vec<Refusal>) -> Todo {
        Todo::Commit(Progress { acknowledged: Seq(to), counted: 0 }, refusals)
    }

    #[test]
    fn what_is_confirmed_is_made_durable_and_the_rest_goes_on() {
        let mut courier = courier(false);
        assert_eq!(courier.todo(NOW, Seq(0)), Todo::Idle);
        assert_eq!(courier.todo(NOW, Seq(5)), Todo::Send { after: Seq(0), limit: 8 });
        courier.sent(handed(1, 5), Ok(Some(Seq(3))), NOW);
        assert_eq!(courier.todo(NOW, Seq(5)), acknowledged(3, vec![]));
        assert_eq!(courier.todo(NOW, Seq(5)), Todo::Send { after: Seq(3), limit: 8 });
    }

    #[test]
    fn what_is_in_the_air_is_asked_for_and_sent_again_after_a_failure() {
        let mut courier = courier(true);
        courier.sent(handed(1, 5), Ok(None), NOW);
        assert_eq!(courier.todo(NOW, Seq(7)), Todo::Send { after: Seq(5), limit: 8 }, "new events go out at once");
        courier.sent(handed(6, 7), Ok(Some(Seq(4))), NOW);
        assert_eq!(courier.todo(NOW, Seq(7)), acknowledged(4, vec![]));
        assert!(matches!(courier.todo(NOW, Seq(7)), Todo::Wait(_)));
        assert_eq!(courier.todo(LATER, Seq(7)), Todo::Settle);
        courier.settled(Err(retry()), LATER);
        assert!(matches!(courier.todo(LATER, Seq(7)), Todo::Wait(_)));
        assert_eq!(courier.todo(LATER + Duration::from_secs(60), Seq(7)), Todo::Send { after: Seq(4), limit: 8 });
    }

    #[test]
    fn what_is_not_for_this_sink_needs_no_confirmation() {
        let mut courier = courier(true);
        courier.sent(Handed { scanned_to: Seq(9), last: None, count: 0 }, Ok(None), NOW);
        assert_eq!(courier.todo(NOW, Seq(9)), acknowledged(9, vec![]));
        courier.sent(Handed { scanned_to: Seq(20), last: Some(Seq(12)), count: 1 }, Ok(None), NOW);
        courier.settled(Ok(Some(Seq(12))), NOW);
        assert_eq!(courier.todo(NOW, Seq(20)), acknowledged(20, vec![]));
    }
}
