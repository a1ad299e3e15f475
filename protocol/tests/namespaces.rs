//! Namespaces: many on one connection, each with a life of its own.

mod support;

use sansocket_protocol::error::SendError;
use sansocket_protocol::socket::SocketServerConfig;
use support::{Server, event, quick};

fn server(config: SocketServerConfig) -> Server {
    Server::socketio(quick(), config).accepting()
}

#[test]
fn one_connection_joins_many() {
    let t = server(SocketServerConfig::default());
    let ws = t.connect();
    for at in 1..=20 {
        ws.send(&format!("40/room{at},"));
        ws.expect(&format!(r#"40/room{at},{{"sid":"S{at}"}}"#));
    }
    let socket = t.socket("/room7");
    t.with(|c| c.emit(socket, event("/room7", r#"["hi"]"#))).unwrap();
    ws.expect(r#"42/room7,["hi"]"#);
}

#[test]
fn more_than_max_namespaces_close_the_connection() {
    let t = server(SocketServerConfig::default().max_namespaces(2));
    let ws = t.connect();
    ws.send("40");
    ws.send("40/a,");
    t.expect_alive();
    ws.send("40/b,");
    assert_eq!(t.events().pop().unwrap(), "closed forced close | too many namespaces on one connection");
}

#[test]
fn a_name_longer_than_max_namespace_name_closes_the_connection() {
    let t = server(SocketServerConfig::default().max_namespace_name(5));
    let ws = t.connect();
    ws.send("40/four,");
    t.expect_alive();
    ws.send("40/fiver,");
    assert_eq!(t.events().pop().unwrap(), "closed forced close | a namespace's name is too long");
}

#[test]
fn those_that_were_left_do_not_count() {
    let t = server(SocketServerConfig::default().max_namespaces(1));
    let ws = t.connect();
    for _ in 0..50 {
        ws.send("40");
        ws.send("41");
    }
    t.expect_alive();
}

#[test]
fn those_whose_handlers_run_on_count_in_the_end() {
    let t = server(SocketServerConfig::default().max_namespaces(1));
    let ws = t.connect();
    for _ in 0..2 {
        ws.send("40");
        let socket = t.socket("/");
        t.with(|c| c.hold(Some(socket)));
        ws.send("41");
    }
    t.expect_alive();
    ws.send("40");
    assert_eq!(t.events().pop().unwrap(), "closed forced close | too many namespaces on one connection");
}

#[test]
fn joining_again_gives_a_new_key_and_a_new_id() {
    let t = server(SocketServerConfig::default());
    let (ws, first) = t.joined();
    ws.send("41");
    ws.send("40");
    ws.expect(r#"40{"sid":"S2"}"#);
    let second = t.socket("/");
    assert_ne!(first, second);
    assert_eq!(t.with(|c| c.emit(first, event("/", r#"["late"]"#))), Err(SendError::Disconnected));
    t.with(|c| c.emit(second, event("/", r#"["hi"]"#))).unwrap();
    ws.expect(r#"42["hi"]"#);
    t.expect_events(&["disconnect / client namespace disconnect", "connect /"]);
}

#[test]
fn a_second_connect_closes_the_connection() {
    let t = server(SocketServerConfig::default());
    let (ws, _) = t.joined();
    ws.send("40");
    ws.expect_closed(None);
    t.expect_events(&[
        "disconnect / forced close",
        "closed forced close | a second CONNECT for the same namespace",
    ]);
}

#[test]
fn a_connect_that_is_being_decided_counts_as_joined() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    let socket = t.socket("/");
    ws.send("40");
    ws.expect_closed(None);
    t.expect_events(&["connect /", "closed forced close | a second CONNECT for the same namespace"]);
    t.expect_finished();
    let _ = socket;
}

#[test]
fn a_decision_is_taken_once() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    let socket = t.socket("/");
    t.with(|c| c.accept(socket, "A")).unwrap();
    assert_eq!(t.with(|c| c.accept(socket, "B")), Err(SendError::Disconnected));
    assert_eq!(t.with(|c| c.reject(socket, "no", None)), Err(SendError::Disconnected));
    ws.expect(r#"40{"sid":"A"}"#);
    ws.expect_nothing();
}

#[test]
fn what_is_emitted_while_it_is_decided_follows_the_reply() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40/a,");
    let socket = t.socket("/a");
    t.with(|c| c.emit(socket, event("/a", r#"["first"]"#))).unwrap();
    t.with(|c| c.emit(socket, event("/a", r#"["second"]"#))).unwrap();
    ws.expect_nothing();
    t.with(|c| c.accept(socket, "A")).unwrap();
    ws.expect(r#"40/a,{"sid":"A"}"#);
    ws.expect(r#"42/a,["first"]"#);
    ws.expect(r#"42/a,["second"]"#);
}

#[test]
fn what_is_emitted_while_it_is_decided_is_dropped_with_a_refusal() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40/a,");
    let socket = t.socket("/a");
    t.with(|c| c.emit(socket, event("/a", r#"["first"]"#))).unwrap();
    assert!(t.with(|c| c.buffered()) > 0);
    t.with(|c| c.reject(socket, "no", None)).unwrap();
    ws.expect(r#"44/a,{"message":"no"}"#);
    ws.expect_nothing();
    assert_eq!(t.with(|c| c.buffered()), 0);
}

#[test]
fn a_connection_that_ends_while_it_is_decided_tells_no_disconnect() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    let socket = t.socket("/");
    t.with(|c| c.hold(Some(socket)));
    ws.close();
    t.expect_events(&["connect /", "closed transport close"]);
    assert_eq!(t.with(|c| c.accept(socket, "A")), Err(SendError::Disconnected));
    t.with(|c| c.release(Some(socket)));
    t.expect_events(&[]);
    t.expect_finished();
}

#[test]
fn a_connect_that_was_not_told_yet_is_not_told_after_the_end() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    t.listens(false);
    ws.send("40");
    ws.close();
    t.listens(true);
    t.expect_events(&["closed transport close"]);
    t.expect_finished();
}
