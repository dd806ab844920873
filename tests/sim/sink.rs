//! A far side: takes events, a part of them or none, and says so, late or not at all. It keeps account of what arrived how
//! often, of what may arrive again, and of the order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::core::air::Air;
use crate::core::courier::{DeliverError, Refusal};
use crate::dice::Dice;
use crate::fault::{Counts, Fault};
use crate::ledger::Entry;
use crate::mistakes::Planted;
use crate::model::names::Seq;
use crate::model::timestamp::Timestamp;
use crate::plan::{Plan, SECOND, SinkPlan};

/// What left this machine so long before the connection was last found alive has arrived.
const SETTLE: Duration = Duration::from_secs(10);
/// The longest that something is on its way on a connection that is alive.
const ON_THE_WAY_MAX: u64 = 8 * SECOND;
/// Bytes of every event.
const EVENT_BYTES: u64 = 100;

/// One far side, and what connects us to it.
#[derive(Debug)]
pub struct Sink {
    plan: SinkPlan,
    number: u64,
    dice: Dice,
    /// Nobody is there until then.
    pub down_until: u64,
    /// Since when nothing has gone wrong with it.
    pub healthy_since: u64,
    /// By key of the event: how often it arrived, and how often it may arrive again.
    copies: Vec<u16>,
    excused: Vec<u16>,
    /// By number of the incident: the newest time that arrived.
    latest: Vec<Timestamp>,
    /// What arrived out of order or once too often, if anything.
    pub complaint: Option<Complaint>,
    stream: Stream,
    origin: Instant,
    /// No faults any more.
    pub is_calm: bool,
    /// Events that arrived.
    pub arrivals: u64,
}

/// What is wrong with an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// It arrived more often than anything excuses.
    Again(String),
    /// A later revision had arrived before.
    Behind(String),
}

/// A connection that confirms nothing.
#[derive(Debug, Default)]
struct Stream {
    air: Air,
    on_its_way: VecDeque<Flying>,
    is_broken: bool,
    unsent_bytes: u64,
}

#[derive(Debug)]
struct Flying {
    entry: Entry,
    leaves_at: u64,
    arrives_at: u64,
    has_left: bool,
}

/// What a delivery comes back with, and how long it takes.
pub type Delivered = (Result<Option<Seq>, DeliverError>, u64);

impl Sink {
    /// A far side that has nothing.
    pub fn new(plan: &SinkPlan, number: usize, seed: u64) -> Self {
        Self {
            plan: plan.clone(),
            number: number as u64,
            dice: Dice::new(seed, 100 + number as u64),
            down_until: 0,
            healthy_since: 0,
            copies: Vec::new(),
            excused: Vec::new(),
            latest: Vec::new(),
            complaint: None,
            stream: Stream::default(),
            origin: Instant::now(),
            is_calm: false,
            arrivals: 0,
        }
    }

    /// How it is set up.
    pub const fn plan(&self) -> &SinkPlan {
        &self.plan
    }

    /// Whether it is to get this event.
    pub const fn wants(&self, entry: &Entry) -> bool {
        entry.incident.is_some() || self.plan.takes_neighbours
    }

    /// Whether this event has arrived.
    pub fn has(&self, key: u32) -> bool {
        self.copies.get(key as usize).is_some_and(|&copies| copies != 0)
    }

    /// This event may arrive once more, if it has.
    pub fn excuse(&mut self, key: u32) {
        if self.has(key) {
            let place = key as usize;
            self.excused.resize(self.excused.len().max(place + 1), 0);
            self.excused[place] += 1;
        }
    }

    /// Everything may arrive once more, and the order begins anew: what was remembered of it is lost.
    pub fn excuse_all(&mut self) {
        for key in 0..self.copies.len() {
            self.excuse(key as u32);
        }
        self.latest.clear();
    }

    /// Hands over these events; none to ask how far it got.
    pub fn deliver(
        &mut self,
        events: &[(Seq, Entry)],
        at: u64,
        plan: &Plan,
        planted: Planted,
        counts: &mut Counts,
    ) -> Delivered {
        let takes = self.dice.between(1, 60) * SECOND / 1000;
        let result = if self.plan.streams {
            self.write(events, at, plan, planted, counts)
        } else if events.is_empty() {
            Ok(None)
        } else {
            self.post(events, at, plan, counts)
        };
        if self.happens(Fault::SinkStalls, plan, counts) {
            self.healthy_since = at;
            return (result, takes + self.dice.between(20, 100) * SECOND);
        }
        (result, takes)
    }

    /// The connection breaks: what was on its way is lost but for a part.
    pub fn reset(&mut self, at: u64) {
        self.advance(at);
        let kept = self.dice.place(self.stream.on_its_way.len() + 1);
        let last: Vec<_> = self.stream.on_its_way.drain(..).take(kept).filter(|flying| flying.has_left).collect();
        last.into_iter().for_each(|flying| self.arrive(&flying.entry));
        self.stream = Stream { is_broken: true, ..Stream::default() };
    }

    /// Our end is gone, and another takes its place.
    pub fn reconnect(&mut self) {
        self.stream.is_broken = false;
    }

    /// These may arrive once more.
    pub fn excuse_these(&mut self, keys: impl Iterator<Item = u32>) {
        keys.for_each(|key| self.excuse(key));
    }

    /// Time passes: what was on its way arrives.
    pub fn advance(&mut self, at: u64) {
        for flying in &mut self.stream.on_its_way {
            if !flying.has_left && flying.leaves_at <= at {
                flying.has_left = true;
                self.stream.unsent_bytes -= EVENT_BYTES;
            }
        }
        while self.stream.on_its_way.front().is_some_and(|flying| flying.arrives_at <= at) {
            let flying = self.stream.on_its_way.pop_front().expect("it was there a moment ago");
            self.arrive(&flying.entry);
        }
    }

    fn happens(&mut self, fault: Fault, plan: &Plan, counts: &mut Counts) -> bool {
        let happens = self.dice.permille(self.plan.failing) && plan.faults.has(fault) && !self.is_calm;
        if happens {
            counts.add(fault);
        }
        happens
    }

    /// A far side that answers.
    fn post(
        &mut self,
        events: &[(Seq, Entry)],
        at: u64,
        plan: &Plan,
        counts: &mut Counts,
    ) -> Result<Option<Seq>, DeliverError> {
        let why = || "simulated".to_owned();
        if let Some(error) = self.fails(at, plan, counts) {
            return Err(error);
        }
        if let Some(refusal) = self.refuses(events, plan, counts) {
            return Err(refusal);
        }
        if self.happens(Fault::SinkMute, plan, counts) {
            let taken = self.dice.place(events.len() + 1);
            for (_, entry) in &events[..taken] {
                self.arrive(entry);
                self.excuse(entry.key);
            }
            return Err(DeliverError::Retry { why: why(), after: None });
        }
        let taken = match self.happens(Fault::SinkPartial, plan, counts) {
            true => self.dice.place(events.len() + 1),
            false => events.len(),
        };
        events[..taken].iter().for_each(|(_, entry)| self.arrive(entry));
        Ok(taken.checked_sub(1).map(|last| events[last].0))
    }

    /// A far side that does not.
    fn write(
        &mut self,
        events: &[(Seq, Entry)],
        at: u64,
        plan: &Plan,
        planted: Planted,
        counts: &mut Counts,
    ) -> Result<Option<Seq>, DeliverError> {
        if std::mem::take(&mut self.stream.is_broken) {
            return Err(DeliverError::Retry { why: "simulated: the connection is gone".into(), after: None });
        }
        if let Some(error) = self.fails(at, plan, counts) {
            return Err(error);
        }
        let now = self.origin + Duration::from_nanos(at);
        self.advance(at);
        let mut leaves_at = self.stream.on_its_way.back().map_or(at, |flying| flying.leaves_at.max(at));
        let mut arrives_at = self.stream.on_its_way.back().map_or(at, |flying| flying.arrives_at);
        for (seq, entry) in events {
            leaves_at += self.dice.below(200) * SECOND / 1000;
            arrives_at = arrives_at.max(leaves_at + self.dice.below(ON_THE_WAY_MAX));
            self.stream.on_its_way.push_back(Flying { entry: *entry, leaves_at, arrives_at, has_left: false });
            self.stream.unsent_bytes += EVENT_BYTES;
            self.stream.air.written(*seq, EVENT_BYTES);
        }
        if planted == Planted::AcknowledgeOnWrite {
            return Ok(events.last().map(|(seq, _)| *seq));
        }
        self.stream.air.left(self.stream.unsent_bytes, now);
        Ok(self.stream.air.settled(now, SETTLE))
    }

    /// Why it takes nothing at all now.
    fn fails(&mut self, at: u64, plan: &Plan, counts: &mut Counts) -> Option<DeliverError> {
        let why = "simulated".to_owned();
        let error = if at < self.down_until && !self.is_calm {
            counts.add(Fault::SinkDown);
            DeliverError::Retry { why, after: None }
        } else if self.happens(Fault::SinkFails, plan, counts) {
            let after = self.dice.permille(300).then(|| Duration::from_secs(self.dice.between(0, 30)));
            DeliverError::Retry { why, after }
        } else if self.dice.permille(100) && self.happens(Fault::SinkPauses, plan, counts) {
            DeliverError::Pause { why }
        } else {
            return None;
        };
        self.healthy_since = at;
        if self.plan.streams && !self.stream.on_its_way.is_empty() {
            // It is told that nothing counts, and whoever asked sends it all again.
            let flying: Vec<_> = self.stream.on_its_way.drain(..).collect();
            for one in flying.into_iter().filter(|flying| flying.has_left) {
                self.arrive(&one.entry);
            }
        }
        if self.plan.streams {
            self.stream = Stream::default();
        }
        Some(error)
    }

    fn refuses(&self, events: &[(Seq, Entry)], plan: &Plan, counts: &mut Counts) -> Option<DeliverError> {
        let (one, batch) = (plan.faults.has(Fault::SinkRefuses), plan.faults.has(Fault::SinkRefusesBatch));
        if !one && !batch {
            return None;
        }
        let guilty: Vec<_> = events.iter().filter(|(_, entry)| self.dislikes(entry.key)).collect();
        let why = "simulated: not this one".to_owned();
        if guilty.is_empty() {
            return None;
        }
        if batch {
            counts.add(Fault::SinkRefusesBatch);
            return Some(DeliverError::RefusedBatch { why });
        }
        counts.add(Fault::SinkRefuses);
        Some(DeliverError::Refused(guilty.into_iter().map(|&(seq, _)| Refusal { seq, why: why.clone() }).collect()))
    }

    /// One event in forty, for good.
    pub fn dislikes(&self, key: u32) -> bool {
        let mut dice = Dice::new(u64::from(key), 1000 + self.number);
        dice.once_in(40)
    }

    fn arrive(&mut self, entry: &Entry) {
        let place = entry.key as usize;
        self.arrivals += 1;
        self.copies.resize(self.copies.len().max(place + 1), 0);
        self.excused.resize(self.excused.len().max(place + 1), 0);
        self.copies[place] += 1;
        if self.excused[place] + 1 < self.copies[place] {
            let (copies, excused) = (self.copies[place], self.excused[place]);
            let what = format!("{entry:?} arrived {copies} times, {excused} of them excused");
            self.complaint.get_or_insert(Complaint::Again(what));
        }
        let (Some(number), Some(time), true) = (entry.incident, entry.last_update, entry.is_ordered) else { return };
        if self.copies[place] == 1 {
            self.latest.resize(self.latest.len().max(number + 1), Timestamp::default());
            if time < self.latest[number] {
                let what = format!("{entry:?} arrived behind {}", self.latest[number]);
                self.complaint.get_or_insert(Complaint::Behind(what));
            }
            self.latest[number] = time.max(self.latest[number]);
        }
    }
}
