//! The flag `compress` on its way: from a frame to the WebSocket, or to the answer to a poll.

use sansocket_protocol::client::{Manager, ReconnectConfig};
use sansocket_protocol::engine::{
    ClientTransmit, EngineClientConfig, EngineServerConfig, RequestHead, RequestId, Response, Revision,
    ServerTransmit, TransportKind,
};
use sansocket_protocol::message::{Frame, WireMessage};
use sansocket_protocol::random::Random;
use sansocket_protocol::server::Connection;
use sansocket_protocol::socket::{AuthSource, Parser};
use sansocket_protocol::time::Instant;
use std::sync::Arc;

const NOW: Instant = Instant::ZERO;

fn connection(config: EngineServerConfig) -> Connection {
    Connection::new(NOW, Revision::V4, Arc::new(config), "sid".into(), None)
}

fn poll(connection: &mut Connection, id: u64) -> Response {
    let head = RequestHead {
        method: "GET",
        target: "/engine.io/?EIO=4&transport=polling&sid=sid",
        headers: &[("host", "a")],
    };
    let _ = connection.handle_request(NOW, RequestId(id), &head);
    match connection.poll_transmit() {
        Some(ServerTransmit::Respond { request: RequestId(to), response }) if to == id => *response,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str, compress: bool) -> Frame {
    Frame::text_message(text).compress(compress)
}

#[test]
fn each_message_on_a_websocket_says_whether_it_may_be_compressed() {
    let mut connection = connection(EngineServerConfig::default());
    let head = RequestHead {
        method: "GET",
        target: "/engine.io/?EIO=4&transport=websocket",
        headers: &[("connection", "upgrade"), ("upgrade", "websocket")],
    };
    let _ = connection.handle_request(NOW, RequestId(1), &head);
    connection.handle_websocket_opened(NOW, RequestId(1));
    connection.send(text("a", true)).unwrap();
    connection.send(text("b", false)).unwrap();
    connection.send(Frame::binary_message("c".into()).compress(false)).unwrap();
    connection.send(text("d", true)).unwrap();
    let mut seen = Vec::new();
    while let Some(transmit) = connection.poll_transmit() {
        if let ServerTransmit::Write { message, compress, .. } = transmit {
            let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = message;
            seen.push((bytes.last().copied().unwrap_or(0) as char, compress));
        }
    }
    assert_eq!(seen[1..], [('a', true), ('b', false), ('c', false), ('d', true)]);
    assert!(seen[0].1, "the open packet");
    assert!(!connection.has_transmit());
    connection.handle_unwritten(NOW, 0);
    assert_eq!(connection.buffered(), 0);
}

#[test]
fn the_answer_to_a_poll_may_be_compressed_unless_none_of_its_packets_may() {
    let mut connection = connection(EngineServerConfig::default());
    let open = poll(&mut connection, 1);
    assert!(open.may_compress());
    for (flags, may) in [
        (&[true][..], true),
        (&[false], false),
        (&[false, false], false),
        (&[false, true], true),
        (&[true, false], true),
    ] {
        for flag in flags {
            connection.send(text("x", *flag)).unwrap();
        }
        let answer = poll(&mut connection, 2);
        assert_eq!(answer.body, "4x\u{1e}".repeat(flags.len()).trim_end_matches('\u{1e}'));
        assert_eq!(answer.may_compress(), may, "{flags:?}");
        assert_eq!(connection.buffered(), 0);
    }
    // No answer but those.
    assert!(!Response::new(200).may_compress());
}

#[test]
fn the_mark_is_never_parted_from_its_message() {
    let mut config = EngineServerConfig::default();
    config.max_poll_packets = 1;
    let mut connection = connection(config);
    poll(&mut connection, 1);
    for flag in [true, false, true] {
        connection.send(text("x", flag)).unwrap();
    }
    let answers: Vec<_> = (2..5).map(|id| poll(&mut connection, id)).collect();
    assert!(answers.iter().all(|answer| answer.body == "4x"), "{answers:?}");
    assert_eq!(answers.iter().map(Response::may_compress).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn each_message_of_a_client_says_whether_it_may_be_compressed() {
    let engine = EngineClientConfig::default().transports([TransportKind::WebSocket]);
    let mut client = Manager::new(
        Arc::new(ReconnectConfig::default()),
        Arc::new(engine),
        Random::new([7; 32]),
        Some(Arc::default()),
    );
    let socket = client.add("/", AuthSource::None).unwrap();
    client.connect(NOW, socket);
    let Some(ClientTransmit::OpenWebSocket { websocket, .. }) = client.poll_transmit() else {
        panic!("a dial")
    };
    client.handle_websocket_opened(NOW, websocket);
    let open = r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    client.handle_websocket(NOW, websocket, WireMessage::Text(open.into()));
    client.handle_websocket(NOW, websocket, WireMessage::Text(r#"40{"sid":"b"}"#.into()));
    let event = |name: &str, compress| Parser::json().event("/", name, None, &()).unwrap().compress(compress);
    for (name, compress) in [("a", true), ("b", false), ("c", true)] {
        client.emit(NOW, socket, event(name, compress)).unwrap();
    }
    client.emit_volatile(NOW, socket, event("d", false)).unwrap();
    let mut seen = Vec::new();
    while let Some(transmit) = client.poll_transmit() {
        if let ClientTransmit::Write { message: WireMessage::Text(text), compress, .. } = transmit {
            seen.push((String::from_utf8(text.to_vec()).unwrap(), compress));
        }
    }
    let expected = [
        ("40", true),
        (r#"42["a"]"#, true),
        (r#"42["b"]"#, false),
        (r#"42["c"]"#, true),
        (r#"42["d"]"#, false),
    ];
    assert_eq!(seen, expected.map(|(text, compress)| (text.to_owned(), compress)));
}
