//! The events of a server's sockets.

use crate::error::CloseReason;
use crate::socket::ids::{AckOutcome, PER_EVENT, SocketKey};
use crate::socket::json::args::Args;
use crate::socket::json::data::PacketData;
use alloc::sync::Arc;

/// An event of a server's sockets, for the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerSocketEvent {
    /// A client asks to join a namespace: [`ServerSockets::accept`](crate::socket::ServerSockets::accept) or
    /// [`ServerSockets::reject`](crate::socket::ServerSockets::reject) it. Nothing else happens on this socket
    /// meanwhile.
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
        /// The id to acknowledge with [`ServerSockets::ack`](crate::socket::ServerSockets::ack), if the client wants
        /// that.
        ack: Option<u64>,
    },
    /// An acknowledgement that was awaited is decided: once for each.
    Ack {
        /// Of which socket.
        socket: SocketKey,
        /// The id that was given to [`ServerSockets::emit_with_ack`](crate::socket::ServerSockets::emit_with_ack).
        id: u64,
        /// How it ended.
        outcome: AckOutcome,
    },
    /// A connected socket ended: the last event about it.
    Disconnected {
        /// Which one.
        socket: SocketKey,
        /// Why.
        reason: CloseReason,
    },
}

impl ServerSocketEvent {
    /// Bytes that the peer makes it hold while it waits.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Event { args, .. } | Self::Ack { outcome: AckOutcome::Answered(args), .. } => {
                args.wire_len().saturating_add(PER_EVENT)
            }
            Self::Connect { auth, .. } => {
                auth.as_ref().map_or(0, PacketData::wire_len).saturating_add(PER_EVENT)
            }
            Self::Ack { .. } | Self::Disconnected { .. } => 0,
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
