//! Messages that wait in a client, on their way out and on their way in.

use sansocket_protocol::client::{ClientEvent, ClientState, Manager, ReconnectConfig};
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::engine::{ClientTransmit, EngineClientConfig, TransportKind};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::Parser;
use sansocket_protocol::socket::{AuthSource, SocketClientConfig, SocketKey};
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const OPEN: &str = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

fn says(client: &mut Manager, now: Instant, websocket: RequestId, text: &str) {
    client.handle_websocket(now, websocket, WireMessage::Text(text.to_string().into()));
}

/// Opens the session that is asked for, and joins the main namespace.
fn join(client: &mut Manager, now: Instant) -> RequestId {
    let Some(ClientTransmit::OpenWebSocket { websocket, .. }) = client.poll_transmit() else { panic!() };
    client.handle_websocket_opened(now, websocket);
    says(client, now, websocket, OPEN);
    says(client, now, websocket, r#"40{"sid":"p"}"#);
    assert_eq!(written(client), 2);
    websocket
}

fn joined(engine: EngineClientConfig) -> (Manager, SocketKey, RequestId) {
    let engine = engine.transports([TransportKind::WebSocket]);
    let sockets = SocketClientConfig::default().parser(Parser::json().max_attachments(0));
    let (config, random) = (Arc::new(ReconnectConfig::default()), Random::new([1; 32]));
    let mut client = Manager::new(config, Arc::new(engine), random, Some(Arc::new(sockets)));
    let socket = client.add("/", AuthSource::None).unwrap();
    client.connect(Instant::ZERO, socket);
    let websocket = join(&mut client, Instant::ZERO);
    (client, socket, websocket)
}

/// Bytes that the owner is given to write.
fn written(client: &mut Manager) -> usize {
    let mut bytes = 0;
    while let Some(transmit) = client.poll_transmit() {
        if let ClientTransmit::Write { message: WireMessage::Text(text), .. } = transmit {
            bytes += text.len();
        }
    }
    bytes
}

#[test]
fn no_more_is_given_out_than_the_owner_can_write() {
    let (mut client, socket, _) = joined(EngineClientConfig::default());
    let frame = Parser::json().event("/", "e", None, &"x".repeat(30_000)).unwrap();
    for _ in 0..10 {
        client.emit(Instant::ZERO, socket, &frame).unwrap();
    }
    assert_eq!(written(&mut client), 3 * frame.wire_len());
    assert!(!client.has_output() || client.poll_event().is_some());
    client.handle_unwritten(40_000);
    assert_eq!(written(&mut client), frame.wire_len());
    assert!(!client.emit_volatile(Instant::ZERO, socket, &frame).unwrap());
    for _ in 0..2 {
        client.handle_unwritten(0);
        assert!(written(&mut client) > 0);
    }
    client.handle_unwritten(0);
    assert_eq!(client.buffered(), 0);
}

#[test]
fn an_event_that_waits_to_be_written_is_not_queued_again() {
    let engine = EngineClientConfig::default().transports([TransportKind::WebSocket]);
    let sockets = SocketClientConfig::default().retries(2).ack_timeout(Duration::from_secs(1));
    let (config, random) = (Arc::new(ReconnectConfig::default()), Random::new([1; 32]));
    let mut client = Manager::new(config, Arc::new(engine), random, Some(Arc::new(sockets)));
    let socket = client.add("/", AuthSource::None).unwrap();
    client.connect(Instant::ZERO, socket);
    let websocket = join(&mut client, Instant::ZERO);
    while client.poll_event().is_some() {}

    // The server stands still: nothing more is given out, and three tries leave one copy.
    client.handle_unwritten(100_000);
    let frame = Parser::json().event("/", "e", Some(0), &"x".repeat(7000)).unwrap();
    client.emit_reliably(Instant::ZERO, socket, frame.clone(), 0).unwrap();
    let once = client.buffered();
    for second in 1..=2 {
        client.handle_timeout(Instant::ZERO + Duration::from_secs(second));
        assert_eq!(client.buffered(), once, "second {second}");
        assert!(client.poll_event().is_none());
    }
    // Once it has left, the next try is a copy of its own.
    client.handle_unwritten(0);
    assert_eq!(written(&mut client), frame.wire_len());
    client.handle_unwritten(0);
    client
        .emit_reliably(Instant::ZERO, socket, Parser::json().event("/", "e", Some(2), &1).unwrap(), 2)
        .unwrap();
    client.handle_timeout(Instant::ZERO + Duration::from_secs(3));
    let told = std::iter::from_fn(|| client.poll_event()).count();
    assert_eq!(told, 1, "three tries were all");
    assert_eq!(written(&mut client), r#"422["e",1]"#.len());
    client.handle_timeout(Instant::ZERO + Duration::from_secs(4));
    assert_eq!(written(&mut client), r#"422["e",1]"#.len());
    says(&mut client, Instant::ZERO + Duration::from_secs(4), websocket, "432[]");
    assert_eq!(std::iter::from_fn(|| client.poll_event()).count(), 1);
}

#[test]
fn last_words_are_given_out_however_many_they_are() {
    let (mut client, socket, _) = joined(EngineClientConfig::default());
    let frame = Parser::json().event("/", "e", None, &"x".repeat(30_000)).unwrap();
    for _ in 0..10 {
        client.emit(Instant::ZERO, socket, &frame).unwrap();
    }
    assert_eq!(written(&mut client), 3 * frame.wire_len());
    // The socket is full, and stays so.
    client.close(Instant::ZERO);
    assert_eq!(written(&mut client), 7 * frame.wire_len() + "41".len());
    while client.poll_event().is_some() {}
    assert!(client.is_finished());
}

#[test]
fn a_server_that_sends_more_than_is_handled_is_left_and_the_next_session_is_not() {
    let (mut client, socket, websocket) =
        joined(EngineClientConfig::default().receive_budget(4_000).max_message(1_000));
    let event = format!(r#"42["e","{}"]"#, "x".repeat(900));
    let ask = Parser::json().event("/", "q", Some(0), &()).unwrap();
    let mut now = Instant::ZERO;
    client.emit_with_ack(now, socket, &ask, 0, now + Duration::from_secs(60)).unwrap();
    let mut sent = 0;
    while client.wants_read() {
        says(&mut client, now, websocket, &event);
        sent += 1;
    }
    // A second budget is for the answer that is awaited.
    assert!((7..10).contains(&sent), "{sent}");
    assert_eq!(client.status(), ClientState::Waiting);
    while let Some(transmit) = client.poll_transmit() {
        drop(transmit);
    }
    now = now + Duration::from_secs(5);
    client.handle_timeout(now);
    join(&mut client, now);
    assert_eq!(client.status(), ClientState::Open);
    assert!(!client.wants_read());
    let mut reasons = Vec::new();
    while let Some(event) = client.poll_event() {
        if let ClientEvent::Closed { closed, .. } = event {
            reasons.push(closed.reason);
        }
    }
    assert_eq!(reasons, [CloseReason::Stalled]);
    assert!(client.wants_read());
}
