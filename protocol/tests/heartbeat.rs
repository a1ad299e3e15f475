//! Heartbeats (protocol v4): the server pings, and judges the silence.

mod support;

use sansocket_protocol::engine::{EngineServerConfig, RequestId};
use support::{Server, WebSocket, ms, quick};

fn connected() -> (Server, WebSocket) {
    let t = Server::engine(quick());
    let ws = t.connect();
    (t, ws)
}

#[test]
fn a_websocket_is_pinged_after_each_interval() {
    let (t, ws) = connected();
    for _ in 0..3 {
        t.advance_ms(299);
        ws.expect_nothing();
        t.advance_ms(1);
        ws.expect("2");
        ws.send("3");
    }
}

#[test]
fn a_poll_is_answered_with_the_ping() {
    let t = Server::engine(quick());
    t.open();
    for _ in 0..3 {
        let poll = t.poll();
        t.advance_ms(300);
        poll.expect_body("2");
        t.post("3").expect("200 ok");
    }
}

#[test]
fn the_interval_counts_from_the_pong() {
    let (t, ws) = connected();
    t.advance_ms(300);
    ws.expect("2");
    t.advance_ms(150);
    ws.send("3");
    t.advance_ms(299);
    ws.expect_nothing();
    t.advance_ms(1);
    ws.expect("2");
}

#[test]
fn silence_ends_the_session() {
    let (t, ws) = connected();
    t.advance_ms(499);
    t.expect_events(&[]);
    t.advance_ms(1);
    ws.expect("2");
    ws.expect_closed(None);
    t.expect_events(&["closed ping timeout"]);
    t.expect_finished();
}

#[test]
fn silence_ends_a_polling_session_whether_a_poll_waits_or_not() {
    let t = Server::engine(quick());
    t.open();
    t.advance_ms(500);
    t.expect_events(&["closed ping timeout"]);
    t.poll().expect(r#"400 {"code":1,"message":"Session ID unknown"}"#);

    t.open();
    let poll = t.poll();
    t.advance_ms(300);
    poll.expect_body("2");
    let poll = t.poll();
    t.advance_ms(200);
    poll.expect_body("1");
}

#[test]
fn the_defaults_are_25_and_20_seconds() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.advance_ms(24_999);
    ws.expect_nothing();
    t.advance_ms(1);
    ws.expect("2");
    t.advance_ms(19_999);
    ws.expect_nothing();
    t.advance_ms(1);
    ws.expect_closed(None);
}

#[test]
fn a_pong_at_the_deadline_is_in_time() {
    let (t, ws) = connected();
    t.advance_ms(300);
    ws.expect("2");
    t.stall_ms(200);
    ws.send("3");
    t.advance_ms(0);
    t.expect_events(&[]);
    t.expect_alive();
}

#[test]
fn a_pong_that_lay_unread_while_the_server_stood_still_is_in_time() {
    let (t, ws) = connected();
    t.advance_ms(300);
    ws.expect("2");
    t.stall_ms(60_000);
    ws.send("3");
    t.advance_ms(299);
    t.expect_alive();
}

#[test]
fn other_packets_grant_one_timeout_more_and_no_second() {
    let (t, ws) = connected();
    t.advance_ms(300);
    t.advance_ms(150);
    ws.send("4busy");
    t.advance_ms(150);
    ws.send("4busy");
    t.advance_ms(49);
    assert!(t.with(|c| c.is_open()));
    t.advance_ms(1);
    t.expect_events(&["message busy", "message busy", "closed ping timeout"]);
}

#[test]
fn an_unsolicited_pong_puts_the_ping_off() {
    let (t, ws) = connected();
    t.advance_ms(200);
    ws.send("3");
    t.advance_ms(299);
    ws.expect_nothing();
    t.advance_ms(1);
    ws.expect("2");
}

#[test]
fn a_client_that_pongs_and_never_polls_is_owed_one_ping() {
    let t = Server::engine(quick());
    t.open();
    for _ in 0..10 {
        t.advance_ms(300);
        t.post("3").expect("200 ok");
    }
    t.poll().expect_body("2");
}

#[test]
fn a_ping_waits_behind_what_was_sent_before() {
    let t = Server::engine(quick());
    t.open();
    t.send("a");
    t.advance_ms(300);
    t.send("b");
    t.poll().expect_body("4a\x1e2\x1e4b");
}

#[test]
fn while_reading_pauses_no_pong_is_missed() {
    let t = Server::engine(quick().receive_budget(100));
    let ws = t.connect();
    t.listens(false);
    ws.send("4more than is handled");
    assert!(!t.with(|c| c.wants_read()));
    t.advance_ms(5_000);
    ws.expect("2");
    ws.expect_nothing();
    t.listens(true);
    t.expect_events(&["message more than is handled"]);
    t.advance_ms(199);
    ws.expect_nothing();
    t.advance_ms(1);
    t.expect_events(&["closed ping timeout"]);
}

#[test]
fn time_that_runs_backwards_stands_still() {
    use sansocket_protocol::time::Instant;
    let (t, ws) = connected();
    t.advance_ms(300);
    ws.expect("2");
    t.with(|c| c.handle_timeout(Instant::ZERO));
    t.advance_ms(199);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["closed ping timeout"]);
}

fn bytes(t: &Server, from: RequestId) {
    let now = t.now();
    t.with(|c| c.handle_bytes(now, from));
}

/// A message of 900 KB over three seconds: the pong waits behind it.
#[test]
fn bytes_of_an_unfinished_message_are_a_sign_of_life_for_a_while() {
    let config = || EngineServerConfig::default().ping_interval(ms(500)).ping_timeout(ms(500));
    let t = Server::engine(config());
    let ws = t.connect();
    t.advance_ms(500);
    ws.expect("2");
    for _ in 0..25 {
        t.advance_ms(100);
        bytes(&t, ws.id());
    }
    t.expect_alive();
    ws.send("3");
    t.advance_ms(500);
    ws.expect("2");
    t.advance_ms(499);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["closed ping timeout"]);

    let t = Server::engine(config());
    let ws = t.connect();
    t.advance_ms(500);
    ws.expect("2");
    for _ in 0..39 {
        t.advance_ms(100);
        bytes(&t, ws.id());
    }
    t.expect_alive();
    t.advance_ms(100);
    t.expect_events(&["closed ping timeout"]);
}

#[test]
fn bytes_of_a_post_are_a_sign_of_life_and_those_of_others_are_none() {
    let config = EngineServerConfig::default().ping_interval(ms(500)).ping_timeout(ms(500));
    let t = Server::engine(config);
    t.open();
    let poll = t.poll();
    t.advance_ms(500);
    poll.expect_body("2");
    let post = t.begin_post();
    t.advance_ms(400);
    bytes(&t, post.id());
    t.advance_ms(400);
    t.expect_alive();
    post.body("3");
    post.expect("200 ok");
    let _poll = t.poll();
    t.advance_ms(500);
    bytes(&t, post.id());
    t.advance_ms(500);
    t.expect_events(&["closed ping timeout"]);
}

/// A virtual machine that was paused: the timer fires before the requests that lie unread are seen.
#[test]
fn a_server_that_stood_still_reads_before_it_judges_clients_that_poll() {
    let t = Server::engine(quick());
    t.open();
    let poll = t.poll();
    t.advance_ms(300);
    poll.expect_body("2");
    t.stall_ms(60_000);
    t.advance_ms(0);
    t.expect_alive();
    t.post("3").expect("200 ok");
    let poll = t.poll();
    t.advance_ms(300);
    poll.expect_body("2");
    // Nothing lies unread this time.
    t.stall_ms(60_000);
    t.advance_ms(0);
    t.advance_ms(999);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["closed ping timeout"]);
}
