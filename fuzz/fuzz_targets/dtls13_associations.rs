#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bartizan_dtls::fuzzing13::associations(bytes));
