//! The program as people run it: a child process against a sandbox in this one. One module a subject.

mod admin;
mod alerts_apart;
mod check;
mod check_sinks;
mod commands;
mod dialects;
mod harness;
#[path = "../receivers/hec.rs"]
#[allow(dead_code, reason = "a check asks little of it")]
mod hec;
#[path = "../receivers/http.rs"]
#[allow(dead_code, reason = "a check asks little of it")]
mod http;
#[path = "../receivers/kafka.rs"]
mod kafka;
mod lifecycle;
mod logs;
mod mistakes;
mod neighbours;
mod outage;
mod owner;
mod per_sink;
#[path = "../receivers/python.rs"]
mod python;
mod recovery;
mod reload;
#[path = "../receivers/rsyslog.rs"]
mod rsyslog;
mod second_look;
mod secrets;
#[path = "../receivers/skipped.rs"]
mod skipped;
