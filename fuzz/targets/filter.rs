//! The sandbox's `$filter`. What is checked is in `src/filter.rs`; there is nothing here but the engine's entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdrelay_fuzz::filter::check(bytes));
