//! Acknowledgements, both ways: each that is awaited is decided exactly once.

mod support;

use sansocket_protocol::engine::Overflow;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::socket::Parser;
use sansocket_protocol::socket::SocketKey;
use sansocket_protocol::socket::SocketServerConfig;
use sansocket_protocol::time::Instant;
use support::{Server, WebSocket, event_with_id, ms, quick};

fn joined() -> (Server, WebSocket, SocketKey) {
    let t = Server::socketio(quick(), SocketServerConfig::default()).accepting();
    let (ws, socket) = t.joined();
    (t, ws, socket)
}

fn ask_until(t: &Server, socket: SocketKey, id: u64, deadline: Instant) -> Result<(), SendError> {
    t.with(|c| c.emit_with_ack(socket, event_with_id("/", r#"["ask"]"#, Some(id)), id, deadline))
}

fn ask(t: &Server, socket: SocketKey, id: u64) -> Result<(), SendError> {
    ask_until(t, socket, id, Instant::FAR_FUTURE)
}

#[test]
fn the_client_answers() {
    let (t, ws, socket) = joined();
    ask(&t, socket, 0).unwrap();
    ws.expect(r#"420["ask"]"#);
    ws.send(r#"430["yes",1]"#);
    t.expect_events(&[r#"ack / 0 ["yes",1]"#]);
}

#[test]
fn an_answer_may_carry_attachments_or_nothing() {
    let (t, ws, socket) = joined();
    ask(&t, socket, 0).unwrap();
    ask(&t, socket, 2).unwrap();
    ws.send(r#"461-0[{"_placeholder":true,"num":0}]"#);
    ws.send("<0102>");
    ws.send("432");
    t.expect_events(&[r#"ack / 0 [{"_placeholder":true,"num":0}]"#, "ack / 2 []"]);
}

#[test]
fn answers_come_in_any_order() {
    let (t, ws, socket) = joined();
    for id in [0, 2, 4] {
        ask(&t, socket, id).unwrap();
    }
    for answer in ["434[]", "430[]", "432[]"] {
        ws.send(answer);
    }
    t.expect_events(&["ack / 4 []", "ack / 0 []", "ack / 2 []"]);
}

#[test]
fn a_second_answer_means_nothing() {
    let (t, ws, socket) = joined();
    ask(&t, socket, 0).unwrap();
    ws.send("430[1]");
    ws.send("430[2]");
    t.expect_events(&["ack / 0 [1]"]);
    t.expect_alive();
}

#[test]
fn an_answer_of_another_namespace_means_nothing() {
    let (t, ws, socket) = joined();
    ws.send("40/other,");
    ask(&t, socket, 0).unwrap();
    ws.send("43/other,0[1]");
    ws.send("430[2]");
    t.expect_events(&["connect /other", "ack / 0 [2]"]);
}

#[test]
fn an_answer_that_does_not_come_times_out() {
    let (t, ws, socket) = joined();
    ask_until(&t, socket, 0, Instant::ZERO + ms(200)).unwrap();
    ask_until(&t, socket, 2, Instant::ZERO + ms(100)).unwrap();
    t.advance_ms(99);
    t.expect_events(&[]);
    t.advance_ms(1);
    t.expect_events(&["ack / 2 timeout"]);
    t.advance_ms(100);
    t.expect_events(&["ack / 0 timeout"]);
    ws.send("430[]");
    ws.send("432[]");
    t.expect_events(&[]);
    t.expect_alive();
}

#[test]
fn an_answer_that_comes_later_than_its_deadline_is_late() {
    let (t, ws, socket) = joined();
    ask_until(&t, socket, 0, Instant::ZERO + ms(100)).unwrap();
    t.stall_ms(100);
    ws.send("430[]");
    t.expect_events(&["ack / 0 timeout"]);
}

#[test]
fn a_deadline_in_the_past_times_out_at_once() {
    let (t, _ws, socket) = joined();
    t.advance_ms(100);
    ask_until(&t, socket, 0, Instant::ZERO).unwrap();
    t.advance_ms(0);
    t.expect_events(&["ack / 0 timeout"]);
}

#[test]
fn a_disconnect_decides_all_that_are_awaited() {
    for end in ["41", "1"] {
        let (t, ws, socket) = joined();
        ask(&t, socket, 0).unwrap();
        ask(&t, socket, 2).unwrap();
        ws.send(end);
        let events = t.events();
        assert_eq!(events[..2], ["ack / 0 disconnected", "ack / 2 disconnected"]);
        assert!(events[2].starts_with("disconnect / "), "{events:?}");
        t.advance_ms(1000);
        assert!(!t.events().iter().any(|event| event.starts_with("ack")));
    }
}

#[test]
fn our_own_disconnect_decides_them_too() {
    let (t, _ws, socket) = joined();
    ask(&t, socket, 0).unwrap();
    t.with(|c| c.disconnect(socket, CloseReason::ServerNamespaceDisconnect)).unwrap();
    t.expect_events(&["ack / 0 disconnected", "disconnect / server namespace disconnect"]);

    let (t, _ws, socket) = joined();
    ask(&t, socket, 0).unwrap();
    t.with(|c| c.close(CloseReason::ForcedClose));
    assert_eq!(t.events()[0], "ack / 0 disconnected");
}

#[test]
fn an_id_may_be_used_again_once_it_is_decided() {
    let (t, ws, socket) = joined();
    ask(&t, socket, 0).unwrap();
    assert_eq!(ask(&t, socket, 0), Err(SendError::DuplicateAck));
    ws.send("430[1]");
    ask(&t, socket, 0).unwrap();
    ws.send("430[2]");
    t.expect_events(&["ack / 0 [1]", "ack / 0 [2]"]);
}

#[test]
fn large_ids_survive() {
    let (t, ws, socket) = joined();
    ask(&t, socket, u64::MAX).unwrap();
    ws.expect(r#"4218446744073709551615["ask"]"#);
    ws.send("4318446744073709551615[]");
    t.expect_events(&["ack / 18446744073709551615 []"]);
}

#[test]
fn no_more_are_awaited_than_max_pending_acks() {
    let t = Server::socketio(quick(), SocketServerConfig::default().max_pending_acks(2)).accepting();
    let (ws, socket) = t.joined();
    ask(&t, socket, 0).unwrap();
    ask(&t, socket, 2).unwrap();
    assert_eq!(ask(&t, socket, 4), Err(SendError::TooManyAcks));
    ws.expect(r#"420["ask"]"#);
    ws.expect(r#"422["ask"]"#);
    ws.expect_nothing();
    ws.send("430[]");
    ask(&t, socket, 4).unwrap();
}

#[test]
fn a_socket_that_is_still_connecting_cannot_answer() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    let socket = t.socket("/");
    assert_eq!(ask(&t, socket, 0), Err(SendError::Disconnected));
}

#[test]
fn an_event_that_was_not_sent_awaits_nothing() {
    for overflow in [Overflow::Fail, Overflow::Drop] {
        let config = quick().max_payload(100).send_budget(100).overflow(overflow);
        let t = Server::socketio(config, SocketServerConfig::default()).accepting();
        let (ws, socket) = t.joined();
        t.writes(false);
        t.with(|c| c.emit(socket, support::event("/", &format!("[\"{}\"]", "x".repeat(100))))).unwrap();
        assert_eq!(ask(&t, socket, 0), Err(SendError::Full));
        ws.close();
        t.expect_events(&["disconnect / transport close", "closed transport close"]);
    }
}

#[test]
fn the_server_answers() {
    let (t, ws, socket) = joined();
    ws.send(r#"427["question"]"#);
    t.expect_events(&[r#"event / ["question"] ack=7"#]);
    t.with(|c| c.ack(socket, Parser::json().ack("/", 7, &("yes", 1)).unwrap())).unwrap();
    ws.expect(r#"437["yes",1]"#);
}

#[test]
fn an_answer_after_the_socket_has_left_is_dropped() {
    let (t, ws, socket) = joined();
    ws.send(r#"427["question"]"#);
    ws.send("41");
    let answer = Parser::json().ack("/", 7, &()).unwrap();
    assert_eq!(t.with(|c| c.ack(socket, &answer)), Err(SendError::Disconnected));
    ws.send("40");
    ws.expect(r#"40{"sid":"S2"}"#);
    assert_eq!(t.with(|c| c.ack(socket, &answer)), Err(SendError::Disconnected));
    ws.expect_nothing();
}
