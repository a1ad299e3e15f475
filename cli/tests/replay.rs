//! `sansocket replay`, run as scripts run it.

use sansocket_protocol::engine::{EngineServerConfig, RequestHead, RequestId, Revision};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::record::RecordOptions;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::ServerSocketEvent;
use sansocket_protocol::time::Instant;
use std::process::{Command, Output};
use std::sync::Arc;

/// A session on a WebSocket that ends with a malformed packet.
fn recording() -> Vec<u8> {
    let now = Instant::ZERO;
    let config = Arc::new(EngineServerConfig::default().path("/socket.io"));
    let mut session = Connection::new(now, Revision::V4, config, "id".into(), Some(Arc::default()));
    session.record(RecordOptions::default());
    let headers = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let target = "/socket.io/?EIO=4&transport=websocket";
    let ws = RequestId(1);
    let _ = session.handle_request(now, ws, &RequestHead { method: "GET", target, headers });
    while session.poll_transmit().is_some() {}
    session.handle_websocket_opened(now, ws);
    for packet in ["40", r#"421["say","hello"]"#, r#"42["say","#] {
        session.handle_websocket(now, ws, WireMessage::Text(packet.into()));
        while let Some(event) = session.poll_event() {
            if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = event {
                session.accept(socket, "public").expect("it is there");
            }
        }
        while session.poll_transmit().is_some() {}
    }
    session.take_recording().expect("a recording")
}

fn replay(recording: &[u8], name: &str) -> Output {
    let path = std::env::temp_dir().join(format!("sansocket-cli-{}-{name}.ssrec", std::process::id()));
    std::fs::write(&path, recording).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_sansocket")).arg("replay").arg(&path).output();
    let _ = std::fs::remove_file(&path);
    output.expect("the program runs")
}

#[test]
fn a_replay_shows_the_session_and_where_it_broke_a_rule() {
    let run = replay(&recording(), "broken");
    let text = String::from_utf8(run.stdout).expect("text");
    assert!(run.status.success(), "{text}");
    for part in [
        "secrets are masked",
        r#"[1] 421["say","xxxxx"] ->"#,
        r#"* event "say", which asks for an acknowledgement"#,
        r#"<- [1] 40{"sid":"xxxxxx"}"#,
        "a rule was broken: malformed Socket.IO packet",
        r#"the client's last input before that is step 11: [1] 42["say","#,
        "the replay went the same way",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn a_recording_is_written_again_as_the_session_goes_now() {
    // The acknowledgement that was asked for had another id then.
    let mut recording = recording();
    let at = recording.windows(4).position(|window| window == b"421[").expect("the event");
    recording[at + 2] = b'2';
    let folder = std::env::temp_dir();
    let [before, after] = ["before", "after"]
        .map(|name| folder.join(format!("sansocket-cli-{}-{name}.ssrec", std::process::id())));
    std::fs::write(&before, &recording).expect("it can be written");
    let run = |arguments: &[&std::path::Path]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sansocket")).arg("replay").args(arguments).output();
        let output = output.expect("the program runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = run(&[&before, "--rewrite".as_ref(), &after]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ANOTHER WAY THAN RECORDED"), "{text}");
    let (code, text) = run(&[&after]);
    assert_eq!(code, Some(0), "{text}");
    for file in [before, after] {
        let _ = std::fs::remove_file(file);
    }
}

#[test]
fn what_is_no_recording_is_an_error() {
    let run = replay(b"GIF89a", "picture");
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("this is no recording of a session"));
    let whole = recording();
    let run = replay(&whole[..whole.len() - 3], "cut");
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("it was cut off"));
}
