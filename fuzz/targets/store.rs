//! Keys, values and checkpoints. What is checked is in `src/store.rs`; there is nothing here but the engine's entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdrelay_fuzz::store::check(bytes));
