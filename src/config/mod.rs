//! The configuration: composes every module's keys, lays files and environment over one another, and says everything that is
//! wrong at once. It opens no connection and makes no file.

mod addresses;
mod bounds;
mod check;
mod compose;
mod fault;
mod key;
mod layers;
mod located;
mod nearest;
pub mod poll;
pub mod problem;
mod report;
pub mod schema;
mod section;
mod show;
pub mod sink;
mod surroundings;
pub mod tenant;
mod tree;
mod variables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::{Problem, Problems};
use crate::config::report::Report;
use crate::config::sink::Sink;
use crate::config::tenant::Tenant;
use crate::model::names::{SinkName, TenantName};
use crate::model::units::{Size, Span};
use crate::transport::secret::SecretSource;

/// Everything that can be set, with the defaults in their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the ledger is.
    pub state_dir: PathBuf,
    /// What to do with a ledger that is damaged.
    pub on_corrupt: OnCorrupt,
    /// Whom to read.
    pub tenants: BTreeMap<TenantName, Tenant>,
    /// Whom to tell.
    pub sinks: BTreeMap<SinkName, Sink>,
    /// Events on their way.
    pub outbox: Outbox,
    /// How to stop.
    pub shutdown: Shutdown,
    /// The admin endpoints; none: off.
    pub admin: Option<Admin>,
    /// What we say of ourselves.
    pub log: Log,
}

/// What to do with a ledger that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// Begin anew from the checkpoint file: duplicates, no loss.
    #[default]
    Rebuild,
    /// Stop and wait for somebody.
    Stop,
}

/// The keys of `[outbox]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outbox {
    /// Bytes that wait for sinks at most, compressed; beyond that polling pauses.
    pub max_size: Size,
    /// Bytes that the disk must have left; below it polling pauses.
    pub min_free: Size,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { max_size: Size::mebibytes(4096), min_free: Size::mebibytes(256) }
    }
}

/// The keys of `[shutdown]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long deliveries may take to reach a safe point.
    pub grace: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Span::seconds(20) }
    }
}

/// The keys of `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// Where `/metrics`, `/healthz`, `/readyz` and the status page are.
    pub listen: SocketAddr,
    /// Who shows this may look; none: everybody who reaches it, which is for loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
    /// Whether the status page shows titles and severities of the incidents that pass.
    pub show_incidents: bool,
}

/// The keys of `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines there are: the syntax of tracing-subscriber's `EnvFilter`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A configuration that the daemon can start with, and what somebody should look at all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// All of severity [`Warning`](problem::Severity::Warning).
    pub warnings: Vec<Problem>,
}

/// The files that are read where the command line names none.
pub fn default_files() -> Vec<PathBuf> {
    vec!["/etc/xdrelay/xdrelay.toml".into()]
}

/// The environment of this process. What is not UTF-8 is left out: no setting is.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the files, later ones over earlier ones, and the environment over them, and looks whether what they name is there:
/// secrets, certificates, directories. For whoever is going to start with it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(files: &[PathBuf], env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    settle(files, env, true)
}

/// As [`load`], without a look at anything but the files themselves. For whoever only wants to know what is set, perhaps on
/// another machine or as a user who may not read the secrets.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn parse(files: &[PathBuf], env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    settle(files, env, false)
}

fn settle(
    files: &[PathBuf],
    env: impl Iterator<Item = (String, String)>,
    look_around: bool,
) -> Result<Loaded, Problems> {
    let env: BTreeMap<String, String> = env.collect();
    let mut report = Report::default();
    let tree = layers::merged(files, &env, &mut report);
    let names = check::Names::of(&tree);
    let config = compose::config(tree, &mut report);
    if !report.partial {
        check::values(&config, &names, &mut report);
        if look_around {
            surroundings::check(&config, &env, &mut report);
        }
    }
    report.conclude().map(|warnings| Loaded { config, warnings })
}
