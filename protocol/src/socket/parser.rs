//! The parser: the value through which every frame is made and every message is read.

use crate::message::{Frame, WireMessage};
use crate::socket::custom::{self, CustomParser};
use crate::socket::json;
use crate::socket::json::args::Args;
use crate::socket::json::data::PacketData;
use crate::socket::json::encode::{EncodeError, ToArgs};
use crate::socket::msgpack;
use crate::socket::packet::{DEFAULT_MAX_ATTACHMENTS, Packet, PacketError};
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;

/// The most levels of lists and objects inside each other, unless the application says otherwise. Python's parser ends
/// the connection at about 990, the reference's client between 4,000 and 6,000.
pub const DEFAULT_MAX_DEPTH: usize = 500;
/// The most characters of a number, unless the application says otherwise. The longest double that is written
/// out has 326; Python refuses an integer of more than 4,300.
pub const DEFAULT_MAX_NUMBER: usize = 400;
/// The most arguments of an event or an acknowledgement, unless the application says otherwise.
pub const DEFAULT_MAX_ARGUMENTS: usize = 1000;

/// A parser of packets, and the limits of what they may hold. Both ends of a connection use the same.
///
/// The limits hold for what is received and for what is sent: what a server passes on from one client must not make
/// another one disconnect, and some peers end without a word for what is too deep or too long for them.
///
/// ```
/// use sansocket_protocol::socket::Parser;
///
/// let parser = Parser::json();
/// let frame = parser.event("/chat", "said", Some(7), &("ada", 3))?;
/// assert_eq!(frame.text().unwrap(), r#"42/chat,7["said","ada",3]"#);
///
/// // The other end. The engine has taken its type digit away.
/// let packet = parser.decode(frame.text().unwrap().slice(1..))?;
/// assert_eq!((packet.namespace(), packet.id()), ("/chat", Some(7)));
/// let args = packet.into_args();
/// assert_eq!(args.event().as_deref(), Some("said"));
/// assert_eq!(args.decode::<(String, u32)>()?, ("ada".to_string(), 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | parser | packets | bytes |
/// |---|---|---|
/// | [`Parser::json`], the default | text, [JSON](https://github.com/socketio/socket.io-protocol) | attachments: binary messages behind it |
/// | [`Parser::msgpack`] | one binary message, MessagePack | inside of it |
/// | [`Parser::custom`] | one message, in a format of your own | inside of it |
///
/// Nothing on the wire says which it is. A peer with another one sends what cannot be read, and its connection is
/// closed with a [`PacketError`] that says so.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parser {
    kind: Kind,
    custom: Option<Custom>,
    /// The most attachments of a received packet, where bytes are attachments. Default 10, as in the reference: each costs up to
    /// `max_payload` of memory until the packet is whole.
    pub max_attachments: Limit,
    /// The most attachments of a packet that is sent. Default 10, because the peers take no more. Raise it where
    /// all of them do.
    pub max_sent_attachments: Limit,
    /// The most levels of lists and objects inside each other, the list of the arguments included. Default
    /// [`DEFAULT_MAX_DEPTH`].
    pub max_depth: Limit,
    /// The most characters of a number. Default [`DEFAULT_MAX_NUMBER`].
    pub max_number: Limit,
    /// The most arguments of an event or an acknowledgement. Default [`DEFAULT_MAX_ARGUMENTS`].
    pub max_arguments: Limit,
}

/// A limit of a [`Parser`]: a number in 16 bits, because parsers are copied often.
///
/// ```
/// use sansocket_protocol::socket::{Limit, Parser};
///
/// let mut parser = Parser::json();
/// assert_eq!(parser.max_attachments.get(), 10);
/// parser.max_attachments = Limit::new(100_000);
/// assert_eq!(parser.max_attachments, Limit::NONE);
/// assert_eq!(parser.max_attachments.get(), usize::MAX);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit(u16);

impl Limit {
    /// No limit.
    pub const NONE: Self = Self(u16::MAX);

    /// At most `max`. 65,535 and more are no limit.
    pub const fn new(max: usize) -> Self {
        if max < u16::MAX as usize { Self(max as u16) } else { Self::NONE }
    }

    /// The most that is allowed: `usize::MAX` if there is no limit.
    #[inline]
    pub const fn get(self) -> usize {
        if self.0 == u16::MAX { usize::MAX } else { self.0 as usize }
    }
}

impl From<usize> for Limit {
    fn from(max: usize) -> Self {
        Self::new(max)
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE { f.write_str("none") } else { self.0.fmt(f) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    MessagePack,
    Custom,
}

/// A parser of the application's. One pointer and not two, for the size of [`Parser`].
#[derive(Clone, Copy)]
struct Custom(&'static Held);

struct Held(Box<dyn CustomParser>);

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

impl Eq for Custom {}

/// The format of packets.
#[derive(Clone, Copy)]
enum Format {
    Json,
    MessagePack,
    Custom(&'static dyn CustomParser),
}

/// One message of an Engine.IO session, by the part that it has in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A packet, for [`Parser::decode`].
    Packet(Bytes),
    /// An attachment of the packet before it, for [`Reassembly::push`](crate::socket::Reassembly::push).
    Attachment(Bytes),
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("name", &self.name())
            .field("max_attachments", &self.max_attachments)
            .field("max_sent_attachments", &self.max_sent_attachments)
            .field("max_depth", &self.max_depth)
            .field("max_number", &self.max_number)
            .field("max_arguments", &self.max_arguments)
            .finish()
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::json()
    }
}

impl Parser {
    /// The default parser of Socket.IO: packets are text, their arguments JSON, and bytes are attachments, which follow
    /// as binary messages.
    pub const fn json() -> Self {
        Self {
            kind: Kind::Json,
            custom: None,
            max_attachments: Limit::new(DEFAULT_MAX_ATTACHMENTS),
            max_sent_attachments: Limit::new(DEFAULT_MAX_ATTACHMENTS),
            max_depth: Limit::new(DEFAULT_MAX_DEPTH),
            max_number: Limit::new(DEFAULT_MAX_NUMBER),
            max_arguments: Limit::new(DEFAULT_MAX_ARGUMENTS),
        }
    }

    /// The MessagePack parser: each packet is one binary message, and bytes stand inside of it, as in npm's
    /// `socket.io-msgpack-parser` and Python's `serializer="msgpack"`. Limits on attachments and on the characters of
    /// numbers mean nothing here.
    ///
    /// ```
    /// use sansocket_protocol::socket::Parser;
    ///
    /// let parser = Parser::msgpack();
    /// let frame = parser.event("/", "hello", None, &1)?;
    /// assert_eq!(frame.text(), None);
    /// let message = frame.attachments()[0].clone();
    /// assert_eq!(message, b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa5hello\x01"[..]);
    /// assert_eq!(parser.decode(message)?.into_args().decode::<u8>()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn msgpack() -> Self {
        Self { kind: Kind::MessagePack, ..Self::json() }
    }

    /// A parser of your own: see [`CustomParser`]. It is kept as long as the program runs, so make it once.
    pub fn custom(parser: impl CustomParser + 'static) -> Self {
        let parser: &'static Held = Box::leak(Box::new(Held(Box::new(parser))));
        Self { kind: Kind::Custom, custom: Some(Custom(parser)), ..Self::json() }
    }

    /// One that takes everything: for what was written here.
    pub(in crate::socket) const UNLIMITED: Self = Self {
        max_attachments: Limit::NONE,
        max_sent_attachments: Limit::NONE,
        max_depth: Limit::NONE,
        max_number: Limit::NONE,
        max_arguments: Limit::NONE,
        ..Self::json()
    };

    /// Returns whether it is the application's.
    #[inline]
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.kind, Kind::Custom)
    }

    /// Returns whether packets are JSON text.
    #[inline]
    #[cfg(any(feature = "cluster", feature = "record"))]
    pub fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json)
    }

    #[cfg(feature = "record")]
    pub(crate) fn is_msgpack(&self) -> bool {
        matches!(self.kind, Kind::MessagePack)
    }

    #[inline]
    fn format(&self) -> Format {
        match (self.kind, self.custom) {
            (Kind::Json, _) => Format::Json,
            (_, Some(custom)) => Format::Custom(&*custom.0.0),
            (_, None) => Format::MessagePack,
        }
    }

    /// Its name, for logs: `json`, `msgpack`, or that of a [`CustomParser`].
    pub fn name(&self) -> &'static str {
        match self.format() {
            Format::Json => "json",
            Format::MessagePack => "msgpack",
            Format::Custom(custom) => custom.name(),
        }
    }

    /// Sets [`Parser::max_attachments`].
    #[must_use]
    pub const fn max_attachments(mut self, attachments: usize) -> Self {
        self.max_attachments = Limit::new(attachments);
        self
    }

    /// Sets [`Parser::max_sent_attachments`].
    #[must_use]
    pub const fn max_sent_attachments(mut self, attachments: usize) -> Self {
        self.max_sent_attachments = Limit::new(attachments);
        self
    }

    /// Sets [`Parser::max_depth`].
    #[must_use]
    pub const fn max_depth(mut self, levels: usize) -> Self {
        self.max_depth = Limit::new(levels);
        self
    }

    /// Sets [`Parser::max_number`].
    #[must_use]
    pub const fn max_number(mut self, characters: usize) -> Self {
        self.max_number = Limit::new(characters);
        self
    }

    /// Sets [`Parser::max_arguments`].
    #[must_use]
    pub const fn max_arguments(mut self, arguments: usize) -> Self {
        self.max_arguments = Limit::new(arguments);
        self
    }

    // --- reading ----------------------------------------------------------------------------------------------

    /// The part that a message of the session has in a packet.
    ///
    /// # Errors
    ///
    /// [`PacketError::UnexpectedText`] or [`PacketError::UnexpectedBinary`] if the parser has no messages of that kind.
    #[inline]
    pub fn part(&self, message: WireMessage) -> Result<Part, PacketError> {
        if self.kind == Kind::Json {
            return Ok(match message {
                WireMessage::Text(text) => Part::Packet(text),
                WireMessage::Binary(data) => Part::Attachment(data),
            });
        }
        let is_text = matches!(self.format(), Format::Custom(custom) if custom.is_text());
        match (is_text, message) {
            (true, WireMessage::Text(packet)) | (false, WireMessage::Binary(packet)) => {
                Ok(Part::Packet(packet))
            }
            (true, WireMessage::Binary(_)) => Err(PacketError::UnexpectedBinary),
            (false, WireMessage::Text(_)) => Err(PacketError::UnexpectedText),
        }
    }

    /// Reads a packet: the whole of an Engine.IO message (without the engine's `4`).
    ///
    /// The bytes are checked here, text to be UTF-8, JSON to be valid, all of it to be of the shape that the type asks
    /// for and within the limits. No length that a message states is believed, and nothing is allocated for it. A packet with attachments is checked as strictly, before any of them has come.
    ///
    /// The cost is one pass over the bytes. Nothing is allocated for a packet without attachments that nests at most
    /// 64 levels deep.
    ///
    /// # Errors
    ///
    /// A [`PacketError`] for everything that is not a Socket.IO packet.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use sansocket_protocol::socket::{PacketError, PacketType, Parser};
    ///
    /// let packet = Parser::json().decode(Bytes::from_static(b"2/chat,12[\"said\",\"hi\"]"))?;
    /// assert_eq!(packet.kind(), PacketType::Event);
    /// assert_eq!(packet.namespace(), "/chat");
    /// assert_eq!(packet.id(), Some(12));
    ///
    /// let error = Parser::json().decode(Bytes::from_static(b"2[\"connect\"]")).unwrap_err();
    /// assert_eq!(error, PacketError::ReservedEvent("connect".to_string()));
    /// # Ok::<(), PacketError>(())
    /// ```
    #[inline]
    pub fn decode(&self, packet: Bytes) -> Result<Packet, PacketError> {
        match self.format() {
            Format::Json => json::packet::decode(self, packet),
            Format::MessagePack => msgpack::packet::decode(self, packet),
            Format::Custom(custom) => custom::decode(self, custom, &packet),
        }
    }

    /// The event that a frame is, as its receiver gets it: for a look at what leaves. `None` for anything else.
    ///
    /// ```
    /// use sansocket_protocol::socket::Parser;
    ///
    /// let parser = Parser::json();
    /// let frame = parser.event("/chat", "said", Some(4), &("ada", "hello"))?;
    /// let event = parser.event_of(&frame).unwrap();
    /// assert_eq!(event.event().unwrap(), "said");
    /// assert_eq!(event.decode::<(String, String)>().unwrap().1, "hello");
    /// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
    /// ```
    pub fn event_of(&self, frame: &Frame) -> Option<Args> {
        match self.format() {
            Format::Json => json::frame::event_of(frame),
            Format::MessagePack => msgpack::frame::event_of(frame),
            Format::Custom(custom) => custom::event_of(custom, frame),
        }
    }

    // --- writing ----------------------------------------------------------------------------------------------

    /// An event. With an `ack` id the peer is asked to answer.
    ///
    /// As JSON: `42["name",arguments...]`, with attachments `45N-[...]`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the name is reserved, the namespace cannot be written, or an argument cannot: it has no such
    /// form, is beyond a limit, or looks like a placeholder beside real attachments.
    #[inline]
    pub fn event<T: ToArgs + ?Sized>(
        &self,
        namespace: &str,
        event: &str,
        ack: Option<u64>,
        args: &T,
    ) -> Result<Frame, EncodeError> {
        match self.kind {
            Kind::Json => json::frame::event(self, namespace, event, ack, args),
            _ => self.packed(namespace, Some(event), ack, args),
        }
    }

    /// An event, or an answer, that is not JSON. Apart from JSON, which most applications use.
    #[inline(never)]
    fn packed<T: ToArgs + ?Sized>(
        &self,
        namespace: &str,
        event: Option<&str>,
        id: Option<u64>,
        args: &T,
    ) -> Result<Frame, EncodeError> {
        let packet = msgpack::frame::with_args(self, namespace, event, id, args)?;
        match self.format() {
            Format::Custom(custom) => custom::frame(custom, packet),
            Format::MessagePack | Format::Json => Ok(Frame::from_binary(packet)),
        }
    }

    /// The answer to the event that came with this `id`. As JSON: `43id[arguments...]`, with attachments
    /// `46N-id[...]`.
    ///
    /// # Errors
    ///
    /// As for [`event`](Self::event).
    #[inline]
    pub fn ack<T: ToArgs + ?Sized>(&self, namespace: &str, id: u64, args: &T) -> Result<Frame, EncodeError> {
        match self.kind {
            Kind::Json => json::frame::ack(self, namespace, id, args),
            _ => self.packed(namespace, None, Some(id), args),
        }
    }

    /// A client's CONNECT. `auth` must be an object. As JSON: `40`, or `40/chat,{"token":"..."}`.
    pub fn join(&self, namespace: &str, auth: Option<&PacketData>) -> Frame {
        match self.format() {
            Format::Json => json::frame::join(namespace, auth),
            Format::MessagePack => Frame::from_binary(msgpack::frame::join(namespace, auth)),
            Format::Custom(custom) => custom::frame_or_nothing(custom, msgpack::frame::join(namespace, auth)),
        }
    }

    /// A server's consent to a CONNECT. The namespace is the one that the peer asked for. As JSON: `40{"sid":"..."}`.
    pub fn connect(&self, namespace: &str, sid: &str) -> Frame {
        match self.format() {
            Format::Json => json::frame::connect(namespace, sid),
            Format::MessagePack => Frame::from_binary(msgpack::frame::connect(namespace, sid)),
            Format::Custom(custom) => {
                custom::frame_or_nothing(custom, msgpack::frame::connect(namespace, sid))
            }
        }
    }

    /// The same consent with a private id, by which the client may recover the session after it has lost its connection.
    /// As JSON: `40{"sid":"...","pid":"..."}`.
    pub fn connect_recoverable(&self, namespace: &str, sid: &str, pid: &str) -> Frame {
        match self.format() {
            Format::Json => json::frame::connect_recoverable(namespace, sid, pid),
            Format::MessagePack => {
                Frame::from_binary(msgpack::frame::connect_recoverable(namespace, sid, pid))
            }
            Format::Custom(custom) => {
                custom::frame_or_nothing(custom, msgpack::frame::connect_recoverable(namespace, sid, pid))
            }
        }
    }

    /// The event that a frame is, with an offset behind its arguments: by that the client tells, once it recovers its
    /// session, which event it has received last. Anything but an event comes back as it is.
    ///
    /// ```
    /// use sansocket_protocol::socket::Parser;
    ///
    /// let parser = Parser::json();
    /// let frame = parser.event("/chat", "said", None, &("ada", 3))?;
    /// assert_eq!(parser.with_offset(&frame, "Q8AVICU").text().unwrap(), r#"42/chat,["said","ada",3,"Q8AVICU"]"#);
    /// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
    /// ```
    pub fn with_offset(&self, frame: &Frame, offset: &str) -> Frame {
        match self.format() {
            Format::Json => json::frame::with_offset(frame, offset),
            Format::MessagePack => msgpack::frame::with_offset(frame, offset),
            Format::Custom(custom) => custom::with_offset(custom, frame, offset),
        }
        .map_or_else(|| frame.clone(), |event| event.compress(frame.may_compress()))
    }

    /// A server's refusal of a CONNECT. As JSON: `44{"message":"...","data":...}`; without data there is no such
    /// member.
    pub fn connect_error(&self, namespace: &str, message: &str, data: Option<&PacketData>) -> Frame {
        match self.format() {
            Format::Json => json::frame::connect_error(namespace, message, data),
            Format::MessagePack => {
                Frame::from_binary(msgpack::frame::connect_error(namespace, message, data))
            }
            Format::Custom(custom) => {
                custom::frame_or_nothing(custom, msgpack::frame::connect_error(namespace, message, data))
            }
        }
    }

    /// A server's refusal of a CONNECT for a client of Socket.IO 1.x or 2.x, which takes any value. As JSON:
    /// `44"not allowed"`, or `44/chat,{"code":401}`.
    pub fn error(&self, namespace: &str, reason: &PacketData) -> Frame {
        match self.format() {
            Format::Json => json::frame::error(namespace, reason),
            Format::MessagePack => Frame::from_binary(msgpack::frame::error(namespace, reason)),
            Format::Custom(custom) => {
                custom::frame_or_nothing(custom, msgpack::frame::error(namespace, reason))
            }
        }
    }

    /// Leaves a namespace, or makes the peer leave it. As JSON: `41` or `41/chat,`.
    pub fn disconnect(&self, namespace: &str) -> Frame {
        match self.format() {
            Format::Json => json::frame::disconnect(namespace),
            Format::MessagePack => Frame::from_binary(msgpack::frame::disconnect(namespace)),
            Format::Custom(custom) => custom::frame_or_nothing(custom, msgpack::frame::disconnect(namespace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_is_cheap_to_copy() {
        assert!(size_of::<Parser>() <= 24, "{}", size_of::<Parser>());
    }

    #[test]
    fn limits_are_exact_below_16_bits_and_none_above() {
        for max in [0, 1, 10, 65_534] {
            assert_eq!(Limit::new(max).get(), max);
        }
        for max in [65_535, 100_000, usize::MAX] {
            assert_eq!(Limit::new(max), Limit::NONE);
        }
        assert!(Limit::new(3) < Limit::NONE);
    }
}
