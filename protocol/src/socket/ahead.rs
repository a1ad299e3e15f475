//! Packets that the application's parser reads before the machine that they are for is locked.

use super::packet::{Packet, PacketError};
use super::parser::{Parser, Part};
use crate::engine::packet::{EnginePacket, EnginePacketError};
use crate::engine::server::Incoming;
use crate::message::WireMessage;
use alloc::collections::VecDeque;
use bytes::Bytes;

/// Packets that the application's own parser has read ahead of the input that brings them: for owners that keep a machine
/// behind a lock, under which no code of the application must run.
///
/// An owner asks its machine for an [`AheadReader`], lets go of the lock, reads, and then gives the machine the input
/// together with this. The outcome is the same as without, and nothing is read twice: what was not read ahead, the machine
/// reads itself.
///
/// ```
/// use sansocket_protocol::engine::{EngineServerConfig, Revision};
/// use sansocket_protocol::server::Connection;
/// use sansocket_protocol::time::Instant;
///
/// let config = EngineServerConfig::default();
/// let sockets = Some(Default::default());
/// let connection = Connection::new(Instant::ZERO, Revision::V4, config.into(), "session-id".into(), sockets);
/// assert!(connection.ahead_reader().is_none(), "JSON is read by the machine");
/// ```
#[derive(Debug, Default)]
pub struct ReadAhead(VecDeque<Result<Packet, PacketError>>);

/// A reader of what a machine is about to be given. See [`ReadAhead`].
#[derive(Clone, Copy, Debug)]
pub struct AheadReader {
    parser: Parser,
    incoming: Incoming,
}

impl ReadAhead {
    /// The packet of the next message.
    pub(crate) fn next(&mut self) -> Option<Result<Packet, PacketError>> {
        self.0.pop_front()
    }

    /// The same, if that packet of a payload is a message.
    pub(crate) fn next_of(
        &mut self,
        packet: &Result<EnginePacket, EnginePacketError>,
    ) -> Option<Result<Packet, PacketError>> {
        if matches!(packet, Ok(EnginePacket::Message(_))) { self.next() } else { None }
    }
}

impl AheadReader {
    /// A reader, if the parser is the application's.
    #[inline]
    pub(crate) fn new(parser: &Parser, incoming: impl FnOnce() -> Incoming) -> Option<Self> {
        if parser.is_custom() { Some(Self { parser: *parser, incoming: incoming() }) } else { None }
    }

    /// Reads a message of a WebSocket. `decode` calls [`Parser::decode`], and may catch its panics.
    pub fn read_message(
        &self,
        message: &WireMessage,
        decode: impl FnMut(&Parser, Bytes) -> Result<Packet, PacketError>,
    ) -> ReadAhead {
        self.read(self.incoming.decode(message.clone()), decode)
    }

    /// Reads the messages in the body of a POST, or in the answer to a poll. `decode` is as in
    /// [`read_message`](Self::read_message).
    pub fn read_body(
        &self,
        body: &Bytes,
        decode: impl FnMut(&Parser, Bytes) -> Result<Packet, PacketError>,
    ) -> ReadAhead {
        self.read(self.incoming.packets(body.clone()), decode)
    }

    /// Reads those of the packets that are messages, up to the first that is malformed.
    fn read(
        &self,
        packets: impl IntoIterator<Item = Result<EnginePacket, EnginePacketError>>,
        mut decode: impl FnMut(&Parser, Bytes) -> Result<Packet, PacketError>,
    ) -> ReadAhead {
        let mut ahead = ReadAhead::default();
        for packet in packets {
            let Ok(EnginePacket::Message(message)) = packet else { continue };
            let read = match self.parser.part(message) {
                Ok(Part::Packet(packet) | Part::Attachment(packet)) => decode(&self.parser, packet),
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            ahead.0.push_back(read);
            if is_last {
                break;
            }
        }
        ahead
    }
}
