//! `xdrelay healthcheck`: asks the running daemon by its control socket, for the health check of a container that has nothing
//! else in it. Needs neither the admin port nor its token.

use std::time::Duration;

use clap::Args;

use crate::admin::control;
use crate::cli::exit::{self, Exit};
use crate::cli::{Files, output};

/// Whoever checks waits for seconds at most.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Ask the running daemon whether every loop makes progress: exit 0, or 69.
#[derive(Debug, Args)]
pub(crate) struct Healthcheck {
    #[command(flatten)]
    files: Files,
}

impl Healthcheck {
    pub(crate) async fn run(self) -> Result<(), Exit> {
        let state_dir = self.files.parse()?.state_dir;
        let unavailable = |why: String| Exit::new(exit::UNAVAILABLE, why);
        let asked = tokio::time::timeout(ANSWER_MAX, control::ask(&state_dir, "/healthz")).await;
        let late = |_| unavailable(format!("the daemon does not answer within {} s", ANSWER_MAX.as_secs()));
        match asked.map_err(late)?.map_err(unavailable)? {
            None => Err(unavailable(format!("no daemon runs with the state directory {}", state_dir.display()))),
            Some(reply) if reply.status == 200 => Ok(output::line("healthy")?),
            Some(reply) => Err(unavailable(format!("not healthy: {}", reply.body.trim()))),
        }
    }
}
