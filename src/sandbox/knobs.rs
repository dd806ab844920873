//! How wild a world is. Only numbers: nothing here draws or does anything.

use std::time::Duration;

use crate::sandbox::names;

/// How a world is made and what happens in it by itself. Rates between 0 and 1 are probabilities.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// Where the generator starts. The same seed and the same calls give the same world.
    pub seed: u64,
    /// The tenant that stands in `incidentUri`.
    pub tenant_id: String,
    /// The number of the first incident; the others follow.
    pub first_number: u64,
    /// What happens by itself, and how often.
    pub pace: Pace,
    /// Nothing happens by itself to an incident that changed less than this ago.
    pub calm: Duration,
    /// Incidents that are there when life begins.
    pub backlog: u32,
    /// How far back the backlog reaches.
    pub backlog_span: Duration,
    /// The smallest incident, in bytes of JSON.
    pub size_min: usize,
    /// The largest incident, in bytes of JSON.
    pub size_max: usize,
    /// How likely the size of a new incident doubles, again and again: the weight of the tail. The mean is about
    /// `1.5 size_min (1 - p) / (1 - 2p)` below one half, and bounded by `size_max` only above.
    pub size_doubles: f64,
    /// How many changes become visible later than their time.
    pub late_rate: f64,
    /// How much later at most.
    pub late_max: Duration,
    /// How many changes take the very time of the change before.
    pub tie_rate: f64,
    /// Incidents that are kept; the oldest vanishes when there are more, as by a retention policy.
    pub incidents_max: usize,
    /// Superseded revisions that `truth` remembers; the oldest are forgotten when there are more.
    pub history_max: usize,
}

/// How often things happen by themselves: the mean time between two of a kind; zero means never. The gaps are drawn
/// evenly from half to one and a half times the mean, so a count over a while is bounded from both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// A new incident.
    pub create: Duration,
    /// A change of status, severity, assignee, classification, tags, comments or alerts.
    pub update: Duration,
    /// One is resolved.
    pub resolve: Duration,
    /// A resolved one is active again.
    pub reopen: Duration,
    /// One is merged into another.
    pub merge: Duration,
    /// An alert changes and `lastUpdateTime` does not.
    pub edit_alert_only: Duration,
    /// One is gone, without a word.
    pub vanish: Duration,
}

impl Knobs {
    /// A world in which nothing happens by itself, nothing is late and nothing ties: for tests that act themselves.
    pub fn still(seed: u64) -> Self {
        Self { seed, pace: Pace::default(), late_rate: 0.0, tie_rate: 0.0, backlog: 0, ..Self::demo() }
    }

    /// Something every second or so: in 30 s at least 20 incidents are created, 10 updated, 3 resolved and 2 merged away,
    /// with pauses of five seconds per incident so that a poller sees each step.
    pub fn demo() -> Self {
        let every = |milliseconds| Duration::from_millis(milliseconds);
        Self {
            seed: 1,
            tenant_id: names::TENANT_ID.into(),
            first_number: 40_961,
            pace: Pace {
                create: every(900),
                update: every(1_300),
                resolve: every(4_500),
                reopen: every(25_000),
                merge: every(5_500),
                edit_alert_only: every(9_000),
                vanish: Duration::ZERO,
            },
            calm: every(5_000),
            backlog: 12,
            backlog_span: Duration::from_secs(6 * 3600),
            size_min: 2_000,
            size_max: 40_000,
            size_doubles: 0.55,
            late_rate: 0.02,
            late_max: Duration::from_secs(5),
            tie_rate: 0.05,
            incidents_max: 2_000,
            history_max: 2_000,
        }
    }

    /// Everything at once: fast, late by minutes, full of ties, with incidents that vanish and sizes up to 2 MB.
    pub fn wild(seed: u64) -> Self {
        let every = |milliseconds| Duration::from_millis(milliseconds);
        Self {
            seed,
            pace: Pace {
                create: every(500),
                update: every(300),
                resolve: every(1_500),
                reopen: every(6_000),
                merge: every(5_000),
                edit_alert_only: every(2_000),
                vanish: every(20_000),
            },
            calm: Duration::ZERO,
            backlog: 50,
            size_max: 2_000_000,
            size_doubles: 0.5,
            late_rate: 0.2,
            late_max: Duration::from_secs(600),
            tie_rate: 0.3,
            incidents_max: 20_000,
            history_max: 100_000,
            ..Self::demo()
        }
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self::demo()
    }
}
