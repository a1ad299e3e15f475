//! Every limit has a test. Those of the send and receive budgets are in `backpressure.rs`, of timeouts in
//! `heartbeat.rs`, `upgrade.rs` and `closing.rs`; here are their values, and the limits that are told nowhere
//! else.

mod support;

use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::error::SendError;
use sansocket_protocol::hub::HubLimits;
use sansocket_protocol::socket;
use sansocket_protocol::socket::Parser;
use sansocket_protocol::time::Instant;
use std::time::Duration;
use support::{Server, event_with_id};

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = EngineServerConfig::default();
    assert_eq!(config.ping_interval, Duration::from_secs(25));
    assert_eq!(config.ping_timeout, Duration::from_secs(20));
    assert_eq!(config.upgrade_timeout, Duration::from_secs(10));
    assert_eq!(config.close_timeout, Duration::from_secs(30));
    assert_eq!(config.pause_timeout, Duration::from_secs(60));
    assert_eq!(config.max_payload, 1_000_000);
    assert_eq!(config.send_budget, 4 << 20);
    assert_eq!(config.receive_budget, 1 << 20);
    assert_eq!(config.max_sessions, 1_000_000);
    let sockets = socket::SocketServerConfig::default();
    assert_eq!(sockets.connect_timeout, Duration::from_secs(45));
    assert_eq!(sockets.parser.max_attachments.get(), 10);
    assert_eq!(sockets.max_namespaces, 100);
    assert_eq!(sockets.connect_rate, Some(sansocket_protocol::rate::Rate::per_second(10).burst(100)));
    assert_eq!(sockets.max_refused_connects, 100);
    assert_eq!(sockets.max_auth, 16 << 10);
    assert_eq!(sockets.attachment_timeout, support::ms(30_000));
    assert_eq!(sockets.max_namespace_name, 512);
    assert_eq!(sockets.max_pending_acks, 10_000);
    // The hub's own tests show them at work.
    let _ = HubLimits::default();
}

#[test]
fn max_sessions() {
    let t = Server::engine(EngineServerConfig::default().max_sessions(2));
    t.open();
    t.open();
    t.get("?EIO=4&transport=polling").expect(r#"503 {"code":4,"message":"Too many sessions"}"#);
    t.begin_upgrade("?EIO=4&transport=websocket").expect(r#"503 {"code":4,"message":"Too many sessions"}"#);
    let post = t.post("1");
    // It waits for a poll that may have been sent with it.
    t.advance_ms(100);
    post.expect("200 ok");
    t.open();
}

#[test]
fn max_payload_of_a_post() {
    let t = Server::engine(EngineServerConfig::default().max_payload(10));
    t.open();
    t.post("4123456789").expect("200 ok");
    t.post("41234567890").expect("413");
    t.expect_alive();
}

#[test]
fn max_payload_of_a_websocket_message() {
    let t = Server::engine(EngineServerConfig::default().max_payload(10));
    let ws = t.connect();
    ws.send("4123456789");
    t.expect_alive();
    ws.send("41234567890");
    ws.expect_closed(Some(1009));
}

#[test]
fn max_attachments() {
    let sockets = socket::SocketServerConfig::default().parser(Parser::json().max_attachments(2));
    let t = Server::socketio(EngineServerConfig::default(), sockets).accepting();
    let (ws, _) = t.joined();
    ws.send(r#"452-["e"]"#);
    ws.send("<01>");
    ws.send("<02>");
    t.expect_events(&[r#"event / ["e"] <01> <02>"#]);
    ws.send(r#"453-["e"]"#);
    ws.expect_closed(None);
}

#[test]
fn limits_without_bound_do_not_overflow() {
    let sockets = socket::SocketServerConfig::default()
        .parser(Parser::json().max_attachments(usize::MAX))
        .max_namespaces(usize::MAX)
        .max_pending_acks(usize::MAX)
        .connect_timeout(Duration::MAX);
    let config = EngineServerConfig::default()
        .max_payload(usize::MAX)
        .send_budget(usize::MAX)
        .receive_budget(usize::MAX)
        .pause_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .upgrade_timeout(Duration::MAX);
    let t = Server::socketio(config, sockets).accepting();
    let (ws, socket) = t.joined();
    ws.send(r#"4599999-["e"]"#);
    ws.send("<01>");
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE)).unwrap();
    t.advance_ms(25_000);
    t.expect_alive();
}

#[test]
fn limits_of_nothing_let_nothing_through_and_break_nothing() {
    let sockets = socket::SocketServerConfig::default()
        .parser(Parser::json().max_attachments(0))
        .max_namespaces(0)
        .max_pending_acks(0)
        .connect_timeout(Duration::ZERO);
    let config = EngineServerConfig::default()
        .max_payload(0)
        .send_budget(0)
        .receive_budget(0)
        .pause_timeout(Duration::ZERO)
        .close_timeout(Duration::ZERO)
        .upgrade_timeout(Duration::ZERO)
        .ping_interval(Duration::ZERO)
        .ping_timeout(Duration::ZERO);
    let t = Server::socketio(config.clone(), sockets);
    t.open();
    t.post("40").expect("413");
    let plain = Server::engine(config);
    plain.open();
    plain.send("one message of any size passes when nothing waits");
    let _poll = plain.poll();
    plain.advance_ms(1);
    plain.expect_finished();
}

#[test]
fn a_small_packet_does_not_keep_a_large_body_alive() {
    let t =
        Server::socketio(EngineServerConfig::default(), socket::SocketServerConfig::default()).accepting();
    t.open();
    t.post("40").expect("200 ok");
    let socket = t.socket("/");
    t.with(|c| c.hold(Some(socket)));
    let body = bytes::Bytes::from(format!("42[\"small\"]\x1e42[\"{}\"]", "x".repeat(10_000)));
    let watched = body.clone();
    t.post(body).expect("200 ok");
    // Both events wait; the large one may share the body, the small one must have a copy of its own.
    t.listens(false);
    drop(t);
    assert!(watched.is_unique());
}

#[test]
fn max_pending_acks_is_told_in_acks() {
    let sockets = socket::SocketServerConfig::default().max_pending_acks(0);
    let t = Server::socketio(EngineServerConfig::default(), sockets).accepting();
    let (_ws, socket) = t.joined();
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    let refused = t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE));
    assert_eq!(refused, Err(SendError::TooManyAcks));
}

#[test]
fn max_auth() {
    let sockets = socket::SocketServerConfig::default().max_auth(10);
    let t = Server::socketio(EngineServerConfig::default(), sockets).accepting();
    let ws = t.connect();
    ws.send(r#"40{"t":"123"}"#);
    ws.expect_closed(None);
    t.expect_events(&["closed forced close | the `auth` of a CONNECT packet is too large"]);
    let ws = t.connect();
    ws.send(r#"40{"t":"12"}"#);
    ws.expect(r#"40{"sid":"S1"}"#);
    // The last text of an event without an offset, which the reference's client shows as one: it begins anew.
    let ws = t.connect();
    ws.send(r#"40{"pid":"p","offset":"a text of the application","t":"3"}"#);
    ws.expect(r#"40{"sid":"S2"}"#);
    let ws = t.connect();
    ws.send(r#"40{"pid":"p","offset":"x","t":"123"}"#);
    ws.expect_closed(None);
}

#[test]
fn attachment_timeout() {
    let patient = EngineServerConfig::default().ping_interval(support::ms(600_000));
    let t = Server::socketio(patient, socket::SocketServerConfig::default()).accepting();
    let (ws, _) = t.joined();
    ws.send(r#"452-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
    t.advance_ms(29_999);
    ws.send("<01>");
    t.advance_ms(29_999);
    t.expect_events(&[]);
    t.advance_ms(1);
    t.expect_events(&[
        "disconnect / forced close",
        "closed forced close | an attachment did not come in time",
    ]);
    ws.expect_closed(None);
    // One that has come whole owes nothing.
    let patient = EngineServerConfig::default().ping_interval(support::ms(600_000));
    let t = Server::socketio(patient, socket::SocketServerConfig::default()).accepting();
    let (ws, _) = t.joined();
    ws.send(r#"451-["e",{"_placeholder":true,"num":0}]"#);
    t.advance_ms(29_999);
    ws.send("<01>");
    t.advance_ms(60_000);
    t.expect_alive();
}

/// A client that polls cannot send them while its POST is not answered.
#[test]
fn while_reading_pauses_no_attachment_is_missed() {
    let t = Server::socketio(
        EngineServerConfig::default().ping_interval(support::ms(600_000)).receive_budget(100),
        socket::SocketServerConfig::default(),
    )
    .accepting();
    t.open();
    t.post("40").expect("200 ok");
    t.poll().expect_body(r#"40{"sid":"S1"}"#);
    t.expect_events(&["connect /"]);
    let key = t.socket("/");
    t.with(|connection| connection.hold(Some(key)));
    let long = "x".repeat(100);
    let post = t.post(format!("42[\"{long}\"]\x1e451-[\"e\",{{\"_placeholder\":true,\"num\":0}}]"));
    t.advance_ms(59_000);
    post.expect_pending();
    t.with(|connection| connection.release(Some(key)));
    post.expect("200 ok");
    t.advance_ms(29_000);
    t.post("bAQ==").expect("200 ok");
    t.expect_alive();
    t.advance_ms(60_000);
    t.expect_alive();
}
