//! The HTTP part of a server's options, and why a server could not be built.

use crate::base::error::Refusal;
#[cfg(feature = "metrics")]
use crate::base::metrics::MetricsOptions;
use crate::base::runtime::{BoxFuture, LONGEST};
use crate::base::timing::Timing;
use crate::http::connections::ConnectionLimits;
use crate::http::files::Files;
use crate::http::handshake::Handshake;
#[cfg(feature = "record")]
use crate::http::recordings::Recordings;
use crate::http::refused::RefusedRequest;
use crate::websocket::{DeflateSettingError, PerMessageDeflate};
use http::header::HeaderMap;
use sansocket_protocol::engine::{Cookie, CookieError, EngineServerConfig, OriginError};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a server could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The system gave no random bytes, without which session ids are no secrets.
    #[error("the system's random number generator failed: {0}")]
    Entropy(#[source] io::Error),
    /// The directory given to `serve_client` cannot be read, or holds no client.
    #[error("cannot serve the client from {}: {error}", .directory.display())]
    Client {
        /// The directory.
        directory: PathBuf,
        /// The fault.
        #[source]
        error: io::Error,
    },
    /// The directory for recordings cannot be made.
    #[cfg(feature = "record")]
    #[error("cannot make the directory for recordings: {0}")]
    Recordings(#[source] io::Error),
    /// Requests are to be passed on among nodes that do not know each other's names.
    #[cfg(feature = "cluster")]
    #[error(
        "`forward_requests` is for the default dialect: nodes of the others do not know each other's names"
    )]
    NoForwarding,
    /// The option `transports` enables neither of them.
    #[error("`transports` is empty: enable polling, websocket, or both")]
    NoTransport,
    /// The option `max_payload` is 0.
    #[error("`max_payload` is 0: no message could be received")]
    NoPayload,
    /// The option `ping_timeout` is 0.
    #[error("`ping_timeout` is 0: every client would be given up at once")]
    NoPingTimeout,
    /// The cookie cannot be set.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The setting for origins cannot be used.
    #[error(transparent)]
    Origins(#[from] OriginError),
    /// A setting of `per_message_deflate` is out of its range.
    #[error(transparent)]
    Deflate(#[from] DeflateSettingError),
}

/// A decision of the application about a request that would open a session.
pub(crate) type AllowRequest = Box<dyn Fn(Handshake) -> BoxFuture<Result<(), Refusal>> + Send + Sync>;
/// A maker of session ids.
pub(crate) type MakeId = Box<dyn Fn(&Handshake) -> String + Send + Sync>;
/// The address of the client of a handshake.
pub(crate) type ClientAddress = Box<dyn Fn(&Handshake) -> Option<IpAddr> + Send + Sync>;
/// A choice among the subprotocols that a client offers.
pub(crate) type ChooseSubprotocol =
    Box<dyn for<'a> Fn(&Handshake, &[&'a str]) -> Option<&'a str> + Send + Sync>;
/// A choice of the cookie of a session.
pub(crate) type ChooseCookie = Box<dyn Fn(&Handshake, Cookie) -> Option<Cookie> + Send + Sync>;
/// A change of the headers of responses.
pub(crate) type ChangeHeaders = Box<dyn Fn(&http::request::Parts, &mut HeaderMap) + Send + Sync>;
/// A listener for requests that were refused.
pub(crate) type OnRefused = Box<dyn Fn(&RefusedRequest) + Send + Sync>;

/// The application's hooks into HTTP.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) allow_request: Option<AllowRequest>,
    pub(crate) make_id: Option<MakeId>,
    pub(crate) client_address: Option<ClientAddress>,
    pub(crate) cookie: Option<ChooseCookie>,
    pub(crate) subprotocol: Option<ChooseSubprotocol>,
    pub(crate) initial_headers: Option<ChangeHeaders>,
    pub(crate) headers: Option<ChangeHeaders>,
    pub(crate) refused: Option<OnRefused>,
}

/// Deadlines against peers that are slow on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// The time for the first head of a connection.
    pub(crate) first_head: Duration,
    /// The time for a later head, from its first byte on.
    pub(crate) head: Duration,
    /// The time that a connection may be idle between two requests.
    pub(crate) keep_alive: Duration,
    /// The time for the body of a POST.
    pub(crate) body: Duration,
    /// The time for a TLS handshake.
    pub(crate) tls: Duration,
    /// The time in which a client may take nothing of a response.
    pub(crate) write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_head: Duration::from_secs(10),
            head: Duration::from_secs(10),
            // More than the 60 s of common load balancers: the end that closes first loses no request.
            keep_alive: Duration::from_secs(75),
            body: Duration::from_secs(30),
            tls: Duration::from_secs(10),
            write: Duration::from_secs(30),
        }
    }
}

/// Where the browser's client comes from.
pub(crate) enum ClientFiles {
    Directory(PathBuf),
    #[cfg(feature = "client-bundle")]
    Bundle,
}

/// The options of a server that concern Engine.IO and HTTP.
pub(crate) struct HttpOptions {
    pub(crate) engine: EngineServerConfig,
    pub(crate) hooks: Hooks,
    pub(crate) deadlines: Deadlines,
    pub(crate) connections: ConnectionLimits,
    /// The largest head of a request.
    pub(crate) max_head: usize,
    /// The browser's client, if it is served.
    pub(crate) client: Option<ClientFiles>,
    /// The metrics, if they are recorded.
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<MetricsOptions>,
    /// The recordings of sessions, if they are made.
    #[cfg(feature = "record")]
    pub(crate) recordings: Option<Recordings>,
    /// The latest request of each session is kept.
    pub(crate) keep_latest_request: bool,
    /// The compression of WebSocket messages, if it is offered.
    pub(crate) deflate: Option<PerMessageDeflate>,
    /// The size from which answers to polls are compressed, if they are.
    pub(crate) http_compression: Option<usize>,
}

impl HttpOptions {
    /// The reference's defaults, under that path.
    pub(crate) fn new(path: &str) -> Self {
        Self {
            engine: EngineServerConfig::default().path(path),
            hooks: Hooks::default(),
            deadlines: Deadlines::default(),
            connections: ConnectionLimits::default(),
            // As in Node: a session keeps the head that opened it.
            max_head: 16 << 10,
            client: None,
            #[cfg(feature = "metrics")]
            metrics: None,
            #[cfg(feature = "record")]
            recordings: None,
            keep_latest_request: false,
            deflate: None,
            http_compression: None,
        }
    }

    /// Refuses values that cannot work.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if !self.engine.transports.polling && !self.engine.transports.websocket {
            return Err(BuildError::NoTransport);
        }
        if self.engine.max_payload == 0 {
            return Err(BuildError::NoPayload);
        }
        if let Some(cookie) = &self.engine.cookie {
            cookie.check()?;
        }
        if let Some(origins) = &self.engine.origins {
            origins.check()?;
        }
        if let Some(deflate) = &self.deflate {
            deflate.check()?;
        }
        if self.engine.ping_timeout.is_zero() {
            return Err(BuildError::NoPingTimeout);
        }
        Ok(())
    }

    /// The recorders of durations, if metrics are recorded.
    pub(super) fn timing(&self) -> Timing {
        #[cfg(feature = "metrics")]
        return Timing::new(self.metrics.as_ref());
        #[cfg(not(feature = "metrics"))]
        Timing
    }

    /// The deadlines, none of them beyond what can be added to the time.
    pub(super) fn deadlines(&self) -> Deadlines {
        let mut deadlines = self.deadlines;
        // They are added to the time.
        for deadline in
            [&mut deadlines.first_head, &mut deadlines.head, &mut deadlines.keep_alive, &mut deadlines.write]
        {
            *deadline = (*deadline).min(LONGEST);
        }
        deadlines
    }

    /// The files of the browser's client, if they are served.
    pub(super) fn files(&self) -> Result<Files, BuildError> {
        match &self.client {
            #[cfg(feature = "client-bundle")]
            Some(ClientFiles::Bundle) => Files::bundle()
                .map_err(|error| BuildError::Client { directory: PathBuf::from("the bundle"), error }),
            Some(ClientFiles::Directory(directory)) => Files::read(directory)
                .map_err(|error| BuildError::Client { directory: directory.clone(), error }),
            None => Ok(Files::default()),
        }
    }
}
