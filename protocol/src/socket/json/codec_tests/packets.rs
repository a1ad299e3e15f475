//! Packets, and texts that are not packets.

use crate::socket::Parser;
use crate::socket::json::codec_tests::*;

/// A packet in words: `TYPE namespace id=.. attachments event(argument, ..)` or the data.
fn words(text: &str) -> String {
    let packet = match decode(text) {
        Ok(packet) => packet,
        Err(error) => return format!("{error:?}").split([' ', '(', '{']).next().unwrap().to_owned(),
    };
    let mut out = format!("{} {}", packet.kind(), packet.namespace());
    if let Some(id) = packet.id() {
        out += &format!(" id={id}");
    }
    if packet.is_binary() {
        out += &format!(" +{}", packet.attachments());
    }
    let data = packet.data().map(|data| data.json().to_string());
    match packet.kind() {
        PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => {
            out += &data.map(|data| format!(" {data}")).unwrap_or_default();
        }
        _ => {
            let args = packet.into_args();
            let list: Vec<&str> = (0..args.len()).map(|i| args.json(i).unwrap()).collect();
            assert_eq!(args.json(args.len()), None);
            let name = args.event().map(|name| format!("{name:?}"));
            out += &format!(" {}({})", name.unwrap_or_default(), list.join("; "));
        }
    }
    out
}

#[test]
fn packets_are_read_as_the_reference_reads_them() {
    for (text, expected) in [
        // Headers.
        ("0", "CONNECT /"),
        (r#"0{"token":"t1"}"#, r#"CONNECT / {"token":"t1"}"#),
        (r#"0/chat,{"token":"t1"}"#, r#"CONNECT /chat {"token":"t1"}"#),
        ("0/", "CONNECT /"),
        ("0/,", "CONNECT /"),
        ("0/custom", "CONNECT /custom"),
        (r#"0/custom{"t":1}"#, r#"CONNECT /custom{"t":1}"#),
        ("0/custom?x=1,", "CONNECT /custom?x=1"),
        ("0/CUSTOM,", "CONNECT /CUSTOM"),
        ("0/%63ustom,", "CONNECT /%63ustom"),
        ("0/12", "CONNECT /12"),
        ("0/ünï,{}", "CONNECT /ünï {}"),
        ("0 {}", "CONNECT / {}"),
        ("05{}", "CONNECT / id=5 {}"),
        ("012", "CONNECT / id=12"),
        ("1", "DISCONNECT /"),
        ("1/chat,", "DISCONNECT /chat"),
        ("1/chat", "DISCONNECT /chat"),
        ("112", "DISCONNECT / id=12"),
        ("2", "EVENT / ()"),
        ("2/chat,", "EVENT /chat ()"),
        (r#"2["ev"]"#, r#"EVENT / "ev"()"#),
        (r#"2/chat,["ev",1]"#, r#"EVENT /chat "ev"(1)"#),
        (r#"27["ev"]"#, r#"EVENT / id=7 "ev"()"#),
        (r#"2/chat,12["ev",1]"#, r#"EVENT /chat id=12 "ev"(1)"#),
        (r#"200["e"]"#, r#"EVENT / id=0 "e"()"#),
        (r#"218446744073709551615["e"]"#, r#"EVENT / id=18446744073709551615 "e"()"#),
        (r#"218446744073709551616["e"]"#, "IdOverflow"),
        (r#"21111111111111111111111["e"]"#, "IdOverflow"),
        (r#"37["done"]"#, r#"ACK / id=7 ("done")"#),
        ("3/chat,12[]", "ACK /chat id=12 ()"),
        ("30", "ACK / id=0 ()"),
        ("3[1]", "ACK / (1)"),
        (r#"4{"message":"no"}"#, r#"CONNECT_ERROR / {"message":"no"}"#),
        (r#"4/x,"Unable to connect""#, r#"CONNECT_ERROR /x "Unable to connect""#),
        ("4", "CONNECT_ERROR /"),
        (
            r#"51-["e",{"_placeholder":true,"num":0}]"#,
            r#"BINARY_EVENT / +1 "e"({"_placeholder":true,"num":0})"#,
        ),
        (r#"52-/chat,45["a",1]"#, r#"BINARY_EVENT /chat id=45 +2 "a"(1)"#),
        (
            r#"61-/chat,45[{"_placeholder":true,"num":0}]"#,
            r#"BINARY_ACK /chat id=45 +1 ({"_placeholder":true,"num":0})"#,
        ),
        (r#"510-["e"]"#, r#"BINARY_EVENT / +10 "e"()"#),
        (r#"501-["e"]"#, r#"BINARY_EVENT / +1 "e"()"#),
        ("51-", "BINARY_EVENT / +1 ()"),
        // Blanks.
        ("2 [ \"e\" ,\t1 , [ 2 ] ]\r\n ", r#"EVENT / "e"(1; [ 2 ])"#),
        (r#"2 ["e"]"#, r#"EVENT / "e"()"#),
        (r#"21 ["e"]"#, r#"EVENT / id=1 "e"()"#),
        ("3 [ ] ", "ACK / ()"),
        ("0 ", "CONNECT /"),
        // Names.
        (r#"2[1,2]"#, r#"EVENT / "1"(2)"#),
        (r#"2[-0,1]"#, r#"EVENT / "0"(1)"#),
        (r#"2[12345678901234567890]"#, r#"EVENT / "12345678901234567890"()"#),
        (r#"2[""]"#, r#"EVENT / ""()"#),
        (r#"2["error"]"#, r#"EVENT / "error"()"#),
        (r#"2["message"]"#, r#"EVENT / "message"()"#),
        (r#"2["connection"]"#, r#"EVENT / "connection"()"#),
        (r#"2["__proto__"]"#, r#"EVENT / "__proto__"()"#),
        (r#"2["a\"b",1]"#, r#"EVENT / "a\"b"(1)"#),
        (r#"2["\u00e4\ud83d",1]"#, "EVENT / \"ä\u{fffd}\"(1)"),
        // Arguments that Rust's types are narrower than.
        (r#"2["e","\ud83d",1e400]"#, r#"EVENT / "e"("\ud83d"; 1e400)"#),
        (r#"2["e",{"a":"]"},"]"]"#, r#"EVENT / "e"({"a":"]"}; "]")"#),
        // Refused.
        ("", "Empty"),
        ("7", "UnknownType"),
        ("a", "UnknownType"),
        (r#" 2["e"]"#, "UnknownType"),
        ("é", "UnknownType"),
        ("0null", "InvalidPayload"),
        ("0[]", "InvalidPayload"),
        (r#"0"x""#, "InvalidPayload"),
        ("0{bad", "InvalidPayload"),
        ("0{}{}", "InvalidPayload"),
        ("1{}", "InvalidPayload"),
        ("1[]", "InvalidPayload"),
        ("1,", "InvalidPayload"),
        (r#"1/x,{"message":"m"}"#, "InvalidPayload"),
        ("2[]", "InvalidPayload"),
        ("2{}", "InvalidPayload"),
        ("2null", "InvalidPayload"),
        ("2[null]", "InvalidPayload"),
        ("2[{}]", "InvalidPayload"),
        ("2[true]", "InvalidPayload"),
        (r#"2[["e"]]"#, "InvalidPayload"),
        ("2[1.0]", "InvalidPayload"),
        ("2[1e3]", "InvalidPayload"),
        ("2[-1e400]", "InvalidPayload"),
        (r#"2"e""#, "InvalidPayload"),
        (r#"2["e",1]x"#, "InvalidPayload"),
        (r#"2["e",]"#, "InvalidPayload"),
        (r#"2["e""#, "InvalidPayload"),
        (r#"2["e",01]"#, "InvalidPayload"),
        ("2[\"e\u{1}\"]", "InvalidPayload"),
        (r#"2["connect"]"#, "ReservedEvent"),
        (r#"2["connect_error"]"#, "ReservedEvent"),
        (r#"2["disconnect"]"#, "ReservedEvent"),
        (r#"2["disconnecting"]"#, "ReservedEvent"),
        (r#"2["newListener"]"#, "ReservedEvent"),
        (r#"2["removeListener"]"#, "ReservedEvent"),
        (r#"2["\u0063onnect"]"#, "ReservedEvent"),
        (r#"51-["connect",{"_placeholder":true,"num":0}]"#, "ReservedEvent"),
        (r#"2-1["e"]"#, "InvalidPayload"),
        (r#"21.5["e"]"#, "InvalidPayload"),
        (r#"21e2["e"]"#, "InvalidPayload"),
        (r#"2abc["e"]"#, "InvalidPayload"),
        (r#"2١["e"]"#, "InvalidPayload"),
        (r#"2 1["e"]"#, "InvalidPayload"),
        (r#"21-["e"]"#, "InvalidPayload"),
        ("30{}", "InvalidPayload"),
        (r#"3"x""#, "InvalidPayload"),
        ("4[]", "InvalidPayload"),
        ("4null", "InvalidPayload"),
        ("41x", "InvalidPayload"),
        ("5", "IllegalAttachments"),
        (r#"5["e"]"#, "IllegalAttachments"),
        ("5-", "IllegalAttachments"),
        (r#"5-["e"]"#, "IllegalAttachments"),
        (r#"50-["e"]"#, "IllegalAttachments"),
        (r#"5-1-["e"]"#, "IllegalAttachments"),
        (r#"5 1-["e"]"#, "IllegalAttachments"),
        (r#"51.0-["e"]"#, "IllegalAttachments"),
        (r#"50x1-["e"]"#, "IllegalAttachments"),
        (r#"5/a,1-["e"]"#, "IllegalAttachments"),
        (r#"511-["e"]"#, "TooManyAttachments"),
        (r#"599999999999999999999999-["e"]"#, "TooManyAttachments"),
        (r#"51-[{"_placeholder":true,"num":0}]"#, "InvalidPayload"),
        (r#"51-["e",{"_placeholder":true,"num":1}]"#, "IllegalPlaceholder"),
        (r#"51-["e",{"_placeholder":true,"num":-1}]"#, "IllegalPlaceholder"),
        (r#"51-["e",{"_placeholder":true,"num":"0"}]"#, "IllegalPlaceholder"),
        (r#"51-["e",{"_placeholder":true}]"#, "IllegalPlaceholder"),
        (r#"51-["e",{"_placeholder":true,"num":0.5}]"#, "IllegalPlaceholder"),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn text_that_is_not_utf8_is_an_error_of_its_own() {
    let error = Parser::json().decode(Bytes::from_static(b"2[\"\xff\"]")).unwrap_err();
    assert_eq!(error, PacketError::InvalidUtf8);
}

/// An event whose one argument is that many lists inside each other.
fn nested(levels: usize) -> String {
    format!(r#"2["e",{}{}]"#, "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn what_could_end_another_peer_is_refused_at_the_packet() {
    let number = |digits: usize| format!(r#"2["e",{}]"#, "1".repeat(digits));
    let arguments = |count: usize| format!(r#"2["e"{}]"#, ",1".repeat(count));
    for (text, expected) in [
        (nested(499), None),
        (nested(500), Some(PacketError::TooDeep { max: 500 })),
        // Python's reader ended here, and the reference's client at the second.
        (nested(990), Some(PacketError::TooDeep { max: 500 })),
        (nested(6_000).replacen("2[", "51-[", 1), Some(PacketError::TooDeep { max: 500 })),
        (
            format!(r#"0{{"token":{}1{}}}"#, "[".repeat(500), "]".repeat(500)),
            Some(PacketError::TooDeep { max: 500 }),
        ),
        (number(400), None),
        (number(401), Some(PacketError::NumberTooLong { max: 400 })),
        (number(5_000), Some(PacketError::NumberTooLong { max: 400 })),
        (format!(r#"0{{"token":{}}}"#, "1".repeat(401)), Some(PacketError::NumberTooLong { max: 400 })),
        (format!(r#"2["e",-1.{}e5]"#, "0".repeat(400)), Some(PacketError::NumberTooLong { max: 400 })),
        (arguments(1000), None),
        (arguments(1001), Some(PacketError::TooManyArguments { max: 1000 })),
        (format!("3[1{}]", ",1".repeat(1000)), Some(PacketError::TooManyArguments { max: 1000 })),
    ] {
        assert_eq!(decode(&text).err(), expected, "{}", text.len());
        let json = text.trim_start_matches(['0', '2', '3', '5', '1', '-']).replacen(r#""e","#, "", 1);
        let same = if json.starts_with('[') { Args::from_json(&json, vec![]).map(drop) } else { Ok(()) };
        assert_eq!(same.is_err(), expected.is_some() && json.starts_with('['), "{}", text.len());
    }
    assert!(ANYTHING.decode(nested(100_000).into()).is_ok());
}

#[test]
fn deep_nesting_is_received_and_refused_by_the_typed_decode_only() {
    let deep = nested(499);
    let args = decode(&deep).unwrap().into_args();
    assert_eq!(args.json(0).unwrap().len(), 998);
    assert!(matches!(args.get::<Value>(0), Err(ArgsError::Invalid { position: 0, .. })));
    // Passed on as it came, also as an attachment's neighbour.
    let frame = Parser::json().event("/", "e", None, &args).unwrap();
    assert_eq!(&frame.text().unwrap()[1..], deep.as_bytes());
    let deep = deep.replacen("2[", "51-[", 1);
    assert!(decode(&deep).is_ok());
}

#[test]
fn no_text_of_up_to_three_bytes_panics() {
    for a in 0..=255u8 {
        let _ = Parser::json().decode(Bytes::copy_from_slice(&[a]));
        for b in 0..=255u8 {
            let _ = Parser::json().decode(Bytes::copy_from_slice(&[a, b]));
        }
    }
    // What does not begin with a type is refused at its first byte.
    for first in b'0'..=b'6' {
        for second in 0..=255u8 {
            for third in 0..=255u8 {
                let _ = Parser::json().decode(Bytes::copy_from_slice(&[first, second, third]));
            }
        }
    }
}

#[test]
fn the_data_of_a_packet_is_had_without_a_copy() {
    let text = Bytes::from_static(br#"0/a,{"token":1}"#);
    let packet = Parser::json().decode(text.clone()).unwrap();
    let data = packet.data().unwrap();
    assert_eq!((data.json().as_bytes(), data.json().as_ptr()), (&text[4..], text[4..].as_ptr()));
    for text in ["0", "0/a,", "0/a", "0 "] {
        assert_eq!(decode(text).unwrap().data(), None);
    }
}

#[test]
fn a_broken_payload_is_refused_with_the_place_and_what_was_expected() {
    for (text, words) in [
        ("2[\"e\",]", "invalid EVENT payload: expected a value at byte 6"),
        ("2[\"e\" 1]", "invalid EVENT payload: expected ',' or ']' at byte 6"),
        ("2[\"e\",{\"a\":1]", "invalid EVENT payload: expected ',' or '}' at byte 12"),
        ("2[\"e\",{1:1}]", "invalid EVENT payload: expected a key in quotes at byte 7"),
        ("2[\"e\",{\"a\"1}]", "invalid EVENT payload: expected ':' at byte 10"),
        ("2[\"e\",-]", "invalid EVENT payload: expected a digit at byte 7"),
        ("2[\"e\",\"\\u12\"]", "invalid EVENT payload: expected four hexadecimal digits at byte 9"),
        ("2[\"e\",\"\\x\"]", "invalid EVENT payload: expected an escape that JSON knows at byte 7"),
        ("2[\"e\n\"]", "invalid EVENT payload: expected no control character in a string at byte 4"),
        ("2[\"e", "invalid EVENT payload: expected a closing quote at byte 4"),
        ("0{}{}", "invalid CONNECT payload: expected the end at byte 3"),
        ("3{}", "invalid ACK payload: expected an array at byte 1"),
    ] {
        assert_eq!(decode(text).unwrap_err().to_string(), words, "{text}");
    }
}
