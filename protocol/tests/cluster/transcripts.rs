//! One node of ours and a peer by the letter: the conversations that real peers have.

use bytes::Bytes;
use sansocket_protocol::cluster::node::{
    Answer, Ask, AskId, Dialect, Node, NodeConfig, NodeEvent, NodeTransmit, Outcome, ServingId,
};
use sansocket_protocol::cluster::{Classic, Event, Message, Postgres, Python, RemoteSocket, Values};
use sansocket_protocol::hub::Target;
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::time::Duration;

struct Talk {
    now: Instant,
    node: Node,
    me: String,
}

impl Talk {
    /// A node whose subscriptions are made.
    fn new(dialect: Dialect) -> Self {
        let now = Instant::from_millis(1000);
        let mut node = Node::new(NodeConfig::default(), dialect, Random::new([3; 32]));
        node.open(now, "/");
        node.handle_bus_up(now);
        let me = node.name().to_string();
        Self { now, node, me }
    }

    /// Its acts, with its own name as `ME`, MessagePack as hexadecimal digits.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(transmit) = self.node.poll_transmit() {
            said.push(match transmit {
                NodeTransmit::Publish(one) => {
                    let payload = match std::str::from_utf8(&one.payload) {
                        Ok(text) if text.starts_with('{') => text.to_string(),
                        _ => one.payload.iter().map(|byte| format!("{byte:02x}")).collect(),
                    };
                    format!("{} {payload}", one.channel)
                }
                NodeTransmit::Count { channel, .. } => format!("count {channel}"),
                NodeTransmit::Subscribe(to) => format!("{to:?}"),
                other => format!("{other:?}"),
            });
        }
        let hex: String = self.me.bytes().map(|byte| format!("{byte:02x}")).collect();
        said.iter().map(|line| line.replace(&self.me, "ME").replace(&hex, "(ME)")).collect()
    }

    /// The words of a peer, with `ME` for the node's name.
    fn hear(&mut self, channel: &str, text: &str) {
        let channel = channel.replace("ME", &self.me);
        let payload = Bytes::from(text.replace("ME", &self.me));
        self.node.handle_message(self.now, &channel, &payload);
    }

    fn ask(&mut self, ask: Ask) -> AskId {
        self.node.ask(self.now, "/", ask, Duration::from_secs(1)).unwrap()
    }

    fn done(&mut self) -> Option<Outcome> {
        std::iter::from_fn(|| self.node.poll_event()).find_map(|event| match event {
            NodeEvent::Done { outcome, .. } => Some(outcome),
            _ => None,
        })
    }

    fn served(&mut self) -> Option<(Message, Option<ServingId>)> {
        std::iter::from_fn(|| self.node.poll_event()).find_map(|event| match event {
            NodeEvent::Message { message, serving, .. } => Some((message, serving)),
            _ => None,
        })
    }

    fn answer(&mut self, serving: ServingId, answer: Answer) {
        self.node.answer(self.now, serving, answer);
    }
}

/// The token in what the node has just said.
fn token(line: &str) -> String {
    let (_, rest) = line.split_once(r#""requestId":""#).unwrap();
    rest.split_once('"').unwrap().0.to_string()
}

fn ask(target: Target) -> Ask {
    Ask::Acks { event: Event::new("ask", &1).unwrap(), target, single: false }
}

fn texts(outcome: &Outcome) -> Vec<&str> {
    outcome.answers.iter().map(|values| values.args().json(0).unwrap_or("")).collect()
}

fn text(text: &str) -> Values {
    Values::new(text).unwrap()
}

#[test]
fn python_asks_and_is_asked() {
    let mut talk = Talk::new(Dialect::Python(Python::default()));
    assert_eq!(talk.said(), [r#"Channel("socketio")"#]);

    // `await sio.call("ask", 1, to=SID)`, of ours.
    let single =
        Ask::Acks { event: Event::new("ask", &1).unwrap(), target: Target::all().to("SID"), single: true };
    talk.ask(single);
    assert_eq!(
        talk.said(),
        [
            r#"socketio {"method": "emit", "event": "ask", "data": [1], "binary": false, "namespace": "/", "room": "SID", "skip_sid": null, "callback": ["SID", "/", 1], "host_id": "ME"}"#
        ]
    );
    // For another host, for another request, and then for this one.
    for (host, id) in [("other", 1), ("ME", 2)] {
        talk.hear("socketio", &format!(r#"{{"method": "callback", "host_id": "{host}", "sid": "SID", "namespace": "/", "id": {id}, "args": ["no"]}}"#));
        assert_eq!(talk.done(), None);
    }
    talk.hear(
        "socketio",
        r#"{"method": "callback", "host_id": "ME", "sid": "SID", "namespace": "/", "id": 1, "args": ["ack-b"]}"#,
    );
    assert_eq!(texts(&talk.done().unwrap()), [r#""ack-b""#]);

    // The same of theirs.
    talk.hear(
        "socketio",
        r#"{"method": "emit", "event": "ask", "data": [1], "binary": false, "namespace": "/", "room": "r1", "skip_sid": null, "callback": ["r1", "/", 7], "host_id": "3cb6"}"#,
    );
    let (Message::Emit { event, target, .. }, Some(serving)) = talk.served().unwrap() else { panic!() };
    assert_eq!((&*event.name(), &*target.rooms[0]), ("ask", "r1"));
    talk.answer(serving, Answer::Count(2));
    talk.answer(serving, Answer::Ack(text("one")));
    talk.answer(serving, Answer::Ack(Values::new(&("two", 2)).unwrap()));
    talk.answer(serving, Answer::Ack(text("one too many")));
    assert_eq!(
        talk.said(),
        [
            r#"socketio {"method": "callback", "host_id": "3cb6", "sid": "r1", "namespace": "/", "id": 7, "args": ["one"]}"#,
            r#"socketio {"method": "callback", "host_id": "3cb6", "sid": "r1", "namespace": "/", "id": 7, "args": ["two", 2]}"#,
        ]
    );
    // Its own messages come back.
    talk.hear(
        "socketio",
        r#"{"method": "emit", "event": "e", "data": [], "namespace": "/", "host_id": "ME"}"#,
    );
    assert_eq!(talk.served(), None);
}

#[test]
fn the_classic_adapter_asks_and_is_asked() {
    let mut talk = Talk::new(Dialect::Classic(Classic::default()));
    assert_eq!(
        talk.said(),
        [
            r##"Pattern("socket.io#/#*")"##,
            r##"Channel("socket.io-request#/#")"##,
            r##"Channel("socket.io-response#/#")"##,
            r##"Channel("socket.io-response#/#ME#")"##,
        ]
    );

    // `io.timeout(1000).emit("ask", 1, callback)`: answers may come before the count of nodes, acknowledgements
    // before the count of sockets.
    let id = talk.ask(ask(Target::all()));
    let said = talk.said();
    assert_eq!(said[0], "count socket.io-request#/#");
    let (head, rest) = said[1].split_once("a9726571756573744964a6").unwrap();
    assert_eq!(head, "socket.io-request#/# 85a3756964a6(ME)");
    let (hex, rest) = rest.split_at(12);
    // Every byte behind the token is that of the captured request.
    assert_eq!(
        rest,
        "a47479706507a67061636b657483a47479706502a46461746192a361736b01a36e7370a12fa46f70747383a5726f6f6d7390a665786365707490a5666c61677381a774696d656f7574cd03e8"
    );
    let token: Vec<u8> = (0..6).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let token = String::from_utf8(token).unwrap();
    let response = "socket.io-response#/#";
    let mut ack = b"\x83\xa4type\x09\xa9requestId\xa6".to_vec();
    ack.extend(token.bytes());
    ack.extend(b"\xa6packet\xa5ack-b");
    talk.node.handle_message(talk.now, response, &ack.into());
    talk.hear(response, &format!(r#"{{"type":8,"requestId":"{token}","clientCount":2}}"#));
    talk.hear(response, &format!(r#"{{"type":9,"requestId":"{token}"}}"#));
    assert_eq!(talk.done(), None, "there may be more nodes");
    talk.node.handle_count(talk.now, id, Some(3));
    assert_eq!(talk.done(), None, "there is one more node");
    talk.hear("socket.io-response#/#ME#", &format!(r#"{{"type":8,"requestId":"{token}","clientCount":0}}"#));
    let outcome = talk.done().unwrap();
    assert_eq!((texts(&outcome), outcome.is_complete()), (vec![r#""ack-b""#, ""], true));

    // `io.fetchSockets()`.
    let id = talk.ask(Ask::Sockets { target: Target::all() });
    talk.node.handle_count(talk.now, id, Some(2));
    let said = talk.said();
    let token = self::token(&said[1]);
    assert_eq!(
        said[1],
        format!(
            r#"socket.io-request#/# {{"uid":"ME","requestId":"{token}","type":5,"opts":{{"rooms":[],"except":[]}}}}"#
        )
    );
    talk.hear(
        response,
        &format!(r#"{{"requestId":"{token}","sockets":[{{"id":"a","handshake":{{"headers":{{}}}},"rooms":["a","r1"],"data":{{}}}}]}}"#),
    );
    let outcome = talk.done().unwrap();
    assert_eq!((&*outcome.sockets[0].id, outcome.sockets[0].rooms.len()), ("a", 2));

    // `await io.serverSideEmitWithAck("sse", 2)`, which nobody answers.
    let id = talk.ask(Ask::ServerSide { event: Event::new("sse", &2).unwrap() });
    talk.node.handle_count(talk.now, id, Some(2));
    let said = talk.said();
    assert!(said[1].ends_with(r#""type":6,"data":["sse",2]}"#), "{said:?}");
    talk.now = talk.now + Duration::from_secs(1);
    talk.node.handle_timeout(talk.now);
    assert_eq!(talk.done().unwrap().missing_nodes, Some(1));

    // And the other way round.
    let request = "socket.io-request#/#";
    talk.hear(request, r#"{"uid":"KF6XKt","requestId":"0apS-Y","type":5,"opts":{"rooms":[],"except":[]}}"#);
    let (Message::FetchSockets { .. }, Some(serving)) = talk.served().unwrap() else { panic!() };
    let nothing = Values::new(&()).unwrap();
    let socket =
        RemoteSocket { id: "x".into(), rooms: vec!["x".into()], handshake: nothing.clone(), data: nothing };
    talk.answer(serving, Answer::Sockets(vec![socket]));
    talk.hear(request, r#"{"uid":"KF6XKt","requestId":"weecq6","type":1}"#);
    let (Message::FetchRooms { .. }, Some(serving)) = talk.served().unwrap() else { panic!() };
    talk.answer(serving, Answer::Rooms(vec!["r1".into()]));
    talk.hear(
        request,
        r#"{"uid":"KF6XKt","requestId":"q7","type":7,"packet":{"type":2,"data":["e",1],"nsp":"/"},"opts":{"rooms":[],"except":[]}}"#,
    );
    let (Message::Emit { .. }, Some(serving)) = talk.served().unwrap() else { panic!() };
    talk.answer(serving, Answer::Count(1));
    talk.answer(serving, Answer::Ack(text("x")));
    talk.hear(request, r#"{"uid":"KF6XKt","requestId":"KWQF1g","type":6,"data":["sse",1]}"#);
    let (Message::ServerSideEmit { .. }, Some(serving)) = talk.served().unwrap() else { panic!() };
    talk.answer(serving, Answer::ServerSide(text("pong")));
    assert_eq!(
        talk.said(),
        [
            r#"socket.io-response#/# {"requestId":"0apS-Y","sockets":[{"id":"x","handshake":{},"rooms":["x"]}]}"#,
            r#"socket.io-response#/# {"requestId":"weecq6","rooms":["r1"]}"#,
            r#"socket.io-response#/# {"type":8,"requestId":"q7","clientCount":1}"#,
            "socket.io-response#/# 83a47479706509a9726571756573744964a27137a67061636b6574a178",
            r#"socket.io-response#/# {"type":6,"requestId":"KWQF1g","data":"pong"}"#,
        ]
    );
}

#[test]
fn the_cluster_adapter_greets_answers_and_leaves() {
    let mut talk = Talk::new(Dialect::Postgres(Postgres::default()));
    let channel = "socket.io#/";
    assert_eq!(
        talk.said(),
        [r##"Channel("socket.io#/")"##, r#"socket.io#/ {"type":1,"uid":"ME","nsp":"/"}"#]
    );
    // Its own greeting comes back, and a peer that was there before answers.
    talk.hear(channel, r#"{"type":1,"uid":"ME","nsp":"/"}"#);
    talk.hear(channel, r#"{"type":2,"uid":"8bba64e75590f83a","nsp":"/"}"#);
    // A peer begins, and is answered.
    talk.hear(channel, r#"{"type":1,"uid":"95b190acff2973e2","nsp":"/"}"#);
    assert_eq!(talk.said(), [r#"socket.io#/ {"type":2,"uid":"ME","nsp":"/"}"#]);

    // An acknowledgement comes before the count, as Postgres does not keep the order.
    talk.ask(ask(Target::all()));
    let said = talk.said();
    let token = token(&said[0]);
    assert_eq!(
        said,
        [format!(
            r#"socket.io#/ {{"type":3,"data":{{"packet":{{"type":2,"data":["ask",1]}},"requestId":"{token}","opts":{{"rooms":[],"except":[],"flags":{{"timeout":1000}}}}}},"uid":"ME","nsp":"/"}}"#
        )]
    );
    let answer = |kind: u8, data: &str, uid: &str| {
        format!(r#"{{"type":{kind},"data":{{"requestId":"{token}",{data}}},"uid":"{uid}","nsp":"/"}}"#)
    };
    talk.hear(channel, &answer(12, r#""packet":"ack-b2""#, "95b190acff2973e2"));
    talk.hear(channel, &answer(11, r#""clientCount":1"#, "95b190acff2973e2"));
    // One that is not asked any more does not count.
    talk.hear(channel, &answer(11, r#""clientCount":9"#, "95b190acff2973e2"));
    assert_eq!(talk.done(), None);
    // The other node goes instead of answering.
    talk.hear(channel, r#"{"type":13,"uid":"8bba64e75590f83a","nsp":"/"}"#);
    let outcome = talk.done().unwrap();
    assert_eq!(texts(&outcome), [r#""ack-b2""#]);
    assert_eq!((outcome.missing_nodes, outcome.missing_acks), (Some(1), 0));

    // It says that it lives, five seconds after it was last heard, and hears that the peer does not.
    for _ in 0..2 {
        talk.now = talk.node.poll_timeout().unwrap();
        talk.node.handle_timeout(talk.now);
    }
    assert_eq!(talk.now, Instant::from_millis(11_000));
    let beat = r#"socket.io#/ {"type":2,"uid":"ME","nsp":"/"}"#;
    assert_eq!(talk.said(), [beat, beat]);
    let told: Vec<NodeEvent> = std::iter::from_fn(|| talk.node.poll_event()).collect();
    assert_eq!(told, [NodeEvent::PeerDown { namespace: "/".into(), node: "95b190acff2973e2".into() }]);
    talk.node.close(talk.now, "/");
    assert_eq!(
        talk.said(),
        [r#"socket.io#/ {"type":13,"uid":"ME","nsp":"/"}"#, r##"Unsubscribe(Channel("socket.io#/"))"##]
    );
    assert_eq!(talk.node.poll_timeout(), None);
}
