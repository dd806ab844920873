//! `xdrelay state verify` and `xdrelay state rebuild`: whether the ledger is whole, and making it again where it is not.

use clap::Args;

use crate::admin::metrics::wall_clock;
use crate::cli::exit::{self, Exit};
use crate::cli::state::{held, is_there};
use crate::cli::{Files, output};
use crate::model::timestamp::Timestamp;
use crate::store::{open, verify};

/// Look at every value in the state directory.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

/// Make the database again from its checkpoint.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// Yes, do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) files: Files,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Exit> {
        let dir = self.files.parse()?.state_dir;
        is_there(&dir)?;
        let found = verify::verify(&dir).map_err(held)?.unwrap_or_default();
        if self.json {
            let json = serde_json::to_string_pretty(&found);
            output::line(json.map_err(|error| Exit::new(exit::INTERNAL, error.to_string()))?)?;
        } else {
            for problem in &found.problems {
                output::line(problem)?;
            }
            let verify::Findings { values, events, marks, .. } = found;
            output::line(format_args!("looked at {values} values: {events} events, {marks} incidents remembered"))?;
        }
        match found.problem_count {
            0 => Ok(()),
            count => Err(Exit::new(
                exit::STATE,
                format!(
                    "{} is damaged, {count} things are wrong; a start rebuilds what it must, `xdrelay state rebuild` all of it",
                    dir.display()
                ),
            )),
        }
    }
}

impl Rebuild {
    pub(super) fn run(self) -> Result<(), Exit> {
        let dir = self.files.parse()?.state_dir;
        is_there(&dir)?;
        if !self.yes {
            let why = "the database would be set aside and made again from its checkpoint: what was not delivered, and what was \
                       delivered lately, is read from the source again and comes with the same event_id; refused events and \
                       the memory of what was seen are gone. Add --yes to do it";
            return Err(Exit::new(exit::USAGE, why));
        }
        let nothing = || Exit::new(exit::STATE, format!("there is nothing in {} yet", dir.display()));
        let recovery = open::rebuild(&dir, "somebody asked for it").map_err(held)?.ok_or_else(nothing)?;
        let aside = recovery.set_aside.map(|aside| format!("; the old database is {}", aside.display()));
        let written = Timestamp::from_seconds(recovery.checkpoint_written);
        let age = wall_clock().since(written).as_secs();
        output::line(format_args!(
            "made again from the checkpoint of {written} ({age} s ago) with {} tenants{}",
            recovery.tenants.len(),
            aside.unwrap_or_default()
        ))?;
        Ok(())
    }
}
