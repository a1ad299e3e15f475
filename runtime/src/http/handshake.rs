//! The request that opened a session, as the application sees it.

use crate::http::convert::HeaderView;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Request, Uri};
use sansocket_protocol::engine::{Headers, pairs};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// The request that opened a session: its headers, its query, who sent it, and when. Cheap to clone.
///
/// It is kept as long as the session lives. Every handler can take it as a parameter.
///
/// ```
/// use sansocket_runtime::{Handshake, Server};
///
/// fn register(io: &Server) {
///     io.on_connected(async |handshake: Handshake| {
///         let agent = handshake.headers().get("user-agent");
///         let room = handshake.query_value("room");
///         println!("{agent:?} from {:?} asks for {room:?}", handshake.peer_addr());
///     });
/// }
/// ```
#[derive(Clone)]
pub struct Handshake(Arc<Inner>);

struct Inner {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    peer: Option<SocketAddr>,
    secure: bool,
    time: SystemTime,
}

impl Handshake {
    pub(crate) fn new<B>(request: &Request<B>, connection: ConnInfo) -> Self {
        let mut extensions = request.extensions().clone();
        // hyper's own: it would keep the connection's parts alive.
        extensions.remove::<hyper::upgrade::OnUpgrade>();
        let (uri, headers) = own(request.uri(), request.headers());
        let peer = connection.peer.or_else(|| extensions.get::<SocketAddr>().copied());
        Self(Arc::new(Inner {
            uri,
            headers,
            extensions,
            peer,
            secure: connection.secure,
            time: SystemTime::now(),
        }))
    }

    /// The headers, without those of the WebSocket handshake.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The target of the request.
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// The pairs of the query, decoded, Engine.IO's own among them.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        pairs(self.0.uri.query().unwrap_or(""))
    }

    /// The first value of that name in the query.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The address at the other end of the TCP connection, which may be a proxy's. A host framework tells it by
    /// a `SocketAddr` among the request's extensions.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Returns whether the connection came over TLS that this server ended. Behind a proxy, see its headers instead.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// When the request arrived.
    pub fn time(&self) -> SystemTime {
        self.0.time
    }

    /// The value of that type that a host framework's middleware put on the request.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.extensions.get()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may hold secrets.
        f.debug_struct("Handshake").field("path", &self.0.uri.path()).field("peer", &self.0.peer).finish()
    }
}

/// As an object, like JavaScript's `socket.handshake`: `headers`, `query`, `url`, `address`, `secure`, and `issued` in
/// milliseconds since 1970. Of a parameter that comes several times the last value counts. Headers and query may hold
/// secrets, cookies among them: do not send them to other clients.
impl Serialize for Handshake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = HeaderView::of(&self.0.headers);
        let headers: BTreeMap<_, _> =
            self.0.headers.keys().map(|name| (name.as_str(), view.header(name.as_str()))).collect();
        let query: BTreeMap<_, _> = self.query().collect();
        let issued = self.0.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut fields = serializer.serialize_struct("Handshake", 6)?;
        fields.serialize_field("headers", &headers)?;
        fields.serialize_field("query", &query)?;
        fields.serialize_field("url", &self.0.uri.to_string())?;
        fields.serialize_field("address", &self.0.peer.map(|peer| peer.ip()))?;
        fields.serialize_field("secure", &self.0.secure)?;
        fields.serialize_field("issued", &u64::try_from(issued).unwrap_or(u64::MAX))?;
        fields.end()
    }
}

/// The headers of the WebSocket handshake alone: not worth their memory for the life of a session.
const LEFT_OUT: [&str; 5] =
    ["connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"];

/// A copy of the request's head in one piece of memory: hyper's own are slices of the connection's read buffer and
/// would keep all of that alive.
fn own(uri: &Uri, headers: &HeaderMap) -> (Uri, HeaderMap) {
    let kept = || headers.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    let mut text = uri.to_string().into_bytes();
    let uri_end = text.len();
    let mut count = 0;
    for (_, value) in kept() {
        text.extend_from_slice(value.as_bytes());
        count += 1;
    }
    let text = Bytes::from(text);
    let owned_uri = Uri::from_maybe_shared(text.slice(..uri_end)).unwrap_or_default();
    let mut owned = HeaderMap::with_capacity(count);
    let mut at = uri_end;
    for (name, value) in kept() {
        let end = at + value.len();
        // The value was valid where it came from.
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(at..end)) {
            owned.append(name.clone(), value);
        }
        at = end;
    }
    (owned_uri, owned)
}

/// The facts about a connection that its listener knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnInfo {
    /// The address at its other end.
    pub peer: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub secure: bool,
}
