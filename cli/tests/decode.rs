//! `sansocket decode`, run as scripts run it.

use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

struct Run {
    code: Option<i32>,
    output: String,
    errors: String,
}

fn run(flags: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sansocket"))
        .arg("decode")
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // With wrong usage it does not read.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    Run {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).expect("text"),
        errors: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The lines of `--json`, and whether all packets were well-formed.
fn lines(flags: &[&str], input: &[u8]) -> (Vec<Value>, bool) {
    let run = run(&[&["--json"], flags].concat(), input);
    let lines = run.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(matches!(run.code, Some(0 | 1)), "{:?} {}", run.code, run.errors);
    (lines, run.code == Some(0))
}

/// Returns the place where a single malformed packet breaks, and what is expected there.
fn broken(flags: &[&str], input: &[u8]) -> (u64, String) {
    let (lines, well) = lines(flags, input);
    assert!(!well && lines.len() == 1, "{lines:?}");
    assert_eq!(lines[0]["ok"], false);
    (lines[0]["at"].as_u64().expect("a place"), lines[0]["expected"].as_str().expect("words").to_owned())
}

#[test]
fn an_event_is_explained_line_by_line() {
    let run = run(&[], b"42/chat,12[\"said\",\"hi\",{\"a\":[1, 2]}]\n\n2\n");
    assert_eq!(
        run.output,
        "   1  Engine.IO message, Socket.IO EVENT, namespace /chat, id 12\n\
         \x20     event       said\n\
         \x20     args[0]     \"hi\"\n\
         \x20     args[1]     {\"a\":[1, 2]}\n\
         \x20     meaning     wants the acknowledgement 12\n\
         \x20  3  Engine.IO ping\n\
         \x20     meaning     the server's heartbeat\n"
    );
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_caret_stands_under_the_place_where_a_packet_breaks() {
    // An é is two bytes and one column.
    let run = run(&[], "42[\"é\",]\n".as_bytes());
    assert_eq!(
        run.output,
        "   1  Engine.IO message, MALFORMED\n\
         \x20     invalid EVENT payload\n\
         \x20     | 42[\"é\",]\n\
         \x20     |        ^ byte 8: expected a value\n"
    );
    assert_eq!(run.code, Some(1));
}

#[test]
fn each_kind_of_break_is_found() {
    for (packet, at, expected) in [
        ("9", 0, "an Engine.IO packet type"),
        ("4", 1, "a Socket.IO packet type"),
        ("47", 1, "a Socket.IO packet type"),
        ("40[]", 2, "an object"),
        ("41/x,{}", 5, "none"),
        ("42", 99, ""),
        ("42{}", 2, "an array"),
        ("42[]", 3, "the event's name"),
        ("42[\"a\"", 6, "',' or ']'"),
        ("42[\"a\",tru]", 7, "a value"),
        ("42/x,7[\"a\"]x", 11, "the end"),
        ("42/x,99999999999999999999[\"a\"]", 5, "64 bits"),
        ("42/x,1 [ \"connect\"]", 9, "not reserved"),
        ("45[\"a\"]", 2, "the number"),
        ("450-[\"a\"]", 2, "at least 1"),
        ("451[\"a\"]", 3, "'-'"),
        ("4511-[\"a\"]", 2, "at most 10"),
        ("451-[\"a\",{\"_placeholder\":true,\"num\":1}]", 9, "from 0 to 0"),
        ("451-[\"a\",{\"x\":{\"num\":-1,\"_placeholder\":true}}]", 14, "from 0 to 0"),
        ("bAQ!D", 3, "base64"),
        ("bA", 2, "four"),
        ("0{\"sid\":\"x\",}", 12, "JSON"),
        ("0{\"sid\":\"x\"}", 1, "pingInterval"),
    ] {
        if expected.is_empty() {
            assert!(lines(&[], packet.as_bytes()).1, "{packet}");
            continue;
        }
        let (found, words) = broken(&[], packet.as_bytes());
        assert_eq!(found, at, "{packet}: {words}");
        assert!(words.contains(expected), "{packet}: {words}");
    }
    assert_eq!(broken(&[], b"42[\"\xff\"]"), (4, "UTF-8".to_owned()));
}

#[test]
fn attachments_are_counted() {
    let (found, well) = lines(&[], b"452-[\"a\",{\"_placeholder\":true,\"num\":0}]\nbAQI=\nb\nbAw==\n2\n");
    assert!(!well);
    assert_eq!(found[0]["attachments"], 2);
    assert_eq!(found[1]["attachment"], json!({ "of": 1, "index": 1, "announced": 2 }));
    assert_eq!((&found[1]["hex"], &found[1]["bytes"]), (&json!("0102"), &json!(2)));
    assert_eq!(found[2]["attachment"]["index"], 2);
    let error = found[3]["error"].as_str().unwrap();
    assert!(error.starts_with("a binary frame came that no packet announced"), "{error}");
    assert_eq!(found[4]["ok"], true);

    let (found, well) = lines(&[], b"452-[\"a\"]\nbAQI=\n42[\"b\"]\n");
    assert!(!well);
    assert_eq!(found[2]["error"], "a text packet came while 1 attachments of a binary packet were missing");

    let (found, well) = lines(&[], b"452-[\"a\"]\n2\nbAQI=\n");
    assert!(!well);
    assert_eq!(found[3]["error"], "1 of 2 attachments are missing at the end");

    assert!(lines(&["--max-attachments", "11"], b"4511-[\"a\"]").0[0]["ok"] == true);
}

#[test]
fn a_body_is_taken_apart() {
    let (found, well) = lines(&["--body"], b"40{\"sid\":\"x\"}\x1e451-[\"a\"]\x1ebAQ==\x1e42[\"a\",\n1]\n");
    assert!(well, "{found:?}");
    assert_eq!(found.len(), 4);
    assert_eq!(found[0]["payload"], json!({ "sid": "x" }));
    assert_eq!(found[3]["args"], json!([1]));
    assert_eq!(broken(&["--body"], b"").0, 0);
    let (found, _) = lines(&["--body"], b"42[\"a\"]\x1e");
    assert_eq!((found[1]["packet"].as_u64(), &found[1]["error"]), (Some(2), &json!("the packet is empty")));
}

#[test]
fn hexadecimal_stands_for_frames() {
    // 451-["a"], then its attachment, and 2.
    let (found, well) = lines(&["--hex"], b"34 35 31 2d 5b 22 61 22 5D\n00ff\n32\n");
    assert!(well, "{found:?}");
    assert_eq!(found[1]["hex"], "00ff");
    assert_eq!(found[2]["engine"], "ping");
    assert!(lines(&["--hex", "--engine"], b"binary:00\ntext:3461\n").1);
    assert_eq!(broken(&["--hex"], b"3x").0, 1);
    assert_eq!(broken(&["--hex"], b"text:323").0, 8);
}

#[test]
fn what_a_packet_says_gives_no_orders_to_the_terminal() {
    let run = run(&["--engine"], b"4\x1b[31mred\x07\n");
    assert!(run.output.contains("␛[31mred␇"), "{}", run.output);
}

#[test]
fn arguments_come_through_as_they_are() {
    let run = run(&["--json"], b"42[\"a\",1e400,\"\\ud800\",12345678901234567890123]\n");
    assert!(run.output.contains(r#""args":[1e400,"\ud800",12345678901234567890123]"#), "{}", run.output);
}

#[test]
fn a_long_packet_is_shown_around_its_break() {
    let packet = format!("42[\"{}\",]{}", "a".repeat(500), "b".repeat(500));
    let run = run(&[], packet.as_bytes());
    let shown = run.output.lines().find(|line| line.contains('|')).expect("the packet");
    assert!(shown.contains('…') && shown.chars().count() < 140, "{shown}");
}

#[test]
fn wrong_usage_is_told_apart() {
    assert_eq!(run(&["--no-such-flag"], b"").code, Some(2));
    assert_eq!(run(&["--body", "--hex"], b"").code, Some(2));
    assert!(run(&["--body", "--hex"], b"").errors.contains("--hex"));
    assert_eq!(run(&[], b"").code, Some(0));
}

#[test]
fn packets_in_messagepack_are_explained_from_hexadecimal_and_base64() {
    // {type: 2, nsp: "/chat", id: 7, data: ["said", "ada", <01 02>, {n: 1}]}
    let hex = "84a474797065 02 a36e7370 a52f63686174 a26964 07 a464617461 94 a473616964 a3616461 c4020102 81a16e01\n";
    let (packets, well) = lines(&["--hex", "--msgpack"], hex.as_bytes());
    assert!(well, "{packets:?}");
    assert_eq!((&packets[0]["socket"], &packets[0]["namespace"]), (&json!("EVENT"), &json!("/chat")));
    assert_eq!((&packets[0]["id"], &packets[0]["event"]), (&json!(7), &json!("said")));
    assert_eq!(packets[0]["args"], json!(["ada", [1, 2], { "n": 1 }]));
    // As a body of long-polling has it: {type: 0, nsp: "/"}
    let (packets, well) = lines(&["--msgpack", "--body"], b"bgqR0eXBlAKNuc3ChLw==\x1e2");
    assert!(well, "{packets:?}");
    assert_eq!((&packets[0]["socket"], &packets[1]["engine"]), (&json!("CONNECT"), &json!("ping")));
    // Nothing follows the namespace's length.
    let (packets, well) = lines(&["--hex", "--msgpack"], b"82a474797065 02 a36e7370 a5\n");
    assert!(!well && packets[0]["error"].as_str().unwrap().contains("at byte"), "{packets:?}");
    // A text is of another parser.
    let (packets, well) = lines(&["--msgpack"], b"42[\"hi\"]\n");
    assert!(!well && packets[0]["error"].as_str().unwrap().contains("another parser"), "{packets:?}");
}

#[test]
fn bodies_and_packets_of_engine_io_3_are_explained() {
    let (packets, well) =
        lines(&["--eio3", "--body"], "13:42[\"hi\",\"😀\"]1:213:451-[\"b\",{}]\n".as_bytes());
    assert!(!well, "an attachment is missing");
    assert_eq!((&packets[0]["event"], &packets[0]["args"]), (&json!("hi"), &json!(["😀"])));
    assert_eq!(packets[1]["note"], "the client's heartbeat");
    let placeholder = r#"451-["b",{"_placeholder":true,"num":0}]"#;
    let text = format!("{}:{placeholder}6:b4AQI=\n", placeholder.len());
    let (packets, well) = lines(&["--eio3", "--body"], text.as_bytes());
    // The length of the second one is that of its base64 and type.
    assert!(well, "{packets:?}");
    assert_eq!((&packets[1]["hex"], &packets[1]["attachment"]["of"]), (&json!("0102"), &json!(1)));
    let mut bytes = vec![0, 3, 9, 255];
    bytes.extend_from_slice(placeholder.as_bytes());
    bytes.extend_from_slice(&[1, 3, 255, 4, 1, 10]);
    let (packets, well) = lines(&["--eio3", "--body"], &bytes);
    assert!(well, "{packets:?}");
    assert_eq!(packets[1]["hex"], "010a");
    // One packet a line, and as WebSocket messages.
    let (packets, well) = lines(&["--eio3"], b"2probe\nb4AQI=\n");
    assert!(!well, "nobody announced it");
    assert_eq!(packets[1]["hex"], "0102");
    let (packets, _) = lines(&["--eio3", "--hex"], b"binary:040102\n");
    assert_eq!(packets[0]["hex"], "0102");
    assert_eq!(broken(&["--eio3", "--hex"], b"binary:050102\n").0, 0);
    assert_eq!(broken(&["--eio3"], b"b5AQI=\n"), (1, "the type 4".to_owned()));
    assert_eq!(broken(&["--eio3"], b"b4AQ!=\n").0, 4);
    assert_eq!(
        broken(&["--eio3", "--body"], b"9:2\n"),
        (3, "8 more UTF-16 code units of the packet".to_owned())
    );
}
