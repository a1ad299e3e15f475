//! A frame's header, judged by itself (RFC 6455, section 5.2).
//!
//! The parser is our own and not tungstenite's, with which the tests compare it: that one reads through a cursor and
//! logs, which costs a third of the time of a short message.

use super::Role;
use super::read::ReadError;

/// The length of the longest header: two bytes, a length of up to eight, a mask of four.
pub(super) const MAX_HEADER: usize = 14;
/// The longest payload of a ping, a pong or a close (section 5.5).
pub(super) const MAX_CONTROL: usize = 125;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Continue,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) fin: bool,
    /// The message is compressed (RFC 7692, section 6): never on a continuation or a control frame.
    pub(super) compressed: bool,
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes of payload, as announced: to be judged before it is believed.
    pub(super) len: u64,
}

impl Header {
    /// The header at the start of `bytes` and its own length; `None` while it is incomplete. It is checked as far as
    /// that needs no knowledge of earlier frames. `deflate`: the ends have agreed on compression.
    #[inline]
    pub(super) fn parse(bytes: &[u8], role: Role, deflate: bool) -> Result<Option<(Self, usize)>, ReadError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let compressed = first & 0x70 != 0;
        // Of the three bits only the first one has a meaning, on the first frame of a text or binary message.
        if compressed && !(deflate && matches!(first & 0x7f, 0x41 | 0x42)) {
            return Err(ReadError::ReservedBits);
        }
        let kind = match first & 0x0f {
            0x0 => Kind::Continue,
            0x1 => Kind::Text,
            0x2 => Kind::Binary,
            0x8 => Kind::Close,
            0x9 => Kind::Ping,
            0xa => Kind::Pong,
            _ => return Err(ReadError::ReservedOpcode),
        };
        let fin = first & 0x80 != 0;
        let masked = second & 0x80 != 0;
        match (role, masked) {
            (Role::Server, false) => return Err(ReadError::Unmasked),
            (Role::Client, true) => return Err(ReadError::Masked),
            (Role::Server, true) | (Role::Client, false) => {}
        }
        // A length in a longer form than needed is accepted, as by other servers.
        let (len, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk::<2>() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        let (mask, rest) = match rest.split_first_chunk::<4>() {
            _ if !masked => (None, rest),
            Some((mask, rest)) => (Some(*mask), rest),
            None => return Ok(None),
        };
        if kind.is_control() {
            if !fin {
                return Err(ReadError::FragmentedControl);
            }
            if len > MAX_CONTROL as u64 {
                return Err(ReadError::LongControl);
            }
        }
        Ok(Some((Self { kind, fin, compressed, mask, len }, bytes.len() - rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::io::Cursor;
    use tungstenite::protocol::frame::FrameHeader;

    #[test]
    fn headers_read_as_the_oracle_reads_them() {
        // Biased towards the lengths that change the form.
        let second = prop_oneof![any::<u8>(), Just(126), Just(127), Just(254), Just(255)];
        let headers = (any::<u8>(), second, prop::collection::vec(any::<u8>(), 0..16));
        let compare = |(first, second, rest): (u8, u8, Vec<u8>)| {
            let bytes = [&[first, second], &rest[..]].concat();
            let role = if second & 0x80 != 0 { Role::Server } else { Role::Client };
            let mut cursor = Cursor::new(&bytes);
            let expected = FrameHeader::parse(&mut cursor);
            match (Header::parse(&bytes, role, false), expected) {
                (Ok(None), Ok(None)) | (Err(ReadError::ReservedOpcode), Err(_)) => {}
                (Ok(Some((header, start))), Ok(Some((raw, len)))) => {
                    prop_assert_eq!((header.fin, header.mask, header.len), (raw.is_final, raw.mask, len));
                    prop_assert_eq!(u8::from(raw.opcode), first & 0x0f);
                    prop_assert_eq!(start as u64, cursor.position());
                }
                (Err(ReadError::ReservedBits), _) => prop_assert!(first & 0x70 != 0),
                // Judged before the rest of the header has arrived.
                (Err(ReadError::ReservedOpcode), Ok(None)) => {}
                (Err(ReadError::FragmentedControl), Ok(Some((raw, _)))) => prop_assert!(!raw.is_final),
                (Err(ReadError::LongControl), Ok(Some((_, len)))) => prop_assert!(len > 125),
                (ours, theirs) => prop_assert!(false, "{ours:?} for {theirs:?}"),
            }
            Ok(())
        };
        TestRunner::deterministic().run(&headers, compare).unwrap();
    }
}
