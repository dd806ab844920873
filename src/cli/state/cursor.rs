//! `xdrelay state set-cursor`: from when on a tenant is read at the next start. Back is harmless; forward skips.

use clap::Args;

use crate::admin::metrics::wall_clock;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, moment, output, state};
use crate::config::Config;
use crate::core::position::Position;
use crate::model::names::{TenantKey, TenantName};
use crate::model::timestamp::Timestamp;

/// Say from when on a tenant is read at the next start
///
/// Back: what was changed since is read again; what is remembered makes no second event (`xdrelay replay` delivers again).
/// Forward: what lies between is skipped.
#[derive(Debug, Args)]
pub(crate) struct SetCursor {
    /// The tenant
    tenant: String,
    /// A time such as 2026-11-21T10:00:00Z, or a look-back such as 2h
    time: String,
    /// Yes, skip what lies between
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

impl SetCursor {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = self.files.parse()?;
        let name = TenantName::new(&self.tenant);
        let key = key(&config, &name)?;
        let now = wall_clock();
        let to = moment::read("TIME", &self.time, now)?.floor_to_second();
        if now < to {
            return Err(Exit::new(exit::USAGE, format!("TIME {to} lies in the future: name a time in the past")));
        }
        let store = state::open(&config)?;
        let before = store.position(&key)?;
        let outcome = match before {
            Some(before) if before.cursor < to && !self.yes => Err(Exit::new(
                exit::USAGE,
                format!(
                    "WARNING: tenant {name} has been read up to {}; whatever changed between then and {to} would be SKIPPED and \
                     never delivered, unless it changes again. Add --yes if that is what you want",
                    before.cursor
                ),
            )),
            before => Ok(store.reset_position(&key, moved(before, to)).await?),
        };
        store.close().await?;
        outcome?;
        say(&name, before, to)
    }
}

/// The two sweeps that agree begin anew, and nothing holds reading back behind the new cursor.
fn moved(before: Option<Position>, to: Timestamp) -> Position {
    match before {
        None => Position::start(to),
        Some(before) => Position { cursor: to, floor: before.floor.min(to), swept: None, ..before },
    }
}

fn say(name: &TenantName, before: Option<Position>, to: Timestamp) -> Result<(), Exit> {
    let Some(before) = before.map(|before| before.cursor) else {
        return Ok(output::line(format_args!("tenant {name} is read from {to} on; it was never read before"))?);
    };
    output::line(format_args!("tenant {name} is read from {to} on; it was read up to {before}"))?;
    if to < before {
        output::line("what is remembered makes no second event; `xdrelay replay` delivers again")?;
    }
    Ok(())
}

fn key(config: &Config, name: &TenantName) -> Result<TenantKey, Exit> {
    let names = || config.tenants.keys().map(TenantName::as_str).collect::<Vec<_>>().join(", ");
    let tenant = config.tenants.get(name);
    let tenant =
        tenant.ok_or_else(|| Exit::new(exit::USAGE, format!("there is no tenant {name}; there are: {}", names())))?;
    Ok(tenant.key())
}
