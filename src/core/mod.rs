//! What decides and never does: no async, no clock, no randomness, no logging, no I/O. Times and seeds are arguments.

pub mod air;
mod audit;
pub mod backoff;
mod cause;
pub mod cell;
pub mod changes;
mod completeness;
pub mod courier;
pub mod filter;
pub mod health;
pub mod herald;
pub mod numbering;
pub mod pass;
pub mod planted;
pub mod poller;
pub mod quarantine;
pub mod quota;
pub mod reading;
mod retries;
pub mod said;
pub mod scan;
pub mod seen;
pub mod source_clock;
mod sweep;
mod tail;
