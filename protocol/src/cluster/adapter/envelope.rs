//! The message that the three dialects have in common: `{type, data, uid, nsp}`, and the channels of two of them.

use crate::cluster::classic::{EMITTER, origin, packet};
use crate::cluster::codec::{Document, Draft, Flags, fields, number, present};
use crate::cluster::message::{Envelope, Message, Origin, RequestId};
use crate::cluster::{InexpressibleError, Limits, MalformedError, Subscription};
use crate::socket::is_namespace;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The part of a message that all three dialects share, as a number on the wire.
fn kind_of(message: &Message) -> Option<u64> {
    Some(match message {
        Message::Hello => 1,
        Message::Heartbeat => 2,
        Message::Emit { .. } => 3,
        Message::Join { .. } => 4,
        Message::Leave { .. } => 5,
        Message::Disconnect { .. } => 6,
        Message::FetchSockets { .. } => 7,
        Message::Sockets { .. } => 8,
        Message::ServerSideEmit { .. } => 9,
        Message::ServerSideAnswer { .. } => 10,
        Message::AckCount { .. } => 11,
        Message::Ack { .. } => 12,
        Message::NodeClosed => 13,
        Message::FetchIds { .. }
        | Message::FetchRooms { .. }
        | Message::SocketIds { .. }
        | Message::Rooms { .. } => return None,
    })
}

/// Reads `data`, by the type of the message.
pub(super) fn read_data(
    document: &Document<'_>,
    kind: u8,
    data: Option<&str>,
    namespace: &str,
    undefined_is_null: bool,
) -> Result<(Message, Option<Arc<str>>), MalformedError> {
    match kind {
        1 => return Ok((Message::Hello, None)),
        2 => return Ok((Message::Heartbeat, None)),
        13 => return Ok((Message::NodeClosed, None)),
        3..=12 => {}
        _ => return Err(MalformedError::Kind),
    }
    let data = data.ok_or(MalformedError::Field { field: "data" })?;
    let names = ["opts", "packet", "requestId", "rooms", "close", "sockets", "clientCount"];
    let [opts, packet, request, rooms, close, sockets, count] =
        fields(data, names).ok_or(MalformedError::Field { field: "data" })?;
    let optional_request = document.id(request, "requestId")?.map(RequestId::new);
    let request = || optional_request.clone().ok_or(MalformedError::Field { field: "requestId" });
    let rooms = || {
        let rooms = document.array(rooms, "rooms")?;
        document.names(Some(rooms), "rooms")
    };
    let target = || Ok::<_, MalformedError>(document.options(opts)?.target);
    let mut via = None;
    let message = match kind {
        3 => {
            let (event, nsp) = document.packet(packet)?;
            // Emitters have it here.
            if let Some(nsp) = nsp {
                if *document.namespace(Some(nsp))? != *namespace {
                    return Err(MalformedError::Channel);
                }
            }
            let options = document.options(opts)?;
            let ack = optional_request.map(|request| options.ack(request));
            via = options.via;
            Message::Emit { event, target: options.target, ack }
        }
        4 => Message::Join { target: target()?, rooms: rooms()? },
        5 => Message::Leave { target: target()?, rooms: rooms()? },
        6 => Message::Disconnect { target: target()?, close: close == Some("true") },
        7 => Message::FetchSockets { request: request()?, target: target()? },
        8 => {
            let sockets = sockets.ok_or(MalformedError::Field { field: "sockets" })?;
            Message::Sockets { request: request()?, sockets: document.sockets(sockets)? }
        }
        9 => {
            let event = document.event(document.array(packet, "packet")?)?;
            Message::ServerSideEmit { event, request: optional_request }
        }
        10 => Message::ServerSideAnswer { request: request()?, value: document.value(packet)? },
        11 => {
            let sockets = count.and_then(number).ok_or(MalformedError::Field { field: "clientCount" })?;
            Message::AckCount { request: request()?, sockets }
        }
        // @msgpack/msgpack writes `null` where a client acknowledged without a value; elsewhere `null` is the value.
        _ => {
            let packet = if undefined_is_null { present(packet) } else { packet };
            Message::Ack { request: request()?, args: document.value(packet)? }
        }
    };
    Ok((message, via))
}

/// Writes `data`: nothing for the messages that have none.
pub(super) fn write_data(draft: &mut Draft<'_>, envelope: &Envelope, undefined_is_null: bool) {
    let is_emitter = envelope.origin == Origin::Emitter;
    let no_flags = Flags::default();
    // Emitters leave the flags out of all but events.
    let flags = if is_emitter { None } else { Some(&no_flags) };
    draft.open(b'{');
    match &envelope.message {
        Message::Emit { event, target, ack } => {
            draft.key("packet");
            packet(draft, event, is_emitter.then_some(&*envelope.namespace));
            if let Some(ack) = ack {
                write_request(draft, &ack.request);
            }
            draft.key("opts");
            let flags = Flags { ack: ack.as_ref(), via: envelope.via.as_deref() };
            draft.options(target, Some(&flags), is_emitter);
        }
        Message::Join { target, rooms } | Message::Leave { target, rooms } => {
            draft.key("opts");
            draft.options(target, flags, false);
            draft.key("rooms");
            draft.names(rooms);
        }
        Message::Disconnect { target, close } => {
            draft.key("opts");
            draft.options(target, flags, false);
            draft.key("close");
            draft.flag(*close);
        }
        Message::FetchSockets { request: id, target } => {
            draft.key("opts");
            draft.options(target, flags, false);
            write_request(draft, id);
        }
        Message::ServerSideEmit { event, request: id } => {
            if let Some(id) = id {
                write_request(draft, id);
            }
            draft.key("packet");
            draft.event(event);
        }
        message => write_answer(draft, message, undefined_is_null),
    }
    draft.close(b'}');
}

fn write_request(draft: &mut Draft<'_>, request: &RequestId) {
    draft.key("requestId");
    draft.name(request.as_str());
}

/// Writes `data` of an answer.
fn write_answer(draft: &mut Draft<'_>, message: &Message, undefined_is_null: bool) {
    if let Some(id) = message.answers() {
        write_request(draft, id);
    }
    match message {
        Message::Sockets { sockets, .. } => {
            draft.key("sockets");
            draft.sockets(sockets);
        }
        Message::ServerSideAnswer { value, .. } => {
            draft.first("packet", value);
        }
        Message::Ack { args, .. } => {
            // How @msgpack/msgpack writes what is undefined.
            if args.is_empty() && undefined_is_null {
                draft.key("packet");
                draft.raw("null");
            }
            draft.first("packet", args);
        }
        Message::AckCount { sockets, .. } => {
            draft.key("clientCount");
            draft.number((*sockets).into());
        }
        // They are no answers, or of no type at all.
        Message::Hello
        | Message::Heartbeat
        | Message::NodeClosed
        | Message::FetchIds { .. }
        | Message::FetchRooms { .. }
        | Message::SocketIds { .. }
        | Message::Rooms { .. }
        | Message::Emit { .. }
        | Message::Join { .. }
        | Message::Leave { .. }
        | Message::Disconnect { .. }
        | Message::FetchSockets { .. }
        | Message::ServerSideEmit { .. } => {}
    }
}

pub(super) fn has_data(message: &Message) -> bool {
    !matches!(message, Message::Hello | Message::Heartbeat | Message::NodeClosed)
}

/// Returns whether the mark of a bridge has a place in the options of the message.
pub(super) fn has_via_inside(message: &Message) -> bool {
    matches!(message, Message::Emit { .. })
}

pub(super) fn uid(envelope: &Envelope) -> Result<&str, InexpressibleError> {
    let is_request = match &envelope.message {
        Message::Emit { ack, .. } => ack.is_some(),
        Message::ServerSideEmit { request, .. } => request.is_some(),
        Message::Join { .. } | Message::Leave { .. } | Message::Disconnect { .. } => false,
        _ => true,
    };
    match &envelope.origin {
        Origin::Node(uid) => Ok(uid),
        Origin::Emitter if !is_request => Ok(EMITTER),
        Origin::Emitter | Origin::Unnamed => Err(InexpressibleError::Node),
    }
}

pub(super) fn check(envelope: &Envelope) -> Result<u64, InexpressibleError> {
    if !is_namespace(&envelope.namespace) {
        return Err(InexpressibleError::Namespace);
    }
    let kind = envelope.message.kind();
    kind_of(&envelope.message).ok_or(InexpressibleError::Kind { kind })
}

/// `{type, data, uid, nsp}`.
pub(super) fn write_envelope<'a>(
    envelope: &Envelope,
    limits: &'a Limits,
    undefined_is_null: bool,
) -> Result<Draft<'a>, InexpressibleError> {
    let kind = check(envelope)?;
    let mut draft = Draft::new(limits);
    draft.open(b'{');
    draft.key("type");
    draft.number(kind);
    if has_data(&envelope.message) {
        draft.key("data");
        write_data(&mut draft, envelope, undefined_is_null);
    }
    draft.key("uid");
    draft.name(uid(envelope)?);
    draft.key("nsp");
    draft.name(&envelope.namespace);
    if let Some(via) = envelope.via.as_ref().filter(|_| !has_via_inside(&envelope.message)) {
        draft.key("via");
        draft.name(via);
    }
    draft.close(b'}');
    Ok(draft)
}

/// Reads `{type, data, uid, nsp}`. `channel` is the namespace that the channel names, if it does.
pub(super) fn read_envelope(
    document: &Document<'_>,
    channel: Option<&str>,
    undefined_is_null: bool,
) -> Result<Envelope, MalformedError> {
    let [kind, data, uid, nsp, via] =
        fields(document.text(), ["type", "data", "uid", "nsp", "via"]).ok_or(MalformedError::Kind)?;
    let kind: u8 = kind.and_then(number).ok_or(MalformedError::Kind)?;
    let namespace: Arc<str> = match (channel, present(nsp)) {
        (Some(channel), None) => {
            let limit = document.limits().name_bytes;
            if channel.len() > limit || !is_namespace(channel) {
                return Err(MalformedError::Channel);
            }
            channel.into()
        }
        (channel, nsp) => {
            let namespace = document.namespace(nsp)?;
            if channel.is_some_and(|channel| *channel != *namespace) {
                return Err(MalformedError::Channel);
            }
            namespace
        }
    };
    let (message, inside) = read_data(document, kind, data, &namespace, undefined_is_null)?;
    let uid = document.id(uid, "uid")?.ok_or(MalformedError::Field { field: "uid" })?;
    let via = inside.or(document.mark(via)?);
    Ok(Envelope { origin: origin(Some(uid)), to: None, namespace, via, message })
}

/// The namespace that a message names itself, checked against its channel `<prefix>#<nsp>#` or `<prefix>#<nsp>#<to>#`.
/// Gives back what is between the last two.
fn channel_of<'a>(prefix: &str, channel: &'a str, namespace: &str) -> Option<Option<&'a str>> {
    let rest = channel.strip_prefix(prefix)?.strip_prefix('#')?.strip_prefix(namespace)?.strip_prefix('#')?;
    match rest {
        "" => Some(None),
        rest => Some(Some(rest.strip_suffix('#')?)),
    }
}

pub(super) fn decode_on_channel(
    prefix: &str,
    channel: &str,
    payload: &Bytes,
    limits: &Limits,
    undefined_is_null: bool,
) -> Result<Envelope, MalformedError> {
    let document = Document::either(payload, limits)?;
    let mut envelope = read_envelope(&document, None, undefined_is_null)?;
    let to = channel_of(prefix, channel, &envelope.namespace).ok_or(MalformedError::Channel)?;
    if envelope.message.answers().is_some() {
        if to.is_some_and(|to| to.is_empty() || to.len() > limits.name_bytes) {
            return Err(MalformedError::Channel);
        }
        envelope.to = to.map(Arc::from);
    }
    Ok(envelope)
}

/// The channel of an answer is the asker's.
pub(super) fn channel_for(prefix: &str, envelope: &Envelope) -> Result<String, InexpressibleError> {
    let namespace = &envelope.namespace;
    Ok(match (envelope.message.answers(), &envelope.to) {
        (None, _) => format!("{prefix}#{namespace}#"),
        (Some(_), Some(node)) => format!("{prefix}#{namespace}#{node}#"),
        (Some(_), None) => return Err(InexpressibleError::Node),
    })
}

/// The names of the channels on which a node hears everything and what is for it alone.
pub(super) fn two_channels(prefix: &str, namespace: &str, node: &str) -> Vec<Subscription> {
    vec![
        Subscription::Channel(format!("{prefix}#{namespace}#")),
        Subscription::Channel(format!("{prefix}#{namespace}#{node}#")),
    ]
}
