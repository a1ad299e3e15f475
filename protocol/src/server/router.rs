//! Which session is this request for, and may it open one? (protocol v4, "HTTP", and the reference's order of
//! checks)

use crate::engine::config::Config;
use crate::engine::request::{RefusalCode, RequestHead, Response};
use crate::random::Random;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use thiserror::Error;

/// Where a request goes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Route<K> {
    /// It is not for this server: its path is another one.
    Pass,
    /// It is answered already. [`Config::decorate`] is to be applied.
    Reply(Response),
    /// It may open a session. The application may still refuse it; [`Router::register`] commits.
    Open(Grant),
    /// It belongs to that session.
    Session(K),
}

/// That a request may open a session, if the application agrees.
#[derive(Debug)]
#[non_exhaustive]
pub struct Grant {
    /// Whether the session begins with a WebSocket.
    pub websocket: bool,
}

impl Grant {
    /// The answer to a client that the application does not let in, in its own words or the reference's
    /// (`Forbidden`). A WebSocket handshake gets the words alone.
    pub fn refuse(&self, message: Option<&str>) -> Response {
        let code = RefusalCode::Forbidden;
        let message = message.unwrap_or(code.message());
        if self.websocket {
            Response::upgrade_refusal(message)
        } else {
            Response::refusal_with(code, message)
        }
    }
}

/// Why a session was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The application's id generator gave an id that is in use, or empty, or that cannot stand in a URL and a
    /// cookie as it is.
    #[error(
        "the session id is in use already, empty, or has characters other than letters, digits and -._~: ids must be \
         unique and unguessable"
    )]
    BadId,
    /// `max_sessions` is reached.
    #[error("the server holds `max_sessions` sessions already")]
    TooManySessions,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl RegisterError {
    /// The answer to the client.
    pub fn response(self, grant: &Grant) -> Response {
        let message = match self {
            Self::BadId => RefusalCode::BadRequest.message(),
            Self::TooManySessions => "Too many sessions",
            Self::ShuttingDown => "Server shutting down",
        };
        if grant.websocket {
            Response::upgrade_refusal(message)
        } else if self == Self::BadId {
            Response::refusal(RefusalCode::BadRequest)
        } else {
            let mut response = Response::refusal_with(RefusalCode::Forbidden, message);
            response.status = 503;
            response
        }
    }
}

/// The table of sessions. `K` is the caller's handle for one.
///
/// Sessions sit in an ordered map: its look-ups compare ids and hash nothing, so no choice of ids by a peer can
/// make them slow.
///
/// ```
/// use std::sync::Arc;
/// use sansocket_protocol::engine::{config::Config, request::RequestHead};
/// use sansocket_protocol::random::Random;
/// use sansocket_protocol::server::{Route, Router};
///
/// let mut router = Router::new(Arc::new(Config::default()), Random::new([0; 32]));
/// let target = "/engine.io/?EIO=4&transport=polling";
/// let head = RequestHead { method: "GET", target, headers: &[] };
/// let Route::Open(_grant) = router.route(&head) else { panic!() };
/// let id = router.register(None, |_id| 7).unwrap();
///
/// let target = format!("{target}&sid={id}");
/// let head = RequestHead { method: "GET", target: &target, headers: &[] };
/// assert!(matches!(router.route(&head), Route::Session(7)));
/// ```
#[derive(Debug)]
pub struct Router<K> {
    config: Arc<Config>,
    sessions: BTreeMap<Arc<str>, K>,
    random: Random,
    draining: bool,
}

impl<K: Clone> Router<K> {
    /// An empty table. `random` makes the session ids, which are secrets.
    pub fn new(config: Arc<Config>, random: Random) -> Self {
        Self { config, sessions: BTreeMap::new(), random, draining: false }
    }

    /// Decides about a request by its head alone. Nothing changes.
    pub fn route(&self, head: &RequestHead<'_>) -> Route<K> {
        if self.config.matches(head.target) { self.route_any_path(head) } else { Route::Pass }
    }

    /// As [`Router::route`], for a host that has matched the path itself, and perhaps cut it.
    pub fn route_any_path(&self, head: &RequestHead<'_>) -> Route<K> {
        if head.method == "OPTIONS" {
            if let Some(cors) = &self.config.cors {
                return Route::Reply(cors.preflight(head));
            }
        }
        let websocket = head.is_websocket_upgrade();
        let refuse = |code: RefusalCode| {
            Route::Reply(if websocket {
                Response::upgrade_refusal(code.message())
            } else {
                Response::refusal(code)
            })
        };
        if head.headers.header("origin").is_some_and(|origin| !self.config.allowed_origins.contain(origin)) {
            return refuse(RefusalCode::Forbidden);
        }
        let query = head.query();
        let transports = self.config.transports;
        let known = match query.transport.as_deref() {
            Some("polling") => transports.polling,
            Some("websocket") => transports.websocket,
            _ => false,
        };
        if !known {
            return refuse(RefusalCode::UnknownTransport);
        }
        if let Some(id) = query.session {
            return match self.sessions.get(&*id) {
                // Only GET opens a WebSocket; the session decides about the rest.
                Some(_) if websocket && head.method != "GET" => refuse(RefusalCode::BadHandshakeMethod),
                Some(session) => Route::Session(session.clone()),
                None => refuse(RefusalCode::UnknownSession),
            };
        }
        if head.method != "GET" {
            return refuse(RefusalCode::BadHandshakeMethod);
        }
        if websocket != (query.transport.as_deref() == Some("websocket")) {
            return refuse(RefusalCode::BadRequest);
        }
        if query.revision.as_deref() != Some("4") {
            return refuse(RefusalCode::UnsupportedRevision);
        }
        Route::Open(Grant { websocket })
    }

    /// Commits a [`Route::Open`]: draws an id, or takes the application's own, and enters what `make` returns
    /// for it.
    ///
    /// # Errors
    /// [`RegisterError`]; its [`response`](RegisterError::response) is for the client.
    pub fn register(
        &mut self,
        id: Option<String>,
        make: impl FnOnce(&Arc<str>) -> K,
    ) -> Result<Arc<str>, RegisterError> {
        if self.draining {
            return Err(RegisterError::ShuttingDown);
        }
        if self.sessions.len() >= self.config.max_sessions {
            return Err(RegisterError::TooManySessions);
        }
        let id: Arc<str> = match id {
            Some(id) if !is_id(&id) => return Err(RegisterError::BadId),
            Some(id) => id.into(),
            None => self.random.id().into(),
        };
        if self.sessions.contains_key(&id) {
            return Err(RegisterError::BadId);
        }
        let session = make(&id);
        self.sessions.insert(id.clone(), session);
        Ok(id)
    }

    /// Forgets a session.
    pub fn remove(&mut self, id: &str) -> Option<K> {
        self.sessions.remove(id)
    }

    /// From here on no session is registered.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The sessions, in the order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = &K> {
        self.sessions.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

/// Whether an id reads the same in a query, a header and a log (the unreserved characters of RFC 3986, 2.3).
fn is_id(id: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !id.is_empty() && id.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::{Cors, Origins, Transports};
    use crate::engine::request::Headers;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "websocket")];

    fn router(config: Config) -> Router<u32> {
        Router::new(Arc::new(config), Random::new([3; 32]))
    }

    fn ask(router: &Router<u32>, method: &str, query: &str, headers: &dyn Headers) -> String {
        let target = format!("/engine.io/{query}");
        match router.route(&RequestHead { method, target: &target, headers }) {
            Route::Pass => "pass".to_string(),
            Route::Reply(reply) => format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)),
            Route::Open(grant) => format!("open websocket={}", grant.websocket),
            Route::Session(key) => format!("session {key}"),
        }
    }

    #[test]
    fn refusals_come_in_the_reference_order() {
        let router = router(Config::default());
        let refusal = |code, message| format!(r#"400 {{"code":{code},"message":"{message}"}}"#);
        for (method, query, code, message) in [
            ("GET", "?EIO=4", 0, "Transport unknown"),
            ("GET", "?EIO=4&transport=constructor", 0, "Transport unknown"),
            ("GET", "?EIO=4&transport=webtransport", 0, "Transport unknown"),
            ("PUT", "?transport=abc", 0, "Transport unknown"),
            ("GET", "?EIO=4&transport=polling&sid=__proto__", 1, "Session ID unknown"),
            ("POST", "?EIO=4&transport=polling", 2, "Bad handshake method"),
            ("POST", "?EIO=4&transport=polling&sid=", 2, "Bad handshake method"),
            ("OPTIONS", "?EIO=4&transport=polling", 2, "Bad handshake method"),
            ("GET", "?EIO=4&transport=websocket", 3, "Bad request"),
            ("GET", "?transport=polling", 5, "Unsupported protocol version"),
            ("GET", "?EIO=3&transport=polling", 5, "Unsupported protocol version"),
            ("GET", "?EIO=5&transport=polling", 5, "Unsupported protocol version"),
        ] {
            assert_eq!(ask(&router, method, query, &[]), refusal(code, message), "{method} {query}");
        }
        assert_eq!(ask(&router, "GET", "?EIO=3&EIO=4&transport=polling&sid=", &[]), "open websocket=false");
    }

    #[test]
    fn a_websocket_handshake_is_refused_in_plain_words_before_the_switch() {
        let router = router(Config::default());
        for (method, query, message) in [
            ("GET", "?EIO=4&transport=websocket&sid=nope", "Session ID unknown"),
            ("POST", "?EIO=4&transport=websocket", "Bad handshake method"),
            ("GET", "?EIO=4&transport=abc", "Transport unknown"),
            ("GET", "?EIO=4&transport=polling", "Bad request"),
            ("GET", "?transport=websocket", "Unsupported protocol version"),
        ] {
            assert_eq!(ask(&router, method, query, &UPGRADE), format!("400 {message}"), "{query}");
        }
        assert_eq!(ask(&router, "GET", "?EIO=4&transport=websocket", &UPGRADE), "open websocket=true");
    }

    #[test]
    fn a_disabled_transport_is_unknown() {
        let router = router(Config::default().transports(Transports::WEBSOCKET));
        assert!(ask(&router, "GET", "?EIO=4&transport=polling", &[]).contains("\"code\":0"));
    }

    #[test]
    fn preflight_is_answered_only_with_cors() {
        let router = router(Config::default().cors(Some(Cors::any())));
        assert_eq!(ask(&router, "OPTIONS", "", &[]), "204 ");
    }

    #[test]
    fn a_foreign_origin_is_refused_when_origins_are_listed() {
        let origins = Origins::List(vec!["https://a.example".to_string()]);
        let router = router(Config::default().allowed_origins(origins));
        let query = "?EIO=4&transport=polling";
        assert!(ask(&router, "GET", query, &[("origin", "https://evil.example")]).starts_with("403"));
        assert!(ask(&router, "GET", query, &[("origin", "https://a.example")]).starts_with("open"));
        assert!(ask(&router, "GET", query, &[]).starts_with("open"));
    }

    #[test]
    fn ids_are_unique_even_if_the_application_repeats_one() {
        let mut router = router(Config::default());
        assert!(router.register(Some("mine".to_string()), |_| 1).is_ok());
        assert_eq!(router.register(Some("mine".to_string()), |_| 2), Err(RegisterError::BadId));
        for bad in ["", "a b", "a;b", "a\r\nb", "a&b", "a%41", "\u{e9}"] {
            assert_eq!(router.register(Some(bad.to_string()), |_| 2), Err(RegisterError::BadId), "{bad:?}");
        }
        assert_eq!(ask(&router, "GET", "?EIO=4&transport=polling&sid=mine", &[]), "session 1");
    }

    #[test]
    fn a_full_or_draining_server_takes_no_session() {
        let mut router = router(Config::default().max_sessions(1));
        router.register(None, |_| 1).unwrap();
        assert_eq!(router.register(None, |_| 2), Err(RegisterError::TooManySessions));
        router.drain();
        assert_eq!(router.register(None, |_| 2), Err(RegisterError::ShuttingDown));
        assert_eq!(RegisterError::ShuttingDown.response(&Grant { websocket: false }).status, 503);
    }
}
