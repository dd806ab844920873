//! The program as the simulation drives it: the real poller, quota and couriers, and what each of its loops is at. What each
//! loop does stands in reading.rs and delivering.rs.

use crate::core::commit::{Commit, Done};
use crate::core::courier::{Courier, Handed, Progress};
use crate::core::poller::{Poller, Reader};
use crate::core::quota::Quota;
use crate::dice::Dice;
use crate::ledger::{Batch, Ledger};
use crate::mistakes::Planted;
use crate::model::dialect::Dialect;
use crate::model::moment::Moment;
use crate::model::page::Query;
use crate::plan::{LIMITS, Plan, SECOND};
use crate::server::Answer;
use crate::sink::{Delivered, Sink};
use crate::world::NEVER;

/// The readers, by place.
pub const READERS: [Reader; 2] = [Reader::Tail, Reader::Sweep];

/// One life of the process.
#[derive(Debug)]
pub struct Daemon {
    /// What decides about reading.
    pub poller: Poller,
    /// What decides about calls.
    pub quota: Quota,
    /// Our clock less simulated time, in nanoseconds.
    pub off: i64,
    /// When it started.
    pub since: u64,
    /// What each reader is at, and when it goes on.
    pub readers: [(Reading, u64); 2],
    /// What each sink's loop is at, and when it goes on.
    pub deliveries: Vec<Delivery>,
    /// Rows to leave out in the first reading after a restart, by mistake.
    pub stored_skip: u32,
    /// Calls made again outside the quota, by mistake.
    pub retries: u32,
}

/// What the loop of a reader is at.
#[derive(Debug)]
pub enum Reading {
    /// About to ask what to do.
    Free,
    /// The quota of a call is being made durable.
    Paying(Query, Batch),
    /// A call is on its way to the source.
    Calling(Query),
    /// An answer is on its way back.
    Hearing(Query, Box<Answer>),
    /// Something is being made durable.
    Writing(Box<Done>, Batch),
    /// The disk was full: go on from what is durable, once there is room.
    StartingOver,
}

/// The loop of a sink.
#[derive(Debug)]
pub struct Delivery {
    /// What decides.
    pub courier: Courier,
    /// What it is at.
    pub doing: Delivering,
    /// When it goes on.
    pub wake: u64,
    /// It waits, and new events wake it.
    pub for_more: bool,
    /// Failures in a row, for a mistake that counts them.
    pub failures: u32,
}

/// What the loop of a sink is at.
#[derive(Debug)]
pub enum Delivering {
    /// About to ask what to do.
    Free,
    /// Events were handed over.
    Handing(Handed, Box<Delivered>),
    /// It was asked how far it got.
    Asking(Box<Delivered>),
    /// Progress is being made durable.
    Writing(Progress, Batch),
    /// The disk was full: go on from what is durable, once there is room.
    StartingOver,
}

impl Daemon {
    /// A process that goes on from what is durable.
    pub fn start(
        plan: &Plan,
        dialect: Dialect,
        ledger: &Ledger,
        sinks: &mut [Sink],
        (at, off): (u64, i64),
        planted: Planted,
    ) -> Self {
        let now = moment(at, off);
        let quota = match ledger.quota {
            Some(state) if planted != Planted::QuotaInMemory => Quota::resumed(LIMITS, state, now),
            None if ledger.position.is_some() && planted != Planted::QuotaInMemory => Quota::spent(LIMITS, now),
            Some(_) | None => Quota::fresh(LIMITS),
        };
        let deliveries = (0..sinks.len()).map(|sink| Delivery::start(ledger, sinks, sink, at, plan.seed)).collect();
        Self {
            poller: Poller::new(plan.settings(dialect), ledger.known(), plan.seed ^ at, now),
            quota,
            off,
            since: at,
            readers: [(Reading::Free, at), (Reading::Free, at)],
            deliveries,
            stored_skip: ledger.stored_skip,
            retries: 0,
        }
    }

    /// Our own clock.
    pub const fn moment(&self, at: u64) -> Moment {
        moment(at, self.off)
    }

    /// When which of its loops goes on: readers first, then sinks.
    pub fn next(&self) -> (u64, usize) {
        let readers = self.readers.iter().map(|(_, wake)| *wake);
        let all = readers.chain(self.deliveries.iter().map(|delivery| delivery.wake));
        all.enumerate().map(|(loop_, wake)| (wake, loop_)).min().unwrap_or((NEVER, 0))
    }

    /// The machine sleeps, and our monotonic time with it.
    pub fn sleep(&mut self, span: u64) {
        self.off -= span as i64;
        self.readers.iter_mut().for_each(|(_, wake)| *wake += span);
        self.deliveries.iter_mut().for_each(|delivery| delivery.wake += span);
    }
}

impl Delivery {
    /// A loop that goes on from what is durable.
    pub fn start(ledger: &Ledger, sinks: &mut [Sink], sink: usize, at: u64, seed: u64) -> Self {
        let progress = Progress { acknowledged: ledger.progress[sink], counted: 0 };
        let refused = ledger.refused[sink].keys().copied();
        let plan = sinks[sink].plan();
        let mut dice = Dice::new(seed ^ at, sink as u64);
        let courier = Courier::new(&progress, refused, plan.limit, plan.streams, dice.number());
        sinks[sink].reconnect();
        Self { courier, doing: Delivering::Free, wake: at, for_more: false, failures: 0 }
    }
}

const fn moment(at: u64, off: i64) -> Moment {
    Moment::from_nanos((1_800_000_000 * SECOND + at).saturating_add_signed(off))
}

/// What is asked to be durable, taken for done: by mistake.
pub fn done_unwritten(commit: Commit) -> Done {
    match commit {
        Commit::Rows(_, _) => Done::Rows(crate::core::commit::Committed::default()),
        Commit::Position(position) => Done::Position(position),
        Commit::Quarantine(quarantine) => Done::Quarantine(quarantine),
    }
}
