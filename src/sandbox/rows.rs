//! What is visible: the current revision of each incident, indexed by its last update so that a page of twenty thousand rows
//! costs no sorting. Time only moves forward here; looking back is the world's slower business.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use crate::model::dialect::Dialect;
use crate::model::timestamp::Timestamp;
use crate::sandbox::graph::{self, Alerts, Reader};
use crate::sandbox::incident::{Incident, IncidentNumber, Status};

/// An incident as it stood from one change to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Whose.
    pub number: IncidentNumber,
    /// `createdTime`.
    pub created: Timestamp,
    /// `lastUpdateTime`.
    pub last_update: Timestamp,
    /// `status`.
    pub status: Status,
    /// `assignedTo`.
    pub assigned_to: Option<&'static str>,
    /// The first server time at which it is seen, unless a later revision is seen by then.
    pub shown_from: Timestamp,
    /// Grows by one per revision of the world.
    pub sequence: u64,
    /// Defender's JSON, rendered once.
    pub json: Box<str>,
    /// What Graph's is rendered from.
    pub facts: Facts,
}

/// The facts of a revision, and Graph's JSON of them once somebody has asked for it.
#[derive(Debug, Clone)]
pub struct Facts {
    incident: Incident,
    graph: OnceLock<Box<str>>,
}

impl Facts {
    /// Nobody has asked yet.
    pub const fn new(incident: Incident) -> Self {
        Self { incident, graph: OnceLock::new() }
    }

    /// The incident as it stood.
    pub const fn incident(&self) -> &Incident {
        &self.incident
    }
}

impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.incident == other.incident
    }
}

impl Eq for Facts {}

impl Revision {
    /// The JSON in either dialect, alerts and all, for a client that knows of every word. The tenant, of which a world has one,
    /// is in Graph's.
    pub fn told(&self, dialect: Dialect, tenant_id: &str) -> &str {
        match dialect {
            Dialect::Defender => &self.json,
            Dialect::Graph => self.facts.graph.get_or_init(|| {
                let reader = Reader { tenant_id, wants_newer: true };
                graph::incident(&self.facts.incident, reader, &Alerts::Within).into_boxed_str()
            }),
        }
    }
}

/// The visible rows, and what will become visible.
#[derive(Debug, Default)]
pub struct Rows {
    settled: Timestamp,
    by_update: BTreeMap<(Timestamp, IncidentNumber), Arc<Revision>>,
    by_number: BTreeMap<IncidentNumber, Arc<Revision>>,
    /// By the time it happens and the order in which it was done.
    pending: BTreeMap<(Timestamp, u64), Coming>,
    /// Incidents of which a pending revision will never be seen, once for each.
    dropped: Vec<IncidentNumber>,
}

#[derive(Debug)]
enum Coming {
    Shown(Arc<Revision>),
    Gone(IncidentNumber),
}

impl Rows {
    /// A revision will be seen from its time on.
    pub fn show(&mut self, revision: Arc<Revision>) {
        self.pending.insert((revision.shown_from, revision.sequence), Coming::Shown(revision));
    }

    /// An incident will be gone from `at` on. `sequence` is that of the act.
    pub fn hide(&mut self, number: IncidentNumber, at: Timestamp, sequence: u64) {
        let dropped = &mut self.dropped;
        self.pending.retain(|(time, _), coming| {
            let late = at <= *time && matches!(coming, Coming::Shown(revision) if revision.number == number);
            dropped.extend(late.then_some(number));
            !late
        });
        self.pending.insert((at, sequence), Coming::Gone(number));
    }

    /// Lets happen what is due, and returns the incidents of which a revision is not visible any more. A time before
    /// that of the last call changes nothing.
    pub fn settle(&mut self, to: Timestamp) -> Vec<IncidentNumber> {
        let mut superseded = std::mem::take(&mut self.dropped);
        self.settled = self.settled.max(to);
        while let Some(due) = self.pending.first_entry().filter(|due| due.key().0 <= self.settled) {
            match due.remove() {
                Coming::Gone(number) => superseded.extend(self.remove(number).map(|row| row.number)),
                Coming::Shown(next) => {
                    let before = self.by_number.get(&next.number);
                    if before.is_some_and(|before| next.sequence < before.sequence) {
                        // A later revision was visible sooner: this one never is.
                        superseded.push(next.number);
                        continue;
                    }
                    superseded.extend(self.remove(next.number).map(|row| row.number));
                    self.by_number.insert(next.number, Arc::clone(&next));
                    self.by_update.insert((next.last_update, next.number), next);
                }
            }
        }
        superseded
    }

    fn remove(&mut self, number: IncidentNumber) -> Option<Arc<Revision>> {
        let row = self.by_number.remove(&number)?;
        self.by_update.remove(&(row.last_update, number))
    }

    /// How far time has moved.
    pub const fn settled(&self) -> Timestamp {
        self.settled
    }

    /// How many are visible.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// One incident.
    pub fn get(&self, number: IncidentNumber) -> Option<&Arc<Revision>> {
        self.by_number.get(&number)
    }

    /// All of them, by number.
    pub fn by_number(&self) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        self.by_number.values()
    }

    /// Those last updated from `from` to `to`, both included, oldest first.
    pub fn by_update(&self, from: Timestamp, to: Timestamp) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        // An empty range where the bounds cross: the map would panic on it.
        let upper = (to, IncidentNumber(u64::MAX));
        let lower = (from.min(to), IncidentNumber(if from <= to { 0 } else { u64::MAX }));
        self.by_update.range((Bound::Included(lower), Bound::Included(upper))).map(|(_, row)| row)
    }
}
