//! The codec as a whole: what is accepted, what is refused, and that what goes out comes back in.

use super::args::{Args, ArgsError};
use super::encode::{ArgsEncoder, EncodeError, ToArgs};
use super::packet::{Packet, PacketError, PacketType};
use super::reassembly::Reassembly;
use crate::frame::Frame;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

fn decode(text: &str) -> Result<Packet, PacketError> {
    Packet::decode(Bytes::copy_from_slice(text.as_bytes()), 10)
}

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
    let data = packet.data().map(|data| String::from_utf8(data.to_vec()).unwrap());
    match packet.kind() {
        PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => {
            out += &data.map(|data| format!(" {data}")).unwrap_or_default();
        }
        _ => {
            let args = packet.into_args();
            let list: Vec<&str> = (0..args.len()).map(|i| args.raw(i).unwrap()).collect();
            assert_eq!(args.raw(args.len()), None);
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
        (r#"2[1.0]"#, r#"EVENT / "1"()"#),
        (r#"2[-1e400]"#, r#"EVENT / "-Infinity"()"#),
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
    let error = Packet::decode(Bytes::from_static(b"2[\"\xff\"]"), 10).unwrap_err();
    assert_eq!(error, PacketError::InvalidUtf8);
}

#[test]
fn deep_nesting_is_received_and_refused_by_the_typed_decode_only() {
    let deep = format!(r#"2["e",{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
    let args = decode(&deep).unwrap().into_args();
    assert_eq!(args.raw(0).unwrap().len(), 200_000);
    assert!(matches!(args.get::<Value>(0), Err(ArgsError::Invalid { position: 0, .. })));
    // Passed on as it came, also as an attachment's neighbour.
    let frame = Frame::event("/", "e", None, &args).unwrap();
    assert_eq!(&frame.text().unwrap()[1..], deep.as_bytes());
    let deep = deep.replacen("2[", "51-[", 1);
    assert!(decode(&deep).is_ok());
}

#[test]
fn no_text_of_up_to_three_bytes_panics() {
    for a in 0..=255u8 {
        let _ = Packet::decode(Bytes::copy_from_slice(&[a]), 10);
        for b in 0..=255u8 {
            let _ = Packet::decode(Bytes::copy_from_slice(&[a, b]), 10);
        }
    }
    // What does not begin with a type is refused at its first byte.
    for first in b'0'..=b'6' {
        for second in 0..=255u8 {
            for third in 0..=255u8 {
                let _ = Packet::decode(Bytes::copy_from_slice(&[first, second, third]), 10);
            }
        }
    }
}

/// What the other end has when all of the frame has arrived.
fn receive(frame: &Frame) -> Packet {
    let text = frame.text().unwrap();
    assert_eq!(text[0], b'4');
    let packet = Packet::decode(text.slice(1..), usize::MAX).unwrap();
    let mut reassembly = Reassembly::new();
    let mut received = reassembly.start(packet, usize::MAX).unwrap();
    for attachment in frame.attachments() {
        assert!(received.is_none());
        received = reassembly.push(attachment.clone()).unwrap();
    }
    received.unwrap()
}

fn text(frame: &Frame) -> &str {
    core::str::from_utf8(frame.text().unwrap()).unwrap()
}

fn emit<T: ToArgs>(args: T) -> Frame {
    Frame::event("/", "e", None, &args).unwrap()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Picture {
    name: String,
    data: Bytes,
    thumbnails: Vec<Option<Bytes>>,
    kind: Kind,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Kind {
    Plain,
    Scaled(u8),
    Cut { mask: Bytes },
    Pair(u8, Bytes),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Point(i32, i32);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Marker;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Wrapped(Option<(u8, u8)>);

#[test]
fn frames_are_written_as_the_reference_writes_them() {
    let event = |namespace, ack| Frame::event(namespace, "ev", ack, &1).unwrap();
    assert_eq!(text(&event("/", None)), r#"42["ev",1]"#);
    assert_eq!(text(&event("", Some(0))), r#"420["ev",1]"#);
    assert_eq!(text(&event("/chat", Some(12))), r#"42/chat,12["ev",1]"#);
    assert_eq!(text(&Frame::ack("/chat", 12, &()).unwrap()), "43/chat,12[]");
    assert_eq!(text(&Frame::connect("/", "abc")), r#"40{"sid":"abc"}"#);
    assert_eq!(text(&Frame::connect("/chat", "a\"")), r#"40/chat,{"sid":"a\""}"#);
    assert_eq!(text(&Frame::connect_error("/x", "no", None)), r#"44/x,{"message":"no"}"#);
    assert_eq!(
        text(&Frame::connect_error("/", "no", Some(r#"{"code":42}"#))),
        r#"44{"message":"no","data":{"code":42}}"#
    );
    assert_eq!(text(&Frame::connect_error("/", "no", Some("oh"))), r#"44{"message":"no","data":"oh"}"#);
    assert_eq!(text(&Frame::disconnect("/")), "41");
    assert_eq!(text(&Frame::disconnect("/chat")), "41/chat,");
    assert_eq!(text(&Frame::text_message("hi")), "4hi");
    assert_eq!(text(&Frame::text_message("")), "4");

    let raw = Frame::binary_message(Bytes::from_static(b"abc"));
    assert_eq!((raw.text(), raw.attachments().len(), raw.wire_len()), (None, 1, 3));

    let pictures = (Bytes::from_static(b"one"), 1, [Bytes::from_static(b"two")]);
    let frame = Frame::event("/chat", "ev", Some(45), &pictures).unwrap();
    assert_eq!(
        text(&frame),
        r#"452-/chat,45["ev",{"_placeholder":true,"num":0},1,[{"_placeholder":true,"num":1}]]"#
    );
    assert_eq!(frame.attachments(), [&b"one"[..], b"two"]);
    assert_eq!(frame.wire_len(), text(&frame).len() + 6);
}

#[test]
fn a_tuple_is_several_arguments_and_all_else_is_one() {
    for (frame, expected) in [
        (emit(()), r#"42["e"]"#),
        (emit(((),)), r#"42["e",null]"#),
        (emit((1, "a")), r#"42["e",1,"a"]"#),
        (emit(&(1, "a")), r#"42["e",1,"a"]"#),
        (emit([1, 2]), r#"42["e",1,2]"#),
        (emit(vec![1, 2]), r#"42["e",[1,2]]"#),
        (emit(&[1, 2][..]), r#"42["e",[1,2]]"#),
        (emit(((1, 2),)), r#"42["e",[1,2]]"#),
        (emit(None::<u8>), r#"42["e",null]"#),
        (emit(Some((1, 2))), r#"42["e",[1,2]]"#),
        (emit(Point(1, 2)), r#"42["e",[1,2]]"#),
        (emit(Marker), r#"42["e",null]"#),
        (emit(Wrapped(Some((1, 2)))), r#"42["e",[1,2]]"#),
        (emit("[a"), r#"42["e","[a"]"#),
        (emit(("[", "[")), r#"42["e","[","["]"#),
        (emit(Kind::Plain), r#"42["e","Plain"]"#),
        (emit(Kind::Scaled(2)), r#"42["e",{"Scaled":2}]"#),
        (emit((f64::NAN, f32::INFINITY, 1.0)), r#"42["e",null,null,1.0]"#),
        (emit(RawValue::from_string("[ 1 ]".to_owned()).unwrap()), r#"42["e",[ 1 ]]"#),
        (Frame::ack("/", 1, &[(1, 2)]).unwrap(), "431[[1,2]]"),
        (Frame::ack("/", 1, "a").unwrap(), r#"431["a"]"#),
    ] {
        assert_eq!(text(&frame), expected);
    }
}

#[test]
fn what_has_no_bytes_is_written_as_serde_json_writes_it() {
    let mut numbers: BTreeMap<i64, Option<f64>> = BTreeMap::new();
    numbers.insert(-1, Some(1e21));
    numbers.insert(2, None);
    let mut bools = BTreeMap::new();
    bools.insert(true, 'x');
    let value = (
        numbers,
        bools,
        BTreeMap::<String, u8>::new(),
        Vec::<u8>::new(),
        "\u{0}\"\\\u{7f}é😀\u{2028}",
        (u128::MAX, i128::MIN, u64::MAX, 0.1f32),
        [Kind::Plain, Kind::Scaled(1)],
        core::net::Ipv4Addr::LOCALHOST.to_string(),
    );
    let expected = serde_json::to_string(&("e", &value)).unwrap();
    assert_eq!(text(&emit((&value,)))[2..], expected);

    let keys = BTreeMap::from([(vec![1], 1)]);
    let error = Frame::event("/", "e", None, &keys).unwrap_err();
    assert_eq!(error.to_string(), "cannot be written as JSON: key must be a string");
}

#[test]
fn what_cannot_be_sent_is_refused_in_words() {
    let refused = |namespace, event| Frame::event(namespace, event, None, &()).unwrap_err().to_string();
    assert_eq!(refused("/", "disconnect"), r#"the event name "disconnect" is reserved, choose another"#);
    assert_eq!(refused("chat", "e"), r#"the namespace "chat" must begin with '/' and have no ','"#);
    assert_eq!(refused("/a,b", "e"), r#"the namespace "/a,b" must begin with '/' and have no ','"#);
}

#[test]
fn data_that_looks_like_a_placeholder_is_refused_beside_attachments_only() {
    #[derive(Serialize, Clone)]
    struct Fake {
        _placeholder: bool,
        num: u8,
    }
    let bytes = || Bytes::from_static(b"x");
    let fake = Fake { _placeholder: true, num: 0 };
    let map = BTreeMap::from([("_placeholder", true)]);
    let raw = RawValue::from_string(r#"{"_placeholder":true}"#.to_owned()).unwrap();
    let refused =
        |result: Result<Frame, EncodeError>| assert_eq!(result.unwrap_err(), EncodeError::Placeholder);

    assert_eq!(text(&emit(fake.clone())), r#"42["e",{"_placeholder":true,"num":0}]"#);
    assert!(Frame::event("/", "e", None, &(&map, &raw)).is_ok());
    refused(Frame::event("/", "e", None, &(bytes(), &fake)));
    refused(Frame::event("/", "e", None, &(&fake, bytes())));
    refused(Frame::event("/", "e", None, &(bytes(), &map)));
    refused(Frame::event("/", "e", None, &(bytes(), &raw)));
    let harmless = Fake { _placeholder: false, num: 0 };
    assert!(
        Frame::event("/", "e", None, &(bytes(), harmless, BTreeMap::from([("_placeholder", "true")])))
            .is_ok()
    );
}

#[test]
fn bytes_come_back_wherever_they_stand() {
    let picture = Picture {
        name: "ada".to_owned(),
        data: Bytes::from_static(b"data"),
        thumbnails: vec![None, Some(Bytes::from_static(b"small")), Some(Bytes::new())],
        kind: Kind::Cut { mask: Bytes::from_static(b"mask") },
    };
    let frame = emit((7, &picture, Kind::Pair(1, Bytes::from_static(b"p"))));
    assert_eq!(frame.attachments(), [&b"data"[..], b"small", b"", b"mask", b"p"]);
    let args = receive(&frame).into_args();
    assert_eq!(args.event().as_deref(), Some("e"));
    let (seven, again, kind): (u8, Picture, Kind) = args.decode().unwrap();
    assert_eq!((seven, &again), (7, &picture));
    assert_eq!(kind, Kind::Pair(1, Bytes::from_static(b"p")));
    assert_eq!(args.get::<Picture>(1).unwrap(), picture);
    assert_eq!(args.get::<Option<Picture>>(9).unwrap(), None);
    assert_eq!(args.get::<BTreeMap<String, Value>>(1).unwrap()["data"]["_placeholder"], Value::Bool(true));
}

#[test]
fn bytes_can_be_borrowed_and_have_without_a_copy() {
    let args = receive(&emit((Bytes::from_static(b"abc"), "text"))).into_args();
    let (bytes, text): (&[u8], &str) = args.decode().unwrap();
    assert_eq!((bytes, text), (&b"abc"[..], "text"));
    assert_eq!(bytes.as_ptr(), args.attachments()[0].as_ptr());
    assert_eq!(args.attachment(0).unwrap().as_ptr(), bytes.as_ptr());
    assert_eq!(args.attachment(1), None);
    assert_eq!(args.attachment(2), None);
    // A string is bytes to who asks for them, as it is to serde_json; another object is not.
    assert_eq!(args.get::<&[u8]>(1).unwrap(), b"text");
    let other = Args::from_json(r#"[{"a":1}]"#, vec![Bytes::new()]).unwrap();
    assert_eq!(
        other.get::<Bytes>(0).unwrap_err().to_string(),
        "args[0]: invalid type: map, expected byte array"
    );
}

#[test]
fn a_placeholder_may_be_written_in_any_order_and_used_twice() {
    let json = r#"[{"num":1.0,"x":[{}],"_placehold\u0065r":true},{"_placeholder":true,"num":1}]"#;
    let args = Args::from_json(json, vec![Bytes::new(), Bytes::from_static(b"b")]).unwrap();
    assert_eq!(args.decode::<(&[u8], &[u8])>().unwrap(), (&b"b"[..], &b"b"[..]));
    assert_eq!(args.attachment(0), args.attachment(1));
    let nested = r#"[[{"_placeholder":true,"num":0}]]"#;
    let nested = Args::from_json(nested, vec![Bytes::new()]).unwrap();
    assert_eq!(nested.attachment(0), None);
}

#[test]
fn a_tuple_takes_all_arguments_and_all_else_the_first() {
    let args = |json| Args::from_json(json, vec![]).unwrap();
    let two = args(r#"[1,"a"]"#);
    assert_eq!(two.decode::<(u8, String)>().unwrap(), (1, "a".to_owned()));
    assert_eq!(two.decode::<(u8,)>().unwrap(), (1,));
    assert_eq!(two.decode::<u8>().unwrap(), 1);
    assert_eq!(two.decode::<Option<u8>>().unwrap(), Some(1));
    assert_eq!(two.decode::<Value>().unwrap(), 1);
    assert_eq!(two.decode::<(u8, &str, Option<u8>)>().unwrap(), (1, "a", None));
    two.decode::<()>().unwrap();
    assert_eq!(args("[1,2,3]").decode::<[u8; 2]>().unwrap(), [1, 2]);
    assert_eq!(args("[[1,2]]").decode::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!(args("[[1,2]]").decode::<Point>().unwrap(), Point(1, 2));
    assert_eq!(args("[[1,2]]").decode::<((u8, u8),)>().unwrap(), ((1, 2),));
    assert_eq!(args("[null]").decode::<Marker>().unwrap(), Marker);
    assert_eq!(args("[null]").decode::<Option<u8>>().unwrap(), None);
    assert_eq!(args("[[1,2]]").decode::<Wrapped>().unwrap(), Wrapped(Some((1, 2))));
    assert_eq!(args(r#"["Plain"]"#).decode::<Kind>().unwrap(), Kind::Plain);
    assert_eq!(args("[]").decode::<Option<u8>>().unwrap(), None);
    assert_eq!(args("[]").decode::<Wrapped>().unwrap(), Wrapped(None));
    assert_eq!(args("[]").decode::<(Option<u8>, Option<u8>)>().unwrap(), (None, None));
    args("[]").decode::<()>().unwrap();
    let nothing = decode("2").unwrap().into_args();
    assert_eq!(nothing.decode::<(Option<u8>,)>().unwrap(), (None,));
    assert_eq!((nothing.event(), nothing.len()), (None, 0));
}

#[test]
fn a_failed_decode_says_which_argument_and_why() {
    let args = decode(r#"2["e",1,"a",{"name":5}]"#).unwrap().into_args();
    let first = |error: ArgsError| error.to_string();
    assert_eq!(
        first(args.decode::<(u8, u8)>().unwrap_err()),
        r#"args[1]: invalid type: string "a", expected u8"#
    );
    assert_eq!(
        first(args.decode::<String>().unwrap_err()),
        "args[0]: invalid type: integer `1`, expected a string"
    );
    assert_eq!(
        first(args.get::<Picture>(2).unwrap_err()),
        "args[2]: invalid type: integer `5`, expected a string"
    );
    assert_eq!(args.get::<u8>(7).unwrap_err(), ArgsError::Missing { position: 7, count: 3 });
    let one = decode(r#"2["e",1]"#).unwrap().into_args();
    assert_eq!(first(one.decode::<(u8, u8)>().unwrap_err()), "args[1] is missing, the peer sent 1");
    assert_eq!(
        decode(r#"2["e"]"#).unwrap().into_args().decode::<u8>().unwrap_err(),
        ArgsError::Missing { position: 0, count: 0 }
    );
    // With attachments, the same words.
    let args = receive(&emit((Bytes::new(), "a"))).into_args();
    assert_eq!(
        first(args.decode::<(Bytes, u8)>().unwrap_err()),
        r#"args[1]: invalid type: string "a", expected u8"#
    );
    assert_eq!(first(args.get::<u8>(0).unwrap_err()), "args[0]: invalid type: map, expected u8");
    assert_eq!(
        args.decode::<(Bytes, String, u8)>().unwrap_err(),
        ArgsError::Missing { position: 2, count: 2 }
    );
}

#[test]
fn received_arguments_are_passed_on_as_they_came() {
    let plain = decode(r#"2["e", 1.50 ,{"a": "\ud83d"} ]"#).unwrap().into_args();
    assert_eq!(text(&Frame::event("/", "x", None, &plain).unwrap()), r#"42["x",1.50 ,{"a": "\ud83d"} ]"#);
    assert_eq!(text(&Frame::ack("/", 0, &plain).unwrap()), r#"430[1.50 ,{"a": "\ud83d"} ]"#);
    let none = decode(r#"2["e"]"#).unwrap().into_args();
    assert_eq!(text(&Frame::ack("/", 0, &none).unwrap()), "430[]");

    let binary = receive(&emit((Bytes::from_static(b"a"), [Bytes::from_static(b"b")]))).into_args();
    let frame = Frame::ack("/", 5, &binary).unwrap();
    assert_eq!(text(&frame), r#"462-5[{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#);
    assert_eq!(frame.attachments(), binary.attachments());
}

#[test]
fn several_received_arguments_fit_into_one_message() {
    struct Both<'a>(Bytes, &'a Args, &'a Args);
    impl ToArgs for Both<'_> {
        fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
            out.arg(&self.0)?;
            self.1.to_args(out)?;
            self.2.to_args(out)
        }
    }
    let json = r#"[{"_placeholder":true,"num":1,"in":{"num":0,"_placeholder":true}}]"#;
    let binary = Args::from_json(json, vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]).unwrap();
    let plain = Args::from_json("[7]", vec![]).unwrap();
    let frame = Frame::ack("/", 5, &Both(Bytes::from_static(b"0"), &binary, &plain)).unwrap();
    assert_eq!(
        text(&frame),
        r#"463-5[{"_placeholder":true,"num":0},{"_placeholder":true,"num":2,"in":{"num":1,"_placeholder":true}},7]"#
    );
    let args = receive(&frame).into_args();
    assert_eq!(args.decode::<(&[u8], &[u8], u8)>().unwrap(), (&b"0"[..], &b"b"[..], 7));

    let fake = Args::from_json(r#"[{"_placeholder":true,"num":0}]"#, vec![]).unwrap();
    let error = Frame::ack("/", 5, &Both(Bytes::new(), &plain, &fake)).unwrap_err();
    assert_eq!(error, EncodeError::Placeholder);
}

#[test]
fn from_json_checks_what_it_is_given() {
    for (json, legal) in
        [("[]", true), (" [1] ", true), ("", false), ("{}", false), ("[1", false), ("[1]x", false)]
    {
        assert_eq!(Args::from_json(json, vec![]).is_ok(), legal, "{json}");
    }
    let error = Args::from_json(r#"[{"_placeholder":true,"num":1}]"#, vec![Bytes::new()]).unwrap_err();
    assert_eq!(error, PacketError::IllegalPlaceholder { announced: 1 });
}

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
    let mut packet = reassembly.start(packet, 100).unwrap();
    while packet.is_none() {
        packet = reassembly.push(Bytes::from_static(b"x")).unwrap();
    }
    let packet = packet.unwrap();
    let _ = (packet.namespace(), packet.data(), packet.wire_len(), format!("{packet:?}"));
    let args = packet.into_args();
    let _ = (args.event(), args.decode::<(Value, Option<Bytes>)>(), args.decode::<Vec<u8>>());
    for i in 0..=args.len() {
        let raw = args.raw(i);
        assert_eq!(raw.is_some(), i < args.len());
        if let Some(raw) = raw {
            serde_json::from_str::<serde::de::IgnoredAny>(raw).unwrap();
        }
        let _ = (args.get::<Value>(i), args.get::<Bytes>(i), args.attachment(i));
    }
    let frame = Frame::ack("/", 1, &args).unwrap();
    assert_eq!(receive(&frame).into_args().len(), args.len());
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Packet::decode(Bytes::from(bytes), 10) {
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
        prop_assume!(!super::packet::is_reserved(&event));
        let packet = receive(&Frame::event(&namespace, &event, ack, &args).unwrap());
        prop_assert_eq!(packet.kind(), PacketType::Event);
        prop_assert_eq!(packet.namespace(), if namespace.is_empty() { "/" } else { &namespace });
        prop_assert_eq!(packet.id(), ack);
        let received = packet.into_args();
        prop_assert_eq!(received.event().unwrap(), event);
        prop_assert_eq!(received.len(), 3);
        let value = received.get::<Value>(0).unwrap();
        // Numbers are compared as text: serde_json's own reading of a double may differ in its last digit.
        prop_assert_eq!(received.raw(0).unwrap(), serde_json::to_string(&args.0).unwrap());
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
        let packet = receive(&Frame::ack("/a", id, &(&picture, 1)).unwrap());
        prop_assert_eq!((packet.kind(), packet.id()), (PacketType::BinaryAck, Some(id)));
        prop_assert_eq!(packet.attachments(), blobs.len() + 2);
        prop_assert_eq!(packet.into_args().decode::<(Picture, u8)>().unwrap(), (picture, 1));
    }
}
