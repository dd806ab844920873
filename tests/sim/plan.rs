//! What a seed makes of its world: which faults it has, how strong they are, how the program is set. It is data; a failure is
//! made small by taking things out of it.

use std::time::Duration;

use crate::core::quota::Limits;
use crate::core::settings::{Audit, Settings, Start};
use crate::dice::Dice;
use crate::fault::{Fault, Faults, OF_GRAPH};
use crate::focus::Focus;
use crate::model::dialect::Dialect;

/// A second in nanoseconds, the unit of simulated time.
pub const SECOND: u64 = 1_000_000_000;
/// The quota of the list calls.
pub const LIMITS: Limits = Limits::of_list(50, 1500);
/// An audit that never comes.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A world and a program in it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// The API that is asked first.
    pub dialect: Dialect,
    /// What happens in it.
    pub faults: Faults,
    /// What it is about.
    pub focus: Focus,
    /// Simulated time with faults, in nanoseconds. Afterwards everything must come to rest.
    pub faulty: u64,
    /// How the program is set.
    pub settings: Settings,
    /// Whether audits come at all.
    pub audits: bool,
    /// The source.
    pub source: Source,
    /// The sinks.
    pub sinks: Vec<SinkPlan>,
    /// Kills at most.
    pub kills: u32,
    /// Events in the outbox at which polling pauses.
    pub outbox_max: u64,
    /// One event in so many that is accepted is followed by one of a neighbour tenant; 0 for none.
    pub neighbours: u64,
}

/// The source.
#[derive(Debug, Clone)]
pub struct Source {
    /// Incidents that are there at the start.
    pub incidents: u64,
    /// Over how much time before the start they lie, in nanoseconds.
    pub history: u64,
    /// Incidents that are there at a time, at most.
    pub incidents_max: usize,
    /// Mean time between two things that happen, in nanoseconds.
    pub pace: u64,
    /// Times are multiples of this, in ticks.
    pub tick: u64,
    /// From a revision's birth until it is visible, at most, in nanoseconds.
    pub visible_max: u64,
    /// How many revisions of 1000 are late.
    pub late: u64,
    /// How far a replica lags, at most, in nanoseconds.
    pub lag_max: u64,
    /// How much too early a revision is stamped, at most, in nanoseconds.
    pub stamp_skew_max: u64,
    /// The order of the list.
    pub order: Order,
    /// Rows of a page at most, where the source has its own idea.
    pub page_cap: Option<u32>,
    /// What `$top` is taken for.
    pub top: Option<u32>,
    /// The greatest `$skip`.
    pub skip_max: Option<u32>,
    /// Answers that may lie about one revision.
    pub lies_max: u8,
    /// How many calls of 1000 a fault of calls hits, each kind.
    pub failing: u64,
    /// How many answers of 1000 lie, each kind.
    pub lying: u64,
    /// Weight of a page at which it is too large.
    pub weight_max: u32,
    /// Time of a call each way, at most, in nanoseconds.
    pub net: u64,
    /// Whether a page with a poisoned incident fails as a 5xx; else it cannot be understood.
    pub poison_is_5xx: bool,
    /// While a provider is away every answer says so; else those that would hold what it has.
    pub all_lack: bool,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `lastUpdateTime`, newest first: what was observed.
    LastUpdate,
    /// `createdTime`, newest first.
    Created,
    /// Id, greatest first.
    Id,
}

/// One sink.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// It confirms later than it takes.
    pub streams: bool,
    /// Events per call.
    pub limit: usize,
    /// It takes events of the neighbour tenant too.
    pub takes_neighbours: bool,
    /// How many calls of 1000 go wrong, each way.
    pub failing: u64,
}

impl Plan {
    /// The world of a seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let focus = dice.pick(&[
            Focus::Mixture,
            Focus::Mixture,
            Focus::Late,
            Focus::CatchUp,
            Focus::Poison,
            Focus::Loss,
            Focus::Pages,
            Focus::Liar,
            Focus::Audit,
            Focus::Calls,
            Focus::Hunger,
        ]);
        let often = dice.pick(&[100, 250, 450]);
        let mut faults = Faults::default();
        for &fault in Fault::ALL.iter().filter(|fault| !OF_GRAPH.contains(fault)) {
            if dice.permille(often) {
                faults = faults.with(fault);
            }
        }
        let audits = matches!(focus, Focus::Audit) || dice.permille(500);
        let mut plan = Self {
            seed,
            dialect: Dialect::default(),
            faults,
            focus,
            faulty: dice.pick(&[1200, 2400, 5000]) * SECOND,
            settings: settings(&mut dice),
            audits,
            source: source(&mut dice),
            sinks: sinks(&mut dice),
            kills: dice.pick(&[2, 5, 12]) as u32,
            outbox_max: dice.pick(&[60, 400, 5000]),
            neighbours: dice.pick(&[0, 5, 20]),
        };
        plan.focus_on(&mut dice);
        plan.choose_api(often);
        plan.derive();
        plan
    }

    /// Whether Graph is ever asked.
    pub fn asks_graph(&self) -> bool {
        self.dialect == Dialect::Graph || self.faults.has(Fault::Switch)
    }

    /// How the program is set while this API is asked.
    pub fn settings(&self, dialect: Dialect) -> Settings {
        Settings {
            page_size: self.settings.page_size.min(dialect.page_size_max()),
            lists_alerts_apart: dialect.lists_alerts_apart(),
            ..self.settings.clone()
        }
    }

    /// Which API is asked, and what it does that the other does not.
    fn choose_api(&mut self, often: u64) {
        let mut dice = Dice::new(self.seed, 5);
        self.dialect = dice.pick(&Dialect::ALL);
        for &fault in OF_GRAPH {
            if dice.permille(often) {
                self.faults = self.faults.with(fault);
            }
        }
        if self.dialect == Dialect::Graph && dice.permille(300) {
            self.faults = self.faults.with(Fault::SkipCap);
        }
        if self.focus == Focus::Poison {
            self.faults = self.faults.with(Fault::PoisonWithin);
        }
        self.source.all_lack = dice.permille(500);
    }

    /// The same without audits: what they would make good must not be needed.
    #[must_use]
    pub fn without_audits(mut self) -> Self {
        self.audits = false;
        self.derive();
        self
    }

    /// Reckons what hangs together: the assumption of the overlap, and which faults there can be.
    pub fn derive(&mut self) {
        let mut dice = Dice::new(self.seed, 4);
        if !self.audits {
            self.settings.audit.every = NEVER;
            self.settings.deep_audit.every = NEVER;
            self.faults = self.faults.without(Fault::QuietEdit).without(Fault::TooLateRow);
        }
        if !self.asks_graph() {
            self.faults = OF_GRAPH.iter().fold(self.faults, |faults, &fault| faults.without(fault));
        }
        if self.faults.has(Fault::Switch) {
            self.faults = self.faults.with(Fault::Kill);
            self.kills = self.kills.max(8);
        }
        if self.faults.has(Fault::LtRefused) {
            // What lies behind the last row that may be skipped can be asked for in no way at all.
            self.faults = self.faults.without(Fault::SkipCap);
            // And what cannot be read hides its whole page for ever, if pages cannot be made smaller either.
            self.faults = self.faults.without(Fault::PoisonForever).without(Fault::TopIgnored);
            // Nor can a tie of more than a page be cut.
            self.faults = self.faults.without(Fault::ShuffledTies);
        }
        if self.faults.has(Fault::ShuffledTies) {
            // More than a page created in one second, in another order each time, cannot be cut either.
            self.faults = self.faults.without(Fault::BulkCreate);
        }
        if self.faults.has(Fault::TopIgnored) {
            // A second that is too large, or holds what cannot be read, cannot be asked for in parts.
            self.faults = self.faults.without(Fault::TooLarge).without(Fault::Poison).without(Fault::PoisonForever);
            self.faults = self.faults.without(Fault::PoisonWithin).without(Fault::AlertsFail);
        }
        if self.faults.has(Fault::PageCap) {
            self.settings.page_size = self.settings.page_size.max(25);
        }
        if self.settings.interval.is_none() {
            // The fastest tail and the fastest sweeps ask for more than the hour has.
            self.settings.sweep_every = self.settings.sweep_every.max(Duration::from_secs(60));
            if self.audits {
                // An audit has a call a minute then, and hours to go with small pages.
                self.settings.page_size = self.settings.page_size.max(25);
            }
        }
        let faults = self.faults;
        let has = |fault| faults.has(fault);
        let source = &mut self.source;
        source.order = match (has(Fault::OrderCreated), has(Fault::OrderId)) {
            (true, _) => Order::Created,
            (false, true) => Order::Id,
            (false, false) => Order::LastUpdate,
        };
        let page = self.settings.page_size;
        source.page_cap = has(Fault::PageCap).then(|| (page / 2).max(3));
        source.top = has(Fault::TopIgnored).then(|| page * 2);
        // Twice a page created in one second has to be within reach.
        let least = if has(Fault::BulkCreate) { 3 } else { 1 };
        source.skip_max = has(Fault::SkipCap).then(|| page * dice.between(least, 6) as u32);
        source.tick = if has(Fault::CoarseTick) { dice.pick(&[10_000, 1_000_000, 10_000_000]) } else { 33_333 };
        source.lag_max = if has(Fault::ReplicaLag) { dice.pick(&[3, 10]) * SECOND } else { 0 };
        source.stamp_skew_max = if has(Fault::StampSkew) { dice.pick(&[500, 2000]) * SECOND / 1000 } else { 0 };
        // One reading believes a page and what confirms it; a cap takes the first of the two away.
        source.lies_max = u8::from(!has(Fault::PageCap) && !has(Fault::TopIgnored));
        if self.focus == Focus::Liar {
            // A sweep believes two answers, and the one after it has to agree.
            source.lies_max = 3;
        }
        source.net = if has(Fault::SlowNet) { 10 * SECOND } else { dice.pick(&[80, 400, 2000]) * SECOND / 1000 };
        // A `Date` is cut to its second, may run ahead by what the clock forgives, and is as old as its answer.
        let slack = source.lag_max + source.stamp_skew_max + source.tick * 100 + 10 * SECOND;
        let overlap = self.settings.overlap.as_nanos() as u64;
        source.visible_max = overlap.saturating_sub(slack);
    }
}

fn settings(dice: &mut Dice) -> Settings {
    let overlap = dice.pick(&[120, 300, 900]);
    Settings {
        interval: dice.pick(&[None, Some(Duration::from_secs(5)), Some(Duration::from_secs(15))]),
        overlap: Duration::from_secs(overlap),
        sweep_every: Duration::from_secs(dice.pick(&[10, 20, 60])),
        page_size: dice.pick(&[6, 10, 25, 100]),
        lists_alerts_apart: false,
        list: LIMITS,
        audit: Audit { every: Duration::from_secs(dice.pick(&[600, 1200])), window: Duration::from_secs(5 * 3600) },
        deep_audit: Audit { every: Duration::from_secs(2 * 3600), window: Duration::from_secs(30 * 86_400) },
        start: dice.pick(&[
            Start::Now,
            Start::Back(Duration::from_secs(600)),
            Start::Back(Duration::from_secs(86_400)),
        ]),
    }
}

fn source(dice: &mut Dice) -> Source {
    Source {
        incidents: dice.pick(&[0, 20, 150]),
        history: dice.pick(&[1, 20]) * 3600 * SECOND,
        incidents_max: dice.pick(&[60, 300]),
        pace: dice.pick(&[3, 10, 40]) * SECOND,
        tick: 33_333,
        visible_max: 0,
        late: dice.pick(&[20, 150]),
        lag_max: 0,
        stamp_skew_max: 0,
        order: Order::LastUpdate,
        page_cap: None,
        top: None,
        skip_max: None,
        lies_max: 0,
        failing: dice.pick(&[3, 15, 50]),
        lying: dice.pick(&[20, 100]),
        weight_max: dice.pick(&[12, 30]) as u32,
        net: 0,
        poison_is_5xx: dice.permille(500),
        all_lack: false,
    }
}

fn sinks(dice: &mut Dice) -> Vec<SinkPlan> {
    let count = dice.between(1, 3);
    let one = |n: u64, dice: &mut Dice| SinkPlan {
        streams: n == 1 || dice.permille(200),
        limit: dice.pick(&[1, 4, 20]) as usize,
        takes_neighbours: n != 0 || dice.permille(500),
        failing: dice.pick(&[10, 60]),
    };
    (0..count).map(|n| one(n, dice)).collect()
}
