//! Long-polling (protocol v4, "HTTP long-polling"): one GET and one POST at a time, and what breaks a session.

mod support;

use sansocket_protocol::engine::{Body, Cookie, EngineServerConfig};
use sansocket_protocol::engine::{RequestHead, RequestId, Revision, ServerTransmit, Wants};
use sansocket_protocol::server::Connection;
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use support::{Server, quick};

const UNKNOWN: &str = r#"400 {"code":1,"message":"Session ID unknown"}"#;
const BAD_REQUEST: &str = r#"400 {"code":3,"message":"Bad request"}"#;

fn opened() -> Server {
    let t = Server::engine(EngineServerConfig::default());
    t.open();
    t
}

/// A session that the POST has closed, in these words.
#[track_caller]
fn expect_post_closes(body: &'static [u8], answer: &str, events: &[&str]) {
    let t = opened();
    t.post(body).expect(answer);
    t.expect_events(events);
    t.poll().expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn the_handshake_answers_with_the_open_packet() {
    let t = Server::engine(quick());
    let open = t.get("?EIO=4&transport=polling");
    open.expect_body(
        r#"0{"sid":"SID","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#,
    );
    open.expect_header("content-type", Some("text/plain; charset=UTF-8"));
    open.expect_header("cache-control", Some("no-store"));
    open.expect_header("set-cookie", None);
}

#[test]
fn an_initial_packet_follows_in_the_same_body() {
    let t = Server::engine(
        EngineServerConfig::default().initial_packet(Some("hi".to_string())).allow_upgrades(false),
    );
    t.get("?EIO=4&transport=polling").expect_body(
        "0{\"sid\":\"SID\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}\x1e4hi",
    );
}

#[test]
fn the_cookie_comes_with_the_first_response_only() {
    let t = Server::engine(EngineServerConfig::default().cookie(Some(Cookie::new("io"))));
    let open = t.get("?EIO=4&transport=polling");
    open.expect_header("set-cookie", Some("io=SID; Path=/; HttpOnly; SameSite=Lax"));
    let post = t.post("4x");
    post.expect_header("set-cookie", None);
}

#[test]
fn a_post_is_answered_ok() {
    let t = opened();
    let post = t.post("4hello");
    post.expect("200 ok");
    post.expect_header("content-type", Some("text/html"));
    post.expect_header("cache-control", Some("no-store"));
    t.expect_events(&["message hello"]);
}

#[test]
fn a_poll_waits_for_data() {
    let t = opened();
    let poll = t.poll();
    t.advance_ms(10_000);
    poll.expect_pending();
    t.send("hello");
    poll.expect_body("4hello");
}

#[test]
fn a_poll_takes_all_that_waits() {
    let t = opened();
    t.send("a");
    t.send("b");
    t.with(|c| c.send(sansocket_protocol::message::Frame::binary_message(vec![1, 2, 3, 4].into()))).unwrap();
    t.poll().expect_body("4a\x1e4b\x1ebAQIDBA==");
    t.poll().expect_pending();
}

#[test]
fn packets_of_a_body_come_in_order() {
    let t = opened();
    t.post("4test1\x1ebAQIDBA==\x1e4test3\x1ebAQI\x1e4").expect("200 ok");
    t.expect_events(&["message test1", "message <01020304>", "message test3", "message <0102>", "message "]);
}

#[test]
fn more_packets_than_other_servers_take_are_all_delivered() {
    let t = opened();
    t.post(vec!["4x"; 17].join("\x1e")).expect("200 ok");
    assert_eq!(t.events().len(), 17);
}

#[test]
fn a_malformed_body_is_refused_and_closes() {
    for body in [&b"abc"[..], b"", b"7", b"\x1e4a", b"b!!!", b"4\xff"] {
        let t = opened();
        t.post(body).expect("400");
        let events = t.events();
        assert!(events.len() == 1 && events[0].starts_with("closed parse error | "), "{events:?}");
        t.poll().expect(UNKNOWN);
        t.expect_finished();
    }
}

#[test]
fn packets_before_a_malformed_one_are_delivered() {
    expect_post_closes(
        b"4a\x1e",
        "400",
        &["message a", "closed parse error | malformed Engine.IO packet: the packet is empty"],
    );
}

#[test]
fn nothing_behind_a_close_packet_is_delivered() {
    let t = opened();
    let post = t.post("4a\x1e1\x1e4b");
    t.expect_events(&["message a", "closed transport close"]);
    t.poll().expect_body("6");
    post.expect("200 ok");
    t.poll().expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn a_close_packet_releases_the_pending_poll_with_a_noop() {
    let t = opened();
    let poll = t.poll();
    t.post("1").expect("200 ok");
    poll.expect_body("6");
    t.expect_events(&["closed transport close"]);
    t.poll().expect(UNKNOWN);
}

/// Both requests were sent at once: the one that is seen first must not keep the other from its answer.
#[test]
fn a_poll_that_is_seen_after_the_post_that_closes_is_answered_as_one_before_it() {
    let t = opened();
    let post = t.post("1");
    t.expect_events(&["closed transport close"]);
    t.advance_ms(99);
    post.expect_pending();
    t.poll().expect_body("6");
    post.expect("200 ok");
    t.expect_finished();
    t.poll().expect(UNKNOWN);
}

#[test]
fn without_a_poll_the_post_that_closes_is_answered_soon() {
    let t = opened();
    let post = t.post("4a\x1e1");
    t.expect_events(&["message a", "closed transport close"]);
    t.post("4b").expect(UNKNOWN);
    t.begin_upgrade("?EIO=4&transport=websocket&sid=SID").expect("400 Bad request");
    t.advance_ms(100);
    post.expect("200 ok");
    t.expect_events(&[]);
    t.expect_finished();
    t.poll().expect(UNKNOWN);
}

#[test]
fn a_client_that_aborts_the_post_that_closes_is_forgotten_at_once() {
    let t = opened();
    t.post("1").abort();
    t.expect_events(&["closed transport close"]);
    t.expect_finished();
}

#[test]
fn a_client_must_not_ping() {
    expect_post_closes(b"2", "200 ok", &["closed transport error | a heartbeat in the wrong direction"]);
}

#[test]
fn packets_without_meaning_here_are_ignored() {
    let t = opened();
    t.post("3\x1e0{}\x1e5\x1e6\x1e4still here").expect("200 ok");
    t.expect_events(&["message still here"]);
}

#[test]
fn a_second_poll_closes_the_session() {
    let t = opened();
    let first = t.poll();
    let second = t.poll();
    second.expect("400");
    first.expect_body("1");
    t.expect_events(&["closed transport error | two polls at once"]);
    t.poll().expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn a_second_post_closes_the_session() {
    let t = opened();
    let first = t.begin_post();
    let second = t.begin_post();
    second.expect("400");
    first.expect("reset");
    t.expect_events(&["closed transport error | two posts at once"]);
    t.post("4x").expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn a_poll_and_a_post_may_overlap() {
    let t = opened();
    let poll = t.poll();
    t.post("4up").expect("200 ok");
    poll.expect_pending();
    t.send("down");
    poll.expect_body("4down");
    t.expect_events(&["message up"]);
}

#[test]
fn an_aborted_poll_closes_the_session() {
    let t = opened();
    t.poll().abort();
    t.expect_events(&["closed transport error | the request was aborted"]);
    t.poll().expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn an_aborted_post_closes_the_session() {
    let t = opened();
    let poll = t.poll();
    t.begin_post().abort();
    t.expect_events(&["closed transport error | the request was aborted"]);
    poll.expect_body("1");
    t.expect_finished();
}

#[test]
fn the_abort_of_an_answered_request_means_nothing() {
    let t = opened();
    let poll = t.poll();
    t.send("x");
    let post = t.post("4y");
    poll.abort();
    post.abort();
    t.expect_events(&["message y"]);
    t.expect_alive();
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_session_lives() {
    let t = opened();
    t.post(vec![b'4'; 1_000_001]).expect("413");
    t.post(vec![b'4'; 1_000_000]).expect("200 ok");
    assert_eq!(t.events().len(), 1);
    t.expect_alive();
}

#[test]
fn a_length_that_is_too_large_is_refused_before_the_body() {
    let t = opened();
    let post = t.request("POST", "?EIO=4&transport=polling&sid=SID", &[("content-length", "1000001")]);
    post.expect("413");
    t.post("4x").expect("200 ok");
}

#[test]
fn a_binary_body_belongs_to_the_older_protocol() {
    let t = opened();
    let headers = [("content-type", "application/octet-stream")];
    t.request("POST", "?EIO=4&transport=polling&sid=SID", &headers).expect("400");
    t.expect_events(&["closed transport error"]);
    t.expect_finished();
}

#[test]
fn other_content_types_are_text() {
    let t = opened();
    let headers = [("content-type", "application/json")];
    let post = t.request("POST", "?EIO=4&transport=polling&sid=SID", &headers);
    post.body("4x");
    post.expect("200 ok");
}

#[test]
fn other_methods_are_refused_and_the_session_lives() {
    let t = opened();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = t.request(method, "?EIO=4&transport=polling&sid=SID", &[]);
        request.expect(r#"400 {"code":2,"message":"Bad handshake method"}"#);
    }
    t.expect_alive();
}

#[test]
fn the_revision_must_stay_the_same() {
    let t = opened();
    t.get("?EIO=3&transport=polling&sid=SID").expect(BAD_REQUEST);
    t.get("?transport=polling&sid=SID").expect(BAD_REQUEST);
    t.get("?EIO=4&transport=websocket&sid=SID").expect(BAD_REQUEST);
    t.expect_alive();
}

#[test]
fn the_path_is_a_prefix_and_the_last_of_duplicate_keys_counts() {
    let t = Server::engine(EngineServerConfig::default());
    assert!(t.get("foo?EIO=3&EIO=4&transport=polling&sid=").text().starts_with("200 0{"));
    t.request("POST", "?EIO=4&transport=polling&sid=", &[])
        .expect(r#"400 {"code":2,"message":"Bad handshake method"}"#);
}

#[test]
fn a_body_that_comes_after_the_end_has_been_answered() {
    let t = opened();
    let post = t.begin_post();
    t.poll().abort();
    post.expect(UNKNOWN);
    post.body("4late");
    t.expect_events(&["closed transport error | the request was aborted"]);
    t.expect_finished();
}

#[test]
fn sessions_do_not_hear_each_other() {
    let t = opened();
    let first = t.poll();
    t.open();
    let second = t.poll();
    t.send("to the second");
    first.expect_pending();
    second.expect_body("4to the second");
    assert_eq!(t.sessions(), 2);
}

#[test]
fn an_answer_may_be_fetched_by_its_request_if_it_is_next() {
    let now = Instant::ZERO;
    let config = Arc::new(EngineServerConfig::default());
    let mut connection = Connection::new(now, Revision::V4, config, "SID".into(), None);
    let ask = |connection: &mut Connection, request, method| {
        let target = "/engine.io/?EIO=4&transport=polling&sid=SID";
        connection.handle_request(now, request, &RequestHead { method, target, headers: &[] })
    };
    let [open, poll, post, overlapping] = [1, 2, 3, 4].map(RequestId);
    assert_eq!(ask(&mut connection, open, "GET"), Wants::Answer);
    assert!(connection.poll_response(open).unwrap().body.starts_with(b"0{"));
    assert_eq!(ask(&mut connection, poll, "GET"), Wants::Answer);
    assert_eq!(ask(&mut connection, post, "POST"), Wants::Body { limit: 1_000_000 });
    assert_eq!(connection.poll_response(post), None);

    connection.handle_body(now, post, Body::Complete("4x".into()));
    assert_eq!(connection.poll_response(poll), None);
    assert_eq!(connection.poll_response(post).unwrap().body, "ok");
    assert_eq!(connection.poll_response(post), None);
    assert!(connection.poll_transmit().is_none());

    // A packet that is to be written before it stays before it.
    assert_eq!(ask(&mut connection, post, "POST"), Wants::Body { limit: 1_000_000 });
    assert_eq!(ask(&mut connection, overlapping, "GET"), Wants::Answer);
    connection.handle_body(now, post, Body::Complete("4y".into()));
    assert_eq!(connection.poll_response(post), None);
    let first = connection.poll_transmit();
    assert!(matches!(first, Some(ServerTransmit::Respond { request, .. }) if request == overlapping));
}
