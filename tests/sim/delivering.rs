//! The loop of a sink, as src/run/deliver.rs has it: reads the outbox, hands over, makes progress durable.

use crate::core::courier::{Handed, State, Todo};
use crate::daemon::{Delivering, Delivery};
use crate::invariant::{Checked, Invariant};
use crate::ledger::{Entry, Full};
use crate::mistakes::Planted;
use crate::model::names::Seq;
use crate::reading::{LONGEST_WAIT, ROOM_EVERY};
use crate::simulation::Simulation;
use crate::trace::What;

/// After so many failures a delivery is given up, by mistake.
const TRIES: u32 = 3;

impl Simulation {
    /// One step of a sink's loop.
    pub(crate) fn deliver(&mut self, sink: usize) -> Checked {
        let now = self.now;
        self.delivery(sink).for_more = false;
        match std::mem::replace(&mut self.delivery(sink).doing, Delivering::Free) {
            Delivering::Free => self.delivers(sink)?,
            Delivering::Handing(handed, delivered) => {
                let mut result = delivered.0;
                self.kill_soon();
                let how = match &result {
                    Ok(Some(seq)) => ("confirms", seq.0),
                    Ok(None) => ("confirms nothing", 0),
                    Err(_) => ("fails", 0),
                };
                self.trace.note(now, What::Sent(sink, how.0, how.1));
                let delivery = self.delivery(sink);
                delivery.failures = if result.is_err() { delivery.failures + 1 } else { 0 };
                let gives_up = TRIES <= delivery.failures;
                if gives_up && self.planted == Planted::GiveUpAfterThree {
                    self.delivery(sink).failures = 0;
                    result = Ok(handed.last);
                }
                if result.is_err() {
                    self.excuse_unconfirmed(sink);
                }
                let moment = self.daemon().moment(now);
                self.delivery(sink).courier.sent(handed, result, moment);
            }
            Delivering::Asking(delivered) => {
                if delivered.0.is_err() {
                    self.excuse_unconfirmed(sink);
                }
                let moment = self.daemon().moment(now);
                self.delivery(sink).courier.settled(delivered.0, moment);
            }
            Delivering::Writing(progress, batch) => {
                self.kill_soon();
                if !self.ledger.sync(batch) {
                    self.sink_starts_over(sink);
                    return Ok(());
                }
                self.synced();
                self.trace.note(now, What::Acknowledges(sink, progress.acknowledged.0));
                self.acknowledged()?;
            }
            Delivering::StartingOver if self.ledger.is_full => self.sink_starts_over(sink),
            Delivering::StartingOver => {
                // The connection that there was is dropped; what it had in the air may come again.
                self.sinks[sink].reset(now);
                let unconfirmed = self.unconfirmed(sink, self.ledger.progress[sink]);
                self.sinks[sink].excuse_these(unconfirmed.into_iter());
                let fresh = Delivery::start(&self.ledger, &mut self.sinks, sink, now, self.plan.seed);
                *self.delivery(sink) = fresh;
            }
        }
        Ok(())
    }

    fn delivers(&mut self, sink: usize) -> Checked {
        let now = self.now;
        let newest = self.ledger.newest();
        let moment = self.daemon().moment(now);
        match self.delivery(sink).courier.todo(moment, newest) {
            Todo::Idle => self.sleeps(sink, LONGEST_WAIT, true),
            Todo::Wait(until) => {
                let may_send = matches!(self.delivery(sink).courier.state(), State::New | State::Delivering);
                let wait = until.since(moment).as_nanos() as u64;
                self.sleeps(sink, wait.min(LONGEST_WAIT), may_send);
            }
            Todo::Settle => {
                let delivered = self.sinks[sink].deliver(&[], now, &self.plan, self.planted, &mut self.counts);
                let delivery = self.delivery(sink);
                (delivery.wake, delivery.doing) = (now + delivered.1, Delivering::Asking(Box::new(delivered)));
            }
            Todo::Send { after, limit } => self.sends(sink, after, limit)?,
            Todo::Commit(progress, refusals) => {
                let takes = self.sync_takes();
                let all =
                    if self.planted == Planted::OneAcknowledgement { 0..self.sinks.len() } else { sink..sink + 1 };
                let mut written = Err(Full);
                for one in all {
                    let refusals = if one == sink { refusals.clone() } else { Vec::new() };
                    written = self.ledger.acknowledge(one, progress.clone(), refusals);
                }
                match written {
                    Ok(batch) => {
                        let delivery = self.delivery(sink);
                        (delivery.wake, delivery.doing) = (now + takes, Delivering::Writing(progress, batch));
                    }
                    Err(Full) => self.sink_starts_over(sink),
                }
            }
        }
        Ok(())
    }

    fn sends(&mut self, sink: usize, after: Seq, limit: usize) -> Checked {
        let now = self.now;
        if after.0 < self.ledger.base() {
            return self
                .broken(Invariant::I5, format!("sink {sink} goes on behind {after}, which is not there any more"));
        }
        let (events, scanned_to) = self.chunk(sink, after, limit);
        let last = events.last().map(|(seq, _)| *seq);
        let handed = Handed { scanned_to, last, count: events.len() };
        self.trace.note(now, What::Sends(sink, after.0, events.len()));
        if self.planted == Planted::AcknowledgeBeforeSend {
            let progress = crate::core::courier::Progress { acknowledged: scanned_to, counted: 0 };
            if let Ok(batch) = self.ledger.acknowledge(sink, progress, Vec::new()) {
                self.ledger.sync(batch);
            }
        }
        let delivered = if events.is_empty() {
            (Ok(None), 0)
        } else {
            self.sinks[sink].deliver(&events, now, &self.plan, self.planted, &mut self.counts)
        };
        let delivery = self.delivery(sink);
        (delivery.wake, delivery.doing) = (now + delivered.1, Delivering::Handing(handed, Box::new(delivered)));
        Ok(())
    }

    /// What follows a position, as the store reads it, without what the sink refused before.
    fn chunk(&mut self, sink: usize, after: Seq, limit: usize) -> (Vec<(Seq, Entry)>, Seq) {
        let (mut events, mut read, mut scanned_to) = (Vec::new(), 0, after);
        for seq in after.0 + 1..=self.ledger.newest().0 {
            let Some(entry) = self.ledger.entry(seq) else { continue };
            if self.sinks[sink].wants(&entry) {
                if read == limit {
                    return (events, scanned_to);
                }
                read += 1;
                if !self.delivery(sink).courier.is_refused(Seq(seq)) {
                    events.push((Seq(seq), entry));
                }
            }
            scanned_to = Seq(seq);
        }
        (events, scanned_to)
    }

    fn sleeps(&mut self, sink: usize, wait: u64, for_more: bool) {
        let wake = self.now + wait;
        let delivery = self.delivery(sink);
        (delivery.wake, delivery.for_more) = (wake, for_more);
    }

    fn sink_starts_over(&mut self, sink: usize) {
        let wake = self.now + ROOM_EVERY;
        let delivery = self.delivery(sink);
        (delivery.wake, delivery.doing) = (wake, Delivering::StartingOver);
    }

    /// What arrived behind a position: it may be sent again.
    pub(crate) fn unconfirmed(&self, sink: usize, after: Seq) -> Vec<u32> {
        let entries = (after.0 + 1..=self.ledger.end()).filter_map(|seq| self.ledger.entry(seq));
        entries.map(|entry| entry.key).filter(|&key| self.sinks[sink].has(key)).collect()
    }

    /// A delivery failed: a stream forgets what it had in the air.
    fn excuse_unconfirmed(&mut self, sink: usize) {
        if self.sinks[sink].plan().streams {
            let acknowledged = self.delivery(sink).courier.acknowledged();
            let unconfirmed = self.unconfirmed(sink, acknowledged);
            self.sinks[sink].excuse_these(unconfirmed.into_iter());
        }
    }

    pub(crate) fn delivery(&mut self, sink: usize) -> &mut Delivery {
        &mut self.daemon().deliveries[sink]
    }
}
