//! Signing in: with every kind of credential against an OAuth server that nobody here wrote, and the daemon as a child process
//! beside a sign-in that passes the sandbox's tokens on.

mod daemon;
mod exchange;
#[path = "../daemon/harness.rs"]
mod harness;
mod keys;
#[path = "../receivers/npm.rs"]
mod npm;
mod provider;
mod relay;
#[path = "../receivers/skipped.rs"]
mod skipped;
