//! The published advisories against other implementations, each as a test by its number: what can be shown on the core.
//! Those that need a socket are in `socket-tests/advisories.rs`; `docs/reliability.md` lists them all.

mod support;

use sansocket_protocol::engine::RequestHead;
use sansocket_protocol::engine::{EngineServerConfig, Origins};
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Route, Router};
use sansocket_protocol::socket;
use sansocket_protocol::socket::Parser;
use std::collections::BTreeSet;
use std::sync::Arc;
use support::{Server, ms};

fn socketio() -> Server {
    Server::socketio(EngineServerConfig::default(), socket::SocketServerConfig::default()).accepting()
}

/// The client is closed because of that message, both where it is joined and where the client receives it.
fn closes_both_ends(message: &str) {
    let t = socketio();
    let (websocket, _) = t.joined();
    websocket.send(message);
    let events = t.events();
    assert!(events.iter().any(|event| event.starts_with("closed ")), "{message}: {events:?}");
    assert!(events.iter().all(|event| !event.starts_with("event ")), "{message}: {events:?}");
    // The client's decoder is the same.
    let text = message.strip_prefix('4').expect("a message").as_bytes().to_vec();
    assert!(Parser::json().decode(text.into()).is_err(), "{message}");
}

#[test]
fn cve_2020_36048_a_huge_post_is_refused_at_the_default_limit() {
    assert_eq!(EngineServerConfig::default().max_payload, 1_000_000);
    let t = socketio();
    t.open();
    // By its head, before anything is read.
    let query = "?EIO=4&transport=polling&sid=SID";
    t.request("POST", query, &[("content-length", "100000000")]).expect("413");
    // And by counting, where no length is told.
    t.post(vec![b'4'; 1_000_001]).expect("413");
    t.expect_alive();
}

#[test]
fn cve_2023_31125_a_transport_named_like_a_property_is_unknown() {
    let t = socketio();
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty", "webtransport", ""] {
        let query = format!("?EIO=4&transport={name}");
        t.get(&query).expect(r#"400 {"code":0,"message":"Transport unknown"}"#);
        t.begin_upgrade(&query).expect("400 Transport unknown");
    }
}

#[test]
fn cve_2026_59725_an_octet_stream_is_answered_and_the_session_closed() {
    let t = socketio();
    t.open();
    let query = "?EIO=4&transport=polling&sid=SID";
    t.request("POST", query, &[("content-type", "application/octet-stream")]).expect("400");
    t.expect_events(&["closed transport error"]);
    t.expect_finished();
}

#[test]
fn ghsa_gr94_w7qr_f4j3_a_session_id_named_like_a_property_is_unknown() {
    let t = socketio();
    for id in ["__proto__", "constructor", "toString", "%00"] {
        t.get(&format!("?EIO=4&transport=polling&sid={id}"))
            .expect(r#"400 {"code":1,"message":"Session ID unknown"}"#);
        t.begin_upgrade(&format!("?EIO=4&transport=websocket&sid={id}")).expect("400 Session ID unknown");
    }
}

#[test]
fn cve_2017_16031_session_ids_are_drawn_from_a_cipher() {
    let ids = |seed: [u8; 32]| -> BTreeSet<Arc<str>> {
        let mut router = Router::new(Arc::default(), Random::new(seed));
        (0..10_000).map(|key| router.register(None, |_| key).unwrap()).collect()
    };
    let (one, other) = (ids([1; 32]), ids([2; 32]));
    assert_eq!((one.len(), other.len(), one.intersection(&other).count()), (10_000, 10_000, 0));
    // 20 characters of 6 bits each.
    assert!(one.iter().all(|id| id.len() == 20));
}

#[test]
fn cve_2020_28481_no_origin_is_let_in_by_default() {
    let t = socketio();
    let evil = [("origin", "https://evil.example")];
    let response = t.request("GET", "?EIO=4&transport=polling", &evil);
    response.expect_header("access-control-allow-origin", None);
    response.expect_header("access-control-allow-credentials", None);
}

#[test]
fn cve_2019_13611_origins_are_checked_on_both_transports() {
    let config = EngineServerConfig::default().origins(Some(Origins::list(["https://good.example"])));
    let t = Server::engine(config);
    let ask = |origin, transport| {
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket"), ("origin", origin)];
        let headers = if transport == "websocket" { &upgrade[..] } else { &upgrade[2..] };
        t.request("GET", &format!("?EIO=4&transport={transport}"), headers).text()
    };
    assert_eq!(ask("https://evil.example", "polling"), r#"403 {"code":4,"message":"Forbidden"}"#);
    assert_eq!(ask("https://evil.example", "websocket"), "400 Forbidden");
    assert_eq!(ask("https://good.example.evil.example", "websocket"), "400 Forbidden");
    assert!(ask("https://good.example", "polling").starts_with("200"));
    assert_eq!(ask("https://good.example", "websocket"), "101");
}

#[test]
fn cve_2024_38355_an_event_called_error_is_an_event() {
    let t = socketio();
    let (websocket, _) = t.joined();
    for name in ["error", "__proto__", "constructor"] {
        websocket.send(&format!(r#"42["{name}"]"#));
        t.expect_events(&[&format!(r#"event / ["{name}"]"#)]);
    }
    t.expect_alive();
    // The names of the library's own events close, as in the reference.
    websocket.send(r#"42["disconnecting"]"#);
    assert!(t.events().iter().any(|event| event.starts_with("closed forced close")));
}

#[test]
fn cve_2020_36049_long_packets_take_linear_time() {
    // A quadratic decoder would take hours for these.
    let long = 8_000_000;
    for packet in [
        format!("2/{}", "a".repeat(long)),
        format!("2{}", "1".repeat(long)),
        format!("5{}", "1".repeat(long)),
        format!("2[{}", "[".repeat(long)),
        format!("2[\"e\",\"{}", "\\u0041".repeat(long / 6)),
        format!("2[\"e\",{}1]", "1,".repeat(long / 2)),
        format!(
            "51-[\"e\",{}{{\"_placeholder\":true,\"num\":0}}]",
            "{\"_placeholder\":1},".repeat(long / 20)
        ),
    ] {
        // Good or bad, it is decided.
        let _ = Parser::json().decode(packet.into_bytes().into());
    }
}

#[test]
fn cve_2022_2421_a_placeholder_that_is_no_index_closes() {
    for num in ["\"splice\"", "\"0\"", "-1", "1", "1e99", "null", "{}", "[]", "true", "\"__proto__\""] {
        closes_both_ends(&format!(r#"451-["e",{{"_placeholder":true,"num":{num}}}]"#));
    }
}

#[test]
fn cve_2023_32695_an_events_name_that_is_an_object_closes() {
    for name in [r#"{"toString":"foo"}"#, "[]", "null", "true"] {
        closes_both_ends(&format!("42[{name}]"));
    }
}

#[test]
fn cve_2026_33151_a_count_of_attachments_above_the_limit_closes() {
    let t = socketio();
    let (websocket, _) = t.joined();
    websocket.send(r#"4510-["e"]"#);
    assert!(t.events().is_empty());
    for count in ["11", "1000000", "4294967296", "99999999999999999999"] {
        closes_both_ends(&format!(r#"45{count}-["e"]"#));
    }
}

#[test]
fn cve_2026_69185_no_attachments_wait_for_none() {
    // Either it is refused, or it is whole: what follows is not taken for an attachment.
    for message in [r#"450-["e"]"#, r#"460-1["e"]"#] {
        let t = socketio();
        let (websocket, _) = t.joined();
        websocket.send(message);
        t.events();
        websocket.send("<010203>");
        let events = t.events();
        assert!(events.is_empty() || events.iter().any(|event| event.starts_with("closed")), "{events:?}");
        let alive = t.sessions() > 0 && t.with(|connection| connection.wants_read());
        assert!(!alive || events.is_empty());
    }
}

#[test]
fn cve_2026_48802_pongs_that_nobody_asked_for_cost_nothing() {
    let t = socketio();
    let (websocket, _) = t.joined();
    for _ in 0..10_000 {
        websocket.send("3");
    }
    websocket.expect_nothing();
    // One heartbeat at a time, all the same.
    t.advance_ms(25_000);
    websocket.expect("2");
    websocket.expect_nothing();
    t.advance_ms(19_999);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["disconnect / ping timeout", "closed ping timeout"]);
}

#[test]
fn cve_2026_48804_binary_before_a_namespace_is_joined_closes_at_its_header() {
    for (joined, message) in [
        (false, r#"451-["e",{"_placeholder":true,"num":0}]"#),
        (false, r#"461-1[{"_placeholder":true,"num":0}]"#),
        (false, "<010203>"),
        (true, r#"451-/other,["e",{"_placeholder":true,"num":0}]"#),
    ] {
        let t = socketio();
        let websocket = t.connect();
        if joined {
            websocket.send("40");
        }
        t.events();
        websocket.send(message);
        let events = t.events();
        assert!(events.iter().any(|event| event.starts_with("closed forced close")), "{message}: {events:?}");
    }
}

#[test]
fn cve_2016_10542_the_default_limit_of_a_websocket_message_is_small() {
    let t = socketio();
    let (websocket, _) = t.joined();
    websocket.send_text(&vec![b'4'; 1_000_001]);
    websocket.expect_closed(Some(1009));
}

#[test]
fn lesson_11_whoever_joins_nothing_is_closed() {
    let sockets = socket::SocketServerConfig::default().connect_timeout(ms(1000));
    let t = Server::socketio(EngineServerConfig::default(), sockets);
    let websocket = t.connect();
    websocket.send("3");
    t.advance_ms(1000);
    t.expect_events(&["closed forced close | no namespace was joined in time"]);
}

#[test]
fn lesson_4_a_request_is_answered_once_in_every_path() {
    // The support code panics if one is answered twice; here each is answered at all.
    let t = socketio();
    t.open();
    let (poll, second) = (t.poll(), t.poll());
    second.expect("400");
    assert_ne!(poll.text(), "pending");
    t.poll().expect(r#"400 {"code":1,"message":"Session ID unknown"}"#);
}

#[test]
fn cve_2024_47764_a_cookie_holds_an_id_that_needs_no_quoting() {
    // Whether its own name is one is checked where servers are built.
    let config = EngineServerConfig::default().cookie(Some(sansocket_protocol::engine::Cookie::new("io")));
    let t = Server::engine(config);
    let response = t.get("?EIO=4&transport=polling");
    response.expect_header("set-cookie", Some("io=SID; Path=/; HttpOnly; SameSite=Lax"));
    let mut router = Router::new(Arc::new(EngineServerConfig::default()), Random::new([0; 32]));
    for bad in ["a;Domain=evil.example", "a\r\nset-cookie: b=c", "a b", "a,b", "\"a\""] {
        assert!(router.register(Some(bad.into()), |_| ()).is_err(), "{bad:?}");
    }
    let head = RequestHead { method: "GET", target: "/engine.io/?EIO=4&transport=polling", headers: &[] };
    assert!(matches!(router.route(&head), Route::Open(_)));
}
