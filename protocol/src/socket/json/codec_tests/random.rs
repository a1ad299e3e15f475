//! Random input and random output.

use crate::socket::Parser;
use crate::socket::json::codec_tests::*;
use crate::socket::packet::is_reserved;
use proptest::prelude::*;

/// Any JSON, but no key that begins with an underscore.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[^_].{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Text that is close to a packet.
fn near_packets() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "-",
        "/",
        ",",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\\",
        "\\u",
        "d83d",
        ":",
        " ",
        "\n",
        "true",
        "null",
        "1e9",
        "_placeholder",
        "num",
        "\"_placeholder\":true",
        "\"num\":0",
        "\"e\"",
        "é",
        "connect",
        "51-[\"e\",",
        "2[\"e\",",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn poke(packet: Packet) {
    let mut reassembly = Reassembly::new();
    let mut packet = reassembly.start(packet, 100, 100).unwrap();
    while packet.is_none() {
        packet = reassembly.push(Bytes::from_static(b"x")).unwrap();
    }
    let packet = packet.unwrap();
    let _ = (packet.namespace(), packet.data(), packet.wire_len(), format!("{packet:?}"));
    let args = packet.into_args();
    let _ = (args.event(), args.decode::<(Value, Option<Bytes>)>(), args.decode::<Vec<u8>>());
    for i in 0..=args.len() {
        let raw = args.json(i);
        assert_eq!(raw.is_some(), i < args.len());
        if let Some(raw) = raw {
            serde_json::from_str::<serde::de::IgnoredAny>(raw).unwrap();
        }
        let _ = (args.get::<Value>(i), args.get::<Bytes>(i), args.attachment(i));
    }
    let frame = Parser::json().ack("/", 1, &args).unwrap();
    assert_eq!(receive(&frame).into_args().len(), args.len());
    for n in 0..args.len() + 2 {
        let rest = args.skip(n);
        assert_eq!(rest.len(), args.len().saturating_sub(n));
        assert_eq!((0..rest.len()).map(|i| rest.json(i)).collect::<Vec<_>>(), {
            (n..args.len()).map(|i| args.json(i)).collect::<Vec<_>>()
        });
        // What was relayed once is as the reference has it, and does not change any more.
        let once = Parser::json().ack("/", 1, &rest).unwrap();
        let twice = Parser::json().ack("/", 1, &receive(&once).into_args()).unwrap();
        assert_eq!((once.text(), once.attachments()), (twice.text(), twice.attachments()));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Parser::json().decode(Bytes::from(bytes)) {
            poke(packet);
        }
    }

    #[test]
    fn arbitrary_text_near_a_packet_does_not_panic(text in near_packets()) {
        if let Ok(packet) = decode(&text) {
            poke(packet);
        }
    }

    #[test]
    fn what_goes_out_comes_back_in(
        namespace in "(/[^,]{0,8})?",
        event in any::<String>(),
        ack in any::<Option<u64>>(),
        args in (json(), any::<String>(), any::<Option<i32>>()),
    ) {
        prop_assume!(!is_reserved(&event));
        let packet = receive(&Parser::json().event(&namespace, &event, ack, &args).unwrap());
        prop_assert_eq!(packet.kind(), PacketType::Event);
        prop_assert_eq!(packet.namespace(), if namespace.is_empty() { "/" } else { &namespace });
        prop_assert_eq!(packet.id(), ack);
        let received = packet.into_args();
        prop_assert_eq!(received.event().unwrap(), event);
        prop_assert_eq!(received.len(), 3);
        let value = received.get::<Value>(0).unwrap();
        // Numbers are compared as text: serde_json's own reading of a double may differ in its last digit.
        prop_assert_eq!(received.json(0).unwrap(), serde_json::to_string(&args.0).unwrap());
        prop_assert_eq!(value.is_object(), args.0.is_object());
        let (_, text, number): (Value, String, Option<i32>) = received.decode().unwrap();
        prop_assert_eq!((text, number), (args.1, args.2));
    }

    #[test]
    fn attachments_that_go_out_come_back_in(
        id in any::<u64>(),
        name in any::<String>(),
        blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..8),
    ) {
        let blobs: Vec<Bytes> = blobs.into_iter().map(Bytes::from).collect();
        let picture = Picture {
            name,
            data: blobs[0].clone(),
            thumbnails: blobs.iter().cloned().map(Some).collect(),
            kind: Kind::Pair(1, blobs[0].clone()),
        };
        let packet = receive(&Parser::json().ack("/a", id, &(&picture, 1)).unwrap());
        prop_assert_eq!((packet.kind(), packet.id()), (PacketType::BinaryAck, Some(id)));
        prop_assert_eq!(packet.attachments(), blobs.len() + 2);
        prop_assert_eq!(packet.into_args().decode::<(Picture, u8)>().unwrap(), (picture, 1));
    }
}
