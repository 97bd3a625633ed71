//! `hotbay_fuzz::manifest`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hotbay_fuzz::manifest(bytes));
