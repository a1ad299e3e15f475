//! The router of requests: to a session, or to a refusal (protocol v4, "HTTP", and the reference's order of checks).

use super::admission::{Admission, Grant, RegisterError};
use crate::engine::config::EngineServerConfig;
use crate::engine::origins::OriginDecision;
use crate::engine::request::{ParsedHead, RefusalCode, RequestHead, Response};
use crate::engine::{NodeMark, Revision, Source, TransportKind};
use crate::random::Random;
use crate::server::admission::RefusedHandshakes;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;

/// The way of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Route<K> {
    /// It is not for this server: its path is another one.
    Pass,
    /// It is answered already. Apply [`EngineServerConfig::decorate`] to the answer.
    Reply(Response),
    /// It may open a session. The application may still refuse it; [`Router::register`] commits.
    Open(Grant),
    /// It belongs to that session.
    Session(K),
}

/// The table of sessions. `K` is the caller's handle for one.
///
/// Sessions sit in an ordered map: its look-ups compare ids and hash nothing, so no choice of ids by a peer can
/// make them slow.
///
/// ```
/// use std::sync::Arc;
/// use sansocket_protocol::engine::EngineServerConfig;
/// use sansocket_protocol::engine::RequestHead;
/// use sansocket_protocol::random::Random;
/// use sansocket_protocol::server::{Route, Router};
///
/// let mut router = Router::new(Arc::new(EngineServerConfig::default()), Random::new([0; 32]));
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
    config: Arc<EngineServerConfig>,
    sessions: BTreeMap<Arc<str>, Entry<K>>,
    random: Random,
    mark: Option<NodeMark>,
    draining: bool,
    admission: Admission,
    opened: u64,
    refused: RefusedHandshakes,
}

#[derive(Debug)]
struct Entry<K> {
    session: K,
    /// The address that the session came from, if that is counted.
    source: Option<Source>,
}

impl<K: Clone> Router<K> {
    /// An empty table. `random` makes the session ids, which are secrets.
    pub fn new(config: Arc<EngineServerConfig>, random: Random) -> Self {
        let (admission, refused) = (Admission::default(), RefusedHandshakes::default());
        Self {
            config,
            sessions: BTreeMap::new(),
            random,
            mark: None,
            draining: false,
            admission,
            opened: 0,
            refused,
        }
    }

    /// Sets the mark of this node, which the ids of its sessions have from now on.
    pub fn set_mark(&mut self, mark: NodeMark) {
        self.mark = Some(mark);
    }

    /// Decides about a request by its head alone. Nothing changes.
    pub fn route(&self, head: &RequestHead<'_>) -> Route<K> {
        if self.config.matches(head.target) { self.route_any_path(head) } else { Route::Pass }
    }

    /// As [`Router::route`], for a host that has matched the path itself, and perhaps cut it.
    pub fn route_any_path(&self, head: &RequestHead<'_>) -> Route<K> {
        self.route_judged(&head.parse(), &self.config.judge(head))
    }

    /// As [`Router::route_any_path`], for a host that has parsed the head and asked [`EngineServerConfig::judge`] about the
    /// origin.
    pub fn route_judged(&self, parsed: &ParsedHead<'_>, origin: &OriginDecision<'_>) -> Route<K> {
        let (head, query, websocket) = (parsed.head(), parsed.query(), parsed.is_websocket_upgrade());
        let refuse = |code: RefusalCode| {
            Route::Reply(if websocket { Response::upgrade_refusal(code) } else { Response::refusal(code) })
        };
        if origin.is_refused() {
            return refuse(RefusalCode::Forbidden);
        }
        if head.method == "OPTIONS" {
            if let Some(origins) = &self.config.origins {
                return Route::Reply(origins.preflight(head));
            }
        }
        let Some(transport) = query.transport().filter(|kind| self.config.transports.contains(*kind)) else {
            return refuse(RefusalCode::UnknownTransport);
        };
        if let Some(id) = &query.session {
            return match self.sessions.get(&**id) {
                // Only GET opens a WebSocket; the session decides about the rest.
                Some(_) if websocket && head.method != "GET" => refuse(RefusalCode::BadHandshakeMethod),
                Some(entry) => Route::Session(entry.session.clone()),
                None => refuse(RefusalCode::UnknownSession),
            };
        }
        if head.method != "GET" {
            return refuse(RefusalCode::BadHandshakeMethod);
        }
        if websocket != (transport == TransportKind::WebSocket) {
            return refuse(RefusalCode::BadRequest);
        }
        // A script's request does not say which page it is for, and no browser keeps its answer from that page.
        let is_jsonp = query.jsonp.is_some() && transport == TransportKind::Polling;
        if is_jsonp && self.config.origins.as_ref().is_some_and(|origins| !origins.are_all()) {
            return refuse(RefusalCode::Forbidden);
        }
        match query.revision() {
            Revision::V3 if !self.config.allow_eio3 => refuse(RefusalCode::UnsupportedRevision),
            revision => Route::Open(Grant { transport, revision }),
        }
    }

    /// Asks the limits for a [`Route::Open`], before the application is asked: so a flood does not even reach that. It
    /// counts as a handshake whatever becomes of it. Without an address only the limits for all count.
    ///
    /// # Errors
    /// [`RegisterError`]; its [`response`](RegisterError::response) is for the client.
    pub fn admit(&mut self, now: Instant, address: Option<IpAddr>) -> Result<(), RegisterError> {
        let source = address.map(Source::from);
        let admitted = self.check_room().and_then(|()| self.admission.handshake(&self.config, now, source));
        admitted.inspect_err(|error| self.refused.count(*error))
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
        self.register_from(None, id, make)
    }

    /// As [`Router::register`], for a client at that address: `max_sessions_per_address` holds.
    ///
    /// # Errors
    /// [`RegisterError`]; its [`response`](RegisterError::response) is for the client.
    pub fn register_from(
        &mut self,
        address: Option<IpAddr>,
        id: Option<String>,
        make: impl FnOnce(&Arc<str>) -> K,
    ) -> Result<Arc<str>, RegisterError> {
        let source = address.map(Source::from).filter(|_| self.config.max_sessions_per_address.is_some());
        let id = self.fresh_id(source, id).inspect_err(|error| self.refused.count(*error))?;
        let session = make(&id);
        self.sessions.insert(id.clone(), Entry { session, source });
        if let Some(source) = source {
            self.admission.opened(&self.config, source);
        }
        self.opened = self.opened.saturating_add(1);
        Ok(id)
    }

    fn check_room(&self) -> Result<(), RegisterError> {
        if self.draining {
            Err(RegisterError::ShuttingDown)
        } else if self.sessions.len() >= self.config.max_sessions {
            Err(RegisterError::TooManySessions)
        } else {
            Ok(())
        }
    }

    fn fresh_id(&mut self, source: Option<Source>, id: Option<String>) -> Result<Arc<str>, RegisterError> {
        self.check_room()?;
        // Others of this address may have come in while the application was asked.
        self.admission.session(&self.config, source)?;
        let id: Arc<str> = match id {
            Some(id) if !is_id(&id) => return Err(RegisterError::BadId),
            Some(id) => id.into(),
            None => match self.mark {
                None => self.random.id().into(),
                Some(mark) => mark.put_into(self.random.id()).into(),
            },
        };
        if self.sessions.contains_key(&id) { Err(RegisterError::BadId) } else { Ok(id) }
    }

    /// Forgets a session.
    pub fn remove(&mut self, id: &str) -> Option<K> {
        let entry = self.sessions.remove(id)?;
        if let Some(source) = entry.source {
            self.admission.closed(&self.config, source);
        }
        Some(entry.session)
    }

    /// The number of sessions that were ever registered.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// The numbers of handshakes that the limits refused.
    pub fn refused(&self) -> RefusedHandshakes {
        self.refused
    }

    /// Stops registering sessions, for a shutdown.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The session of that id.
    pub fn session(&self, id: &str) -> Option<&K> {
        self.sessions.get(id).map(|entry| &entry.session)
    }

    /// The sessions, in the order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = &K> {
        self.sessions.values().map(|entry| &entry.session)
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Returns whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The settings.
    pub fn config(&self) -> &Arc<EngineServerConfig> {
        &self.config
    }
}

/// Returns whether an id reads the same in a query, a header and a log (the unreserved characters of RFC 3986, 2.3).
fn is_id(id: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !id.is_empty() && id.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::Headers;
    use crate::engine::{Origins, Transports};
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;
    use core::time::Duration;

    const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "websocket")];

    fn router(config: EngineServerConfig) -> Router<u32> {
        Router::new(Arc::new(config), Random::new([3; 32]))
    }

    fn ask(router: &Router<u32>, method: &str, query: &str, headers: &dyn Headers) -> String {
        let target = format!("/engine.io/{query}");
        match router.route(&RequestHead { method, target: &target, headers }) {
            Route::Pass => "pass".to_string(),
            Route::Reply(reply) => format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)),
            Route::Open(grant) => {
                format!("open websocket={}", grant.transport == TransportKind::WebSocket)
            }
            Route::Session(key) => format!("session {key}"),
        }
    }

    #[test]
    fn refusals_come_in_the_reference_order() {
        let router = router(EngineServerConfig::default());
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
    fn all_but_revision_4_is_revision_3_where_that_is_served() {
        let router = router(EngineServerConfig::default().allow_eio3(true));
        for (query, revision) in [
            ("?EIO=4&transport=polling", Revision::V4),
            ("?EIO=3&transport=polling", Revision::V3),
            ("?transport=polling", Revision::V3),
            ("?EIO=5&transport=polling", Revision::V3),
        ] {
            let target = format!("/engine.io/{query}");
            let head = RequestHead { method: "GET", target: &target, headers: &[] };
            let Route::Open(grant) = router.route(&head) else { panic!("{query}") };
            assert_eq!(grant.revision, revision, "{query}");
        }
    }

    #[test]
    fn where_origins_are_listed_there_is_no_jsonp() {
        let query = "?EIO=4&transport=polling&j=0";
        let open = router(EngineServerConfig::default().origins(Some(Origins::any())));
        assert!(ask(&open, "GET", query, &[]).starts_with("open"));
        let origins = Origins::list(["https://a.example"]);
        let router = router(EngineServerConfig::default().origins(Some(origins)));
        assert!(ask(&router, "GET", query, &[]).starts_with("403"));
        assert_eq!(ask(&router, "GET", "?EIO=4&transport=websocket&j=0", &UPGRADE), "open websocket=true");
    }

    #[test]
    fn a_websocket_handshake_is_refused_in_plain_words_before_the_switch() {
        let router = router(EngineServerConfig::default());
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
        let router = router(EngineServerConfig::default().transports(Transports::WEBSOCKET));
        assert!(ask(&router, "GET", "?EIO=4&transport=polling", &[]).contains("\"code\":0"));
    }

    #[test]
    fn preflight_is_answered_only_with_a_setting_for_origins() {
        let router = router(EngineServerConfig::default().origins(Some(Origins::any())));
        assert_eq!(ask(&router, "OPTIONS", "", &[]), "204 ");
    }

    #[test]
    fn one_setting_decides_for_handshakes_polls_websockets_and_preflights() {
        let mut router =
            router(EngineServerConfig::default().origins(Some(Origins::list(["https://a.example"]))));
        assert!(router.register(Some("sid".to_string()), |_| 7).is_ok());
        let forbidden = r#"{"code":4,"message":"Forbidden"}"#;
        let polling = "?EIO=4&transport=polling";
        for (method, query, upgrade, served, refused) in [
            ("GET", polling, false, "open websocket=false", forbidden),
            ("GET", "?EIO=4&transport=polling&sid=sid", false, "session 7", forbidden),
            ("POST", "?EIO=4&transport=polling&sid=sid", false, "session 7", forbidden),
            ("GET", "?EIO=4&transport=websocket", true, "open websocket=true", "Forbidden"),
            ("GET", "?EIO=4&transport=websocket&sid=sid", true, "session 7", "Forbidden"),
            ("OPTIONS", polling, false, "204 ", forbidden),
            ("OPTIONS", "?EIO=4&transport=polling&sid=sid", false, "204 ", forbidden),
        ] {
            let ask = |origin: &str| {
                let mut headers = vec![("host", "own.example")];
                headers.extend(if upgrade { &UPGRADE[..] } else { &[] });
                headers.extend(
                    Some(origin).filter(|origin| !origin.is_empty()).map(|origin| ("origin", origin)),
                );
                ask(&router, method, query, &headers.as_slice())
            };
            for origin in ["https://a.example", "https://own.example", ""] {
                assert_eq!(ask(origin), served, "{method} {query} of {origin:?}");
            }
            let status = if upgrade { 400 } else { 403 };
            assert_eq!(ask("https://evil.example"), format!("{status} {refused}"), "{method} {query}");
        }
    }

    #[test]
    fn ids_are_unique_even_if_the_application_repeats_one() {
        let mut router = router(EngineServerConfig::default());
        assert!(router.register(Some("mine".to_string()), |_| 1).is_ok());
        assert_eq!(router.register(Some("mine".to_string()), |_| 2), Err(RegisterError::BadId));
        for bad in ["", "a b", "a;b", "a\r\nb", "a&b", "a%41", "\u{e9}"] {
            assert_eq!(router.register(Some(bad.to_string()), |_| 2), Err(RegisterError::BadId), "{bad:?}");
        }
        assert_eq!(ask(&router, "GET", "?EIO=4&transport=polling&sid=mine", &[]), "session 1");
    }

    #[test]
    fn a_full_or_draining_server_takes_no_session() {
        let mut router = router(EngineServerConfig::default().max_sessions(1));
        router.register(None, |_| 1).unwrap();
        assert_eq!(router.register(None, |_| 2), Err(RegisterError::TooManySessions));
        router.drain();
        assert_eq!(router.register(None, |_| 2), Err(RegisterError::ShuttingDown));
        let grant = Grant { transport: TransportKind::Polling, revision: Revision::V4 };
        assert_eq!(RegisterError::ShuttingDown.response(&grant).status, 503);
        assert_eq!((router.opened(), router.refused().sessions, router.refused().shutting_down), (1, 1, 1));
    }

    #[test]
    fn a_refusal_by_a_limit_is_429_or_503_in_json_on_both_transports() {
        let wait = Duration::from_millis(1001);
        for (error, status, message, retry_after) in [
            (RegisterError::TooManySessions, 503, "Too many sessions", None),
            (RegisterError::TooManySessionsFromAddress, 429, "Too many sessions from this address", None),
            (RegisterError::TooManyHandshakes { retry_after: wait }, 503, "Too many handshakes", Some("2")),
            (
                RegisterError::TooManyHandshakesFromAddress { retry_after: wait },
                429,
                "Too many handshakes from this address",
                Some("2"),
            ),
        ] {
            for transport in [TransportKind::Polling, TransportKind::WebSocket] {
                let response = error.response(&Grant { transport, revision: Revision::V4 });
                assert_eq!(response.status, status);
                assert_eq!(response.body, format!(r#"{{"code":4,"message":"{message}"}}"#));
                assert_eq!(response.get("retry-after"), retry_after);
                let closes = transport == TransportKind::WebSocket;
                assert_eq!(response.get("connection"), closes.then_some("close"));
            }
        }
    }

    #[test]
    fn sessions_of_an_address_are_counted_until_they_go() {
        let address = Some("192.0.2.1".parse().unwrap());
        let mut router = router(EngineServerConfig::default().max_sessions_per_address(Some(1)));
        assert_eq!(router.admit(Instant::ZERO, address), Ok(()));
        let id = router.register_from(address, None, |_| 1).unwrap();
        let full = Err(RegisterError::TooManySessionsFromAddress);
        assert_eq!(router.admit(Instant::ZERO, address), full);
        assert_eq!(router.register_from(address, None, |_| 2).map(drop), full);
        assert_eq!(router.admit(Instant::ZERO, Some("192.0.2.2".parse().unwrap())), Ok(()));
        assert_eq!(router.remove(&id), Some(1));
        assert_eq!(router.admit(Instant::ZERO, address), Ok(()));
        assert_eq!(router.refused().sessions_per_address, 2);
    }
}
