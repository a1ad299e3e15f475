//! WebSocket sessions: one packet a message, and what each packet does.

mod support;

use sansocket_protocol::engine::EngineServerConfig;
use support::{Server, WebSocket, quick};

fn connected() -> (Server, WebSocket) {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    (t, ws)
}

#[test]
fn the_open_packet_comes_first_and_offers_no_upgrade() {
    let t = Server::engine(quick().initial_packet(Some("hi".to_string())));
    let ws = t.upgrade("?EIO=4&transport=websocket").websocket();
    ws.expect(r#"0{"sid":"SID","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#);
    ws.expect("4hi");
    ws.expect_nothing();
}

#[test]
fn a_handshake_is_refused_before_the_switch() {
    let t = Server::engine(EngineServerConfig::default());
    t.begin_upgrade("?transport=websocket").expect("400 Unsupported protocol version");
    t.begin_upgrade("?EIO=4&transport=polling").expect("400 Bad request");
    t.begin_upgrade("?EIO=4&transport=websocket&sid=nope").expect("400 Session ID unknown");
    assert_eq!(t.sessions(), 0);
}

#[test]
fn messages_pass_both_ways() {
    let (t, ws) = connected();
    for text in ["4hello", "4", "<010203>", "<>", "bAQID", "4a\x1e4b"] {
        ws.send(text);
    }
    t.expect_events(&[
        "message hello",
        "message ",
        "message <010203>",
        "message <>",
        "message <010203>",
        "message a\x1e4b",
    ]);
    t.send("down");
    t.with(|c| c.send(sansocket_protocol::message::Frame::binary_message(vec![4, 5].into()))).unwrap();
    ws.expect("4down");
    ws.expect("<0405>");
}

#[test]
fn an_unknown_packet_closes() {
    for text in ["", "7", "abc", "hello", "b!!!", "\u{e9}"] {
        let (t, ws) = connected();
        ws.send(text);
        ws.expect_closed(None);
        let events = t.events();
        assert!(events[0].starts_with("closed parse error | malformed Engine.IO packet"), "{events:?}");
        t.expect_finished();
    }
}

#[test]
fn a_close_packet_closes() {
    let (t, ws) = connected();
    ws.send("1");
    ws.expect_closed(None);
    t.expect_events(&["closed transport close"]);
    t.expect_finished();
}

#[test]
fn a_ping_of_the_client_closes() {
    for ping in ["2", "2probe"] {
        let (t, ws) = connected();
        ws.send(ping);
        ws.expect_closed(None);
        t.expect_events(&["closed transport error | a heartbeat in the wrong direction"]);
    }
}

#[test]
fn packets_without_meaning_here_are_ignored() {
    let (t, ws) = connected();
    for text in ["0", "0{}", "5", "6", "3", "3abc"] {
        ws.send(text);
    }
    ws.expect_nothing();
    t.expect_events(&[]);
    t.expect_alive();
}

#[test]
fn text_that_is_no_utf8_has_a_close_code_of_its_own() {
    let (t, ws) = connected();
    ws.send_text(b"4\xff");
    ws.expect_closed(Some(1007));
    t.expect_events(&["closed transport error | a text message is not UTF-8"]);
}

#[test]
fn a_message_that_is_too_large_has_a_close_code_of_its_own() {
    let t = Server::engine(EngineServerConfig::default().max_payload(5));
    let ws = t.connect();
    ws.send("41234");
    ws.send("<0102030405>");
    assert_eq!(t.events().len(), 2);
    ws.send("412345");
    ws.expect_closed(Some(1009));
    t.expect_events(&["closed transport error | the WebSocket failed (close code 1009)"]);
}

#[test]
fn a_websocket_that_the_client_closes_ends_the_session() {
    let (t, ws) = connected();
    ws.close();
    t.expect_events(&["closed transport close"]);
    t.expect_finished();
}

#[test]
fn a_websocket_that_fails_ends_the_session() {
    let (t, ws) = connected();
    ws.fail(1002);
    t.expect_events(&["closed transport error | the WebSocket failed (close code 1002)"]);
    t.expect_finished();
}

#[test]
fn plain_requests_do_not_disturb_the_session() {
    let (t, ws) = connected();
    const BAD_REQUEST: &str = r#"400 {"code":3,"message":"Bad request"}"#;
    t.poll().expect(BAD_REQUEST);
    t.post("4x").expect(BAD_REQUEST);
    t.get("?EIO=4&transport=websocket&sid=SID").expect(BAD_REQUEST);
    t.request("POST", "?EIO=4&transport=websocket&sid=SID", &[]).expect(BAD_REQUEST);
    ws.send("4still here");
    t.expect_events(&["message still here"]);
}

#[test]
fn a_second_websocket_does_not_disturb_the_session() {
    let (t, ws) = connected();
    let second = t.begin_upgrade("?EIO=4&transport=websocket&sid=SID");
    second.opened();
    second.websocket().expect_closed(None);
    ws.send("4still here");
    t.expect_events(&["message still here"]);
}

#[test]
fn a_websocket_that_never_opens_is_given_up() {
    let t = Server::engine(EngineServerConfig::default());
    let request = t.begin_upgrade("?EIO=4&transport=websocket");
    t.advance_ms(9_999);
    t.expect_events(&[]);
    t.advance_ms(1);
    t.expect_events(&["closed transport error | the WebSocket was never opened"]);
    request.websocket().expect_closed(None);
    t.expect_finished();
}

#[test]
fn while_a_websocket_opens_nothing_else_gets_in() {
    let t = Server::engine(EngineServerConfig::default());
    let request = t.begin_upgrade("?EIO=4&transport=websocket");
    t.get("?EIO=4&transport=websocket&sid=SID").expect(r#"400 {"code":3,"message":"Bad request"}"#);
    t.poll().expect(r#"400 {"code":3,"message":"Bad request"}"#);
    let second = t.begin_upgrade("?EIO=4&transport=websocket&sid=SID");
    second.opened();
    second.websocket().expect_closed(None);
    request.opened();
    assert!(request.websocket().next().unwrap().starts_with("0{"));
}

#[test]
fn a_websocket_that_fails_to_open_ends_the_session() {
    let t = Server::engine(EngineServerConfig::default());
    t.begin_upgrade("?EIO=4&transport=websocket").abort();
    t.expect_events(&["closed transport error | the request was aborted"]);
    t.expect_finished();
}
