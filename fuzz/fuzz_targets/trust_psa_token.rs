#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bartizan_fuzz_bodies::evidence::psa_token(bytes));
