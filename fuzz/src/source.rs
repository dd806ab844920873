//! The model of the API for `steps`: incidents whose revisions become visible late, a list in one order or another, calls
//! that fail. It counts every call when it arrives. Nothing happens in it by itself.

use std::time::Duration;

use serde_json::value::RawValue;
use xdrelay::core::quota::Limits;
use xdrelay::model::incident::Row;
use xdrelay::model::page::{FetchError, Page, Query};
use xdrelay::model::timestamp::Timestamp;

/// A second in the nanoseconds of the model.
pub const SECOND: u64 = 1_000_000_000;
/// The source's clock when ours is at zero, in seconds.
const EPOCH: u64 = 1_800_000_000;
/// Incidents at most.
pub const INCIDENTS_MAX: usize = 48;
/// A change is visible after so many seconds at most, on a replica that lags a little later; the overlap is longer.
pub const DELAY_MAX: u64 = 1500;

/// The source.
#[derive(Debug)]
pub struct Source {
    incidents: Vec<Incident>,
    /// When list calls arrived.
    arrivals: Vec<u64>,
    order: Order,
    /// What goes wrong with the next call.
    pub next: Trouble,
}

#[derive(Debug)]
struct Incident {
    revisions: Vec<Revision>,
    gone_at: Option<u64>,
}

/// An incident from one change to the next.
#[derive(Debug)]
pub struct Revision {
    /// `lastUpdateTime`.
    pub last_update: Timestamp,
    row: Row,
    visible_at: u64,
}

/// How the list is sorted. All of them are newest or greatest first but the last.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// By `lastUpdateTime`.
    LastUpdate,
    /// By `createdTime`, which is the order of the ids.
    Created,
    /// By id, smallest first.
    IdAscending,
}

/// What may go wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The answer has no `Date`.
    Dateless,
    /// The page holds only a part of what was asked for, as a server may at any time.
    Short,
    /// The answer comes from a replica that is so many seconds behind.
    Lagging(u8),
    /// An error, by number.
    Error(u8),
}

impl Source {
    /// A source without incidents.
    pub fn new(order: Order) -> Self {
        Self { incidents: Vec::new(), arrivals: Vec::new(), order, next: Trouble::None }
    }

    /// The source's clock.
    pub fn time(at: u64) -> Timestamp {
        Timestamp::from_ticks(EPOCH * 10_000_000 + at / 100)
    }

    /// A new incident.
    pub fn create(&mut self, at: u64, delay: u64) {
        if self.incidents.len() < INCIDENTS_MAX {
            self.incidents.push(Incident { revisions: Vec::new(), gone_at: None });
            self.revise(self.incidents.len() - 1, at, delay);
        }
    }

    /// How many incidents there ever were.
    pub fn count(&self) -> usize {
        self.incidents.len()
    }

    /// An incident changes now and shows it so many seconds later.
    pub fn revise(&mut self, target: usize, at: u64, delay: u64) {
        let Some(incident) = self.incidents.get_mut(target) else { return };
        // The ticks of the real one are thirtieths of a second, often the same for many.
        let last_update = Self::time(33_333 * (at / 100 / 33_333) * 100);
        let detail = incident.revisions.len();
        let before = incident.revisions.last().map_or(0, |revision| revision.visible_at);
        let visible_at = (at + delay.min(DELAY_MAX) * SECOND).max(before);
        incident.revisions.push(Revision { last_update, row: row(target, last_update, detail), visible_at });
    }

    /// An incident is not listed any more.
    pub fn remove(&mut self, target: usize, at: u64) {
        if let Some(incident) = self.incidents.get_mut(target) {
            incident.gone_at.get_or_insert(at);
        }
    }

    /// What a perfect reader would know: the visible revision of every incident that is listed.
    pub fn current(&self, at: u64) -> impl Iterator<Item = (usize, &Revision)> {
        self.incidents.iter().enumerate().filter_map(move |(id, incident)| {
            let visible = incident.revisions.iter().rev().find(|revision| revision.visible_at <= at)?;
            incident.gone_at.is_none_or(|gone| at < gone).then_some((id, visible))
        })
    }

    /// A call that nobody waits for any more arrives all the same.
    pub fn arrived(&mut self, at: u64) {
        self.arrivals.push(at);
    }

    /// One call.
    pub fn list(&mut self, query: &Query, at: u64) -> Result<Page, FetchError> {
        self.arrived(at);
        let trouble = std::mem::replace(&mut self.next, Trouble::None);
        if let Trouble::Error(number) = trouble {
            return Err(failure(number));
        }
        let window = query.window;
        let lag = if let Trouble::Lagging(seconds) = trouble { u64::from(seconds) * SECOND } else { 0 };
        let mut rows: Vec<_> = self
            .current(at.saturating_sub(lag))
            .filter(|(_, revision)| window.from <= revision.last_update)
            .filter(|(_, revision)| window.to.is_none_or(|to| revision.last_update < to))
            .collect();
        match self.order {
            Order::LastUpdate => rows.sort_by_key(|(id, revision)| std::cmp::Reverse((revision.last_update, *id))),
            Order::Created => rows.reverse(),
            Order::IdAscending => {}
        }
        let top = if trouble == Trouble::Short { query.top / 2 } else { query.top };
        let page = rows.into_iter().skip(query.skip as usize).take(top as usize);
        let rows = page.map(|(_, revision)| revision.row.clone()).collect();
        let date = (trouble != Trouble::Dateless).then(|| Self::time(at).floor_to_second());
        Ok(Page { rows, date, ..Page::default() })
    }

    /// Panics where a closed window holds more calls than its quota, counted on arrival.
    pub fn check_quota(&self, limits: Limits, at: u64) {
        for (window, limit) in [(60, limits.per_minute), (3600, limits.per_hour)] {
            let from = at.saturating_sub(window * SECOND);
            let count = self.arrivals.iter().rev().take_while(|&&arrival| from <= arrival).count();
            assert!(count <= limit as usize, "{count} calls within {window} s");
        }
    }
}

fn row(id: usize, last_update: Timestamp, detail: usize) -> Row {
    let status = ["Active", "InProgress", "Resolved"][detail % 3];
    let json =
        format!(r#"{{"incidentId":{id},"lastUpdateTime":"{last_update}","status":"{status}","detail":{detail}}}"#);
    Row::new(RawValue::from_string(json).expect("JSON"))
}

/// The kinds of failure, and with them how long they ask to wait.
fn failure(number: u8) -> FetchError {
    let why = "made up".to_owned();
    let after = (number & 8 != 0).then(|| Duration::from_secs(u64::from(number) * 3));
    match number % 8 {
        0 => FetchError::Throttled { after, of_one: number & 16 != 0, why },
        1 => FetchError::Unavailable { after, why },
        2 => FetchError::Unauthorized { why },
        3 => FetchError::Refused { why },
        4 => FetchError::Rejected { why },
        5 => FetchError::Garbled { why },
        6 => FetchError::TooLarge { limit: 1 },
        _ => FetchError::NotFound,
    }
}
