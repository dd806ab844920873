//! What must hold at all times, checked where it can break. The numbers are those of docs/simulation.md.

use std::fmt;

use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::fault::Fault;
use crate::incident::{Incident, Revision};
use crate::model::incident::Row;
use crate::model::names::Seq;
use crate::model::timestamp::Timestamp;
use crate::plan::SECOND;
use crate::simulation::Simulation;
use crate::sink::Complaint;
use crate::trace::Shown;
use crate::world::{NEVER, World, without_alerts};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "docs/simulation.md says of each what it demands")]
pub enum Invariant {
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I7,
    I8,
    I9,
    I10,
    I11,
}

/// One that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What happened.
    pub what: String,
}

/// Nothing, or what does not hold.
pub type Checked = Result<(), Violation>;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// What is remembered between checks.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    cursor: Option<Timestamp>,
    swept: Option<Timestamp>,
    /// When the last sweep was complete, or the process started: the next began after that.
    sweep_since: u64,
    /// Complete sweeps, from before they began until they were durable.
    sweeps: Vec<(u64, u64)>,
    /// All that was ever in quarantine.
    quarantined: Vec<(Timestamp, Timestamp)>,
    /// Up to where each sink's progress was checked.
    pub(crate) acknowledged: Vec<Seq>,
    /// Up to where the events of the outbox are marked as recorded.
    pub(crate) recorded: u64,
    /// The end of the outbox over time, since the process started.
    ends: std::collections::VecDeque<(u64, u64)>,
    /// Where reading began at the first run; whatever happens later, that was promised.
    pub(crate) floor: Option<Timestamp>,
    /// The database was lost: what is older than this may be unknown, where every sink has it.
    pub(crate) forgotten_before: Timestamp,
    /// The cursor moved so often.
    pub(crate) moves: u64,
}

/// A `Date` may run ahead so much and be trusted; it is cut to its second, too.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(6);
/// A healthy sink gets what is new within this time: twice its longest pause and a stall.
const DELIVERED_WITHIN: u64 = 900 * SECOND;
/// No window in quarantine is wider.
const QUARANTINE_MAX: u64 = 2;

impl Memory {
    pub(crate) fn new(sinks: usize) -> Self {
        Self { acknowledged: vec![Seq(0); sinks], ..Self::default() }
    }
}

impl Simulation {
    pub(crate) fn broken(&self, invariant: Invariant, what: String) -> Checked {
        Err(Violation { invariant, what })
    }

    /// Rows that were taken for new: I9, and that no revision is recorded twice, whichever API told of it (I4).
    pub(crate) fn takes(&mut self, rows: &[Row]) -> Checked {
        for row in rows {
            let id = crate::core::seen::id_of(row);
            let incident = World::number_of(&id).and_then(|number| self.world.incidents.get(number));
            let is_part = |other: &Row| row.part && without_alerts(other.raw.get()) == row.raw.get();
            let is_it = |other: &Row| other.raw.get() == row.raw.get() || is_part(other);
            let says = |revision: &&Revision| revision.rows().any(is_it);
            let Some((incident, revision)) =
                incident.and_then(|incident| Some((incident, incident.revisions.iter().find(says)?)))
            else {
                return self.broken(Invariant::I9, format!("the source never said {}", row.raw.get()));
            };
            // Contents that share a time cannot be told from each other's translations.
            let is_excused = self.has(Fault::Switch) && shares_its_time(incident, revision);
            if revision.is_remembered && !is_excused {
                return self.broken(Invariant::I4, format!("a revision is recorded twice: {}", row.raw.get()));
            }
        }
        Ok(())
    }

    /// A position is durable: I3, I1, and what sweeps there were.
    pub(crate) fn positioned(&mut self, position: &Position) -> Checked {
        let before = self.memory.cursor.replace(position.cursor);
        self.memory.floor.get_or_insert(position.floor);
        if self.memory.swept != position.swept {
            self.memory.swept = position.swept;
            self.memory.sweeps.push((self.memory.sweep_since, self.now));
            self.memory.sweep_since = self.now;
        }
        let bound = World::time(self.now).later(AHEAD).earlier(self.plan.settings.overlap);
        match before {
            Some(before) if position.cursor < before => {
                let what = format!("the cursor went back from {} to {}", Shown(before), Shown(position.cursor));
                return self.broken(Invariant::I3, what);
            }
            Some(before) if before < position.cursor && bound < position.cursor => {
                let what = format!("the cursor {} is beyond {}", Shown(position.cursor), Shown(bound));
                return self.broken(Invariant::I3, what);
            }
            Some(before) if before == position.cursor => return Ok(()),
            Some(_) | None => self.memory.moves += 1,
        }
        self.nothing_is_passed()
    }

    /// I1 on what is durable: every revision that is current and older than the cursor is remembered or in quarantine.
    pub(crate) fn nothing_is_passed(&self) -> Checked {
        let (Some(position), Some(floor)) = (self.ledger.position, self.memory.floor) else { return Ok(()) };
        for incident in self.world.incidents.iter().filter(|incident| incident.is_there()) {
            let revision = incident.newest();
            let is_below = floor <= revision.time && revision.time < position.cursor;
            if !is_below || revision.beyond || self.ledger.quarantine.holds(revision.time) {
                continue;
            }
            // An event without a time holds no checkpoint back; the next audit finds it again.
            let is_forgotten = revision.time < self.memory.forgotten_before;
            if is_forgotten && (revision.odd || self.is_everywhere(incident, revision)) {
                continue;
            }
            let is_exact = self.is_exact(incident);
            if !revision.rows().any(|row| self.ledger.knows(&incident.id, revision.time, row, is_exact)) {
                let what = format!(
                    "the cursor {} passed incident {} of {}, visible at {}",
                    Shown(position.cursor),
                    incident.id,
                    Shown(revision.time),
                    Shown(World::time(revision.visible_at)),
                );
                return self.broken(Invariant::I1, what);
            }
        }
        Ok(())
    }

    fn is_everywhere(&self, incident: &Incident, revision: &Revision) -> bool {
        (0..self.sinks.len()).all(|sink| self.has_it(sink, incident, revision))
    }

    /// Whether a sink has a revision, in the words of either API, or refuses it.
    fn has_it(&self, sink: usize, incident: &Incident, revision: &Revision) -> bool {
        let keys = revision.rows().filter_map(|row| self.ledger.key_of(&incident.id, row));
        keys.into_iter().any(|key| self.sinks[sink].has(key) || self.may_refuse(sink, key))
    }

    /// Whether the very content has to be known: a third one at one time may be kept waiting, and a part is one.
    fn is_exact(&self, incident: &Incident) -> bool {
        let time = incident.newest().time;
        let contents = incident.revisions.iter().filter(|revision| revision.time == time).count();
        let most = if self.has(Fault::Part) { 1 } else { 2 };
        contents <= most && !self.is_blurred(incident)
    }

    /// Contents that share a time cannot be told from each other's translations.
    fn is_blurred(&self, incident: &Incident) -> bool {
        self.has(Fault::Switch) && shares_its_time(incident, incident.newest())
    }

    /// What cannot be read is small, and only what cannot be read.
    pub(crate) fn quarantined(&mut self, quarantine: &Quarantine) -> Checked {
        for window in quarantine.windows() {
            let bounds = (window.from, window.to);
            if self.memory.quarantined.contains(&bounds) {
                continue;
            }
            self.memory.quarantined.push(bounds);
            let width = window.to.since(window.from).as_secs();
            if QUARANTINE_MAX < width {
                return self.broken(Invariant::I11, format!("a window of {width} s went into quarantine"));
            }
        }
        Ok(())
    }

    /// Something became durable.
    pub(crate) fn synced(&mut self) {
        let (newest, now) = (self.ledger.newest().0, self.now);
        if newest <= self.memory.recorded {
            return;
        }
        for seq in self.memory.recorded + 1..=newest {
            let Some(entry) = self.ledger.entry(seq) else { continue };
            let Some(number) = entry.incident else { continue };
            let revisions = self.world.incidents[number].revisions.iter_mut();
            let same = revisions.filter(|revision| revision.rows().any(|row| row.hash == entry.hash));
            // Of what has no usable time the words alone are remembered.
            same.for_each(|revision| {
                revision.recorded = true;
                revision.is_remembered |= entry.last_update.is_some();
            });
        }
        self.memory.recorded = newest;
        for delivery in self.daemon.iter_mut().flat_map(|daemon| &mut daemon.deliveries) {
            if delivery.for_more {
                delivery.wake = delivery.wake.min(now);
            }
        }
    }

    /// Progress of sinks is durable: I2.
    pub(crate) fn acknowledged(&mut self) -> Checked {
        for sink in 0..self.sinks.len() {
            self.sinks[sink].advance(self.now);
            let (from, to) = (self.memory.acknowledged[sink], self.ledger.progress[sink]);
            for seq in from.0 + 1..=to.0 {
                let Some(entry) = self.ledger.entry(seq) else { continue };
                let is_refused = self.ledger.refused[sink].contains_key(&Seq(seq));
                if self.sinks[sink].wants(&entry) && !self.sinks[sink].has(entry.key) && !is_refused {
                    let what = format!("sink {sink} acknowledged {seq} and does not have it: {entry:?}");
                    return self.broken(Invariant::I2, what);
                }
            }
            self.memory.acknowledged[sink] = to.max(from);
        }
        Ok(())
    }

    /// After a crash: what is remembered as seen is in the outbox (I2), nothing is passed (I1).
    pub(crate) fn survived(&mut self) -> Checked {
        let end = self.ledger.end();
        if let Some((id, (_, seq))) = self.ledger.marks.iter().find(|(_, (_, seq))| end < seq.0) {
            let what = format!("incident {id} is remembered with event {seq}, and the outbox ends at {end}");
            return self.broken(Invariant::I2, what);
        }
        let memory = &mut self.memory;
        memory.cursor = self.ledger.position.map(|position| position.cursor);
        memory.swept = self.ledger.position.and_then(|position| position.swept);
        memory.sweep_since = self.now;
        memory.recorded = memory.recorded.min(end);
        memory.acknowledged.clone_from(&self.ledger.progress);
        memory.ends.clear();
        self.nothing_is_passed()
    }

    /// Checked after every step: what sinks complain of (I4, I10).
    pub(crate) fn sinks_are_content(&mut self) -> Checked {
        for sink in 0..self.sinks.len() {
            if let Some(complaint) = self.sinks[sink].complaint.take() {
                return match complaint {
                    Complaint::Again(what) => self.broken(Invariant::I4, format!("sink {sink}: {what}")),
                    Complaint::Behind(what) => self.broken(Invariant::I10, format!("sink {sink}: {what}")),
                };
            }
        }
        Ok(())
    }

    /// Checked every now and then: I8 and I11.
    pub(crate) fn all_is_bounded(&mut self) -> Checked {
        let waiting = self.ledger.waiting();
        let most = self.plan.outbox_max + 8 * u64::from(self.plan.settings.page_size) + 64;
        if most < waiting {
            return self.broken(Invariant::I11, format!("{waiting} events wait, the outbox takes {most}"));
        }
        let (marks, incidents) = (self.ledger.marks.len(), self.world.incidents.len());
        if incidents < marks {
            return self.broken(Invariant::I11, format!("{marks} marks of {incidents} incidents"));
        }
        let Some(daemon) = &self.daemon else { return Ok(()) };
        let long_ago = self.now.saturating_sub(DELIVERED_WITHIN);
        while 1 < self.memory.ends.len() && self.memory.ends[1].0 <= long_ago {
            self.memory.ends.pop_front();
        }
        self.memory.ends.push_back((self.now, self.ledger.newest().0));
        let (since, end) = self.memory.ends[0];
        if self.ledger.is_full || long_ago < since || long_ago < daemon.since || long_ago < self.room_since {
            return Ok(());
        }
        for (sink, far_side) in self.sinks.iter().enumerate() {
            let progress = self.ledger.progress[sink].0;
            if far_side.healthy_since < long_ago && progress < end {
                let what = format!("sink {sink} is well for long, and is at {progress} of {end}");
                return self.broken(Invariant::I8, what);
            }
        }
        Ok(())
    }

    /// What does not yet hold that must hold in the end, if anything: I1 and I7.
    pub(crate) fn unrest(&self) -> Option<String> {
        let (Some(position), Some(floor)) = (self.ledger.position, self.memory.floor) else {
            return Some("there is no position".into());
        };
        for incident in self.world.incidents.iter().filter(|incident| incident.is_there()) {
            let revision = incident.newest();
            let is_lost = revision.odd && revision.time < self.memory.forgotten_before && !self.plan.audits;
            if revision.time < floor || is_lost || self.is_unreadable(incident) {
                continue;
            }
            if self.now < revision.visible_at {
                return Some(format!("incident {} is not visible yet", incident.id));
            }
            let is_exact = self.plan.audits || (self.is_exact(incident) && !revision.beyond);
            let is_exact = is_exact && !self.is_blurred(incident);
            for sink in 0..self.sinks.len() {
                let has = |revision: &Revision| self.has_it(sink, incident, revision);
                let same_time = incident.revisions.iter().filter(|other| other.time == revision.time);
                if !(has(revision) || (!is_exact && same_time.into_iter().any(has))) {
                    return Some(format!(
                        "sink {sink} lacks incident {} of {}: {}",
                        incident.id,
                        Shown(revision.time),
                        revision.row.raw.get()
                    ));
                }
            }
        }
        let goal = World::time(self.heal_at).earlier(self.plan.settings.overlap);
        // Without bounds nothing can be put in quarantine, so a cursor waits for what cannot be read.
        let may_wait = self.plan.faults.has(Fault::LtRefused)
            && self.world.incidents.iter().any(|incident| incident.poisoned_until == NEVER && incident.is_there());
        if position.cursor < goal && !may_wait {
            return Some(format!("the cursor is at {} still, it should pass {}", Shown(position.cursor), Shown(goal)));
        }
        let healed = self.ledger.quarantine.windows().iter().find(|window| {
            let inside = |incident: &&Incident| {
                let revisions = &incident.revisions;
                revisions.iter().any(|revision| window.from <= revision.time && revision.time < window.to)
            };
            let is_unreadable = |incident: &Incident| incident.is_unreadable(self.server.dialect, self.now);
            !self.world.incidents.iter().filter(inside).any(is_unreadable)
        });
        healed.map(|window| format!("[{}, {}) is in quarantine still", Shown(window.from), Shown(window.to)))
    }

    fn may_refuse(&self, sink: usize, key: u32) -> bool {
        let far_side = &self.sinks[sink];
        let refuses = self.plan.faults.has(Fault::SinkRefuses) || self.plan.faults.has(Fault::SinkRefusesBatch);
        refuses && !far_side.plan().streams && far_side.dislikes(key)
    }

    /// It cannot be read now, or shares its second with one that cannot.
    fn is_unreadable(&self, incident: &Incident) -> bool {
        let is_unreadable = |other: &Incident| other.is_unreadable(self.server.dialect, self.now);
        is_unreadable(incident) || {
            let second = incident.newest().time.floor_to_second();
            let poisoned = self.world.incidents.iter().filter(|other| is_unreadable(other));
            poisoned.into_iter().any(|other| other.newest().time.floor_to_second() == second)
        }
    }

    /// I5: what was shown through two complete sweeps was recorded, superseded or not.
    pub(crate) fn nothing_was_overlooked(&self) -> Checked {
        let Some(floor) = self.memory.floor else { return Ok(()) };
        let (sweeps, lag) = (&self.memory.sweeps, self.plan.source.lag_max);
        for incident in &self.world.incidents {
            for (n, revision) in incident.revisions.iter().enumerate() {
                if revision.recorded || revision.beyond || revision.time < floor || incident.was_poisoned {
                    continue;
                }
                let hidden_by = |later: &Revision| if later.gap { later.born } else { later.visible_at };
                let until = incident.revisions[n + 1..].iter().map(hidden_by).min().unwrap_or(NEVER);
                let until = until.min(incident.gone_at);
                let first = sweeps.partition_point(|&(began, _)| began < revision.visible_at + lag);
                let both_ended = sweeps.get(first + 1).is_some_and(|&(_, ended)| ended < until);
                let same_time = incident.revisions.iter().any(|other| other.time == revision.time && other.recorded);
                let quarantined =
                    self.memory.quarantined.iter().any(|&(from, to)| from <= revision.time && revision.time < to);
                if both_ended && !same_time && !quarantined {
                    let what = format!(
                        "incident {} of {} was shown through two sweeps and not taken: {}",
                        incident.id,
                        Shown(revision.time),
                        revision.row.raw.get()
                    );
                    return self.broken(Invariant::I1, what);
                }
            }
        }
        Ok(())
    }
}

/// Whether another revision of the incident has the same time.
fn shares_its_time(incident: &Incident, revision: &Revision) -> bool {
    1 < incident.revisions.iter().filter(|other| other.time == revision.time).count()
}
