//! How a long way back proceeds: a line on a terminal, plain log lines elsewhere. Reads the board, decides nothing.

use std::io::IsTerminal;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::admin::board::Board;
use crate::admin::status::{Status, TenantStatus};
use crate::cli::output;
use crate::model::names::TenantName;
use crate::model::timestamp::Timestamp;

/// Between two looks on a terminal.
const REDRAW: Duration = Duration::from_millis(400);
/// Between two lines elsewhere.
const TELL: Duration = Duration::from_secs(10);

/// Shows progress while a tenant catches up, until it is stopped.
pub(crate) async fn show(board: &Board, stop: CancellationToken) {
    let terminal = std::io::stderr().is_terminal();
    let pause = if terminal { REDRAW } else { TELL };
    let mut shown = false;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let status = board.status();
        let lines: Vec<_> = status.tenants.iter().filter_map(|(name, tenant)| line(name, tenant)).collect();
        if terminal {
            output::progress(&lines.join("   "));
        } else {
            lines.iter().for_each(|line| tracing::info!("{line}"));
        }
        if shown && lines.is_empty() {
            tracing::info!(events = total(&status), "caught up");
        }
        shown = !lines.is_empty();
    }
    output::progress("");
}

/// What a tenant that catches up has behind it: pages, events, how far.
fn line(name: &TenantName, tenant: &TenantStatus) -> Option<String> {
    let (at, to) = tenant.catching_up.as_ref()?;
    let day = |time: &str| time.get(..16).unwrap_or(time).replace('T', " ");
    Some(format!(
        "{name} catches up: {} of {}, {} pages, {} events{}",
        day(at),
        day(to),
        tenant.pages,
        tenant.events_total(),
        left(at, to),
    ))
}

fn left(at: &str, to: &str) -> String {
    match (at.parse::<Timestamp>(), to.parse::<Timestamp>()) {
        (Ok(at), Ok(to)) => {
            let hours = to.since(at).as_secs() / 3600;
            if hours < 48 { format!(", {hours} h to go") } else { format!(", {} days to go", hours / 24) }
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => String::new(),
    }
}

fn total(status: &Status) -> u64 {
    status.tenants.values().map(TenantStatus::events_total).sum()
}
