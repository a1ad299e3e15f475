//! The end of a session: from either side, in every state, and what is still written.

mod support;

use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::message::Frame;
use support::{Server, ms};

const UNKNOWN: &str = r#"400 {"code":1,"message":"Session ID unknown"}"#;

fn opened() -> Server {
    let t = Server::engine(EngineServerConfig::default());
    t.open();
    t
}

fn close(t: &Server) {
    t.with(|c| c.close(CloseReason::ForcedClose));
}

#[test]
fn a_poll_that_waits_is_told_at_once() {
    let t = opened();
    let poll = t.poll();
    close(&t);
    poll.expect_body("1");
    t.expect_events(&["closed forced close"]);
    t.poll().expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn the_next_poll_is_told() {
    let t = opened();
    close(&t);
    t.expect_events(&["closed forced close"]);
    t.poll().expect_body("6\x1e1");
    t.poll().expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn what_was_queued_is_fetched_first() {
    let t = opened();
    t.send("a");
    t.send("b");
    close(&t);
    t.poll().expect_body("4a\x1e4b");
    t.poll().expect_body("6\x1e1");
    t.expect_finished();
}

#[test]
fn a_client_that_does_not_come_is_waited_for_30_seconds() {
    let t = opened();
    t.send("a");
    close(&t);
    t.advance_ms(29_999);
    assert_eq!(t.sessions(), 1);
    t.advance_ms(1);
    t.expect_events(&["closed forced close"]);
    t.expect_finished();
}

#[test]
fn a_websocket_drains_and_closes_without_a_code() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.send("a");
    close(&t);
    ws.expect("4a");
    ws.expect_closed(None);
    t.expect_events(&["closed forced close"]);
    t.expect_finished();
}

#[test]
fn a_websocket_that_takes_nothing_is_waited_for_30_seconds() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.writes(false);
    t.send(&"x".repeat(70_000));
    t.send("the rest");
    close(&t);
    ws.next().unwrap();
    ws.expect_nothing();
    t.advance_ms(30_000);
    ws.expect_closed(None);
    t.expect_finished();
}

#[test]
fn a_websocket_that_takes_again_gets_the_rest() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.writes(false);
    t.send(&"x".repeat(70_000));
    t.send("the rest");
    close(&t);
    t.writes(true);
    ws.next().unwrap();
    ws.expect("4the rest");
    ws.expect_closed(None);
    t.expect_finished();
}

#[test]
fn nothing_is_sent_or_heard_once_it_closes() {
    let t = opened();
    close(&t);
    assert_eq!(t.with(|c| c.send(Frame::text_message("x"))), Err(SendError::Disconnected));
    t.post("4late").expect("200 ok");
    t.expect_events(&["closed forced close"]);
    t.poll().expect_body("6\x1e1");
}

/// It kept its place for `close_timeout` more, 75 s in all, and nobody was there to fetch anything.
#[test]
fn a_client_that_never_showed_itself_is_not_waited_for() {
    let config = EngineServerConfig::default().ping_interval(ms(600_000));
    let t = Server::socketio(config, Default::default());
    t.open();
    t.advance_ms(44_999);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["closed forced close | no namespace was joined in time"]);
    t.expect_finished();
}

#[test]
fn a_client_that_polls_and_never_joins_is_told() {
    let config = EngineServerConfig::default().ping_interval(ms(600_000));
    let t = Server::socketio(config, Default::default());
    t.open();
    let poll = t.poll();
    t.advance_ms(45_000);
    poll.expect_body("1");
    t.expect_finished();
}

#[test]
fn a_client_that_closes_meanwhile_ends_the_wait() {
    let t = opened();
    t.send("a");
    close(&t);
    t.post("1").expect("200 ok");
    t.expect_events(&["closed forced close"]);
    t.expect_finished();
}

#[test]
fn a_client_that_aborts_meanwhile_ends_the_wait() {
    let t = opened();
    t.send("a");
    close(&t);
    t.begin_post().abort();
    t.expect_events(&["closed forced close"]);
    t.expect_finished();
}

#[test]
fn closing_twice_is_closing_once() {
    let t = opened();
    t.send("a");
    close(&t);
    t.with(|c| c.close(CloseReason::ServerShuttingDown));
    t.expect_events(&["closed forced close"]);
}

#[test]
fn an_abort_throws_away_what_was_queued() {
    let t = opened();
    t.send("a");
    t.with(|c| c.abort(CloseReason::ForcedClose));
    t.expect_events(&["closed forced close"]);
    t.expect_finished();

    let t = opened();
    let poll = t.poll();
    t.with(|c| c.abort(CloseReason::ForcedClose));
    poll.expect_body("1");
}

#[test]
fn an_abort_ends_a_drain() {
    let t = opened();
    t.send("a");
    close(&t);
    t.with(|c| c.abort(CloseReason::ForcedClose));
    t.expect_events(&["closed forced close"]);
    t.expect_finished();
}

#[test]
fn a_session_closed_before_its_websocket_opened_closes_it_when_it_does() {
    let t = Server::engine(EngineServerConfig::default());
    let request = t.begin_upgrade("?EIO=4&transport=websocket");
    close(&t);
    t.expect_events(&["closed forced close"]);
    request.websocket().expect_closed(None);
    t.expect_finished();
}

#[test]
fn a_post_on_its_way_is_answered_when_the_session_ends() {
    let t = opened();
    let post = t.begin_post();
    t.with(|c| c.abort(CloseReason::ForcedClose));
    post.expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn a_post_on_its_way_is_answered_when_the_last_poll_is_told() {
    let t = opened();
    let post = t.begin_post();
    close(&t);
    t.poll().expect_body("6\x1e1");
    post.expect(UNKNOWN);
    t.expect_finished();
}

#[test]
fn no_heartbeat_is_sent_while_closing() {
    let t = opened();
    t.advance_ms(25_000);
    close(&t);
    t.advance_ms(25_000);
    t.poll().expect_body("6\x1e1");
}

#[test]
fn a_close_on_a_quiet_session_waits_its_whole_time() {
    let t = opened();
    t.advance_ms(20_000);
    t.send("a");
    close(&t);
    t.advance_ms(29_999);
    assert_eq!(t.sessions(), 1);
    t.advance_ms(1);
    t.expect_finished();
}

#[test]
fn what_the_peer_did_first_is_the_reason() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.listens(false);
    ws.send("4before");
    ws.send("9");
    ws.send("4after");
    ws.close();
    t.listens(true);
    t.expect_events(&[
        "message before",
        "closed parse error | malformed Engine.IO packet: unknown packet type 0x39",
    ]);
    t.expect_finished();
}

#[test]
fn what_the_peer_sent_before_it_closed_is_answered() {
    let t = Server::engine(EngineServerConfig::default()).application(|c, event| {
        if matches!(event, sansocket_protocol::server::ServerEvent::Message(_)) {
            c.send(Frame::text_message("answer")).unwrap();
        }
    });
    let ws = t.connect();
    t.listens(false);
    ws.send("4question");
    ws.send("1");
    t.listens(true);
    ws.expect("4answer");
    ws.expect_closed(None);
    t.expect_events(&["message question", "closed transport close"]);
    t.expect_finished();

    t.open();
    let poll = t.poll();
    t.listens(false);
    t.post("4question\x1e1").expect("200 ok");
    t.listens(true);
    poll.expect_body("4answer");
    t.expect_events(&["message question", "closed transport close"]);
}
