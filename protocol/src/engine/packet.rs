//! Engine.IO packets: one digit of type, then data (protocol v4, "Packet encoding").

use crate::message::WireMessage;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Buf, Bytes};
use thiserror::Error;

/// The standard alphabet; padding is written, and not demanded of others. Bits of the last letter that belong to no
/// byte are dropped, as by the reference and by browsers: nothing that was sent is lost by it.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The type of a message that is sent as bytes (protocol v3, "Encoding").
pub(crate) const BINARY_MESSAGE: u8 = 4;

/// One Engine.IO packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnginePacket {
    /// `0`: the handshake, with its JSON.
    Open(Bytes),
    /// `1`: the session ends.
    Close,
    /// `2`: heartbeat, or `2probe` on an upgrading transport.
    Ping(Bytes),
    /// `3`: the answer to a ping.
    Pong(Bytes),
    /// `4`, or a binary frame: a message.
    Message(WireMessage),
    /// `5`: the client has moved to this transport.
    Upgrade,
    /// `6`: nothing; it releases a pending poll.
    Noop,
}

/// The reason why bytes are not an Engine.IO packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnginePacketError {
    /// There is no type digit.
    #[error("the packet is empty")]
    Empty,
    /// The first byte is neither `0` to `6` nor `b`.
    #[error("unknown packet type {0:#04x}")]
    UnknownType(u8),
    /// The text behind `b` is not base64.
    #[error("the base64 of a binary message is malformed")]
    Base64,
    /// A polling body is no UTF-8.
    #[error("the body is not UTF-8")]
    Utf8,
    /// The length in front of a packet of revision 3 is no number, or not that of the packet.
    #[error("the length in front of a packet is malformed, or not that of the packet")]
    Length,
}

impl EnginePacket {
    /// Reads one packet from a WebSocket text frame, or from between the separators of a polling body.
    ///
    /// # Errors
    /// [`EnginePacketError`] if it is empty, of an unknown type, or binary with malformed base64. Missing base64
    /// padding is accepted.
    ///
    /// ```
    /// use sansocket_protocol::engine::EnginePacket;
    /// use sansocket_protocol::message::WireMessage;
    ///
    /// let packet = EnginePacket::decode("4hello".into()).unwrap();
    /// assert_eq!(packet, EnginePacket::Message(WireMessage::Text("hello".into())));
    /// let packet = EnginePacket::decode("bAQID".into()).unwrap();
    /// assert_eq!(packet, EnginePacket::Message(WireMessage::Binary(vec![1, 2, 3].into())));
    /// assert!(EnginePacket::decode("7".into()).is_err());
    /// ```
    #[inline(always)]
    pub fn decode(mut text: Bytes) -> Result<Self, EnginePacketError> {
        let Some(&kind) = text.first() else { return Err(EnginePacketError::Empty) };
        // A slice would turn bytes that nobody shares into shared ones.
        text.advance(1);
        if kind == b'4' {
            return Ok(Self::Message(WireMessage::Text(text)));
        }
        Self::decode_other(kind, text)
    }

    /// Reads a packet of another type than a message of text, which nearly all of them are.
    #[inline(never)]
    fn decode_other(kind: u8, text: Bytes) -> Result<Self, EnginePacketError> {
        Ok(match kind {
            b'3' => Self::Pong(text),
            b'2' => Self::Ping(text),
            b'0' => Self::Open(text),
            b'1' => Self::Close,
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            b'b' => {
                let mut bytes = Vec::new();
                BASE64.decode_vec(&text, &mut bytes).map_err(|_| EnginePacketError::Base64)?;
                Self::Message(WireMessage::Binary(bytes.into()))
            }
            other => return Err(EnginePacketError::UnknownType(other)),
        })
    }

    /// Reads one packet of revision 3 that came as text: a binary message is `b4` and base64 there.
    ///
    /// # Errors
    /// As for [`EnginePacket::decode`].
    pub(crate) fn decode_v3(mut text: Bytes) -> Result<Self, EnginePacketError> {
        if text.first() != Some(&b'b') {
            return Self::decode(text);
        }
        match text.get(1) {
            Some(b'4') => {
                text.advance(2);
                let mut bytes = Vec::new();
                BASE64.decode_vec(&text, &mut bytes).map_err(|_| EnginePacketError::Base64)?;
                Ok(Self::Message(WireMessage::Binary(bytes.into())))
            }
            Some(&other) => Err(EnginePacketError::UnknownType(other)),
            None => Err(EnginePacketError::Empty),
        }
    }

    /// Reads one packet of revision 3 that came as bytes: its type is a byte and no digit. `None` if that is not the type of
    /// a message: nobody sends others so, and the reference ignores those that it does not know.
    pub(crate) fn decode_v3_binary(mut data: Bytes) -> Option<Self> {
        if data.first() != Some(&BINARY_MESSAGE) {
            return None;
        }
        data.advance(1);
        Some(Self::Message(WireMessage::Binary(data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_message_of_revision_3_has_a_type_in_every_form() {
        let message = EnginePacket::Message(WireMessage::Binary(Bytes::from_static(&[1, 2])));
        assert_eq!(EnginePacket::decode_v3("b4AQI=".into()), Ok(message.clone()));
        assert_eq!(EnginePacket::decode_v3("b4AQI".into()), Ok(message.clone()));
        assert_eq!(EnginePacket::decode_v3("bAQI=".into()), Err(EnginePacketError::UnknownType(b'A')));
        assert_eq!(EnginePacket::decode_v3("b".into()), Err(EnginePacketError::Empty));
        assert_eq!(EnginePacket::decode_v3("b4!".into()), Err(EnginePacketError::Base64));
        assert_eq!(EnginePacket::decode_v3_binary(Bytes::from_static(&[4, 1, 2])), Some(message));
        for ignored in [&b""[..], b"4", &[2], &[9, 1]] {
            assert_eq!(EnginePacket::decode_v3_binary(Bytes::copy_from_slice(ignored)), None);
        }
    }

    #[test]
    fn every_type_digit_is_known_and_no_other() {
        for byte in 0..=u8::MAX {
            let known = (b'0'..=b'6').contains(&byte) || byte == b'b';
            assert_eq!(EnginePacket::decode(Bytes::copy_from_slice(&[byte])).is_ok(), known, "{byte}");
        }
        assert_eq!(EnginePacket::decode(Bytes::new()), Err(EnginePacketError::Empty));
    }

    #[test]
    fn base64_needs_no_padding_but_takes_no_garbage() {
        // The last two have bits behind the last byte.
        for text in ["bAQI", "bAQI=", "bAQJ", "bAQL="] {
            let packet = EnginePacket::decode(Bytes::from_static(text.as_bytes())).unwrap();
            assert_eq!(packet, EnginePacket::Message(WireMessage::Binary(Bytes::from_static(&[1, 2]))));
        }
        assert_eq!(EnginePacket::decode(Bytes::from_static(b"b!!!")), Err(EnginePacketError::Base64));
        assert_eq!(EnginePacket::decode(Bytes::from_static(b"bA")), Err(EnginePacketError::Base64));
    }
}
