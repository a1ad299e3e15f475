//! The task of a session: its own folder and those below it, so that nothing else of the runtime is built.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, unexpected_cfgs, reason = "these files have more users than this one")]

#[path = "../../runtime/src/base/mod.rs"]
mod base;
#[path = "../../runtime/src/session/mod.rs"]
mod session;
#[path = "../session/websocket.rs"]
mod websocket;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session::simulation::play(data));
