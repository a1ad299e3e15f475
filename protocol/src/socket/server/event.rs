//! The events of a server's sockets.

use crate::cost;
use crate::reason::CloseReason;
use crate::socket::ids::{AckOutcome, SocketKey};
use crate::socket::json::args::Args;
use crate::socket::json::data::PacketData;
use alloc::sync::Arc;

/// An event of a server's sockets, for the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerSocketEvent {
    /// A client asks to join a namespace: answer with
    /// [`Connection::accept`](crate::server::Connection::accept) or
    /// [`Connection::reject`](crate::server::Connection::reject). Nothing else happens on this socket meanwhile.
    Connect {
        /// The socket to be.
        socket: SocketKey,
        /// The namespace's name.
        namespace: Arc<str>,
        /// The `auth` object, if the client sent one.
        auth: Option<PacketData>,
    },
    /// An event arrived.
    Event {
        /// On which socket.
        socket: SocketKey,
        /// Its name and arguments.
        args: Args,
        /// The id to acknowledge with [`Connection::ack`](crate::server::Connection::ack), if the client wants that.
        ack: Option<u64>,
    },
    /// An acknowledgement that was awaited is decided: once for each.
    Ack {
        /// Of which socket.
        socket: SocketKey,
        /// The id that was given to [`Connection::emit_with_ack`](crate::server::Connection::emit_with_ack).
        id: u64,
        /// The reason of its end.
        outcome: AckOutcome,
    },
    /// A connected socket ended: the last event about it.
    Disconnected {
        /// The socket.
        socket: SocketKey,
        /// Why.
        reason: CloseReason,
    },
}

impl ServerSocketEvent {
    /// Bytes that the peer makes it hold while it waits.
    #[inline]
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Event { args, .. } | Self::Ack { outcome: AckOutcome::Answered(args), .. } => {
                args.wire_len().saturating_add(cost::EVENT)
            }
            Self::Connect { auth, .. } => {
                auth.as_ref().map_or(0, PacketData::wire_len).saturating_add(cost::EVENT)
            }
            Self::Ack { .. } | Self::Disconnected { .. } => 0,
        }
    }

    /// Bytes that it makes its handler hold: an `auth` is bounded by itself.
    pub(super) fn in_hand(&self) -> usize {
        match self {
            Self::Event { .. } => self.weight(),
            Self::Connect { .. } | Self::Ack { .. } | Self::Disconnected { .. } => 0,
        }
    }

    pub(super) fn socket(&self) -> SocketKey {
        match self {
            Self::Connect { socket, .. }
            | Self::Event { socket, .. }
            | Self::Ack { socket, .. }
            | Self::Disconnected { socket, .. } => *socket,
        }
    }
}
