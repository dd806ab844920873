//! What decides and never does: no async, no clock, no randomness, no logging, no I/O. Times and seeds are arguments.

pub mod air;
pub mod backoff;
pub mod changes;
pub mod courier;
pub mod health;
pub mod pass;
pub mod planted;
pub mod poller;
pub mod quarantine;
pub mod quota;
pub mod seen;
pub mod source_clock;
mod sweep;
mod tail;
