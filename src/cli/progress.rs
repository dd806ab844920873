//! How a long way back proceeds: a line on a terminal, plain log lines elsewhere. Reads the board, decides nothing.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::admin::board::Board;
use crate::admin::status::{Status, TenantStatus};
use crate::cli::output;
use crate::model::names::TenantName;
use crate::model::timestamp::Timestamp;

/// Between two looks on a terminal.
const REDRAW: Duration = Duration::from_millis(400);
/// Between two lines elsewhere.
const TELL: Duration = Duration::from_secs(60);
/// Between two looks there at whether it is over.
const LOOK: Duration = Duration::from_secs(10);

/// Shows progress while a tenant catches up, until it is stopped.
pub(crate) async fn show(board: &Board, stop: CancellationToken) {
    let terminal = std::io::stderr().is_terminal();
    let pause = if terminal { REDRAW } else { LOOK };
    let (mut shown, mut told) = (false, None::<Instant>);
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let status = board.status();
        let ways: Vec<_> = status.tenants.iter().filter_map(|(name, tenant)| Way::of(name, tenant)).collect();
        if terminal {
            output::progress(&ways.iter().map(ToString::to_string).collect::<Vec<_>>().join("   "));
        } else if told.is_none_or(|told| TELL <= told.elapsed()) && tell(&ways) {
            told = Some(Instant::now());
        }
        if shown && ways.is_empty() {
            tracing::info!(events = total(&status), "caught up");
        }
        shown = !ways.is_empty();
    }
    output::progress("");
}

/// One line for all of them: where the one is that has the longest way to go.
fn tell(ways: &[Way<'_>]) -> bool {
    let Some(Way { name, at, to, status }) = ways.iter().max_by_key(|way| way.left()) else { return false };
    let tenants = ways.len();
    let (pages, events, hours_left) = (status.pages, status.events_total(), ways.iter().map(Way::left).max());
    tracing::info!(tenants, tenant = %name, at, to, hours_left, pages, events, "catching up");
    true
}

/// A long way back of a tenant.
struct Way<'a> {
    name: &'a TenantName,
    at: &'a str,
    to: &'a str,
    status: &'a TenantStatus,
}

impl<'a> Way<'a> {
    fn of(name: &'a TenantName, status: &'a TenantStatus) -> Option<Self> {
        let (at, to) = status.catching_up.as_ref()?;
        Some(Self { name, at, to, status })
    }

    /// Hours to go.
    fn left(&self) -> u64 {
        match (self.at.parse::<Timestamp>(), self.to.parse::<Timestamp>()) {
            (Ok(at), Ok(to)) => to.since(at).as_secs() / 3600,
            (Ok(_) | Err(_), Ok(_) | Err(_)) => 0,
        }
    }
}

/// What a tenant that catches up has behind it: pages, events, how far.
impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |time: &str| time.get(..16).unwrap_or(time).replace('T', " ");
        let Self { name, at, to, status } = self;
        let (pages, events) = (status.pages, status.events_total());
        write!(f, "{name} catches up: {} of {}, {pages} pages, {events} events", day(at), day(to))?;
        match self.left() {
            hours @ 0..48 => write!(f, ", {hours} h to go"),
            hours => write!(f, ", {} days to go", hours / 24),
        }
    }
}

fn total(status: &Status) -> u64 {
    status.tenants.values().map(TenantStatus::events_total).sum()
}
