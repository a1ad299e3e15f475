//! The notation of transcripts for bytes, times and arguments.

use bytes::Bytes;
use sansocket_protocol::message::Frame;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::Parser;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// `{x*3}` stands for `xxx`, and `␞` for the byte between two packets of a body.
pub(crate) fn expand(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let repeated = from.split_once('}').and_then(|(inner, after)| {
            let (what, times) = inner[1..].split_once('*')?;
            let times: usize = times.parse().ok()?;
            Some((what.repeat(times), after))
        });
        match repeated {
            Some((repeated, after)) => {
                out.push_str(&repeated);
                rest = after;
            }
            None => {
                out.push('{');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out.replace('␞', "\u{1e}")
}

pub(crate) fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{1e}', "␞")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<{digits}>")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('<')?.strip_suffix('>')?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// `<010203>` is binary, everything else text.
pub(crate) fn message(text: &str) -> WireMessage {
    match unhex(text) {
        Some(data) => WireMessage::Binary(data.into()),
        None => WireMessage::Text(Bytes::copy_from_slice(text.as_bytes())),
    }
}

pub(crate) fn show_message(message: &WireMessage) -> String {
    match message {
        WireMessage::Text(text) => show(text),
        WireMessage::Binary(data) => hex(data),
    }
}

/// `45s`, `500ms`, `1m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(number * millis))
}

pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis % 1000 == 0 { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// An argument; the string `"<0102>"` stands for bytes.
pub(crate) struct Arg(serde_json::Value);

impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_str().and_then(unhex) {
            Some(bytes) => serializer.serialize_bytes(&bytes),
            None => self.0.serialize(serializer),
        }
    }
}

fn args(json: &str) -> Option<Vec<Arg>> {
    let values: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
    Some(values.into_iter().map(Arg).collect())
}

/// An event from the JSON of its arguments, name first.
pub(crate) fn event(namespace: &str, json: &str, id: Option<u64>) -> Option<Frame> {
    let args = args(json)?;
    let (name, args) = args.split_first()?;
    let name = name.0.as_str()?;
    match args {
        [] => Parser::json().event(namespace, name, id, &()),
        [a] => Parser::json().event(namespace, name, id, &(a,)),
        [a, b] => Parser::json().event(namespace, name, id, &(a, b)),
        [a, b, c] => Parser::json().event(namespace, name, id, &(a, b, c)),
        _ => return None,
    }
    .ok()
}

/// An acknowledgement from the JSON of its arguments.
pub(crate) fn ack(namespace: &str, json: &str, id: u64) -> Option<Frame> {
    match &*args(json)? {
        [] => Parser::json().ack(namespace, id, &()),
        [a] => Parser::json().ack(namespace, id, &(a,)),
        [a, b] => Parser::json().ack(namespace, id, &(a, b)),
        _ => return None,
    }
    .ok()
}
