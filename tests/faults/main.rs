//! The daemon under faults that can be made here: one module a family. `docs/faults.md` is the table of them all; a test checks
//! that what it names is there. Each waits for what must become true and never for a time.
//!
//! `STORM_FOR=5m TOKEN_DOWN_FOR=10m cargo test --release --test faults -- --nocapture` is the long run.

mod clock;
mod gate;
#[path = "../daemon/harness.rs"]
mod harness;
mod identity;
mod log;
mod network;
mod size;
#[path = "../receivers/skipped.rs"]
mod skipped;
mod source;
mod state;
mod stuck;
mod tls;
mod truth;

/// As `QUICK` of the harness, and with little patience for an answer. What tenants have in common is a line for all of them; for each
/// one there is what its loops say.
pub(crate) const IMPATIENT: &str = "[poll]\ninterval = \"1s\"\nsweep_every = \"5s\"\noverlap = \"1m\"\nrequest_timeout = \"3s\"\n\n\
     [quota]\nlist_per_minute = 6000\nlist_per_hour = 360000\nget_per_minute = 6000\nget_per_hour = 360000\n\n\
     [log]\nlevel = \"info,xdrelay::run=debug\"\n\n";
