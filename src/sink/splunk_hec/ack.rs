//! Requests that HEC has taken and not acknowledged yet. Knows no connection: whoever owns it asks, and tells what was
//! answered when.
//!
//! HEC counts requests per channel and answers `true` once and `false` ever after (About HTTP Event Collector Indexer
//! Acknowledgment), so what was said is remembered here. `false` means not yet, lost, or never heard of.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::names::Seq;

/// Requests in the air at most. HEC keeps a million for one channel.
pub(super) const IN_THE_AIR_MAX: usize = 10_000;
/// Requests that one question is about at most, oldest first: its answer is read up to 64 KiB.
const ASKED_MAX: usize = 1000;

/// The number of a request in its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct AckId(pub(super) u64);

/// The requests of one channel that are in the air, oldest first.
#[derive(Debug, Default)]
pub(super) struct Air {
    requests: VecDeque<Request>,
}

#[derive(Debug)]
struct Request {
    id: AckId,
    /// How far its events reach, see [`Outgoing::reaches`](crate::sink::Outgoing::reaches).
    reaches: Seq,
    taken: Instant,
    is_acknowledged: bool,
}

/// The body of a question.
#[derive(Debug, Serialize)]
pub(super) struct Question {
    acks: Vec<AckId>,
}

/// The body of its answer.
#[derive(Debug, Deserialize)]
pub(super) struct Acks {
    acks: BTreeMap<String, bool>,
}

impl Question {
    /// The question about a request that there never was: its answer tells whether anything is acknowledged at all.
    pub(super) fn of_nothing() -> Self {
        Self { acks: vec![AckId(0)] }
    }
}

impl Air {
    /// A request was taken at `now` under this number. False: the number is in the air already, so whoever counts has begun
    /// anew, or there are several. Then an answer may mean either request, and neither can be trusted.
    #[must_use]
    pub(super) fn taken(&mut self, id: AckId, reaches: Seq, now: Instant) -> bool {
        if self.requests.iter().any(|request| request.id == id) {
            return false;
        }
        self.requests.push_back(Request { id, reaches, taken: now, is_acknowledged: false });
        true
    }

    /// What to ask; none: nothing is open.
    pub(super) fn question(&self) -> Option<Question> {
        let open = self.requests.iter().filter(|request| !request.is_acknowledged);
        let acks: Vec<_> = open.take(ASKED_MAX).map(|request| request.id).collect();
        (!acks.is_empty()).then_some(Question { acks })
    }

    /// Takes an answer in, and answers how far the requests reach that are acknowledged without a gap, if it is further than
    /// the last time.
    pub(super) fn answered(&mut self, Acks { acks }: &Acks) -> Option<Seq> {
        for request in &mut self.requests {
            request.is_acknowledged |= acks.get(&request.id.0.to_string()).is_some_and(|is_true| *is_true);
        }
        let count = self.requests.iter().take_while(|request| request.is_acknowledged).count();
        self.requests.drain(..count).next_back().map(|request| request.reaches)
    }

    /// Whether the oldest request has waited for so long that it counts as lost.
    pub(super) fn is_lost(&self, now: Instant, after: Duration) -> bool {
        self.requests.front().is_some_and(|oldest| after <= now.saturating_duration_since(oldest.taken))
    }

    /// How many requests are in the air.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Forgets all but the oldest of this number.
    pub(super) fn truncate(&mut self, len: usize) {
        self.requests.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(said: &[(u64, bool)]) -> Acks {
        Acks { acks: said.iter().map(|(id, is_true)| (id.to_string(), *is_true)).collect() }
    }

    fn air(requests: impl IntoIterator<Item = (u64, u64)>, now: Instant) -> Air {
        let mut air = Air::default();
        for (id, reaches) in requests {
            assert!(air.taken(AckId(id), Seq(reaches), now));
        }
        air
    }

    fn asked(air: &Air) -> String {
        serde_json::to_string(&air.question()).expect("JSON")
    }

    #[test]
    fn only_what_is_acknowledged_without_a_gap_counts_and_nothing_is_asked_or_said_twice() {
        let mut air = air([(0, 10), (1, 20), (2, 30)], Instant::now());
        assert_eq!(asked(&air), r#"{"acks":[0,1,2]}"#);
        assert_eq!(air.answered(&acks(&[(0, false), (1, true), (2, false)])), None);
        assert_eq!(asked(&air), r#"{"acks":[0,2]}"#, "an answer of true is given once");
        assert_eq!(air.answered(&acks(&[(0, true), (1, false)])), Some(Seq(20)), "what was said is remembered");
        assert_eq!((air.len(), asked(&air).as_str()), (1, r#"{"acks":[2]}"#));
        assert_eq!(air.answered(&acks(&[(9, true)])), None, "a stranger's");
        assert_eq!(air.answered(&acks(&[(2, true)])), Some(Seq(30)));
        assert_eq!(asked(&air), "null");
    }

    #[test]
    fn a_number_that_comes_twice_is_noticed() {
        let mut air = air([(0, 10), (1, 20)], Instant::now());
        assert!(!air.taken(AckId(1), Seq(30), Instant::now()));
        assert_eq!(air.answered(&acks(&[(0, true), (1, true)])), Some(Seq(20)));
        assert!(air.taken(AckId(1), Seq(30), Instant::now()), "one that is done with may come again");
    }

    #[test]
    fn a_request_that_is_never_acknowledged_is_lost_in_the_end() {
        let (start, after) = (Instant::now(), Duration::from_secs(300));
        let mut air = air([(0, 10), (1, 20)], start);
        assert!(!air.is_lost(start + Duration::from_secs(299), after));
        air.answered(&acks(&[(1, true)]));
        assert!(air.is_lost(start + after, after));
        air.answered(&acks(&[(0, true)]));
        assert!(!air.is_lost(start + after, after));
    }

    #[test]
    fn a_question_is_bounded_and_begins_with_the_oldest() {
        let air = air((0..5000).map(|n| (n, n)), Instant::now());
        let Question { acks } = air.question().expect("open ones");
        assert_eq!((acks.len(), acks[0]), (ASKED_MAX, AckId(0)));
    }
}
