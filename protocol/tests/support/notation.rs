//! The notation of tests for what they send and see.

use bytes::Bytes;
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::message::Frame;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::Parser;
use std::time::Duration;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The settings that the conformance suites ask for: a ping after 300 ms, 200 ms for the pong.
pub fn quick() -> EngineServerConfig {
    EngineServerConfig::default().path("/socket.io").ping_interval(ms(300)).ping_timeout(ms(200))
}

pub fn event(namespace: &str, json: &str) -> Frame {
    event_with_id(namespace, json, None)
}

/// A frame from the JSON of its arguments, name first.
pub fn event_with_id(namespace: &str, json: &str, id: Option<u64>) -> Frame {
    let args: Vec<serde_json::Value> = serde_json::from_str(json).expect("an array");
    let name = args[0].as_str().expect("a name");
    match &args[1..] {
        [] => Parser::json().event(namespace, name, id, &()),
        [a] => Parser::json().event(namespace, name, id, &(a,)),
        [a, b] => Parser::json().event(namespace, name, id, &(a, b)),
        [a, b, c] => Parser::json().event(namespace, name, id, &(a, b, c)),
        _ => panic!("up to three arguments"),
    }
    .expect("an event")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<{digits}>")
}

pub(super) fn show(message: &WireMessage) -> String {
    match message {
        WireMessage::Text(text) => String::from_utf8_lossy(text).into_owned(),
        WireMessage::Binary(data) => hex(data),
    }
}

/// `<010203>` is binary, everything else text.
pub(super) fn message(text: &str) -> WireMessage {
    match text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        Some(digits) => {
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
            WireMessage::Binary((0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().into())
        }
        None => WireMessage::Text(Bytes::copy_from_slice(text.as_bytes())),
    }
}
