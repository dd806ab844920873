//! What is checked of the bytes that a fuzzer makes up: one file for each subject, each with a `check` that panics where
//! something is wrong. `tests/fuzz.rs` of the program takes in the same files; nothing here may depend on the engine.

pub mod answer;
pub mod config;
pub mod filter;
pub mod input;
pub mod page;
pub mod record;
pub mod source;
pub mod steps;
pub mod store;
pub mod targets;
pub mod timestamp;
