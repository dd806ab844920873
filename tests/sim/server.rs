//! The model of the source: incidents with revisions that become visible late, lists that move while they are read, calls
//! that fail. It counts every call on arrival, as the real one does.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::value::RawValue;
use xdrelay::model::incident::Row;
use xdrelay::model::page::{FetchError, Page, Query};
use xdrelay::model::timestamp::Timestamp;

/// Seconds, as a number of simulated nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// The server's clock when our monotonic time is zero.
const EPOCH: u64 = 1_800_000_000;

pub(crate) struct Server {
    rng: StdRng,
    pub(crate) incidents: Vec<Incident>,
    /// Arrivals of list calls, in nanoseconds.
    pub(crate) arrivals: Vec<u64>,
    order: Order,
    delay_max: u64,
    failing: f64,
    pub(crate) late_rows: u64,
    pub(crate) failed_calls: u64,
}

pub(crate) struct Incident {
    pub(crate) id: u64,
    pub(crate) revisions: Vec<Revision>,
    gone_at: Option<u64>,
}

pub(crate) struct Revision {
    pub(crate) last_update: Timestamp,
    row: Row,
    visible_at: u64,
}

/// How the server sorts its list.
#[derive(Clone, Copy)]
enum Order {
    LastUpdate,
    Id,
}

impl Server {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let order = if rng.random_bool(0.7) { Order::LastUpdate } else { Order::Id };
        let delay_max = rng.random_range(0..1500);
        let failing = rng.random_range(0.0..0.3);
        let mut server = Self {
            rng,
            incidents: Vec::new(),
            arrivals: Vec::new(),
            order,
            delay_max,
            failing,
            late_rows: 0,
            failed_calls: 0,
        };
        for id in 0..server.rng.random_range(0..400) {
            server.create(id, 0);
        }
        server
    }

    pub(crate) fn time(at: u64) -> Timestamp {
        Timestamp::from_ticks(EPOCH * 10_000_000 + at / 100)
    }

    /// Something happens: an incident is created, changes, or goes.
    pub(crate) fn live(&mut self, at: u64) {
        let count = self.incidents.len() as u64;
        match self.rng.random_range(0..10) {
            0..=3 => self.create(count, at),
            4..=7 if 0 < count => {
                let target = self.rng.random_range(0..count) as usize;
                self.revise(target, at);
            }
            // A bulk edit: many incidents at one tick.
            8 if 0 < count => {
                for target in 0..self.rng.random_range(1..count.min(150) + 1) as usize {
                    self.revise(target, at);
                }
            }
            _ if 0 < count && self.rng.random_bool(0.3) => {
                let target = self.rng.random_range(0..count) as usize;
                self.incidents[target].gone_at.get_or_insert(at);
            }
            _ => {}
        }
    }

    fn create(&mut self, id: u64, at: u64) {
        self.incidents.push(Incident { id, revisions: Vec::new(), gone_at: None });
        self.revise(id as usize, at);
    }

    fn revise(&mut self, target: usize, at: u64) {
        // Mostly at once, now and then late, never beyond what the overlap allows.
        let delay = if self.rng.random_bool(0.1) { self.rng.random_range(0..=self.delay_max) * SECOND } else { 0 };
        if SECOND * 60 < delay {
            self.late_rows += 1;
        }
        let tick = 33_333 * (at / 100 / 33_333);
        let incident = &mut self.incidents[target];
        let before = incident.revisions.last().map_or(0, |revision| revision.visible_at);
        let status = ["Active", "InProgress", "Resolved"][self.rng.random_range(0..3)];
        let last_update = Self::time(tick * 100);
        let row = row(incident.id, last_update, status, incident.revisions.len());
        incident.revisions.push(Revision { last_update, row, visible_at: (at + delay).max(before) });
    }

    /// What a perfect reader would know now: the current visible revision of each incident that is still there.
    pub(crate) fn current(&self, at: u64) -> impl Iterator<Item = (u64, &Revision)> {
        let there = move |incident: &&Incident| incident.gone_at.is_none_or(|gone| at < gone);
        self.incidents.iter().filter(there).filter_map(move |incident| {
            let visible = incident.revisions.iter().rev().find(|revision| revision.visible_at <= at)?;
            Some((incident.id, visible))
        })
    }

    /// One call, counted when it arrives.
    pub(crate) fn list(&mut self, query: &Query, at: u64, healthy: bool) -> Result<Page, FetchError> {
        self.arrivals.push(at);
        if !healthy && self.rng.random_bool(self.failing) {
            self.failed_calls += 1;
            return Err(self.failure());
        }
        let window = query.window;
        let in_window = |time: Timestamp| window.from <= time && window.to.is_none_or(|to| time < to);
        let mut rows: Vec<_> = self.current(at).filter(|(_, revision)| in_window(revision.last_update)).collect();
        match self.order {
            Order::LastUpdate => rows.sort_by_key(|(id, revision)| std::cmp::Reverse((revision.last_update, *id))),
            Order::Id => rows.sort_by_key(|(id, _)| std::cmp::Reverse(*id)),
        }
        let page = rows.into_iter().skip(query.skip as usize).take(query.top as usize);
        let rows = page.map(|(_, revision)| revision.row.clone()).collect();
        Ok(Page { rows, date: Some(Self::time(at).floor_to_second()) })
    }

    fn failure(&mut self) -> FetchError {
        let why = "simulated".to_owned();
        match self.rng.random_range(0..5) {
            0 => FetchError::Throttled { after: Some(std::time::Duration::from_secs(8)), why },
            1 => FetchError::Garbled { why },
            2 => FetchError::Unauthorized { why },
            _ => FetchError::Unavailable { after: None, why },
        }
    }
}

fn row(id: u64, last_update: Timestamp, status: &str, detail: usize) -> Row {
    let json =
        format!(r#"{{"incidentId":{id},"lastUpdateTime":"{last_update}","status":"{status}","detail":{detail}}}"#);
    Row::new(RawValue::from_string(json).expect("JSON"))
}
