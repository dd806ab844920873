//! The log on standard error, as the configuration wants it: lines for people, or JSON for machines. What is said, and when, is
//! not decided here.

mod defect;
mod fields;
mod line;

use std::io::Write;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::log::line::{Line, Place};
use crate::cli::output::{self, AboveProgress};
use crate::config::{Log, LogFormat};

/// What other crates say of their own accord is the same failure once more, in words of theirs, as often as it happens: sled's of the
/// store, rustls' of a handshake, hyper's of an answer.
const QUIET: [&str; 4] = ["sled=off", "rustls=error", "hyper=error", "h2=error"];

/// The syntax that the log was started with; none before.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts logging. A level that does not parse was reported by the configuration's check; here it means `info`.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_new(directives(&log.level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer()
        .with_writer(|| AboveProgress)
        .fmt_fields(JsonFields::new())
        .event_format(Line { format: log.format, place: place() })
        // They would go to standard error, which is what does not work then, and end whoever wrote the line.
        .log_internal_errors(false);
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    // A second start in one process (the tests') changes nothing.
    if started.is_ok() {
        let _ = FORMAT.set(log.format);
        defect::report();
    }
}

/// Why the process ends, as the last thing that it says.
pub(crate) fn last_words(code: u8, why: &str) {
    if FORMAT.get() == Some(&LogFormat::Json) {
        return tracing::error!(code, error = why, "xdrelay ends");
    }
    let text = format!("xdrelay: {why}");
    let lines = text.lines().map(|line| match place() {
        Place::Journal => format!("{}{line}\n", line::priority(tracing::Level::ERROR)),
        Place::Terminal | Place::Elsewhere => format!("{line}\n"),
    });
    // Where standard error is gone, the exit code still tells.
    let _ = std::io::stderr().write_all(lines.collect::<String>().as_bytes());
}

/// The directives of the configuration, and ours for what they do not name.
fn directives(level: &str) -> String {
    // Who asks for the most of everything gets it.
    let wants_all = level
        .split(',')
        .any(|part| ["debug", "trace", "4", "5"].iter().any(|most| part.trim().eq_ignore_ascii_case(most)));
    let ours = QUIET.iter().filter(|directive| {
        let (name, level_of) = directive.split_once('=').unwrap_or((directive, ""));
        !level.contains(name) && (level_of == "off" || !wants_all)
    });
    ours.fold(level.to_owned(), |all, directive| format!("{all},{directive}"))
}

fn place() -> Place {
    match output::is_terminal() {
        true => Place::Terminal,
        false if is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref()) => Place::Journal,
        false => Place::Elsewhere,
    }
}

/// Whether standard error is the stream of the journal that systemd names (systemd.exec(5)): it may have been led elsewhere since.
fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else { return false };
    let Ok(about) = rustix::fs::fstat(std::io::stderr()) else { return false };
    device.parse() == Ok(about.st_dev) && inode.parse() == Ok(about.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_are_quiet_unless_somebody_asks_for_them() {
        let check = |level: &str, expected: &str| assert_eq!(directives(level), expected);
        check("info", "info,sled=off,rustls=error,hyper=error,h2=error");
        check("info,xdrelay::api=debug", "info,xdrelay::api=debug,sled=off,rustls=error,hyper=error,h2=error");
        check("warn,rustls=debug", "warn,rustls=debug,sled=off,hyper=error,h2=error");
        check("trace", "trace,sled=off");
        check("debug,sled=info", "debug,sled=info");
    }

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        let about = rustix::fs::fstat(std::io::stderr()).expect("a stream");
        let (device, inode) = (about.st_dev, about.st_ino);
        let check = |stream: Option<&str>, expected: bool| assert_eq!(is_journal(stream), expected, "{stream:?}");
        check(Some(&format!("{device}:{inode}")), true);
        check(Some(&format!("{device}:{}", inode + 1)), false);
        check(Some(&format!("{}:{inode}", device + 1)), false);
        check(Some(&inode.to_string()), false);
        check(Some(""), false);
        check(None, false);
    }
}
