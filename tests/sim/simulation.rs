//! One seeded run: two readers, one courier, crashes between any two steps, and the invariants checked all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xdrelay::core::courier::{self, Courier, DeliverError, Handed};
use xdrelay::core::poller::{Audit, Commit, Done, Known, Poller, Reader, Settings, Start, Todo};
use xdrelay::core::quota::{Limits, Quota};
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{EventId, Seq};
use xdrelay::model::page::Query;
use xdrelay::model::timestamp::Timestamp;

use crate::ledger::Ledger;
use crate::server::{SECOND, Server};

const OVERLAP: Duration = Duration::from_secs(1800);
const LIMITS: Limits = Limits { per_minute: 50, per_hour: 1500 };
/// Simulated time with faults, and the time after it in which everything must come to rest.
const FAULTY: u64 = 4000 * SECOND;
const SETTLING: u64 = 3600 * SECOND;

pub(crate) struct Simulation {
    rng: StdRng,
    now: u64,
    server: Server,
    ledger: Ledger,
    sink: Sink,
    poller: Poller,
    quota: Quota,
    courier: Courier,
    /// When each actor acts next.
    wake: [u64; 3],
    in_the_air: [Option<(Query, u64)>; 2],
    report: Report,
}

/// What arrived at the far side, in order, and what may have been repeated.
#[derive(Default)]
struct Sink {
    arrived: BTreeSet<EventId>,
    excused: BTreeSet<Seq>,
    latest: BTreeMap<String, Timestamp>,
}

#[derive(Default, Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) steps: u64,
    pub(crate) calls: u64,
    pub(crate) failed_calls: u64,
    pub(crate) crashes: u64,
    pub(crate) late_rows: u64,
    pub(crate) events: u64,
    pub(crate) moved_cursors: u64,
    pub(crate) trace: u64,
}

type Checked = Result<(), String>;

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
        let start = if rng.random_bool(0.5) {
            Start::Back(Duration::from_secs(rng.random_range(0..400_000)))
        } else {
            Start::Now
        };
        let poller = Poller::new(settings(start), Known::default(), seed, moment(0));
        let courier = Courier::new(&courier::Progress::default(), [], 50, false, seed);
        Self {
            rng,
            now: SECOND,
            server: Server::new(seed),
            ledger: Ledger::default(),
            sink: Sink::default(),
            poller,
            quota: Quota::fresh(LIMITS),
            courier,
            wake: [SECOND; 3],
            in_the_air: [None; 2],
            report: Report::default(),
        }
    }

    pub(crate) fn run(mut self) -> Result<Report, String> {
        while self.now < FAULTY + SETTLING {
            self.step()?;
        }
        self.at_rest()?;
        self.report.late_rows = self.server.late_rows;
        self.report.failed_calls = self.server.failed_calls;
        self.report.calls = self.server.arrivals.len() as u64;
        self.report.events = self.ledger.outbox.len() as u64;
        Ok(self.report)
    }

    fn is_faulty(&self) -> bool {
        self.now < FAULTY
    }

    /// The next actor acts, or dies.
    fn step(&mut self) -> Checked {
        self.report.steps += 1;
        let actor = (0..3).min_by_key(|&actor| self.wake[actor]).expect("three actors");
        self.now = self.now.max(self.wake[actor]);
        if self.is_faulty() && self.rng.random_bool(0.15) {
            self.server.live(self.now);
        }
        if self.is_faulty() && self.rng.random_bool(0.003) {
            return self.crash();
        }
        match actor {
            0 => self.reader_acts(Reader::Tail, 0),
            1 => self.reader_acts(Reader::Sweep, 1),
            _ => self.courier_acts(),
        }
    }

    /// Everything that is not durable is gone. Calls in the air still reach the server.
    fn crash(&mut self) -> Checked {
        self.report.crashes += 1;
        self.now += self.rng.random_range(0..60) * SECOND;
        let now = moment(self.now);
        self.quota = self.ledger.quota.map_or_else(|| Quota::fresh(LIMITS), |state| Quota::resumed(LIMITS, state, now));
        self.poller = Poller::new(settings(Start::Now), self.ledger.known(), self.now, now);
        self.sink.excused =
            (self.ledger.progress.acknowledged.0..self.ledger.newest().0).map(|seq| Seq(seq + 1)).collect();
        self.courier = Courier::new(&self.ledger.progress, [], 50, false, self.now);
        self.wake = [self.now; 3];
        self.in_the_air = [None; 2];
        Ok(())
    }

    fn reader_acts(&mut self, reader: Reader, actor: usize) -> Checked {
        let now = moment(self.now);
        if let Some((query, _)) = self.in_the_air[actor].take() {
            let answer = self.server.list(&query, self.now, !self.is_faulty());
            self.poller.fetched(reader, answer, now, &mut self.quota);
            return self.check_quota();
        }
        match self.poller.todo(reader, now, &mut self.quota) {
            // Never asleep past the wait, and woken by the other reader at the latest a second later.
            Todo::Wait(until) => self.wake[actor] = until.nanos().max(self.now + SECOND / 100).min(self.now + SECOND),
            Todo::Fetch(query, lane) => {
                let state = self.quota.charge(lane, now).ok_or("a call was asked for that the quota cannot pay")?;
                self.ledger.quota = Some(state);
                self.in_the_air[actor] = Some((query, self.now));
                self.wake[actor] = self.now + self.rng.random_range(50..1500) * SECOND / 1000;
            }
            Todo::Commit(Commit::Rows(_, page)) => {
                let outcome = self.ledger.commit(page, now);
                self.trace(&outcome.events.len());
                self.poller.committed(reader, &Done::Rows(outcome), now);
                self.wake[2] = self.now;
            }
            Todo::Commit(Commit::Quarantine(quarantine)) => {
                self.ledger.quarantine = quarantine.clone();
                self.poller.committed(reader, &Done::Quarantine(quarantine), now);
            }
            Todo::Commit(Commit::Position(position)) => {
                self.check_position(&position)?;
                self.ledger.position = Some(position);
                self.poller.committed(reader, &Done::Position(position), now);
            }
        }
        Ok(())
    }

    fn courier_acts(&mut self) -> Checked {
        let now = moment(self.now);
        match self.courier.todo(now, self.ledger.newest()) {
            courier::Todo::Idle => self.wake[2] = self.now + 5 * SECOND,
            courier::Todo::Wait(until) => self.wake[2] = until.nanos().max(self.now + SECOND / 100),
            courier::Todo::Settle => self.courier.settled(Ok(None), now),
            courier::Todo::Commit(progress, _) => self.ledger.progress = progress,
            courier::Todo::Send { after, limit } => {
                let to = self.ledger.newest().0.min(after.0 + limit as u64);
                let handed = Handed { scanned_to: Seq(to), last: Some(Seq(to)), count: (to - after.0) as usize };
                let result = self.deliver(after.0, to)?;
                self.courier.sent(handed, result, now);
            }
        }
        Ok(())
    }

    /// The far side takes all, a part, or nothing, and answers or does not.
    fn deliver(&mut self, after: u64, to: u64) -> Result<Result<Option<Seq>, DeliverError>, String> {
        let faulty = self.is_faulty();
        let taken = if faulty && self.rng.random_bool(0.2) { self.rng.random_range(after..=to) } else { to };
        for seq in after + 1..=taken {
            self.arrive(Seq(seq))?;
        }
        if faulty && self.rng.random_bool(0.1) {
            self.sink.excused.extend((after + 1..=taken).map(Seq));
            return Ok(Err(DeliverError::Retry { why: "no answer".into(), after: None }));
        }
        Ok(Ok((after < taken).then_some(Seq(taken))))
    }

    fn arrive(&mut self, seq: Seq) -> Checked {
        let entry = &self.ledger.outbox[seq.0 as usize - 1];
        self.trace(&entry.event_id.as_str().to_owned());
        let entry = &self.ledger.outbox[seq.0 as usize - 1];
        if self.sink.arrived.contains(&entry.event_id) {
            if self.sink.excused.contains(&seq) {
                return Ok(());
            }
            return Err(format!("I4: {} was sent twice without a reason", entry.event_id));
        }
        let latest = self.sink.latest.entry(entry.incident.to_string()).or_default();
        let time = entry.last_update.unwrap_or_default();
        if time < *latest {
            return Err(format!("I10: {} arrived behind a later revision", entry.event_id));
        }
        *latest = time;
        self.sink.arrived.insert(entry.event_id.clone());
        Ok(())
    }

    /// I6: no sliding window holds more calls than its quota, counted on arrival.
    fn check_quota(&self) -> Checked {
        for (window, limit) in [(60, LIMITS.per_minute), (3600, LIMITS.per_hour)] {
            let from = self.now.saturating_sub(window * SECOND);
            let count = self.server.arrivals.iter().rev().take_while(|&&arrival| from <= arrival).count();
            if limit < u32::try_from(count).unwrap_or(u32::MAX) {
                return Err(format!("I6: {count} calls within {window} s"));
            }
        }
        Ok(())
    }

    /// I3 and the heart of I1: the cursor passes nothing that was not taken, nor server time less the overlap.
    fn check_position(&mut self, next: &xdrelay::core::poller::Position) -> Checked {
        let Some(before) = self.ledger.position else { return Ok(()) };
        let bound = Server::time(self.now).earlier(OVERLAP).max(before.cursor);
        if next.cursor < before.cursor || bound < next.cursor {
            return Err(format!("I3: the cursor went from {} to {} at {}", before.cursor, next.cursor, bound));
        }
        if before.cursor < next.cursor {
            self.report.moved_cursors += 1;
        }
        for (id, revision) in self.server.current(self.now) {
            let below = before.floor <= revision.last_update && revision.last_update < next.cursor;
            if below && !self.ledger.knows(id, revision.last_update) {
                return Err(format!("I1: the cursor {} passed {id} of {}", next.cursor, revision.last_update));
            }
        }
        Ok(())
    }

    /// I1 and I7: everything current has reached the far side, and the cursor has moved.
    fn at_rest(&self) -> Checked {
        let position = self.ledger.position.ok_or("I7: no position after all this time")?;
        for (id, revision) in self.server.current(self.now) {
            if position.floor <= revision.last_update && !self.ledger.knows(id, revision.last_update) {
                return Err(format!("I1: {id} of {} was never taken", revision.last_update));
            }
        }
        if self.sink.arrived.len() != self.ledger.outbox.len()
            || self.ledger.progress.acknowledged != self.ledger.newest()
        {
            return Err(format!("I7: {} of {} events arrived", self.sink.arrived.len(), self.ledger.outbox.len()));
        }
        if position.cursor < Server::time(self.now).earlier(OVERLAP + Duration::from_secs(900)) {
            return Err(format!("I7: the cursor is stuck at {} of {}", position.cursor, Server::time(self.now)));
        }
        Ok(())
    }

    fn trace(&mut self, what: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        (self.report.trace, self.now).hash(&mut hasher);
        what.hash(&mut hasher);
        self.report.trace = hasher.finish();
    }
}

fn settings(start: Start) -> Settings {
    Settings {
        interval: None,
        overlap: OVERLAP,
        sweep_every: Duration::from_secs(60),
        page_size: 100,
        list: LIMITS,
        audit: Audit { every: Duration::from_secs(3600), window: Duration::from_secs(86_400) },
        deep_audit: Audit { every: Duration::from_secs(86_400), window: Duration::from_secs(30 * 86_400) },
        start,
    }
}

fn moment(at: u64) -> Moment {
    Moment::from_nanos(at)
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.calls += other.calls;
        self.failed_calls += other.failed_calls;
        self.crashes += other.crashes;
        self.late_rows += other.late_rows;
        self.events += other.events;
        self.moved_cursors += other.moved_cursors;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, calls, failed_calls, crashes, late_rows, events, moved_cursors, .. } = self;
        write!(
            f,
            "{steps} steps, {calls} calls ({failed_calls} failed), {crashes} crashes, {late_rows} late rows, {events} events, \
             the cursor moved {moved_cursors} times"
        )
    }
}
