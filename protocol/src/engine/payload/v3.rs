//! Payloads of revision 3: each packet with its length in front (protocol v3, "Payload").
//!
//! As text it is `6:4hello`, and the length counts UTF-16 code units. As bytes it is a byte that tells text (0) from binary
//! (1), the digits of the length, a byte each, the byte 255, and the packet, whose bytes the length counts.

use super::{apart, base64_len, push_base64};
use crate::engine::packet::{BINARY_MESSAGE, EnginePacket, EnginePacketError};
use alloc::vec::Vec;
use bytes::{Buf, Bytes};

/// The most digits of a length: more are more than any body has.
const MAX_DIGITS: usize = 10;
/// The byte behind the digits of a length in a binary payload.
const END_OF_LENGTH: u8 = 255;
/// The first bytes of a packet in a binary payload.
pub(crate) const TEXT: u8 = 0;
const BINARY: u8 = 1;

/// A writer of packets into a payload. Whether it is to be text is decided before the first packet, and holds for all.
#[derive(Debug)]
pub(crate) struct PayloadEncoder {
    body: Vec<u8>,
    form: Form,
}

/// The form of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lengths in digits; binary messages as base64.
    Text,
    /// Lengths in bytes; binary messages as they are.
    Binary,
}

impl PayloadEncoder {
    /// An encoder with capacity for that many bytes.
    pub(crate) fn with_capacity(form: Form, bytes: usize) -> Self {
        Self { body: Vec::with_capacity(bytes), form }
    }

    /// Adds a packet that is ready text, type digit included.
    pub(crate) fn text(&mut self, packet: &[u8]) {
        match self.form {
            Form::Text => self.length(utf16_len(packet)),
            Form::Binary => self.binary_length(TEXT, packet.len()),
        }
        self.body.extend_from_slice(packet);
    }

    /// Adds a binary message.
    pub(crate) fn binary(&mut self, data: &[u8]) {
        match self.form {
            Form::Text => {
                self.length(base64_len(data).saturating_add(2));
                self.body.extend_from_slice(b"b4");
                push_base64(&mut self.body, data);
            }
            Form::Binary => {
                self.binary_length(BINARY, data.len().saturating_add(1));
                self.body.push(BINARY_MESSAGE);
                self.body.extend_from_slice(data);
            }
        }
    }

    /// The body.
    pub(crate) fn finish(self) -> Bytes {
        self.body.into()
    }

    fn length(&mut self, length: usize) {
        self.body.extend(digits(length).map(|digit| digit.saturating_add(b'0')));
        self.body.push(b':');
    }

    fn binary_length(&mut self, kind: u8, length: usize) {
        self.body.push(kind);
        self.body.extend(digits(length));
        self.body.push(END_OF_LENGTH);
    }
}

/// The bytes that [`PayloadEncoder::text`] adds to a body, at most.
pub(crate) fn text_len(packet: &[u8]) -> usize {
    packet.len().saturating_add(length_len(packet.len()))
}

/// The bytes that [`PayloadEncoder::binary`] adds to a body of that form, at most.
pub(crate) fn binary_len(form: Form, data: &[u8]) -> usize {
    let packet = match form {
        Form::Text => base64_len(data).saturating_add(2),
        Form::Binary => data.len().saturating_add(1),
    };
    packet.saturating_add(length_len(packet))
}

/// The bytes in front of a packet of that length: its digits, and two at most.
fn length_len(length: usize) -> usize {
    digits(length).count().saturating_add(2)
}

/// The digits of a number, as numbers.
fn digits(number: usize) -> impl Iterator<Item = u8> {
    let places = number.checked_ilog10().unwrap_or(0);
    (0..=places).rev().map(move |place| {
        let digit = 10usize.checked_pow(place).and_then(|unit| number.checked_div(unit)).unwrap_or(0) % 10;
        u8::try_from(digit).unwrap_or(0)
    })
}

/// The UTF-16 code units of a text: each byte that begins a character is one, and those of four bytes are two. Bytes that are
/// no text, which nobody may send, count somehow.
fn utf16_len(text: &[u8]) -> usize {
    text.iter().map(|&byte| units(byte)).sum()
}

/// The UTF-16 code units of the character that begins with that byte, and none for a byte within a character.
const fn units(byte: u8) -> usize {
    match byte {
        0x80..=0xbf => 0,
        0xf0..=0xff => 2,
        _ => 1,
    }
}

/// A reader of the packets of a body, one by one. It stops for good at the first malformed one; those before it have
/// been handed out by then.
#[derive(Debug)]
pub(crate) struct PayloadDecoder {
    rest: Option<Bytes>,
    len: usize,
    form: Form,
    utf8: bool,
}

impl PayloadDecoder {
    /// A decoder over a whole body. Text without a byte is malformed, and bytes without a byte hold no packet.
    pub(crate) fn new(form: Form, body: Bytes) -> Self {
        let utf8 = form == Form::Binary || core::str::from_utf8(&body).is_ok();
        let is_over = form == Form::Binary && body.is_empty();
        Self { len: body.len(), rest: (!is_over).then_some(body), form, utf8 }
    }

    /// The next packet; `None` if it is an empty one of a text, or no message among bytes: the reference ignores those.
    fn packet(&self, rest: &mut Bytes) -> Result<Option<EnginePacket>, EnginePacketError> {
        if !self.utf8 {
            return Err(EnginePacketError::Utf8);
        }
        match self.form {
            Form::Text => {
                let packet = text_packet(rest).ok_or(match rest.is_empty() {
                    true => EnginePacketError::Empty,
                    false => EnginePacketError::Length,
                })?;
                if packet.is_empty() {
                    return Ok(None);
                }
                EnginePacket::decode_v3(apart(packet, self.len)).map(Some)
            }
            Form::Binary => {
                let (kind, packet) = binary_packet(rest).ok_or(EnginePacketError::Length)?;
                let packet = apart(packet, self.len);
                match kind {
                    TEXT if core::str::from_utf8(&packet).is_err() => Err(EnginePacketError::Utf8),
                    TEXT => EnginePacket::decode_v3(packet).map(Some),
                    BINARY => Ok(EnginePacket::decode_v3_binary(packet)),
                    other => Err(EnginePacketError::UnknownType(other)),
                }
            }
        }
    }
}

impl Iterator for PayloadDecoder {
    type Item = Result<EnginePacket, EnginePacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut rest = self.rest.take()?;
            match self.packet(&mut rest) {
                Err(error) => return Some(Err(error)),
                Ok(packet) => {
                    self.rest = (!rest.is_empty()).then_some(rest);
                    if let Some(packet) = packet {
                        return Some(Ok(packet));
                    }
                }
            }
        }
    }
}

/// Takes one packet off a text: its length in digits, `:`, and that many UTF-16 code units.
pub(crate) fn text_packet(rest: &mut Bytes) -> Option<Bytes> {
    let end = rest.iter().take(MAX_DIGITS.saturating_add(1)).position(|byte| *byte == b':')?;
    let mut length = number(rest.get(..end)?.iter().map(|byte| byte.wrapping_sub(b'0')))?;
    let behind = rest.get(end.checked_add(1)?..)?;
    let mut bytes = 0usize;
    for &byte in behind {
        // The bytes behind the first one of the last character belong to it.
        if length == 0 && units(byte) > 0 {
            break;
        }
        // Half a character is no text.
        length = length.checked_sub(units(byte))?;
        bytes = bytes.saturating_add(1);
    }
    if length > 0 {
        return None;
    }
    rest.advance(end.saturating_add(1));
    Some(rest.split_to(bytes))
}

/// Takes one packet off bytes: its kind, its length, and that many bytes.
pub(crate) fn binary_packet(rest: &mut Bytes) -> Option<(u8, Bytes)> {
    let (&kind, behind) = rest.split_first()?;
    let end = behind.iter().take(MAX_DIGITS.saturating_add(1)).position(|byte| *byte == END_OF_LENGTH)?;
    let length = number(behind.get(..end)?.iter().copied())?;
    if behind.len().checked_sub(end.checked_add(1)?)? < length {
        return None;
    }
    rest.advance(end.saturating_add(2));
    Some((kind, rest.split_to(length)))
}

/// The number of these digits, of which there is one at least.
fn number(digits: impl Iterator<Item = u8>) -> Option<usize> {
    let mut number = None;
    for digit in digits {
        if digit > 9 {
            return None;
        }
        number = Some(number.unwrap_or(0usize).checked_mul(10)?.checked_add(usize::from(digit))?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::WireMessage;
    use alloc::string::ToString;
    use alloc::vec;

    fn decode(form: Form, body: &[u8]) -> Vec<Result<EnginePacket, EnginePacketError>> {
        PayloadDecoder::new(form, Bytes::copy_from_slice(body)).collect()
    }

    fn text(text: &'static str) -> Result<EnginePacket, EnginePacketError> {
        Ok(EnginePacket::Message(WireMessage::Text(text.into())))
    }

    fn binary(data: &'static [u8]) -> Result<EnginePacket, EnginePacketError> {
        Ok(EnginePacket::Message(WireMessage::Binary(data.into())))
    }

    fn encode(form: Form, messages: &[Result<EnginePacket, EnginePacketError>]) -> Bytes {
        let mut payload = PayloadEncoder::with_capacity(form, 0);
        for message in messages {
            match message {
                Ok(EnginePacket::Message(WireMessage::Text(text))) => {
                    payload.text(&[b"4", &text[..]].concat());
                }
                Ok(EnginePacket::Message(WireMessage::Binary(data))) => payload.binary(data),
                other => panic!("{other:?}"),
            }
        }
        payload.finish()
    }

    #[test]
    fn the_published_examples_are_written_and_read() {
        let long = "x".repeat(10);
        let cases: [(Form, Vec<_>, &[u8]); 5] = [
            (
                Form::Text,
                vec![text("hello"), text("€"), text("😀"), text("")],
                "6:4hello2:4€3:4😀1:4".as_bytes(),
            ),
            (Form::Text, vec![text("hello"), binary(&[1, 2, 3, 4])], b"6:4hello10:b4AQIDBA=="),
            (
                Form::Binary,
                vec![text("€"), binary(&[1, 2, 3, 4])],
                b"\0\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04",
            ),
            (Form::Binary, vec![text("hello"), binary(b"")], b"\0\x06\xff4hello\x01\x01\xff\x04"),
            (Form::Binary, vec![text("xxxxxxxxxx")], &[b"\0\x01\x01\xff4", long.as_bytes()].concat()),
        ];
        for (form, messages, body) in cases {
            assert_eq!(encode(form, &messages), body);
            assert_eq!(decode(form, body), messages);
        }
    }

    #[test]
    fn a_packet_adds_no_more_than_was_said() {
        for packet in
            [&b""[..], b"4", b"4ab", &[b'7'; 9], &[b'7'; 10], &[b'7'; 99], &[b'7'; 1000], "€😀".as_bytes()]
        {
            for form in [Form::Text, Form::Binary] {
                let mut payload = PayloadEncoder::with_capacity(form, 0);
                payload.text(packet);
                let (text, said) = (payload.body.len(), text_len(packet));
                assert!(text <= said && said <= text + 2, "{text} {said}");
                payload.binary(packet);
                let (binary, said) = (payload.body.len() - text, binary_len(form, packet));
                assert!(binary <= said && said <= binary + 1, "{binary} {said}");
            }
        }
    }

    #[test]
    fn decoding_stops_at_the_first_malformed_packet() {
        for (body, error) in [
            ("", EnginePacketError::Empty),
            ("abc", EnginePacketError::Length),
            ("3:4a", EnginePacketError::Length),
            ("-1:2", EnginePacketError::Length),
            (" 1:2", EnginePacketError::Length),
            ("1e0:2", EnginePacketError::Length),
            (":2", EnginePacketError::Length),
            ("1", EnginePacketError::Length),
            ("00000000001:2", EnginePacketError::Length),
            ("99999999999999999999:2", EnginePacketError::Length),
            // A length that counts characters, and splits one in two.
            ("2:4😀", EnginePacketError::Length),
            ("1:7", EnginePacketError::UnknownType(b'7')),
            ("6:bAQID=", EnginePacketError::UnknownType(b'A')),
        ] {
            assert_eq!(decode(Form::Text, body.as_bytes()), [Err(error)], "{body:?}");
            if !body.is_empty() {
                let behind = ["2:4a", body].concat();
                assert_eq!(decode(Form::Text, behind.as_bytes()), [text("a"), Err(error)], "{body:?}");
            }
        }
        assert_eq!(decode(Form::Text, b"2:4\xff"), [Err(EnginePacketError::Utf8)]);
    }

    #[test]
    fn an_empty_packet_of_a_text_is_none() {
        assert_eq!(decode(Form::Text, b"0:"), []);
        assert_eq!(decode(Form::Text, b"0:2:4a0:0000000002:4b"), [text("a"), text("b")]);
    }

    #[test]
    fn a_binary_payload_is_bytes_of_a_known_kind_and_length() {
        for (body, error) in [
            (&b"\0"[..], EnginePacketError::Length),
            (b"\0\xff", EnginePacketError::Length),
            (b"\0\x03\xff4a", EnginePacketError::Length),
            (b"\0\x0a\xff4a", EnginePacketError::Length),
            (b"\0\0\0\0\0\0\0\0\0\0\0\x01\xff2", EnginePacketError::Length),
            (b"\0\0\xff", EnginePacketError::Empty),
            (b"\x02\x02\xff4a", EnginePacketError::UnknownType(2)),
            (b"\0\x01\xff7", EnginePacketError::UnknownType(b'7')),
            (b"\0\x02\xff4\xff", EnginePacketError::Utf8),
        ] {
            assert_eq!(decode(Form::Binary, body), [Err(error)], "{body:?}");
        }
        assert_eq!(decode(Form::Binary, b""), []);
        // Bytes that are no message are passed over.
        assert_eq!(decode(Form::Binary, b"\x01\0\xff\x01\x01\xff\x02\0\x02\xff4a"), [text("a")]);
        assert_eq!(decode(Form::Binary, b"\0\x08\xffb4AQIDBA"), [binary(&[1, 2, 3, 4])]);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, usize::MAX] {
            let written: Vec<u8> = digits(number).map(|digit| digit + b'0').collect();
            assert_eq!(written, number.to_string().into_bytes());
        }
    }
}
