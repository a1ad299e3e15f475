//! Recordings and their replay. That every simulated session replays to the same outputs is a rule of the simulation
//! (`sim/recordings.rs`); here is what the rule cannot see.

use sansocket_protocol::engine::{Body, EngineServerConfig, RequestHead, RequestId, Revision};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::record::{Entry, RecordOptions, RecordingError};
use sansocket_protocol::replay::{Output, Replay};
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{Parser, ServerSocketEvent, SocketServerConfig};
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const SECRETS: [&str; 6] = ["hunter2", "session-id", "public-id", "4111111111111111", "geheim", "token="];

/// A session that polls, joins with a password, says what nobody else should hear, and breaks a rule.
fn story(options: RecordOptions, parser: Parser) -> Option<Vec<u8>> {
    let config = Arc::new(EngineServerConfig::default().path("/socket.io"));
    let sockets = SocketServerConfig::default().parser(parser);
    let start = Instant::from_millis(5000);
    let mut session =
        Connection::new(start, Revision::V4, config, "session-id".into(), Some(Arc::new(sockets)));
    if !session.record(options) {
        return None;
    }
    let at = |millis| start + Duration::from_millis(millis);
    let headers = &[("cookie", "token=hunter2"), ("content-type", "text/plain")];
    let open =
        RequestHead { method: "GET", target: "/socket.io/?EIO=4&transport=polling&token=hunter2", headers };
    let _ = session.handle_request(at(0), RequestId(1), &open);
    while session.poll_transmit().is_some() {}
    let target = "/socket.io/?EIO=4&transport=polling&sid=session-id";
    let post = |session: &mut Connection, request, body: &str| {
        let head = RequestHead { method: "POST", target, headers };
        let _ = session.handle_request(at(request), RequestId(request), &head);
        session.handle_body(at(request), RequestId(request), Body::Complete(body.to_owned().into()));
        while session.poll_transmit().is_some() {}
    };
    post(&mut session, 2, "40/privat-ns,{\"password\":\"hunter2 \\u0067eheim\"}");
    while let Some(event) = session.poll_event() {
        if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = event {
            session.accept(socket, "public-id").unwrap();
            let frame = Parser::json().event(
                "/privat-ns",
                "card",
                None,
                &("4111111111111111", 4_111_111_111_111_111_u64),
            );
            session.emit(socket, frame.unwrap()).unwrap();
        }
    }
    post(&mut session, 3, "42/privat-ns,7[\"say\",\"geheim\",{\"a\":[1,2.5e3,true,null]}]");
    post(
        &mut session,
        4,
        "452-/privat-ns,[\"file\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]\u{1e}bZ2VoZWlt\u{1e}bZ2Vo",
    );
    while session.poll_event().is_some() {}
    session.remark("the application was asked to leave");
    post(&mut session, 5, "42/privat-ns,[\"say\",\"geheim\",hunter2]");
    while session.poll_event().is_some() {}
    assert_eq!(session.ended().map(|(reason, _)| reason), Some(CloseReason::ForcedClose));
    session.take_recording()
}

fn plain() -> Vec<u8> {
    story(RecordOptions::default().with_secrets(true), Parser::json()).unwrap()
}

fn masked() -> Vec<u8> {
    story(RecordOptions::default(), Parser::json()).unwrap()
}

fn contains(recording: &[u8], text: &str) -> bool {
    recording.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_session_that_broke_a_rule_breaks_it_again_in_its_replay() {
    for recording in [plain(), masked()] {
        let mut closed = None;
        let mut names = Vec::new();
        for step in Replay::new(&recording).unwrap() {
            let step = step.unwrap();
            assert!(step.is_same, "{step:?}");
            if let Output::Event(ServerEvent::Closed(why)) = &step.output {
                closed = why.detail.as_ref().map(ToString::to_string);
            }
            names.push(step.entry.name());
        }
        let closed = closed.expect("it is told of its end");
        assert!(closed.contains("malformed Socket.IO packet"), "{closed}");
        assert!(names.contains(&"Note") && names.contains(&"Accept") && names.contains(&"Emit"));
    }
}

#[test]
fn a_recording_holds_no_secrets_unless_it_is_asked_to() {
    let (plain, masked) = (plain(), masked());
    for secret in SECRETS {
        assert!(!contains(&masked, secret), "{secret}");
    }
    // What the query and headers had is left out even then: the session does not read it.
    for secret in &SECRETS[..5] {
        assert!(contains(&plain, secret), "{secret}");
    }
    // Names stay, so that a reader finds his way.
    for name in ["/privat-ns", "say", "password", "card", "_placeholder"] {
        assert!(contains(&masked, name), "{name}");
    }
}

#[test]
fn a_session_with_messagepack_is_recorded_only_with_its_secrets() {
    let sessions = |options| {
        let sockets = Arc::new(SocketServerConfig::default().parser(Parser::msgpack()));
        let config = Arc::new(EngineServerConfig::default());
        let mut session = Connection::new(Instant::ZERO, Revision::V4, config, "id".into(), Some(sockets));
        session.record(options)
    };
    assert!(!sessions(RecordOptions::default()));
    assert!(sessions(RecordOptions::default().with_secrets(true)));
}

#[test]
fn a_recording_ends_at_its_limit() {
    let recording = story(RecordOptions::default().max_bytes(1200), Parser::json()).unwrap();
    assert!(recording.len() <= 1200 + 8, "{}", recording.len());
    let steps: Vec<_> = Replay::new(&recording).unwrap().map(Result::unwrap).collect();
    assert_eq!(steps.last().map(|step| step.entry.clone()), Some(Entry::Truncated));
    assert!(steps.len() > 3 && steps.iter().all(|step| step.is_same));
}

#[test]
fn damaged_recordings_are_errors_and_never_panics() {
    let recording = plain();
    assert!(matches!(Replay::new(b"GIF89a"), Err(RecordingError::NoRecording)));
    assert!(matches!(Replay::new(&[]), Err(RecordingError::NoRecording)));
    for end in 0..recording.len() {
        if let Ok(replay) = Replay::new(&recording[..end]) {
            replay.for_each(drop);
        }
    }
    for at in 0..recording.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = recording.clone();
            damaged[at] ^= flip;
            if let Ok(replay) = Replay::new(&damaged) {
                replay.for_each(drop);
            }
        }
    }
}

#[test]
fn a_replay_says_where_a_session_goes_another_way() {
    let recording = plain();
    // The event that was answered is another one now.
    let at = recording.windows(6).position(|window| window == b"geheim").unwrap();
    let mut other = recording.clone();
    other[at..at + 6].copy_from_slice(b"\"eheim");
    let steps: Vec<_> = Replay::new(&other).unwrap().map(Result::unwrap).collect();
    let first = steps.iter().find(|step| !step.is_same).expect("it is malformed now");
    assert!(matches!(first.entry, Entry::Event { .. } | Entry::Transmit { .. }), "{first:?}");
}

#[test]
fn a_websocket_of_plain_engine_io_is_masked_as_well() {
    let config = Arc::new(EngineServerConfig::default());
    let mut session = Connection::new(Instant::ZERO, Revision::V4, config, "id".into(), None);
    assert!(session.record(RecordOptions::default()));
    let headers = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let target = "/engine.io/?EIO=4&transport=websocket";
    let head = RequestHead { method: "GET", target, headers };
    let _ = session.handle_request(Instant::ZERO, RequestId(1), &head);
    while session.poll_transmit().is_some() {}
    session.handle_websocket_opened(Instant::ZERO, RequestId(1));
    for message in ["4geheim 123 \u{e9}\u{1f600}", "4\"geheim"] {
        let message = WireMessage::Text(message.to_owned().into());
        session.handle_websocket(Instant::ZERO, RequestId(1), message);
    }
    session.handle_websocket(Instant::ZERO, RequestId(1), WireMessage::Binary("geheim".into()));
    let mut events = 0;
    while session.poll_event().is_some() {
        events += 1;
    }
    assert_eq!(events, 3);
    while session.poll_transmit().is_some() {}
    let recording = session.take_recording().unwrap();
    assert!(!contains(&recording, "geheim") && !contains(&recording, "123"));
    assert!(Replay::new(&recording).unwrap().all(|step| step.unwrap().is_same));
}

const AUTH: &str = "40/chat?token=geheim%20%C3%A9%22&n=hunter2";

/// A session of revision 3: its requests, and bodies or messages of a WebSocket.
fn of_revision_3(query: &str, inputs: &[&[u8]]) -> (Vec<u8>, Vec<ServerEvent>) {
    let config = Arc::new(EngineServerConfig::default().allow_eio3(true));
    let sockets = Arc::new(SocketServerConfig::default());
    let mut session =
        Connection::new(Instant::ZERO, Revision::V3, config, "session-id".into(), Some(sockets));
    assert!(session.record(RecordOptions::default()));
    let is_websocket = query.contains("websocket");
    let content_type = if query.contains("bytes") { "application/octet-stream" } else { "text/plain" };
    let headers: &[_] = match is_websocket {
        true => &[("connection", "upgrade"), ("upgrade", "websocket")],
        false => &[("content-type", content_type)],
    };
    let target = format!("/engine.io/?EIO=3&{query}");
    let head = RequestHead { method: "GET", target: &target, headers: &headers };
    let _ = session.handle_request(Instant::ZERO, RequestId(1), &head);
    while session.poll_transmit().is_some() {}
    if is_websocket {
        session.handle_websocket_opened(Instant::ZERO, RequestId(1));
    }
    let target = format!("{target}&sid=session-id");
    let mut events = Vec::new();
    for (input, number) in inputs.iter().zip(2..) {
        let data = input.to_vec();
        match core::str::from_utf8(input) {
            _ if !is_websocket => {
                let head = RequestHead { method: "POST", target: &target, headers: &headers };
                let _ = session.handle_request(Instant::ZERO, RequestId(number), &head);
                session.handle_body(Instant::ZERO, RequestId(number), Body::Complete(data.into()));
            }
            Ok(_) if input[0] > 9 => {
                session.handle_websocket(Instant::ZERO, RequestId(1), WireMessage::Text(data.into()));
            }
            _ => session.handle_websocket(Instant::ZERO, RequestId(1), WireMessage::Binary(data.into())),
        }
        while session.poll_transmit().is_some() {}
        while let Some(event) = session.poll_event() {
            if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = &event {
                session.accept(*socket, "public-id").unwrap();
            }
            events.push(event);
        }
        while session.poll_transmit().is_some() {}
    }
    (session.take_recording().unwrap(), events)
}

fn replays_without_secrets(recording: &[u8], events: usize) {
    for secret in ["geheim", "hunter2", "token=x%20g", "321", "Z2VoZWlt"] {
        assert!(!contains(recording, secret), "{secret}: {}", String::from_utf8_lossy(recording));
    }
    let mut seen = 0;
    for step in Replay::new(recording).unwrap() {
        let step = step.unwrap();
        assert!(step.is_same, "{step:?}");
        seen += usize::from(matches!(step.output, Output::Event(_)));
    }
    assert_eq!(seen, events);
}

fn text_payload(packets: &[&str]) -> Vec<u8> {
    packets
        .iter()
        .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
        .collect::<String>()
        .into()
}

fn byte_payload(packets: &[(u8, &[u8])]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (kind, packet) in packets {
        payload.push(*kind);
        payload.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
        payload.push(255);
        payload.extend_from_slice(packet);
    }
    payload
}

const EVENT: &str = "42/chat,[\"say\",\"geheim \u{e9}\u{1f600}\",321]";
const FILE: &str = "451-/chat,[\"file\",{\"_placeholder\":true,\"num\":0}]";

#[test]
fn a_websocket_of_revision_3_is_masked_with_its_auth_in_the_query() {
    let inputs: [&[u8]; 6] =
        [AUTH.as_bytes(), EVENT.as_bytes(), FILE.as_bytes(), b"\x04geheim", FILE.as_bytes(), b"b4Z2VoZWlt"];
    let (recording, events) = of_revision_3("transport=websocket", &inputs);
    // Two CONNECT, two files, and one that is said.
    assert_eq!(events.len(), 5, "{events:?}");
    assert!(contains(&recording, "/chat?token=") && contains(&recording, "&n=xxxxxxx"));
    replays_without_secrets(&recording, 5);
}

#[test]
fn bodies_of_revision_3_are_masked_packet_by_packet() {
    let texts = text_payload(&[AUTH, EVENT, FILE, "b4Z2VoZWlt"]);
    let (recording, events) = of_revision_3("transport=polling", &[&texts, b"99:42[\"geheim\"]"]);
    assert!(events.len() >= 4, "{events:?}");
    replays_without_secrets(&recording, events.len());
    let bytes = byte_payload(&[
        (0, AUTH.as_bytes()),
        (0, EVENT.as_bytes()),
        (0, FILE.as_bytes()),
        (1, b"\x04geheim"),
    ]);
    let (recording, events) = of_revision_3("transport=polling&bytes", &[&bytes, b"\x00\x09\x09\xff4geheim"]);
    assert!(events.len() >= 4, "{events:?}");
    replays_without_secrets(&recording, events.len());
}

#[test]
fn forms_of_scripts_are_masked_and_keep_their_payload() {
    let payload = text_payload(&[AUTH, EVENT, "42/chat,[\"say\",\"geheim\\nhunter2 & 1+1 = 100%\"]"]);
    let payload = String::from_utf8(payload).unwrap().replace("\\n", "\\\\n");
    let escaped: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("d={escaped}");
    let (recording, events) =
        of_revision_3("transport=polling&j=0", &[body.as_bytes(), b"d=4%3A42geheim&d=1"]);
    assert!(events.len() >= 4, "{events:?}");
    replays_without_secrets(&recording, events.len());
}
