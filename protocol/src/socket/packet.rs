//! Socket.IO packets, as they come in.

use crate::attachments::Attachments;
use crate::socket::json::args::Args;
use crate::socket::json::data::{self, PacketData};
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// The most attachments that a packet may announce, unless the application says otherwise: the reference's limit.
pub const DEFAULT_MAX_ATTACHMENTS: usize = 10;

/// The type of a packet. The order is that of the protocol's text; the numbers are those on the wire.
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
    pub(super) fn from_digit(digit: u8) -> Option<Self> {
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

    /// Returns whether attachments follow: [`BinaryEvent`](Self::BinaryEvent) and [`BinaryAck`](Self::BinaryAck).
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

/// The reason why what a peer sent is not Socket.IO. Each of these ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The text is not UTF-8. A WebSocket is closed with status 1007 for it.
    #[error("the packet's text is not UTF-8")]
    InvalidUtf8,
    /// A message without any character: the Engine.IO packet `4`.
    #[error("the packet is empty, it must begin with a packet type")]
    Empty,
    /// The text is longer than 4 GiB: positions in it are kept as 32 bits. `max_payload` is mostly far below.
    #[error("the packet's text is longer than 4 GiB")]
    TooLong,
    /// The first character is not one of `0` to `6`.
    #[error("unknown packet type {0:?}, it must be a digit from 0 to 6")]
    UnknownType(char),
    /// A binary packet must announce at least one attachment, as in `51-["e",..]`.
    #[error("a binary packet must begin with its number of attachments, at least 1, and a '-'")]
    IllegalAttachments,
    /// More attachments are announced than are allowed.
    #[error("the packet announces more than the {max} attachments that are allowed")]
    TooManyAttachments {
        /// The limit: [`Parser::max_attachments`](crate::socket::Parser::max_attachments).
        max: usize,
    },
    /// Lists and objects stand inside each other deeper than is allowed.
    #[error("the packet's lists and objects nest deeper than the {max} levels that are allowed")]
    TooDeep {
        /// The limit: [`Parser::max_depth`](crate::socket::Parser::max_depth).
        max: usize,
    },
    /// A number is written with more characters than are allowed.
    #[error("the packet has a number of more than the {max} characters that are allowed")]
    NumberTooLong {
        /// The limit: [`Parser::max_number`](crate::socket::Parser::max_number).
        max: usize,
    },
    /// An event or an acknowledgement has more arguments than are allowed.
    #[error("the packet has more than the {max} arguments that are allowed")]
    TooManyArguments {
        /// The limit: [`Parser::max_arguments`](crate::socket::Parser::max_arguments).
        max: usize,
    },
    /// The acknowledgement id does not fit 64 bits.
    #[error("the acknowledgement id is above 18446744073709551615")]
    IdOverflow,
    /// The text behind the header is not JSON, or not the JSON that this type of packet carries.
    #[error("invalid {kind} payload: {reason} at byte {at}")]
    InvalidPayload {
        /// The type of the packet.
        kind: PacketType,
        /// Where, in bytes from the beginning of the packet's text.
        at: usize,
        /// The fault.
        reason: String,
    },
    /// The event has one of the [`RESERVED_EVENTS`]: a peer could call the handlers of life cycle events.
    #[error("the event name {0:?} is reserved, a peer cannot send it")]
    ReservedEvent(String),
    /// A placeholder's `num` is not the number of one of the announced attachments.
    #[error("illegal attachments: a placeholder names none of the {announced} announced attachments")]
    IllegalPlaceholder {
        /// The attachments that the packet announced.
        announced: usize,
    },
    /// A text packet came where an attachment of the packet before it was due.
    #[error("a text packet came while {missing} attachments of a binary packet were missing")]
    TextWhileWaiting {
        /// The attachments that were still to come.
        missing: usize,
    },
    /// A binary frame that no packet announced.
    #[error(
        "a binary frame came that no packet announced: does the peer use another parser, such as MessagePack?"
    )]
    UnexpectedBinary,
    /// A text message, where the parser has binary ones alone. It is what a peer with the default parser sends.
    #[error(
        "a text message came, but the packets of this parser are binary: does the peer use another parser?"
    )]
    UnexpectedText,
    /// A message is not of the form that the MessagePack parser has for packets.
    #[error("the message is no packet: {reason}, at byte {at}")]
    Malformed {
        /// Where, in bytes from the beginning of the message.
        at: usize,
        /// The fault.
        reason: &'static str,
    },
    /// A [`CustomParser`](crate::socket::CustomParser) cannot read a message.
    #[error("the parser refuses the message: {reason}")]
    Custom {
        /// The words of its error.
        reason: String,
    },
    /// The attachments of one packet are together larger than is allowed.
    #[error("the packet's attachments are together larger than the {max} bytes that are allowed")]
    AttachmentsTooLarge {
        /// The limit in bytes that was given to [`Reassembly::start`](crate::socket::Reassembly::start).
        max: usize,
    },
    /// Several placeholders name the same attachments, and what all of them stand for is larger than is allowed.
    #[error("the packet's placeholders stand for more than the {max} bytes that are allowed")]
    ReferencesTooLarge {
        /// The limit in bytes: what the attachments have together, or the largest message if that is more.
        max: usize,
    },
}

/// The names that are the library's own. As event names they are refused in both directions, as the reference
/// does. `error`, `message`, `connection` and the empty name are ordinary events.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Returns whether this is one of the [`RESERVED_EVENTS`].
pub fn is_reserved(event: &str) -> bool {
    matches!(
        event,
        "connect" | "connect_error" | "disconnect" | "disconnecting" | "newListener" | "removeListener"
    )
}

/// Returns whether the wire can carry this name of a namespace: it begins with `/` and has no comma. Anything else,
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

/// A packet as it was received: checked, but not decoded into the application's types.
///
/// It holds the message's bytes and knows where its parts are. Cloning it is cheap.
/// [`Parser::decode`](crate::socket::Parser::decode) makes it.
#[derive(Clone, Debug)]
pub struct Packet {
    pub(super) kind: PacketType,
    /// The place of the namespace in the text, as 32 bits, as all places in it.
    pub(super) namespace: Range<u32>,
    pub(super) id: Option<u64>,
    pub(super) attachments: u32,
    /// Some attachment may stand in several places.
    pub(super) repeats: bool,
    /// The place where the data begins; the end of the message if there is none.
    pub(super) data: u32,
    pub(super) args: Args,
}

impl Packet {
    /// The type of the packet.
    pub fn kind(&self) -> PacketType {
        self.kind
    }

    /// The namespace it belongs to: `/` unless it names another.
    pub fn namespace(&self) -> &str {
        match self.args.text().get(self.namespace.start as usize..self.namespace.end as usize) {
            Some(name) if !name.is_empty() => core::str::from_utf8(name).unwrap_or("/"),
            _ => "/",
        }
    }

    /// The acknowledgement id. On an event it asks for an answer; an answer without one belongs to nothing.
    /// Elsewhere it means nothing and is to be ignored.
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// The attachments that the packet announced.
    pub fn attachments(&self) -> usize {
        self.attachments as usize
    }

    /// Returns whether the packet's type is one with attachments.
    pub fn is_binary(&self) -> bool {
        self.kind.is_binary()
    }

    /// The bytes that the packet counts for: its text and the attachments it was given.
    pub fn wire_len(&self) -> usize {
        self.args.wire_len()
    }

    /// The data behind the header, if there is any: the auth of a CONNECT, the reason of a CONNECT_ERROR, the list of
    /// an event's name and arguments. The bytes are shared.
    pub fn data(&self) -> Option<PacketData> {
        self.args.data(self.data as usize)
    }

    /// The public id in a server's CONNECT. `None` for one of the 2.x line, which sends none.
    pub fn sid(&self) -> Option<Arc<str>> {
        data::sid(&self.data()?)
    }

    /// The private id in a server's CONNECT: of a server that recovers connections.
    pub fn pid(&self) -> Option<Arc<str>> {
        data::pid(&self.data()?)
    }

    /// The content of a CONNECT_ERROR: the message, and data beside it.
    pub fn refusal(&self) -> (String, Option<PacketData>) {
        self.data().map_or_else(Default::default, |data| data::refusal(&data))
    }

    /// The arguments of an event or an answer. Empty for other types.
    ///
    /// A packet with attachments must have been through [`Reassembly`](crate::socket::Reassembly), else they are
    /// missing.
    pub fn into_args(self) -> Args {
        self.args
    }

    pub(super) fn attach(&mut self, attachments: Attachments) {
        self.args.attach(attachments);
    }

    /// The bytes that all placeholders stand for, each as often as it is named. `None` if none is named twice.
    pub(super) fn referenced(&self, attachments: &[Bytes]) -> Option<usize> {
        self.repeats.then(|| self.args.referenced(self.data as usize, attachments))
    }
}
