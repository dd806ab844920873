//! The program as people run it: a child process against a sandbox in this one. One module a subject.

mod admin;
mod commands;
mod harness;
mod lifecycle;
mod mistakes;
mod neighbours;
mod outage;
mod per_sink;
mod recovery;
#[path = "../receivers/rsyslog.rs"]
mod rsyslog;
mod second_look;
mod secrets;
