//! The messages of one node to the others, whatever the format on the bus.

use crate::hub::Target;
use crate::message::Frame;
use crate::socket::{Args, EncodeError, Parser, ToArgs};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A message with its sender and its namespace: what a dialect reads from the bus and writes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sender.
    pub origin: Origin,
    /// The node that an answer is meant for, where the format names it. `None` unless the message is an answer.
    pub to: Option<Arc<str>>,
    /// The namespace whose sockets are meant.
    pub namespace: Arc<str>,
    /// The bridge that copied this message from another family of peers. `None` for an original.
    pub via: Option<Arc<str>>,
    /// The message itself.
    pub message: Message,
}

impl Envelope {
    /// A message of a node to all others.
    pub fn new(node: impl Into<Arc<str>>, namespace: impl Into<Arc<str>>, message: Message) -> Self {
        Self { origin: Origin::Node(node.into()), to: None, namespace: namespace.into(), via: None, message }
    }

    /// Sets [`to`](Self::to): the node that asked.
    #[must_use]
    pub fn to(mut self, node: impl Into<Arc<str>>) -> Self {
        self.to = Some(node.into());
        self
    }

    /// Sets [`via`](Self::via).
    #[must_use]
    pub fn via(mut self, bridge: impl Into<Arc<str>>) -> Self {
        self.via = Some(bridge.into());
        self
    }
}

/// The sender of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A node, by the name that it gave itself: `uid` in JavaScript's formats, `host_id` in Python's.
    ///
    /// Python's write-only managers are nodes by this: their format does not tell them from servers.
    Node(Arc<str>),
    /// A process without a server, which only sends: JavaScript's emitters, all of the same name.
    Emitter,
    /// A sender that the message does not name. Answers of the classic format are like this.
    Unnamed,
}

/// The token by which a node knows what it asked. Answers carry it unchanged.
///
/// The text is the asker's own and means nothing to others. In Python's format it is the JSON of `callback`
/// (see [`Python::request`](super::python::Python::request)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A token with this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The wish that the recipients of an event acknowledge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckRequest {
    /// The token that the answers carry.
    pub request: RequestId,
    /// The time that the asker waits, if it says so. Later answers are of no use to it.
    pub timeout: Option<Duration>,
    /// The asker has one recipient in mind, and takes the first answer.
    pub single: bool,
}

impl AckRequest {
    /// A wish without a time limit, for any number of recipients.
    pub fn new(request: RequestId) -> Self {
        Self { request, timeout: None, single: false }
    }
}

/// A message between nodes.
///
/// The commands ([`Emit`](Self::Emit) to [`Disconnect`](Self::Disconnect)) are to be applied by every node to its
/// own sockets, so a [`Target`] means the same here as in the [`hub`](crate::hub).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Send an event to the sockets of a target.
    Emit {
        /// The event.
        event: Event,
        /// Its recipients.
        target: Target,
        /// The wish for acknowledgements, if there is one.
        ack: Option<AckRequest>,
    },
    /// Put the sockets of a target into rooms.
    Join {
        /// The sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<Arc<str>>,
    },
    /// Take the sockets of a target out of rooms. To close a room is this, too: [`close_room`](Self::close_room).
    Leave {
        /// The sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<Arc<str>>,
    },
    /// Disconnect the sockets of a target from the namespace.
    Disconnect {
        /// The sockets.
        target: Target,
        /// Close the connections below them, too.
        close: bool,
    },
    /// Hand an event to the application on each of the other nodes.
    ServerSideEmit {
        /// The event.
        event: Event,
        /// The token for the answers, if answers are wanted.
        request: Option<RequestId>,
    },
    /// Describe the sockets of a target.
    FetchSockets {
        /// The token for the answers.
        request: RequestId,
        /// The sockets.
        target: Target,
    },
    /// Name the ids of the sockets of a target.
    FetchIds {
        /// The token for the answers.
        request: RequestId,
        /// The sockets.
        target: Target,
    },
    /// Name all rooms, those of single sockets included.
    FetchRooms {
        /// The token for the answers.
        request: RequestId,
    },
    /// The answer to an [`Emit`](Self::Emit) with acknowledgements: how many sockets of this node were sent it.
    AckCount {
        /// The token of the request.
        request: RequestId,
        /// The number of acknowledgements to expect.
        sockets: u32,
    },
    /// The acknowledgement of one socket.
    Ack {
        /// The token of the request.
        request: RequestId,
        /// Its arguments. JavaScript's formats carry at most one.
        args: Values,
    },
    /// The answer to [`ServerSideEmit`](Self::ServerSideEmit): one value, or none.
    ServerSideAnswer {
        /// The token of the request.
        request: RequestId,
        /// The value, if there is one.
        value: Values,
    },
    /// The answer to [`FetchSockets`](Self::FetchSockets).
    Sockets {
        /// The token of the request.
        request: RequestId,
        /// The sockets of this node.
        sockets: Vec<RemoteSocket>,
    },
    /// The answer to [`FetchIds`](Self::FetchIds). An empty one is read as [`Sockets`](Self::Sockets): the formats do
    /// not tell them apart.
    SocketIds {
        /// The token of the request.
        request: RequestId,
        /// The ids of the sockets of this node.
        ids: Vec<Arc<str>>,
    },
    /// The answer to [`FetchRooms`](Self::FetchRooms).
    Rooms {
        /// The token of the request.
        request: RequestId,
        /// The rooms of this node.
        rooms: Vec<Arc<str>>,
    },
    /// The first message of a node. Every other node answers with a [`Heartbeat`](Self::Heartbeat).
    Hello,
    /// The sign that a node is alive.
    Heartbeat,
    /// The last message of a node.
    NodeClosed,
}

impl Message {
    /// The message that closes a room: everyone in it leaves it.
    pub fn close_room(room: impl Into<Arc<str>>) -> Self {
        let room = room.into();
        Self::Leave { target: Target::all().to(room.clone()), rooms: [room].into() }
    }

    /// A word for each kind of message, for logs and errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Emit { .. } => "emit",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Disconnect { .. } => "disconnect",
            Self::ServerSideEmit { .. } => "server-side emit",
            Self::FetchSockets { .. } => "fetch sockets",
            Self::FetchIds { .. } => "fetch ids",
            Self::FetchRooms { .. } => "fetch rooms",
            Self::AckCount { .. } => "acknowledgement count",
            Self::Ack { .. } => "acknowledgement",
            Self::ServerSideAnswer { .. } => "server-side answer",
            Self::Sockets { .. } => "sockets",
            Self::SocketIds { .. } => "socket ids",
            Self::Rooms { .. } => "rooms",
            Self::Hello => "hello",
            Self::Heartbeat => "heartbeat",
            Self::NodeClosed => "node closed",
        }
    }

    /// The token of the request that this is an answer to; `None` unless the message is an answer.
    pub fn answers(&self) -> Option<&RequestId> {
        match self {
            Self::AckCount { request, .. }
            | Self::Ack { request, .. }
            | Self::ServerSideAnswer { request, .. }
            | Self::Sockets { request, .. }
            | Self::SocketIds { request, .. }
            | Self::Rooms { request, .. } => Some(request),
            _ => None,
        }
    }
}

/// Attachments are counted when a message is written: [`Limits::attachments`](super::Limits::attachments).
const WRITER: Parser = Parser::json().max_sent_attachments(usize::MAX);

/// An event: its name and its arguments, as JSON with attachments beside it.
///
/// The name is not reserved, and each placeholder stands for an attachment of its own, numbered from 0.
///
/// ```
/// use sansocket_protocol::cluster::Event;
///
/// let event = Event::new("said", &("ada", 3))?;
/// assert_eq!(event.name(), "said");
/// assert_eq!(event.args().decode::<(String, u8)>().unwrap(), ("ada".to_string(), 3));
/// assert!(Event::new("disconnect", &()).is_err());
/// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
/// ```
#[derive(Clone)]
pub struct Event(Args);

impl Event {
    /// An event of the application.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], as for [`Parser::event`].
    pub fn new<T: ToArgs + ?Sized>(name: &str, args: &T) -> Result<Self, EncodeError> {
        let frame = WRITER.event("/", name, None, args)?;
        // A frame of our own making is always read again.
        WRITER.event_of(&frame).map(Self).ok_or(EncodeError::Placeholder)
    }

    /// The event that a frame of ours is, without writing it anew: it shares the frame's bytes. `None` unless the parser
    /// is that of JSON, and the frame an event of it.
    ///
    /// ```
    /// use sansocket_protocol::cluster::Event;
    /// use sansocket_protocol::socket::Parser;
    ///
    /// let parser = Parser::json();
    /// let frame = parser.event("/chat", "said", None, &("ada", 3))?;
    /// assert_eq!(Event::of_frame(&parser, &frame), Some(Event::new("said", &("ada", 3))?));
    /// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
    /// ```
    pub fn of_frame(parser: &Parser, frame: &Frame) -> Option<Self> {
        if !parser.is_json() {
            return None;
        }
        parser.event_of(frame).and_then(Self::from_args)
    }

    /// `args` must have come with a name, and its placeholders be in order.
    pub(super) fn from_args(args: Args) -> Option<Self> {
        args.event().is_some().then_some(Self(args))
    }

    /// The event's name. One that came as a number is its JavaScript text.
    pub fn name(&self) -> Cow<'_, str> {
        self.0.event().unwrap_or_default()
    }

    /// About the bytes that it takes in memory.
    pub(super) fn weight(&self) -> usize {
        const OVERHEAD: usize = 192;
        let attachments = self.0.attachments().iter();
        let bytes = attachments.fold(self.0.list().len(), |sum, bytes| sum.saturating_add(bytes.len()));
        bytes.saturating_add(OVERHEAD)
    }

    /// The arguments, to be sent on by [`Parser::event`].
    pub fn args(&self) -> &Args {
        &self.0
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && same(&self.0, &other.0)
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_args(f.debug_struct("Event").field("name", &self.name()), &self.0)
    }
}

/// Values of an answer, as JSON with attachments beside it.
#[derive(Clone)]
pub struct Values(Args);

impl Values {
    /// Values of the application: a tuple stands for several, `()` for nothing, anything else for one.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], as for [`Parser::ack`].
    pub fn new<T: ToArgs + ?Sized>(values: &T) -> Result<Self, EncodeError> {
        let frame = WRITER.ack("/", 0, values)?;
        let text = frame.text().and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default();
        let json = text.find('[').and_then(|at| text.get(at..)).unwrap_or_default();
        // What was written here is always read again.
        Args::from_json(json, frame.attachments().to_vec()).map(Self).map_err(|_| EncodeError::Placeholder)
    }

    /// The placeholders of `args` must be in order.
    pub(super) fn from_args(args: Args) -> Self {
        Self(args)
    }

    /// No value.
    pub fn nothing() -> Self {
        Self(Args::default())
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values as arguments, to be decoded or sent on.
    pub fn args(&self) -> &Args {
        &self.0
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Values {}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_args(&mut f.debug_struct("Values"), &self.0)
    }
}

/// A socket of another node, as that node describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSocket {
    /// Its id.
    pub id: Arc<str>,
    /// The rooms it is in, its own id included.
    pub rooms: Vec<Arc<str>>,
    /// The details of its handshake: one JSON object, or nothing. Peers put everything into it, cookies and
    /// authorization included.
    pub handshake: Values,
    /// The data that the application attached to it: one value, or nothing.
    pub data: Values,
}

fn same(left: &Args, right: &Args) -> bool {
    left.list() == right.list() && left.attachments() == right.attachments()
}

fn write_args(out: &mut fmt::DebugStruct<'_, '_>, args: &Args) -> fmt::Result {
    out.field("json", &alloc::string::String::from_utf8_lossy(args.list()));
    out.field("attachments", &args.attachments());
    out.finish()
}
