//! A connection of its own on which a session's messages travel one by one, where polling needs a request for each batch.

use crate::engine::packet::BINARY_MESSAGE;
use crate::engine::request::RequestId;
use crate::engine::server::ServerTransmit;
use crate::engine::transport::TransportKind;
use crate::message::WireMessage;
use bytes::Bytes;

/// A connection that carries whole messages, known by the id of the request that became it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    WebSocket(RequestId),
}

impl Channel {
    pub(super) const fn id(self) -> RequestId {
        match self {
            Self::WebSocket(id) => id,
        }
    }

    pub(super) const fn kind(self) -> TransportKind {
        match self {
            Self::WebSocket(_) => TransportKind::WebSocket,
        }
    }

    /// Accepts the request from which the channel begins.
    pub(super) const fn accept(self) -> ServerTransmit {
        match self {
            Self::WebSocket(request) => ServerTransmit::AcceptWebSocket { request },
        }
    }

    /// Writes one message to the channel.
    pub(super) const fn write(self, message: WireMessage, compress: bool) -> ServerTransmit {
        match self {
            Self::WebSocket(websocket) => ServerTransmit::Write { websocket, message, compress },
        }
    }

    /// Writes one binary message of revision 3 to it.
    pub(super) const fn write_typed(self, data: Bytes, compress: bool) -> ServerTransmit {
        match self {
            Self::WebSocket(websocket) => {
                ServerTransmit::WriteTyped { websocket, kind: BINARY_MESSAGE, data, compress }
            }
        }
    }

    /// Closes the channel, with a code if there is one to give.
    pub(super) const fn close(self, code: Option<u16>) -> ServerTransmit {
        match self {
            Self::WebSocket(websocket) => ServerTransmit::CloseWebSocket { websocket, code },
        }
    }
}
