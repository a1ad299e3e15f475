//! Clients of revision 3 (Socket.IO 1.x and 2.x) on a server that serves them, as traffic.

mod support;

use bytes::Bytes;
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::message::Frame;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{PacketData, Parser, ServerSocketEvent, SocketServerConfig};
use std::sync::Arc;
use support::{Request, Server, WebSocket, event, quick};

const HANDSHAKE: &str =
    r#"0{"sid":"SID","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;
const UNKNOWN: &str = r#"400 {"code":1,"message":"Session ID unknown"}"#;
const BAD_REQUEST: &str = r#"400 {"code":3,"message":"Bad request"}"#;

fn config() -> EngineServerConfig {
    quick().allow_eio3(true)
}

/// A client of revision 3 on a plain Engine.IO server.
struct Client {
    server: Server,
    query: &'static str,
}

impl Client {
    /// One that has polled once, with these parameters.
    fn open(server: Server, query: &'static str) -> Self {
        let open = server.get(&format!("?EIO=3&transport=polling{query}")).text();
        assert!(open.starts_with("200 "), "{open}");
        Self { server, query }
    }

    fn engine() -> Self {
        Self::open(Server::engine(config()), "")
    }

    fn request(&self, method: &str, headers: &[(&str, &str)]) -> Request {
        self.server.request(method, &format!("?EIO=3&transport=polling&sid=SID{}", self.query), headers)
    }

    fn poll(&self) -> Request {
        self.request("GET", &[])
    }

    fn post(&self, body: &'static str) -> Request {
        let post = self.request("POST", &[("content-type", "text/plain;charset=UTF-8")]);
        post.body(body);
        post
    }

    fn post_bytes(&self, body: &'static [u8]) -> Request {
        let post = self.request("POST", &[("content-type", "application/octet-stream")]);
        post.body(body);
        post
    }

    fn candidate(&self, query: &str) -> WebSocket {
        self.server.upgrade(&format!("?EIO=3&transport=websocket&sid=SID{query}")).websocket()
    }

    fn send_binary(&self, data: &'static [u8]) {
        let frame = Frame::binary_message(Bytes::from_static(data));
        self.server.with(|connection| connection.send(frame)).expect("it is open");
    }
}

/// A WebSocket of revision 3 with a session of its own.
fn connect(server: &Server, query: &str) -> WebSocket {
    let websocket = server.upgrade(&format!("?EIO=3&transport=websocket{query}")).websocket();
    websocket.expect(&HANDSHAKE.replace(r#"["websocket"]"#, "[]"));
    websocket
}

// --- payloads -------------------------------------------------------------------------------------------------------

#[test]
fn the_handshake_has_its_length_in_front() {
    let t = Server::engine(config());
    let open = t.get("?EIO=3&transport=polling");
    // The id that stands for `SID` has 20 characters.
    open.expect_body(&format!("{}:{HANDSHAKE}", HANDSHAKE.len() - "SID".len() + 20));
    open.expect_header("content-type", Some("text/plain; charset=UTF-8"));
    t.get("?transport=polling&b64=1").expect_body(&format!("{}:{HANDSHAKE}", HANDSHAKE.len() + 17));
}

#[test]
fn it_is_refused_unless_the_server_allows_it() {
    let t = Server::engine(quick());
    let refusal = r#"400 {"code":5,"message":"Unsupported protocol version"}"#;
    t.get("?EIO=3&transport=polling").expect(refusal);
    t.get("?transport=polling").expect(refusal);
    t.upgrade("?EIO=3&transport=websocket").expect("400 Unsupported protocol version");
}

#[test]
fn packets_are_posted_and_polled_as_text() {
    let t = Client::engine();
    t.post("6:4hello2:4€3:4😀").expect("200 ok");
    t.server.expect_events(&["message hello", "message €", "message 😀"]);
    t.server.send("hello");
    t.server.send("world");
    t.poll().expect_body("6:4hello6:4world");
}

#[test]
fn bytes_make_the_answer_bytes() {
    let t = Client::engine();
    t.server.send("hello");
    t.send_binary(&[1, 2, 3, 4]);
    let poll = t.poll();
    poll.expect_body("<0006ff3468656c6c6f0105ff0401020304>");
    poll.expect_header("content-type", Some("application/octet-stream"));
    // Text beyond ASCII is read right by Socket.IO 1.x in this form only.
    t.server.send("€");
    t.poll().expect_body("<0004ff34e282ac>");
}

#[test]
fn a_client_without_bytes_gets_base64() {
    let t = Client::open(Server::engine(config()), "&b64=1");
    t.server.send("hello");
    t.send_binary(&[1, 2, 3, 4]);
    t.server.send("€");
    let poll = t.poll();
    poll.expect_body("6:4hello10:b4AQIDBA==2:4€");
    poll.expect_header("content-type", Some("text/plain; charset=UTF-8"));
}

#[test]
fn bytes_are_posted_in_either_form() {
    let t = Client::engine();
    t.post("6:4hello10:b4AQIDBA==").expect("200 ok");
    t.server.expect_events(&["message hello", "message <01020304>"]);
    t.post_bytes(b"\0\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04").expect("200 ok");
    t.server.expect_events(&["message hello", "message <01020304>"]);
}

#[test]
fn a_malformed_payload_closes_behind_what_was_right() {
    for body in ["", "abc", "2:4a3:4b", "2:4a-1:2", "2:4a1:7"] {
        let t = Client::engine();
        t.post(body).expect("400");
        let events = t.server.events();
        let rest = if body.starts_with("2:4a") { &["message a".to_string()][..] } else { &[] };
        assert_eq!(&events[..events.len() - 1], rest, "{body}");
        assert!(events[events.len() - 1].starts_with("closed parse error"), "{events:?}");
        t.poll().expect(UNKNOWN);
    }
}

#[test]
fn an_answer_has_as_many_packets_as_fit() {
    let t = Client::open(Server::engine(config().max_payload(300)), "");
    for _ in 0..4 {
        t.server.send(&"x".repeat(90));
    }
    let three = format!("91:4{}", "x".repeat(90)).repeat(3);
    t.poll().expect_body(&three);
    t.poll().expect_body(&three[..three.len() / 3]);
    for _ in 0..17 {
        t.server.send("");
    }
    t.poll().expect_body(&"1:4".repeat(16));
    t.poll().expect_body("1:4");
}

#[test]
fn a_closing_poll_is_released_in_its_form() {
    let t = Client::engine();
    let poll = t.poll();
    t.post("1:1").expect("200 ok");
    poll.expect_body("1:6");

    let t = Client::engine();
    let (first, second) = (t.poll(), t.poll());
    second.expect("400");
    first.expect_body("1:1");

    let t = Client::engine();
    t.server.with(|connection| connection.close(sansocket_protocol::error::CloseReason::ForcedClose));
    t.poll().expect_body("1:61:1");
}

#[test]
fn a_request_of_another_revision_is_refused() {
    let t = Client::engine();
    t.server.poll().expect(BAD_REQUEST);
    t.server.begin_upgrade("?EIO=4&transport=websocket&sid=SID").expect("400 Bad request");
    let t = Server::engine(config());
    t.open();
    t.get("?EIO=3&transport=polling&sid=SID").expect(BAD_REQUEST);
    t.get("?transport=polling&sid=SID").expect(BAD_REQUEST);
}

// --- heartbeats -----------------------------------------------------------------------------------------------------

#[test]
fn the_client_pings_and_the_server_answers() {
    let t = Client::engine();
    t.server.advance_ms(499);
    t.post("1:2").expect("200 ok");
    t.poll().expect_body("1:3");
    t.server.advance_ms(499);
    t.server.expect_alive();
    t.server.advance_ms(1);
    t.server.expect_events(&["closed ping timeout"]);
}

#[test]
fn a_pong_echoes_nothing_and_there_is_one_for_each_ping() {
    let t = Client::engine();
    t.post("2:2x6:2probe").expect("200 ok");
    t.poll().expect_body("1:31:3");
    let websocket = connect(&t.server, "");
    websocket.send("2x");
    websocket.expect("3");
}

#[test]
fn pings_of_a_client_that_does_not_read_are_not_all_answered() {
    let t = Client::engine();
    for _ in 0..20 {
        t.post("1:21:2").expect("200 ok");
    }
    t.poll().expect_body(&"1:3".repeat(16));
    t.post("1:2").expect("200 ok");
    t.poll().expect_body("1:3");
}

#[test]
fn the_server_never_pings_and_takes_no_pong() {
    let t = Server::engine(config());
    let websocket = connect(&t, "");
    t.advance_ms(450);
    websocket.expect_nothing();
    websocket.send("3");
    t.expect_events(&["closed transport error | a heartbeat in the wrong direction"]);
    websocket.expect_closed(None);
}

#[test]
fn an_upgraded_session_is_watched_as_before() {
    let t = Client::engine();
    let websocket = t.candidate("");
    websocket.send("2probe");
    websocket.expect("3probe");
    websocket.send("5");
    t.server.advance_ms(400);
    websocket.send("2");
    websocket.expect("3");
    t.server.advance_ms(500);
    t.server.expect_events(&["upgraded", "closed ping timeout"]);
}

// --- WebSocket ------------------------------------------------------------------------------------------------------

#[test]
fn a_binary_message_has_its_type_in_front() {
    let t = Server::engine(config());
    let websocket = connect(&t, "");
    websocket.send("4hello");
    websocket.send("<040102>");
    websocket.send("b4AQID");
    t.expect_events(&["message hello", "message <0102>", "message <010203>"]);
    t.with(|connection| connection.send(Frame::binary_message(Bytes::from_static(&[1, 2])))).unwrap();
    websocket.expect("<040102>");
    // No message: ignored.
    websocket.send("<>");
    websocket.send("<09ff>");
    t.expect_events(&[]);
    t.expect_alive();
}

#[test]
fn a_websocket_without_bytes_gets_base64_in_either_revision() {
    let t = Server::engine(config());
    let binary = || t.with(|connection| connection.send(Frame::binary_message(Bytes::from_static(&[1, 2]))));
    let websocket = connect(&t, "&b64=1");
    binary().unwrap();
    websocket.expect("b4AQI=");
    let websocket = t.upgrade("?EIO=4&transport=websocket&b64=1").websocket();
    websocket.next().unwrap();
    binary().unwrap();
    websocket.expect("bAQI=");
}

#[test]
fn an_upgrade_releases_the_poll_and_decides_about_bytes_anew() {
    let t = Client::open(Server::engine(config()), "&b64=1");
    let websocket = t.candidate("");
    websocket.send("2probe");
    websocket.expect("3probe");
    let poll = t.poll();
    t.server.advance_ms(100);
    poll.expect_body("1:6");
    websocket.send("5");
    t.send_binary(&[1, 2]);
    websocket.expect("<040102>");
}

// --- JSONP ----------------------------------------------------------------------------------------------------------

#[test]
fn answers_by_jsonp_are_calls() {
    let t = Client::open(Server::engine(config()), "&j=5&b64=1");
    t.server.send("a\"b\u{2028}</script>\n");
    t.send_binary(&[1, 2, 3]);
    let poll = t.poll();
    poll.expect_body(r#"___eio[5]("15:4a\"b\u2028</script>\n6:b4AQID");"#);
    poll.expect_header("content-type", Some("text/plain; charset=UTF-8"));
    let poll = t.poll();
    t.post("d=1%3A1").expect("200 ok");
    poll.expect_body(r#"___eio[5]("1:6");"#);
}

#[test]
fn posts_by_jsonp_are_forms() {
    let t = Client::open(Server::engine(config()), "&j=0");
    t.post("d=4:4a\\nb").expect("200 ok");
    t.post("d=5%3A4a%5C%5Cnb").expect("200 ok");
    t.post("e=1").expect("200 ok");
    t.server.expect_events(&["message a\nb", "message a\\nb"]);
    t.post("d=abc").expect("400");
    assert_eq!(t.server.events().len(), 1);
}

#[test]
fn jsonp_is_for_either_revision() {
    let t = Server::engine(quick());
    let open = t.get("?EIO=4&transport=polling&j=x7y");
    open.expect_body(&format!("___eio[7](\"{}\");", HANDSHAKE.replace('"', "\\\"")));
    t.send("a");
    t.send("b");
    t.poll().expect_body(r#"___eio[7]("4a\u001e4b");"#);
    t.post("d=4hello%1E4world").expect("200 ok");
    t.expect_events(&["message hello", "message world"]);
}

#[test]
fn a_session_by_jsonp_upgrades_as_others_do() {
    let t = Client::open(Server::engine(config()), "&j=0&b64=1");
    let websocket = t.candidate("");
    websocket.send("2probe");
    websocket.expect("3probe");
    websocket.send("5");
    t.server.send("hello");
    websocket.expect("4hello");
}

#[test]
fn a_poll_by_jsonp_that_is_pending_at_the_upgrade_is_answered_by_a_call() {
    let t = Client::open(Server::engine(config()), "&j=2&b64=1");
    let websocket = t.candidate("");
    websocket.send("2probe");
    websocket.expect("3probe");
    let poll = t.poll();
    websocket.send("5");
    poll.expect_body(r#"___eio[2]("1:6");"#);
    t.server.send("hello");
    websocket.expect("4hello");
}

// --- Socket.IO ------------------------------------------------------------------------------------------------------

/// A Socket.IO server that knows the namespaces `/`, `/chat` and `/closed`, the last of which lets nobody in.
fn socketio() -> Server {
    Server::socketio(config(), SocketServerConfig::default()).application(decide)
}

fn decide(connection: &mut Connection, event: &ServerEvent) {
    let ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, .. }) = event else { return };
    match &**namespace {
        "/" | "/chat" => {
            let id = connection.socket_id(namespace).unwrap_or_else(|| "S1".into());
            connection.accept(*socket, &id)
        }
        "/closed" => connection.reject(*socket, "nope", None),
        "/data" => {
            let data = PacketData::from_json(r#"{"code":401}"#).unwrap();
            connection.reject(*socket, "nope", Some(&data))
        }
        _ => connection.reject_namespace(*socket),
    }
    .expect("it is connecting");
}

#[test]
fn a_client_is_in_the_main_namespace_without_asking() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    t.expect_events(&["connect /"]);
    websocket.send(r#"420["hi",1]"#);
    t.expect_events(&[r#"event / ["hi",1] ack=0"#]);

    let polling = Client::open(t, "");
    polling.poll().expect_body("2:40");
}

#[test]
fn the_handshake_is_not_mixed_with_the_first_namespace() {
    let t = socketio();
    t.get("?EIO=3&transport=polling").expect_body(&format!("{}:{HANDSHAKE}", HANDSHAKE.len() + 17));
    t.get("?EIO=3&transport=polling&sid=SID").expect_body("2:40");
}

#[test]
fn a_second_connect_to_the_main_namespace_closes() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    websocket.send("40");
    assert!(t.events().iter().any(|line| line.contains("a second CONNECT for the same namespace")));
}

#[test]
fn the_query_of_a_namespace_is_its_auth() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    websocket.send("40/chat?token=a%20b&x=1&x=2,");
    websocket.expect("40/chat,");
    t.expect_events(&["connect /", r#"connect /chat auth={"token":"a b","x":"2"}"#]);
    // With and without the query it is the same namespace.
    websocket.send(r#"42/chat?token=a,["hi"]"#);
    websocket.send(r#"42/chat,["hi"]"#);
    websocket.send("451-/chat?x=1,[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    websocket.send("<0401>");
    websocket.send("41/chat,");
    t.expect_events(&[
        r#"event /chat ["hi"]"#,
        r#"event /chat ["hi"]"#,
        r#"event /chat ["pic",{"_placeholder":true,"num":0}] <01>"#,
        "disconnect /chat client namespace disconnect",
    ]);
}

#[test]
fn what_a_connect_carries_is_ignored() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    websocket.send(r#"40/chat,{"token":"x"}"#);
    websocket.expect("40/chat,");
    t.expect_events(&["connect /", "connect /chat"]);
}

#[test]
fn a_refusal_is_the_message_or_the_data() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    for (asked, refusal) in [
        ("40/closed,", r#"44/closed,"nope""#),
        ("40/data?x=1,", r#"44/data,{"code":401}"#),
        ("40/other,", r#"44/other,{"message":"Invalid namespace"}"#),
    ] {
        websocket.send(asked);
        websocket.expect(refusal);
    }
    t.expect_alive();
    // Revision 4 has one form for all.
    let websocket = joined(&t);
    websocket.send("40/closed,");
    websocket.expect(r#"44/closed,{"message":"nope"}"#);
    websocket.send("40/other,");
    websocket.expect(r#"44/other,{"message":"Invalid namespace"}"#);
}

/// A WebSocket of revision 4 that has joined the main namespace.
fn joined(t: &Server) -> WebSocket {
    t.events();
    let websocket = t.connect();
    websocket.send("40");
    websocket.expect(r#"40{"sid":"S1"}"#);
    websocket
}

#[test]
fn the_ids_of_sockets_are_made_of_the_sessions() {
    let t = socketio();
    connect(&t, "");
    t.with(|connection| {
        let id: Arc<str> = connection.id().clone();
        assert_eq!(connection.socket_id("/"), Some(id.clone()));
        assert_eq!(connection.socket_id("/chat").as_deref(), Some(&*format!("/chat#{id}")));
    });
    joined(&t);
    assert_eq!(t.with(|connection| connection.socket_id("/")), None);
}

#[test]
fn one_frame_serves_clients_of_both_revisions() {
    let t = socketio();
    let image = Bytes::from_static(&[1, 2, 3]);
    let frame = Parser::json().event("/", "pic", None, &(&image, "€")).unwrap();
    let text = r#"451-["pic",{"_placeholder":true,"num":0},"€"]"#;
    let emit = || {
        let socket = t.socket("/");
        t.with(|connection| connection.emit(socket, &frame)).unwrap();
    };

    let websocket = joined(&t);
    emit();
    websocket.expect(text);
    websocket.expect("<010203>");

    let websocket = connect(&t, "");
    websocket.expect("40");
    emit();
    websocket.expect(text);
    websocket.expect("<04010203>");

    let polling = Client::open(t.clone(), "&b64=1");
    polling.poll().expect_body("2:40");
    emit();
    polling.poll().expect_body(&format!("{}:{text}6:b4AQID", text.chars().count()));
}

#[test]
fn a_namespace_is_joined_again_once_its_earlier_socket_is_over() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    websocket.send("40/chat,");
    websocket.expect("40/chat,");
    let earlier = t.socket("/chat");
    t.events();
    // Its last handler takes a while.
    t.listens(false);
    websocket.send("41/chat,");
    t.with(|connection| {
        let _told = connection.poll_event();
        connection.hold(Some(earlier));
    });
    t.listens(true);
    websocket.send("40/chat,");
    websocket.expect_nothing();
    t.expect_events(&[]);
    t.with(|connection| connection.release(Some(earlier)));
    websocket.expect("40/chat,");
    t.expect_events(&["connect /chat"]);

    // One whose connection ends meanwhile is never told.
    let earlier = t.socket("/chat");
    t.listens(false);
    websocket.send("41/chat,");
    t.with(|connection| {
        let _told = connection.poll_event();
        connection.hold(Some(earlier));
    });
    t.listens(true);
    websocket.send("40/chat,");
    websocket.close();
    t.with(|connection| connection.release(Some(earlier)));
    assert!(t.events().iter().all(|line| !line.starts_with("connect")), "it was told");
}

#[test]
fn a_disconnected_socket_is_told_so() {
    let t = socketio();
    let websocket = connect(&t, "");
    websocket.expect("40");
    let socket = t.socket("/");
    t.with(|connection| connection.emit(socket, event("/", r#"["bye"]"#))).unwrap();
    t.with(|connection| {
        connection.disconnect(socket, sansocket_protocol::error::CloseReason::ServerNamespaceDisconnect)
    })
    .unwrap();
    websocket.expect(r#"42["bye"]"#);
    websocket.expect("41");
    t.expect_alive();
}
