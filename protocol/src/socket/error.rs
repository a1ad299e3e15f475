//! The peer's mistakes that Socket.IO knows of.

use super::packet::PacketError;
use thiserror::Error;

/// A mistake of the peer in its Socket.IO packets, for which the connection was closed. It explains a
/// [`CloseReason`](crate::reason::CloseReason) in logs and never reaches the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// A malformed packet.
    #[error("malformed Socket.IO packet: {0}")]
    Packet(#[from] PacketError),
    /// A packet for a namespace that this connection has not joined.
    #[error("a packet for a namespace that is not joined")]
    NotJoined,
    /// A CONNECT for a namespace that is joined, or being joined.
    #[error("a second CONNECT for the same namespace")]
    AlreadyJoined,
    /// A packet of a type that only servers send.
    #[error("a packet type that a client must not send")]
    Direction,
    /// More namespaces than `max_namespaces`.
    #[error("too many namespaces on one connection")]
    TooManyNamespaces,
    /// A CONNECT for a namespace whose name is longer than `max_namespace_name`.
    #[error("a namespace's name is too long")]
    NamespaceTooLong,
    /// A CONNECT whose `auth` is larger than `max_auth`.
    #[error("the `auth` of a CONNECT packet is too large")]
    AuthTooLarge,
    /// An attachment that did not come within `attachment_timeout`.
    #[error("an attachment did not come in time")]
    AttachmentTimeout,
    /// More CONNECTs than `connect_rate` allows.
    #[error("more CONNECT packets than `connect_rate` allows")]
    TooManyConnects,
    /// As many refused CONNECTs as `max_refused_connects`.
    #[error("too many refused CONNECT packets")]
    TooManyRefusals,
    /// More events than `event_rate` allows, where `event_excess` says to close.
    #[error("more events than `event_rate` allows")]
    TooManyEvents,
    /// A connection that joined no namespace within `connect_timeout`.
    #[error("no namespace was joined in time")]
    ConnectTimeout,
}

impl SocketError {
    /// Returns whether a text was not UTF-8: the transport's error (RFC 6455, section 7.4.1), only found here.
    pub(crate) fn is_not_utf8(&self) -> bool {
        matches!(self, Self::Packet(PacketError::InvalidUtf8))
    }
}
