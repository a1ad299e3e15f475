//! `event_rate`: events that come faster wait for their turn, or end the connection.

mod support;

use sansocket_protocol::engine::config::Config;
use sansocket_protocol::rate::Rate;
use sansocket_protocol::socket;
use sansocket_protocol::socket::config::EventExcess;
use support::{Server, WebSocket};

fn server(rate: Rate, excess: EventExcess) -> Server {
    let sockets = socket::config::Config::default().event_rate(Some(rate)).event_excess(excess);
    Server::socketio(Config::default().receive_budget(4096), sockets).accepting()
}

fn emit(websocket: &WebSocket, count: usize) {
    for _ in 0..count {
        websocket.send(r#"42["e"]"#);
    }
}

fn heard(server: &Server) -> usize {
    let events = server.events();
    assert!(events.iter().all(|event| event == r#"event / ["e"]"#), "{events:?}");
    events.len()
}

#[test]
fn a_burst_passes_and_the_rest_waits_for_its_turn() {
    let t = server(Rate::per_second(10).burst(5), EventExcess::Pace);
    let (websocket, _) = t.joined();
    emit(&websocket, 12);
    assert_eq!(heard(&t), 5);
    t.advance_ms(99);
    assert_eq!(heard(&t), 0);
    t.advance_ms(1);
    assert_eq!(heard(&t), 1);
    t.advance_ms(300);
    assert_eq!(heard(&t), 3);
    t.advance_ms(10_000);
    assert_eq!(heard(&t), 3);
    assert!(t.with(|connection| connection.counts().events_paced) > 0);
    assert_eq!(t.with(|connection| connection.counts().events_in), 12);
}

#[test]
fn reading_pauses_when_much_waits_and_the_client_is_not_given_up() {
    let t = server(Rate::per_second(1), EventExcess::Pace);
    let (websocket, _) = t.joined();
    let mut sent = 0;
    while t.with(|connection| connection.wants_read()) {
        emit(&websocket, 1);
        sent += 1;
    }
    assert!((10..100).contains(&sent), "{sent}");
    // Far longer than `pause_timeout` and the heartbeat in all, but each event is progress.
    let mut handled = heard(&t);
    for _ in 0..sent {
        t.advance_ms(1000);
        websocket.next();
        websocket.send("3");
        handled += heard(&t);
    }
    assert_eq!(handled, sent);
    t.expect_alive();
}

#[test]
fn each_namespace_has_a_rate_of_its_own_and_answers_have_none() {
    let t = server(Rate::per_second(1), EventExcess::Pace);
    let (websocket, _) = t.joined();
    websocket.send("40/b,");
    websocket.expect("40/b,{\"sid\":\"S2\"}");
    t.expect_events(&["connect /b"]);
    emit(&websocket, 2);
    websocket.send(r#"42/b,["e"]"#);
    t.expect_events(&[r#"event / ["e"]"#, r#"event /b ["e"]"#]);
    let socket = t.socket("/");
    let frame = support::event_with_id("/", r#"["ask"]"#, Some(0));
    let deadline = t.now() + support::ms(5000);
    t.with(|connection| connection.emit_with_ack(socket, frame, 0, deadline)).unwrap();
    websocket.expect(r#"420["ask"]"#);
    websocket.send("430[1]");
    t.expect_events(&["ack / 0 [1]"]);
}

#[test]
fn what_waits_for_its_turn_is_dropped_when_the_socket_ends() {
    for leave in ["41", "1"] {
        let t = server(Rate::per_second(1), EventExcess::Pace);
        let (websocket, _) = t.joined();
        emit(&websocket, 10);
        websocket.send(leave);
        let events = t.events();
        assert_eq!(events[0], r#"event / ["e"]"#);
        assert!(events[1].starts_with("disconnect / "), "{events:?}");
    }
}

#[test]
fn a_held_socket_goes_on_with_its_turn() {
    let t = server(Rate::per_second(10).burst(1), EventExcess::Pace);
    let (websocket, socket) = t.joined();
    t.with(|connection| connection.hold(Some(socket)));
    emit(&websocket, 3);
    t.advance_ms(1000);
    websocket.send("3"); // tells the time
    assert_eq!(heard(&t), 0);
    t.with(|connection| connection.release(Some(socket)));
    assert_eq!(heard(&t), 1);
    t.advance_ms(100);
    assert_eq!(heard(&t), 1);
    // Held while its turn comes: the turn is not lost.
    t.with(|connection| connection.hold(Some(socket)));
    t.advance_ms(1000);
    assert_eq!(heard(&t), 0);
    t.with(|connection| connection.release(Some(socket)));
    assert_eq!(heard(&t), 1);
}

#[test]
fn too_many_events_close_the_connection_where_that_is_set() {
    let t = server(Rate::per_second(10).burst(5), EventExcess::Close);
    let (websocket, _) = t.joined();
    emit(&websocket, 5);
    t.advance_ms(100);
    emit(&websocket, 1);
    assert_eq!(heard(&t), 6);
    emit(&websocket, 1);
    let events = t.events();
    assert_eq!(
        events,
        ["disconnect / forced close", "closed forced close | more events than `event_rate` allows"]
    );
}
