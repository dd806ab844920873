//! Incidents that live: they come, change, merge and go, and their revisions become visible when they please. It knows no
//! query and no client. Not the world of src/sandbox: that one makes whole incidents with alerts, which takes a hundred times as
//! long, and knows neither gaps nor replicas.

use serde_json::value::RawValue;

use crate::core::seen;
use crate::dice::Dice;
use crate::fault::{Counts, Fault};
use crate::incident::{Incident, Poison, Revision};
use crate::model::dialect::Dialect;
use crate::model::incident::Row;
use crate::model::names::IncidentId;
use crate::model::timestamp::Timestamp;
use crate::plan::{Plan, SECOND};

/// The source's clock at simulated time 0, in seconds since 1970. Simulated time before that is the history.
const EPOCH: u64 = 1_800_000_000;
/// Simulated time 0 stands here, so that there is a time before it.
pub const BEGIN: u64 = 40 * 86_400 * SECOND;
/// It never is.
pub const NEVER: u64 = u64::MAX;
/// The first id.
const FIRST_ID: usize = 1000;

/// All incidents there ever were.
#[derive(Debug)]
pub struct World {
    dice: Dice,
    /// By number, which is the id less [`FIRST_ID`].
    pub incidents: Vec<Incident>,
    /// The numbers of those that are still there.
    alive: Vec<usize>,
}

impl World {
    /// A world with its history.
    pub fn new(plan: &Plan) -> Self {
        let mut world = Self { dice: Dice::new(plan.seed, 2), incidents: Vec::new(), alive: Vec::new() };
        let mut times: Vec<_> =
            (0..plan.source.incidents).map(|_| BEGIN - world.dice.between(1, plan.source.history)).collect();
        times.sort_unstable();
        for at in times {
            let time = on_tick(at, plan);
            world.create(at, time, time, at, plan);
        }
        world
    }

    /// The source's clock.
    pub fn time(at: u64) -> Timestamp {
        Timestamp::from_ticks((EPOCH * 10_000_000 + at / 100).saturating_sub(BEGIN / 100))
    }

    /// The incident of an id.
    pub fn number_of(id: &IncidentId) -> Option<usize> {
        id.as_str().parse::<usize>().ok()?.checked_sub(FIRST_ID)
    }

    /// A row that came without its alerts, with them.
    pub fn with_alerts(&self, row: &Row) -> Option<&Row> {
        let incident = self.incidents.get(Self::number_of(&seen::id_of(row))?)?;
        let rows = incident.revisions.iter().filter_map(|revision| revision.in_graph.as_ref());
        rows.into_iter().find(|full| without_alerts(full.raw.get()) == row.raw.get())
    }

    /// Something happens. Returns when the next thing does.
    pub fn live(&mut self, at: u64, plan: &Plan, counts: &mut Counts) -> u64 {
        let has = |fault| plan.faults.has(fault);
        let room = self.alive.len() < plan.source.incidents_max;
        match self.dice.below(100) {
            0..30 if room => self.appear(at, plan, counts),
            0..60 => self.change(at, plan, counts),
            60..66 if has(Fault::Vanish) => self.some_vanish(at, plan, counts),
            66..72 if has(Fault::Merge) => self.merge(at, plan, counts),
            72..75 if has(Fault::BulkEdit) => self.bulk_edit(at, plan, counts),
            75..76 if has(Fault::BulkCreate) && room => self.bulk_create(at, plan, counts),
            76..82 if has(Fault::QuietEdit) => self.quiet_edit(at, plan, counts),
            82..86 if has(Fault::TieInTick) => {
                if let Some(number) = self.any() {
                    self.revise(number, at, plan, counts);
                    let time = self.incidents[number].newest().time;
                    self.revise_at(number, at, time, plan, counts);
                    counts.add(Fault::TieInTick);
                }
            }
            _ => self.change(at, plan, counts),
        }
        at + 1 + self.dice.below(2 * plan.source.pace)
    }

    /// One of those that are still there.
    pub fn any(&mut self) -> Option<usize> {
        (!self.alive.is_empty()).then(|| self.alive[self.dice.place(self.alive.len())])
    }

    /// One of the last few that are still there.
    pub fn any_recent(&mut self) -> Option<usize> {
        let recent = self.alive.len().min(12);
        (recent != 0).then(|| self.alive[self.alive.len() - 1 - self.dice.place(recent)])
    }

    fn appear(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        let time = self.stamp(at, plan, counts);
        let visible_at = self.visible_at(at, plan, counts).0;
        let number = self.create(at, time, time, visible_at, plan);
        let revision = &mut self.incidents[number].revisions[0];
        revision.beyond = is_beyond(revision, plan);
        if plan.faults.has(Fault::FutureRow) && self.dice.permille(60) {
            counts.add(Fault::FutureRow);
            let ahead = self.dice.pick(&[20, 600, 86_400]) * SECOND;
            self.redate(number, World::time(at + ahead), Text::Time, plan);
        } else if plan.faults.has(Fault::TimelessRow) && self.dice.permille(60) {
            counts.add(Fault::TimelessRow);
            self.redate(number, time, Text::None, plan);
        }
    }

    fn change(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        if let Some(number) = self.any() {
            self.revise(number, at, plan, counts);
        }
    }

    fn some_vanish(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        for _ in 0..self.dice.pick(&[1, 1, 3, 8]) {
            if let Some(number) = self.any().filter(|_| 3 < self.alive.len()) {
                let _ = plan;
                counts.add(Fault::Vanish);
                self.vanish(number, at);
            }
        }
    }

    /// One is redirected into another and goes; the other changes.
    fn merge(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        let (Some(from), Some(into)) = (self.any(), self.any()) else { return };
        if from == into || self.alive.len() <= 3 {
            return;
        }
        counts.add(Fault::Merge);
        self.revise(into, at, plan, counts);
        if self.dice.permille(500) {
            self.vanish(from, at);
        } else {
            self.revise(from, at, plan, counts);
        }
    }

    fn bulk_edit(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        let most = (plan.settings.page_size as usize * 3).min(self.alive.len());
        if most < 3 {
            return;
        }
        counts.add(Fault::BulkEdit);
        let time = on_tick(at, plan);
        let (first, count) = (self.dice.place(self.alive.len()), 3 + self.dice.place(most - 2));
        for n in 0..count {
            let number = self.alive[(first + n) % self.alive.len()];
            if !self.incidents[number].newest().odd && self.incidents[number].newest().time <= time {
                self.revise_at(number, at, time, plan, counts);
            }
        }
    }

    fn bulk_create(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        counts.add(Fault::BulkCreate);
        let time = on_tick(at, plan);
        for _ in 0..self.dice.between(3, u64::from(plan.settings.page_size) * 2) {
            self.create(at, time, time, at, plan);
        }
    }

    fn quiet_edit(&mut self, at: u64, plan: &Plan, counts: &mut Counts) {
        let Some(number) = self.any() else { return };
        let time = self.incidents[number].newest().time;
        if self.incidents[number].newest().odd {
            return;
        }
        counts.add(Fault::QuietEdit);
        let revision = self.revise_at(number, at, time, plan, counts);
        revision.visible_at = at;
        revision.beyond = true;
    }

    fn vanish(&mut self, number: usize, at: u64) {
        self.incidents[number].gone_at = at;
        self.alive.retain(|&other| other != number);
    }

    fn create(&mut self, at: u64, time: Timestamp, created: Timestamp, visible_at: u64, plan: &Plan) -> usize {
        let number = self.incidents.len();
        let id = IncidentId::new((FIRST_ID + number).to_string());
        let heavy = plan.faults.has(Fault::TooLarge) && self.dice.permille(150);
        // Alerts that no page takes: only where there is a way without them, and rare, because each costs a sweep dozens of calls.
        let is_there_a_way = plan.dialect == Dialect::Graph && !plan.faults.has(Fault::Switch);
        let huge = heavy && is_there_a_way && !plan.faults.has(Fault::LtRefused) && self.dice.permille(40);
        let rows = rows(number, created, Some(time), "Active", 0, plan);
        let first = Revision::new(time, rows, at, (visible_at, false));
        self.incidents.push(Incident {
            id,
            created,
            revisions: vec![first],
            gone_at: NEVER,
            weight: match (heavy, huge) {
                (_, true) => 50,
                (true, false) => 6,
                (false, false) => 1,
            },
            poisoned_until: 0,
            poison: Poison::Page,
            was_poisoned: false,
        });
        self.alive.push(number);
        number
    }

    fn revise(&mut self, number: usize, at: u64, plan: &Plan, counts: &mut Counts) {
        // A time ahead of its time is put right by the next change.
        let usual = self.incidents[number].revisions.iter().rev().find(|revision| !revision.odd);
        let before = usual.map_or(Timestamp::default(), |revision| revision.time);
        let time = self.stamp(at, plan, counts).max(before);
        self.revise_at(number, at, time, plan, counts);
    }

    fn revise_at(
        &mut self,
        number: usize,
        at: u64,
        time: Timestamp,
        plan: &Plan,
        counts: &mut Counts,
    ) -> &mut Revision {
        let (visible_at, gap) = self.visible_at(at, plan, counts);
        let status = self.dice.pick(&["Active", "InProgress", "Resolved"]);
        let incident = &mut self.incidents[number];
        let rows = rows(number, incident.created, Some(time), status, incident.revisions.len(), plan);
        let mut revision = Revision::new(time, rows, at, (visible_at, gap));
        revision.beyond = is_beyond(&revision, plan);
        if gap {
            counts.add(Fault::Gap);
        }
        incident.revisions.push(revision);
        incident.revisions.last_mut().expect("it was pushed a moment ago")
    }

    /// The first revision of an incident has another time than it should.
    fn redate(&mut self, number: usize, time: Timestamp, text: Text, plan: &Plan) {
        let incident = &mut self.incidents[number];
        let revision = &mut incident.revisions[0];
        revision.odd = true;
        revision.time = time;
        let shown = match text {
            Text::Time => Some(time),
            Text::None => None,
        };
        (revision.row, revision.in_graph) = rows(number, incident.created, shown, "Active", 0, plan);
    }

    fn stamp(&mut self, at: u64, plan: &Plan, counts: &mut Counts) -> Timestamp {
        let early = if plan.source.stamp_skew_max == 0 { 0 } else { self.dice.below(plan.source.stamp_skew_max) };
        if early != 0 {
            counts.add(Fault::StampSkew);
        }
        if plan.faults.has(Fault::CoarseTick) {
            counts.add(Fault::CoarseTick);
        }
        on_tick(at - early, plan)
    }

    /// From when on a revision is shown, and whether nothing is until then.
    fn visible_at(&mut self, at: u64, plan: &Plan, counts: &mut Counts) -> (u64, bool) {
        let (late, too_late) = (self.dice.permille(plan.source.late), self.dice.permille(40));
        let gap = self.dice.permille(400) && plan.faults.has(Fault::Gap);
        let most = plan.source.visible_max;
        let delay = if too_late && plan.faults.has(Fault::TooLateRow) {
            counts.add(Fault::TooLateRow);
            most * 2 + self.dice.below(600 * SECOND)
        } else if late && plan.faults.has(Fault::LateRow) {
            counts.add(Fault::LateRow);
            self.dice.between(most / 3, most)
        } else {
            self.dice.below(1500 * SECOND / 1000)
        };
        (at + delay, gap)
    }
}

/// What stands in a row for its time.
enum Text {
    Time,
    None,
}

fn is_beyond(revision: &Revision, plan: &Plan) -> bool {
    plan.source.visible_max < revision.visible_at - revision.born
}

fn on_tick(at: u64, plan: &Plan) -> Timestamp {
    let ticks = World::time(at).ticks();
    Timestamp::from_ticks(ticks - ticks % plan.source.tick)
}

/// What either API answers; Graph only where it is ever asked.
fn rows(
    number: usize,
    created: Timestamp,
    time: Option<Timestamp>,
    status: &str,
    detail: usize,
    plan: &Plan,
) -> (Row, Option<Row>) {
    let id = FIRST_ID + number;
    let row = |json| Row::new(RawValue::from_string(json).expect("our own text is JSON"));
    let defender = || {
        let time = time.map(|time| format!(r#""lastUpdateTime":"{time}","#)).unwrap_or_default();
        format!(r#"{{"incidentId":{id},"createdTime":"{created}",{time}"status":"{status}","detail":{detail}}}"#)
    };
    let graph = || {
        let time = time.map(|time| format!(r#""lastUpdateDateTime":"{time}","#)).unwrap_or_default();
        let status = status[..1].to_ascii_lowercase() + &status[1..];
        format!(
            r#"{{"id":"{id}","createdDateTime":"{created}",{time}"status":"{status}","detail":{detail},"alerts":[{{"id":"a{id}-{detail}"}}]}}"#
        )
    };
    (row(defender()), plan.asks_graph().then(|| row(graph())))
}

/// A row of Graph as it comes without its alerts.
pub fn without_alerts(json: &str) -> String {
    json.split_once(r#","alerts""#).map_or_else(|| json.to_owned(), |(rest, _)| format!("{rest}}}"))
}
