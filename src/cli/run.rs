//! `xdrelay run`: the daemon, for as long as it is wanted or for one round.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::{self, Exit};
use crate::cli::{Files, log, progress};
use crate::config::{self, Loaded};
use crate::run::daemon::{self, Ending, Handle, Until};
use crate::run::reload;

/// Run the daemon.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    files: Files,
    /// One complete round of every tenant, deliver everything, exit
    #[arg(long)]
    once: bool,
}

impl Run {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        let Loaded { config, warnings } = self.files.load()?;
        log::start(&config.log);
        reload::tell(&warnings);
        let until = if self.once { Until::RoundIsDone } else { Until::Stopped };
        let files = self.files.paths();
        let load = move || config::load(&files, config::environment());
        let handle = Handle { load: Some(Arc::new(load)), ..Handle::default() };
        let shown = CancellationToken::new();
        let (board, stop) = (handle.board.clone(), shown.clone());
        let shower = tokio::spawn(async move { progress::show(&board, stop).await });
        let ending = daemon::run(config, until, handle).await;
        shown.cancel();
        // It draws a line and ends; what became of it is of no interest.
        let _ = shower.await;
        finish(ending?)
    }
}

fn finish(ending: Ending) -> Result<(), Exit> {
    match ending {
        Ending::Stopped | Ending::Complete | Ending::Hurried => {
            tracing::info!("stopped");
            Ok(())
        }
        Ending::Incomplete { why, refused } => {
            let code = if refused { exit::CREDENTIAL } else { exit::UNAVAILABLE };
            Err(Exit::new(code, format!("the round is not complete\n{why}")))
        }
    }
}
