//! The payloads of revision 3 and their wrapping for JSONP, against an oracle that counts UTF-16 by writing it out.

use super::engine::{base64, obvious, unbase64, write};
use super::input::Input;
use crate::engine::packet::{EnginePacket, EnginePacketError};
use crate::engine::payload::jsonp::{self, Callback};
use crate::engine::payload::v3::{self, Form, PayloadDecoder, PayloadEncoder};
use crate::message::WireMessage;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

type Packet = Result<EnginePacket, EnginePacketError>;

/// One byte for the form, then a body: the packets of it up to the first that is none, that what the encoder writes is read
/// again, and that a script holds it unchanged.
///
/// # Panics
/// If a codec and its oracle disagree.
pub fn payload(data: &[u8]) {
    let mut input = Input::new(data);
    let (form, is_jsonp) =
        [(Form::Text, false), (Form::Binary, false), (Form::Text, true)][usize::from(input.byte()) % 3];
    let mut body = Bytes::copy_from_slice(input.rest());
    if is_jsonp {
        // A session does not read a form that is no UTF-8.
        if core::str::from_utf8(&body).is_err() {
            return;
        }
        let posted = jsonp::posted(&body);
        assert_eq!(posted, obvious_form(&body));
        let Some(payload) = posted else { return };
        body = payload;
    }
    let decoded: Vec<Packet> = PayloadDecoder::new(form, body.clone()).collect();
    let expected = match form {
        Form::Text => obvious_text(&body),
        Form::Binary => obvious_bytes(&body),
    };
    assert_eq!(decoded, expected);

    let packets: Vec<EnginePacket> = decoded.into_iter().flatten().collect();
    for form in [Form::Text, Form::Binary] {
        let mut encoder = PayloadEncoder::with_capacity(form, 0);
        let mut most = 0;
        for packet in &packets {
            match packet {
                EnginePacket::Message(WireMessage::Binary(bytes)) => {
                    encoder.binary(bytes);
                    most += v3::binary_len(form, bytes);
                }
                packet => {
                    let text = write(packet);
                    encoder.text(&text);
                    most += v3::text_len(&text);
                }
            }
        }
        let payload = encoder.finish();
        assert!(payload.len() <= most, "{} bytes, {most} were said", payload.len());
        if !packets.is_empty() {
            let again: Result<Vec<EnginePacket>, _> = PayloadDecoder::new(form, payload.clone()).collect();
            assert_eq!(again.as_ref(), Ok(&packets));
        }
        if form == Form::Text {
            let script = Callback::new("a1b2").call(&payload);
            let script = String::from_utf8(script.to_vec()).expect("text");
            let json = script.strip_prefix("___eio[12](").and_then(|rest| rest.strip_suffix(");"));
            let inside: String = serde_json::from_str(json.expect("a call")).expect("a string");
            assert_eq!(inside.as_bytes(), payload);
            assert!(!script.contains(['\n', '\r', '\u{2028}', '\u{2029}']), "{script}");
        }
    }
}

/// The packets of a text: all of it as UTF-16, cut by its lengths.
fn obvious_text(body: &[u8]) -> Vec<Packet> {
    let Ok(text) = core::str::from_utf8(body) else { return vec![Err(EnginePacketError::Utf8)] };
    let units: Vec<u16> = text.encode_utf16().collect();
    if units.is_empty() {
        return vec![Err(EnginePacketError::Empty)];
    }
    let (mut packets, mut rest) = (vec![], &units[..]);
    while !rest.is_empty() {
        let Some((packet, behind)) = obvious_cut(rest) else {
            packets.push(Err(EnginePacketError::Length));
            break;
        };
        rest = behind;
        if packet.is_empty() {
            continue;
        }
        packets.push(obvious_packet(packet.as_bytes()));
        if packets.last().is_some_and(Result::is_err) {
            break;
        }
    }
    packets
}

fn obvious_cut(units: &[u16]) -> Option<(String, &[u16])> {
    let colon = units.iter().position(|unit| *unit == u16::from(b':'))?;
    let digits = String::from_utf16(&units[..colon]).ok()?;
    let length = obvious_length(&digits)?;
    let behind = &units[colon + 1..];
    if length > behind.len() {
        return None;
    }
    let (packet, behind) = behind.split_at(length);
    Some((String::from_utf16(packet).ok()?, behind))
}

fn obvious_length(digits: &str) -> Option<usize> {
    let is_length = (1..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_length { digits.parse().ok() } else { None }
}

/// The packets of bytes.
fn obvious_bytes(body: &[u8]) -> Vec<Packet> {
    let (mut packets, mut rest) = (vec![], body);
    while let Some((kind, behind)) = rest.split_first() {
        let cut = || {
            let end = behind.iter().position(|byte| *byte == 255)?;
            let is_digits = behind[..end].iter().all(|byte| *byte < 10);
            let digits: String =
                behind[..end].iter().map(|digit| char::from(digit.wrapping_add(b'0'))).collect();
            let length = is_digits.then(|| obvious_length(&digits)).flatten()?;
            let behind = &behind[end + 1..];
            (length <= behind.len()).then(|| behind.split_at(length))
        };
        let Some((packet, behind)) = cut() else {
            packets.push(Err(EnginePacketError::Length));
            break;
        };
        rest = behind;
        match (kind, packet) {
            (0, text) if core::str::from_utf8(text).is_err() => packets.push(Err(EnginePacketError::Utf8)),
            (0, text) => packets.push(obvious_packet(text)),
            (1, [4, data @ ..]) => {
                let data = Bytes::copy_from_slice(data);
                packets.push(Ok(EnginePacket::Message(WireMessage::Binary(data))));
            }
            (1, _) => {}
            (other, _) => packets.push(Err(EnginePacketError::UnknownType(*other))),
        }
        if packets.last().is_some_and(Result::is_err) {
            break;
        }
    }
    packets
}

fn obvious_packet(text: &[u8]) -> Packet {
    match text {
        [b'b'] => Err(EnginePacketError::Empty),
        [b'b', b'4', rest @ ..] => match unbase64(rest) {
            Some(bytes) => {
                assert!(unbase64(&base64(&bytes)).is_some_and(|again| again == bytes));
                Ok(EnginePacket::Message(WireMessage::Binary(bytes.into())))
            }
            None => Err(EnginePacketError::Base64),
        },
        [b'b', other, ..] => Err(EnginePacketError::UnknownType(*other)),
        text => obvious(text),
    }
}

/// The only field `d` of a form. Line ends come back in two steps, as the reference takes them.
fn obvious_form(body: &[u8]) -> Option<Bytes> {
    let body = String::from_utf8_lossy(body).into_owned();
    let mut fields = body.split('&').filter_map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        (!field.is_empty() && super::http::unescape(name) == "d").then(|| super::http::unescape(value))
    });
    let (Some(data), None) = (fields.next(), fields.next()) else { return None };
    let parts: Vec<String> = data.split("\\\\n").map(|part| part.replace("\\n", "\n")).collect();
    Some(parts.join("\\n").into())
}
