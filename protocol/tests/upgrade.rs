//! Moving from long-polling to WebSocket (protocol v4, "Upgrade"): nothing is lost, doubled or reordered.

mod support;

use sansocket_protocol::engine::{EngineServerConfig, TransportKind, Transports};
use support::{Server, quick};

fn opened() -> Server {
    let t = Server::engine(EngineServerConfig::default());
    t.open();
    t
}

#[test]
fn the_whole_upgrade() {
    let t = opened();
    let poll = t.poll();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    poll.expect_pending();
    t.advance_ms(100);
    poll.expect_body("6");
    ws.send("5");
    t.expect_events(&["upgraded"]);
    ws.send("4hello");
    t.expect_events(&["message hello"]);
    t.send("hello");
    ws.expect("4hello");
    assert_eq!(t.with(|c| c.transport()), TransportKind::WebSocket);
}

#[test]
fn the_session_goes_on_by_polling_until_then() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    t.post("4up").expect("200 ok");
    t.send("down");
    t.poll().expect_body("4down");
    t.expect_events(&["message up"]);
    ws.expect_nothing();
    assert_eq!(t.with(|c| c.transport()), TransportKind::Polling);
}

#[test]
fn a_pending_poll_is_released_every_100_ms() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    for _ in 0..5 {
        let poll = t.poll();
        t.advance_ms(99);
        poll.expect_pending();
        t.advance_ms(1);
        poll.expect_body("6");
    }
}

#[test]
fn a_client_that_polls_without_pause_gets_one_noop_in_100_ms() {
    let t = opened();
    t.candidate().send("2probe");
    let mut noops = 0;
    let mut poll = t.poll();
    for _ in 0..1000 {
        t.advance_ms(1);
        if poll.text() != "pending" {
            poll.expect_body("6");
            noops += 1;
            poll = t.poll();
        }
    }
    assert_eq!(noops, 10);
}

#[test]
fn without_a_probe_no_poll_is_released() {
    let t = opened();
    let poll = t.poll();
    let _ws = t.candidate();
    t.advance_ms(5_000);
    poll.expect_pending();
}

#[test]
fn what_is_sent_while_no_poll_waits_goes_out_behind_the_upgrade() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    t.send("a");
    t.send("b");
    ws.expect_nothing();
    ws.send("5");
    ws.expect("4a");
    ws.expect("4b");
}

#[test]
fn what_is_sent_while_a_poll_waits_takes_that_poll() {
    let t = opened();
    let poll = t.poll();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    t.send("a");
    poll.expect_body("4a");
    t.send("b");
    ws.send("5");
    ws.expect("4b");
    ws.expect_nothing();
}

#[test]
fn a_poll_that_waits_still_at_the_upgrade_is_released() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    let poll = t.poll();
    ws.send("5");
    poll.expect_body("6");
}

#[test]
fn a_post_on_its_way_at_the_upgrade_is_delivered() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    let post = t.begin_post();
    ws.send("5");
    post.body("4late");
    post.expect("200 ok");
    t.expect_events(&["upgraded", "message late"]);
}

#[test]
fn a_post_on_its_way_is_refused_when_the_websocket_ends_the_session() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    let post = t.begin_post();
    ws.send("5");
    t.expect_events(&["upgraded"]);
    // What is malformed is not the body: nobody is to wait for that.
    ws.send("9");
    ws.expect_closed(None);
    post.expect(r#"400 {"code":1,"message":"Session ID unknown"}"#);
    t.expect_events(&["closed parse error | malformed Engine.IO packet: unknown packet type 0x39"]);
    t.expect_finished();
}

/// SocketIOClient 4 of .NET sends `5` at once, while its first poll waits.
#[test]
fn an_upgrade_without_a_probe_proves_the_way_as_well() {
    let t = Server::socketio(EngineServerConfig::default(), Default::default()).accepting();
    t.open();
    let poll = t.poll();
    t.post("40").expect("200 ok");
    poll.expect_body(r#"40{"sid":"S1"}"#);
    let poll = t.poll();
    let ws = t.candidate();
    ws.send("5");
    poll.expect_body("6");
    t.expect_events(&["connect /", "upgraded"]);
    assert_eq!(t.with(|c| c.transport()), TransportKind::WebSocket);
    ws.send(r#"42["hello"]"#);
    t.expect_events(&[r#"event / ["hello"]"#]);
}

/// The CONNECT, too, may be answered on the WebSocket.
#[test]
fn what_no_poll_took_goes_out_behind_an_upgrade_without_a_probe() {
    let t = Server::socketio(EngineServerConfig::default(), Default::default()).accepting();
    t.open();
    t.post("40").expect("200 ok");
    let ws = t.candidate();
    ws.send("5");
    ws.expect(r#"40{"sid":"S1"}"#);
}

#[test]
fn every_probe_is_answered_but_not_without_end() {
    let t = opened();
    let ws = t.candidate();
    for _ in 0..16 {
        ws.send("2probe");
        ws.expect("3probe");
    }
    ws.send("2probe");
    ws.expect_closed(None);
    t.expect_alive();
}

#[test]
fn anything_else_on_the_candidate_closes_it_alone() {
    for text in ["4hello", "2", "2x", "1", "3", "6", "0", "abc", "", "<01>"] {
        let t = opened();
        let poll = t.poll();
        let ws = t.candidate();
        ws.send(text);
        ws.expect_closed(None);
        ws.send("2probe");
        ws.expect_closed(None);
        poll.expect_pending();
        t.send("still here");
        poll.expect_body("4still here");
        t.expect_events(&[]);
    }
}

#[test]
fn after_the_probe_it_is_the_same() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("4hello");
    ws.expect_closed(None);
    t.expect_events(&[]);
    t.expect_alive();
}

#[test]
fn a_candidate_that_drops_leaves_the_session_and_the_next_may_try() {
    let t = opened();
    for drop in [true, false] {
        let ws = t.candidate();
        ws.send("2probe");
        ws.expect("3probe");
        if drop { ws.close() } else { ws.fail(1006) }
    }
    t.begin_upgrade("?EIO=4&transport=websocket&sid=SID").abort();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    t.expect_events(&["upgraded"]);
}

#[test]
fn an_upgrade_that_takes_too_long_is_given_up() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    t.advance_ms(9_999);
    ws.expect_nothing();
    t.advance_ms(1);
    ws.expect_closed(None);
    let poll = t.poll();
    t.send("still here");
    poll.expect_body("4still here");
}

#[test]
fn a_candidate_that_opens_too_late_is_closed() {
    let t = opened();
    let request = t.begin_upgrade("?EIO=4&transport=websocket&sid=SID");
    t.advance_ms(10_000);
    request.opened();
    request.websocket().expect_closed(None);
    t.expect_alive();
}

#[test]
fn a_second_candidate_is_closed_and_the_first_goes_on() {
    let t = opened();
    let ws = t.candidate();
    let second = t.begin_upgrade("?EIO=4&transport=websocket&sid=SID");
    second.opened();
    second.websocket().expect_closed(None);
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    let third = t.begin_upgrade("?EIO=4&transport=websocket&sid=SID");
    third.opened();
    third.websocket().expect_closed(None);
    t.expect_events(&["upgraded"]);
}

#[test]
fn after_the_upgrade_polling_is_over_and_does_not_disturb() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    t.poll().expect(r#"400 {"code":3,"message":"Bad request"}"#);
    t.post("4x").expect(r#"400 {"code":3,"message":"Bad request"}"#);
    ws.send("4hello");
    t.expect_events(&["upgraded", "message hello"]);
}

#[test]
fn a_server_without_upgrades_refuses_them() {
    for config in [
        EngineServerConfig::default().allow_upgrades(false),
        EngineServerConfig::default().transports(Transports::POLLING),
    ] {
        let t = Server::engine(config);
        t.get("?EIO=4&transport=polling").expect_body(
            r#"0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
        );
        assert!(t.begin_upgrade("?EIO=4&transport=websocket&sid=SID").text().starts_with("400 "));
        t.expect_alive();
    }
}

#[test]
fn closing_during_an_upgrade_closes_the_candidate_too() {
    let t = opened();
    let poll = t.poll();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    t.with(|c| c.close(sansocket_protocol::error::CloseReason::ForcedClose));
    poll.expect_body("1");
    ws.expect_closed(None);
    t.expect_finished();
}

#[test]
fn closing_with_data_left_lets_polling_fetch_it() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    t.send("last words");
    t.with(|c| c.close(sansocket_protocol::error::CloseReason::ForcedClose));
    ws.expect("3probe");
    ws.expect_closed(None);
    ws.send("5");
    t.poll().expect_body("4last words");
    t.poll().expect_body("6\x1e1");
    t.expect_events(&["closed forced close"]);
    t.expect_finished();
}

#[test]
fn a_session_that_ends_takes_its_candidate_along() {
    let t = opened();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    let post = t.post("1");
    ws.expect_closed(None);
    // It waits for a poll that may have been sent with it.
    t.advance_ms(100);
    post.expect("200 ok");
}

#[test]
fn a_ping_outstanding_across_the_upgrade_keeps_its_deadline() {
    let t = Server::engine(quick());
    t.open();
    let poll = t.poll();
    t.advance_ms(300);
    poll.expect_body("2");
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    t.advance_ms(199);
    t.expect_events(&["upgraded"]);
    t.advance_ms(1);
    t.expect_events(&["closed ping timeout"]);
    ws.expect_closed(None);
}

#[test]
fn a_ping_that_no_poll_took_goes_out_behind_the_upgrade() {
    let t = Server::engine(quick());
    t.open();
    t.advance_ms(300);
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    ws.expect("2");
    ws.send("3");
    t.advance_ms(300);
    ws.expect("2");
}

#[test]
fn a_candidate_is_read_while_reading_pauses() {
    let t = Server::engine(EngineServerConfig::default().receive_budget(100));
    t.open();
    t.with(|c| c.hold(None));
    let post = t.post("4more than is handled");
    post.expect_pending();
    let ws = t.candidate();
    assert!(!t.with(|c| c.wants_read()));
    assert!(t.with(|c| c.wants_read_from(ws.id())));
    ws.send("2probe");
    ws.expect("3probe");
    ws.send("5");
    assert!(!t.with(|c| c.wants_read_from(ws.id())));
    t.with(|c| c.release(None));
    post.expect("200 ok");
    assert!(t.with(|c| c.wants_read_from(ws.id())));
    t.expect_events(&["upgraded", "message more than is handled"]);
}
