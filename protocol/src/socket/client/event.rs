//! What the application should know about its sockets.

use crate::cost;
use crate::socket::json::args::Args;
use crate::socket::packet::Packet;
use crate::socket::server::{AckOutcome, SocketKey};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use bytes::Bytes;
use serde_json::value::RawValue;
use thiserror::Error;

/// Why a server did not let a socket into its namespace. It is not asked again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It said no.
    #[error("the server refused the namespace: {message}")]
    Refused {
        /// Why, in its own words.
        message: String,
        /// What else it said, as JSON.
        data: Option<Bytes>,
    },
    /// It answered like a server of the 2.x line, without an id.
    #[error("the server speaks another protocol revision (Socket.IO 2.x); this client needs 3.x or newer")]
    OldServer,
    /// It sent DISCONNECT in place of an answer.
    #[error("the server disconnected the namespace before it had let this client in")]
    Disconnected,
    /// It did not answer in time.
    #[error("the server did not answer in time whether it lets this client into the namespace")]
    Timeout,
}

/// What the application should know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientSocketEvent {
    /// The socket is about to join, and its auth is to be given anew: [`Manager::authenticate`] it. Only for
    /// sockets with [`Auth::Ask`](crate::socket::client::AuthSource::Ask).
    ///
    /// [`Manager::authenticate`]: crate::client::Manager::authenticate
    Auth {
        /// Which one.
        socket: SocketKey,
    },
    /// The server let the socket in.
    Connected {
        /// Which one.
        socket: SocketKey,
        /// Which of its connections this is: see [`Manager::connection`](crate::client::Manager::connection). It may have ended
        /// by now, and another one be asked for.
        connection: u64,
        /// Its public id, for as long as it is connected.
        id: Arc<str>,
    },
    /// The server did not let the socket in (`connect_error`).
    Refused {
        /// Which one.
        socket: SocketKey,
        /// Which of its connections that would have been: see [`Manager::connection`](crate::client::Manager::connection). Who
        /// has asked for another one since need not take it for an answer.
        connection: u64,
        /// Why.
        error: JoinError,
    },
    /// An event arrived.
    Event {
        /// On which socket.
        socket: SocketKey,
        /// Its name and arguments.
        args: Args,
        /// The id to acknowledge with, if the server wants that.
        ack: Option<u64>,
    },
    /// An acknowledgement that was awaited is decided: once for each.
    Ack {
        /// Of which socket.
        socket: SocketKey,
        /// The id that it was awaited under.
        id: u64,
        /// How it ended.
        outcome: AckOutcome,
    },
    /// A connected socket is not connected any more. It joins again with the next session, unless the reason is
    /// [`IoServerDisconnect`](crate::reason::CloseReason::IoServerDisconnect) or
    /// [`IoClientDisconnect`](crate::reason::CloseReason::IoClientDisconnect).
    Disconnected {
        /// Which one.
        socket: SocketKey,
        /// Why.
        reason: crate::reason::CloseReason,
    },
}

impl ClientSocketEvent {
    /// Bytes that the server makes it hold while it waits.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Event { args, .. } | Self::Ack { outcome: AckOutcome::Answered(args), .. } => {
                args.wire_len().saturating_add(cost::EVENT)
            }
            Self::Refused { error: JoinError::Refused { message, data }, .. } => {
                let data = data.as_ref().map_or(0, Bytes::len);
                message.len().saturating_add(data).saturating_add(cost::EVENT)
            }
            Self::Connected { id, .. } => id.len().saturating_add(cost::EVENT),
            Self::Auth { .. } | Self::Refused { .. } | Self::Ack { .. } | Self::Disconnected { .. } => 0,
        }
    }
}

/// The id in a server's CONNECT.
pub(super) fn sid(packet: &Packet) -> Option<Arc<str>> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(packet.data()?).ok()?;
    let sid: String = serde_json::from_str(members.get("sid")?.get()).ok()?;
    Some(sid.into())
}

/// What a CONNECT_ERROR says. Servers send `{"message","data"}`; Python's and old ones a string, too.
pub(super) fn refusal(packet: &Packet) -> JoinError {
    let json = packet.data().unwrap_or_default();
    let as_text = |json: &str| serde_json::from_str::<String>(json).ok();
    if let Ok(members) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(json) {
        let message = members.get("message").map(|value| value.get());
        let message = message.map(|json| as_text(json).unwrap_or_else(|| json.to_string()));
        let data = members.get("data").map(|value| Bytes::copy_from_slice(value.get().as_bytes()));
        return JoinError::Refused { message: message.unwrap_or_default(), data };
    }
    let text = core::str::from_utf8(json).unwrap_or_default();
    JoinError::Refused { message: as_text(text).unwrap_or_else(|| text.to_string()), data: None }
}
