//! What the second reader does in turn: sweeps and the windows of a long way back whenever they are due, and in between audits
//! and the retries of what is in quarantine. Decides which comes next; how each is read and concluded is decided there.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::core::audit::{self, Audits};
use crate::core::commit::{Commit, Committed, PassKind};
use crate::core::position::Position;
use crate::core::quarantine::Quarantine;
use crate::core::quota::{Lane, Quota};
use crate::core::reading::{Reading, Step};
use crate::core::retries::{self, Retries};
use crate::core::settings::Settings;
use crate::core::source_clock::SourceClock;
use crate::core::sweep::{self, Abilities, Around, Sweeps};
use crate::model::moment::Moment;
use crate::model::page::{FetchError, Page, Query};
use crate::model::timestamp::Timestamp;

/// Pause after a reading that proved nothing.
const BROKEN_PAUSE: Duration = Duration::from_secs(10);
/// A source that lists nothing at all, where it listed incidents before, is not believed for so long: lists that lie so were
/// seen to last for an hour.
const NOTHING_IS_DOUBTED: Duration = Duration::from_secs(2 * 3600);
/// Seconds that are read without their alerts at once; any others are found anew by every sweep.
const APART_MAX: usize = 16;
/// How often to look again whether there is something to do.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the second reader is about.
#[derive(Debug, Clone)]
pub(crate) struct Completeness {
    pub(crate) sweeps: Sweeps,
    audits: Audits,
    retries: Retries,
    abilities: Abilities,
    /// Seconds behind the cursor that can be read only without their alerts, [`APART_MAX`] at most.
    apart: BTreeSet<Timestamp>,
    turn: Turn,
    /// The source has listed incidents, ever.
    has_listed: bool,
    /// Since when it has listed none at all.
    nothing_since: Option<Moment>,
}

/// What the call or commit under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The source's time.
    Time,
    Sweep,
    Audit,
    Retry,
}

/// What is known around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) position: Position,
    pub(crate) settings: &'a Settings,
    pub(crate) clock: &'a SourceClock,
    pub(crate) quarantine: &'a Quarantine,
    pub(crate) now: Moment,
}

/// What it wants next.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// Nothing before then.
    Wait(Moment),
    /// The source's time, from any call.
    Time,
    /// This call.
    Call(Query, Lane),
    /// Make this durable.
    Commit(Commit),
    /// Nothing at once: a reading proved nothing, for this reason.
    Broken(String),
}

/// What came of something, for whoever keeps the books.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    /// To be made durable.
    pub(crate) commit: Option<Commit>,
    /// A reading that proved nothing, and why.
    pub(crate) broken: Option<String>,
    /// Rows that an audit found and a sweep should have.
    pub(crate) missed: u64,
}

impl Completeness {
    pub(crate) fn new(has_listed: bool, now: Moment) -> Self {
        Self {
            has_listed,
            nothing_since: None,
            sweeps: Sweeps::new(now),
            audits: Audits::new(now),
            retries: Retries::new(now),
            abilities: Abilities::default(),
            apart: BTreeSet::new(),
            turn: Turn::Time,
        }
    }

    /// What to do next. `is_failing`: the last call of this reader failed.
    pub(crate) fn wanted(&mut self, scene: Scene<'_>, is_failing: bool, is_dateless: bool, quota: &Quota) -> Wanted {
        let Scene { now, clock, .. } = scene;
        if self.sweeps.due() <= now && !self.audit_goes_first(scene, is_failing, quota) {
            if self.sweeps.run().is_none() {
                if clock.agreed().is_none() && !clock.is_suspect() && !is_dateless {
                    // Whether the way back is long is told by the server's time, which a restarted daemon has to ask for.
                    // One answer may lie.
                    self.turn = Turn::Time;
                    return Wanted::Time;
                }
                let around = self.around(scene);
                self.sweeps.begin(scene.position, scene.settings, clock, around, now);
                self.apart.retain(|&second| scene.position.cursor <= second);
                if let Some(run) = self.sweeps.run_mut() {
                    run.reading.expect_apart(&self.apart);
                }
            }
            self.turn = Turn::Sweep;
            return self.go_on(scene);
        }
        // Where the source cannot be reached, nobody looks for what was missed.
        let sweep_fails = is_failing && matches!(self.turn, Turn::Time | Turn::Sweep);
        if sweep_fails || self.sweeps.run().is_some() || scene.position.swept.is_none() {
            return Wanted::Wait(self.sweeps.due());
        }
        self.spare_time(scene, quota)
    }

    /// Sweeps that take all there is leave the audit its minimum: one call before the next one begins.
    fn audit_goes_first(&self, scene: Scene<'_>, is_failing: bool, quota: &Quota) -> bool {
        let Scene { position, settings, clock, now, .. } = scene;
        let due = clock.agreed().and_then(|time| self.audits.due(position, settings, time, now));
        let is_free = self.sweeps.run().is_none() && !is_failing && position.swept.is_some();
        is_free && due.is_some_and(|due| due <= now) && quota.audit_starves(now)
    }

    fn spare_time(&mut self, scene: Scene<'_>, quota: &Quota) -> Wanted {
        let Scene { position, settings, clock, quarantine, now } = scene;
        let free = quota.ready_at(Lane::Audit, now);
        let retry = self.retries.due(quarantine).map(|due| due.max(free));
        let time = clock.agreed();
        let audit = time.and_then(|time| self.audits.due(position, settings, time, now)).map(|due| due.max(free));
        if retry.is_some_and(|due| due <= now) {
            self.turn = Turn::Retry;
            return self.go_on(scene);
        }
        if let Some(time) = time.filter(|_| audit.is_some_and(|due| due <= now)) {
            let around = self.around(scene);
            self.turn = Turn::Audit;
            if self.audits.reading(position, settings, time, around).is_none() {
                return Wanted::Commit(Commit::Position(Audits::nothing_to_do(position, settings, time)));
            }
            return self.go_on(scene);
        }
        let later = retry.into_iter().chain(audit).chain([self.sweeps.due(), now + LOOK_AGAIN]);
        Wanted::Wait(later.filter(|&at| now < at).min().unwrap_or(now + LOOK_AGAIN))
    }

    /// The next call of the reading whose turn it is, or what has to be durable first.
    fn go_on(&mut self, scene: Scene<'_>) -> Wanted {
        let (lane, now) = (self.lane(), scene.now);
        let Some(reading) = self.reading(scene) else { return Wanted::Wait(now + BROKEN_PAUSE) };
        match reading.step() {
            Step::Read(query) => return Wanted::Call(query, lane),
            Step::Quarantine(window) if self.turn != Turn::Retry => match scene.quarantine.with(window) {
                Some(quarantine) => return Wanted::Commit(Commit::Quarantine(quarantine)),
                None => {
                    if let Some(reading) = self.reading_mut() {
                        reading.quarantine_is_full();
                    }
                }
            },
            Step::Quarantine(_) | Step::Complete | Step::Broken(_) => {}
        }
        match self.conclude(scene) {
            News { commit: Some(commit), .. } => Wanted::Commit(commit),
            News { broken: Some(why), .. } => Wanted::Broken(why),
            News { .. } => Wanted::Wait(now),
        }
    }

    /// What pages are read for at the moment.
    pub(crate) fn kind(&self) -> PassKind {
        match self.turn {
            Turn::Sweep if self.sweeps.run().is_some_and(|run| run.end.is_some()) => PassKind::CatchUp,
            Turn::Time | Turn::Sweep => PassKind::Sweep,
            Turn::Audit => PassKind::Audit,
            Turn::Retry => PassKind::Retry,
        }
    }

    /// A page of either reader: what there is at all.
    pub(crate) fn listed(&mut self, page: &Page) {
        if !page.rows.is_empty() {
            (self.has_listed, self.nothing_since) = (true, None);
        }
    }

    /// The call was answered. False where nobody wants the rows.
    pub(crate) fn read(&mut self, page: &Page, now: Moment) -> bool {
        let wants_rows = self.wants_rows();
        if self.reading_mut().is_some_and(|reading| reading.is_doubting()) && page.rows.is_empty() {
            self.nothing_since.get_or_insert(now);
        }
        match self.turn {
            Turn::Time => {}
            Turn::Sweep => {
                if let Some(run) = self.sweeps.run_mut() {
                    run.read(page, now);
                }
            }
            Turn::Audit => {
                if let Some(run) = self.audits.run_mut() {
                    run.read(page, now);
                }
            }
            Turn::Retry => self.retries.read(&page.rows, now),
        }
        if let Some(rows) = self.reading_mut().and_then(|reading| reading.found_cap()) {
            self.abilities.found_cap(rows, now);
        }
        if let Some(second) = self.reading_mut().and_then(|reading| reading.found_apart()) {
            self.apart.insert(second);
            if APART_MAX < self.apart.len() {
                self.apart.pop_first();
            }
        }
        wants_rows
    }

    /// The call was answered, and the answer lacks rows, for this reason: what came is as good as any, and the reading does with
    /// it as with a failure. Returns whether there is another call to make at once.
    pub(crate) fn read_in_part(&mut self, page: &Page, why: &str, others: Option<Moment>, now: Moment) -> bool {
        match self.turn {
            Turn::Time => true,
            Turn::Sweep => self.sweeps.run_mut().is_some_and(|run| run.read_in_part(page, why, others, now)),
            Turn::Audit => {
                self.audits.run_mut().is_some_and(|run| run.reading.read_in_part(&page.rows, why, others, now))
            }
            Turn::Retry => self.retries.read_in_part(&page.rows, why, others, now),
        }
    }

    /// Whether anybody wants the rows of the call under way.
    pub(crate) fn wants_rows(&mut self) -> bool {
        match self.turn {
            Turn::Time => false,
            Turn::Sweep | Turn::Audit => self.reading_mut().is_some_and(|reading| reading.wants_rows()),
            Turn::Retry => self.retries.wants_rows(),
        }
    }

    fn around<'a>(&self, scene: Scene<'a>) -> Around<'a> {
        let Scene { quarantine, now, .. } = scene;
        let believed = self.nothing_since.is_some_and(|since| NOTHING_IS_DOUBTED <= now.since(since));
        Around { quarantine, refusals: self.abilities.refusals(now), doubts_nothing: self.has_listed && !believed }
    }

    /// Whether the server refuses bounds.
    pub(crate) fn refuses_bounds(&self, now: Moment) -> bool {
        self.abilities.refusals(now).bounds
    }

    /// The call failed. Returns whether there is another one to make at once.
    pub(crate) fn failed(&mut self, error: &FetchError, others: Option<Moment>, now: Moment) -> bool {
        let at_once = match self.turn {
            Turn::Time => false,
            Turn::Sweep | Turn::Audit => self.reading_mut().is_some_and(|reading| reading.failed(error, others, now)),
            Turn::Retry => self.retries.failed(error, others, now),
        };
        let was_rejected = matches!(error, FetchError::Rejected { .. });
        if let Some(refusals) = self.reading_mut().map(|reading| reading.refusals()).filter(|_| was_rejected) {
            let before = self.abilities.refusals(now);
            self.abilities.learn(refusals, now);
            if self.turn == Turn::Sweep && refusals.bounds && !before.bounds {
                // The next one does without them.
                self.sweeps.abandon();
            }
        }
        at_once
    }

    /// Whether it waits for the source to answer at all.
    pub(crate) fn is_probing(&mut self) -> bool {
        self.reading_mut().is_some_and(|reading| reading.is_probing())
    }

    /// Nothing more of what it is about before then.
    pub(crate) const fn due_at(&mut self, due: Moment) {
        match self.turn {
            Turn::Time | Turn::Sweep => self.sweeps.due_at(due),
            Turn::Audit => self.audits.not_before(due),
            Turn::Retry => self.retries.due_at(due),
        }
    }

    /// The rows of a page are durable; that may have been the last page.
    pub(crate) fn committed(&mut self, outcome: &Committed, scene: Scene<'_>) -> News {
        let mut missed = 0;
        match self.turn {
            Turn::Sweep => {
                if let Some(run) = self.sweeps.run_mut() {
                    run.committed(outcome.oldest_unseen);
                }
            }
            Turn::Audit => {
                if let Some(run) = self.audits.run_mut() {
                    missed = outcome.events.iter().filter(|event| run.was_due(event.last_update)).count() as u64;
                }
            }
            Turn::Time | Turn::Retry => {}
        }
        News { missed, ..self.conclude(scene) }
    }

    /// The quarantine is durable.
    pub(crate) fn quarantined(&mut self, scene: Scene<'_>) -> News {
        if let Some(reading) = self.reading_mut() {
            reading.went_around();
        }
        self.conclude(scene)
    }

    /// What follows where a reading has come to its end; nothing where it has not.
    fn conclude(&mut self, scene: Scene<'_>) -> News {
        let Scene { position, settings, clock, quarantine, now } = scene;
        let around = self.around(scene);
        let commit = |commit| News { commit: Some(commit), ..News::default() };
        let broken = |why| News { broken: Some(why), ..News::default() };
        match self.turn {
            Turn::Time => News::default(),
            Turn::Sweep => match self.sweeps.finish(position, settings, clock, now) {
                None => News::default(),
                Some(sweep::Outcome::Complete(next)) => commit(Commit::Position(next)),
                Some(sweep::Outcome::Broken(why)) => {
                    self.sweeps.due_at(self.sweeps.due().max(now + BROKEN_PAUSE));
                    broken(why)
                }
            },
            Turn::Audit => match self.audits.finish(position, settings, around, now) {
                None | Some(audit::Outcome::Goes) => News::default(),
                Some(audit::Outcome::Complete(next)) => commit(Commit::Position(next)),
                Some(audit::Outcome::Broken(why)) => broken(why),
                Some(audit::Outcome::Skipped(why, end)) => {
                    News { commit: end.map(Commit::Position), broken: Some(why), missed: 0 }
                }
            },
            Turn::Retry => match self.retries.finish(quarantine, settings, position, now) {
                None | Some(retries::Outcome::Same) => News::default(),
                Some(retries::Outcome::Healed(quarantine)) => commit(Commit::Quarantine(quarantine)),
            },
        }
    }

    fn lane(&self) -> Lane {
        match self.kind() {
            PassKind::Tail => Lane::Tail,
            PassKind::Sweep => Lane::Sweep,
            PassKind::CatchUp => Lane::CatchUp,
            PassKind::Audit | PassKind::Retry => Lane::Audit,
        }
    }

    fn reading(&mut self, scene: Scene<'_>) -> Option<&Reading> {
        match self.turn {
            Turn::Time => None,
            Turn::Sweep => self.sweeps.run().map(|run| &run.reading),
            Turn::Audit => self.audits.run_mut().map(|run| &run.reading),
            Turn::Retry => self.retries.reading(scene.quarantine, scene.settings, scene.clock.agreed()),
        }
    }

    /// The reading of a sweep or an audit.
    fn reading_mut(&mut self) -> Option<&mut Reading> {
        match self.turn {
            Turn::Sweep => self.sweeps.run_mut().map(|run| &mut run.reading),
            Turn::Audit => self.audits.run_mut().map(|run| &mut run.reading),
            Turn::Time | Turn::Retry => None,
        }
    }

    /// From where to where a long way back is being read, while a window of it is.
    pub(crate) fn way_back(&self, scene: Scene<'_>) -> Option<(Timestamp, Timestamp)> {
        self.sweeps.way_back(scene.position, scene.settings, scene.clock)
    }
}
