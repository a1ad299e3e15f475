//! The request that opened a session, as the application sees it.

use crate::base::upgrade::HostStream;
use crate::http::convert::HeaderView;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Uri};
use sansocket_protocol::engine::{Headers, pairs};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
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
    head: Head,
    extensions: Extensions,
    peer: Option<SocketAddr>,
    secure: bool,
    time: SystemTime,
}

impl Handshake {
    pub(crate) fn new<B>(request: &Request<B>, connection: ConnInfo) -> Self {
        // A map that something was taken out of is copied with all its memory.
        let mut extensions = match request.extensions() {
            some if !some.is_empty() => some.clone(),
            _ => Extensions::new(),
        };
        // They would keep the connection's parts alive.
        extensions.remove::<hyper::upgrade::OnUpgrade>();
        extensions.remove::<HostStream>();
        let peer = connection.peer.or_else(|| extensions.get::<SocketAddr>().copied());
        Self(Arc::new(Inner {
            head: Head::new(request.uri(), request.headers()),
            extensions,
            peer,
            secure: connection.secure,
            time: SystemTime::now(),
        }))
    }

    /// The headers, without those of the WebSocket handshake.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.head.parsed().headers
    }

    /// The target of the request.
    pub fn uri(&self) -> &Uri {
        &self.0.head.parsed().uri
    }

    /// The pairs of the query, decoded, Engine.IO's own among them.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        pairs(self.0.head.query())
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
        let path = self.uri().path();
        f.debug_struct("Handshake").field("path", &path).field("peer", &self.0.peer).finish()
    }
}

/// As an object, like JavaScript's `socket.handshake`: `headers`, `query`, `url`, `address`, `secure`, and `issued` in
/// milliseconds since 1970. Of a parameter that comes several times the last value counts. Headers and query may hold
/// secrets, cookies among them: do not send them to other clients.
impl Serialize for Handshake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = self.headers();
        let view = HeaderView::of(headers);
        let headers: BTreeMap<_, _> =
            headers.keys().map(|name| (name.as_str(), view.header(name.as_str()))).collect();
        let query: BTreeMap<_, _> = self.query().collect();
        let issued = self.0.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut fields = serializer.serialize_struct("Handshake", 6)?;
        fields.serialize_field("headers", &headers)?;
        fields.serialize_field("query", &query)?;
        fields.serialize_field("url", &self.uri().to_string())?;
        fields.serialize_field("address", &self.0.peer.map(|peer| peer.ip()))?;
        fields.serialize_field("secure", &self.0.secure)?;
        fields.serialize_field("issued", &u64::try_from(issued).unwrap_or(u64::MAX))?;
        fields.end()
    }
}

/// The headers of the WebSocket handshake alone: not worth their memory for the life of a session.
const LEFT_OUT: [&str; 5] =
    ["connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"];

/// A copy of a request's head in one piece of memory: hyper's own parts are slices of the connection's read buffer and
/// would keep all of that alive. Most applications never look at it, so it is text until one does.
struct Head {
    /// The target, and a line for each header, as in HTTP: no name has a colon, and no value a line's end.
    text: Bytes,
    /// The length of the target.
    target: usize,
    parsed: OnceLock<Box<ParsedHead>>,
}

struct ParsedHead {
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    fn new(uri: &Uri, headers: &HeaderMap) -> Self {
        let kept = || headers.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
        let target = match (uri.scheme(), uri.authority(), uri.path_and_query()) {
            (None, None, Some(target)) => Cow::Borrowed(target.as_str()),
            _ => Cow::Owned(uri.to_string()),
        };
        let lines: usize = kept().map(|(name, value)| name.as_str().len() + value.len() + 2).sum();
        let mut text = Vec::with_capacity(target.len() + lines);
        text.extend_from_slice(target.as_bytes());
        for (name, value) in kept() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        Self { text: text.into(), target: target.len(), parsed: OnceLock::new() }
    }

    fn parsed(&self) -> &ParsedHead {
        self.parsed.get_or_init(|| {
            let (target, lines) = (self.text.slice(..self.target), self.text.slice(self.target..));
            let mut headers = HeaderMap::new();
            for line in lines.split(|byte| *byte == b'\n') {
                let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
                let value = lines.slice_ref(&line[colon + 1..]);
                // Both were valid where they came from.
                if let (Ok(name), Ok(value)) =
                    (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_maybe_shared(value))
                {
                    headers.append(name, value);
                }
            }
            Box::new(ParsedHead { uri: Uri::from_maybe_shared(target).unwrap_or_default(), headers })
        })
    }

    fn query(&self) -> &str {
        let target = std::str::from_utf8(&self.text[..self.target]).unwrap_or_default();
        target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// The facts about a connection that its listener knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnInfo {
    /// The address at its other end.
    pub peer: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_request_is_what_it_was() {
        for (target, query) in [
            ("/socket.io/?EIO=4&room=a%20b", "EIO=4&room=a%20b"),
            ("http://user@host.example:80/x?y?z", "y?z"),
            ("/", ""),
        ] {
            let request = Request::get(target)
                .header("Host", "host.example")
                .header("cookie", "a=b: c")
                .header("x-twice", "1")
                .header("X-Twice", HeaderValue::from_bytes(b"\xff\t2").unwrap())
                .header("x-empty", "")
                .header("upgrade", "websocket");
            let request = request.body(()).unwrap();
            let handshake = Handshake::new(&request, ConnInfo::default());
            assert_eq!(handshake.uri(), request.uri());
            assert_eq!(handshake.uri().query().unwrap_or_default(), query);
            let decoded: Vec<_> = handshake.query().collect();
            assert_eq!(decoded, pairs(query).collect::<Vec<_>>());
            let mut headers = request.headers().clone();
            headers.remove("upgrade");
            assert_eq!(*handshake.headers(), headers);
        }
    }
}
