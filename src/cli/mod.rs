//! The command line: one file a command. Standard output carries results, standard error carries logs and progress.

mod check;
mod config;
mod demo;
mod exit;
mod get;
mod healthcheck;
mod init;
mod log;
mod manual;
mod moment;
mod output;
mod owner;
mod progress;
mod refused;
mod render;
mod replay;
mod run;
mod state;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::exit::Exit;
use crate::config::{Config, Loaded};
use crate::store::Owner;

/// Threads for work that blocks: reading pages, files and names of hosts. Each has memory of its own that it does not give back, and
/// hundreds of tenants would start hundreds of them.
const BLOCKING_THREADS_MAX: usize = 64;

/// Carries every new or changed Microsoft Defender XDR incident into the SIEM next to it.
#[derive(Debug, Parser)]
#[command(name = "xdrelay", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole thing at work: a sandbox tenant that lives, and the daemon reading it. Needs nothing.
    Demo(demo::Demo),
    /// Run the daemon.
    Run(run::Run),
    /// Validate the configuration, then try each tenant and each sink.
    Check(check::Check),
    /// Print one incident from the API.
    Get(get::Get),
    /// Show what a running daemon, or else its state directory, says of itself.
    Status(status::Status),
    Replay(replay::Replay),
    /// What sinks refused for good: list, show, retry, drop.
    #[command(subcommand)]
    Refused(refused::RefusedCommand),
    /// The state directory, with the daemon stopped: show, verify, set-cursor, export, rebuild.
    #[command(subcommand)]
    State(state::StateCommand),
    Render(render::Render),
    /// Show the effective configuration, or the JSON Schema of all configurations.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Init(init::Init),
    Healthcheck(healthcheck::Healthcheck),
    Completions(manual::Completions),
    #[command(hide = true)]
    Man(manual::Man),
}

impl Command {
    /// As root, becomes whom the state directory belongs to, if the command may open it; while there is only one thread.
    fn step_down(&mut self) -> Result<(), Exit> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let files = match self {
            Self::Check(check) => &check.files,
            Self::Get(get) => &get.files,
            Self::Status(status) => &status.files,
            Self::Replay(replay) => &replay.files,
            Self::Refused(command) => command.files(),
            Self::State(command) => command.files(),
            // The daemon stays who it was started as; the others open none, or one of their own.
            Self::Demo(_)
            | Self::Run(_)
            | Self::Render(_)
            | Self::Config(_)
            | Self::Init(_)
            | Self::Healthcheck(_)
            | Self::Completions(_)
            | Self::Man(_) => return Ok(()),
        };
        // What is wrong with the configuration the command says itself.
        let Ok(config) = files.parse() else { return Ok(()) };
        let Some(owner) = Owner::other_than_root(&config.state_dir) else { return Ok(()) };
        if let Self::State(command) = self {
            command.open_output()?;
        }
        // Where the system does not allow it, the store says what to do: it opens for nobody but its owner.
        let _ = owner::become_user(owner);
        Ok(())
    }
}

/// Which configuration.
#[derive(Debug, Args)]
struct Files {
    /// A configuration file; several are layered, later ones win [default: /etc/xdrelay/xdrelay.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        if self.files.is_empty() { crate::config::default_files() } else { self.files.clone() }
    }

    /// The configuration that the daemon can start with; its problems go to standard error.
    fn load(&self) -> Result<Loaded, Exit> {
        crate::config::load(&self.paths(), crate::config::environment()).map_err(|problems| Exit::config(&problems))
    }

    /// The configuration as it is written, for commands that only need to know where things are.
    fn parse(&self) -> Result<Config, Exit> {
        let parsed = crate::config::parse(&self.paths(), crate::config::environment());
        parsed.map(|loaded| loaded.config).map_err(|problems| Exit::config(&problems))
    }
}

/// Runs the command of this process. Exit codes are those of sysexits.h.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    if let Err(exit) = cli.command.step_down() {
        return exit.report();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::new(exit::INTERNAL, format!("the runtime cannot be started: {error}")).report(),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(demo) => demo.run().await,
            Command::Run(run) => run.run().await,
            Command::Check(check) => check.run().await,
            Command::Get(get) => get.run().await,
            Command::Status(status) => status.run().await,
            Command::Replay(replay) => replay.run().await,
            Command::Refused(command) => command.run().await,
            Command::State(command) => command.run().await,
            Command::Render(render) => render.run(),
            Command::Config(command) => command.run(),
            Command::Init(init) => init.run(),
            Command::Healthcheck(healthcheck) => healthcheck.run().await,
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    });
    // A blocking read that hangs on a dead disk must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// Help and version are results; anything else is a wrong call.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody can be told that nobody can be told.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
