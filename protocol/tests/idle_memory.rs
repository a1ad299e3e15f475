//! The memory of a connection at rest, counted in bytes.

use allocation_counter::measure;
use sansocket_protocol::engine::{EngineServerConfig, RequestHead, RequestId, Revision, ServerTransmit};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{Parser, ServerSocketEvent, SocketKey};
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const WEBSOCKET: RequestId = RequestId(1);
/// Events of each kind in a burst: fewer than the queues that are given back as soon as they are empty.
const BURST: u64 = 30;

fn text(text: &str) -> WireMessage {
    WireMessage::Text(text.to_owned().into())
}

/// A connection with a socket in the main namespace, all of whose output is written.
fn joined() -> (Connection, SocketKey) {
    let now = Instant::ZERO;
    let config = Arc::new(EngineServerConfig::default());
    let mut connection = Connection::new(now, Revision::V4, config, "id".into(), Some(Arc::default()));
    let head = RequestHead {
        method: "GET",
        target: "/engine.io/?EIO=4&transport=websocket",
        headers: &[("connection", "upgrade"), ("upgrade", "websocket")],
    };
    let _ = connection.handle_request(now, WEBSOCKET, &head);
    write_all(&mut connection);
    connection.handle_websocket_opened(now, WEBSOCKET);
    connection.handle_websocket(now, WEBSOCKET, text("40"));
    let Some(ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. })) = connection.poll_event() else {
        panic!("nobody joins");
    };
    connection.accept(socket, "sid").expect("a client");
    write_all(&mut connection);
    (connection, socket)
}

/// Writes what is to be written, and returns the number of messages.
fn write_all(connection: &mut Connection) -> usize {
    let written = std::iter::from_fn(|| connection.poll_transmit())
        .filter(|transmit| matches!(transmit, ServerTransmit::Write { .. }))
        .count();
    connection.handle_unwritten(Instant::ZERO, 0);
    written
}

fn events(connection: &mut Connection) -> usize {
    std::iter::from_fn(|| connection.poll_event()).count()
}

/// Events that wait for a handler, events to the client, and acknowledgements that are asked for and come.
fn burst(connection: &mut Connection, socket: SocketKey, now: Instant) {
    let parser = Parser::json();
    connection.hold(Some(socket));
    for _ in 0..BURST {
        connection.handle_websocket(now, WEBSOCKET, text(r#"42["said"]"#));
    }
    assert_eq!(events(connection), 0, "the socket is held");
    connection.release(Some(socket));
    assert_eq!(events(connection), BURST as usize);
    for id in 0..BURST {
        let frame = parser.event("/", "asked", Some(id), &()).expect("a frame");
        connection.emit_with_ack(socket, frame, id, now + Duration::from_secs(1)).expect("a client");
    }
    assert_eq!(write_all(connection), BURST as usize);
    for id in 0..BURST {
        connection.handle_websocket(now, WEBSOCKET, text(&format!("43{id}[]")));
    }
    assert_eq!(events(connection), BURST as usize);
}

/// The next ping is due, leaves, and is answered. Returns the time of it.
fn heartbeat(connection: &mut Connection) -> Instant {
    loop {
        let due = connection.poll_timeout().expect("a connection that lives");
        connection.handle_timeout(due);
        if write_all(connection) > 0 {
            connection.handle_websocket(due, WEBSOCKET, text("3"));
            return due;
        }
        // That was the deadline of an acknowledgement.
    }
}

#[test]
fn a_burst_leaves_nothing_behind_its_next_heartbeat() {
    let (mut connection, socket) = joined();
    let grown = measure(|| burst(&mut connection, socket, Instant::ZERO)).bytes_current;
    let mut now = Instant::ZERO;
    let given_back = measure(|| now = heartbeat(&mut connection)).bytes_current;
    assert!(given_back < -1000, "{given_back} bytes at the heartbeat, after {grown} of the burst");
    assert!(grown + given_back <= 64, "{grown} bytes of the burst, {given_back} at the heartbeat");
    // The same once more: a connection does not grow with its age.
    let again = measure(|| {
        burst(&mut connection, socket, now);
        heartbeat(&mut connection);
    });
    assert!(again.bytes_current <= 0, "{again:?}");
}

#[test]
fn a_connection_that_has_joined_keeps_no_room_for_events() {
    let (mut connection, socket) = joined();
    let held = measure(|| {
        connection.handle_websocket(Instant::ZERO, WEBSOCKET, text(r#"42["said"]"#));
        assert_eq!(events(&mut connection), 1);
    });
    // Room for one event, and not for four.
    assert!((1..=128).contains(&held.bytes_current), "{held:?}");
    assert!(connection.is_connected(socket));
}
