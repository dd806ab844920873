//! What the loops say of themselves, for everybody who asks. Writing to it never waits on anything, and no decision is made
//! from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::event::Kind;
use crate::model::names::{SinkName, TenantName};

/// A loop that has not come round for this long is stuck: the longest wait on the world (a call or a delivery) is two minutes.
const STUCK_AFTER: Duration = Duration::from_secs(300);

/// The board.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<TenantName, TenantStatus>,
    sinks: BTreeMap<SinkName, SinkStatus>,
    beats: BTreeMap<String, Instant>,
    paused: Option<String>,
}

/// What a tenant's readers say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Complete readings since the start.
    pub passes: u64,
    /// Sweeps since the start that read everything to the newest.
    pub rounds: u64,
    /// The cursor.
    pub cursor: Option<String>,
    /// Server time at the start of the last complete sweep.
    pub last_complete_sweep: Option<String>,
    /// Seconds since then, on the server's clock.
    pub lag_seconds: Option<f64>,
    /// From where to where a long way back is being read.
    pub catching_up: Option<(String, String)>,
    /// Pages read since the start.
    pub pages: u64,
    /// Events by kind since the start.
    pub events: BTreeMap<Kind, u64>,
    /// Windows that cannot be read.
    #[serde(default)]
    pub quarantined: usize,
    /// Readings since the last complete one that proved nothing.
    #[serde(default)]
    pub broken_readings: u32,
    /// Complete audits since the start.
    #[serde(default)]
    pub audits: u64,
    /// Events since the start that only an audit found.
    #[serde(default)]
    pub audit_missed: u64,
    /// What failed last, while it still does.
    pub error: Option<String>,
    /// Somebody has to do something about it.
    pub refused: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Our clock less the server's, in seconds.
    pub clock_skew_seconds: Option<f64>,
    /// Calls that may go at once: list by minute and hour, get by minute and hour.
    pub quota_remaining: [u32; 4],
    /// Until the token ends.
    pub token_expires_seconds: Option<f64>,
}

/// What a sink's courier says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// `new`, `delivering`, `retrying` or `paused`.
    pub state: String,
    /// Why, where it is not delivering.
    pub error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// What is promised.
    pub guarantee: String,
    /// Everything up to this position is at the far side.
    pub acknowledged: u64,
    /// Events delivered since the start.
    pub delivered: u64,
    /// Events refused for good since the start.
    pub refused: u64,
}

/// Everything at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// Tenants.
    pub tenants: BTreeMap<TenantName, TenantStatus>,
    /// Sinks.
    pub sinks: BTreeMap<SinkName, SinkStatus>,
    /// Why polling is paused, where it is.
    pub paused: Option<String>,
}

impl TenantStatus {
    /// All events.
    pub fn events_total(&self) -> u64 {
        self.events.values().sum()
    }
}

impl Board {
    /// Writes what a tenant says.
    pub fn tenant(&self, name: &TenantName, write: impl FnOnce(&mut TenantStatus)) {
        write(self.state().tenants.entry(name.clone()).or_default());
    }

    /// Writes what a sink says.
    pub fn sink(&self, name: &SinkName, write: impl FnOnce(&mut SinkStatus)) {
        write(self.state().sinks.entry(name.clone()).or_default());
    }

    /// Polling is paused, for this reason; or goes on. True where that is news.
    pub fn paused(&self, why: Option<String>) -> bool {
        let mut state = self.state();
        let news = state.paused.is_some() != why.is_some();
        state.paused = why;
        news
    }

    /// This loop has come round.
    pub fn beat(&self, who: &str) {
        let now = Instant::now();
        let mut state = self.state();
        match state.beats.get_mut(who) {
            Some(beat) => *beat = now,
            None => {
                state.beats.insert(who.to_owned(), now);
            }
        }
    }

    /// This loop has ended because it was asked to.
    pub fn ended(&self, who: &str) {
        self.state().beats.remove(who);
    }

    /// The loops that make no progress.
    pub fn stuck(&self) -> Vec<String> {
        let state = self.state();
        let stuck = state.beats.iter().filter(|(_, beat)| STUCK_AFTER < beat.elapsed());
        stuck.map(|(who, _)| who.clone()).collect()
    }

    /// Everything at once.
    pub fn status(&self) -> Status {
        let state = self.state();
        Status { tenants: state.tenants.clone(), sinks: state.sinks.clone(), paused: state.paused.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while writing leaves numbers that are a little off, which is no reason to lose the board.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
