//! Held sockets: while a handler runs, the later events of its socket wait, and nothing else does.

mod support;

use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::socket::SocketKey;
use sansocket_protocol::socket::SocketServerConfig;
use sansocket_protocol::time::Instant;
use std::time::Duration;
use support::{Server, WebSocket, event_with_id, quick};

/// A connection with the sockets `/` and `/b`, of which the first is held.
fn held() -> (Server, WebSocket, SocketKey, SocketKey) {
    let t = Server::socketio(quick(), SocketServerConfig::default()).accepting();
    let (ws, a) = t.joined();
    ws.send("40/b,");
    ws.expect(r#"40/b,{"sid":"S2"}"#);
    t.expect_events(&["connect /b"]);
    let b = t.socket("/b");
    t.with(|c| c.hold(Some(a)));
    (t, ws, a, b)
}

#[test]
fn events_wait_in_order() {
    let (t, ws, a, _) = held();
    for n in 1..=3 {
        ws.send(&format!(r#"42["e",{n}]"#));
    }
    t.expect_events(&[]);
    t.with(|c| c.release(Some(a)));
    t.expect_events(&[r#"event / ["e",1]"#, r#"event / ["e",2]"#, r#"event / ["e",3]"#]);
}

#[test]
fn events_that_come_later_do_not_overtake_those_that_wait() {
    let (t, ws, a, _) = held();
    ws.send(r#"42["e",1]"#);
    ws.send(r#"42["e",2]"#);
    t.expect_events(&[]);
    t.listens(false);
    t.with(|c| c.release(Some(a)));
    ws.send(r#"42["e",3]"#);
    t.listens(true);
    t.expect_events(&[r#"event / ["e",1]"#, r#"event / ["e",2]"#, r#"event / ["e",3]"#]);
}

#[test]
fn one_event_for_each_release_when_every_handler_takes_its_time() {
    let t = Server::socketio(quick(), SocketServerConfig::default()).application(|c, event| {
        use sansocket_protocol::server::ServerEvent;
        use sansocket_protocol::socket::ServerSocketEvent;
        match event {
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) => {
                c.accept(*socket, "S1").unwrap()
            }
            ServerEvent::Socket(ServerSocketEvent::Event { socket, .. }) => c.hold(Some(*socket)),
            _ => {}
        }
    });
    let (ws, a) = t.joined();
    for n in 1..=3 {
        ws.send(&format!(r#"42["e",{n}]"#));
    }
    ws.send("41");
    for n in 1..=3 {
        t.expect_events(&[&format!(r#"event / ["e",{n}]"#)]);
        t.with(|c| c.release(Some(a)));
    }
    t.expect_events(&["disconnect / client namespace disconnect"]);
}

#[test]
fn other_namespaces_go_on() {
    let (t, ws, a, _) = held();
    ws.send(r#"42["e",1]"#);
    ws.send(r#"42/b,["e",2]"#);
    t.expect_events(&[r#"event /b ["e",2]"#]);
    t.with(|c| c.release(Some(a)));
    t.expect_events(&[r#"event / ["e",1]"#]);
}

#[test]
fn answers_overtake_held_events() {
    let (t, ws, a, _) = held();
    t.with(|c| c.emit_with_ack(a, event_with_id("/", r#"["ask"]"#, Some(0)), 0, Instant::FAR_FUTURE))
        .unwrap();
    ws.send(r#"42["e"]"#);
    ws.send("430[1]");
    t.expect_events(&["ack / 0 [1]"]);
}

#[test]
fn a_disconnect_comes_last_and_events_before_it_still_run() {
    let (t, ws, a, _) = held();
    t.with(|c| c.emit_with_ack(a, event_with_id("/", r#"["ask"]"#, Some(0)), 0, Instant::FAR_FUTURE))
        .unwrap();
    ws.send(r#"42["e"]"#);
    ws.send("41");
    t.expect_events(&["ack / 0 disconnected"]);
    assert!(!t.with(|c| c.is_connected(a)));
    t.with(|c| c.release(Some(a)));
    t.expect_events(&[r#"event / ["e"]"#, "disconnect / client namespace disconnect"]);
}

#[test]
fn a_connection_that_ends_keeps_what_a_held_socket_has_to_tell() {
    let (t, ws, a, _) = held();
    ws.send(r#"42["e"]"#);
    ws.close();
    t.expect_events(&["disconnect /b transport close", "closed transport close"]);
    assert!(!t.with(|c| c.is_finished()));
    t.with(|c| c.release(Some(a)));
    t.expect_events(&[r#"event / ["e"]"#, "disconnect / transport close"]);
    t.expect_finished();
}

#[test]
fn a_connection_is_not_finished_while_a_socket_is_held() {
    let (t, ws, a, _) = held();
    ws.close();
    t.events();
    t.with(|c| assert!(!c.is_finished()));
    t.with(|c| c.release(Some(a)));
    t.expect_events(&["disconnect / transport close"]);
    t.expect_finished();
}

#[test]
fn joining_again_does_not_wait_for_the_socket_that_left() {
    let (t, ws, a, _) = held();
    ws.send("41");
    ws.send("40");
    ws.send(r#"42["new"]"#);
    t.expect_events(&["connect /", r#"event / ["new"]"#]);
    t.with(|c| c.release(Some(a)));
    t.expect_events(&["disconnect / client namespace disconnect"]);
}

#[test]
fn holding_and_releasing_without_need_does_nothing() {
    let (t, ws, a, b) = held();
    t.with(|c| {
        c.hold(None);
        c.release(None);
        c.hold(Some(a));
        c.release(Some(b));
        for _ in 0..1000 {
            c.release(Some(a));
            c.hold(Some(a));
        }
    });
    ws.send(r#"42["e",1]"#);
    t.expect_events(&[]);
    t.listens(false);
    for _ in 0..1000 {
        t.with(|c| c.release(Some(a)));
        t.with(|c| c.hold(Some(a)));
    }
    t.listens(true);
    t.expect_events(&[]);
    t.with(|c| c.release(Some(a)));
    t.expect_events(&[r#"event / ["e",1]"#]);
    t.with(|c| c.disconnect(b, CloseReason::ServerNamespaceDisconnect)).unwrap();
    t.with(|c| c.hold(Some(b)));
    t.with(|c| c.release(Some(b)));
}

#[test]
fn plain_messages_are_held_all_together() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.with(|c| c.hold(None));
    ws.send("4a");
    ws.send("<01>");
    t.expect_events(&[]);
    t.with(|c| c.release(None));
    t.expect_events(&["message a", "message <01>"]);
}

#[test]
fn plain_messages_that_are_held_come_before_the_end() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.with(|c| c.hold(None));
    ws.send("4a");
    ws.close();
    t.expect_events(&[]);
    t.with(|c| c.release(None));
    t.expect_events(&["message a", "closed transport close"]);
    t.expect_finished();
}

/// A hundred sockets of one client could each have an event in hand, as large as events may be.
#[test]
fn an_event_in_hand_counts_until_its_handler_is_done() {
    let t =
        Server::socketio(EngineServerConfig::default().receive_budget(1000), Default::default()).accepting();
    let (ws, key) = t.joined();
    let long = format!(r#"42["{}"]"#, "x".repeat(1000));
    ws.send(&long);
    t.events();
    assert!(t.with(|c| c.wants_read()), "a handler that is done at once holds nothing");
    ws.send(&long);
    t.events();
    t.with(|c| c.hold(Some(key)));
    assert!(!t.with(|c| c.wants_read()));
    // However long the handler takes, with a client that reads nothing meanwhile: it is at work.
    t.advance_ms(10 * 60_000);
    t.expect_alive();
    t.with(|c| c.release(Some(key)));
    assert!(t.with(|c| c.wants_read()));
    t.expect_events(&[]);
}

#[test]
fn what_waits_behind_an_event_in_hand_still_stalls() {
    let t =
        Server::socketio(EngineServerConfig::default().receive_budget(1000), Default::default()).accepting();
    let (ws, key) = t.joined();
    t.with(|c| c.hold(Some(key)));
    ws.send(&format!(r#"42["{}"]"#, "x".repeat(1000)));
    t.advance_ms(59_999);
    t.expect_alive();
    t.advance_ms(1);
    t.with(|c| c.release(Some(key)));
    assert!(t.events().contains(&"closed stalled".to_string()));
}

/// One byte less than the budget is read on, and the whole of it is not: an error of one survived every other test.
#[test]
fn the_receive_budget_is_met_to_the_byte() {
    let pause = Duration::from_secs(5);
    let config = |budget| EngineServerConfig::default().pause_timeout(pause).receive_budget(budget);
    let t = Server::socketio(config(1000), Default::default()).accepting();
    let _ws = t.joined();
    t.with(|c| c.begin_apart(999));
    assert!(t.with(|c| c.wants_read()));
    t.with(|c| c.begin_apart(1));
    assert!(!t.with(|c| c.wants_read()));
    t.with(|c| c.end_apart(1));
    assert!(t.with(|c| c.wants_read()));

    let with_sockets = |budget| {
        let t = Server::socketio(config(budget), Default::default()).accepting();
        let (ws, key) = t.joined();
        t.with(|c| c.hold(Some(key)));
        ws.send(r#"42["e","some words"]"#);
        (t, Some(key), ws)
    };
    let with_messages = |budget| {
        let t = Server::engine(config(budget));
        let ws = t.connect();
        t.with(|c| c.hold(None));
        ws.send("4some words");
        (t, None, ws)
    };
    for waiting in [&with_sockets as &dyn Fn(usize) -> (Server, Option<SocketKey>, WebSocket), &with_messages]
    {
        let (t, _, _ws) = waiting(1 << 20);
        let size = t.with(|c| c.inbound());
        let (t, _, _ws) = waiting(size + 1);
        assert!(t.with(|c| c.wants_read()));
        t.advance_ms(5000);
        t.expect_alive();
        let (t, key, _ws) = waiting(size);
        assert!(!t.with(|c| c.wants_read()));
        t.advance_ms(4999);
        t.expect_alive();
        t.advance_ms(1);
        t.with(|c| c.release(key));
        assert!(t.events().contains(&"closed stalled".to_string()));
    }
}

#[test]
fn events_of_handlers_that_run_apart_count_until_they_are_done() {
    let t =
        Server::socketio(EngineServerConfig::default().receive_budget(1000), Default::default()).accepting();
    let _ws = t.joined();
    t.with(|c| c.begin_apart(600));
    assert!(t.with(|c| c.wants_read()));
    t.with(|c| c.begin_apart(600));
    assert!(!t.with(|c| c.wants_read()));
    t.advance_ms(10 * 60_000);
    t.with(|c| c.end_apart(600));
    assert!(t.with(|c| c.wants_read()));
    t.with(|c| c.end_apart(600));
    t.expect_alive();
}

/// In a plain Engine.IO session, too.
#[test]
fn a_message_in_hand_counts_until_its_handler_is_done() {
    let t = Server::engine(EngineServerConfig::default().receive_budget(1000));
    let ws = t.connect();
    ws.send(&format!("4{}", "x".repeat(1000)));
    t.events();
    t.with(|c| c.hold(None));
    assert!(!t.with(|c| c.wants_read()));
    t.advance_ms(10 * 60_000);
    t.with(|c| c.release(None));
    assert!(t.with(|c| c.wants_read()));
    t.expect_alive();
}
