//! Messages to the bus hurt no peer, and messages from it are bounded.

use bytes::Bytes;
use sansocket_protocol::cluster::adapter::{Notified, Streamed, SubscriptionMode};
use sansocket_protocol::cluster::{
    AckRequest, Classic, Envelope, Event, InexpressibleError, Limits, MalformedError, Message, Origin,
    Postgres, Published, Python, RemoteSocket, RequestId, Sharded, Streams, Values,
};
use sansocket_protocol::hub::Target;
use sansocket_protocol::socket::Args;

const NODE: &str = "3cb685813b7b4819b0a2e9500aab95ce";

fn limits() -> Limits {
    Limits::default()
}

fn emit(args: &str, target: Target) -> Envelope {
    let event = Event::new("e", &Args::from_json(args, vec![]).unwrap()).unwrap();
    Envelope::new(NODE, "/", Message::Emit { event, target, ack: None })
}

fn text(published: &Published) -> &str {
    std::str::from_utf8(&published.payload).unwrap()
}

fn python(envelope: &Envelope) -> Result<Vec<Published>, InexpressibleError> {
    Python::default().encode(envelope, &limits())
}

/// Of every dialect that has a form for it, the bytes with their channel.
fn everywhere(envelope: &Envelope, limits: &Limits) -> Vec<Published> {
    let mut all = Vec::new();
    all.extend(Python::default().encode(envelope, limits).into_iter().flatten());
    all.extend(Classic::default().encode(envelope, limits).into_iter().flatten());
    all.extend(Sharded::default().encode(envelope, limits).into_iter().flatten());
    match Streams::default().encode(envelope, limits) {
        Ok(Streamed::Published(published)) => all.push(published),
        Ok(Streamed::Entry { stream, fields }) => {
            let (_, data) = fields.into_iter().find(|(name, _)| *name == "data").unwrap();
            all.push(Published { channel: stream, payload: data.into() });
        }
        Err(_) => {}
    }
    match Postgres::default().encode(envelope, limits) {
        Ok(Notified::Published(published)) => all.push(published),
        Ok(Notified::Row { payload }) => all.push(Published { channel: "row".to_string(), payload }),
        Err(_) => {}
    }
    all
}

#[test]
fn an_infinite_number_is_null_to_everybody() {
    // Python would read it as a double and send `Infinity` to its clients, which disconnect at it.
    let published = everywhere(&emit("[1e999]", Target::all()), &limits());
    assert_eq!(published.len(), 5);
    for published in published {
        let bytes = String::from_utf8_lossy(&published.payload).into_owned();
        assert!(!bytes.contains("999"), "{bytes}");
    }
}

#[test]
fn an_event_always_has_its_name_and_its_data() {
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        assert!(Event::new(name, &()).is_err(), "{name}");
    }
    let published = &python(&emit("[]", Target::all())).unwrap()[0];
    assert!(text(published).contains(r#""data": [], "binary": false"#), "{}", text(published));
    let published = Sharded::default().encode(&emit("[]", Target::all()), &limits()).unwrap();
    assert!(text(&published[0]).contains(r#""data":["e"]"#));
}

#[test]
fn everybody_is_never_an_empty_list_to_python() {
    let published = &python(&emit("[1]", Target::all())).unwrap()[0];
    assert!(text(published).contains(r#""room": null, "skip_sid": null"#));
    let published = &python(&emit("[1]", Target::all().to("a").except("b"))).unwrap()[0];
    assert!(text(published).contains(r#""room": "a", "skip_sid": "b""#));
    let target = Target::all().to("a").to("b").except("c").except("d");
    let published = &python(&emit("[1]", target)).unwrap()[0];
    assert!(text(published).contains(r#""room": ["a", "b"], "skip_sid": ["c", "d"]"#));
}

#[test]
fn nobody_is_sent_more_than_the_limits() {
    let strict = |envelope: &Envelope, limits: Limits| everywhere(envelope, &limits).len();
    let deep = emit(&format!("[{}{}]", "[".repeat(50), "]".repeat(50)), Target::all());
    assert_eq!(strict(&deep, limits().with_depth(60)), 5);
    assert_eq!(strict(&deep, limits().with_depth(50)), 0);
    let long = emit(&format!("[\"{}\"]", "x".repeat(5000)), Target::all());
    assert_eq!(strict(&long, limits().with_event_bytes(6000)), 5);
    assert_eq!(strict(&long, limits().with_event_bytes(4000)), 0);
    assert_eq!(strict(&long, limits().with_payload_bytes(5000)), 0);
    let named = emit("[]", Target::all().to("x".repeat(60)).except("b"));
    assert_eq!(strict(&named, limits().with_name_bytes(60)), 5);
    assert_eq!(strict(&named, limits().with_name_bytes(59)), 0);
    let many = emit("[]", Target::all().to("a").to("b").to("c"));
    assert_eq!(strict(&many, limits().with_names(3)), 5);
    assert_eq!(strict(&many, limits().with_names(2)), 0);
    let event = Event::new("e", &(Bytes::from_static(b"a"), Bytes::from_static(b"b"))).unwrap();
    let bytes = Envelope::new(NODE, "/", Message::Emit { event, target: Target::all(), ack: None });
    assert_eq!(strict(&bytes, limits().with_attachments(2)), 5);
    assert_eq!(strict(&bytes, limits().with_attachments(1)), 0);
}

#[test]
fn nobody_is_listened_to_beyond_the_limits() {
    let decode = |json: &str, limits: Limits| {
        Python::default().decode("socketio", &Bytes::copy_from_slice(json.as_bytes()), &limits)
    };
    let too_large = |unit, limit| Err(MalformedError::TooLarge { unit, limit });
    let json = |data: &str, room: &str| {
        format!(r#"{{"method":"emit","event":"e","data":{data},"namespace":"/","room":{room}}}"#)
    };
    assert!(decode(&json("[]", "null"), limits()).is_ok());
    assert_eq!(decode(&json("[[]]", "null"), limits().with_depth(2)), too_large("depth", 2));
    assert_eq!(decode(&json("[]", "null"), limits().with_payload_bytes(50)), too_large("payload_bytes", 50));
    assert_eq!(
        decode(&json("[\"12345678\"]", "null"), limits().with_event_bytes(9)),
        too_large("event_bytes", 9)
    );
    assert_eq!(decode(&json("[]", r#"["a","b"]"#), limits().with_names(1)), too_large("names", 1));
    assert_eq!(decode(&json("[]", r#""abc""#), limits().with_name_bytes(2)), too_large("name_bytes", 2));

    // Each placeholder gets the bytes when the event is sent on: one attachment must not become a million.
    let bytes = "QUJD".repeat(1000);
    let placeholders = [r#"{"_placeholder":true,"num":0}"#; 500].join(",");
    let bomb = json(&format!("[[{placeholders}],\"{bytes}\"]"), "null");
    let bomb = bomb.replace("\"method\"", "\"binary\":true,\"method\"");
    assert!(decode(&bomb, limits()).is_err());
    assert!(decode(&bomb, limits().with_event_bytes(10_000_000)).is_ok());
    assert_eq!(decode(&bomb, limits().with_attachments(100)), too_large("attachments", 100));
    assert_eq!(decode(&bomb, limits().with_event_bytes(100_000)), too_large("event_bytes", 100_000));

    // A list that says it has four billion elements costs nothing.
    let huge =
        Bytes::from_static(&[0x93, 0xa1, b'u', 0x81, 0xa4, b't', b'y', b'p', b'e', 0xdd, 255, 255, 255, 255]);
    assert!(Classic::default().decode("socket.io#/#", &huge, &limits()).is_err());

    let sockets = r#"{"requestId":"r","sockets":[{"id":"a"},{"id":"b"}]}"#;
    let answer = |limits| Classic::default().decode("socket.io-response#/#", &sockets.into(), &limits);
    assert!(answer(limits()).is_ok());
    assert_eq!(answer(limits().with_sockets(1)), too_large("sockets", 1));
}

#[test]
fn what_python_has_no_word_for_is_told() {
    let error = |message| python(&Envelope::new(NODE, "/", message)).unwrap_err();
    let request = || RequestId::new("r");
    for message in [
        Message::FetchSockets { request: request(), target: Target::all() },
        Message::FetchRooms { request: request() },
        Message::ServerSideEmit { event: Event::new("e", &()).unwrap(), request: None },
        Message::AckCount { request: request(), sockets: 1 },
        Message::Hello,
    ] {
        let kind = message.kind();
        assert_eq!(error(message), InexpressibleError::Kind { kind });
    }
    for target in [Target::all(), Target::all().to("a").except("b"), Target::all().to("")] {
        assert_eq!(
            error(Message::Join { target: target.clone(), rooms: vec!["r".into()] }),
            InexpressibleError::Target
        );
        assert_eq!(error(Message::Disconnect { target, close: true }), InexpressibleError::Target);
    }
    let event = Event::new("e", &()).unwrap();
    let ack = Some(AckRequest::new(request()));
    assert_eq!(error(Message::Emit { event, target: Target::all(), ack }), InexpressibleError::Request);

    // Bytes in an acknowledgement are lost between Python nodes.
    let token = Python::request(&Target::all().to("sid"), "/", 7);
    assert_eq!(token.as_str(), r#"["sid","/",7]"#);
    let args = Values::new(&Bytes::from_static(b"a")).unwrap();
    let ack = Envelope::new(NODE, "/", Message::Ack { request: token.clone(), args }).to("asker");
    assert_eq!(python(&ack), Err(InexpressibleError::Binary));
    let args = Values::new(&("a", 1)).unwrap();
    let ack = Envelope::new(NODE, "/", Message::Ack { request: token, args }).to("asker");
    assert_eq!(
        text(&python(&ack).unwrap()[0]),
        r#"{"method": "callback", "host_id": "asker", "sid": "sid", "namespace": "/", "id": 7, "args": ["a", 1]}"#
    );
}

#[test]
fn a_join_of_several_rooms_is_several_messages_to_python() {
    let target = Target::all().to("a").to("b");
    let join = Envelope::new(NODE, "/", Message::Join { target, rooms: vec!["x".into(), "y".into()] });
    let published = python(&join).unwrap();
    let heads: Vec<&str> =
        published.iter().map(|one| text(one).split_once(", \"namespace").unwrap().0).collect();
    assert_eq!(
        heads,
        [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
            .map(|(sid, room)| format!(r#"{{"method": "enter_room", "sid": "{sid}", "room": "{room}""#))
    );
}

#[test]
fn a_copy_is_marked_where_every_peer_ignores_the_mark() {
    let copy = |message| Envelope::new(NODE, "/", message).via("b1");
    let event = Event::new("e", &()).unwrap();
    let ack = Some(AckRequest::new(RequestId::new("q")));
    for message in [
        Message::Emit { event: event.clone(), target: Target::all(), ack: None },
        Message::Emit { event: event.clone(), target: Target::all(), ack },
        Message::Join { target: Target::all().to("a"), rooms: vec!["r".into()] },
        Message::close_room("r"),
        Message::ServerSideEmit { event, request: None },
        Message::FetchRooms { request: RequestId::new("q") },
    ] {
        let copy = copy(message);
        let mut decoded = Vec::new();
        if let Ok(published) = Python::default().encode(&copy, &limits()) {
            let [one] = &published[..] else { panic!() };
            decoded.push(Python::default().decode(&one.channel, &one.payload, &limits()).unwrap());
        }
        let published = Classic::default().encode(&copy, &limits()).unwrap();
        decoded.push(
            Classic::default().decode(&published[0].channel, &published[0].payload, &limits()).unwrap(),
        );
        if let Ok(published) = Sharded::default().encode(&copy, &limits()) {
            decoded.push(
                Sharded::default().decode(&published[0].channel, &published[0].payload, &limits()).unwrap(),
            );
        }
        for decoded in decoded {
            assert_eq!(decoded, copy);
        }
    }
    let join = copy(Message::Join { target: Target::all(), rooms: vec!["r".into()] });
    assert_eq!(Streams::default().encode(&join, &limits()), Err(InexpressibleError::Via));
}

#[test]
fn answers_go_where_the_asker_hears_them() {
    let count = Message::AckCount { request: RequestId::new("q"), sockets: 2 };
    let answer = Envelope::new("me", "/a", count).to("you");
    let channel =
        |classic: Classic, answer: &Envelope| classic.encode(answer, &limits()).unwrap()[0].channel.clone();
    assert_eq!(channel(Classic::default(), &answer), "socket.io-response#/a#");
    assert_eq!(
        channel(Classic::default().with_specific_answers(true), &answer),
        "socket.io-response#/a#you#"
    );
    assert_eq!(Sharded::default().encode(&answer, &limits()).unwrap()[0].channel, "socket.io#/a#you#");
    let to_all = Envelope { to: None, ..answer };
    assert_eq!(Sharded::default().encode(&to_all, &limits()), Err(InexpressibleError::Node));

    // Answers to a server-side emit are heard on the common channel alone.
    let value = Values::new(&1).unwrap();
    let answer = Message::ServerSideAnswer { request: RequestId::new("q"), value };
    let answer = Envelope::new("me", "/a", answer).to("you");
    assert_eq!(channel(Classic::new("p").with_specific_answers(true), &answer), "p-response#/a#");
}

#[test]
fn messages_on_foreign_channels_are_none() {
    let one = Classic::default().encode(&emit("[1]", Target::all().to("r")), &limits()).unwrap();
    for channel in ["socket.io#/#", "socket.io#/#r#", "socket.io#/#a#b#"] {
        assert!(Classic::default().decode(channel, &one[0].payload, &limits()).is_ok(), "{channel}");
    }
    for channel in ["", "socket.io", "socket.io#", "socket.io#/", "socket.io#/#r", "socket.io#/a#", "x#/#"] {
        let decoded = Classic::default().decode(channel, &one[0].payload, &limits());
        assert_eq!(decoded, Err(MalformedError::Channel), "{channel}");
    }
    assert!(Classic::default().decode("socket.io-request#/#", &one[0].payload, &limits()).is_err());
    let one = Sharded::default().encode(&emit("[1]", Target::all()), &limits()).unwrap();
    for channel in ["socket.io#/a#", "socket.io#/", "y#/#"] {
        let decoded = Sharded::default().decode(channel, &one[0].payload, &limits());
        assert_eq!(decoded, Err(MalformedError::Channel), "{channel}");
    }
}

#[test]
fn rooms_have_channels_by_the_mode() {
    let channel = |mode, room| Sharded::new("p", mode).room_channel("/", room);
    let (id, room) = ("g10MrtqzWuvIIoh8AAAA", "r1");
    assert_eq!(channel(SubscriptionMode::Static, room), None);
    assert_eq!(channel(SubscriptionMode::Dynamic, room).as_deref(), Some("p#/#r1#"));
    assert_eq!(channel(SubscriptionMode::Dynamic, id), None);
    assert!(channel(SubscriptionMode::DynamicPrivate, id).is_some());
    // JavaScript counts UTF-16.
    assert_eq!(channel(SubscriptionMode::Dynamic, "😀😀😀😀😀😀😀😀😀😀"), None);
    let to_room = emit("[]", Target::all().to("r1"));
    assert_eq!(Sharded::default().encode(&to_room, &limits()).unwrap()[0].channel, "socket.io#/#r1#");
}

#[test]
fn a_notification_is_never_longer_than_postgres_takes() {
    // The peer sends 8000 bytes as they are, and they are lost.
    let empty = match Postgres::default().encode(&emit("[\"\"]", Target::all()), &limits()).unwrap() {
        Notified::Published(published) => published.payload.len(),
        Notified::Row { .. } => panic!(),
    };
    for (bytes, fits) in [(7999, true), (8000, false), (8001, false)] {
        let event = emit(&format!("[\"{}\"]", "x".repeat(bytes - empty)), Target::all());
        let notified = Postgres::default().encode(&event, &limits()).unwrap();
        assert_eq!(matches!(notified, Notified::Published(_)), fits, "{bytes}");
    }
    let long = format!("/{}", "n".repeat(60));
    let event = Envelope { namespace: long.as_str().into(), ..emit("[]", Target::all()) };
    assert_eq!(Postgres::default().encode(&event, &limits()), Err(InexpressibleError::Channel { limit: 63 }));
}

#[test]
fn a_node_that_asks_has_a_name() {
    let request = RequestId::new("q");
    let message = Message::FetchSockets { request, target: Target::all() };
    for origin in [Origin::Emitter, Origin::Unnamed] {
        let envelope = Envelope { origin, ..Envelope::new("", "/", message.clone()) };
        assert_eq!(Classic::default().encode(&envelope, &limits()), Err(InexpressibleError::Node));
        assert_eq!(Sharded::default().encode(&envelope, &limits()), Err(InexpressibleError::Node));
    }
}

#[test]
fn bytes_of_a_server_side_emit_are_a_buffer_in_json() {
    let event = Event::new("sse", &(Bytes::from_static(&[1, 2]), "x")).unwrap();
    let envelope = Envelope::new("qv5Q4z", "/", Message::ServerSideEmit { event, request: None });
    let published = Classic::default().encode(&envelope, &limits()).unwrap();
    assert_eq!(
        text(&published[0]),
        r#"{"uid":"qv5Q4z","type":6,"data":["sse",{"type":"Buffer","data":[1,2]},"x"]}"#
    );
}

#[test]
fn a_socket_is_described_with_all_that_a_peer_reads() {
    let socket = RemoteSocket {
        id: "a".into(),
        rooms: vec!["a".into(), "r".into()],
        handshake: Values::new(&()).unwrap(),
        data: Values::new(&(Bytes::from_static(&[7]),)).unwrap(),
    };
    let request = RequestId::new("q");
    let answer = Message::Sockets { request, sockets: vec![socket.clone()] };
    let answer = Envelope::new("me", "/", answer).to("you");
    let published = Sharded::default().encode(&answer, &limits()).unwrap();
    let decoded = Sharded::default().decode(&published[0].channel, &published[0].payload, &limits()).unwrap();
    let Message::Sockets { sockets, .. } = decoded.message else { panic!() };
    assert_eq!(sockets[0].handshake, Values::new(&serde_json::json!({})).unwrap());
    assert_eq!((&sockets[0].data, &sockets[0].rooms), (&socket.data, &socket.rooms));
    // The classic format has JSON here.
    let published = Classic::default().encode(&answer, &limits()).unwrap();
    assert!(text(&published[0]).ends_with(r#","data":{"type":"Buffer","data":[7]}}]}"#), "{published:?}");
}

/// JavaScript leaves out the value that is `undefined`, and `null` is a value. Only @msgpack/msgpack has one form for
/// the two.
#[test]
fn an_acknowledgement_of_null_is_not_one_of_nothing() {
    for args in ["[null\n]", "[ null ]", "[1e400 \t]", "[ 1 \n]", "[]", "[ ]"] {
        let payload = Bytes::from(format!(
            r#"{{"method": "callback", "host_id": "{NODE}", "sid": "s", "namespace": "/", "id": 1, "args": {args}}}"#
        ));
        let read = Python::default().decode("socketio", &payload, &limits()).unwrap();
        let Message::Ack { args: values, request } = &read.message else { panic!("{read:?}") };
        let read = Envelope::new(NODE, "/", read.message.clone()).to("asker");
        let len = values.len();

        let [one] = &Sharded::default().encode(&read, &limits()).unwrap()[..] else { panic!() };
        let again = Sharded::default().decode(&one.channel, &one.payload, &limits()).unwrap();
        let Message::Ack { args: values, .. } = &again.message else { panic!("{again:?}") };
        assert_eq!(values.len(), len, "{args}");
        let again = Envelope { to: Some("asker".into()), ..again };
        assert_eq!(&Sharded::default().encode(&again, &limits()).unwrap()[0], one);

        let Streamed::Published(one) = Streams::default().encode(&read, &limits()).unwrap() else { panic!() };
        let again = Streams::default().decode(&one.channel, &one.payload, &limits()).unwrap();
        let Message::Ack { args: values, request: asked } = &again.message else { panic!("{again:?}") };
        assert_eq!((values.len(), asked), (usize::from(args.contains(" 1 ")), request), "{args}");
    }
}

/// The channel of a classic answer alone says its namespace.
#[test]
fn a_classic_answer_is_never_taken_for_one_of_another_namespace() {
    let request = RequestId::new("r");
    let answers = [
        Message::Ack { request: request.clone(), args: Values::new(&1).unwrap() },
        Message::AckCount { request: request.clone(), sockets: 1 },
        Message::ServerSideAnswer { request, value: Values::new(&1).unwrap() },
    ];
    for answer in answers {
        let written = Classic::default().encode(&Envelope::new(NODE, "/a#b", answer.clone()), &limits());
        assert_eq!(written.unwrap_err(), InexpressibleError::Namespace);
        assert!(Classic::default().encode(&Envelope::new(NODE, "/a", answer), &limits()).is_ok());
    }
    let event = Envelope { namespace: "/a#b".into(), ..emit("[1]", Target::all()) };
    let [one] = &Classic::default().encode(&event, &limits()).unwrap()[..] else { panic!() };
    assert_eq!(Classic::default().decode(&one.channel, &one.payload, &limits()).unwrap(), event);
}
