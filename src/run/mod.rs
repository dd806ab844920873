//! The shell around the decisions: it waits, calls, commits, delivers and logs, and decides nothing. One task for each reader
//! of each tenant and for each sink, all of them watched.

mod ask;
pub mod clock;
mod complete;
pub mod daemon;
mod deliver;
mod forget;
mod herald;
mod intake;
mod notify;
mod passing;
mod poll;
mod prepare;
mod quotes;
pub mod reload;
pub mod replay;
mod round;
mod signal;
mod supervise;
mod tenant;
mod tenants;
pub mod trial;
