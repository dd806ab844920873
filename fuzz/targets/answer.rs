//! Answers of the API, 429 and Retry-After among them. What is checked is in `src/answer.rs`; there is nothing here but the engine's entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdrelay_fuzz::answer::check(bytes));
