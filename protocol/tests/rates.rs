//! `event_rate`, and `message_rate` of plain Engine.IO: what comes faster waits for its turn, or ends the connection.

mod support;

use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::rate::Rate;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket;
use sansocket_protocol::socket::{EventExcess, ServerSocketEvent};
use support::{Server, WebSocket};

fn server(rate: Rate, excess: EventExcess) -> Server {
    let sockets = socket::SocketServerConfig::default().event_rate(Some(rate)).event_excess(excess);
    Server::socketio(EngineServerConfig::default().receive_budget(4096), sockets).accepting()
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

fn engine(rate: Rate, excess: EventExcess) -> Server {
    let config =
        EngineServerConfig::default().receive_budget(4096).message_rate(Some(rate)).message_excess(excess);
    Server::engine(config)
}

fn say(websocket: &WebSocket, count: usize) {
    for _ in 0..count {
        websocket.send("4hello");
    }
}

fn told(server: &Server) -> usize {
    let events = server.events();
    assert!(events.iter().all(|event| event == "message hello"), "{events:?}");
    events.len()
}

#[test]
fn messages_of_a_plain_session_wait_for_their_turn_in_order() {
    let t = engine(Rate::per_second(10).burst(2), EventExcess::Pace);
    let websocket = t.connect();
    for number in 0..5 {
        websocket.send(&format!("4{number}"));
    }
    t.expect_events(&["message 0", "message 1"]);
    t.advance_ms(99);
    t.expect_events(&[]);
    for number in 2..5 {
        t.advance_ms(100);
        t.expect_events(&[&format!("message {number}")]);
    }
    let counts = t.with(|connection| connection.counts());
    assert_eq!(counts.events_in, 5);
    assert!(counts.events_paced > 0);
    assert_eq!(t.with(|connection| connection.poll_timeout()).map(|at| at > t.now()), Some(true));
}

#[test]
fn messages_that_are_polled_wait_for_their_turn_too_and_their_post_is_answered_later() {
    let t = engine(Rate::per_second(10).burst(1), EventExcess::Pace);
    t.open();
    let _poll = t.poll();
    let post = t.post(vec!["4hello"; 60].join("\x1e"));
    assert_eq!(told(&t), 1);
    // More than `receive_budget` waits: so does the answer, and a client sends nothing before it has come.
    post.expect_pending();
    t.advance_ms(5_900);
    assert_eq!(told(&t), 59);
    post.expect("200 ok");
}

#[test]
fn reading_pauses_for_messages_and_a_client_that_is_paced_is_not_given_up() {
    let t = engine(Rate::per_second(1), EventExcess::Pace);
    let websocket = t.connect();
    let mut sent = 0;
    while t.with(|connection| connection.wants_read()) {
        say(&websocket, 1);
        sent += 1;
    }
    assert!((10..200).contains(&sent), "{sent}");
    let mut handled = told(&t);
    for _ in 0..sent {
        t.advance_ms(1000);
        websocket.next();
        websocket.send("3");
        handled += told(&t);
    }
    assert_eq!(handled, sent);
    t.expect_alive();
}

#[test]
fn messages_that_wait_are_dropped_when_the_session_ends_by_either_side() {
    let t = engine(Rate::per_second(1), EventExcess::Pace);
    let websocket = t.connect();
    say(&websocket, 3);
    websocket.send("1");
    t.expect_events(&["message hello", "closed transport close"]);
    t.expect_finished();

    let t = engine(Rate::per_second(1), EventExcess::Pace);
    let websocket = t.connect();
    say(&websocket, 3);
    assert_eq!(told(&t), 1);
    t.with(|connection| connection.close(CloseReason::ForcedClose));
    t.expect_events(&["closed forced close"]);
    websocket.close();
    t.expect_finished();
}

#[test]
fn a_busy_application_gets_its_next_message_when_it_is_done_and_its_turn_has_come() {
    let t = engine(Rate::per_second(10).burst(1), EventExcess::Pace);
    let websocket = t.connect();
    t.with(|connection| connection.hold(None));
    say(&websocket, 3);
    assert_eq!(told(&t), 0);
    t.with(|connection| connection.release(None));
    assert_eq!(told(&t), 1);
    t.with(|connection| connection.hold(None));
    t.advance_ms(1000);
    assert_eq!(told(&t), 0);
    t.with(|connection| connection.release(None));
    assert_eq!(told(&t), 1);
    t.advance_ms(1000);
    assert_eq!(told(&t), 1);
    // A session that ends meanwhile is not over before the application is done.
    t.with(|connection| connection.hold(None));
    say(&websocket, 2);
    websocket.close();
    assert_eq!(told(&t), 0);
    t.with(|connection| connection.release(None));
    // The turn of one of them has come by now.
    t.expect_events(&["message hello", "closed transport close"]);
    t.expect_finished();
}

#[test]
fn too_many_messages_close_the_session_where_that_is_set() {
    let t = engine(Rate::per_second(10).burst(3), EventExcess::Close);
    let websocket = t.connect();
    say(&websocket, 3);
    assert_eq!(told(&t), 3);
    say(&websocket, 1);
    t.expect_events(&["closed forced close | more messages than `message_rate` allows"]);
    t.expect_finished();
}

/// A server that refuses every CONNECT.
fn refusing(sockets: socket::SocketServerConfig) -> Server {
    Server::socketio(EngineServerConfig::default(), sockets).application(|connection, event| {
        if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = event {
            connection.reject(*socket, "no", None).expect("it is connecting");
        }
    })
}

#[test]
fn more_connects_than_their_rate_close_the_connection() {
    let config = socket::SocketServerConfig::default().max_refused_connects(1_000_000);
    let t = refusing(config);
    let websocket = t.connect();
    let guess = || {
        websocket.send(r#"40{"password":"guess"}"#);
        websocket.next().is_some_and(|answer| answer == r#"44{"message":"no"}"#)
    };
    assert!((0..100).all(|_| guess()));
    t.advance_ms(1000);
    assert!((0..10).all(|_| guess()));
    assert!(!guess());
    let events = t.events();
    let last = events.last().unwrap();
    assert_eq!(last, "closed forced close | more CONNECT packets than `connect_rate` allows");
}

#[test]
fn a_session_whose_connects_were_refused_too_often_is_closed_with_the_last_answer() {
    let config = socket::SocketServerConfig::default().max_refused_connects(3);
    let t = refusing(config);
    let websocket = t.connect();
    for _ in 0..3 {
        websocket.send("40");
        websocket.expect(r#"44{"message":"no"}"#);
    }
    websocket.expect_closed(None);
    let events = t.events();
    assert_eq!(events.last().unwrap(), "closed forced close | too many refused CONNECT packets");
    t.expect_finished();
}

#[test]
fn without_a_connect_rate_namespaces_are_joined_and_left_at_will() {
    let config = socket::SocketServerConfig::default().connect_rate(None);
    let t = Server::socketio(EngineServerConfig::default(), config).accepting();
    let websocket = t.connect();
    for at in 1..=1000 {
        websocket.send("40");
        websocket.expect(&format!(r#"40{{"sid":"S{at}"}}"#));
        websocket.send("41");
    }
    t.expect_alive();
}
