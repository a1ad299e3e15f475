//! The errors of building a client, of connecting, and of receiving.

use crate::base::error::BoxError;
use crate::client::net::proxy::ProxyError;
use crate::websocket::DeflateSettingError;
use http::HeaderName;
use sansocket_protocol::client::ServerAddrError;
use sansocket_protocol::engine::{ConfigError, EngineError};
use sansocket_protocol::error::{CloseReason, Closed, PeerError, SendError};
use sansocket_protocol::socket::{self, DataError};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// The error of a client that could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientBuildError {
    /// The address is not the URL of a server.
    #[error(transparent)]
    Url(#[from] ServerAddrError),
    /// The address of the proxy is none that is known here.
    #[error(
        "the address of the proxy must be `http://host:port`, `https://..` or `socks5://..`, perhaps with \
         `user:password@` before the host"
    )]
    Proxy,
    /// The path or a query parameter is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address asks for TLS, and the client has none.
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    /// The header is one that the client sets itself.
    #[error("the header `{0}` is the client's own: leave it out")]
    OwnHeader(HeaderName),
    /// The header's name or value has characters that no header has.
    #[error("the header `{0}` cannot be sent: its name or value has characters that no header has")]
    Header(String),
    /// The names of the subprotocols are not tokens of HTTP, or the list is too long.
    #[error(
        "`{0}` cannot be offered as WebSocket subprotocols: at most 32 names of letters, digits and -._~"
    )]
    Subprotocols(String),
    /// A setting of `per_message_deflate` is out of its range.
    #[error(transparent)]
    Deflate(#[from] DeflateSettingError),
    /// The auth cannot be written as JSON, or is not an object.
    #[error("the auth cannot be written as the JSON of an object: {0}")]
    Auth(#[source] sansocket_protocol::socket::EncodeError),
    /// The system gave a blocking client no thread.
    #[error("no thread for the client: {0}")]
    Thread(#[source] io::Error),
    /// The system gave no random bytes.
    #[error("the system's random number generator failed: {0}")]
    Entropy(#[source] BoxError),
}

/// The error of a client's socket that is not connected.
///
/// ```
/// use sansocket_runtime::{Client, ConnectError};
///
/// async fn connect(client: &Client) -> String {
///     match client.connect().await {
///         Ok(()) => "connected".into(),
///         Err(ConnectError::Refused(refusal)) => format!("not allowed: {}", refusal.message()),
///         Err(ConnectError::Application(error)) => format!("no token: {error}"),
///         Err(error) => error.to_string(),
///     }
/// }
/// ```
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no session with the server: it cannot be reached, is not a Socket.IO server, or refused.
    #[error("no session with the server: {}", describe(.closed, .error.as_deref()))]
    Session {
        /// The reason, in the protocol's words.
        closed: Closed,
        /// The error of the network, if it failed.
        #[source]
        error: Option<Arc<io::Error>>,
    },
    /// The server did not let the socket into its namespace.
    #[error("the server refused: {}", .0.message)]
    Refused(ServerRefusal),
    /// The server is of the 2.x line of Socket.IO.
    #[error("the server speaks another protocol revision (Socket.IO 2.x); this client needs 3.x or newer")]
    OldServer,
    /// The server let the socket in with an id of more than 1024 bytes, public or private.
    #[error("the server gave an id of more than 1024 bytes")]
    IdTooLong,
    /// The auth is larger than any message that the server takes.
    #[error("the auth is too large: {0}")]
    AuthTooLarge(#[source] SendError),
    /// The server did not say in time whether it lets the socket in.
    #[error("the server did not answer in time whether it lets this client into the namespace")]
    Timeout,
    /// The server disconnected the socket in place of an answer whether it lets it in.
    #[error("the server disconnected the namespace before it had let this client in")]
    Dismissed,
    /// The socket is not connected and will not be by itself: this side or the server has disconnected it, or it was
    /// never told to connect.
    #[error("the client was disconnected")]
    Disconnected,
    /// The client has tried as often as `reconnection_attempts` allows.
    #[error(
        "the server could not be reached, and the client gave up: raise `reconnection_attempts`, or connect again"
    )]
    GaveUp,
    /// The namespace's name has a comma in it.
    #[error("the name of a namespace must have no comma in it")]
    Namespace,
    /// The application's own error: of a callback that gives the address, the headers or the auth, or of options that
    /// make no client.
    #[error(transparent)]
    Application(Arc<dyn std::error::Error + Send + Sync>),
}

impl From<ProxyError> for ClientBuildError {
    fn from(error: ProxyError) -> Self {
        match error {
            ProxyError::Address => Self::Proxy,
            ProxyError::Authorization => Self::Header("proxy-authorization".to_owned()),
        }
    }
}

impl From<ClientBuildError> for ConnectError {
    fn from(error: ClientBuildError) -> Self {
        Self::application(error)
    }
}

/// The refusal of a server: its message, and data if it sent any.
///
/// ```
/// use sansocket_runtime::ConnectError;
///
/// fn retry_after(error: &ConnectError) -> Option<u64> {
///     let ConnectError::Refused(refusal) = error else { return None };
///     // In JavaScript's server: err.data = { retryAfter: 5 }
///     let data: serde_json::Value = refusal.data().ok()?;
///     data["retryAfter"].as_u64()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the server refused the connection: {message}")]
pub struct ServerRefusal {
    message: String,
    data: Option<socket::PacketData>,
}

impl ServerRefusal {
    /// The refusal, if the error is one.
    pub(crate) fn of(error: socket::JoinError) -> Option<Self> {
        match error {
            socket::JoinError::Refused { message, data } => Some(Self { message, data }),
            _ => None,
        }
    }

    /// Its message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The data beside the message (`err.data` in JavaScript).
    ///
    /// # Errors
    /// [`DataError`] if there is no data, or it does not have that type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        self.data.as_ref().ok_or_else(|| DataError::new("the server sent no data"))?.decode()
    }
}

/// The error of a loop that has nothing to take.
///
/// ```
/// use sansocket_runtime::{Events, ReceiveError};
/// use std::time::Duration;
///
/// async fn watch(mut events: Events) {
///     loop {
///         match events.next_within(Duration::from_secs(30)).await {
///             Ok(received) => println!("{}", received.event),
///             Err(ReceiveError::Timeout) => println!("silence"),
///             Err(_) => break,
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing came in time. Something may still come, even if the connection is lost for the moment.
    #[error("nothing came in time")]
    Timeout,
    /// The client is not connected and will not be by itself, and all that had come was taken.
    #[error("the client was disconnected")]
    Disconnected,
}

impl ReceiveError {
    /// The item that was waited for: `None` if it took too long, `Some(None)` at the end.
    pub(crate) fn judge<T>(waited: Option<Option<T>>) -> Result<T, Self> {
        waited.ok_or(Self::Timeout)?.ok_or(Self::Disconnected)
    }
}

impl ConnectError {
    pub(crate) fn application(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(error) => *error,
            // Handed back by a callback that has no fresher auth.
            Err(error) => match error.downcast::<ServerRefusal>() {
                Ok(refusal) => Self::Refused(*refusal),
                Err(error) => Self::Application(error.into()),
            },
        }
    }

    /// The server's mistake, if that is the reason.
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Session { closed, .. } => closed.detail.as_ref(),
            _ => None,
        }
    }
}

impl From<socket::JoinError> for ConnectError {
    fn from(error: socket::JoinError) -> Self {
        match error {
            socket::JoinError::Refused { message, data } => Self::Refused(ServerRefusal { message, data }),
            socket::JoinError::OldServer => Self::OldServer,
            socket::JoinError::IdTooLong => Self::IdTooLong,
            socket::JoinError::Disconnected => Self::Dismissed,
            socket::JoinError::Auth(error) => Self::AuthTooLarge(error),
            // The core may learn to say more; this crate is of its own version.
            _ => Self::Timeout,
        }
    }
}

fn describe(closed: &Closed, error: Option<&io::Error>) -> String {
    match (&closed.detail, error) {
        (Some(PeerError::Engine(EngineError::RequestFailed)) | None, Some(error)) => error.to_string(),
        (Some(detail), _) => detail.to_string(),
        (None, None) if closed.reason == CloseReason::TransportClose => "the server closed it".to_owned(),
        (None, None) => closed.reason.to_string(),
    }
}
