//! The options of the admin UI.

use super::login::AdminSessions;
use crate::Socket;
use bcrypt::HashParts;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The time between two statistics, as in the references.
const INTERVAL: Duration = Duration::from_secs(2);
/// The bounds of that time: what happens in between is kept, second by second.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

/// Why a server could not be instrumented.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The password is no hash of bcrypt.
    #[error(
        "the admin UI's password must be a hash of bcrypt, such as `htpasswd -nbB` prints behind the name: {0}"
    )]
    Password(#[source] bcrypt::BcryptError),
    /// The server is instrumented already.
    #[error("the server is instrumented already: call `instrument` once")]
    Twice,
}

/// The events that the page is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Statistics, and every socket, room and event as it comes and goes.
    #[default]
    Development,
    /// Statistics alone. Commands work all the same.
    Production,
}

/// A check of what a page connects with, its `auth`.
pub(super) type Check = dyn Fn(&Value) -> bool + Send + Sync;
/// The application's data of a socket, for the page.
pub(super) type DataOf = dyn Fn(&Socket) -> Value + Send + Sync;

/// The clients that may use the namespace.
pub(super) enum Auth {
    Open,
    Basic { username: String, password: String },
    Check(Arc<Check>),
}

/// The options of [`Server::instrument`](crate::Server::instrument). The way to log in has no default.
///
/// ```
/// use sansocket_runtime::admin::{AdminOptions, Mode};
/// use std::time::Duration;
///
/// let options = AdminOptions::without_auth()
///     .mode(Mode::Production)
///     .read_only(true)
///     .server_id("eu-1")
///     .interval(Duration::from_secs(5));
/// ```
pub struct AdminOptions {
    pub(super) auth: Auth,
    pub(super) namespace: String,
    pub(super) server_id: Option<String>,
    pub(super) read_only: bool,
    pub(super) mode: Mode,
    pub(super) interval: Duration,
    pub(super) private_handshakes: bool,
    pub(super) data: Option<Arc<DataOf>>,
    pub(super) sessions: Option<Arc<dyn AdminSessions>>,
}

impl AdminOptions {
    fn new(auth: Auth) -> Self {
        Self {
            auth,
            namespace: "/admin".into(),
            server_id: None,
            read_only: false,
            mode: Mode::default(),
            interval: INTERVAL,
            private_handshakes: false,
            data: None,
            sessions: None,
        }
    }

    /// Lets in whoever knows the name and the password, of which only the hash of bcrypt is given here.
    ///
    /// A check takes a core for as long as the hash's cost says, in a thread of its own. Two may run at once, of different
    /// addresses; sixteen more wait for their turn, and the others are refused.
    ///
    /// # Errors
    /// [`AdminError::Password`] if `password` is no hash of bcrypt.
    pub fn basic(username: impl Into<String>, password: &str) -> Result<Self, AdminError> {
        password.parse::<HashParts>().map_err(AdminError::Password)?;
        Ok(Self::new(Auth::Basic { username: username.into(), password: password.into() }))
    }

    /// Lets in those whose `auth` passes: the page sends `{"username": .., "password": ..}`. The check must not block.
    pub fn with_check(check: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Auth::Check(Arc::new(check)))
    }

    /// Lets everybody in who reaches the server.
    pub fn without_auth() -> Self {
        Self::new(Auth::Open)
    }

    /// Sets the namespace. Default `/admin`, which is what the page asks for first.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.namespace = if name.starts_with('/') { name } else { format!("/{name}") };
        self
    }

    /// Sets the name by which the page knows this server. Default the machine's name: two servers of one machine must
    /// have different ones.
    pub fn server_id(mut self, id: impl Into<String>) -> Self {
        self.server_id = Some(id.into());
        self
    }

    /// Sets whether the page may only look. Default no.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets what the page is told. Default [`Mode::Development`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the time between two statistics: at least 100 ms, at most a minute. Default 2 s. Each visits every session,
    /// while a page is connected.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST, LONGEST);
        self
    }

    /// Sets whether the page is shown what says who somebody is: the headers `cookie`, `authorization` and
    /// `proxy-authorization`, and the values of the query, in which many clients have their token. Default no; the
    /// references show them.
    pub fn private_handshakes(mut self, show: bool) -> Self {
        self.private_handshakes = show;
        self
    }

    /// Sets what the page shows as the data of a socket, as it is when the socket connects and when the page does.
    /// Default nothing: the values that an application keeps with a socket have Rust's types.
    ///
    /// ```
    /// # use sansocket_runtime::admin::AdminOptions;
    /// struct Name(String);
    ///
    /// let options = AdminOptions::without_auth()
    ///     .data(|socket| socket.get::<Name>().map(|name| [("name", name.0.clone())].into_iter().collect::<std::collections::BTreeMap<_, _>>()));
    /// ```
    pub fn data<T: Serialize>(mut self, data: impl Fn(&Socket) -> T + Send + Sync + 'static) -> Self {
        self.data = Some(Arc::new(move |socket| serde_json::to_value(data(socket)).unwrap_or_default()));
        self
    }

    /// Sets where the sessions of pages that have logged in are kept. Default in memory, a day, and the latest thousand:
    /// then a page logs in again at each server that it reaches.
    pub fn sessions(mut self, sessions: impl AdminSessions) -> Self {
        self.sessions = Some(Arc::new(sessions));
        self
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hash stays out of logs.
        f.debug_struct("AdminOptions")
            .field("namespace", &self.namespace)
            .field("server_id", &self.server_id)
            .field("read_only", &self.read_only)
            .field("mode", &self.mode)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
