//! `xdrelay config`: the configuration as it takes effect, and what it may look like.

use clap::Subcommand;

use crate::cli::exit::Exit;
use crate::cli::{Files, output};
use crate::config::schema;

/// Show the effective configuration, or the JSON Schema of all configurations.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with the value that takes effect, secrets as ***
    Show {
        #[command(flatten)]
        files: Files,
    },
    /// Print the JSON Schema (draft 2020-12) of a whole configuration, for editors: #:schema ./xdrelay.schema.json
    Schema,
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<(), Exit> {
        match self {
            Self::Show { files } => Ok(output::line(files.parse()?.to_toml().trim_end())?),
            Self::Schema => Ok(output::line(format_args!("{:#}", schema::whole()))?),
        }
    }
}
