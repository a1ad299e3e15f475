//! Socket.IO packets, as they come in.

use crate::socket::json::args::{Args, Shape};
use crate::socket::json::placeholder;
use crate::socket::json::scan::{js_number, skip_blanks, skip_scalar, skip_string, unescape};
use crate::socket::json::validate;
use alloc::string::{String, ToString};
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// How many attachments a packet may announce, unless the application says otherwise: the reference's limit.
pub const DEFAULT_MAX_ATTACHMENTS: usize = 10;

/// What a packet is for. The order is that of the protocol's text; the numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketType {
    /// `0`: join a namespace, or the answer that it was joined.
    Connect = 0,
    /// `1`: leave a namespace.
    Disconnect = 1,
    /// `2`: an event for the application.
    Event = 2,
    /// `3`: the answer to an event.
    Ack = 3,
    /// `4`: joining was refused.
    ConnectError = 4,
    /// `5`: an event with attachments.
    BinaryEvent = 5,
    /// `6`: an answer with attachments.
    BinaryAck = 6,
}

impl PacketType {
    fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }

    /// Whether attachments follow: [`BinaryEvent`](Self::BinaryEvent) and [`BinaryAck`](Self::BinaryAck).
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Disconnect => "DISCONNECT",
            Self::Event => "EVENT",
            Self::Ack => "ACK",
            Self::ConnectError => "CONNECT_ERROR",
            Self::BinaryEvent => "BINARY_EVENT",
            Self::BinaryAck => "BINARY_ACK",
        })
    }
}

/// Why what the peer sent is not Socket.IO. Each of these ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The text is not UTF-8. A WebSocket is closed with status 1007 for it.
    #[error("the packet's text is not UTF-8")]
    InvalidUtf8,
    /// A message without any character: the Engine.IO packet `4`.
    #[error("the packet is empty, it must begin with a packet type")]
    Empty,
    /// The first character is not one of `0` to `6`.
    #[error("unknown packet type {0:?}, it must be a digit from 0 to 6")]
    UnknownType(char),
    /// A binary packet must announce at least one attachment, as in `51-["e",..]`.
    #[error("a binary packet must begin with its number of attachments, at least 1, and a '-'")]
    IllegalAttachments,
    /// More attachments are announced than are allowed.
    #[error("the packet announces more than the {max} attachments that are allowed")]
    TooManyAttachments {
        /// The limit that was given to [`Packet::decode`].
        max: usize,
    },
    /// The acknowledgement id does not fit 64 bits.
    #[error("the acknowledgement id is above 18446744073709551615")]
    IdOverflow,
    /// What follows the header is not JSON, or not the JSON that this type of packet carries.
    #[error("invalid {kind} payload: {reason} at byte {at}")]
    InvalidPayload {
        /// What kind of packet it was.
        kind: PacketType,
        /// Where, in bytes from the beginning of the packet's text.
        at: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The event has one of the [`RESERVED_EVENTS`]: a peer could call the handlers of life cycle events.
    #[error("the event name {0:?} is reserved, a peer cannot send it")]
    ReservedEvent(String),
    /// A placeholder's `num` is not the number of one of the announced attachments.
    #[error(
        "illegal attachments: a placeholder names none of the {announced} announced attachments, or too many name one"
    )]
    IllegalPlaceholder {
        /// How many attachments the packet announced.
        announced: usize,
    },
    /// A text packet came where an attachment of the packet before it was due.
    #[error("a text packet came while {missing} attachments of a binary packet were missing")]
    TextWhileWaiting {
        /// How many attachments were still to come.
        missing: usize,
    },
    /// A binary frame that no packet announced.
    #[error("a binary frame came that no packet announced")]
    UnexpectedBinary,
    /// The attachments of one packet are together larger than is allowed.
    #[error("the packet's attachments are together larger than the {max} bytes that are allowed")]
    AttachmentsTooLarge {
        /// The limit in bytes that was given to [`Reassembly::start`](crate::socket::json::reassembly::Reassembly::start).
        max: usize,
    },
}

/// The names that are the library's own. As event names they are refused in both directions, as the reference
/// does. `error`, `message`, `connection` and the empty name are ordinary events.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The bytes of `"connect"`.
const SHORTEST_RESERVED: usize = 9;

/// Whether this is one of the [`RESERVED_EVENTS`].
pub fn is_reserved(event: &str) -> bool {
    matches!(
        event,
        "connect" | "connect_error" | "disconnect" | "disconnecting" | "newListener" | "removeListener"
    )
}

/// Whether the wire can carry this name of a namespace: it begins with `/` and has no comma. Anything else,
/// blanks and `?` included, is a character of the name.
///
/// ```
/// use sansocket_protocol::socket::is_namespace;
///
/// assert!(is_namespace("/") && is_namespace("/admin?x=1"));
/// assert!(!is_namespace("admin") && !is_namespace("/a,b") && !is_namespace(""));
/// ```
pub fn is_namespace(name: &str) -> bool {
    name.starts_with('/') && !name.contains(',')
}

/// A packet as it was received, its payload checked but not decoded.
///
/// It holds the message's bytes and knows where its parts are. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Packet {
    kind: PacketType,
    namespace: Range<usize>,
    id: Option<u64>,
    attachments: usize,
    /// Where the JSON begins; the end of the text if there is none.
    data: usize,
    args: Args,
}

impl Packet {
    /// Reads the text of an Engine.IO message (without the engine's `4`).
    ///
    /// The text is checked to be UTF-8 here, and its JSON to be valid and of the shape that the type asks for.
    /// A binary packet is checked as strictly, placeholders included, before any of its attachments has come.
    /// `max_attachments` bounds what it may announce; [`DEFAULT_MAX_ATTACHMENTS`] is the reference's choice.
    ///
    /// The cost is one pass over the text. Nothing is allocated for a packet without attachments that nests
    /// at most 64 levels deep.
    ///
    /// # Errors
    ///
    /// A [`PacketError`] for everything that is not a Socket.IO packet.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use sansocket_protocol::socket::{Packet, PacketError, PacketType};
    ///
    /// let packet = Packet::decode(Bytes::from_static(b"2/chat,12[\"said\",\"hi\"]"), 10)?;
    /// assert_eq!(packet.kind(), PacketType::Event);
    /// assert_eq!(packet.namespace(), "/chat");
    /// assert_eq!(packet.id(), Some(12));
    ///
    /// let error = Packet::decode(Bytes::from_static(b"2[\"connect\"]"), 10).unwrap_err();
    /// assert_eq!(error, PacketError::ReservedEvent("connect".to_string()));
    /// # Ok::<(), PacketError>(())
    /// ```
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: `at` and `end` are at most the length of the text, and what is added to them lies within it"
    )]
    pub fn decode(text: Bytes, max_attachments: usize) -> Result<Self, PacketError> {
        // Most texts are ASCII, and to see that is cheaper.
        if !text.is_ascii() && core::str::from_utf8(&text).is_err() {
            return Err(PacketError::InvalidUtf8);
        }
        let bytes = &text[..];
        let digit = *bytes.first().ok_or(PacketError::Empty)?;
        let kind = PacketType::from_digit(digit).ok_or_else(|| {
            let all = core::str::from_utf8(bytes).unwrap_or_default();
            PacketError::UnknownType(all.chars().next().unwrap_or_default())
        })?;
        let mut at = 1;

        let mut attachments = 0;
        if kind.is_binary() {
            let (announced, end) = digits(bytes, at);
            if end == at || bytes.get(end) != Some(&b'-') || announced == Some(0) {
                return Err(PacketError::IllegalAttachments);
            }
            attachments = announced
                .and_then(|announced| usize::try_from(announced).ok())
                .filter(|announced| *announced <= max_attachments)
                .ok_or(PacketError::TooManyAttachments { max: max_attachments })?;
            at = end + 1;
        }

        let mut namespace = at..at;
        if let Some(rest @ [b'/', ..]) = bytes.get(at..) {
            let len = rest.iter().position(|&byte| byte == b',');
            namespace.end = at + len.unwrap_or(rest.len());
            at = namespace.end + usize::from(len.is_some());
        }

        let (id, end) = digits(bytes, at);
        let id = if end == at { None } else { Some(id.ok_or(PacketError::IdOverflow)?) };

        let data = skip_blanks(bytes, end);
        let shape = check(kind, bytes, data)?;
        if attachments > 0 && !placeholder::are_legal(bytes.get(data..).unwrap_or_default(), attachments) {
            return Err(PacketError::IllegalPlaceholder { announced: attachments });
        }
        Ok(Self { kind, namespace, id, attachments, data, args: Args::new(text, shape) })
    }

    /// What the packet is for.
    pub fn kind(&self) -> PacketType {
        self.kind
    }

    /// The namespace it belongs to: `/` unless it names another.
    pub fn namespace(&self) -> &str {
        match self.args.text().get(self.namespace.clone()) {
            Some(name) if !name.is_empty() => core::str::from_utf8(name).unwrap_or("/"),
            _ => "/",
        }
    }

    /// The acknowledgement id. On an event it asks for an answer; an answer without one belongs to nothing.
    /// Elsewhere it means nothing and is to be ignored.
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// How many attachments the packet announced.
    pub fn attachments(&self) -> usize {
        self.attachments
    }

    /// Whether the packet's type is one with attachments.
    pub fn is_binary(&self) -> bool {
        self.kind.is_binary()
    }

    /// The bytes that the packet counts for: its text and the attachments it was given.
    pub fn wire_len(&self) -> usize {
        self.args.wire_len()
    }

    /// The payload as JSON text, if there is one: the auth object of a CONNECT, the reason of a CONNECT_ERROR.
    pub fn data(&self) -> Option<&[u8]> {
        self.args.text().get(self.data..).filter(|data| !data.is_empty())
    }

    /// The payload as [`data`](Self::data) has it, without a copy.
    pub fn into_data(self) -> Option<Bytes> {
        let text = self.args.text();
        (self.data < text.len()).then(|| text.slice(self.data..))
    }

    /// The arguments of an event or an answer. Empty for other types.
    ///
    /// A binary packet must have been through [`Reassembly`](crate::socket::json::reassembly::Reassembly), else its
    /// placeholders stand for nothing.
    pub fn into_args(self) -> Args {
        self.args
    }

    pub(super) fn attach(&mut self, attachments: alloc::vec::Vec<Bytes>) {
        self.args.attach(attachments);
    }
}

/// The number that begins at `at` and where it ends; `None` if it is too large.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: `end` is at most the length of the text, and the digit is at least `0`"
)]
fn digits(text: &[u8], at: usize) -> (Option<u64>, usize) {
    let mut value = Some(0u64);
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = text.get(end) {
        let add = |value: u64| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
        value = value.and_then(add);
        end += 1;
    }
    (value, end)
}

/// Checks the payload, which begins at `data` with something else than a blank. There need not be one.
#[allow(clippy::arithmetic_side_effects, reason = "proof: `data` is the position of a byte")]
fn check(kind: PacketType, bytes: &[u8], data: usize) -> Result<Shape, PacketError> {
    let invalid = |at, reason: &str| PacketError::InvalidPayload { kind, at, reason: reason.to_string() };
    let Some(&first) = bytes.get(data) else { return Ok(Shape::default()) };
    let (fits, reason) = match kind {
        PacketType::Connect => (first == b'{', "expected an object"),
        PacketType::Disconnect => (false, "expected none"),
        PacketType::ConnectError => (first == b'{' || first == b'"', "expected an object or a string"),
        PacketType::Event | PacketType::BinaryEvent => {
            (first == b'[', "expected an array that begins with the event's name")
        }
        PacketType::Ack | PacketType::BinaryAck => (first == b'[', "expected an array"),
    };
    if !fits {
        return Err(invalid(data, reason));
    }
    let values = validate::check(bytes, data).map_err(|error| invalid(error.at, &error.to_string()))?;
    match kind {
        PacketType::Event | PacketType::BinaryEvent => {
            let start = skip_blanks(bytes, data + 1);
            let name = match bytes.get(start) {
                Some(b'"') => start..skip_string(bytes, start),
                Some(b'-' | b'0'..=b'9') => start..skip_scalar(bytes, start),
                _ => return Err(invalid(start, "the event's name must be a string or a number")),
            };
            let shape = Shape::event(bytes, name.clone(), values.saturating_sub(1));
            // A shorter one is none of them, however it is written.
            if name.len() >= SHORTEST_RESERVED {
                let name = bytes.get(name).and_then(event_name);
                if let Some(name) = name.filter(|name| is_reserved(name)) {
                    return Err(PacketError::ReservedEvent(name.into_owned()));
                }
            }
            Ok(shape)
        }
        PacketType::Ack | PacketType::BinaryAck => Ok(Shape::list(bytes, data, values)),
        PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => Ok(Shape::default()),
    }
}

/// The event name whose JSON text that is, quotes included.
pub(super) fn event_name(raw: &[u8]) -> Option<alloc::borrow::Cow<'_, str>> {
    Some(match raw {
        [b'"', name @ .., b'"'] => unescape(core::str::from_utf8(name).ok()?),
        [] => return None,
        number => js_number(core::str::from_utf8(number).ok()?),
    })
}
