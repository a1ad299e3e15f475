//! A slow client pays for being slow: the send budget, volatile messages, and the pauses in reading.

mod support;

use sansocket_protocol::engine::{EngineServerConfig, Overflow};
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket;
use sansocket_protocol::socket::Parser;
use sansocket_protocol::socket::SocketKey;
use sansocket_protocol::time::Instant;
use support::{Server, WebSocket, event, event_with_id, ms};

fn server(config: EngineServerConfig) -> Server {
    Server::socketio(config.path("/socket.io").max_payload(1000), socket::SocketServerConfig::default())
        .accepting()
}

/// A socket whose client has stopped reading.
fn stuck(config: EngineServerConfig) -> (Server, WebSocket, SocketKey) {
    let t = server(config.send_budget(1000));
    let (ws, socket) = t.joined();
    t.writes(false);
    (t, ws, socket)
}

/// An event of about so many bytes.
fn sized(bytes: usize) -> Frame {
    let frame = event("/", &format!(r#"["e","{}"]"#, "x".repeat(bytes - 10)));
    assert_eq!(frame.wire_len(), bytes);
    frame
}

#[test]
fn a_client_that_cannot_follow_is_closed() {
    let (t, ws, socket) = stuck(EngineServerConfig::default());
    t.with(|c| c.emit(socket, sized(600))).unwrap();
    t.with(|c| c.emit(socket, sized(400))).unwrap();
    assert_eq!(t.with(|c| c.emit(socket, sized(11))), Err(SendError::Full));
    t.expect_events(&["disconnect / slow consumer", "closed slow consumer"]);
    ws.next().unwrap();
    ws.next().unwrap();
    ws.expect_closed(None);
    t.expect_finished();
}

#[test]
fn or_the_send_fails() {
    let (t, ws, socket) = stuck(EngineServerConfig::default().overflow(Overflow::Fail));
    t.with(|c| c.emit(socket, sized(1000))).unwrap();
    assert_eq!(t.with(|c| c.emit(socket, sized(11))), Err(SendError::Full));
    t.expect_alive();
    t.writes(true);
    t.with(|c| c.emit(socket, sized(11))).unwrap();
    ws.next().unwrap();
    ws.expect(r#"42["e","x"]"#);
    ws.expect_nothing();
}

#[test]
fn or_the_message_is_dropped() {
    let (t, ws, socket) = stuck(EngineServerConfig::default().overflow(Overflow::Drop));
    assert_eq!(t.with(|c| c.emit(socket, sized(1000))), Ok(true));
    t.with(|c| c.emit(socket, sized(11))).unwrap();
    assert_eq!(t.with(|c| c.emit(socket, sized(11))), Ok(false), "who asks is told");
    t.writes(true);
    ws.next().unwrap();
    ws.expect_nothing();
    t.expect_alive();
}

#[test]
fn one_message_of_any_size_passes_when_nothing_waits() {
    let (t, ws, socket) = stuck(EngineServerConfig::default());
    t.with(|c| c.emit(socket, sized(5000))).unwrap();
    assert_eq!(ws.next().unwrap().len(), 5000);
    t.expect_alive();
}

#[test]
fn a_stale_socket_does_not_overflow_anything() {
    let (t, ws, socket) = stuck(EngineServerConfig::default());
    ws.send("40/b,");
    t.with(|c| c.emit(socket, sized(950))).unwrap();
    ws.send("41");
    assert_eq!(t.with(|c| c.emit(socket, sized(500))), Err(SendError::Disconnected));
    let ack = Parser::json().ack("/", 1, &("x".repeat(500),)).unwrap();
    assert_eq!(t.with(|c| c.ack(socket, &ack)), Err(SendError::Disconnected));
    t.expect_alive();
}

#[test]
fn a_drain_is_not_cut_short_by_who_sends_too_late() {
    let t = Server::engine(EngineServerConfig::default().max_payload(1000).send_budget(1000));
    t.open();
    t.send(&"x".repeat(900));
    t.with(|c| c.close(sansocket_protocol::error::CloseReason::ForcedClose));
    let late = Frame::text_message(&"x".repeat(900));
    assert_eq!(t.with(|c| c.send(&late)), Err(SendError::Disconnected));
    assert!(t.poll().text().len() > 900);
}

#[test]
fn many_small_messages_are_not_free() {
    let t = Server::engine(
        EngineServerConfig::default().max_payload(1000).send_budget(19_300).overflow(Overflow::Fail),
    );
    t.open();
    let empty = Frame::text_message("");
    let sent = (0..1000).take_while(|_| t.with(|c| c.send(&empty)).is_ok()).count();
    assert_eq!(sent, 100);
}

#[test]
fn frames_behind_a_connect_reply_count() {
    let config = EngineServerConfig::default().max_payload(1000).send_budget(1000).overflow(Overflow::Fail);
    let t = Server::socketio(config, socket::SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    let socket = t.socket("/");
    t.with(|c| c.emit(socket, sized(1000))).unwrap();
    assert_eq!(t.with(|c| c.emit(socket, sized(11))), Err(SendError::Full));
    t.with(|c| c.accept(socket, "A")).unwrap();
    ws.expect(r#"40{"sid":"A"}"#);
    assert_eq!(ws.next().unwrap().len(), 1000);
    t.with(|c| c.emit(socket, sized(11))).unwrap();
}

#[test]
fn small_frames_behind_a_connect_reply_are_not_free() {
    let config = EngineServerConfig::default().max_payload(1000).send_budget(2030).overflow(Overflow::Fail);
    let t = Server::socketio(config, socket::SocketServerConfig::default());
    let ws = t.connect();
    ws.send("40");
    let socket = t.socket("/");
    let small = sized(11);
    let sent = (0..1000).take_while(|_| t.with(|c| c.emit(socket, &small)).is_ok()).count();
    assert_eq!(sent, 10);
    t.with(|c| c.accept(socket, "A")).unwrap();
    ws.expect(r#"40{"sid":"A"}"#);
    for _ in 0..sent {
        ws.next().unwrap();
    }
    assert_eq!(t.with(|c| c.buffered()), 0);
}

#[test]
fn a_volatile_message_leaves_at_once_or_not_at_all() {
    let t = server(EngineServerConfig::default());
    t.open();
    t.post("40").expect("200 ok");
    t.poll().expect_body(r#"40{"sid":"S1"}"#);
    let socket = t.socket("/");
    assert_eq!(t.with(|c| c.emit_volatile(socket, sized(11))), Ok(false));
    let poll = t.poll();
    assert_eq!(t.with(|c| c.emit_volatile(socket, sized(11))), Ok(true));
    poll.expect_body(r#"42["e","x"]"#);

    let (ws, socket) = server_joined();
    assert_eq!(ws.0.with(|c| c.emit_volatile(socket, sized(11))), Ok(true));
    ws.0.writes(false);
    assert_eq!(ws.0.with(|c| c.emit_volatile(socket, sized(11))), Ok(true));
    assert_eq!(ws.0.with(|c| c.emit_volatile(socket, sized(11))), Ok(false));
    ws.1.send("41");
    assert_eq!(ws.0.with(|c| c.emit_volatile(socket, sized(11))), Err(SendError::Disconnected));
}

fn server_joined() -> ((Server, WebSocket), SocketKey) {
    let t = server(EngineServerConfig::default());
    let (ws, socket) = t.joined();
    ((t, ws), socket)
}

#[test]
fn the_owner_is_given_no_more_than_64_kib_ahead() {
    let t = Server::engine(EngineServerConfig::default());
    let ws = t.connect();
    t.writes(false);
    for _ in 0..10 {
        t.send(&"x".repeat(20_000));
    }
    let given = std::iter::from_fn(|| ws.next()).count();
    assert_eq!(given, 4);
    t.writes(true);
    assert_eq!(std::iter::from_fn(|| ws.next()).count(), 6);
}

#[test]
fn over_half_the_budget_no_event_is_dispatched_but_answers_are() {
    let (t, ws, socket) = stuck(EngineServerConfig::default());
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE)).unwrap();
    t.with(|c| c.emit(socket, sized(600))).unwrap();
    assert!(!t.with(|c| c.has_capacity()));
    ws.send(r#"42["waits"]"#);
    t.expect_events(&[]);
    ws.send("430[]");
    t.expect_events(&["ack / 0 []"]);
    t.writes(true);
    t.expect_events(&[r#"event / ["waits"]"#]);
    assert!(t.with(|c| c.has_capacity()));
}

/// Every event is answered with a hundred bytes.
fn echo() -> Server {
    use sansocket_protocol::server::ServerEvent;
    use sansocket_protocol::socket::ServerSocketEvent;
    let config = EngineServerConfig::default().max_payload(1000).send_budget(2000);
    Server::socketio(config, socket::SocketServerConfig::default()).application(|c, event| match event {
        ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) => c.accept(*socket, "S1").unwrap(),
        ServerEvent::Socket(ServerSocketEvent::Event { socket, .. }) => {
            assert!(c.emit(*socket, sized(100)).unwrap())
        }
        _ => {}
    })
}

#[test]
fn events_from_before_an_end_that_the_client_brings_about_come_before_it_whatever_waits() {
    for (end, closed) in [
        ("4nonsense", "closed forced close"),
        ("nonsense", "closed parse error"),
        ("1", "closed transport close"),
    ] {
        let t = echo();
        let (ws, socket) = t.joined();
        t.writes(false);
        t.with(|c| c.emit(socket, sized(1100))).unwrap();
        ws.send(r#"42["a"]"#);
        ws.send(r#"42["b"]"#);
        t.expect_events(&[]);
        ws.send(end);
        // They were answered, so nothing had ended yet.
        let events = t.events();
        assert_eq!(events[..2], [r#"event / ["a"]"#, r#"event / ["b"]"#], "{end}");
        assert!(events[3].starts_with(closed), "{end}: {events:?}");
        t.writes(true);
        assert_eq!(
            std::iter::from_fn(|| ws.next()).map(|text| text.len()).collect::<Vec<_>>(),
            [1100, 100, 100]
        );
        ws.expect_closed(None);
        t.expect_finished();
    }
}

#[test]
fn a_fast_echo_client_paces_itself() {
    let t = echo();
    let (ws, _) = t.joined();
    t.writes(false);
    for _ in 0..100 {
        ws.send(r#"42["e"]"#);
    }
    t.expect_alive();
    assert!(t.with(|c| c.buffered()) <= 2000);
    assert!(t.events().len() < 20);
}

// --- reading ------------------------------------------------------------------------------------------------------

fn slow_handlers(receive_budget: usize) -> (Server, WebSocket, SocketKey) {
    let sockets = socket::SocketServerConfig::default().parser(Parser::json().max_attachments(1));
    let config =
        EngineServerConfig::default().max_payload(500).receive_budget(receive_budget).pause_timeout(ms(5000));
    let t = Server::socketio(config, sockets).accepting();
    let (ws, socket) = t.joined();
    t.with(|c| c.hold(Some(socket)));
    (t, ws, socket)
}

const EVENT: &str = r#"42["e"]"#;

#[test]
fn reading_pauses_when_the_budget_is_used_up() {
    let (t, ws, socket) = slow_handlers(1000);
    let mut read = 0;
    while t.with(|c| c.wants_read()) {
        ws.send(EVENT);
        read += 1;
    }
    assert_eq!(read, 8);
    t.with(|c| c.release(Some(socket)));
    assert!(t.with(|c| c.wants_read()));
    assert_eq!(t.events().len(), 8);
}

/// A plain session whose application is busy.
fn slow_messages(receive_budget: usize) -> (Server, WebSocket) {
    let config = EngineServerConfig::default().receive_budget(receive_budget).pause_timeout(ms(5000));
    let t = Server::engine(config);
    let ws = t.connect();
    t.with(|c| c.hold(None));
    (t, ws)
}

#[test]
fn reading_pauses_at_exactly_the_budget_and_only_then_can_it_stall() {
    let slow_events = |budget| {
        let (t, ws, _) = slow_handlers(budget);
        (t, ws)
    };
    for message in [EVENT, "4hello"] {
        let open = |budget| if message == EVENT { slow_events(budget) } else { slow_messages(budget) };
        let weight = {
            let (t, ws) = open(1 << 20);
            ws.send(message);
            t.with(|c| c.inbound())
        };
        assert!(weight > 0);
        for (budget, pauses_at) in [(3 * weight - 1, 3), (3 * weight, 3), (3 * weight + 1, 4)] {
            let (t, ws) = open(budget);
            for read in 0..pauses_at {
                assert!(t.with(|c| c.wants_read()), "{read} of {message} in a budget of {budget}");
                // Below the budget nothing stalls, however long the application takes.
                t.advance_ms(6_000);
                t.expect_alive();
                ws.send(message);
            }
            assert!(!t.with(|c| c.wants_read()), "{pauses_at} of {message} in a budget of {budget}");
            t.advance_ms(4_999);
            t.expect_alive();
            t.advance_ms(1);
            let reason = t.with(|c| c.ended().map(|(reason, _)| reason));
            assert_eq!(reason, Some(CloseReason::Stalled), "{message} in a budget of {budget}");
        }
    }
}

#[test]
fn a_post_is_not_answered_while_reading_pauses() {
    let config = EngineServerConfig::default().max_payload(500).receive_budget(100);
    let t = Server::engine(config);
    t.open();
    t.with(|c| c.hold(None));
    let post = t.post("4a");
    post.expect_pending();
    t.with(|c| c.release(None));
    post.expect("200 ok");
    t.expect_events(&["message a"]);
}

#[test]
fn a_withheld_post_is_answered_when_the_session_closes() {
    let t = Server::engine(EngineServerConfig::default().receive_budget(100));
    t.open();
    t.with(|c| c.hold(None));
    let post = t.post("4a");
    post.expect_pending();
    t.with(|c| c.close(sansocket_protocol::error::CloseReason::ForcedClose));
    post.expect("200 ok");
}

#[test]
fn a_packet_that_waits_for_its_attachments_is_let_through() {
    let (t, ws, _) = slow_handlers(100);
    ws.send(r#"451-["e",{"_placeholder":true,"num":0}]"#);
    assert!(t.with(|c| c.wants_read()));
    ws.send("<01>");
    assert!(!t.with(|c| c.wants_read()));
}

#[test]
fn while_an_answer_is_awaited_reading_goes_on_for_a_second_budget() {
    let (t, ws, socket) = slow_handlers(2000);
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE)).unwrap();
    for _ in 0..20 {
        ws.send(EVENT);
        assert!(t.with(|c| c.wants_read()));
    }
    ws.send("430[]");
    t.expect_events(&["ack / 0 []"]);
    assert!(!t.with(|c| c.wants_read()));
}

#[test]
fn and_then_the_connection_is_closed() {
    let (t, ws, socket) = slow_handlers(2000);
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE)).unwrap();
    let mut sent = 0;
    while t.with(|c| c.is_open()) {
        ws.send(EVENT);
        sent += 1;
        assert!(sent < 100, "it has no end");
    }
    assert_eq!(sent, 30);
    t.expect_events(&["ack / 0 disconnected", "closed stalled"]);
    ws.next().unwrap();
    ws.expect_closed(None);
    t.with(|c| c.release(Some(socket)));
    assert_eq!(t.events().pop().unwrap(), "disconnect / stalled");
}

#[test]
fn one_legal_packet_alone_does_not_close_it() {
    let (t, ws, socket) = slow_handlers(10);
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE)).unwrap();
    ws.send(r#"451-["e",{"_placeholder":true,"num":0}]"#);
    ws.send(&format!("<{}>", "00".repeat(500)));
    t.expect_alive();
}

#[test]
fn asking_for_an_answer_lets_a_withheld_post_go() {
    let config = EngineServerConfig::default().path("/socket.io").receive_budget(100);
    let t = Server::socketio(config, socket::SocketServerConfig::default()).accepting();
    t.open();
    t.post("40").expect("200 ok");
    let socket = t.socket("/");
    t.with(|c| c.hold(Some(socket)));
    let post = t.post(EVENT);
    post.expect_pending();
    let ask = event_with_id("/", r#"["ask"]"#, Some(0));
    t.with(|c| c.emit_with_ack(socket, &ask, 0, Instant::FAR_FUTURE)).unwrap();
    post.expect("200 ok");
    t.post("430[]").expect_pending();
    t.expect_events(&["connect /", "ack / 0 []"]);
}

#[test]
fn a_pause_without_progress_ends_the_connection() {
    let (t, ws, socket) = slow_handlers(100);
    ws.send(EVENT);
    assert!(!t.with(|c| c.wants_read()));
    t.advance_ms(4_999);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["closed stalled"]);
    ws.expect_closed(None);
    t.with(|c| c.release(Some(socket)));
    t.expect_events(&[r#"event / ["e"]"#, "disconnect / stalled"]);
}

#[test]
fn a_handler_that_finishes_is_progress() {
    let (t, ws, socket) = slow_handlers(100);
    t.listens(false);
    ws.send(EVENT);
    for _ in 0..5 {
        t.advance_ms(4_000);
        t.with(|c| c.release(Some(socket)));
        t.with(|c| c.hold(Some(socket)));
    }
    t.advance_ms(4_999);
    t.expect_alive();
    t.advance_ms(1);
    t.listens(true);
    t.expect_events(&["closed stalled"]);
}

#[test]
fn written_bytes_are_progress() {
    let (t, ws, _) = slow_handlers(100);
    ws.send(EVENT);
    for left in (0..5).rev() {
        t.with(|c| c.handle_unwritten(Instant::ZERO, left + 1));
        t.advance_ms(4_000);
        let now = t.now();
        t.with(|c| c.handle_unwritten(now, left));
    }
    t.advance_ms(4_999);
    t.expect_alive();
    t.advance_ms(1);
    t.expect_events(&["closed stalled"]);
}
