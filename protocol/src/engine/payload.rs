//! Long-polling payloads: packets joined by the byte 0x1E (protocol v4, "HTTP long-polling"). Those of revision 3, and the
//! wrapping of either for JSONP, are in the folder.

pub(crate) mod jsonp;
pub(crate) mod v3;

use super::packet::BASE64;
use crate::engine::packet::{EnginePacket, EnginePacketError};
use alloc::vec::Vec;
use base64::Engine as _;
use bytes::Bytes;

/// The byte between two packets. Nothing escapes it: a text message of plain Engine.IO that contains U+001E
/// breaks on polling, in every implementation (Socket.IO's JSON escapes it).
pub const SEPARATOR: u8 = 0x1e;

/// A writer of packets into the body of a poll's response, or of a client's POST.
///
/// ```
/// use sansocket_protocol::engine::PayloadEncoder;
///
/// let mut payload = PayloadEncoder::default();
/// payload.text(b"4hello");
/// payload.binary(&[1, 2, 3, 4]);
/// assert_eq!(payload.finish(), "4hello\x1ebAQIDBA==");
/// ```
#[derive(Debug, Default)]
pub struct PayloadEncoder {
    body: Vec<u8>,
    started: bool,
}

impl PayloadEncoder {
    /// An encoder with capacity for that many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { body: Vec::with_capacity(bytes), started: false }
    }

    fn separate(&mut self) {
        if self.started {
            self.body.push(SEPARATOR);
        }
        self.started = true;
    }

    /// Adds a packet that is ready text, type digit included.
    pub fn text(&mut self, packet: &[u8]) {
        self.separate();
        self.body.extend_from_slice(packet);
    }

    /// Adds a binary message: `b` and base64.
    pub fn binary(&mut self, data: &[u8]) {
        self.separate();
        self.body.push(b'b');
        push_base64(&mut self.body, data);
    }

    /// The body.
    pub fn finish(self) -> Bytes {
        self.body.into()
    }
}

/// The bytes that [`PayloadEncoder::text`] adds to a body, with the separator in front of it.
pub(super) fn text_len(packet: &[u8]) -> usize {
    packet.len().saturating_add(1)
}

/// The bytes that [`PayloadEncoder::binary`] adds to a body, with the separator in front of it.
pub(super) fn binary_len(data: &[u8]) -> usize {
    base64_len(data).saturating_add(2)
}

fn base64_len(data: &[u8]) -> usize {
    base64::encoded_len(data.len(), true).unwrap_or(0)
}

/// Adds the base64 of `data`, whose capacity should be there.
pub(super) fn push_base64(body: &mut Vec<u8>, data: &[u8]) {
    let start = body.len();
    body.resize(start.saturating_add(base64_len(data)), 0);
    let room = body.get_mut(start..).unwrap_or_default();
    let written = BASE64.encode_slice(data, room).unwrap_or(0);
    body.truncate(start.saturating_add(written));
}

/// A reader of the packets of a body, one by one. It stops for good at the first malformed one; those before it have
/// been handed out by then, as the reference does.
///
/// ```
/// use sansocket_protocol::engine::PayloadDecoder;
///
/// let packets: Vec<_> = PayloadDecoder::new("4a\x1e4b".into()).collect::<Result<_, _>>().unwrap();
/// assert_eq!(packets.len(), 2);
/// ```
#[derive(Debug)]
pub struct PayloadDecoder {
    rest: Option<Bytes>,
    len: usize,
    utf8: bool,
}

impl PayloadDecoder {
    /// A decoder over a whole body. An empty body is one empty packet, which is malformed.
    pub fn new(body: Bytes) -> Self {
        let utf8 = core::str::from_utf8(&body).is_ok();
        Self { len: body.len(), rest: Some(body), utf8 }
    }
}

impl Iterator for PayloadDecoder {
    type Item = Result<EnginePacket, EnginePacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        if !self.utf8 {
            return Some(Err(EnginePacketError::Utf8));
        }
        let packet = match find_separator(&rest) {
            Some(end) => {
                let packet = rest.split_to(end);
                self.rest = Some(rest.slice(1..));
                packet
            }
            None => rest,
        };
        let packet = EnginePacket::decode(apart(packet, self.len));
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

/// The place of the first separator. It is sought eight bytes at a time, because that passes over every byte of a body.
#[allow(clippy::arithmetic_side_effects, reason = "proof: the place is within the slice")]
fn find_separator(body: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let mut words = body.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        // A separator becomes 0, from which the subtraction borrows. The lowest mark is right; above it there may be wrong
        // ones.
        let zeros = word ^ (ONES * SEPARATOR as u64);
        let marks = zeros.wrapping_sub(ONES) & !zeros & HIGHS;
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    words.remainder().iter().position(|byte| *byte == SEPARATOR).map(|behind| at + behind)
}

/// A packet of a body of that many bytes. A small one that waits must not keep a large body alive: it would count for less
/// than it holds.
fn apart(packet: Bytes, body: usize) -> Bytes {
    if packet.len() < body / 2 { Bytes::copy_from_slice(&packet) } else { packet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::WireMessage;
    use alloc::vec;

    fn decode(body: &'static str) -> Vec<Result<EnginePacket, EnginePacketError>> {
        PayloadDecoder::new(Bytes::from_static(body.as_bytes())).collect()
    }

    fn text(text: &'static str) -> Result<EnginePacket, EnginePacketError> {
        Ok(EnginePacket::Message(WireMessage::Text(Bytes::from_static(text.as_bytes()))))
    }

    #[test]
    fn the_published_example_encodes_to_its_bytes() {
        let mut payload = PayloadEncoder::default();
        payload.binary(&[1, 2, 3, 4]);
        payload.text(b"4");
        payload.binary(&[]);
        payload.text("4é😀".as_bytes());
        assert_eq!(payload.finish(), "bAQIDBA==\x1e4\x1eb\x1e4é😀");
    }

    #[test]
    fn a_packet_adds_as_much_as_was_said() {
        let packets: [&[u8]; 5] = [b"", b"4", b"4ab", &[7; 100], &[0xff; 101]];
        for packet in packets {
            let mut payload = PayloadEncoder::default();
            payload.text(b"2");
            payload.text(packet);
            assert_eq!(payload.body.len(), 1 + text_len(packet));
            payload.binary(packet);
            assert_eq!(payload.body.len(), 1 + text_len(packet) + binary_len(packet));
        }
    }

    #[test]
    fn decoding_stops_at_the_first_malformed_packet() {
        assert_eq!(decode("4a\x1e9\x1e4b"), vec![text("a"), Err(EnginePacketError::UnknownType(b'9'))]);
        assert_eq!(decode("4a\x1e"), vec![text("a"), Err(EnginePacketError::Empty)]);
        assert_eq!(decode("\x1e4a"), vec![Err(EnginePacketError::Empty)]);
        assert_eq!(decode(""), vec![Err(EnginePacketError::Empty)]);
    }

    #[test]
    fn the_first_separator_is_found_wherever_it_stands() {
        for len in 0..40 {
            assert_eq!(find_separator(&vec![SEPARATOR ^ 1; len]), None, "{len}");
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut body = vec![byte; len];
                    body[at] = SEPARATOR;
                    let first = if byte == SEPARATOR { 0 } else { at };
                    assert_eq!(find_separator(&body), Some(first), "{byte} around {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn a_body_that_is_no_utf8_delivers_nothing() {
        let packets: Vec<_> = PayloadDecoder::new(Bytes::from_static(b"4a\x1e4\xff")).collect();
        assert_eq!(packets, vec![Err(EnginePacketError::Utf8)]);
    }

    #[test]
    fn a_small_packet_does_not_keep_a_large_body_alive() {
        // A byte less than half of the body is copied out of it; half of it is not.
        for (small, large, copied) in [(4, 6, true), (5, 6, true), (5, 5, false), (6, 5, false), (1, 9, true)]
        {
            let packet = |len: usize| alloc::format!("4{}", "x".repeat(len - 1));
            let body = Bytes::from(alloc::format!("{}\x1e{}", packet(small), packet(large)));
            let inside = body.as_ptr_range();
            let shares = PayloadDecoder::new(body.clone()).map(|packet| match packet.unwrap() {
                EnginePacket::Message(WireMessage::Text(text)) => inside.contains(&text.as_ptr()),
                other => panic!("{other:?}"),
            });
            assert_eq!(shares.take(1).collect::<Vec<_>>(), [!copied], "{small} {large}");
        }
    }
}
