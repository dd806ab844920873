//! `xdrelay state`: the state directory, looked at and set right while no daemon runs on it.

mod cursor;
mod export;
mod show;
mod verify;

use std::path::Path;

use clap::Subcommand;

use crate::cli::Files;
use crate::cli::exit::{self, Exit};
use crate::config::Config;
use crate::store::error::OpenError;
use crate::store::{OnCorrupt, Settings, Store};

/// The state directory, with the daemon stopped.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Show what is in it: positions, quarantine, quota, outbox, sinks, sizes
    Show(show::Show),
    /// Look at every value in it and say what is wrong; repairs nothing
    Verify(verify::Verify),
    SetCursor(cursor::SetCursor),
    Export(export::Export),
    /// Set the database aside and make it again from its checkpoint
    Rebuild(verify::Rebuild),
}

impl StateCommand {
    pub(super) const fn files(&self) -> &Files {
        match self {
            Self::Show(show) => &show.files,
            Self::Verify(verify) => &verify.files,
            Self::SetCursor(set) => &set.files,
            Self::Export(export) => &export.files,
            Self::Rebuild(rebuild) => &rebuild.files,
        }
    }

    /// Opens what is written beside the state directory, for whoever gives up the right to do so later.
    pub(super) fn open_output(&mut self) -> Result<(), Exit> {
        match self {
            Self::Export(export) => export.open(),
            Self::Show(_) | Self::Verify(_) | Self::SetCursor(_) | Self::Rebuild(_) => Ok(()),
        }
    }

    pub(crate) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::Show(show) => show.run().await,
            Self::Verify(verify) => verify.run(),
            Self::SetCursor(set) => set.run().await,
            Self::Export(export) => export.run().await,
            Self::Rebuild(rebuild) => rebuild.run(),
        }
    }
}

/// Opens the ledger that is there. Makes nothing again and nothing new.
pub(crate) fn open(config: &Config) -> Result<Store, Exit> {
    is_there(&config.state_dir)?;
    let settings = Settings {
        dir: config.state_dir.clone(),
        on_corrupt: OnCorrupt::Stop,
        max_size: config.outbox.max_size.0,
        min_free: config.outbox.min_free.0,
    };
    Ok(Store::open(settings).map_err(held)?.store)
}

fn is_there(dir: &Path) -> Result<(), Exit> {
    if dir.exists() {
        return Ok(());
    }
    Err(Exit::new(exit::STATE, format!("no daemon runs, and there is no state directory {} yet", dir.display())))
}

/// Why the directory does not open, with what to do where a daemon has it.
fn held(error: OpenError) -> Exit {
    match error {
        OpenError::Held { dir, pid } => {
            let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            let dir = dir.display();
            let why =
                format!("{dir} is held by a running xdrelay{who}: stop it first, or ask it with `xdrelay status`");
            Exit::new(exit::STATE, why)
        }
        error @ (OpenError::Foreign { .. }
        | OpenError::Anothers { .. }
        | OpenError::OtherFormat { .. }
        | OpenError::Corrupt { .. }
        | OpenError::Full { .. }
        | OpenError::Io { .. }) => error.into(),
    }
}
