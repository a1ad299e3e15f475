//! Requests of clients on long-polling that reached another node than their session's, and their answers: the one kind of
//! message between nodes of this project's own that no peer has. It goes over channels of its own, one for each node.
//!
//! No more of a request goes over the bus than its session reads, and no more of an answer than a client gets:
//!
//! ```text
//!  "sf" 1 kind | number, 8 bytes | length of the sender's name, 1 byte | name |
//!      1 request    flags, length of the session's id, id, body
//!      2 taken
//!      3 response   status, 2 bytes | content | body
//!      4 refusal    code
//!      5 no session
//!      6 failure    reason
//!      7 cancelled
//! ```

use super::{Limits, MalformedError};
use crate::engine::{NodeMark, RefusalCode, RequestHead, Response, Revision, TransportKind};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use thiserror::Error;

/// The first bytes of each message: its format, and the version of that.
const FORMAT: [u8; 3] = *b"sf\x01";
/// The content type of a body in the binary form of revision 3.
const BINARY: &str = "application/octet-stream";

/// The place of the number, behind the format and the kind.
const NUMBER: core::ops::Range<usize> = 4..12;

const POST: u8 = 1;
const REVISION_3: u8 = 2;
const IS_BINARY: u8 = 4;
const MAY_COMPRESS: u8 = 128;

/// A request of a client on long-polling, as it is passed on to the node of its session.
///
/// ```
/// use sansocket_protocol::cluster::ForwardedRequest;
/// use sansocket_protocol::engine::RequestHead;
///
/// let target = "/socket.io/?EIO=4&transport=polling&sid=lv_VI97HAXpY6yYWAAAB&t=oxyz";
/// let head = RequestHead { method: "GET", target, headers: &[] };
/// let request = ForwardedRequest::of(&head).unwrap();
/// assert_eq!(request.target(), "/?EIO=4&transport=polling&sid=lv_VI97HAXpY6yYWAAAB");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardedRequest {
    /// The id of the session, a secret. It has a [`NodeMark`].
    pub session: Arc<str>,
    /// Whether it is a POST, and not a GET.
    pub is_post: bool,
    /// The revision of Engine.IO that it names.
    pub revision: Revision,
    /// Whether its head says that the body is bytes, as clients of revision 3 may.
    pub is_binary: bool,
    /// The body of a POST.
    pub body: Bytes,
}

impl core::fmt::Debug for ForwardedRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The session's id is a secret.
        let Self { is_post, revision, body, .. } = self;
        f.debug_struct("ForwardedRequest")
            .field("is_post", is_post)
            .field("revision", revision)
            .field("bytes", &body.len())
            .finish_non_exhaustive()
    }
}

impl ForwardedRequest {
    /// The request of that head, without its body. `None` if it is none that can be passed on: a WebSocket cannot, and a
    /// session's id without a mark says nothing of its node.
    pub fn of(head: &RequestHead<'_>) -> Option<Self> {
        let query = head.query();
        let session = query.session.as_deref().filter(|id| is_id(id))?;
        if head.is_websocket_upgrade() || query.transport() != Some(TransportKind::Polling) {
            return None;
        }
        let is_post = match head.method {
            "GET" => false,
            "POST" => true,
            _ => return None,
        };
        let is_binary = is_post && head.headers.header("content-type").is_some_and(|kind| kind == BINARY);
        Some(Self {
            session: session.into(),
            is_post,
            revision: query.revision(),
            is_binary,
            body: Bytes::new(),
        })
    }

    /// Sets [`body`](Self::body).
    #[must_use]
    pub fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Its method.
    pub fn method(&self) -> &'static str {
        if self.is_post { "POST" } else { "GET" }
    }

    /// Its target, as far as a session reads it.
    pub fn target(&self) -> String {
        let revision = if self.revision == Revision::V3 { 3 } else { 4 };
        format!("/?EIO={revision}&transport=polling&sid={}", self.session)
    }

    /// Its headers, as far as a session reads them.
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        if self.is_binary { &[("content-type", BINARY)] } else { &[] }
    }
}

/// The answer of a session to a request that was passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedAnswer {
    /// The response. Only its status, its body, and the content type of polls and posts are passed on.
    Response(Response),
    /// This node has no such session.
    NoSession,
    /// The request was not taken, or its answer cannot be passed on.
    Failed(ForwardFailure),
}

/// Why a node does not answer a request that was passed on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ForwardFailure {
    /// It has as many of them as it may have.
    Busy,
    /// The answer is larger than a message on the bus may be, or the session has ended without one.
    NoAnswer,
}

/// Why a request was not passed on to another node, or has no answer from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// This node passes no requests on.
    #[error("this node passes no requests on")]
    Off,
    /// The id of the session is of no live node that this one knows.
    #[error("the session is of no node that is there")]
    NoOwner,
    /// The session has ended.
    #[error("the node of the session does not have it any more")]
    NoSession,
    /// The bus is away, or this node leaves the cluster.
    #[error("the bus to the node of the session is away")]
    BusAway,
    /// The node of the session does not answer. It may not take such requests: the option is for all nodes of a cluster.
    #[error("the node of the session does not answer")]
    Silent,
    /// The node of the session has gone.
    #[error("the node of the session has gone")]
    Gone,
    /// The node of the session has too many such requests.
    #[error("the node of the session takes no more requests of other nodes")]
    Busy,
    /// The node of the session could not pass its answer on.
    #[error("the node of the session has no answer that can be passed on")]
    NoAnswer,
    /// This node has passed on as many requests as it may.
    #[error("more than {limit} requests for sessions of other nodes are open")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// This node has passed on as many requests of one address as it may.
    #[error("more than {limit} requests of one address for sessions of other nodes are open")]
    TooManyFromAddress {
        /// The limit.
        limit: usize,
    },
    /// The bodies of requests of one address would have more bytes than they may.
    #[error("requests of one address for sessions of other nodes have more than {limit} bytes")]
    TooManyBytesFromAddress {
        /// The limit.
        limit: usize,
    },
    /// Requests of one address come faster than they may.
    #[error(
        "requests of one address for sessions of other nodes come faster than `forward_rate_per_address` allows"
    )]
    TooOften {
        /// The time until the next one may come.
        retry_after: Duration,
    },
    /// Bodies and answers would have more bytes than they may.
    #[error("requests for sessions of other nodes, and their answers, have more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// The request is larger than a message on the bus may be.
    #[error("the request is larger than a message on the bus may be: {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl ForwardError {
    /// The answer that the client gets. It ends its session in all of them: what was on the way may be lost.
    pub fn response(&self) -> Response {
        match self {
            Self::Off | Self::NoOwner | Self::NoSession => Response::refusal(RefusalCode::UnknownSession),
            Self::TooLarge { .. } => Response::new(413),
            Self::TooManyFromAddress { .. } | Self::TooManyBytesFromAddress { .. } => too_many(),
            // In whole seconds (RFC 9110, 10.2.3), rounded up.
            Self::TooOften { retry_after } => {
                let seconds = retry_after.as_secs().saturating_add(u64::from(retry_after.subsec_nanos() > 0));
                too_many().header("retry-after", format!("{seconds}"))
            }
            _ => {
                let mut response =
                    Response::refusal_with(RefusalCode::UnknownSession, "Session on another node");
                response.status = 503;
                response
            }
        }
    }
}

/// The answer to one address that asks for more than its share.
fn too_many() -> Response {
    let mut response = Response::refusal_with(RefusalCode::Forbidden, "Too many requests from this address");
    response.status = 429;
    response
}

/// A message about a request that was passed on, with the number that its asker gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The node that says it.
    pub from: Arc<str>,
    /// The number of the request. Those of one asker rise.
    pub number: u64,
    /// The message itself.
    pub said: Said,
}

/// The content of a [`Forward`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said {
    /// To the node of the session: this is asked.
    Request(ForwardedRequest),
    /// To the asker: the session has it, and takes its time.
    Taken,
    /// To the asker: this is the answer.
    Answer(ForwardedAnswer),
    /// To the node of the session: the client has gone away.
    Cancelled,
}

impl Forward {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else.
    pub fn decode(payload: &Bytes, limits: &Limits) -> Result<Self, MalformedError> {
        if payload.len() > limits.payload_bytes {
            return Err(MalformedError::TooLarge { unit: "bytes", limit: limits.payload_bytes });
        }
        let mut reader = Reader { payload, at: 0 };
        if reader.take(FORMAT.len())? != FORMAT {
            return Err(MalformedError::Kind);
        }
        let kind = reader.byte()?;
        let number = reader.take(8)?.try_into().map(u64::from_be_bytes).map_err(|_| MalformedError::Kind)?;
        let from = reader.name("name")?;
        let said = match kind {
            1 => Said::Request(reader.request()?),
            2 => Said::Taken,
            3 => Said::Answer(ForwardedAnswer::Response(reader.response()?)),
            4 => {
                let code = refusal(reader.byte()?).ok_or(MalformedError::Field { field: "code" })?;
                Said::Answer(ForwardedAnswer::Response(Response::refusal(code)))
            }
            5 => Said::Answer(ForwardedAnswer::NoSession),
            6 => Said::Answer(ForwardedAnswer::Failed(match reader.byte()? {
                0 => ForwardFailure::Busy,
                1 => ForwardFailure::NoAnswer,
                _ => return Err(MalformedError::Field { field: "reason" }),
            })),
            7 => Said::Cancelled,
            _ => return Err(MalformedError::Kind),
        };
        if reader.at == payload.len() {
            Ok(Self { from, number, said })
        } else {
            Err(MalformedError::Field { field: "length" })
        }
    }

    /// Writes a message.
    pub fn encode(&self) -> Bytes {
        EncodedForward::new(&self.from, &self.said).numbered(self.number)
    }
}

/// A [`Forward`] in bytes, without its number. The node adds the number, so that the body is copied without the node's
/// lock. Made by a [`NodeEncoder`](crate::cluster::node::NodeEncoder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedForward(Vec<u8>);

impl EncodedForward {
    /// Encodes what a node of that name says.
    pub fn new(from: &str, said: &Said) -> Self {
        let body = match said {
            Said::Request(request) => &request.body,
            Said::Answer(ForwardedAnswer::Response(response)) => &response.body,
            Said::Taken | Said::Cancelled | Said::Answer(_) => &Bytes::new(),
        };
        let names = from.len().saturating_add(64);
        let mut bytes = Vec::with_capacity(body.len().saturating_add(names));
        bytes.extend_from_slice(&FORMAT);
        let mut begin = |kind: u8| {
            bytes.push(kind);
            bytes.extend_from_slice(&[0; NUMBER.end - NUMBER.start]);
            write_name(&mut bytes, from);
        };
        match said {
            Said::Request(request) => {
                begin(1);
                let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
                bytes.push(
                    flag(request.is_post, POST)
                        | flag(request.revision == Revision::V3, REVISION_3)
                        | flag(request.is_binary, IS_BINARY),
                );
                write_name(&mut bytes, &request.session);
                bytes.extend_from_slice(body);
            }
            Said::Taken => begin(2),
            Said::Answer(ForwardedAnswer::Response(response)) => match response.refused() {
                Some(refusal) => {
                    begin(4);
                    bytes.push(refusal.code as u8);
                }
                None => {
                    begin(3);
                    bytes.extend_from_slice(&response.status.to_be_bytes());
                    let compress = if response.may_compress() { MAY_COMPRESS } else { 0 };
                    bytes.push(Content::of(response) as u8 | compress);
                    bytes.extend_from_slice(body);
                }
            },
            Said::Answer(ForwardedAnswer::NoSession) => begin(5),
            Said::Answer(ForwardedAnswer::Failed(failure)) => {
                begin(6);
                bytes.push(*failure as u8);
            }
            Said::Cancelled => begin(7),
        }
        Self(bytes)
    }

    /// Adds the number. Copies nothing.
    pub fn numbered(mut self, number: u64) -> Bytes {
        if let Some(place) = self.0.get_mut(NUMBER) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        self.0.into()
    }
}

/// The kinds of responses that have a body, by their headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing = 0,
    Text = 1,
    Binary = 2,
    Posted = 3,
}

impl Content {
    fn of(response: &Response) -> Self {
        match response.get("content-type") {
            Some(BINARY) => Self::Binary,
            Some("text/html") => Self::Posted,
            Some(_) => Self::Text,
            None => Self::Nothing,
        }
    }
}

/// Returns whether it is an id of a session that has a mark: it reads the same in a query and in a log.
fn is_id(id: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    NodeMark::in_id(id).is_some() && id.bytes().all(unreserved)
}

fn refusal(code: u8) -> Option<RefusalCode> {
    Some(match code {
        0 => RefusalCode::UnknownTransport,
        1 => RefusalCode::UnknownSession,
        2 => RefusalCode::BadHandshakeMethod,
        3 => RefusalCode::BadRequest,
        4 => RefusalCode::Forbidden,
        5 => RefusalCode::UnsupportedRevision,
        _ => return None,
    })
}

/// The names of nodes and the ids of sessions are short. One that is not is cut, and nobody knows it.
fn write_name(bytes: &mut Vec<u8>, name: &str) {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    bytes.push(length);
    bytes.extend(name.bytes().take(length.into()));
}

struct Reader<'a> {
    payload: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedError> {
        let end = self.at.saturating_add(length);
        let taken = self.payload.get(self.at..end).ok_or(MalformedError::Field { field: "length" })?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, MalformedError> {
        self.take(1)?.first().copied().ok_or(MalformedError::Field { field: "length" })
    }

    fn name(&mut self, field: &'static str) -> Result<Arc<str>, MalformedError> {
        let length = self.byte()?;
        let name = core::str::from_utf8(self.take(length.into())?).ok();
        let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        name.filter(is_name).map(Arc::from).ok_or(MalformedError::Field { field })
    }

    fn rest(&mut self) -> Bytes {
        let rest = self.payload.slice(self.at.min(self.payload.len())..);
        self.at = self.payload.len();
        rest
    }

    fn request(&mut self) -> Result<ForwardedRequest, MalformedError> {
        let flags = self.byte()?;
        let (is_post, is_binary) = (flags & POST != 0, flags & IS_BINARY != 0);
        if flags & !(POST | REVISION_3 | IS_BINARY) != 0 || (is_binary && !is_post) {
            return Err(MalformedError::Field { field: "flags" });
        }
        let session = self.name("session")?;
        if !is_id(&session) {
            return Err(MalformedError::Field { field: "session" });
        }
        let body = self.rest();
        if !body.is_empty() && !is_post {
            return Err(MalformedError::Field { field: "body" });
        }
        let revision = if flags & REVISION_3 != 0 { Revision::V3 } else { Revision::V4 };
        Ok(ForwardedRequest { session, is_post, revision, is_binary, body })
    }

    /// A stranger could write headers of its own into the answers of this server, so it has none to choose but these.
    fn response(&mut self) -> Result<Response, MalformedError> {
        let status = self.take(2)?.try_into().map(u16::from_be_bytes).unwrap_or_default();
        let content = self.byte()?;
        let body = self.rest();
        let response = match (status, content & !MAY_COMPRESS) {
            (200, 1) => Response::poll(body),
            (200, 2) => Response::binary_poll(body),
            (200, 3) => Response::posted().body(body),
            (400 | 413, 0) if body.is_empty() => Response::new(status),
            _ => return Err(MalformedError::Field { field: "response" }),
        };
        Ok(response.compress(content & MAY_COMPRESS != 0))
    }
}
