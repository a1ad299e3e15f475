//! The frames on the socket: a length in four bytes, most significant first, a kind in one, and the rest by its kind.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;

/// A frame. The first six and the ping are a node's, the others the hub's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Subscribe(String),
    SubscribePattern(String),
    Unsubscribe(String),
    UnsubscribePattern(String),
    Publish { channel: String, payload: Bytes },
    Count { number: u64, channel: String },
    Message { channel: String, payload: Bytes },
    Counted { number: u64, nodes: u32 },
    Ping,
    Pong,
}

/// Adds a frame to bytes that are to be written. False if it is longer than four bytes can say.
pub(crate) fn encode(frame: &Frame, out: &mut BytesMut) -> bool {
    let mut put = |kind: u8, head: &[u8], tail: &[u8]| {
        let Ok(length) = u32::try_from(1 + head.len() + tail.len()) else { return false };
        out.reserve(4 + length as usize);
        out.put_u32(length);
        out.put_u8(kind);
        out.put_slice(head);
        out.put_slice(tail);
        true
    };
    match frame {
        Frame::Subscribe(channel) => put(1, channel.as_bytes(), &[]),
        Frame::SubscribePattern(pattern) => put(2, pattern.as_bytes(), &[]),
        Frame::Unsubscribe(channel) => put(3, channel.as_bytes(), &[]),
        Frame::UnsubscribePattern(pattern) => put(4, pattern.as_bytes(), &[]),
        Frame::Publish { channel, payload } => put(5, &named(channel), payload),
        Frame::Count { number, channel } => put(6, &number.to_be_bytes(), channel.as_bytes()),
        Frame::Message { channel, payload } => put(7, &named(channel), payload),
        Frame::Counted { number, nodes } => put(8, &number.to_be_bytes(), &nodes.to_be_bytes()),
        Frame::Ping => put(9, &[], &[]),
        Frame::Pong => put(10, &[], &[]),
    }
}

/// A channel with its length before it.
fn named(channel: &str) -> Vec<u8> {
    // Names are bounded far below by the node.
    let length = u32::try_from(channel.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), channel.as_bytes()].concat()
}

/// Takes one frame from what was read, if a whole one is there. It is a copy: a slice would hold the whole read buffer, of
/// which a message that waits may be the smallest part.
///
/// # Errors
/// If it is longer than `max` bytes, or no frame.
pub(crate) fn decode(from: &mut BytesMut, max: usize) -> io::Result<Option<Frame>> {
    let Some(length) = from.get(..4) else { return Ok(None) };
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > max {
        return Err(malformed("a frame is longer than `max_message_bytes`"));
    }
    if from.len() < 4 + length {
        return Ok(None);
    }
    from.advance(4);
    let mut frame = from.split_to(length).freeze();
    let kind = frame.try_get_u8().map_err(|_| malformed("a frame has no kind"))?;
    Ok(Some(match kind {
        1 => Frame::Subscribe(text(&frame)?),
        2 => Frame::SubscribePattern(text(&frame)?),
        3 => Frame::Unsubscribe(text(&frame)?),
        4 => Frame::UnsubscribePattern(text(&frame)?),
        5 => {
            let channel = channel(&mut frame)?;
            Frame::Publish { channel, payload: Bytes::copy_from_slice(&frame) }
        }
        6 => Frame::Count { number: number(&mut frame)?, channel: text(&frame)? },
        7 => {
            let channel = channel(&mut frame)?;
            Frame::Message { channel, payload: Bytes::copy_from_slice(&frame) }
        }
        8 => Frame::Counted {
            number: number(&mut frame)?,
            nodes: frame.try_get_u32().map_err(|_| malformed("a frame has no count"))?,
        },
        9 => Frame::Ping,
        10 => Frame::Pong,
        _ => return Err(malformed("a frame is of a kind that is not known")),
    }))
}

fn text(bytes: &[u8]) -> io::Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| malformed("a name is not UTF-8"))
}

fn channel(frame: &mut Bytes) -> io::Result<String> {
    let length = frame.try_get_u32().map_err(|_| malformed("a frame has no channel"))? as usize;
    if length > frame.len() {
        return Err(malformed("a channel is longer than its frame"));
    }
    text(&frame.split_to(length))
}

fn number(frame: &mut Bytes) -> io::Result<u64> {
    frame.try_get_u64().map_err(|_| malformed("a frame has no number"))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Subscribe("a".into()),
            Frame::SubscribePattern("a*".into()),
            Frame::Unsubscribe(String::new()),
            Frame::UnsubscribePattern("ü".into()),
            Frame::Publish { channel: "c".into(), payload: Bytes::from_static(b"\0\xff") },
            Frame::Count { number: u64::MAX, channel: "c".into() },
            Frame::Message { channel: String::new(), payload: Bytes::new() },
            Frame::Counted { number: 1, nodes: 7 },
            Frame::Ping,
            Frame::Pong,
        ]
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut whole = BytesMut::new();
        assert!(frames().iter().all(|frame| encode(frame, &mut whole)));
        let (mut read, mut came) = (BytesMut::new(), Vec::new());
        for byte in whole {
            read.put_u8(byte);
            while let Some(frame) = decode(&mut read, 1000).unwrap() {
                came.push(frame);
            }
        }
        assert_eq!(came, frames());
        assert!(read.is_empty());
    }

    #[test]
    fn broken_frames_are_errors() {
        for broken in [
            &b"\0\0\0\0"[..],
            b"\0\0\0\x01\x0b",
            b"\0\0\0\x02\x01\xff",
            b"\0\0\0\x01\x05",
            b"\0\0\0\x05\x05\0\0\0\x01",
            b"\0\0\0\x01\x06",
            b"\0\0\0\x09\x08\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff",
        ] {
            assert!(decode(&mut BytesMut::from(broken), 1000).is_err(), "{broken:?}");
        }
    }
}
