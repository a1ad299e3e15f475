//! The values that a node and its owner exchange.

use super::forwarding::{ForwardId, RequestName};
use super::lookups::LookupOutcome;
use super::sessions::EntryId;
use crate::cluster::{
    Envelope, Event, ForwardError, ForwardedRequest, InexpressibleError, Message, Published, RemoteSocket,
    Subscription, Values,
};
use crate::engine::Response;
use crate::hub::Target;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// A request of this node to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Send an event to the sockets of a target, and collect their acknowledgements.
    Acks {
        /// The event.
        event: Event,
        /// Its recipients.
        target: Target,
        /// The first acknowledgement is enough.
        single: bool,
        /// The bytes that the acknowledgements may have together, each with its own size in memory. Those beyond are
        /// dropped.
        max_bytes: usize,
    },
    /// Describe the sockets of a target.
    Sockets {
        /// The sockets.
        target: Target,
    },
    /// Hand an event to the application on each node, and collect their answers.
    ServerSide {
        /// The event.
        event: Event,
    },
    /// Count the nodes.
    Nodes,
}

/// The name of a request of this node. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub(super) u64);

/// The name of a session that is looked for. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub(super) u64);

/// The name of a peer's request that this node is to answer. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServingId(pub(super) u64);

/// Why a request was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The namespace is not open.
    #[error("the namespace is not open")]
    NotOpen,
    /// There are as many requests as [`NodeConfig::max_asks`](super::NodeConfig::max_asks) allows.
    #[error("{limit} requests to other nodes are open: wait for some, or raise the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The dialect has no form for it.
    #[error(transparent)]
    Inexpressible(#[from] InexpressibleError),
}

/// The outcome of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The acknowledgements, or the answers to a server-side emit, in the order in which they came.
    pub answers: Vec<Values>,
    /// The sockets that were asked for.
    pub sockets: Vec<RemoteSocket>,
    /// The number of other nodes, if nodes were asked for.
    pub nodes: Option<u32>,
    /// The number of nodes that did not answer; `None` if it is not known how many there are.
    pub missing_nodes: Option<u32>,
    /// The number of sockets, of the nodes that answered, that did not acknowledge.
    pub missing_acks: u32,
    /// The number of acknowledgements that were dropped because of their bytes. They are not among the missing ones.
    pub refused_acks: u32,
}

impl Outcome {
    /// Returns whether all that was asked for is here.
    pub fn is_complete(&self) -> bool {
        self.missing_nodes == Some(0) && self.missing_acks == 0 && self.refused_acks == 0
    }
}

/// The answer of this node to a peer's request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The number of sockets that were sent the event. To be told before any acknowledgement, also if it is 0.
    Count(u32),
    /// The acknowledgement of one of them.
    Ack(Values),
    /// The sockets of this node.
    Sockets(Vec<RemoteSocket>),
    /// The ids of the sockets of this node.
    Ids(Vec<Arc<str>>),
    /// The rooms of this node.
    Rooms(Vec<Arc<str>>),
    /// The application's answer to a server-side emit: one value, or none.
    ServerSide(Values),
}

/// A task for the driver of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeTransmit {
    /// Subscribe.
    Subscribe(Subscription),
    /// Unsubscribe.
    Unsubscribe(Subscription),
    /// Publish.
    Publish(Published),
    /// Append an entry to a stream. It comes back by [`Node::handle_entry`](super::Node::handle_entry).
    Append {
        /// The stream.
        stream: String,
        /// The names and values of its fields, in order.
        fields: Vec<(&'static str, String)>,
        /// If the bus refuses it: what to say by [`Node::handle_not_appended`](super::Node::handle_not_appended).
        ticket: Option<u64>,
    },
    /// Set a key to a value, which is to be forgotten after that time.
    Save {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// The time.
        time: Duration,
    },
    /// Take the value of a key and delete it, both at once, and look whether the stream has that entry. The answer goes to
    /// [`Node::handle_taken`](super::Node::handle_taken).
    Take {
        /// The key.
        key: String,
        /// The stream.
        stream: String,
        /// The id of the entry.
        offset: EntryId,
        /// The lookup that it is for.
        lookup: LookupId,
    },
    /// Read entries of the stream from that id on, the id included. They go to
    /// [`Node::handle_page`](super::Node::handle_page).
    Page {
        /// The stream.
        stream: String,
        /// The first id.
        from: EntryId,
        /// The number of entries; fewer only at the end of the stream. It is 2 or more.
        count: usize,
        /// The lookup that it is for.
        lookup: LookupId,
    },
    /// Say by [`Node::handle_count`](super::Node::handle_count) how many subscribe to a channel.
    Count {
        /// The channel.
        channel: String,
        /// The request that it is for.
        ask: AskId,
    },
    /// Insert a row into the table of attachments, and say its id by [`Node::handle_inserted`](super::Node::handle_inserted).
    Insert {
        /// The row's payload.
        payload: Bytes,
        /// The message in it.
        envelope: Box<Envelope>,
    },
    /// Read a row of the table of attachments, and pass it to [`Node::handle_row`](super::Node::handle_row).
    Select {
        /// The channel that named it.
        channel: String,
        /// The row's id.
        row: Arc<str>,
    },
}

impl NodeTransmit {
    /// The bytes that count while it waits for the driver.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Publish(published) => published.payload.len(),
            Self::Insert { payload, .. } => payload.len(),
            Self::Save { value, .. } => value.len(),
            Self::Append { fields, .. } => {
                fields.iter().fold(0usize, |sum, (_, value)| sum.saturating_add(value.len()))
            }
            Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::Take { .. }
            | Self::Page { .. }
            | Self::Count { .. }
            | Self::Select { .. } => 0,
        }
    }
}

/// A message to the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A message of another node, to be applied to the sockets of this one.
    Message {
        /// The namespace.
        namespace: Arc<str>,
        /// The message.
        message: Message,
        /// The name by which it is to be answered, if it asks for an answer.
        serving: Option<ServingId>,
    },
    /// An event has its place in the stream, and is to be sent to the sockets of this node with that for an offset. Only of a
    /// node that recovers connections.
    Logged {
        /// The namespace.
        namespace: Arc<str>,
        /// The event.
        event: Event,
        /// Its recipients.
        target: Target,
        /// Its place.
        id: EntryId,
        /// The ticket that [`Node::send_logged`](super::Node::send_logged) gave out, if it is an event of this node.
        ticket: Option<u64>,
    },
    /// An event of this node was not appended to the stream, or takes too long: it is to be sent to the sockets of this node
    /// without an offset.
    Unlogged {
        /// The ticket that [`Node::send_logged`](super::Node::send_logged) gave out.
        ticket: u64,
        /// It may be [`Logged`](Self::Logged) all the same, later; not any more once one with a greater ticket was.
        may_come: bool,
    },
    /// The stream does not hold all entries any more that came behind the last one which this node was given: they are lost
    /// for its sockets.
    StreamGap,
    /// A session was looked for.
    Found {
        /// The name that [`Node::find_session`](super::Node::find_session) gave out.
        lookup: LookupId,
        /// The namespace.
        namespace: Arc<str>,
        /// The private id.
        pid: Arc<str>,
        /// The outcome.
        outcome: LookupOutcome,
    },
    /// A request has ended.
    Done {
        /// The request.
        ask: AskId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A request that was [passed on](super::Node::send_forward) has its answer, or none.
    Forwarded {
        /// The request.
        forward: ForwardId,
        /// The answer, or why there is none.
        outcome: Result<Response, ForwardError>,
    },
    /// A request for a session of this node came to another one, and is to be
    /// [answered](super::Node::answer_request) by the session.
    Request {
        /// Its name.
        name: RequestName,
        /// The request.
        request: ForwardedRequest,
    },
    /// Nobody waits for the answer to such a request any more: to its session, the client has gone away.
    RequestOver {
        /// Its name.
        name: RequestName,
    },
    /// A node was heard for the first time.
    PeerUp {
        /// The namespace.
        namespace: Arc<str>,
        /// The node.
        node: Arc<str>,
    },
    /// A node said goodbye, or was not heard for too long.
    PeerDown {
        /// The namespace.
        namespace: Arc<str>,
        /// The node.
        node: Arc<str>,
    },
    /// The bus is there.
    BusUp {
        /// The time that it was away. Messages of others from that time are lost, but for those of a stream, which come
        /// now: [`StreamGap`](Self::StreamGap) says if not all do.
        gap: Option<Duration>,
    },
    /// The bus is away.
    BusDown,
}

/// The counters of a node: of what has been so far, and in the end of what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCounts {
    /// Messages that were published.
    pub published: u64,
    /// Messages that came and were of use.
    pub received: u64,
    /// Payloads that came and could not be read.
    pub malformed: u64,
    /// Messages that were not published, because the bus was away or the driver did not keep up.
    pub dropped: u64,
    /// Messages of a family that a bridge copied to the other.
    pub copied: u64,
    /// Answers that the dialect has no form for, and of a bridge messages that the other family has no form for.
    pub inexpressible: u64,
    /// Requests, answers and peers beyond the limits.
    pub refused: u64,
    /// Requests of clients for sessions of other nodes, as far as those are known by name: a load balancer that does not
    /// send a client to the same node again.
    pub misrouted: u64,
    /// Requests of clients that were passed on to the node of their session.
    pub forwarded: u64,
    /// Requests of clients that could not be passed on, or were and have no answer: most of their sessions have ended.
    pub unforwarded: u64,
    /// Requests of clients that are passed on now, until their answers are written.
    pub forwards: usize,
    /// Requests that other nodes have passed on to this one, and that wait for their answers.
    pub forwarded_here: usize,
    /// Requests of this node that are open.
    pub asks: usize,
    /// Requests of peers that are open here.
    pub servings: usize,
    /// Members that are known by name, each once for each namespace.
    pub peers: usize,
    /// Bytes of messages that wait for the driver.
    pub waiting_bytes: usize,
}
