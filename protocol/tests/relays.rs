//! Messages that one client makes a server send to another one, and the memory that the server holds for them.

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use sansocket_protocol::engine::{EngineServerConfig, Overflow};
use sansocket_protocol::error::SendError;
use sansocket_protocol::fuzzing;
use sansocket_protocol::message::Frame;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::{Parser, ServerSocketEvent, SocketKey, SocketServerConfig};
use support::*;

/// A server that sends back what a client says, as it would to the members of a room.
fn relaying() -> Server {
    let t = Server::socketio(EngineServerConfig::default(), SocketServerConfig::default());
    t.application(|connection, event| match event {
        ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) => {
            connection.accept(*socket, "S1").expect("it is connecting");
        }
        ServerEvent::Socket(ServerSocketEvent::Event { socket, args, .. }) => {
            let frame = Parser::json().event("/", "relay", None, args).expect("what came in can go out");
            connection.emit(*socket, frame).expect("it is connected");
        }
        _ => {}
    })
}

/// A client that polls and has joined.
fn polling(t: &Server) -> SocketKey {
    t.open();
    t.post("40").expect("200 ok");
    t.poll().text();
    t.socket("/")
}

fn placeholders(times: usize) -> String {
    vec![r#"{"_placeholder":true,"num":0}"#; times].join(",")
}

fn event_of(bytes: usize) -> Frame {
    Parser::json().event("/", "e", None, &"x".repeat(bytes)).unwrap()
}

#[test]
fn one_attachment_with_many_placeholders_is_relayed_as_one() {
    let t = relaying();
    let (ws, _) = t.joined();
    let list = placeholders(11);
    ws.send(&format!(r#"451-["e",{list}]"#));
    ws.send("<010203>");
    ws.expect(&format!(r#"451-["relay",{list}]"#));
    ws.expect("<010203>");
    ws.expect_nothing();
}

#[test]
fn the_sender_of_what_would_end_others_is_closed_itself() {
    let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (text, reason) in [
        (
            format!(r#"451-["e",{{"_placeholder":true,"num":0}},{}]"#, nested(6_000)),
            "nest deeper than the 500 levels",
        ),
        (format!(r#"42["e",{}]"#, "1".repeat(5_000)), "a number of more than the 400 characters"),
        (format!(r#"42["e",{}]"#, nested(990)), "nest deeper than the 500 levels"),
    ] {
        let t = relaying();
        let (ws, _) = t.joined();
        ws.send(&text);
        ws.expect_closed(None);
        let events = t.events();
        assert_eq!(events[0], "disconnect / forced close");
        assert!(events[1].contains(reason), "{events:?}");
    }
}

#[test]
fn a_small_message_does_not_become_a_large_one() {
    // 905 KB became 188 MB for each polling member of a room.
    let t = relaying();
    polling(&t);
    t.events();
    t.post(format!(r#"4510-["e",{}]"#, placeholders(160))).expect("200 ok");
    let large = format!("b{}", "A".repeat(900_000));
    t.post(large).expect("200 ok");
    for _ in 0..9 {
        t.post("b").text();
    }
    let events = t.events();
    assert_eq!(events[0], "disconnect / forced close");
    assert!(events[1].contains("stand for more than the 1000000 bytes"), "{events:?}");
}

#[test]
fn a_polls_answer_has_as_many_packets_as_all_clients_take() {
    let t = relaying();
    let socket = polling(&t);
    let frame = event_of(1);
    (0..40).for_each(|_| assert!(t.with(|c| c.emit(socket, &frame)).unwrap()));
    let packets = |text: String| text.matches('\u{1e}').count() + 1;
    let answers: Vec<_> = (0..3).map(|_| packets(t.poll().text())).collect();
    assert_eq!(answers, [16, 16, 8]);
    assert_eq!(t.with(|c| c.buffered()), 0);
    t.poll().expect_pending();
}

#[test]
fn a_polls_answer_has_about_max_payload() {
    let t = relaying();
    let socket = polling(&t);
    for bytes in [300_000, 300_000, 600_000, 600_000, 2_000_000, 10] {
        t.with(|c| c.emit(socket, event_of(bytes))).unwrap();
    }
    let answers: Vec<_> = (0..5).map(|_| t.poll().text().len() / 100_000).collect();
    assert_eq!(answers, [6, 6, 6, 20, 0]);
    assert_eq!(t.with(|c| c.buffered()), 0);
}

#[test]
fn what_a_closing_session_has_queued_is_fetched_poll_by_poll() {
    let t = relaying();
    let socket = polling(&t);
    let frame = event_of(1);
    (0..20).for_each(|_| assert!(t.with(|c| c.emit(socket, &frame)).unwrap()));
    t.with(|c| c.close(sansocket_protocol::error::CloseReason::ServerShuttingDown));
    assert_eq!(t.poll().text().matches('\u{1e}').count(), 15);
    assert_eq!(t.poll().text().matches('\u{1e}').count(), 3);
    t.poll().expect_body("6\u{1e}1");
    t.expect_finished();
}

#[test]
fn a_message_larger_than_any_packet_is_refused_and_closes_nothing() {
    for (overflow, refused) in [(Overflow::Close, true), (Overflow::Fail, true), (Overflow::Drop, false)] {
        let config = EngineServerConfig::default().overflow(overflow);
        let t = Server::socketio(config, SocketServerConfig::default()).accepting();
        let (ws, socket) = t.joined();
        // Text and attachments: 11 MB, and a byte more.
        let frame = |bytes: usize| {
            let empty = Parser::json().event("/", "e", None, &Bytes::new()).unwrap().wire_len();
            Parser::json().event("/", "e", None, &Bytes::from(vec![0; bytes - empty])).unwrap()
        };
        let expected = if refused { Err(SendError::Full) } else { Ok(false) };
        assert_eq!(t.with(|c| c.emit(socket, frame(11_000_001))), expected);
        t.expect_alive();
        ws.expect_nothing();
        assert_eq!(t.with(|c| c.emit(socket, frame(11_000_000))), Ok(true));
        assert!(ws.next().is_some());
    }
}

proptest! {
    /// The fuzz body takes the packet in by one look, and judges it and what is sent on by another: npm's and Python's
    /// parsers take all that leaves.
    #[test]
    fn what_is_relayed_is_within_what_all_peers_take(
        depth in prop_oneof![0..10usize, 490..510usize],
        digits in prop_oneof![1..10usize, 395..405usize],
        numbers in prop_oneof![0..5usize, 990..1005usize],
        announced in 0..12usize,
        placeholders in prop::collection::vec(0..12usize, 0..20),
    ) {
        let placeholder = |num: &usize| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
        let mut arguments: Vec<String> = placeholders.iter().map(placeholder).collect();
        arguments.push(format!("{}{}{}", "[".repeat(depth), "7".repeat(digits), "]".repeat(depth)));
        arguments.extend((0..numbers).map(|number| number.to_string()));
        let kind = if announced > 0 { format!("5{announced}-") } else { "2".to_owned() };
        fuzzing::socket::packet(format!(r#"{kind}["e",{}]"#, arguments.join(",")).as_bytes());
    }
}
