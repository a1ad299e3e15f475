#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../codec/mod.rs"]
mod websocket;

fuzz_target!(|data: &[u8]| websocket::fuzzing::connection(data));
