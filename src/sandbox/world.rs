//! A world of incidents that live: created, changed, merged, gone, each seen at its time or later. Pure: no clock, no I/O;
//! time is an argument, on the server's clock. The same seed and the same calls give the same world byte for byte.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use crate::model::timestamp::Timestamp;
use crate::sandbox::agenda::{Act, Agenda};
use crate::sandbox::incident::{Incident, IncidentNumber, Status};
use crate::sandbox::knobs::Knobs;
use crate::sandbox::names::Dice;
use crate::sandbox::rows::{Facts, Revision, Rows};
use crate::sandbox::stamp;

/// Things that happen in one [`World::advance`] at most: a clock that jumps by years must not stop the server.
const ACTS_MAX: usize = 20_000;
/// The newest incidents among which things happen by themselves.
const ATTENTION_MAX: usize = 500;

/// The incidents of one tenant, with their past.
#[derive(Debug)]
pub struct World {
    knobs: Knobs,
    dice: Dice,
    agenda: Option<Agenda>,
    lives: BTreeMap<IncidentNumber, Life>,
    /// Incidents that have not vanished.
    alive: usize,
    rows: Rows,
    next_number: u64,
    /// The first that was created by itself after life began.
    first_live: IncidentNumber,
    /// Grows by one per revision and per incident that vanishes.
    sequence: u64,
    /// The time of the change before.
    last_stamp: Timestamp,
    delay_next: Option<Duration>,
    superseded: VecDeque<IncidentNumber>,
}

/// An incident, its revisions, and when it vanished.
#[derive(Debug)]
struct Life {
    incident: Incident,
    /// When something last happened to it.
    touched: Timestamp,
    revisions: VecDeque<Arc<Revision>>,
    vanished: Option<Timestamp>,
}

/// A revision that was visible, and from when to when.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The revision.
    pub revision: Arc<Revision>,
    /// It was visible from this time on.
    pub from: Timestamp,
    /// And not any more from this time on; none where it still is.
    pub until: Option<Timestamp>,
}

impl World {
    /// An empty world. Life begins with the first [`advance`](Self::advance).
    pub fn new(knobs: Knobs) -> Self {
        Self {
            dice: Dice::seed_from_u64(knobs.seed),
            agenda: None,
            lives: BTreeMap::new(),
            alive: 0,
            rows: Rows::default(),
            next_number: knobs.first_number,
            first_live: IncidentNumber(u64::MAX),
            sequence: 0,
            last_stamp: Timestamp::default(),
            delay_next: None,
            superseded: VecDeque::new(),
            knobs,
        }
    }

    /// How it was made.
    pub const fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// Lets happen by itself what happens up to `to`. The first call begins life there, with the backlog before it. What
    /// happens does not depend on the steps in which time is given.
    pub fn advance(&mut self, to: Timestamp) {
        let mut agenda = match self.agenda.take() {
            Some(agenda) => agenda,
            None => self.begin(to),
        };
        let mut acts = 0;
        while let Some((act, at)) = agenda.next_due(to, &mut self.dice) {
            self.perform(act, at);
            acts += 1;
            if acts == ACTS_MAX {
                agenda.skip_to(to, &mut self.dice);
            }
        }
        self.agenda = Some(agenda);
        self.settle(to);
    }

    /// Lets become visible what is due by `to`; nothing new happens. Time does not move back.
    pub fn settle(&mut self, to: Timestamp) {
        let superseded = self.rows.settle(to);
        self.superseded.extend(superseded);
        while self.knobs.history_max < self.superseded.len() {
            self.forget_one();
        }
    }

    /// What is visible now, which is the latest time given to [`settle`](Self::settle) or [`advance`](Self::advance).
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What is visible at any time, by number. Looks through the past of each incident: see [`rows`](Self::rows) for
    /// the fast way.
    pub fn visible(&self, at: Timestamp) -> impl Iterator<Item = &Arc<Revision>> {
        self.lives.values().filter_map(move |life| life.visible(at))
    }

    /// One incident as it is visible at any time.
    pub fn get(&self, number: IncidentNumber, at: Timestamp) -> Option<&Arc<Revision>> {
        self.lives.get(&number)?.visible(at)
    }

    /// Every remembered revision that was ever visible or will be, by incident and in order.
    pub fn truth(&self) -> Vec<Truth> {
        self.lives.values().flat_map(Life::truth).collect()
    }

    /// The next change becomes visible this much after its time.
    pub const fn delay_next(&mut self, by: Duration) {
        self.delay_next = Some(by);
    }

    /// A new incident of a size that the knobs draw.
    pub fn create(&mut self, at: Timestamp) -> IncidentNumber {
        let mut bytes = self.knobs.size_min;
        while bytes < self.knobs.size_max && self.dice.random_bool(self.knobs.size_doubles) {
            bytes *= 2;
        }
        let bytes = self.dice.random_range(bytes..bytes * 2).min(self.knobs.size_max);
        self.create_sized(at, bytes)
    }

    /// A new incident of about so many bytes of JSON.
    pub fn create_sized(&mut self, at: Timestamp, bytes: usize) -> IncidentNumber {
        let number = IncidentNumber(self.next_number);
        self.next_number += 1;
        let stamp = self.stamp(at, None);
        let incident = Incident::new(number, stamp, bytes, self.dice.random());
        self.lives.insert(number, Life { incident, touched: at, revisions: VecDeque::new(), vanished: None });
        self.alive += 1;
        self.record(number, at);
        number
    }

    /// So many new incidents of about so many bytes, spread evenly over the time from `from` to before `to`.
    pub fn create_many(&mut self, count: u32, bytes: usize, from: Timestamp, to: Timestamp) {
        let span = to.since(from);
        for n in 0..count {
            self.create_sized(from.later(span.mul_f64(f64::from(n) / f64::from(count))), bytes);
        }
        self.settle(from);
    }

    /// Something happens to an incident. Returns its new time; none where it is gone, merged or never was.
    pub fn update(&mut self, number: IncidentNumber, at: Timestamp) -> Option<Timestamp> {
        self.change(number, at, Incident::update)
    }

    /// It is resolved. Returns as [`update`](Self::update) does.
    pub fn resolve(&mut self, number: IncidentNumber, at: Timestamp) -> Option<Timestamp> {
        self.change(number, at, Incident::resolve)
    }

    /// It is active again. Returns as [`update`](Self::update) does.
    pub fn reopen(&mut self, number: IncidentNumber, at: Timestamp) -> Option<Timestamp> {
        self.change(number, at, |incident, at, _| incident.reopen(at))
    }

    /// One is merged into another: alerts and tags move, both get the same new time. None, and nothing happens, where one
    /// of them is gone or merged already, or the other would get too many alerts.
    pub fn merge(&mut self, from: IncidentNumber, to: IncidentNumber, at: Timestamp) -> Option<Timestamp> {
        self.open(to).filter(|_| from != to)?;
        let mut source = self.open(from)?.incident.clone();
        let target = &mut self.lives.get_mut(&to)?.incident;
        if !source.merge_into(target) {
            return None;
        }
        let floor = source.last_update().max(target.last_update());
        self.lives.get_mut(&from)?.incident = source;
        let stamp = self.stamp(at, Some(floor));
        for number in [to, from] {
            self.lives.get_mut(&number)?.incident.touch(stamp);
            self.record(number, at);
        }
        Some(stamp)
    }

    /// An alert changes and `lastUpdateTime` does not. False where the incident is gone or has no alert.
    pub fn edit_alert_only(&mut self, number: IncidentNumber, at: Timestamp) -> bool {
        let Some(life) = self.lives.get_mut(&number).filter(|life| life.vanished.is_none()) else { return false };
        let edited = life.incident.edit_alert(at, &mut self.dice);
        if edited {
            self.record(number, at);
        }
        edited
    }

    /// It is gone from lists and by its number from `at` on. False where it was gone or never was.
    pub fn vanish(&mut self, number: IncidentNumber, at: Timestamp) -> bool {
        let Some(life) = self.lives.get_mut(&number).filter(|life| life.vanished.is_none()) else { return false };
        life.vanished = Some(at);
        self.alive -= 1;
        self.sequence += 1;
        self.rows.hide(number, at, self.sequence);
        true
    }

    fn begin(&mut self, start: Timestamp) -> Agenda {
        let (count, span) = (self.knobs.backlog, self.knobs.backlog_span);
        for n in 0..count {
            self.create(start.earlier(span.mul_f64(f64::from(count - n) / f64::from(count))));
        }
        self.first_live = IncidentNumber(self.next_number);
        Agenda::new(self.knobs.pace, start, &mut self.dice)
    }

    fn perform(&mut self, act: Act, at: Timestamp) {
        let unresolved = |status| matches!(status, Status::Active | Status::InProgress);
        match act {
            Act::Create => {
                self.create(at);
                self.retain(at);
            }
            Act::Update => self.perform_on(at, unresolved, Self::update),
            Act::Resolve => self.perform_on(at, unresolved, Self::resolve),
            Act::Reopen => self.perform_on(at, |status| status == Status::Resolved, Self::reopen),
            Act::Merge => {
                let one = self.choose(at, |_, status| unresolved(status));
                let other = self.choose(at, |number, status| one != Some(number) && unresolved(status));
                if let (Some(one), Some(other)) = (one, other) {
                    // The older one takes the newer one in.
                    self.merge(one.max(other), one.min(other), at);
                }
            }
            Act::EditAlertOnly => self.perform_on(at, unresolved, Self::edit_alert_only),
            Act::Vanish => self.perform_on(at, |_| true, Self::vanish),
        }
    }

    fn perform_on<T>(
        &mut self,
        at: Timestamp,
        suits: impl Fn(Status) -> bool,
        act: impl FnOnce(&mut Self, IncidentNumber, Timestamp) -> T,
    ) {
        if let Some(number) = self.choose(at, |_, status| suits(status)) {
            act(self, number, at);
        }
    }

    /// One of the newest incidents that have been left alone for a while.
    fn choose(&mut self, at: Timestamp, suits: impl Fn(IncidentNumber, Status) -> bool) -> Option<IncidentNumber> {
        let newest = self.lives.range(self.first_live..).rev().take(ATTENTION_MAX);
        let calm = newest.filter(|(number, life)| {
            let left_alone = self.knobs.calm <= at.since(life.touched);
            life.vanished.is_none() && left_alone && suits(**number, life.incident.status())
        });
        let numbers: Vec<_> = calm.map(|(number, _)| *number).collect();
        (!numbers.is_empty()).then(|| numbers[self.dice.random_range(0..numbers.len())])
    }

    /// The oldest goes where there are too many.
    fn retain(&mut self, at: Timestamp) {
        let oldest = self.lives.values().find(|life| life.vanished.is_none()).map(|life| life.incident.number());
        if let (true, Some(number)) = (self.knobs.incidents_max < self.alive, oldest) {
            self.vanish(number, at);
        }
    }

    fn open(&self, number: IncidentNumber) -> Option<&Life> {
        let life = self.lives.get(&number)?;
        (life.vanished.is_none() && life.incident.status() != Status::Redirected).then_some(life)
    }

    fn change(
        &mut self,
        number: IncidentNumber,
        at: Timestamp,
        what: impl FnOnce(&mut Incident, Timestamp, &mut Dice),
    ) -> Option<Timestamp> {
        let floor = self.open(number)?.incident.last_update();
        let stamp = self.stamp(at, Some(floor));
        let life = self.lives.get_mut(&number)?;
        what(&mut life.incident, at, &mut self.dice);
        life.incident.touch(stamp);
        self.record(number, at);
        Some(stamp)
    }

    /// The time of a change at `at`: on a 1/300 s tick, after what the incident had, now and then that of the change before,
    /// where there is one.
    fn stamp(&mut self, at: Timestamp, floor: Option<Timestamp>) -> Timestamp {
        let after = floor.map_or(Timestamp::default(), stamp::next_tick);
        let ties = 0.0 < self.knobs.tie_rate && self.dice.random_bool(self.knobs.tie_rate);
        let has_before = self.last_stamp != Timestamp::default();
        if !(ties && has_before && after <= self.last_stamp) {
            self.last_stamp = stamp::on_tick(at).max(after);
        }
        self.last_stamp
    }

    /// Renders what an incident is now. It is visible from `at` on, or from its time where that is later, or late.
    fn record(&mut self, number: IncidentNumber, at: Timestamp) {
        let late = 0.0 < self.knobs.late_rate && self.dice.random_bool(self.knobs.late_rate);
        let drawn = late.then(|| {
            let millis = u64::try_from(self.knobs.late_max.as_millis()).unwrap_or(u64::MAX - 1);
            Duration::from_millis(self.dice.random_range(0..=millis))
        });
        let delay = self.delay_next.take().or(drawn).unwrap_or_default();
        let Some(life) = self.lives.get_mut(&number) else { return };
        self.sequence += 1;
        let incident = &life.incident;
        let revision = Arc::new(Revision {
            number,
            created: incident.created(),
            last_update: incident.last_update(),
            status: incident.status(),
            assigned_to: incident.assigned_to(),
            shown_from: at.max(incident.last_update()).later(delay),
            sequence: self.sequence,
            json: incident.json(&self.knobs.tenant_id).into_boxed_str(),
            facts: Facts::new(incident.clone()),
        });
        life.touched = at;
        life.revisions.push_back(Arc::clone(&revision));
        self.rows.show(revision);
    }

    /// Forgets the oldest revision that is not visible any more, and its incident with the last one.
    fn forget_one(&mut self) {
        let Some(number) = self.superseded.pop_front() else { return };
        let Some(life) = self.lives.get_mut(&number) else { return };
        life.revisions.pop_front();
        if life.revisions.is_empty() {
            self.lives.remove(&number);
        }
    }
}

impl Life {
    fn visible(&self, at: Timestamp) -> Option<&Arc<Revision>> {
        match self.vanished {
            Some(vanished) if vanished <= at => None,
            Some(_) | None => self.revisions.iter().rev().find(|revision| revision.shown_from <= at),
        }
    }

    fn truth(&self) -> Vec<Truth> {
        let mut until = self.vanished;
        let mut truth = Vec::with_capacity(self.revisions.len());
        for revision in self.revisions.iter().rev() {
            let from = revision.shown_from;
            if until.is_none_or(|until| from < until) {
                truth.push(Truth { revision: Arc::clone(revision), from, until });
                until = Some(from);
            }
        }
        truth.reverse();
        truth
    }
}
