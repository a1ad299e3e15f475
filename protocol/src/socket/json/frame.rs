//! Socket.IO packets as frames: header, JSON and attachments.

use super::args::Args;
use super::encode::{ArgsEncoder, Draft, EncodeError, ToArgs};
use super::reassembly::Reassembly;
use super::write::{push_string, push_u64};
use crate::message::Frame;
use crate::socket::packet::{Packet, is_namespace, is_reserved};
use alloc::string::ToString;
use alloc::vec::Vec;
use serde_json::value::RawValue;

/// Room for the arguments of an ordinary event.
const INITIAL_CAPACITY: usize = 124;
impl Frame {
    /// An event: `42["name",arguments...]`, with attachments `45N-[...]`.
    ///
    /// With an `ack` id the peer is asked to answer. There is no limit to the attachments here, but peers have
    /// one: the reference takes 10 ([`DEFAULT_MAX_ATTACHMENTS`](crate::socket::packet::DEFAULT_MAX_ATTACHMENTS)).
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the name is reserved, the namespace cannot be written, an argument has no JSON form, or
    /// looks like a placeholder beside real attachments.
    pub fn event<T: ToArgs + ?Sized>(
        namespace: &str,
        event: &str,
        ack: Option<u64>,
        args: &T,
    ) -> Result<Self, EncodeError> {
        if is_reserved(event) {
            return Err(EncodeError::ReservedEvent(event.to_string()));
        }
        Self::with_args(b'2', namespace, ack, Some(event), args)
    }

    /// The answer to the event that came with this `id`: `43id[arguments...]`, with attachments `46N-id[...]`.
    ///
    /// # Errors
    ///
    /// As for [`event`](Self::event).
    pub fn ack<T: ToArgs + ?Sized>(namespace: &str, id: u64, args: &T) -> Result<Self, EncodeError> {
        Self::with_args(b'3', namespace, Some(id), None, args)
    }

    /// A client's CONNECT: `40`, or `40/chat,{"token":"..."}` with `auth`, which must be the JSON of an object.
    pub fn join(namespace: &str, auth: Option<&[u8]>) -> Self {
        let auth = auth.unwrap_or_default();
        let mut text = header(b'0', namespace, auth.len());
        text.extend_from_slice(auth);
        Self::from_text(text)
    }

    /// A server's consent to a CONNECT: `40{"sid":"..."}`. The namespace is the one that the peer asked for.
    pub fn connect(namespace: &str, sid: &str) -> Self {
        let mut text = header(b'0', namespace, sid.len().saturating_add(11));
        text.extend_from_slice(b"{\"sid\":");
        push_string(&mut text, sid);
        text.push(b'}');
        Self::from_text(text)
    }

    /// A server's refusal of a CONNECT: `44{"message":"...","data":...}`.
    ///
    /// `data` is JSON; if it is none, it is sent as a string. Without it there is no such member.
    pub fn connect_error(namespace: &str, message: &str, data: Option<&str>) -> Self {
        let mut text = header(b'4', namespace, INITIAL_CAPACITY);
        text.extend_from_slice(b"{\"message\":");
        push_string(&mut text, message);
        if let Some(data) = data {
            text.extend_from_slice(b",\"data\":");
            match serde_json::from_str::<&RawValue>(data) {
                Ok(json) => text.extend_from_slice(json.get().as_bytes()),
                Err(_) => push_string(&mut text, data),
            }
        }
        text.push(b'}');
        Self::from_text(text)
    }

    /// Leaves a namespace, or makes the peer leave it: `41` or `41/chat,`.
    pub fn disconnect(namespace: &str) -> Self {
        Self::from_text(header(b'1', namespace, 0))
    }

    /// The event that it is, as its receiver gets it: for who wants to see what leaves. `None` for anything else.
    ///
    /// ```
    /// use sansocket_protocol::message::Frame;
    ///
    /// let event = Frame::event("/chat", "said", Some(4), &("ada", "hello"))?.to_event().unwrap();
    /// assert_eq!(event.event().unwrap(), "said");
    /// assert_eq!(event.decode::<(String, String)>().unwrap().1, "hello");
    /// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
    /// ```
    pub fn to_event(&self) -> Option<Args> {
        let text = self.text()?;
        let (b"4", b'2' | b'5') = (text.get(..1)?, text.get(1)?) else { return None };
        // It was written here, so no limit for what comes from outside is meant for it.
        let packet = Packet::decode(text.slice(1..), usize::MAX).ok()?;
        let mut reassembly = Reassembly::new();
        let mut whole = reassembly.start(packet, usize::MAX).ok()?;
        for attachment in self.attachments() {
            whole = reassembly.push(attachment.clone()).ok()?;
        }
        whole.map(Packet::into_args)
    }

    fn with_args<T: ToArgs + ?Sized>(
        digit: u8,
        namespace: &str,
        id: Option<u64>,
        event: Option<&str>,
        args: &T,
    ) -> Result<Self, EncodeError> {
        if !namespace.is_empty() && !is_namespace(namespace) {
            return Err(EncodeError::Namespace(namespace.to_string()));
        }
        let json_len = match args.json_len() {
            // Bytes that are allocated at their exact size need nothing beside them.
            Some(list) => {
                let name = event.map_or(0, |event| event.len().saturating_add(2));
                let comma = usize::from(event.is_some() && list > 0);
                let digits =
                    id.map_or(0, |id| id.checked_ilog10().map_or(1, |log| (log as usize).saturating_add(1)));
                // The `2` are the brackets.
                [digits, name, comma, list].into_iter().fold(2, usize::saturating_add)
            }
            None => INITIAL_CAPACITY,
        };
        let mut message = Draft::new(header(digit, namespace, json_len));
        if let Some(id) = id {
            push_u64(&mut message.text, id);
        }
        message.array = message.text.len();
        message.text.push(b'[');
        if let Some(event) = event {
            push_string(&mut message.text, event);
        }
        args.to_args(&mut ArgsEncoder(&mut message))?;
        message.text.push(b']');
        message.check_lookalikes()?;

        let Draft { mut text, attachments, .. } = message;
        if attachments.is_empty() {
            return Ok(Self::from_text(text));
        }
        // Only now is it known to be a binary packet: 2 becomes 5, 3 becomes 6, and the count comes in between.
        let count = attachments.len().to_string();
        text.splice(1..2, [digit.saturating_add(3)].into_iter().chain(count.bytes()).chain([b'-']));
        Ok(Self::from_parts(text, attachments))
    }
}

/// The engine's digit, the packet's digit and the namespace, with room for what comes behind.
fn header(digit: u8, namespace: &str, behind: usize) -> Vec<u8> {
    let named = !matches!(namespace, "" | "/");
    let mut text =
        Vec::with_capacity(if named { namespace.len().saturating_add(3) } else { 2 }.saturating_add(behind));
    text.extend_from_slice(&[b'4', digit]);
    if named {
        text.extend_from_slice(namespace.as_bytes());
        text.push(b',');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::MOST_SPARE;
    use bytes::Bytes;

    #[test]
    fn an_event_is_seen_as_its_receiver_gets_it() {
        let picture = Bytes::from_static(&[1, 2, 3]);
        for namespace in ["/", "/chat"] {
            for ack in [None, Some(0), Some(1 << 40)] {
                let frame = Frame::event(namespace, "said", ack, &("a", &picture, 1)).unwrap();
                let event = frame.to_event().unwrap();
                assert_eq!(event.event().as_deref(), Some("said"));
                assert_eq!(event.decode::<(alloc::string::String, Bytes, u8)>().unwrap().1, picture);
            }
        }
        assert_eq!(Frame::event("/", "bare", None, &()).unwrap().to_event().unwrap().len(), 0);
    }

    #[test]
    fn a_large_message_holds_no_more_than_its_text() {
        for bytes in [10_000, 70_000, 1_000_000] {
            let word = "x".repeat(bytes / 100);
            let words: Vec<&str> = core::iter::repeat_n(&*word, 100).collect();
            let held = allocation_counter::measure(|| {
                let frame = Frame::event("/", "e", None, &words).unwrap();
                assert!(frame.wire_len() >= bytes && frame.wire_len() < bytes + 1000);
                core::mem::forget(frame);
            });
            assert!(held.bytes_current as usize <= bytes + 1000 + MOST_SPARE, "{held:?}");
        }
    }

    #[test]
    fn what_is_no_event_is_seen_as_none() {
        for frame in [
            Frame::ack("/", 7, &"done").unwrap(),
            Frame::ack("/", 7, &Bytes::from_static(b"done")).unwrap(),
            Frame::connect("/", "id"),
            Frame::connect_error("/", "no", None),
            Frame::disconnect("/chat"),
            Frame::text_message("2[\"like one\"]x"),
            Frame::binary_message(Bytes::from_static(b"42[\"raw\"]")),
            Frame::text_message(""),
        ] {
            assert!(frame.to_event().is_none(), "{frame:?}");
        }
    }
}
