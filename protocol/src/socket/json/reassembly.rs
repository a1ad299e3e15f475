//! Putting binary packets together: the text that announces attachments, then the attachments.

use crate::attachments::Attachments;
use crate::socket::{Packet, PacketError};
use alloc::boxed::Box;
use bytes::Bytes;
use core::mem;

/// A binary packet that waits for its attachments. One per connection: its frames come directly behind its text.
///
/// The protocol has no time limit for the rest of a packet, so what waits here is bounded in number (by
/// [`Parser::decode`](crate::socket::Parser::decode)) and in bytes (by [`start`](Self::start)).
///
/// ```
/// use bytes::Bytes;
/// use sansocket_protocol::socket::{Parser, Reassembly};
///
/// let text = Bytes::from_static(br#"51-["pic",{"_placeholder":true,"num":0}]"#);
/// let mut reassembly = Reassembly::new();
/// assert!(reassembly.start(Parser::json().decode(text)?, 10_000_000, 1_000_000)?.is_none());
///
/// let packet = reassembly.push(Bytes::from_static(&[1, 2, 3]))?.expect("that was the last attachment");
/// let (picture,): (Bytes,) = packet.into_args().decode().unwrap();
/// assert_eq!(picture, [1, 2, 3][..]);
/// # Ok::<(), sansocket_protocol::socket::PacketError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    /// Most connections never have a binary packet: those that had one keep the box for the next.
    pending: Option<Box<Pending>>,
}

#[derive(Clone, Debug, Default)]
struct Pending {
    /// `None` if nothing waits.
    packet: Option<Packet>,
    attachments: Attachments,
    bytes: usize,
    max_bytes: usize,
    max_message: usize,
}

impl Reassembly {
    /// One that waits for nothing.
    pub const fn new() -> Self {
        Self { pending: None }
    }

    /// Takes a packet that was just decoded. Gives it back at once if it has no attachments.
    ///
    /// `max_bytes` bounds the sum of its attachments. Several placeholders may name one attachment, which the
    /// application gets once for each when it decodes: what they stand for together may be as much as the attachments
    /// that have come, or `max_message`, the size of the largest message, if that is more.
    ///
    /// # Errors
    ///
    /// [`PacketError::TextWhileWaiting`] if the packet before it is not complete. Both are dropped then.
    pub fn start(
        &mut self,
        packet: Packet,
        max_bytes: usize,
        max_message: usize,
    ) -> Result<Option<Packet>, PacketError> {
        if self.is_waiting() {
            let missing = self.pending.take().map_or(0, |pending| pending.missing());
            return Err(PacketError::TextWhileWaiting { missing });
        }
        if packet.attachments() == 0 {
            return Ok(Some(packet));
        }
        let pending = self.pending.get_or_insert_default();
        **pending = Pending {
            packet: Some(packet),
            attachments: Attachments::default(),
            bytes: 0,
            max_bytes,
            max_message,
        };
        Ok(None)
    }

    /// Takes a binary frame. Gives the packet back when it was the last one.
    ///
    /// # Errors
    ///
    /// [`PacketError::UnexpectedBinary`] if no packet waits, [`PacketError::AttachmentsTooLarge`] or
    /// [`PacketError::ReferencesTooLarge`] if a limit is passed. The packet is dropped then.
    pub fn push(&mut self, attachment: Bytes) -> Result<Option<Packet>, PacketError> {
        let pending = self.pending.as_mut().ok_or(PacketError::UnexpectedBinary)?;
        let mut packet = pending.packet.take().ok_or(PacketError::UnexpectedBinary)?;
        pending.bytes = pending.bytes.saturating_add(attachment.len());
        if pending.bytes > pending.max_bytes {
            let max = pending.max_bytes;
            self.pending = None;
            return Err(PacketError::AttachmentsTooLarge { max });
        }
        pending.attachments.push(attachment);
        if pending.attachments.len() < packet.attachments() {
            pending.packet = Some(packet);
            return Ok(None);
        }
        let attachments = mem::take(&mut pending.attachments);
        let max = pending.bytes.max(pending.max_message);
        if packet.referenced(attachments.as_slice()).is_some_and(|referenced| referenced > max) {
            return Err(PacketError::ReferencesTooLarge { max });
        }
        packet.attach(attachments);
        Ok(Some(packet))
    }

    /// Returns whether the next frame must be an attachment.
    pub fn is_waiting(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.packet.is_some())
    }

    /// The bytes that are held: the text and the attachments so far.
    pub fn wire_len(&self) -> usize {
        let waiting =
            self.pending.as_ref().and_then(|pending| Some((pending.packet.as_ref()?, pending.bytes)));
        waiting.map_or(0, |(packet, bytes)| packet.wire_len().saturating_add(bytes))
    }
}

impl Pending {
    fn missing(&self) -> usize {
        let announced = self.packet.as_ref().map_or(0, Packet::attachments);
        announced.saturating_sub(self.attachments.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::parser::Parser;

    fn packet(text: &'static str) -> Packet {
        Parser::json().decode(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_packet_without_attachments_does_not_wait() {
        let mut reassembly = Reassembly::new();
        assert!(reassembly.start(packet(r#"2["e"]"#), 0, 0).unwrap().is_some());
        assert!(!reassembly.is_waiting());
    }

    #[test]
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut reassembly = Reassembly::new();
        assert!(reassembly.start(packet(r#"52-["e"]"#), 10, 0).unwrap().is_none());
        assert!(reassembly.push(Bytes::from_static(b"one")).unwrap().is_none());
        assert!(reassembly.is_waiting());
        assert_eq!(reassembly.wire_len(), 8 + 3);
        let packet = reassembly.push(Bytes::from_static(b"two")).unwrap().unwrap();
        assert!(!reassembly.is_waiting());
        assert_eq!(packet.wire_len(), 8 + 6);
        assert_eq!(packet.into_args().attachments(), [&b"one"[..], b"two"]);
    }

    #[test]
    fn a_text_while_waiting_is_an_error() {
        let mut reassembly = Reassembly::new();
        reassembly.start(packet(r#"52-["e"]"#), 10, 0).unwrap();
        reassembly.push(Bytes::new()).unwrap();
        let error = reassembly.start(packet(r#"2["e"]"#), 10, 0).unwrap_err();
        assert_eq!(error, PacketError::TextWhileWaiting { missing: 1 });
        assert!(!reassembly.is_waiting());
    }

    #[test]
    fn a_binary_frame_that_nobody_announced_is_an_error() {
        assert_eq!(Reassembly::new().push(Bytes::new()).unwrap_err(), PacketError::UnexpectedBinary);
    }

    #[test]
    fn attachments_are_bounded_in_bytes_together() {
        let mut reassembly = Reassembly::new();
        reassembly.start(packet(r#"52-["e"]"#), 5, 0).unwrap();
        reassembly.push(Bytes::from_static(b"123")).unwrap();
        let error = reassembly.push(Bytes::from_static(b"456")).unwrap_err();
        assert_eq!(error, PacketError::AttachmentsTooLarge { max: 5 });
        assert!(!reassembly.is_waiting());
    }

    #[test]
    fn what_is_named_more_than_once_is_bounded_by_what_has_come_or_by_one_message() {
        let text = r#"52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        let received = |small: &'static [u8], large: &'static [u8], max_message| {
            let mut reassembly = Reassembly::new();
            reassembly.start(packet(text), 100, max_message).unwrap();
            reassembly.push(Bytes::from_static(small)).unwrap();
            reassembly.push(Bytes::from_static(large)).map(|packet| packet.is_some())
        };
        assert_eq!(received(b"1234", b"", 8), Ok(true));
        assert_eq!(received(b"1234", b"", 7), Err(PacketError::ReferencesTooLarge { max: 7 }));
        assert_eq!(received(b"", b"12345678", 0), Ok(true));
        assert_eq!(received(b"1", b"12345678", 0), Err(PacketError::ReferencesTooLarge { max: 9 }));
    }
}
