//! Messages from the bus of a cluster, in each dialect: a stranger's bytes are read, and what was read is written in
//! every dialect and read again.
//!
//! There is no second decoder to judge by; instead this says what must hold of a message, whatever it was made of: it
//! is within the limits, a client can be sent it, what is written of it is harmless by the peers' rules and means
//! the same, and writing that once more changes nothing.

use super::input::Input;
use crate::cluster::adapter::{Notification, Notified, Streamed};
use crate::cluster::{
    Classic, Envelope, InexpressibleError, Limits, Message, Origin, Postgres, Published, Python, Session,
    Sharded, Streams, Values,
};
use crate::hub::Target;
use crate::socket::{Args, Parser};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use serde_json::Value;

/// Small enough for each of them to be met.
fn limits() -> Limits {
    Limits::default()
        .with_payload_bytes(4000)
        .with_event_bytes(1500)
        .with_depth(12)
        .with_names(6)
        .with_name_bytes(40)
        .with_sockets(3)
        .with_attachments(4)
}

/// A message of python-socketio.
///
/// # Panics
/// If something that must hold does not.
pub fn python(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let Ok(read) = Python::default().decode("socketio", &payload, &limits()) else { return };
    check(&read);
    if is_nothing_to_python(&read.message) {
        return;
    }
    check_written(&read, Python::default().encode(&read, &Limits::default()), |one| {
        Python::default().decode(&one.channel, &one.payload, &Limits::default()).ok()
    });
    everywhere(&read);
}

/// One argument alone that no double can hold goes out as `null`, which is no argument to Python.
fn is_nothing_to_python(message: &Message) -> bool {
    let Message::Emit { event, .. } = message else { return false };
    let only = event.args().json(0).filter(|_| event.args().len() == 1);
    only.is_some_and(is_infinite)
}

fn is_infinite(json: &str) -> bool {
    json.parse::<f64>().is_ok_and(f64::is_infinite)
}

const CLASSIC: [&str; 7] = [
    "socket.io#/#",
    "socket.io#/#r1#",
    "socket.io#/admin#",
    "socket.io-request#/#",
    "socket.io-response#/#",
    "socket.io-response#/#qv5Q4z#",
    "socket.io-request#/admin#",
];

/// A message of the classic Redis adapter; the first byte is the channel.
///
/// # Panics
/// If something that must hold does not.
pub fn classic(data: &[u8]) {
    let mut input = Input::new(data);
    let channel = input.pick(&CLASSIC).unwrap_or_default();
    let payload = Bytes::copy_from_slice(input.rest());
    let dialect = Classic::default().with_specific_answers(true);
    let Ok(read) = dialect.decode(channel, &payload, &limits()) else { return };
    check(&read);
    check_written(&read, dialect.encode(&read, &Limits::default()), |one| {
        dialect.decode(&one.channel, &one.payload, &Limits::default()).ok()
    });
    everywhere(&read);
}

/// A message of the newer adapters; the first byte says which and on which channel, and of an entry of a stream the
/// second is the type.
///
/// # Panics
/// If something that must hold does not.
pub fn adapter(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = limits();
    let way = input.below(7);
    let kind = if way == 2 { Some(alloc::format!("{}", input.below(16))) } else { None };
    let payload = Bytes::copy_from_slice(input.rest());
    let read = match way {
        0 => Sharded::default().decode("socket.io#/#", &payload, &limits),
        1 => Sharded::default().decode("socket.io#/#bc46d5035577ac9b#", &payload, &limits),
        2 => {
            let kind = kind.unwrap_or_default();
            let fields = [
                ("uid", &b"c777fde4d581be2b"[..]),
                ("nsp", b"/"),
                ("type", kind.as_bytes()),
                ("data", &payload),
            ];
            let fields = fields.iter().map(|(name, value)| (name.as_bytes(), *value));
            Streams::default().decode_entry(fields, &limits)
        }
        3 => Streams::default().decode("socket.io#/#c777fde4d581be2b#", &payload, &limits),
        4 => match Postgres::default().decode("socket.io#/", &payload, &limits) {
            Ok(Notification::Message(read)) => Ok(*read),
            Ok(Notification::Row { id, .. }) => {
                assert!(!id.is_empty() && id.len() <= limits.name_bytes);
                return;
            }
            Err(error) => Err(error),
        },
        5 => Postgres::default().decode_row("socket.io#/", &payload, &limits),
        _ => {
            if let Ok(session) = Session::decode(&payload, &limits) {
                check_names(&session.rooms);
                check_values(&session.data);
                let written =
                    session.encode(&Limits::default()).expect("what is within the limits is written");
                let again =
                    Session::decode(written.as_bytes(), &Limits::default()).expect("and is read again");
                assert_eq!((again.sid, again.pid, again.rooms), (session.sid, session.pid, session.rooms));
            }
            return;
        }
    };
    let Ok(read) = read else { return };
    check(&read);
    everywhere(&read);
}

/// Checks all that must hold of everything that was read.
fn check(read: &Envelope) {
    let limits = limits();
    check_name(&read.namespace);
    for name in [&read.to, &read.via].into_iter().flatten() {
        check_name(name);
    }
    if let Origin::Node(node) = &read.origin {
        check_name(node);
        assert_ne!(&**node, "");
    }
    match &read.message {
        Message::Emit { event, target, .. } => {
            check_target(target);
            check_args(event.args());
            // A client takes it.
            let parser =
                Parser::json().max_attachments(limits.attachments).max_sent_attachments(limits.attachments);
            let frame =
                parser.event(&read.namespace, &event.name(), None, event.args()).expect("a legal event");
            let text = frame.text().expect("an event has a text").slice(1..);
            let packet = parser.decode(text).expect("a packet that clients read");
            assert_eq!(packet.namespace(), &*read.namespace);
            assert_eq!(packet.attachments(), event.args().attachments().len());
        }
        Message::Join { target, rooms } | Message::Leave { target, rooms } => {
            check_target(target);
            check_names(rooms);
        }
        Message::Disconnect { target, .. }
        | Message::FetchSockets { target, .. }
        | Message::FetchIds { target, .. } => check_target(target),
        Message::ServerSideEmit { event, .. } => check_args(event.args()),
        Message::Ack { args, .. } => check_values(args),
        Message::ServerSideAnswer { value, .. } => check_values(value),
        Message::Sockets { sockets, .. } => {
            assert!(sockets.len() <= limits.sockets);
            for socket in sockets {
                check_name(&socket.id);
                check_names(&socket.rooms);
                check_values(&socket.handshake);
                check_values(&socket.data);
            }
        }
        Message::SocketIds { ids: names, .. } | Message::Rooms { rooms: names, .. } => check_names(names),
        _ => {}
    }
}

fn check_name(name: &str) {
    assert!(name.len() <= limits().name_bytes, "{name}");
}

fn check_names(names: &[Arc<str>]) {
    assert!(names.len() <= limits().names, "{names:?}");
    names.iter().for_each(|name| check_name(name));
}

fn check_target(target: &Target) {
    check_names(&target.rooms);
    check_names(&target.except);
    assert!(!target.flags.local);
}

fn check_values(values: &Values) {
    check_args(values.args());
}

fn check_args(args: &Args) {
    let limits = limits();
    // Its text has a header of the packet in it, and is kept twice if there is half a surrogate pair in it.
    assert!(args.wire_len() <= 2 * (limits.event_bytes + 32), "{} bytes", args.wire_len());
    assert!(args.attachments().len() <= limits.attachments);
}

/// Checks the written form of a message in the dialect that it came from.
fn check_written(
    read: &Envelope,
    written: Result<Vec<Published>, InexpressibleError>,
    decode: impl Fn(&Published) -> Option<Envelope>,
) {
    let written = match written {
        Ok(written) => written,
        // A sender without a name cannot be named.
        Err(InexpressibleError::Node) if !matches!(read.origin, Origin::Node(_)) => return,
        Err(error) => panic!("{error}: {read:?}"),
    };
    let [one] = &written[..] else {
        panic!("what was one message is {}: {read:?}", written.len());
    };
    let again = decode(one).expect("what is written is read again");
    assert_eq!((&again.namespace, &again.via), (&read.namespace, &read.via));
    assert_same(&read.message, &again.message);
}

/// Writes a message in every dialect that has a form for it, by the peers' rules, and reads it there.
fn everywhere(read: &Envelope) {
    let limits = Limits::default();
    // Somebody's name goes with it, so that it can be sent on.
    let read = &Envelope {
        origin: Origin::Node("3cb685813b7b4819b0a2e9500aab95ce".into()),
        to: read.message.answers().map(|_| "asker".into()),
        ..read.clone()
    };
    let stable = |again: &Envelope, once_more: &Envelope| {
        assert_eq!(again.message, once_more.message, "of {read:?}");
    };

    let dialect = Python::default();
    for one in dialect.encode(read, &limits).into_iter().flatten() {
        let json: Value = serde_json::from_slice(&one.payload).expect("JSON without infinite numbers");
        assert!(one.payload.is_ascii());
        assert_ne!(json["room"], Value::Array(Vec::new()), "every Python node fails at it");
        let again = dialect.decode(&one.channel, &one.payload, &limits).expect("it is read again");
        let twice = dialect.encode(&again, &limits);
        if let Ok([twice]) = twice.as_deref() {
            stable(
                &again,
                &dialect.decode(&twice.channel, &twice.payload, &limits).expect("it is read again"),
            );
        }
    }

    let dialect = Classic::default();
    for one in dialect.encode(read, &limits).into_iter().flatten() {
        let again = dialect.decode(&one.channel, &one.payload, &limits).expect("it is read again");
        // Answers name nobody, and are the same without.
        let twice = dialect.encode(&again, &limits).expect("what was read is written");
        assert_eq!(twice, [one]);
    }

    let dialect = Sharded::default();
    for one in dialect.encode(read, &limits).into_iter().flatten() {
        let again = dialect.decode(&one.channel, &one.payload, &limits).expect("it is read again");
        assert_eq!(again.to.as_deref(), read.message.answers().map(|_| "asker"));
        assert_same_to_javascript(&read.message, &again.message, false);
        assert_eq!(dialect.encode(&again, &limits).expect("what was read is written"), [one]);
    }

    let dialect = Streams::default();
    let decode = |streamed: &Streamed| match streamed {
        Streamed::Entry { fields, .. } => {
            let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            dialect.decode_entry(fields, &limits)
        }
        Streamed::Published(one) => dialect.decode(&one.channel, &one.payload, &limits),
    };
    if let Ok(one) = dialect.encode(read, &limits) {
        let again = decode(&one).expect("it is read again");
        assert_same_to_javascript(&read.message, &again.message, true);
        assert_eq!(dialect.encode(&again, &limits).expect("what was read is written"), one);
    }

    let dialect = Postgres::default();
    if let Ok(one) = dialect.encode(read, &limits) {
        let decode = |one: &Notified| match one {
            Notified::Published(one) => {
                assert!(one.payload.len() < 8000);
                match dialect.decode(&one.channel, &one.payload, &limits).expect("it is read again") {
                    Notification::Message(again) => *again,
                    Notification::Row { .. } => panic!("a row out of nothing"),
                }
            }
            Notified::Row { payload } => {
                let channel = dialect.channel(&read.namespace).expect("it was written on one");
                dialect.decode_row(&channel, payload, &limits).expect("it is read again")
            }
        };
        let again = decode(&one);
        assert_same_to_javascript(&read.message, &again.message, true);
        assert_eq!(dialect.encode(&again, &limits).expect("what was read is written"), one);
    }
}

/// The same, but that JavaScript's peers send one value of an acknowledgement, which @msgpack/msgpack leaves out if it
/// is `null`.
fn assert_same_to_javascript(read: &Message, again: &Message, may_lose_null: bool) {
    if let Message::Ack { args, .. } = read {
        let is_null = args.args().json(0).is_some_and(|only| only == "null" || is_infinite(only));
        if args.len() > 1 || (may_lose_null && is_null) {
            return;
        }
    }
    assert_same(read, again);
}

/// Returns whether two messages mean the same, spelled as they may be.
fn assert_same(read: &Message, again: &Message) {
    assert_eq!(shape(read), shape(again));
    let (read, again) = (all_args(read), all_args(again));
    assert_eq!(read.len(), again.len());
    for (read, again) in read.into_iter().zip(again) {
        let is_buffer = again.attachments().is_empty() && !read.attachments().is_empty();
        if is_buffer {
            // The classic format has no bytes in JSON.
            continue;
        }
        assert_eq!(read.attachments(), again.attachments());
        assert_eq!(read.len(), again.len());
        for at in 0..read.len() {
            let value = |args: &Args| serde_json::from_str::<Value>(args.json(at).unwrap_or_default());
            // serde_json does not take halves of surrogate pairs, nor what no double can hold.
            if let (Ok(read), Ok(again)) = (value(read), value(again)) {
                assert!(is_close(&read, &again), "{read} {again}");
            }
        }
    }
}

/// A message without its values.
fn shape(message: &Message) -> String {
    let named = |event: &crate::cluster::Event| (event.name().into_owned(), event.args().len());
    match message {
        Message::Emit { event, target, ack } => alloc::format!("emit {:?} {target:?} {ack:?}", named(event)),
        Message::ServerSideEmit { event, request } => alloc::format!("server {:?} {request:?}", named(event)),
        Message::Ack { request, args } => alloc::format!("ack {request:?} {}", args.len()),
        Message::ServerSideAnswer { request, value } => alloc::format!("answer {request:?} {}", value.len()),
        Message::Sockets { request, sockets } => {
            let sockets: Vec<_> =
                sockets.iter().map(|socket| (&socket.id, &socket.rooms, socket.data.len())).collect();
            alloc::format!("sockets {request:?} {sockets:?}")
        }
        other => alloc::format!("{other:?}"),
    }
}

fn all_args(message: &Message) -> Vec<&Args> {
    match message {
        Message::Emit { event, .. } | Message::ServerSideEmit { event, .. } => [event.args()].into(),
        Message::Ack { args: values, .. } | Message::ServerSideAnswer { value: values, .. } => {
            [values.args()].into()
        }
        Message::Sockets { sockets, .. } => sockets.iter().map(|socket| socket.data.args()).collect(),
        _ => Vec::new(),
    }
}

/// Equal, but that a number may have become a double; and serde_json takes long ones for a neighbour.
fn is_close(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let close = |left: f64, right: f64| (left - right).abs() <= left.abs() * 1e-14;
            left == right || left.as_f64().zip(right.as_f64()).is_some_and(|(left, right)| close(left, right))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_close(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| is_close(left, right)))
        }
        (left, right) => left == right,
    }
}
