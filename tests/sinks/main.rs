//! Sinks under real faults: the daemon as a child process, real receivers that die, refuse, hang and lie, and what is left of
//! the promises of `docs/delivery.md`. One module a subject.

#![expect(clippy::print_stdout, reason = "a test under faults says what it went through")]

mod best_effort;
mod documented;
mod full_disk;
#[path = "../daemon/harness.rs"]
mod harness;
mod http_fails;
#[path = "../receivers/http_faulty.rs"]
mod http_faulty;
mod killed;
mod ledger;
#[path = "../receivers/rsyslog.rs"]
mod rsyslog;
mod rsyslog_dies;
#[path = "../receivers/skipped.rs"]
mod skipped;
