//! JSON lines, syslog messages and their frames. What is checked is in `src/record.rs`; there is nothing here but the engine's entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdrelay_fuzz::record::check(bytes));
