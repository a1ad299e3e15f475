//! Parsers that applications bring.

mod read;
mod write;

use crate::message::Frame;
use crate::socket::json::args::Args;
use crate::socket::json::encode::EncodeError;
use crate::socket::msgpack::frame::push_offset;
use crate::socket::msgpack::serialize::{Draft, Pack};
use crate::socket::msgpack::{packet, write as pack};
use crate::socket::packet::{Packet, PacketError, PacketType};
use crate::socket::parser::Parser;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use core::error::Error;
use core::fmt;
use serde::Serialize;

/// A parser that an application brings: another format for packets than JSON and MessagePack.
///
/// Each packet is one message, text or binary. The format must be able to say what a value is without being asked, as
/// CBOR, JSON and MessagePack do; bytes stand inside of it, as values. Whatever it reads is held to the limits of the
/// [`Parser`] afterwards, but while it reads it must bound its own depth, and believe no length.
///
/// A [`CustomPacket`] is `Serialize` and `Deserialize`, so that a format with a serde crate needs a few lines. CBOR, by
/// ciborium:
///
/// ```
/// use sansocket_protocol::socket::{CustomPacket, CustomParser, Parser};
/// use std::error::Error;
///
/// struct Cbor;
///
/// impl CustomParser for Cbor {
///     fn name(&self) -> &str {
///         "cbor"
///     }
///
///     fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
///         let mut message = Vec::new();
///         ciborium::into_writer(packet, &mut message)?;
///         Ok(message)
///     }
///
///     fn decode(&self, message: &[u8]) -> Result<CustomPacket, Box<dyn Error + Send + Sync>> {
///         Ok(ciborium::from_reader(message)?)
///     }
/// }
///
/// let parser = Parser::custom(Cbor);
/// let frame = parser.event("/", "said", Some(7), &("ada", 3))?;
/// let packet = parser.decode(frame.attachments()[0].clone())?;
/// assert_eq!(packet.id(), Some(7));
/// assert_eq!(packet.into_args().decode::<(String, u8)>()?, ("ada".to_string(), 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Inside, a packet is MessagePack on its way to the application and from it, so that such a parser costs one more
/// conversion for each message.
///
/// # Where they run
///
/// [`decode`](Self::decode) runs in the task of the session or the request that brought the message, without any lock:
/// it may call the server and its sockets, and hold up nobody else. It gets one message at a time, of at most
/// `max_payload` bytes, and should take a time in proportion to them, because the session's handlers wait meanwhile. If
/// it panics, the connection is closed as for a malformed packet, and all others go on.
///
/// [`encode`](Self::encode) runs where the application emits or answers, without any lock. **There are two exceptions**,
/// in which it must only compute, and neither wait nor call the server or a client, which would wait for itself:
///
/// * for a CONNECT, DISCONNECT or CONNECT_ERROR, `encode` runs under the lock of their session;
/// * with connection state recovery, both methods run once more for each event that is kept, to append its offset, under
///   the lock of all that is kept, because an event gets its number and is queued in one step.
pub trait CustomParser: Send + Sync {
    /// The name, for logs.
    fn name(&self) -> &str;

    /// Whether its messages are text, as UTF-8. They are binary by default.
    fn is_text(&self) -> bool {
        false
    }

    /// Makes a message of a packet.
    ///
    /// # Errors
    ///
    /// Any, if the packet cannot be written. The application that emits gets it as [`EncodeError::Value`]. For a CONNECT,
    /// DISCONNECT or CONNECT_ERROR there is no one to tell: an empty message is sent in its place.
    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;

    /// Makes a packet of a message.
    ///
    /// # Errors
    ///
    /// Any, if it is none: the connection is closed for it, with [`PacketError::Custom`].
    fn decode(&self, message: &[u8]) -> Result<CustomPacket, Box<dyn Error + Send + Sync>>;
}

/// A packet on its way to or from a [`CustomParser`].
///
/// To serde it is a map of `type` (0 to 4, the numbers of [`PacketType`]), `nsp`, `data` if there is any, and `id` if
/// there is one; in any order, and other members are let pass. [`new`](Self::new) and the getters are for formats
/// that have it otherwise.
#[derive(Clone)]
pub struct CustomPacket(Packet);

/// The data of a [`CustomPacket`]: the list of an event's name and its arguments, the list of an acknowledgement, the
/// `auth` of a CONNECT, what a CONNECT_ERROR says.
#[derive(Clone, Copy)]
pub struct CustomData<'a>(&'a [u8]);

impl CustomPacket {
    /// A packet.
    ///
    /// # Errors
    ///
    /// [`PacketError`] if the data is not of the shape that the type asks for, cannot be written, or the namespace is none.
    pub fn new<T: Serialize + ?Sized>(
        kind: PacketType,
        namespace: &str,
        id: Option<u64>,
        data: Option<&T>,
    ) -> Result<Self, PacketError> {
        let members = [data.is_some(), id.is_some()].iter().filter(|is_there| **is_there).count();
        let mut draft = Draft::unlimited(Vec::new());
        let out = draft.out_mut();
        pack::push_map(out, members.saturating_add(2));
        pack::push_str(out, "type");
        pack::push_uint(out, kind as u64);
        pack::push_str(out, "nsp");
        pack::push_str(out, namespace);
        if let Some(id) = id {
            pack::push_str(out, "id");
            pack::push_uint(out, id);
        }
        if let Some(data) = data {
            pack::push_str(out, "data");
            data.serialize(Pack::new(&mut draft))
                .map_err(|error| PacketError::Custom { reason: error.to_string() })?;
        }
        Self::of_message(draft.into_out().into())
    }

    /// The packet that a MessagePack message is.
    fn of_message(message: Bytes) -> Result<Self, PacketError> {
        packet::decode(&Parser::UNLIMITED, message).map(Self)
    }

    /// The type.
    pub fn kind(&self) -> PacketType {
        self.0.kind()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.0.namespace()
    }

    /// The acknowledgement id.
    pub fn id(&self) -> Option<u64> {
        self.0.id()
    }

    /// The data, if there is any.
    pub fn data(&self) -> Option<CustomData<'_>> {
        let message = self.0.args.text();
        message.get(self.0.data as usize..).filter(|data| !data.is_empty()).map(CustomData)
    }
}

impl fmt::Debug for CustomPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CustomData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomData({} bytes)", self.0.len())
    }
}

/// Makes a frame of a MessagePack message.
pub(super) fn frame(custom: &dyn CustomParser, message: Vec<u8>) -> Result<Frame, EncodeError> {
    let packet =
        CustomPacket::of_message(message.into()).map_err(|error| EncodeError::Value(error.to_string()))?;
    let message = custom.encode(&packet).map_err(|error| EncodeError::Value(error.to_string()))?;
    if !custom.is_text() {
        return Ok(Frame::from_binary(message));
    }
    match core::str::from_utf8(&message) {
        Ok(text) => Ok(Frame::text_message(text)),
        Err(_) => Err(EncodeError::Value(alloc::format!(
            "the parser {} made a text that is not UTF-8",
            custom.name()
        ))),
    }
}

/// The same for a packet for whose sender there is no error. An empty message makes its receiver close the connection.
pub(super) fn frame_or_nothing(custom: &dyn CustomParser, message: Vec<u8>) -> Frame {
    frame(custom, message).unwrap_or_else(|_| {
        if custom.is_text() { Frame::text_message("") } else { Frame::binary_message(Bytes::new()) }
    })
}

/// Reads a message.
pub(super) fn decode(
    parser: &Parser,
    custom: &dyn CustomParser,
    message: &[u8],
) -> Result<Packet, PacketError> {
    if custom.is_text() && core::str::from_utf8(message).is_err() {
        return Err(PacketError::InvalidUtf8);
    }
    let packet = custom.decode(message).map_err(|error| PacketError::Custom { reason: error.to_string() })?;
    packet::decode(parser, packet.0.args.text().to_owned())
}

/// The packet that a frame is.
fn packet_of(custom: &dyn CustomParser, frame: &Frame) -> Option<Packet> {
    let message = match frame.text() {
        Some(text) => text.get(1..)?,
        None => frame.attachments().first()?,
    };
    decode(&Parser::UNLIMITED, custom, message).ok()
}

/// The event with one more argument, a text.
pub(super) fn with_offset(custom: &dyn CustomParser, event: &Frame, offset: &str) -> Option<Frame> {
    let packet = packet_of(custom, event)?;
    frame(custom, push_offset(packet.args.text(), offset)?).ok()
}

/// The event that a frame is.
pub(super) fn event_of(custom: &dyn CustomParser, frame: &Frame) -> Option<Args> {
    let packet = packet_of(custom, frame)?;
    (packet.kind() == PacketType::Event).then(|| packet.into_args())
}
