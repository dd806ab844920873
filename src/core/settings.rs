//! What of the configuration the decisions about a tenant need.

use std::time::Duration;

use crate::core::quota::Limits;
use crate::model::timestamp::Timestamp;

/// What of the configuration the decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Between two tail pages; none: as fresh as the quota allows.
    pub interval: Option<Duration>,
    /// How late a change may become visible and still be found by the next sweep.
    pub overlap: Duration,
    /// Between two sweeps.
    pub sweep_every: Duration,
    /// Rows per page.
    pub page_size: u32,
    /// A page can be asked for without the alerts of its incidents, as the dialect says. One that was asked for with
    /// [`Alerts::Apart`](crate::model::page::Alerts::Apart) is handed to [`Poller::fetched`](crate::core::poller::Poller::fetched) with the alerts of each of its rows, or as the failure to get them.
    pub lists_alerts_apart: bool,
    /// The quota of list calls.
    pub list: Limits,
    /// What has been read is looked at again.
    pub audit: Audit,
    /// The same, less often and further back.
    pub deep_audit: Audit,
    /// Where the first run begins.
    pub start: Start,
}

/// How often and how far back what has been read is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// From the start of one to the start of the next.
    pub every: Duration,
    /// How far back from the source's time.
    pub window: Duration,
}

/// Where the first run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on, by the server's clock.
    Now,
    /// So long ago, by the server's clock.
    Back(Duration),
    /// At this time.
    At(Timestamp),
}
