//! One run of one plan: everything that happens, in the order of simulated time, and the invariants after each step.

use std::fmt;

use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::fault::{Counts, Fault};
use crate::invariant::{Checked, Invariant, Memory, Violation};
use crate::ledger::Ledger;
use crate::mistakes::{Mistake, Planted};
use crate::plan::{Plan, SECOND};
use crate::server::Server;
use crate::sink::Sink;
use crate::trace::{Trace, seconds};
use crate::world::{BEGIN, NEVER, World};

/// How often the checkpoint is written.
const CHORES_EVERY: u64 = 3 * SECOND;
/// How often is looked whether all is bounded, and at rest.
const LOOK_EVERY: u64 = 20 * SECOND;
/// After the faults have ended everything comes to rest within this time: an hour's throttling, a long way back, audits.
const SETTLED_WITHIN: u64 = 4 * 3600 * SECOND;
/// At rest, nothing more happens for so long.
const QUIET: u64 = 150 * SECOND;
/// Steps at one instant that are no livelock.
const STEPS_AT_ONCE_MAX: u64 = 5000;
/// Steps of one run that are no livelock.
const STEPS_MAX: u64 = 600_000;
/// A kill comes once in so many steps, and so much more often where something was just made durable or heard.
const KILL_ONCE_IN: u64 = 4000;
const SOONER: u64 = 25;
/// In a storm of kills, once in so many.
const STORM_ONCE_IN: u64 = 15;

/// One run.
pub struct Simulation {
    pub(crate) plan: Plan,
    pub(crate) planted: Planted,
    pub(crate) now: u64,
    pub(crate) world: World,
    pub(crate) server: Server,
    pub(crate) ledger: Ledger,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) daemon: Option<Daemon>,
    pub(crate) orphans: Vec<u64>,
    pub(crate) start_at: u64,
    pub(crate) weather_at: u64,
    pub(crate) heal_at: u64,
    pub(crate) is_healed: bool,
    pub(crate) room_since: u64,
    /// Our clock less simulated time, from the next start on.
    pub(crate) off: i64,
    pub(crate) dice: Dice,
    pub(crate) weather_dice: Dice,
    pub(crate) neighbour_dice: Dice,
    pub(crate) memory: Memory,
    pub(crate) counts: Counts,
    pub(crate) trace: Trace,
    pub(crate) report: Report,
    live_at: u64,
    chores_at: u64,
    look_at: u64,
    kills_left: u32,
    kill_soon: bool,
    /// Kills that follow in a row, seconds apart: a process that dies again and again.
    storm_left: u64,
}

/// What a run was like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps of all loops.
    pub steps: u64,
    /// Calls that arrived at the source.
    pub calls: u64,
    /// Events that were put into the outbox.
    pub events: u64,
    /// Arrivals at sinks.
    pub arrivals: u64,
    /// Times the process died.
    pub crashes: u64,
    /// Times the cursor moved.
    pub moves: u64,
    /// Simulated time, in nanoseconds.
    pub simulated: u64,
    /// From the end of the faults until everything had come to rest, in nanoseconds.
    pub settled: u64,
    /// All that happened, in one number.
    pub trace: u64,
    /// What went wrong how often.
    pub counts: Counts,
}

/// A run that broke an invariant.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which, and how.
    pub violation: Violation,
    /// What the run was like until then.
    pub report: Report,
    /// The last lines of its trace, where they were kept.
    pub lines: Vec<String>,
}

impl Simulation {
    /// A run of a plan, with a mistake planted or none. The mistake is to be switched on in this thread as well.
    pub fn new(plan: Plan, planted: Planted) -> Self {
        let (seed, sinks) = (plan.seed, plan.sinks.len());
        let mut weather_dice = Dice::new(seed, 11);
        let off = if plan.faults.has(Fault::WrongClock) { weather_dice.pick(&[-7200, 600, 86_400]) } else { 0 };
        Self {
            planted,
            now: BEGIN,
            world: World::new(&plan),
            server: Server::new(seed, plan.dialect),
            ledger: Ledger::new(sinks),
            sinks: plan.sinks.iter().enumerate().map(|(n, sink)| Sink::new(sink, n, seed)).collect(),
            daemon: None,
            orphans: Vec::new(),
            start_at: BEGIN,
            weather_at: BEGIN + 30 * SECOND,
            heal_at: BEGIN + plan.faulty,
            is_healed: false,
            room_since: BEGIN,
            off: off * SECOND as i64,
            dice: Dice::new(seed, 10),
            weather_dice,
            neighbour_dice: Dice::new(seed, 12),
            memory: Memory::new(sinks),
            counts: Counts::default(),
            trace: Trace::default(),
            report: Report::default(),
            live_at: BEGIN,
            chores_at: BEGIN + CHORES_EVERY,
            look_at: BEGIN + LOOK_EVERY,
            kills_left: plan.kills,
            kill_soon: false,
            storm_left: 0,
            plan,
        }
    }

    /// The run of a seed with a mistake planted or none.
    pub fn of(seed: u64, mistake: &Mistake) -> Self {
        mistake.plant();
        let mut plan = Plan::of(seed);
        if mistake.no_audits {
            plan = plan.without_audits();
        }
        Self::new(plan, mistake.model)
    }

    /// Keeps so many lines of the trace, the last ones, for reading.
    #[must_use]
    pub const fn kept(mut self, lines: usize) -> Self {
        self.trace.kept_max = lines;
        self
    }

    /// Runs to the end, or until an invariant breaks.
    ///
    /// # Errors
    /// What broke, and the way there.
    pub fn run(mut self) -> Result<Report, Box<Failure>> {
        let result = self.lives_and_settles();
        let report = self.reported();
        match result {
            Ok(()) => Ok(report),
            Err(violation) => {
                let lines = self.trace.lines().collect();
                Err(Box::new(Failure { violation, report, lines }))
            }
        }
    }

    fn reported(&self) -> Report {
        Report {
            calls: self.server.calls() as u64,
            events: self.ledger.keys() as u64,
            arrivals: self.sinks.iter().map(|sink| sink.arrivals).sum(),
            moves: self.memory.moves,
            simulated: self.now - BEGIN,
            settled: self.now.saturating_sub(self.heal_at),
            trace: self.trace.hash(),
            counts: self.counts.clone(),
            ..self.report.clone()
        }
    }

    fn lives_and_settles(&mut self) -> Checked {
        let (mut at_rest_since, mut at_once) = (None, 0);
        loop {
            let (at, slot) = self.next();
            at_once = if at <= self.now { at_once + 1 } else { 0 };
            if STEPS_AT_ONCE_MAX < at_once {
                return self.broken(Invariant::I7, format!("{STEPS_AT_ONCE_MAX} steps and no time passes: {slot:?}"));
            }
            if STEPS_MAX < self.report.steps {
                return self.broken(Invariant::I7, format!("{STEPS_MAX} steps and no end"));
            }
            self.now = self.now.max(at);
            self.step(slot)?;
            self.sinks_are_content()?;
            if self.is_healed && slot == Slot::Look {
                match self.unrest() {
                    None => {
                        let since = *at_rest_since.get_or_insert(self.now);
                        if since + QUIET <= self.now {
                            break;
                        }
                    }
                    Some(what) if self.heal_at + SETTLED_WITHIN < self.now => {
                        return self.broken(Invariant::I7, format!("no rest after the faults have ended: {what}"));
                    }
                    Some(_) => at_rest_since = None,
                }
            }
        }
        self.nothing_is_passed()?;
        self.nothing_was_overlooked()
    }

    fn step(&mut self, slot: Slot) -> Checked {
        self.report.steps += 1;
        match slot {
            Slot::Start => self.starts(),
            Slot::Live => self.live_at = self.world.live(self.now, &self.plan, &mut self.counts),
            Slot::Weather => self.weather()?,
            Slot::Chores => self.chores(),
            Slot::Orphan(n) => {
                self.orphans.swap_remove(n);
                if let Err(what) = self.server.arrives(self.now) {
                    return self.broken(Invariant::I6, what);
                }
            }
            Slot::Heal => self.heals(),
            Slot::Look => {
                self.look_at = self.now + LOOK_EVERY;
                self.all_is_bounded()?;
            }
            Slot::Loop(n) => {
                if self.is_killed() {
                    let downs: &[u64] =
                        if self.storm_left != 0 { &[100, 500] } else { &[500, 500, 5000, 60_000, 60_000, 1_500_000] };
                    let down = self.dice.pick(downs) * SECOND / 1000;
                    return self.dies(down);
                }
                match n {
                    0 | 1 => self.read(n)?,
                    sink => self.deliver(sink - 2)?,
                }
            }
        }
        Ok(())
    }

    /// What happens next, and when.
    fn next(&self) -> (u64, Slot) {
        let (loop_at, n) = self.daemon.as_ref().map_or((NEVER, 0), Daemon::next);
        let (weather_at, live_at) = if self.is_healed { (NEVER, NEVER) } else { (self.weather_at, self.live_at) };
        let heal_at = if self.is_healed { NEVER } else { self.heal_at };
        let mut first = (loop_at, Slot::Loop(n));
        let others = [
            (self.start_at, Slot::Start),
            (live_at, Slot::Live),
            (weather_at, Slot::Weather),
            (self.chores_at, Slot::Chores),
            (heal_at, Slot::Heal),
            (self.look_at, Slot::Look),
        ];
        let orphans = self.orphans.iter().enumerate().map(|(n, &at)| (at, Slot::Orphan(n)));
        for other in others.into_iter().chain(orphans) {
            if other.0 < first.0 {
                first = other;
            }
        }
        first
    }

    /// The checkpoint, from what is durable.
    fn chores(&mut self) {
        self.chores_at = self.now + CHORES_EVERY;
        if self.planted == Planted::CursorBeforeEvents {
            self.ledger.write_lazily(self.now.saturating_sub(15 * SECOND));
            self.synced();
        }
        let Some(daemon) = &self.daemon else { return };
        if self.planted == Planted::SeenEvictedEarly {
            self.ledger.evict_early(daemon.moment(self.now));
        }
        if self.ledger.is_dirty && self.ledger.is_synced() && !self.ledger.is_full {
            self.ledger.write_checkpoint(self.planted);
        }
    }

    fn is_killed(&mut self) -> bool {
        let soon = std::mem::take(&mut self.kill_soon);
        if self.is_healed || !self.has(Fault::Kill) {
            return false;
        }
        if 0 < self.storm_left {
            let killed = self.dice.once_in(STORM_ONCE_IN);
            self.storm_left -= u64::from(killed);
            return killed;
        }
        let once_in = if soon { KILL_ONCE_IN / SOONER } else { KILL_ONCE_IN };
        let killed = self.dice.once_in(once_in) && 0 < self.kills_left;
        self.kills_left -= u32::from(killed);
        if killed && self.dice.permille(150) {
            self.storm_left = self.dice.between(3, 25);
        }
        killed
    }

    /// A kill is likelier at the next step.
    pub(crate) const fn kill_soon(&mut self) {
        self.kill_soon = true;
    }

    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("only a process that runs takes steps")
    }
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Start,
    Live,
    Weather,
    Chores,
    Orphan(usize),
    Heal,
    Look,
    Loop(usize),
}

impl Report {
    /// All of another run too.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.calls += other.calls;
        self.events += other.events;
        self.arrivals += other.arrivals;
        self.crashes += other.crashes;
        self.moves += other.moves;
        self.simulated += other.simulated;
        self.settled = self.settled.max(other.settled);
        self.counts.add_all(&other.counts);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, calls, events, arrivals, crashes, moves, simulated, settled, .. } = self;
        writeln!(f, "{steps} steps, {calls} calls, {events} events, {arrivals} arrivals at sinks, {crashes} crashes")?;
        write!(
            f,
            "the cursor moved {moves} times in {} simulated hours; rest came {} s after the faults at the latest",
            seconds(*simulated) / 3600,
            seconds(*settled)
        )
    }
}
