//! The counts of a connection: for figures, not for decisions.

use crate::engine::EngineError;
use crate::error::PeerError;
use crate::socket::SocketError;

/// The counts of what passed through a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Events, or messages of plain Engine.IO, that the application was handed.
    pub events_in: u64,
    /// Events and acknowledgements, or messages, that were queued for the client.
    pub events_out: u64,
    /// The times that its events had to wait because of `event_rate`, or its messages because of `message_rate`.
    pub events_paced: u64,
    /// Events that were not sent because of `max_pending_acks`.
    pub acks_refused: u64,
}

/// A limit for which a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// `max_namespaces`.
    Namespaces,
    /// `max_namespace_name`.
    NamespaceName,
    /// `max_auth`.
    Auth,
    /// `attachment_timeout`.
    AttachmentTimeout,
    /// `connect_rate`.
    Connects,
    /// `max_refused_connects`.
    RefusedConnects,
    /// `event_rate`.
    Events,
    /// `message_rate`.
    Messages,
    /// `connect_timeout`.
    ConnectTimeout,
}

impl Limit {
    pub(super) fn of(error: &PeerError) -> Option<Self> {
        match error {
            PeerError::Socket(SocketError::TooManyNamespaces) => Some(Self::Namespaces),
            PeerError::Socket(SocketError::NamespaceTooLong) => Some(Self::NamespaceName),
            PeerError::Socket(SocketError::AuthTooLarge) => Some(Self::Auth),
            PeerError::Socket(SocketError::AttachmentTimeout) => Some(Self::AttachmentTimeout),
            PeerError::Socket(SocketError::TooManyConnects) => Some(Self::Connects),
            PeerError::Socket(SocketError::TooManyRefusals) => Some(Self::RefusedConnects),
            PeerError::Socket(SocketError::TooManyEvents) => Some(Self::Events),
            PeerError::Engine(EngineError::TooManyMessages) => Some(Self::Messages),
            PeerError::Socket(SocketError::ConnectTimeout) => Some(Self::ConnectTimeout),
            _ => None,
        }
    }
}
