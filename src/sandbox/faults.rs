//! What goes wrong, on demand: the next so many calls of an endpoint, or any call with a probability. Only chooses; the
//! endpoints carry it out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use crate::sandbox::calls::Endpoint;
use crate::sandbox::names::Dice;
use crate::sandbox::settings::RetryAfter;

/// What can go wrong with a call. A call that goes wrong has been counted like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error of the server or something in front of it: 500, 502, 503, 504, or any other status.
    Status(u16),
    /// 429, whatever the quota says.
    Throttled {
        /// What it says of when to come back.
        retry_after: RetryAfter,
        /// When that is.
        wait: Duration,
    },
    /// The connection is reset instead of an answer.
    Reset,
    /// No answer ever; ends when the client or the sandbox does.
    Stall,
    /// The connection ends in the middle of the body.
    CutBody,
    /// 200 with a page of HTML, as proxies and captive portals send.
    Html,
    /// 200 with an error object.
    ErrorObject,
    /// 200 with nothing.
    Empty,
    /// 200 with JSON that ends too soon, by a connection that ends well.
    CutJson,
    /// 401, as for a token that has expired; at the token endpoint, as for a wrong secret.
    Unauthorized,
    /// `Date` is off by so many seconds.
    WrongDate(i64),
    /// `Date` holds no date.
    GarbledDate,
    /// The body comes in so many pieces, with a pause before each.
    Slow {
        /// How many.
        pieces: u32,
        /// Before each.
        pause: Duration,
    },
    /// A replica that lags answers: the list as it was this long ago.
    Stale(Duration),
    /// 206 with a `Warning`, and a part of the answer is missing (Graph's page on errors of the security API).
    Partial(Missing),
}

/// What is missing of a part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The first row and every second one after it.
    Rows,
    /// The first alert of each incident and every second one after it.
    Alerts,
}

/// A handle to the faults of a sandbox.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    next: BTreeMap<Endpoint, VecDeque<(u32, Fault)>>,
    standing: Vec<(Endpoint, f64, Fault)>,
    dice: Dice,
}

impl Faults {
    /// Nothing goes wrong yet.
    pub fn new(seed: u64) -> Self {
        let dice = Dice::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(Table { next: BTreeMap::new(), standing: Vec::new(), dice })))
    }

    /// The next `count` calls go wrong, after those that were ordered before.
    pub fn next(&self, endpoint: Endpoint, count: u32, fault: Fault) {
        self.table().next.entry(endpoint).or_default().push_back((count, fault));
    }

    /// From now on any call goes wrong with a probability from 0 to 1, where none was ordered by [`next`](Self::next). The
    /// first that strikes counts.
    pub fn often(&self, endpoint: Endpoint, probability: f64, fault: Fault) {
        self.table().standing.push((endpoint, probability.clamp(0.0, 1.0), fault));
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        let mut table = self.table();
        table.next.clear();
        table.standing.clear();
    }

    /// What goes wrong with a call that arrived.
    pub fn draw(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut table = self.table();
        let table = &mut *table;
        if let Some(queue) = table.next.get_mut(&endpoint) {
            while let Some((left, fault)) = queue.front_mut() {
                if 0 < *left {
                    *left -= 1;
                    return Some(*fault);
                }
                queue.pop_front();
            }
        }
        let mut standing = table.standing.iter().filter(|(of, ..)| *of == endpoint);
        standing.find(|(_, probability, _)| table.dice.random_bool(*probability)).map(|(.., fault)| *fault)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
