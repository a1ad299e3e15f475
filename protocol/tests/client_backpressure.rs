//! What waits in a client, on its way out and on its way in.

use sansocket_protocol::client::{Config, Event, Manager, Status};
use sansocket_protocol::engine::client::{Config as EngineConfig, Transmit, TransportKind};
use sansocket_protocol::engine::packet::Message;
use sansocket_protocol::engine::request::RequestId;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::frame::Frame;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::client::{Auth, Config as SocketConfig, SocketKey};
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const OPEN: &str = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

fn says(client: &mut Manager, now: Instant, websocket: RequestId, text: &str) {
    client.handle_websocket(now, websocket, Message::Text(text.to_string().into()));
}

/// Opens the session that is asked for, and joins the main namespace.
fn join(client: &mut Manager, now: Instant) -> RequestId {
    let Some(Transmit::OpenWebSocket { websocket, .. }) = client.poll_transmit() else { panic!() };
    client.websocket_opened(now, websocket);
    says(client, now, websocket, OPEN);
    says(client, now, websocket, r#"40{"sid":"p"}"#);
    assert_eq!(written(client), 2);
    websocket
}

fn joined(engine: EngineConfig) -> (Manager, SocketKey, RequestId) {
    let engine = engine.transports([TransportKind::WebSocket]);
    let sockets = SocketConfig::default().max_attachments(0).retries(3).ack_timeout(Duration::from_secs(1));
    let (config, random) = (Arc::new(Config::default()), Random::new([1; 32]));
    let mut client = Manager::new(config, Arc::new(engine), random, Some(Arc::new(sockets)));
    let socket = client.add("/", Auth::None).unwrap();
    client.connect(Instant::ZERO, socket);
    let websocket = join(&mut client, Instant::ZERO);
    (client, socket, websocket)
}

/// Bytes that the owner is given to write.
fn written(client: &mut Manager) -> usize {
    let mut bytes = 0;
    while let Some(transmit) = client.poll_transmit() {
        if let Transmit::Write { message: Message::Text(text), .. } = transmit {
            bytes += text.len();
        }
    }
    bytes
}

#[test]
fn no_more_is_given_out_than_the_owner_can_write() {
    let (mut client, socket, _) = joined(EngineConfig::default());
    let frame = Frame::event("/", "e", None, &"x".repeat(30_000)).unwrap();
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
fn an_event_is_not_repeated_while_its_copy_before_waits_to_be_written() {
    let (mut client, socket, _) = joined(EngineConfig::default());
    let frame = Frame::event("/", "e", Some(1), &"x".repeat(30_000)).unwrap();
    client.emit_reliably(Instant::ZERO, socket, frame.clone(), 1).unwrap();
    assert_eq!(written(&mut client), frame.wire_len());
    client.handle_unwritten(frame.wire_len());
    let buffered = client.buffered();
    client.handle_timeout(Instant::from_millis(1_000));
    assert_eq!((written(&mut client), client.buffered()), (0, buffered));
    // Once it is away, the next try is one.
    client.handle_unwritten(0);
    client.handle_timeout(Instant::from_millis(2_000));
    assert_eq!(written(&mut client), frame.wire_len());
}

#[test]
fn last_words_are_given_out_however_many_they_are() {
    let (mut client, socket, _) = joined(EngineConfig::default());
    let frame = Frame::event("/", "e", None, &"x".repeat(30_000)).unwrap();
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
        joined(EngineConfig::default().receive_budget(4_000).max_message(1_000));
    let event = format!(r#"42["e","{}"]"#, "x".repeat(900));
    let ask = Frame::event("/", "q", Some(0), &()).unwrap();
    let mut now = Instant::ZERO;
    client.emit_with_ack(now, socket, &ask, 0, now + Duration::from_secs(60)).unwrap();
    let mut sent = 0;
    while client.wants_read() {
        says(&mut client, now, websocket, &event);
        sent += 1;
    }
    // A second budget is for the answer that is awaited.
    assert!((7..10).contains(&sent), "{sent}");
    assert_eq!(client.status(), Status::Waiting);
    while let Some(transmit) = client.poll_transmit() {
        drop(transmit);
    }
    now = now + Duration::from_secs(5);
    client.handle_timeout(now);
    join(&mut client, now);
    assert_eq!(client.status(), Status::Open);
    assert!(!client.wants_read());
    let mut reasons = Vec::new();
    while let Some(event) = client.poll_event() {
        if let Event::Closed { closed, .. } = event {
            reasons.push(closed.reason);
        }
    }
    assert_eq!(reasons, [CloseReason::Stalled]);
    assert!(client.wants_read());
}
