//! Engine.IO packets and polling payloads, against an oracle that splits, compares and decodes by hand.

use crate::engine::packet::{EnginePacket, EnginePacketError};
use crate::engine::payload::{PayloadDecoder, PayloadEncoder, SEPARATOR};
use crate::message::WireMessage;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// One packet: what is accepted, what is in it, and that what is written is read again.
///
/// # Panics
/// If the decoder and the oracle disagree.
pub fn packet(data: &[u8]) {
    let decoded = EnginePacket::decode(Bytes::copy_from_slice(data));
    assert_eq!(decoded, obvious(data));
    if let Ok(packet) = decoded {
        let again = write(&packet);
        assert_eq!(EnginePacket::decode(again.into()), Ok(packet));
    }
}

/// Reads a body: its packets, up to the first that is malformed. The encoder's output for them is read back.
///
/// # Panics
/// If the decoder and the oracle disagree.
pub fn payload(data: &[u8]) {
    let decoded: Vec<_> = PayloadDecoder::new(Bytes::copy_from_slice(data)).collect();
    let mut expected = Vec::new();
    if core::str::from_utf8(data).is_err() {
        expected.push(Err(EnginePacketError::Utf8));
    } else {
        for part in data.split(|byte| *byte == SEPARATOR) {
            expected.push(obvious(part));
            if expected.last().is_some_and(Result::is_err) {
                break;
            }
        }
    }
    assert_eq!(decoded, expected);

    let packets: Vec<EnginePacket> = decoded.into_iter().flatten().collect();
    let mut encoder = PayloadEncoder::default();
    let mut joined: Vec<u8> = Vec::new();
    for packet in &packets {
        match packet {
            EnginePacket::Message(WireMessage::Binary(bytes)) => encoder.binary(bytes),
            packet => encoder.text(&write(packet)),
        }
        if !joined.is_empty() {
            joined.push(SEPARATOR);
        }
        joined.extend(write(packet));
    }
    let body = encoder.finish();
    assert_eq!(body, joined);
    if !packets.is_empty() {
        let again: Result<Vec<EnginePacket>, _> = PayloadDecoder::new(body).collect();
        assert_eq!(again, Ok(packets));
    }
}

/// The text of a packet, as the protocol's section "Packet encoding" has it.
pub(super) fn write(packet: &EnginePacket) -> Vec<u8> {
    let (digit, data) = match packet {
        EnginePacket::Open(data) => (b'0', data.to_vec()),
        EnginePacket::Close => (b'1', vec![]),
        EnginePacket::Ping(data) => (b'2', data.to_vec()),
        EnginePacket::Pong(data) => (b'3', data.to_vec()),
        EnginePacket::Message(WireMessage::Text(data)) => (b'4', data.to_vec()),
        EnginePacket::Upgrade => (b'5', vec![]),
        EnginePacket::Noop => (b'6', vec![]),
        EnginePacket::Message(WireMessage::Binary(data)) => (b'b', base64(data)),
    };
    let mut text = vec![digit];
    text.extend(data);
    text
}

pub(super) fn obvious(text: &[u8]) -> Result<EnginePacket, EnginePacketError> {
    let Some((digit, data)) = text.split_first() else { return Err(EnginePacketError::Empty) };
    let bytes = || Bytes::copy_from_slice(data);
    match digit {
        b'0' => Ok(EnginePacket::Open(bytes())),
        b'1' => Ok(EnginePacket::Close),
        b'2' => Ok(EnginePacket::Ping(bytes())),
        b'3' => Ok(EnginePacket::Pong(bytes())),
        b'4' => Ok(EnginePacket::Message(WireMessage::Text(bytes()))),
        b'5' => Ok(EnginePacket::Upgrade),
        b'6' => Ok(EnginePacket::Noop),
        b'b' => match unbase64(data) {
            Some(bytes) => Ok(EnginePacket::Message(WireMessage::Binary(bytes.into()))),
            None => Err(EnginePacketError::Base64),
        },
        other => Err(EnginePacketError::UnknownType(*other)),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bit by bit.
pub(super) fn base64(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for three in data.chunks(3) {
        let word = three.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { letter } else { b'=' });
        }
    }
    text
}

/// Decodes base64. Padding may be missing in part but not exceed its length, and nothing but the alphabet stands before
/// it. Bits of the last letter beyond the last byte are dropped.
pub(super) fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    let (letters, padding) = text.split_at(end);
    let missing = (4 - letters.len() % 4) % 4;
    let padded = padding.len() <= missing && padding.iter().all(|byte| *byte == b'=');
    if !padded || missing == 3 {
        return None;
    }
    let mut bits = Vec::new();
    for letter in letters {
        let value = ALPHABET.iter().position(|other| other == letter)?;
        bits.extend((0..6).rev().map(|place| value >> place & 1));
    }
    let byte = |eight: &[usize]| eight.iter().fold(0, |byte, bit| byte << 1 | *bit as u8);
    Some(bits.chunks_exact(8).map(byte).collect())
}
