//! Bytes to simulation steps. What is checked is in `src/steps.rs`; there is nothing here but the engine's entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdrelay_fuzz::steps::check(bytes));
