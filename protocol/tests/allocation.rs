//! No decoder allocates more than a small multiple of what it was given, whatever that is. Measured, thread by thread,
//! as the most that is held at one time.

use allocation_counter::measure;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sansocket_protocol::engine::EnginePacket;
use sansocket_protocol::engine::PayloadDecoder;
use sansocket_protocol::engine::{Query, pairs};
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::Parser;
use sansocket_protocol::socket::Reassembly;

/// For what an error says, and for what is allocated once.
const CONSTANT: u64 = 1024;

/// Runs it, and sees that it never held more than `factor` bytes for each of `len`.
fn within(what: &str, len: usize, factor: u64, run: impl FnOnce()) {
    let measured = measure(run).bytes_max;
    let allowed = factor * len as u64 + CONSTANT;
    assert!(measured <= allowed, "{what}: {measured} bytes were held for an input of {len}");
}

fn decode_all(input: &str) {
    let text = || Bytes::copy_from_slice(input.as_bytes());
    let len = input.len();
    let given = text();
    // A message becomes a handful of offsets: 1 bit for each level of JSON, and the announced attachments are not
    // believed. Those with placeholders are looked through with a byte for each level and some words for each object.
    within("Packet::decode", len, 8, || drop(Parser::json().decode(given)));
    let given = text();
    within("Packet::decode, with any number of attachments", len, 8, || {
        drop(Parser::json().max_attachments(usize::MAX).decode(given))
    });
    let given = text();
    within("engine::Packet::decode", len, 1, || drop(EnginePacket::decode(given)));
    let given = text();
    // One packet after the other, as the machine takes them: each has a copy of its own, if it is small.
    within("payload::Decoder", len, 2, || PayloadDecoder::new(given).for_each(drop));
    within("Args::from_json", len, 8, || drop(Args::from_json(input, vec![])));
    within("Args::from_json, with attachments", len, 8, || {
        drop(Args::from_json(input, vec![Bytes::new(), Bytes::new()]));
    });
    within("pairs", len, 4, || pairs(input).for_each(drop));
    within("Query::parse", len, 12, || drop(Query::parse(input)));
    if let Ok(packet) = Parser::json().decode(text()) {
        let attachments = packet.attachments();
        let mut reassembly = Reassembly::new();
        let mut complete = reassembly.start(packet, usize::MAX, usize::MAX).unwrap();
        for _ in 0..attachments {
            complete = reassembly.push(Bytes::from_static(b"0123456789")).unwrap();
        }
        let args = complete.unwrap().into_args();
        within("json, skip and attachment", len, 8, || {
            let _ = (args.event(), args.json(1), args.attachment(0), args.skip(1));
        });
        // The text once more while it grows, and a pointer for each placeholder of at least 26 bytes.
        within("sending on", len, 12, || drop(Parser::json().ack("/", 1, &args)));
    }
}

/// Texts that are made to cost something.
fn hostile(n: usize) -> Vec<String> {
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let row = |piece: &str, count: usize| vec![piece; count].join(",");
    vec![
        format!("2[\"e\",{}{}]", "[".repeat(n), "]".repeat(n)),
        format!("2[\"e\",{}", "[".repeat(n)),
        format!("51-[\"e\",{}{}]", "[".repeat(n), "]".repeat(n)),
        format!("51-[\"e\",{}1{}]", r#"{"":"#.repeat(n), "}".repeat(n)),
        format!("51-[\"e\",{}1{}]", r#"{"num":1,"":"#.repeat(n), "}".repeat(n)),
        format!("51-[\"e\",{}1{}]", r#"{"_placeholder":true,"num":0,"":"#.repeat(n), "}".repeat(n)),
        format!("51-[\"e\",{}]", row(placeholder, n)),
        format!("510-[\"e\",{}]", row(placeholder, n.min(160))),
        format!("2[\"e\",{}]", row("1", n)),
        format!("2[\"{}\"]", "\\u0041".repeat(n)),
        format!("2[\"{}\"]", "\\ud83d".repeat(n)),
        format!("599999999999999999999-{}", "1".repeat(n)),
        format!("518446744073709551615-[\"{}\"]", "e".repeat(n)),
        format!("2/{}", "n".repeat(n)),
        format!("2{}", "1".repeat(n)),
        format!("2{}[]", " ".repeat(n)),
        format!("2[1{}]", "0".repeat(n)),
        format!("2[-1e{}]", "9".repeat(n)),
        format!("0{{\"{}\":1}}", "a".repeat(n)),
        "4\u{1e}".repeat(n),
        "\u{1e}".repeat(n),
        format!("b{}", "AAAA".repeat(n)),
        format!("b{}", "=".repeat(n)),
        format!("b{}", "\u{1e}bAA".repeat(n)),
        "a=b&".repeat(n),
        "&".repeat(n),
        "%41".repeat(n),
        "%ff".repeat(n),
        "+=+&".repeat(n),
        format!("sid={}", "%".repeat(n)),
        format!("sid={}", "&sid=%41".repeat(n)),
    ]
}

#[test]
fn hostile_texts_cost_no_more_than_a_multiple_of_their_length() {
    for n in [1, 10, 63, 64, 65, 1000, 50_000] {
        hostile(n).iter().for_each(|text| decode_all(text));
    }
}

#[test]
fn random_texts_cost_no_more_than_a_multiple_of_their_length() {
    let piece = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "51-",
        "52-",
        "-",
        "/a,",
        ",",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\\",
        ":",
        " ",
        "true",
        "1e9",
        "\"_placeholder\":true",
        "\"num\":0",
        "{\"_placeholder\":true,\"num\":0}",
        "\"e\"",
        "[\"e\",",
        "é",
        "\u{1e}",
        "b",
        "AAAA",
        "=",
        "&",
        "%41",
        "+",
        "sid=",
    ]);
    let texts = (prop::collection::vec(piece, 0..60), 1..40usize);
    let mut runner = TestRunner::deterministic();
    let checked = runner.run(&texts, |(pieces, times)| {
        let whole = pieces.concat();
        decode_all(&whole);
        decode_all(&whole.repeat(times));
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn an_event_without_attachments_costs_nothing_to_read() {
    let text = Bytes::from_static(br#"2/chat,7["said",{"who":"ada","what":["x",1,null]}]"#);
    let measured = measure(|| drop(Parser::json().decode(text).unwrap()));
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

#[test]
fn announced_attachments_reserve_nothing() {
    let text = Bytes::from_static(br#"54000000000-["e"]"#);
    let packet = Parser::json().max_attachments(usize::MAX).decode(text).unwrap();
    let mut reassembly = Reassembly::new();
    within("Reassembly", 0, 0, || {
        reassembly.start(packet, usize::MAX, usize::MAX).unwrap();
        reassembly.push(Bytes::from_static(b"x")).unwrap();
    });
    assert!(reassembly.is_waiting());
}

/// A message of the MessagePack parser, that of an acknowledgement with those bytes for its data.
fn packed(data: &[u8]) -> Bytes {
    [b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data", data].concat().into()
}

fn decode_packed(message: &Bytes) {
    let parser = Parser::msgpack().max_depth(usize::MAX).max_arguments(usize::MAX);
    let len = message.len();
    let given = message.clone();
    // Two words for each open list or map beyond the sixteenth, which has a byte.
    within("Parser::msgpack().decode", len, 40, || drop(parser.decode(given)));
    let given = message.clone();
    within("Parser::msgpack().decode, with the usual limits", len, 8, || {
        drop(Parser::msgpack().max_depth(100).decode(given));
    });
    if let Ok(packet) = parser.decode(message.clone()) {
        let args = packet.into_args();
        within("skip and bytes", len, 2, || drop((args.skip(1), args.bytes(0))));
        within("sending on", len, 16, || drop(parser.ack("/", 1, &args)));
        within("as JSON", len, 40, || drop(args.to_json()));
    }
}

#[test]
fn hostile_messagepack_costs_no_more_than_a_multiple_of_its_length() {
    for n in [1, 10, 16, 17, 1000, 50_000] {
        for (open, inner) in [
            (&b"\x91"[..], &b"\xc0"[..]),
            (b"\x81\xa0", b"\xc0"),
            (b"\x81\x01", b"\xc0"),
            (b"\xdc\x00\x01", b"\xc0"),
            (b"\xdd\xff\xff\xff\xff", b""),
            (b"\xdf\x7f\xff\xff\xff", b""),
            (b"\x91", b"\xdb\xff\xff\xff\xff"),
            (b"\x91", b"\xc6\xff\xff\xff\xff"),
            (b"\x91", b"\xc9\xff\xff\xff\xff\x00"),
        ] {
            decode_packed(&packed(&[&open.repeat(n), inner].concat()));
        }
        let wide = [&b"\xdd"[..], &u32::try_from(n).unwrap().to_be_bytes(), &b"\xc4\x00".repeat(n)].concat();
        decode_packed(&packed(&wide));
    }
    let lengths = [0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf];
    for marker in lengths {
        // No length is believed.
        let message = packed(&[0x91, marker, 0xff, 0xff, 0xff, 0xff]);
        within("a length without its bytes", message.len(), 1, || {
            drop(Parser::msgpack().decode(message.clone()).unwrap_err());
        });
    }
}

#[test]
fn a_messagepack_event_costs_nothing_to_read_and_three_allocations_to_send() {
    let parser = Parser::msgpack();
    let frame =
        parser.event("/chat", "said", Some(7), &("ada", [1, 2, 3], Bytes::from_static(b"xyz"))).unwrap();
    let message = frame.attachments()[0].clone();
    let measured = measure(|| drop(parser.decode(message).unwrap()));
    assert_eq!(measured.count_total, 0, "{measured:?}");
    let args = ("ada", [1, 2, 3], "xyz");
    // The message, the frame that is shared, and what `Bytes` needs to share it.
    let measured = measure(|| drop(parser.event("/chat", "said", None, &args).unwrap()));
    assert!(measured.count_total <= 3, "{measured:?}");
}
