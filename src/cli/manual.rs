//! `xdrelay completions` and `xdrelay man`: what is made of the command line for shells and for man(1).

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::exit::{self, Exit};
use crate::cli::{Cli, output};

/// Print the completions of a shell: put them where its completions are.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

/// Write the man pages, one a command, into a directory.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory; it is made where it is not there
    dir: PathBuf,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "xdrelay", &mut script);
        Ok(output::line(String::from_utf8_lossy(&script).trim_end())?)
    }
}

impl Man {
    pub(crate) fn run(&self) -> Result<(), Exit> {
        let written =
            std::fs::create_dir_all(&self.dir).and_then(|()| clap_mangen::generate_to(Cli::command(), &self.dir));
        written.map_err(|error| Exit::new(exit::IO, format!("{}: {error}", self.dir.display())))
    }
}
