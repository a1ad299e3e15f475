//! The dialect of `createAdapter` in @socket.io/redis-adapter, and of @socket.io/redis-emitter.
//!
//! Each namespace has channels of its own, under a prefix that is `socket.io` by default:
//!
//! | channel | messages |
//! |---|---|
//! | `socket.io#<namespace>#` | [`Message::Emit`], as MessagePack |
//! | `socket.io#<namespace>#<room>#` | the same with exactly one room |
//! | `socket.io-request#<namespace>#` | all other commands and requests: JSON, and MessagePack for an `Emit` with acknowledgements |
//! | `socket.io-response#<namespace>#` | answers: JSON, and MessagePack for [`Message::Ack`] |
//! | `socket.io-response#<namespace>#<node>#` | answers for one node, if the answering node is set so |
//!
//! Answers do not say who they come from. A node that subscribes to the request channel is counted, and must answer
//! each request that has a token, once. There are no heartbeats, and an acknowledgement has at most one value.
//!
//! ```
//! use sansocket_protocol::cluster::{Classic, Envelope, Limits, Message, RequestId};
//! use sansocket_protocol::hub::Target;
//!
//! let message = Message::FetchSockets { request: RequestId::new("0apS-Y"), target: Target::all().to("r1") };
//! let published = Classic::default().encode(&Envelope::new("qv5Q4z", "/", message), &Limits::default())?;
//! assert_eq!(published[0].channel, "socket.io-request#/#");
//! assert_eq!(
//!     published[0].payload,
//!     r#"{"uid":"qv5Q4z","requestId":"0apS-Y","type":5,"opts":{"rooms":["r1"],"except":[]}}"#
//! );
//! # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
//! ```

use super::codec::{Document, Draft, Flags, elements, fields, number, present, string};
use super::message::{Envelope, Event, Message, Origin, RequestId};
use super::{InexpressibleError, Limits, MalformedError, Published, Subscription};
use crate::hub::Target;
use crate::socket::is_namespace;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The name by which emitters go.
pub(super) const EMITTER: &str = "emitter";

/// The dialect of the classic Redis adapter. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classic {
    prefix: String,
    specific_answers: bool,
}

impl Default for Classic {
    fn default() -> Self {
        Self::new("socket.io")
    }
}

/// Where a message came from.
enum Channel<'a> {
    Broadcast,
    Request { namespace: &'a str },
    Response { namespace: &'a str, node: Option<&'a str> },
}

impl Classic {
    /// The dialect under a prefix: the adapter's option `key`, by default `socket.io`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), specific_answers: false }
    }

    /// Answers go to the asking node alone, as with the adapter's option `publishOnSpecificResponseChannel`. Every
    /// node takes them there. Answers to a server-side emit go to all nodes nevertheless.
    #[must_use]
    pub fn with_specific_answers(mut self, specific: bool) -> Self {
        self.specific_answers = specific;
        self
    }

    /// The channels of a node for one namespace, all to be subscribed on one connection: a second one would be
    /// counted as a second node.
    pub fn subscriptions(&self, namespace: &str, node: &str) -> Vec<Subscription> {
        let prefix = &self.prefix;
        vec![
            Subscription::Pattern(format!("{prefix}#{namespace}#*")),
            Subscription::Channel(self.count_channel(namespace)),
            Subscription::Channel(format!("{prefix}-response#{namespace}#")),
            Subscription::Channel(format!("{prefix}-response#{namespace}#{node}#")),
        ]
    }

    /// The channel whose subscribers are counted to know how many nodes will answer.
    pub fn count_channel(&self, namespace: &str) -> String {
        format!("{}-request#{namespace}#", self.prefix)
    }

    fn channel<'a>(&self, channel: &'a str) -> Option<Channel<'a>> {
        let rest = channel.strip_prefix(&*self.prefix)?;
        if let Some(rest) = rest.strip_prefix("-request#") {
            return Some(Channel::Request { namespace: rest.strip_suffix('#')? });
        }
        if let Some(rest) = rest.strip_prefix("-response#") {
            let (namespace, node) = rest.strip_suffix('#')?.split_once('#').map_or_else(
                || (rest.strip_suffix('#').unwrap_or(rest), None),
                |(namespace, node)| (namespace, Some(node)),
            );
            return Some(Channel::Response { namespace, node });
        }
        rest.starts_with('#').then_some(Channel::Broadcast)
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else, as for a message that would hurt the clients.
    pub fn decode(
        &self,
        channel: &str,
        payload: &Bytes,
        limits: &Limits,
    ) -> Result<Envelope, MalformedError> {
        match self.channel(channel).ok_or(MalformedError::Channel)? {
            Channel::Broadcast => self.decode_broadcast(channel, payload, limits),
            Channel::Request { namespace } => {
                decode_request(check_namespace(namespace, limits)?, payload, limits)
            }
            Channel::Response { namespace, node } => {
                decode_response(check_namespace(namespace, limits)?, node, payload, limits)
            }
        }
    }

    fn decode_broadcast(
        &self,
        channel: &str,
        payload: &Bytes,
        limits: &Limits,
    ) -> Result<Envelope, MalformedError> {
        let document = Document::message_pack(payload, limits)?;
        let mut parts = elements(document.text()).ok_or(MalformedError::Kind)?;
        let uid = parts.next();
        let (event, nsp) = document.packet(parts.next())?;
        let options = document.options(parts.next())?;
        let namespace = match nsp {
            Some(nsp) => document.namespace(Some(nsp))?,
            None => "/".into(),
        };
        // The room in the channel's name is a hint for the receiver: what counts is in the message.
        let rest = channel.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('#'));
        let rest = rest.and_then(|rest| rest.strip_prefix(&*namespace)?.strip_prefix('#'));
        if !rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('#')) {
            return Err(MalformedError::Channel);
        }
        Ok(Envelope {
            origin: origin(document.id(uid, "uid")?),
            to: None,
            namespace,
            via: options.via,
            message: Message::Emit { event, target: options.target, ack: None },
        })
    }

    /// Writes a message.
    ///
    /// Of the values of an acknowledgement or an answer only the first goes out: peers send one. Bytes
    /// become what JavaScript makes of them wherever the format has JSON: `{"type":"Buffer","data":[..]}`.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if this dialect has no form for it.
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Vec<Published>, InexpressibleError> {
        if !is_namespace(&envelope.namespace) {
            return Err(InexpressibleError::Namespace);
        }
        let writer = Writer { envelope, draft: Draft::new(limits) };
        let (channel, payload) = match &envelope.message {
            Message::Emit { event, target, ack: None } => {
                let namespace = &envelope.namespace;
                let channel = match &target.rooms[..] {
                    [room] => format!("{}#{namespace}#{room}#", self.prefix),
                    _ => format!("{}#{namespace}#", self.prefix),
                };
                (channel, writer.broadcast(event, target)?)
            }
            // They go to everybody, whoever asked.
            Message::ServerSideAnswer { .. } if !envelope.namespace.contains('#') => {
                (format!("{}-response#{}#", self.prefix, envelope.namespace), writer.answered()?)
            }
            // Their channel alone says the namespace, and would be taken for that of a node in a shorter one.
            message if message.answers().is_some() && envelope.namespace.contains('#') => {
                return Err(InexpressibleError::Namespace);
            }
            message if message.answers().is_some() => (self.response_channel(envelope), writer.answered()?),
            _ => (self.count_channel(&envelope.namespace), writer.asked()?),
        };
        Ok(vec![Published { channel, payload }])
    }

    fn response_channel(&self, envelope: &Envelope) -> String {
        let (prefix, namespace) = (&self.prefix, &envelope.namespace);
        match &envelope.to {
            Some(node) if self.specific_answers => format!("{prefix}-response#{namespace}#{node}#"),
            _ => format!("{prefix}-response#{namespace}#"),
        }
    }
}

fn check_namespace<'a>(namespace: &'a str, limits: &Limits) -> Result<&'a str, MalformedError> {
    if is_namespace(namespace) && namespace.len() <= limits.name_bytes {
        Ok(namespace)
    } else {
        Err(MalformedError::Channel)
    }
}

/// The sender that goes by this name.
pub(super) fn origin(uid: Option<Arc<str>>) -> Origin {
    match uid {
        Some(uid) if &*uid == EMITTER => Origin::Emitter,
        Some(uid) => Origin::Node(uid),
        None => Origin::Unnamed,
    }
}

fn decode_request(namespace: &str, payload: &Bytes, limits: &Limits) -> Result<Envelope, MalformedError> {
    let document = Document::either(payload, limits)?;
    let names =
        ["uid", "requestId", "type", "opts", "rooms", "close", "data", "packet", "sid", "room", "via"];
    let [uid, request_id, kind, opts, room_list, close, data, packet, sid, room, via] =
        fields(document.text(), names).ok_or(MalformedError::Kind)?;
    let mut via = document.mark(via)?;
    let request = || document.request(request_id);
    let optional_request = || document.id(request_id, "requestId");
    // Older versions name one socket and one room.
    let legacy = || {
        let sid = document.id(sid, "sid")?.ok_or(MalformedError::Field { field: "opts" })?;
        Ok::<_, MalformedError>(Target::all().to(sid))
    };
    let target = || match present(opts) {
        Some(opts) => Ok(document.options(Some(opts))?.target),
        None => legacy(),
    };
    let rooms = || match present(opts) {
        Some(_) => document.names(room_list, "rooms"),
        None => {
            let room = present(room).ok_or(MalformedError::Field { field: "room" })?;
            Ok(vec![document.name(room, "room")?])
        }
    };
    let message = match kind.and_then(number::<u8>).ok_or(MalformedError::Kind)? {
        0 => {
            let mut target = Target::all();
            target.rooms = document.names(room_list, "rooms")?;
            Message::FetchIds { request: request()?, target }
        }
        1 => Message::FetchRooms { request: request()? },
        2 => Message::Join { target: target()?, rooms: rooms()? },
        3 => Message::Leave { target: target()?, rooms: rooms()? },
        4 => Message::Disconnect { target: target()?, close: close == Some("true") },
        5 => {
            let target = document.options(opts)?.target;
            Message::FetchSockets { request: request()?, target }
        }
        6 => {
            let event = document.event(document.array(data, "data")?)?;
            Message::ServerSideEmit { event, request: optional_request()?.map(RequestId::new) }
        }
        7 => read_asking_emit(&document, namespace, request()?, [packet, opts], &mut via)?,
        _ => return Err(MalformedError::Kind),
    };
    Ok(Envelope {
        origin: origin(document.id(uid, "uid")?),
        to: None,
        namespace: namespace.into(),
        via,
        message,
    })
}

/// An event that asks for acknowledgements. It has the mark of a bridge in its options.
fn read_asking_emit(
    document: &Document<'_>,
    namespace: &str,
    request: RequestId,
    [packet, opts]: [Option<&str>; 2],
    via: &mut Option<Arc<str>>,
) -> Result<Message, MalformedError> {
    let (event, nsp) = document.packet(packet)?;
    if let Some(nsp) = nsp {
        if *document.namespace(Some(nsp))? != *namespace {
            return Err(MalformedError::Channel);
        }
    }
    let options = document.options(opts)?;
    let ack = options.ack(request);
    *via = options.via.or(via.take());
    Ok(Message::Emit { event, target: options.target, ack: Some(ack) })
}

fn decode_response(
    namespace: &str,
    node: Option<&str>,
    payload: &Bytes,
    limits: &Limits,
) -> Result<Envelope, MalformedError> {
    let document = Document::either(payload, limits)?;
    let names = ["requestId", "type", "clientCount", "packet", "data", "sockets", "rooms", "via"];
    let [request, kind, count, packet, data, sockets, rooms, via] =
        fields(document.text(), names).ok_or(MalformedError::Kind)?;
    let request = document.request(request)?;
    let message = match (kind.and_then(number::<u8>), sockets, rooms) {
        (Some(8), ..) => {
            let sockets = count.and_then(number).ok_or(MalformedError::Field { field: "clientCount" })?;
            Message::AckCount { request, sockets }
        }
        (Some(9), ..) => Message::Ack { request, args: document.value(packet)? },
        (Some(6), ..) => Message::ServerSideAnswer { request, value: document.value(data)? },
        (None, Some(sockets), _) => {
            let is_ids = elements(sockets).and_then(|mut list| list.next()).is_some_and(is_name);
            if is_ids {
                Message::SocketIds { request, ids: document.names(Some(sockets), "sockets")? }
            } else {
                Message::Sockets { request, sockets: document.sockets(sockets)? }
            }
        }
        (None, None, Some(rooms)) => {
            let rooms = document.array(Some(rooms), "rooms")?;
            Message::Rooms { request, rooms: document.names(Some(rooms), "rooms")? }
        }
        _ => return Err(MalformedError::Kind),
    };
    let to = match node {
        Some(node) if node.is_empty() || node.len() > limits.name_bytes => {
            return Err(MalformedError::Channel);
        }
        node => node.map(Arc::from),
    };
    let via = document.mark(via)?;
    Ok(Envelope { origin: Origin::Unnamed, to, namespace: namespace.into(), via, message })
}

fn is_name(json: &str) -> bool {
    string(json).is_some()
}

/// `{type, data, nsp}`.
pub(super) fn packet(draft: &mut Draft<'_>, event: &Event, namespace: Option<&str>) {
    draft.open(b'{');
    draft.key("type");
    draft.number(2);
    draft.key("data");
    draft.event(event);
    if let Some(namespace) = namespace {
        draft.key("nsp");
        draft.name(namespace);
    }
    draft.close(b'}');
}

struct Writer<'a> {
    envelope: &'a Envelope,
    draft: Draft<'a>,
}

impl<'a> Writer<'a> {
    fn uid(&self) -> Result<&'a str, InexpressibleError> {
        match &self.envelope.origin {
            Origin::Node(uid) => Ok(uid),
            Origin::Emitter => Ok(EMITTER),
            Origin::Unnamed => Err(InexpressibleError::Node),
        }
    }

    fn broadcast(mut self, event: &Event, target: &Target) -> Result<Bytes, InexpressibleError> {
        let is_emitter = self.envelope.origin == Origin::Emitter;
        let flags = Flags { ack: None, via: self.envelope.via.as_deref() };
        let uid = self.uid()?;
        self.draft.open(b'[');
        self.draft.name(uid);
        packet(&mut self.draft, event, Some(&self.envelope.namespace));
        self.draft.options(target, Some(&flags), is_emitter);
        self.draft.close(b']');
        self.draft.message_pack()
    }

    /// A command or a request.
    fn asked(mut self) -> Result<Bytes, InexpressibleError> {
        let envelope = self.envelope;
        match &envelope.message {
            Message::Emit { event, target, ack: Some(ack) } => {
                self.begin(Some(&ack.request), Some(7))?;
                let via = self.envelope.via.as_deref();
                let namespace = &self.envelope.namespace;
                let draft = &mut self.draft;
                draft.key("packet");
                packet(draft, event, Some(namespace));
                draft.key("opts");
                let flags = Flags { ack: Some(ack), via };
                draft.options(target, Some(&flags), false);
                draft.close(b'}');
                self.draft.message_pack()
            }
            Message::Join { target, rooms } | Message::Leave { target, rooms } => {
                let kind = if matches!(envelope.message, Message::Join { .. }) { 2 } else { 3 };
                self.begin(None, Some(kind))?;
                self.target(target);
                self.draft.key("rooms");
                self.draft.names(rooms);
                self.end()
            }
            Message::Disconnect { target, close } => {
                self.begin(None, Some(4))?;
                self.target(target);
                self.draft.key("close");
                self.draft.flag(*close);
                self.end()
            }
            Message::ServerSideEmit { event, request } => {
                self.begin(request.as_ref(), Some(6))?;
                self.draft.key("data");
                self.draft.event(event);
                self.end()
            }
            Message::FetchSockets { request, target } => {
                self.begin(Some(request), Some(5))?;
                self.target(target);
                self.end()
            }
            Message::FetchIds { request, target } => {
                if !target.except.is_empty() {
                    return Err(InexpressibleError::Target);
                }
                self.begin(Some(request), Some(0))?;
                self.draft.key("rooms");
                self.draft.names(&target.rooms);
                self.end()
            }
            Message::FetchRooms { request } => {
                self.begin(Some(request), Some(1))?;
                self.end()
            }
            other => Err(InexpressibleError::Kind { kind: other.kind() }),
        }
    }

    /// An answer.
    fn answered(mut self) -> Result<Bytes, InexpressibleError> {
        let envelope = self.envelope;
        match &envelope.message {
            Message::AckCount { request, sockets } => {
                self.answer(Some(8), request);
                self.draft.key("clientCount");
                self.draft.number((*sockets).into());
                self.end()
            }
            Message::Ack { request, args } => {
                self.answer(Some(9), request);
                self.draft.first("packet", args);
                self.mark();
                self.draft.close(b'}');
                self.draft.message_pack()
            }
            Message::ServerSideAnswer { request, value } => {
                self.answer(Some(6), request);
                self.draft.first("data", value);
                self.end()
            }
            Message::Sockets { request, sockets } => {
                self.answer(None, request);
                self.draft.key("sockets");
                self.draft.sockets(sockets);
                self.end()
            }
            Message::SocketIds { request, ids } => {
                self.answer(None, request);
                self.draft.key("sockets");
                self.draft.names(ids);
                self.end()
            }
            Message::Rooms { request, rooms } => {
                self.answer(None, request);
                self.draft.key("rooms");
                self.draft.names(rooms);
                self.end()
            }
            other => Err(InexpressibleError::Kind { kind: other.kind() }),
        }
    }

    /// A request up to its type. Emitters name themselves in server-side emits only, and cannot ask.
    fn begin(&mut self, request: Option<&RequestId>, kind: Option<u64>) -> Result<(), InexpressibleError> {
        let uid = self.uid()?;
        let is_emitter = self.envelope.origin == Origin::Emitter;
        if is_emitter && request.is_some() {
            return Err(InexpressibleError::Node);
        }
        self.draft.open(b'{');
        if !is_emitter || kind == Some(6) {
            self.draft.key("uid");
            self.draft.name(uid);
        }
        self.rest_of_head(request, kind);
        Ok(())
    }

    fn rest_of_head(&mut self, request: Option<&RequestId>, kind: Option<u64>) {
        if let Some(request) = request {
            self.draft.key("requestId");
            self.draft.name(request.as_str());
        }
        if let Some(kind) = kind {
            self.draft.key("type");
            self.draft.number(kind);
        }
    }

    /// An answer up to its token.
    fn answer(&mut self, kind: Option<u64>, request: &RequestId) {
        self.draft.open(b'{');
        self.rest_of_head(None, kind);
        self.rest_of_head(Some(request), None);
    }

    fn target(&mut self, target: &Target) {
        self.draft.key("opts");
        self.draft.options(target, None, false);
    }

    fn mark(&mut self) {
        if let Some(via) = &self.envelope.via {
            self.draft.key("via");
            self.draft.name(via);
        }
    }

    fn end(mut self) -> Result<Bytes, InexpressibleError> {
        self.mark();
        self.draft.close(b'}');
        self.draft.javascript_with_buffers()
    }
}
