//! The form of a session's packets on the wire: that of its revision, and of a client that takes no bytes or polls by
//! scripts. What is queued has the same form for all of them, so that a broadcast is encoded once for clients of every
//! revision; what differs is written around it here.

use super::Outgoing;
use super::channel::Channel;
use crate::engine::packet::{EnginePacket, EnginePacketError};
use crate::engine::payload::{self, jsonp, v3};
use crate::engine::request::{Query, Response};
use crate::engine::revision::Revision;
use crate::engine::server::ServerTransmit;
use crate::message::WireMessage;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

/// The form of a session's packets on the wire.
#[derive(Debug)]
pub(super) struct Form {
    revision: Revision,
    /// The client takes no bytes on the transport in use. Long-polling of revision 4 knows nothing but base64 anyway.
    base64: bool,
    /// The client polls by scripts.
    jsonp: Option<Box<jsonp::Callback>>,
}

/// The packets of a POST's body.
#[derive(Debug)]
pub(crate) enum Packets {
    V4(payload::PayloadDecoder),
    V3(v3::PayloadDecoder),
    /// A form without the field that has them.
    None,
}

impl Iterator for Packets {
    type Item = Result<EnginePacket, EnginePacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::V4(packets) => packets.next(),
            Self::V3(packets) => packets.next(),
            Self::None => None,
        }
    }
}

/// The form of what a client sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    revision: Revision,
    /// Bodies are forms, which scripts have posted.
    is_jsonp: bool,
    /// The body is one of bytes.
    is_binary: bool,
}

impl Incoming {
    /// That of a client of the latest revision, and of a server of that revision.
    pub(crate) const V4: Self = Self { revision: Revision::V4, is_jsonp: false, is_binary: false };

    /// The packet that a channel's message is; `None` if it is none, and to be ignored.
    #[inline(always)]
    pub(crate) fn decode(self, message: WireMessage) -> Option<Result<EnginePacket, EnginePacketError>> {
        match (self.revision, message) {
            (Revision::V4, WireMessage::Text(text)) => Some(EnginePacket::decode(text)),
            (Revision::V4, message @ WireMessage::Binary(_)) => Some(Ok(EnginePacket::Message(message))),
            (Revision::V3, WireMessage::Text(text)) => Some(EnginePacket::decode_v3(text)),
            (Revision::V3, WireMessage::Binary(data)) => EnginePacket::decode_v3_binary(data).map(Ok),
        }
    }

    /// The packets of a POST's body.
    pub(crate) fn packets(self, body: Bytes) -> Packets {
        let body = match self.is_jsonp {
            true if core::str::from_utf8(&body).is_err() => body,
            true => match jsonp::posted(&body) {
                Some(payload) => payload,
                None => return Packets::None,
            },
            false => body,
        };
        match self.revision {
            Revision::V4 => Packets::V4(payload::PayloadDecoder::new(body)),
            Revision::V3 => {
                let is_text = !self.is_binary || self.is_jsonp;
                let form = if is_text { v3::Form::Text } else { v3::Form::Binary };
                Packets::V3(v3::PayloadDecoder::new(form, body))
            }
        }
    }
}

impl Form {
    pub(super) const fn new(revision: Revision) -> Self {
        Self { revision, base64: false, jsonp: None }
    }

    pub(super) const fn revision(&self) -> Revision {
        self.revision
    }

    /// The form of what the client sends, in a body of text or of bytes.
    #[inline]
    pub(super) const fn incoming(&self, is_binary: bool) -> Incoming {
        Incoming { revision: self.revision, is_jsonp: self.jsonp.is_some(), is_binary }
    }

    /// The session begins by polling: the parameters of its first request hold for all its polls.
    pub(super) fn begin_polling(&mut self, query: &Query<'_>) {
        self.base64 = query.base64;
        self.jsonp = query.jsonp.as_deref().map(|number| Box::new(jsonp::Callback::new(number)));
    }

    /// The session is on a channel now, whose request said whether it takes bytes.
    pub(super) fn begin_channel(&mut self, base64: bool) {
        self.base64 = base64;
        self.jsonp = None;
    }

    /// The text of a heartbeat packet: the server asks in revision 4, and answers in revision 3.
    pub(super) const fn heartbeat(&self) -> &'static [u8] {
        match self.revision {
            Revision::V4 => b"2",
            Revision::V3 => b"3",
        }
    }

    // --- channels -----------------------------------------------------------------------------------------------

    /// Writes one message to a channel.
    #[inline(always)]
    pub(super) fn write(&self, channel: Channel, message: WireMessage, compress: bool) -> ServerTransmit {
        match message {
            WireMessage::Binary(data) if self.base64 => {
                let prefix: &[u8] = if self.revision == Revision::V4 { b"b" } else { b"b4" };
                let mut text = Vec::with_capacity(payload::binary_len(&data).saturating_add(prefix.len()));
                text.extend_from_slice(prefix);
                payload::push_base64(&mut text, &data);
                channel.write(WireMessage::Text(text.into()), compress)
            }
            WireMessage::Binary(data) if self.revision == Revision::V3 => channel.write_typed(data, compress),
            message => channel.write(message, compress),
        }
    }

    // --- long-polling -------------------------------------------------------------------------------------------

    /// The bytes that an item adds to the answer to a poll, at most.
    pub(super) fn len_of(&self, item: &Outgoing) -> usize {
        let (bytes, is_binary) = match item.content() {
            Some((bytes, is_binary)) => (&bytes[..], is_binary),
            None if matches!(item, Outgoing::AsIs) => return 0,
            None => (self.heartbeat(), false),
        };
        match (self.revision, is_binary) {
            (Revision::V4, false) => payload::text_len(bytes),
            (Revision::V4, true) => payload::binary_len(bytes),
            (Revision::V3, false) => v3::text_len(bytes),
            (Revision::V3, true) => {
                v3::binary_len(if self.takes_bytes() { v3::Form::Binary } else { v3::Form::Text }, bytes)
            }
        }
    }

    /// Returns whether a poll's answer with that item in it is bytes. Text beyond ASCII makes it so, too: the clients
    /// of Socket.IO 1.x read it right as bytes only.
    pub(super) fn makes_bytes(&self, item: &Outgoing) -> bool {
        self.revision == Revision::V3
            && self.takes_bytes()
            && item.content().is_some_and(|(bytes, is_binary)| is_binary || !bytes.is_ascii())
    }

    /// A payload with capacity for that many bytes.
    pub(super) fn payload(&self, form: v3::Form, bytes: usize) -> Payload {
        match self.revision {
            // No separator stands in front of the first packet.
            Revision::V4 => Payload::V4(payload::PayloadEncoder::with_capacity(bytes.saturating_sub(1))),
            Revision::V3 => Payload::V3(v3::PayloadEncoder::with_capacity(form, bytes)),
        }
    }

    /// The answer to a poll with a payload.
    pub(super) fn respond(&self, form: v3::Form, payload: Bytes) -> Response {
        match (&self.jsonp, form) {
            (Some(callback), _) => Response::poll(callback.call(&payload)),
            (None, v3::Form::Text) => Response::poll(payload),
            (None, v3::Form::Binary) => Response::binary_poll(payload),
        }
    }

    /// The answer to a poll with these packets, which are text and not queued.
    pub(super) fn answer(&self, packets: &[&'static [u8]]) -> Response {
        let form = v3::Form::Text;
        if let (Revision::V4, [packet]) = (self.revision, packets) {
            return self.respond(form, Bytes::from_static(packet));
        }
        let bytes = packets.iter().map(|packet| v3::text_len(packet)).sum();
        let mut payload = self.payload(form, bytes);
        packets.iter().for_each(|packet| payload.text(packet));
        self.respond(form, payload.finish())
    }

    /// Returns whether the client takes bytes as an answer to a poll of revision 3. A script is none.
    const fn takes_bytes(&self) -> bool {
        !self.base64 && self.jsonp.is_none()
    }
}

/// A payload that is being written.
pub(super) enum Payload {
    V4(payload::PayloadEncoder),
    V3(v3::PayloadEncoder),
}

impl Payload {
    pub(super) fn text(&mut self, packet: &[u8]) {
        match self {
            Self::V4(payload) => payload.text(packet),
            Self::V3(payload) => payload.text(packet),
        }
    }

    pub(super) fn binary(&mut self, data: &[u8]) {
        match self {
            Self::V4(payload) => payload.binary(data),
            Self::V3(payload) => payload.binary(data),
        }
    }

    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::V4(payload) => payload.finish(),
            Self::V3(payload) => payload.finish(),
        }
    }
}
