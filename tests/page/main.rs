//! The status page and the port that it is on: the real daemon beside a sandbox, asked over HTTP and looked at with Chromium.

mod answers;
mod browser;
mod faking;
#[path = "../daemon/harness.rs"]
mod harness;
mod looks;
#[path = "../receivers/npm.rs"]
mod npm;
mod shots;
#[path = "../receivers/skipped.rs"]
mod skipped;
mod stream;
mod token;
