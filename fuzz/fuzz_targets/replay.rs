#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sansocket_protocol::fuzzing::replay::session(data));
