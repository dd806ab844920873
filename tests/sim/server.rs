//! The list API over the world: one slice of what one replica shows at one moment, and everything that can go wrong with the
//! answer. It counts every call when it arrives and knows nothing of who asks.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::core::quota::Limits;
use crate::core::seen;
use crate::dice::Dice;
use crate::fault::{Counts, Fault};
use crate::incident::Poison;
use crate::model::dialect::Dialect;
use crate::model::incident::Row;
use crate::model::page::{Alerts, FetchError, Page, Query};
use crate::model::timestamp::Timestamp;
use crate::plan::{LIMITS, Order, Plan, SECOND};
use crate::world::{World, without_alerts};

/// The source.
#[derive(Debug)]
pub struct Server {
    dice: Dice,
    /// Arrivals of calls, and the first that counts for the minute and for the hour.
    arrivals: Vec<u64>,
    minute: usize,
    hour: usize,
    /// The API that is asked.
    pub dialect: Dialect,
    /// All calls fail until then.
    pub away_until: u64,
    /// What this provider (of three) has is missing until then.
    pub lacks: (u64, usize),
    /// The answer before was dated wrong: two in a row would agree, and that is excluded.
    lied_of_time: bool,
    /// No faults any more.
    pub is_calm: bool,
}

/// What a call comes back with.
#[derive(Debug)]
pub struct Answer {
    /// As a careful client takes it.
    pub result: Result<Page, FetchError>,
    /// The rows of a cut body, as a careless one would take them.
    pub cut: Option<Page>,
    /// How long the client waits for it beyond the network.
    pub takes: u64,
}

impl Server {
    /// A source that was never asked.
    pub const fn new(seed: u64, dialect: Dialect) -> Self {
        Self {
            dice: Dice::new(seed, 3),
            arrivals: Vec::new(),
            minute: 0,
            hour: 0,
            dialect,
            away_until: 0,
            lacks: (0, 0),
            lied_of_time: false,
            is_calm: false,
        }
    }

    /// Calls so far.
    pub const fn calls(&self) -> usize {
        self.arrivals.len()
    }

    /// A call arrives. Says how many are too many in which window, if they are.
    pub fn arrives(&mut self, at: u64) -> Result<(), String> {
        self.arrivals.push(at);
        let Limits { per_minute, per_hour } = LIMITS;
        for (first, window, limit) in [(&mut self.minute, 60, per_minute), (&mut self.hour, 3600, per_hour)] {
            while self.arrivals[*first] + window * SECOND < at {
                *first += 1;
            }
            let count = self.arrivals.len() - *first;
            if limit as usize <= count.saturating_sub(1) {
                return Err(format!("{count} calls within {window} s"));
            }
        }
        Ok(())
    }

    /// The answer to a call that has arrived.
    pub fn list(&mut self, world: &mut World, query: &Query, at: u64, plan: &Plan, counts: &mut Counts) -> Answer {
        let fail = |result: FetchError| Answer { result: Err(result), cut: None, takes: 0 };
        if let Some(refusal) = refusal(query, self.dialect, plan, counts) {
            return fail(refusal);
        }
        if let Some(failure) = self.failure(at, plan, counts) {
            let takes = if matches!(failure, Failure::Timeout) { 30 * SECOND } else { 0 };
            return Answer { takes, ..fail(failure.error(&mut self.dice)) };
        }
        let mut slice = self.slice(world, query, at, plan, counts);
        let date = self.date(at, plan, counts);
        let dialect = self.dialect;
        let poisoned = |(number, _): &&(usize, usize)| world.incidents[*number].fails_a_page(dialect, query.alerts, at);
        if let Some(&(number, _)) = slice.page().iter().find(poisoned) {
            let why = "simulated: a page that cannot be read".to_owned();
            counts.add(match world.incidents[number].poison {
                Poison::Page if plan.faults.has(Fault::PoisonForever) => Fault::PoisonForever,
                Poison::Page => Fault::Poison,
                Poison::Within | Poison::Alerts => Fault::PoisonWithin,
            });
            return fail(match plan.source.poison_is_5xx {
                true => FetchError::Unavailable { after: None, why },
                false => FetchError::Garbled { why },
            });
        }
        let weight = |number: usize| if query.alerts == Alerts::Apart { 1 } else { world.incidents[number].weight };
        let weight: u32 = slice.page().iter().map(|(number, _)| weight(*number)).sum();
        if plan.source.weight_max < weight && plan.faults.has(Fault::TooLarge) {
            counts.add(Fault::TooLarge);
            return fail(FetchError::TooLarge { limit: 1 });
        }
        self.lie(world, &mut slice, plan, counts);
        let row = |&(number, n): &(usize, usize)| match query.alerts {
            Alerts::Within => world.incidents[number].revisions[n].row_in(dialect).clone(),
            Alerts::Apart => bare(world.incidents[number].revisions[n].row_in(dialect)),
        };
        let mut rows: Vec<_> = slice.page().iter().map(row).collect();
        let mut lacks = slice.lacks;
        if dialect == Dialect::Graph && plan.faults.has(Fault::Lacking) && self.happens(Fault::Lacking, plan, counts) {
            rows.retain(|_| self.dice.permille(500));
            lacks = true;
        }
        if lacks && query.alerts == Alerts::Within && plan.faults.has(Fault::Part) {
            for row in &mut rows {
                if self.dice.permille(500) {
                    counts.add(Fault::Part);
                    *row = Row { part: true, ..bare(row) };
                }
            }
        }
        let incomplete = lacks.then(|| "simulated: 206".to_owned());
        if self.happens(Fault::CutBody, plan, counts) {
            let kept = if self.dice.permille(500) { 0 } else { self.dice.place(rows.len() + 1) };
            let cut = Page { rows: rows.into_iter().take(kept).collect(), date, ..Page::default() };
            let why = "simulated: the body ends early".to_owned();
            return Answer { cut: Some(cut), ..fail(FetchError::Garbled { why }) };
        }
        Answer { result: Ok(Page { rows, date, incomplete }), cut: None, takes: 0 }
    }

    /// The rows of a page that came without their alerts, each completed by a call of its own.
    pub fn complete(&mut self, world: &World, page: Page, at: u64, plan: &Plan, counts: &mut Counts) -> Answer {
        let mut rows = Vec::new();
        for row in &page.rows {
            let number = World::number_of(&seen::id_of(row)).expect("it was listed a moment ago");
            let fails = plan.faults.has(Fault::AlertsFail)
                && (world.incidents[number].fails_its_alerts(at) || self.happens(Fault::AlertsFail, plan, counts));
            if fails {
                counts.add(Fault::AlertsFail);
                let why = "simulated: alerts that cannot be read".to_owned();
                return Answer { result: Err(FetchError::Unavailable { after: None, why }), cut: None, takes: 0 };
            }
            rows.push(world.with_alerts(row).expect("it was listed a moment ago").clone());
        }
        let takes = rows.len() as u64 * SECOND / 10;
        Answer { result: Ok(Page { rows, ..page }), cut: None, takes }
    }

    fn happens(&mut self, fault: Fault, plan: &Plan, counts: &mut Counts) -> bool {
        let happens = self.dice.permille(plan.source.failing) && plan.faults.has(fault) && !self.is_calm;
        if happens {
            counts.add(fault);
        }
        happens
    }

    fn failure(&mut self, at: u64, plan: &Plan, counts: &mut Counts) -> Option<Failure> {
        if at < self.away_until && !self.is_calm {
            return Some(Failure::Server);
        }
        let kinds = [
            (Fault::ServerError, Failure::Server),
            (Fault::Timeout, Failure::Timeout),
            (Fault::ThrottledHint, Failure::ThrottledHint),
            (Fault::Throttled, Failure::Throttled),
            (Fault::Garbled, Failure::Garbled),
            (Fault::Unauthorized, Failure::Unauthorized),
        ];
        for (fault, failure) in kinds {
            if self.happens(fault, plan, counts) {
                return Some(failure);
            }
        }
        // Somebody has to do something: rare, because each keeps us away for minutes.
        let forbidden = self.dice.permille(3) && plan.faults.has(Fault::Forbidden) && !self.is_calm;
        if forbidden {
            counts.add(Fault::Forbidden);
        }
        forbidden.then_some(Failure::Forbidden)
    }

    /// What the replica that is asked holds, in order.
    fn slice(&mut self, world: &World, query: &Query, at: u64, plan: &Plan, counts: &mut Counts) -> Slice {
        let lags = plan.source.lag_max != 0 && !self.is_calm && self.dice.permille(500);
        let lag = if lags { self.dice.below(plan.source.lag_max) } else { 0 };
        if lag != 0 {
            counts.add(Fault::ReplicaLag);
        }
        let within = |from: Timestamp, to: Option<Timestamp>, time| from <= time && to.is_none_or(|to| time < to);
        let salt = if plan.faults.has(Fault::ShuffledTies) { self.dice.number() | 1 } else { 0 };
        let (mut rows, mut lacks) = (Vec::new(), false);
        let (away_until, provider) = self.lacks;
        let is_away = at < away_until && self.dialect == Dialect::Graph && !self.is_calm;
        for (number, incident) in world.incidents.iter().enumerate() {
            let Some(n) = incident.shown(at - lag) else { continue };
            let time = incident.revisions[n].time;
            let created = query.created.is_none_or(|window| within(window.from, window.to, incident.created));
            if created && within(query.window.from, query.window.to, time) {
                if is_away && number % 3 == provider {
                    lacks = true;
                    continue;
                }
                let tie = if salt == 0 { number as u64 } else { (number as u64 + 1).wrapping_mul(salt) };
                let first = match plan.source.order {
                    Order::LastUpdate => time.ticks(),
                    Order::Created => incident.created.ticks(),
                    Order::Id => 0,
                };
                let tie = if plan.source.order == Order::Id { number as u64 } else { tie };
                rows.push((std::cmp::Reverse((first, tie)), (number, n)));
            }
        }
        rows.sort_unstable();
        let has = |fault: Fault, happened: bool, counts: &mut Counts| {
            if happened {
                counts.add(fault);
            }
        };
        has(Fault::OrderCreated, plan.source.order == Order::Created && 1 < rows.len(), counts);
        has(Fault::OrderId, plan.source.order == Order::Id && 1 < rows.len(), counts);
        has(Fault::ShuffledTies, salt != 0 && 1 < rows.len(), counts);
        let asked = plan.source.top.unwrap_or(query.top);
        let top = plan.source.page_cap.map_or(asked, |cap| asked.min(cap)) as usize;
        let rest = rows.len().saturating_sub(query.skip as usize);
        has(Fault::TopIgnored, plan.source.top.is_some() && (query.top as usize) < rest, counts);
        has(Fault::PageCap, plan.source.page_cap.is_some() && top < rest.min(query.top as usize), counts);
        let rows: Vec<_> = rows.into_iter().skip(query.skip as usize).map(|(_, row)| row).collect();
        Slice { end: top.min(rows.len()), rows, lacks: lacks || (is_away && plan.source.all_lack) }
    }

    /// Ends a page before its time, where nobody was lied to about any of the rest too often.
    fn lie(&mut self, world: &mut World, slice: &mut Slice, plan: &Plan, counts: &mut Counts) {
        let (short, empty) = (self.dice.permille(plan.source.lying), self.dice.permille(plan.source.lying));
        let place = self.dice.place(slice.end.max(1));
        let (fault, end) = match (short, empty) {
            (true, _) if 0 < place => (Fault::ShortLie, place),
            (_, true) => (Fault::EmptyLie, 0),
            (_, false) => return,
        };
        let hidden = &slice.rows[end..];
        let may = hidden.iter().all(|&(number, n)| world.incidents[number].revisions[n].lies < plan.source.lies_max);
        if self.is_calm || !plan.faults.has(fault) || hidden.is_empty() || !may {
            return;
        }
        counts.add(fault);
        for &(number, n) in hidden {
            world.incidents[number].revisions[n].lies += 1;
        }
        slice.end = end;
    }

    fn date(&mut self, at: u64, plan: &Plan, counts: &mut Counts) -> Option<Timestamp> {
        let time = World::time(at).floor_to_second();
        let wrong = self.dice.permille(20) && plan.faults.has(Fault::WrongDate) && !self.is_calm && !self.lied_of_time;
        self.lied_of_time = wrong;
        if wrong {
            counts.add(Fault::WrongDate);
            let off = Duration::from_secs(self.dice.pick(&[100, 7200, 86_400]));
            return Some(if self.dice.permille(700) { time.later(off) } else { time.earlier(off) });
        }
        if self.dice.permille(20) && plan.faults.has(Fault::NoDate) && !self.is_calm {
            counts.add(Fault::NoDate);
            return None;
        }
        Some(time)
    }
}

/// What a replica holds behind `$skip`, and how far the page goes.
struct Slice {
    rows: Vec<(usize, usize)>,
    end: usize,
    /// Rows are missing, and the answer says so.
    lacks: bool,
}

impl Slice {
    fn page(&self) -> &[(usize, usize)] {
        &self.rows[..self.end]
    }
}

/// A row of Graph as it comes without its alerts.
fn bare(row: &Row) -> Row {
    Row::new(RawValue::from_string(without_alerts(row.raw.get())).expect("our own text is JSON"))
}

/// How a call fails.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Server,
    Timeout,
    ThrottledHint,
    Throttled,
    Garbled,
    Unauthorized,
    Forbidden,
}

impl Failure {
    fn error(self, dice: &mut Dice) -> FetchError {
        let why = "simulated".to_owned();
        match self {
            Self::Server => {
                let hint = dice.permille(200).then(|| Duration::from_secs(dice.between(0, 20)));
                FetchError::Unavailable { after: hint, why }
            }
            Self::Timeout => FetchError::Unavailable { after: None, why },
            Self::ThrottledHint => FetchError::Throttled { after: Some(Duration::from_secs(dice.between(0, 60))), why },
            Self::Throttled => FetchError::Throttled { after: None, why },
            Self::Garbled => FetchError::Garbled { why },
            Self::Unauthorized => FetchError::Unauthorized { why },
            Self::Forbidden => FetchError::Refused { why },
        }
    }
}

/// What this source does not take.
fn refusal(query: &Query, dialect: Dialect, plan: &Plan, counts: &mut Counts) -> Option<FetchError> {
    let bounded = query.window.to.is_some() || query.created.is_some_and(|window| window.to.is_some());
    let why = if bounded && plan.faults.has(Fault::LtRefused) {
        counts.add(Fault::LtRefused);
        "simulated: operator lt is not allowed"
    } else if plan.source.skip_max.is_some_and(|most| most < query.skip) {
        counts.add(Fault::SkipCap);
        "simulated: the limit for $skip has been exceeded"
    } else if dialect.page_size_max() < query.top {
        "simulated: the limit for $top has been exceeded"
    } else {
        return None;
    };
    Some(FetchError::Rejected { why: why.into() })
}
