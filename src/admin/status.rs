//! How the daemon fares, as `/status` tells it and `xdrelay status` reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::event::Kind;
use crate::model::names::{SinkName, TenantName};

/// Everything at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// Tenants.
    pub tenants: BTreeMap<TenantName, TenantStatus>,
    /// Sinks.
    pub sinks: BTreeMap<SinkName, SinkStatus>,
    /// Why polling is paused, where it is.
    pub paused: Option<String>,
    /// For how long.
    #[serde(default)]
    pub paused_seconds: Option<f64>,
    /// The last time that the configuration was read again; none where it never was.
    #[serde(default)]
    pub last_reload: Option<Reload>,
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
    /// Server time at the start of the last complete sweep, of this process or a former one.
    pub last_complete_sweep: Option<String>,
    /// Seconds since then, on the server's clock; on ours as long as the server has not told its own.
    pub lag_seconds: Option<f64>,
    /// Since a reading was complete, or since the tenant began where none was yet.
    #[serde(default)]
    pub since_pass_seconds: f64,
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
    /// Its name in `api_calls_total`.
    #[serde(default)]
    pub error_kind: Option<String>,
    /// For how long something has failed.
    #[serde(default)]
    pub failing_seconds: Option<f64>,
    /// Somebody has to do something about it.
    pub refused: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Our clock less the server's, in seconds.
    pub clock_skew_seconds: Option<f64>,
    /// Calls that may go at once: list by minute and hour, get by minute and hour.
    pub quota_remaining: [u32; 4],
    /// Calls that the quota allows in any such window, in the same order.
    #[serde(default)]
    pub quota_limits: [u32; 4],
    /// Until the token ends.
    pub token_expires_seconds: Option<f64>,
    /// Until the certificate ends that tokens are asked for with; below zero since it has.
    #[serde(default)]
    pub certificate_expires_seconds: Option<f64>,
    /// Why there is no next token, while the current one is still good.
    #[serde(default)]
    pub renewal_error: Option<String>,
    /// Somebody has to do something about that.
    #[serde(default)]
    pub renewal_refused: bool,
}

impl TenantStatus {
    /// All events.
    pub fn events_total(&self) -> u64 {
        self.events.values().sum()
    }
}

/// What a sink's courier says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// `new`, `delivering`, `retrying` or `paused`.
    pub state: String,
    /// Why, where it is not delivering.
    pub error: Option<String>,
    /// For how long it has not been delivering.
    #[serde(default)]
    pub failing_seconds: Option<f64>,
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

/// What came of reading the configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// When, on our wall clock (RFC 3339).
    pub at: String,
    /// How it ended.
    pub outcome: ReloadOutcome,
    /// The tables that differ from what runs: they want a restart.
    #[serde(default)]
    pub restart_for: Vec<String>,
}

/// How reading the configuration again ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// It is what runs now.
    Applied,
    /// Its tenants run now; the rest wants a restart.
    Partly,
    /// Something is wrong with it: what ran before goes on.
    Refused,
}

impl ReloadOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Partly, Self::Refused];

    /// The word in `/status` and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Partly => "partly",
            Self::Refused => "refused",
        }
    }
}
