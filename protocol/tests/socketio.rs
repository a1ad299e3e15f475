//! Socket.IO on the wire (protocol revision 5): the conformance suite's story, and what closes a connection.

mod support;

use sansocket_protocol::error::CloseReason;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::SocketServerConfig;
use sansocket_protocol::socket::{PacketData, Parser};
use sansocket_protocol::socket::{ServerSocketEvent, SocketKey};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use support::{Server, WebSocket, ms, quick};

/// The application that the conformance suite expects: it sends the auth back, echoes `message`, acknowledges
/// `message-with-ack`, and knows two namespaces.
fn suite(
    connection: &mut Connection,
    event: &ServerEvent,
    names: &mut BTreeMap<SocketKey, String>,
    joined: &mut u32,
) {
    let ServerEvent::Socket(event) = event else { return };
    match event {
        ServerSocketEvent::Connect { socket, namespace, auth } => {
            if !matches!(&**namespace, "/" | "/custom") {
                return connection.reject(*socket, "Invalid namespace", None).unwrap();
            }
            *joined += 1;
            names.insert(*socket, namespace.to_string());
            connection.accept(*socket, &format!("S{joined}")).unwrap();
            let auth = auth.as_ref().map_or("{}", PacketData::json);
            let auth: serde_json::Value = serde_json::from_str(auth).unwrap();
            connection
                .emit(*socket, Parser::json().event(namespace, "auth", None, &(auth,)).unwrap())
                .unwrap();
        }
        ServerSocketEvent::Event { socket, args, ack } => {
            let namespace = &names[socket];
            match (args.event().as_deref(), ack) {
                (Some("message"), _) => {
                    let frame = Parser::json().event(namespace, "message-back", None, args).unwrap();
                    connection.emit(*socket, &frame).unwrap();
                }
                (Some("message-with-ack"), Some(id)) => {
                    connection.ack(*socket, Parser::json().ack(namespace, *id, args).unwrap()).unwrap();
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn server() -> Server {
    let names = Rc::new(RefCell::new((BTreeMap::new(), 0)));
    Server::socketio(quick(), SocketServerConfig::default().connect_timeout(ms(1000))).application(
        move |connection, event| {
            let (names, joined) = &mut *names.borrow_mut();
            suite(connection, event, names, joined);
        },
    )
}

fn joined() -> (Server, WebSocket) {
    let t = server();
    let ws = t.connect();
    ws.send("40");
    ws.expect(r#"40{"sid":"S1"}"#);
    ws.expect(r#"42["auth",{}]"#);
    t.expect_events(&["connect /"]);
    (t, ws)
}

#[test]
fn the_main_namespace_is_joined() {
    joined();
}

#[test]
fn a_namespace_is_joined_with_a_payload() {
    let t = server();
    let ws = t.connect();
    ws.send(r#"40{"token":"123"}"#);
    ws.expect(r#"40{"sid":"S1"}"#);
    ws.expect(r#"42["auth",{"token":"123"}]"#);
    ws.send(r#"40/custom,{"token":"abc"}"#);
    ws.expect(r#"40/custom,{"sid":"S2"}"#);
    ws.expect(r#"42/custom,["auth",{"token":"abc"}]"#);
    t.expect_events(&[r#"connect / auth={"token":"123"}"#, r#"connect /custom auth={"token":"abc"}"#]);
}

#[test]
fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    let (t, ws) = joined();
    ws.send("40/random");
    ws.expect(r#"44/random,{"message":"Invalid namespace"}"#);
    ws.expect_nothing();
    t.expect_alive();
}

#[test]
fn a_refusal_may_carry_data() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40/x,");
    let socket = t.socket("/x");
    t.with(|c| c.reject(socket, "nope", Some(&PacketData::from_json(r#"{"code":42}"#).unwrap()))).unwrap();
    ws.expect(r#"44/x,{"message":"nope","data":{"code":42}}"#);
    t.expect_events(&["connect /x"]);
    ws.send("40/x,");
    assert_ne!(t.socket("/x"), socket);
}

#[test]
fn without_a_connect_the_connection_is_closed() {
    let t = server();
    let ws = t.connect();
    t.advance_ms(300);
    ws.expect("2");
    ws.send("3");
    t.advance_ms(300);
    ws.send("3");
    ws.expect("2");
    t.advance_ms(300);
    ws.send("3");
    ws.expect("2");
    t.advance_ms(99);
    ws.expect_nothing();
    t.advance_ms(1);
    ws.expect_closed(None);
    t.expect_events(&["closed forced close | no namespace was joined in time"]);
}

#[test]
fn a_refused_connect_does_not_stop_the_clock() {
    let t = Server::socketio(
        sansocket_protocol::engine::EngineServerConfig::default(),
        SocketServerConfig::default(),
    )
    .application(|connection, event| {
        if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = event {
            connection.reject(*socket, "no", None).unwrap();
        }
    });
    let ws = t.connect();
    ws.send("40");
    ws.expect(r#"44{"message":"no"}"#);
    t.advance_ms(25_000);
    ws.send("3");
    ws.expect("2");
    t.advance_ms(20_000);
    ws.expect_closed(None);
}

#[test]
fn a_joined_connection_is_never_closed_for_having_left() {
    let t = server();
    let ws = t.connect();
    ws.send("40");
    ws.send("41");
    for _ in 0..10 {
        t.advance_ms(300);
        ws.send("3");
    }
    t.expect_alive();
}

#[test]
fn a_client_leaves_a_namespace_and_the_others_stay() {
    let (t, ws) = joined();
    ws.send("40/custom,");
    ws.expect(r#"40/custom,{"sid":"S2"}"#);
    ws.expect(r#"42/custom,["auth",{}]"#);
    ws.send("41/custom,");
    ws.send(r#"42["message","hi"]"#);
    ws.expect(r#"42["message-back","hi"]"#);
    t.expect_events(&[
        "connect /custom",
        "disconnect /custom client namespace disconnect",
        r#"event / ["message","hi"]"#,
    ]);
}

#[test]
fn after_a_disconnect_only_heartbeats_come() {
    let (t, ws) = joined();
    ws.send("41");
    t.advance_ms(300);
    ws.expect("2");
    ws.send("3");
    t.advance_ms(300);
    ws.expect("2");
    ws.expect_nothing();
}

#[test]
fn the_server_takes_a_socket_out_of_its_namespace() {
    let (t, ws) = joined();
    let socket = t.socket("/");
    t.with(|c| c.disconnect(socket, CloseReason::ServerNamespaceDisconnect)).unwrap();
    ws.expect("41");
    t.expect_events(&["disconnect / server namespace disconnect"]);
    ws.expect_nothing();
    assert!(t.with(|c| c.disconnect(socket, CloseReason::ServerNamespaceDisconnect)).is_err());
}

#[test]
fn packets_that_cross_the_servers_disconnect_are_ignored_until_the_sockets_end_is_told() {
    let (t, ws) = joined();
    let socket = t.socket("/");
    // The handler that does it is at work.
    t.with(|c| c.hold(Some(socket)));
    t.with(|c| c.disconnect(socket, CloseReason::ServerNamespaceDisconnect)).unwrap();
    ws.expect("41");
    ws.send(r#"42["late"]"#);
    ws.send("430[]");
    ws.send(r#"451-["late",{"_placeholder":true,"num":0}]"#);
    ws.send("<01>");
    ws.send("41");
    ws.expect_nothing();
    t.expect_events(&[]);
    t.with(|c| c.release(Some(socket)));
    t.expect_events(&["disconnect / server namespace disconnect"]);
    // From here on, that namespace is as unknown as any other.
    ws.send(r#"42["later"]"#);
    ws.expect_closed(None);
    t.expect_events(&["closed forced close | a packet for a namespace that is not joined"]);
}

#[test]
fn closing_the_connection_takes_every_socket_out_first() {
    let (t, ws) = joined();
    ws.send("40/custom,");
    ws.next().unwrap();
    ws.next().unwrap();
    t.with(|c| c.close(CloseReason::ForcedClose));
    ws.expect("41");
    ws.expect("41/custom,");
    ws.expect_closed(None);
    t.expect_events(&[
        "connect /custom",
        "disconnect / server namespace disconnect",
        "disconnect /custom server namespace disconnect",
        "closed forced close",
    ]);
    t.expect_finished();
}

#[test]
fn a_shutdown_sends_no_disconnect() {
    let (t, ws) = joined();
    t.with(|c| c.close(CloseReason::ServerShuttingDown));
    ws.expect_closed(None);
    t.expect_events(&["disconnect / server shutting down", "closed server shutting down"]);
}

#[test]
fn every_end_of_the_connection_ends_its_sockets_with_that_reason() {
    let (t, ws) = joined();
    ws.close();
    t.expect_events(&["disconnect / transport close", "closed transport close"]);
    let (t, ws) = joined();
    t.advance_ms(500);
    ws.expect("2");
    t.expect_events(&["disconnect / ping timeout", "closed ping timeout"]);
    let (t, ws) = joined();
    ws.send("x");
    assert_eq!(t.events()[0], "disconnect / parse error");
}

#[test]
fn text_binary_and_acknowledged_messages_come_back() {
    let (_t, ws) = joined();
    ws.send(r#"42["message",1,"2",{"3":[true]}]"#);
    ws.expect(r#"42["message-back",1,"2",{"3":[true]}]"#);
    ws.send(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
    ws.expect(r#"43456[1,"2",{"3":[false]}]"#);

    let two = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    ws.send(&format!(r#"452-["message",{two}]"#));
    ws.send("<010203>");
    ws.send("<040506>");
    ws.expect(&format!(r#"452-["message-back",{two}]"#));
    ws.expect("<010203>");
    ws.expect("<040506>");

    ws.send(&format!(r#"452-789["message-with-ack",{two}]"#));
    ws.send("<010203>");
    ws.send("<040506>");
    ws.expect(&format!("462-789[{two}]"));
    ws.expect("<010203>");
    ws.expect("<040506>");
}

#[test]
fn attachments_may_come_in_another_post_than_their_packet() {
    let t = server();
    t.open();
    t.post("40").expect("200 ok");
    t.poll().expect_body("40{\"sid\":\"S1\"}\x1e42[\"auth\",{}]");
    t.post(r#"451-["message",{"_placeholder":true,"num":0}]"#).expect("200 ok");
    t.post("bAQID").expect("200 ok");
    t.poll().expect_body("451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID");
}

#[test]
fn headers_are_read_as_the_reference_reads_them() {
    for (packet, heard) in [
        ("40/", "connect /"),
        ("40/,", "connect /"),
        ("405{}", "connect / auth={}"),
        ("4012", "connect /"),
        ("40 {}", "connect / auth={}"),
        ("40/custom", "connect /custom"),
        (r#"40/custom{"t":1}"#, r#"connect /custom{"t":1}"#),
        ("40/custom?x=1,", "connect /custom?x=1"),
        ("40/CUSTOM,", "connect /CUSTOM"),
        ("40/%63ustom,", "connect /%63ustom"),
    ] {
        let t = Server::socketio(quick(), SocketServerConfig::default());
        t.connect().send(packet);
        t.expect_events(&[heard]);
    }
}

#[test]
fn what_is_legal_after_joining() {
    for (packet, heard) in [
        (r#"42["e",1] "#, Some(r#"event / ["e",1]"#)),
        ("42[1,2]", Some(r#"event / ["1",2]"#)),
        (r#"42["error"]"#, Some(r#"event / ["error"]"#)),
        (r#"42[""]"#, Some(r#"event / [""]"#)),
        (r#"4200["e"]"#, Some(r#"event / ["e"] ack=0"#)),
        (r#"4218446744073709551615["e"]"#, Some(r#"event / ["e"] ack=18446744073709551615"#)),
        (r#"42["e","\ud800"]"#, Some(r#"event / ["e","\ud800"]"#)),
        ("42", None),
        ("43[1]", None),
        ("4399[1]", None),
        ("430", None),
        ("4112", Some("disconnect / client namespace disconnect")),
    ] {
        let (t, ws) = joined();
        ws.send(packet);
        assert_eq!(t.events(), heard.into_iter().collect::<Vec<_>>(), "{packet}");
        assert!(t.with(|c| c.is_open()), "{packet}");
    }
}

#[test]
fn what_closes_a_connection_that_has_joined_nothing() {
    for packet in [
        "4",
        "4abc",
        "47",
        "40null",
        "40[]",
        r#"40"x""#,
        "40{bad",
        "40x",
        r#"42["e"]"#,
        "41",
        "43[]",
        "430[]",
        r#"44{"message":"x"}"#,
        r#"44"x""#,
        r#"451-["e"]"#,
        "<010203>",
        "41{}",
        "41,",
        "42{}",
    ] {
        let t = server();
        let ws = t.connect();
        ws.send(packet);
        if packet.starts_with("45") {
            ws.send("<01>");
        }
        let events = t.events();
        assert!(events.len() == 1 && events[0].starts_with("closed "), "{packet}: {events:?}");
        ws.expect_closed(None);
        t.expect_finished();
    }
}

#[test]
fn what_closes_a_connection_that_has_joined() {
    for packet in [
        "4",
        "4abc",
        "40",
        "41{}",
        "41[]",
        "41,",
        r#"44{"message":"x"}"#,
        r#"42/other,["e"]"#,
        "41/other,",
        "42[]",
        "42{}",
        "42null",
        "42[null]",
        "42[{}]",
        r#"42["connect"]"#,
        r#"42["disconnect"]"#,
        r#"42["disconnecting"]"#,
        r#"42["connect_error"]"#,
        r#"42["newListener"]"#,
        r#"42["removeListener"]"#,
        r#"42["e",1]x"#,
        r#"42-1["e"]"#,
        r#"421.5["e"]"#,
        r#"42abc["e"]"#,
        "430{}",
        r#"450-["e"]"#,
        r#"4511-["e"]"#,
        r#"45["e"]"#,
        r#"45-["e"]"#,
        r#"451-["connect"]"#,
        r#"421-["e"]"#,
        "<01>",
        "bAQID",
        r#"4218446744073709551616["e"]"#,
        r#"451-["e",{"_placeholder":true,"num":1}]"#,
        r#"451-["e",{"_placeholder":true,"num":-1}]"#,
        r#"451-["e",{"_placeholder":true,"num":"0"}]"#,
        r#"451-["e",{"_placeholder":true}]"#,
        r#"451-["e",{"_placeholder":true,"num":0.5}]"#,
    ] {
        let (t, ws) = joined();
        ws.send(packet);
        let events = t.events();
        assert_eq!(events.len(), 2, "{packet}: {events:?}");
        assert_eq!(events[0], "disconnect / forced close", "{packet}");
        ws.expect_closed(None);
        t.expect_finished();
    }
}

#[test]
fn an_event_behind_a_connect_that_is_not_answered_yet_closes() {
    let t = Server::socketio(quick(), SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    ws.send(r#"42["e"]"#);
    ws.expect_closed(None);
    t.expect_events(&["connect /", "closed forced close | a packet for a namespace that is not joined"]);
}

#[test]
fn attachments_come_directly_behind_their_packet() {
    let (t, ws) = joined();
    ws.send(r#"452-["e"]"#);
    ws.send("<01>");
    ws.send(r#"42["e"]"#);
    ws.expect_closed(None);
    assert_eq!(t.events()[0], "disconnect / forced close");
}

#[test]
fn odd_but_legal_attachments() {
    let (t, ws) = joined();
    let same = r#"{"_placeholder":true,"num":0}"#;
    ws.send(r#"451-["unused"]"#);
    ws.send("<01>");
    ws.send(&format!(r#"451-["twice",{same},{same}]"#));
    ws.send("bAg==");
    ws.send("451-");
    ws.send("<03>");
    t.expect_events(&[r#"event / ["unused"] <01>"#, &format!(r#"event / ["twice",{same},{same}] <02>"#)]);
    t.expect_alive();
}

#[test]
fn heartbeats_go_on_while_attachments_are_missing() {
    let (t, ws) = joined();
    ws.send(r#"4510-["e"]"#);
    t.advance_ms(300);
    ws.expect("2");
    ws.send("3");
    t.expect_alive();
}

#[test]
fn json_may_be_as_deep_as_all_peers_take() {
    let (t, ws) = joined();
    let nested = |levels: usize| format!(r#"42["e",{}{}]"#, "[".repeat(levels), "]".repeat(levels));
    let deep = nested(499);
    ws.send(&deep);
    t.expect_events(&[&format!("event / {}", &deep[2..])]);
    t.expect_alive();
    ws.send(&nested(100_000));
    ws.expect_closed(None);
    let reason = "the packet's lists and objects nest deeper than the 500 levels that are allowed";
    t.expect_events(&[
        "disconnect / forced close",
        &format!("closed forced close | malformed Socket.IO packet: {reason}"),
    ]);
}

#[test]
fn text_that_is_no_utf8_is_the_transports_error() {
    let (t, ws) = joined();
    ws.send_text(b"42[\"\xff\"]");
    ws.expect_closed(Some(1007));
    assert_eq!(t.events()[0], "disconnect / transport error");
}

#[test]
fn a_session_is_upgraded_with_its_sockets() {
    let t = server();
    t.open();
    t.post("40/custom,").expect("200 ok");
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    ws.expect(r#"40/custom,{"sid":"S1"}"#);
    ws.expect(r#"42/custom,["auth",{}]"#);
    ws.send(r#"42/custom,["message"]"#);
    ws.expect(r#"42/custom,["message-back"]"#);
    t.expect_events(&["connect /custom", "upgraded", r#"event /custom ["message"]"#]);
}
