//! `xdrelay config`: the configuration as it takes effect.

use clap::Subcommand;

use crate::cli::exit::Exit;
use crate::cli::{Files, output};

/// Show the effective configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with the value that takes effect, secrets as ***
    Show {
        #[command(flatten)]
        files: Files,
    },
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<(), Exit> {
        match self {
            Self::Show { files } => Ok(output::line(files.parse()?.to_toml().trim_end())?),
        }
    }
}
