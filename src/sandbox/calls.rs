//! Who asked what: a bounded log of calls, counts, and the most calls seen in any window. Judges nothing.

use std::collections::{BTreeMap, VecDeque};

use crate::model::dialect::Dialect;
use crate::model::timestamp::Timestamp;
use crate::sandbox::throttle::Peak;

/// Calls remembered one by one at most; counts go on.
const CALLS_MAX: usize = 10_000;
/// Bytes of a query that are remembered at most.
const QUERY_MAX: usize = 2_000;

/// What can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `POST /{tenant}/oauth2/v2.0/token`
    Token,
    /// `GET /api/incidents`
    List,
    /// `GET /api/incidents/{id}`
    Get,
    /// `GET /v1.0/security/incidents`
    GraphList,
    /// `GET /v1.0/security/incidents/{id}`
    GraphGet,
    /// `GET /v1.0/security/incidents/{id}/alerts`
    GraphAlerts,
}

impl Endpoint {
    /// The list in this dialect.
    pub const fn list(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Defender => Self::List,
            Dialect::Graph => Self::GraphList,
        }
    }

    /// Single incidents in this dialect.
    pub const fn get(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Defender => Self::Get,
            Dialect::Graph => Self::GraphGet,
        }
    }

    /// The dialect that is spoken there; none at the sign-in.
    pub const fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Token => None,
            Self::List | Self::Get => Some(Dialect::Defender),
            Self::GraphList | Self::GraphGet | Self::GraphAlerts => Some(Dialect::Graph),
        }
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it arrived, on the server's clock.
    pub at: Timestamp,
    /// What was called.
    pub endpoint: Endpoint,
    /// The query as it stood in the URL, or what stood behind the path of the list: the number of the incident with the query of
    /// its own, if any.
    pub query: String,
    /// The status of the answer; none where there was none (yet).
    pub status: Option<u16>,
    /// Bytes of the body as sent.
    pub bytes: usize,
}

/// The calls so far.
#[derive(Debug, Clone, Default)]
pub struct CallLog {
    calls: VecDeque<Call>,
    /// How many were forgotten at the front.
    forgotten: u64,
    arrived: BTreeMap<Endpoint, u64>,
    answered: BTreeMap<(Endpoint, u16), u64>,
    list_peaks: BTreeMap<Endpoint, Peak>,
}

impl CallLog {
    /// A call arrives. Returns what [`answered`](Self::answered) wants to know.
    pub fn arrive(&mut self, endpoint: Endpoint, query: &str, at: Timestamp) -> u64 {
        if self.calls.len() == CALLS_MAX {
            self.calls.pop_front();
            self.forgotten += 1;
        }
        let query = query.chars().take(QUERY_MAX).collect();
        self.calls.push_back(Call { at, endpoint, query, status: None, bytes: 0 });
        *self.arrived.entry(endpoint).or_default() += 1;
        match endpoint {
            Endpoint::List | Endpoint::GraphList => self.list_peaks.entry(endpoint).or_default().arrive(at),
            Endpoint::Token | Endpoint::Get | Endpoint::GraphGet | Endpoint::GraphAlerts => {}
        }
        self.forgotten + self.calls.len() as u64 - 1
    }

    /// It is answered.
    pub fn answer(&mut self, call: u64, endpoint: Endpoint, status: u16, bytes: usize) {
        *self.answered.entry((endpoint, status)).or_default() += 1;
        let place = call.checked_sub(self.forgotten).and_then(|place| usize::try_from(place).ok());
        if let Some(call) = place.and_then(|place| self.calls.get_mut(place)) {
            call.status = Some(status);
            call.bytes = bytes;
        }
    }

    /// The latest calls in the order of their arrival, 10,000 at most.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = &Call> {
        self.calls.iter()
    }

    /// How many arrived.
    pub fn arrived(&self, endpoint: Endpoint) -> u64 {
        self.arrived.get(&endpoint).copied().unwrap_or_default()
    }

    /// How many were answered with a status.
    pub fn answered(&self, endpoint: Endpoint, status: u16) -> u64 {
        self.answered.get(&(endpoint, status)).copied().unwrap_or_default()
    }

    /// The most calls of Defender's list in any sliding window, every one that arrived, whatever became of it.
    pub fn list_peak(&self) -> Peak {
        self.list_peak_in(Dialect::Defender)
    }

    /// The same of the list in this dialect.
    pub fn list_peak_in(&self, dialect: Dialect) -> Peak {
        self.list_peaks.get(&Endpoint::list(dialect)).cloned().unwrap_or_default()
    }
}
