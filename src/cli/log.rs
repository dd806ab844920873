//! The log on standard error, as the configuration wants it.

use tracing_subscriber::EnvFilter;

use crate::cli::output::{self, AboveProgress};
use crate::config::{Log, LogFormat};

/// Starts logging. A level that does not parse was reported by the configuration's check; here it means `info`.
pub(crate) fn start(log: &Log) {
    // sled writes errors of its own for what the store reports better.
    let level = if log.level.contains("sled") { log.level.clone() } else { format!("{},sled=off", log.level) };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| AboveProgress);
    // A second start in one process (the tests') changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.with_target(false).with_ansi(output::is_terminal()).try_init(),
        LogFormat::Json => builder.json().with_current_span(false).try_init(),
    };
}
