use super::check;
use super::head::Fault;
use crate::message::{Frame, WireMessage};
use crate::socket::{
    Args, Date, EncodeError, Packet, PacketData, PacketError, PacketType, Parser, Part, ToArgs,
};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const PARSER: Parser = Parser::msgpack();

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes =
        digits.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap());
    bytes.collect::<Vec<u8>>().into()
}

fn message(frame: &Frame) -> Bytes {
    assert_eq!(frame.text(), None);
    let [message] = frame.attachments() else { panic!("one message: {frame:?}") };
    message.clone()
}

fn read(text: &str) -> Result<Packet, PacketError> {
    PARSER.decode(hex(text))
}

/// The arguments of an event with those values.
fn args<T: ToArgs + ?Sized>(values: &T) -> Args {
    let frame = PARSER.event("/", "e", None, values).unwrap();
    PARSER.decode(message(&frame)).unwrap().into_args()
}

/// Arguments of which the last is those bytes.
fn raw(value: &[u8]) -> Args {
    let mut out = hex("83a47479706503a36e7370a12fa46461746191").to_vec();
    out.extend_from_slice(value);
    PARSER.decode(out.into()).unwrap().into_args()
}

#[test]
fn packets_are_written_as_the_peers_write_them() {
    let data = Bytes::from_static(&[1, 2, 3]);
    let auth = PacketData::from_json(r#"{"token":"t1"}"#).unwrap();
    for (frame, bytes) in [
        (PARSER.join("/", None), "82a47479706500a36e7370a12f"),
        (
            PARSER.join("/chat", Some(&auth)),
            "83a47479706500a36e7370a52f63686174a46461746181a5746f6b656ea27431",
        ),
        (PARSER.disconnect("/"), "82a47479706501a36e7370a12f"),
        (
            PARSER.connect_recoverable("/", "a", "b"),
            "83a47479706500a36e7370a12fa46461746182a3736964a161a3706964a162",
        ),
        (PARSER.connect("/", "abc"), "83a47479706500a36e7370a12fa46461746181a3736964a3616263"),
        (
            PARSER.event("/", "hello", None, &1).unwrap(),
            "83a47479706502a36e7370a12fa46461746192a568656c6c6f01",
        ),
        (
            PARSER.event("/admin", "hello", Some(12), &data).unwrap(),
            "84a47479706502a36e7370a62f61646d696ea46461746192a568656c6c6fc403010203a269640c",
        ),
        (PARSER.ack("/", 0, &"x").unwrap(), "84a47479706503a36e7370a12fa46461746191a178a2696400"),
        (
            PARSER.connect_error("/", "no", None),
            "83a47479706504a36e7370a12fa46461746181a76d657373616765a26e6f",
        ),
        (
            PARSER.with_offset(&PARSER.event("/", "e", None, &1).unwrap(), "x"),
            "83a47479706502a36e7370a12fa46461746193a16501a178",
        ),
    ] {
        assert_eq!(message(&frame), hex(bytes), "{bytes}");
    }
}

#[test]
fn packets_of_the_peers_are_read() {
    // npm's client: `data` is undefined, and `options` is its own business.
    let packet = read("83a47479706500a464617461d40000a36e7370a12f").unwrap();
    assert_eq!((packet.kind(), packet.namespace(), packet.data()), (PacketType::Connect, "/", None));
    let packet =
        read("85a47479706502a46461746192a16501a76f7074696f6e7381a8636f6d7072657373c3a2696400a36e7370a12f")
            .unwrap();
    assert_eq!((packet.id(), packet.is_binary()), (Some(0), false));
    let args = packet.into_args();
    assert_eq!((args.event().unwrap(), args.decode::<u8>().unwrap()), ("e".into(), 1));
    // Python's: `data` is nil.
    let packet = read("83a47479706500a464617461c0a36e7370a52f63686174").unwrap();
    assert_eq!((packet.kind(), packet.namespace(), packet.data()), (PacketType::Connect, "/chat", None));
    // A server that has connection state recovery off: `pid` is undefined.
    let packet = read("83a47479706500a46461746182a3736964a3616263a3706964d40000a36e7370a12f").unwrap();
    assert_eq!(packet.sid().as_deref(), Some("abc"));
    assert_eq!(packet.data().unwrap().json(), r#"{"sid":"abc"}"#);
    let packet = read("83a47479706504a46461746182a76d657373616765a26e6fa46461746101a36e7370a12f").unwrap();
    let (words, data) = packet.refusal();
    assert_eq!((&*words, data.unwrap().json()), ("no", "1"));
    let packet = read("83a47479706504a464617461a26e6fa36e7370a12f").unwrap();
    assert_eq!(packet.refusal(), ("no".to_string(), None));
}

#[test]
fn what_is_no_packet_says_why() {
    for (bytes, words) in [
        ("", "the packet is empty, it must begin with a packet type"),
        ("30", "expected a map, does the peer use another parser?, at byte 0"),
        ("80", "the map has no \"type\", at byte 0"),
        ("81a47479706502", "the map has no \"nsp\", at byte 0"),
        ("82a47479706505a36e7370a12f", "the type must be 0 to 4, at byte 6"),
        ("82a474797065c0a36e7370a12f", "the type must be an integer from 0 to 4, at byte 6"),
        ("82a47479706500a36e737001", "the namespace must be a text, at byte 11"),
        ("82a47479706500a36e7370a161", "the namespace must begin with '/' and have no ',', at byte 11"),
        ("83a47479706500a36e7370a12fa26964ff", "the id must be an integer of at least 0, at byte 16"),
        ("82a47479706500a36e7370a12f00", "there are bytes behind the packet, at byte 13"),
        ("82a47479706500a36e7370a2", "the end is missing, at byte 11"),
        ("820000a36e7370a12f", "a key of the packet is no text, at byte 1"),
        ("83a47479706502a36e7370a12fa46461746191c1", "the byte c1 means nothing, at byte 18"),
        ("83a47479706502a36e7370a12fa464617461dfffffffff", "the end is missing, at byte 18"),
        ("83a47479706502a36e7370a12fa464617461ddffffffff", "the end is missing, at byte 18"),
        ("83a47479706502a36e7370a12fa464617461dbffffffff", "the end is missing, at byte 18"),
        (
            "83a47479706503a36e7370a12fa46461746191819001",
            "the key of a map must be a text or a number, at byte 18",
        ),
        (
            "82a47479706502a36e7370a12f",
            "invalid EVENT payload: expected a list that begins with the event's name",
        ),
        ("83a47479706502a36e7370a12fa46461746191c0", "the event's name must be a text or an integer"),
        ("83a47479706501a36e7370a12fa46461746180", "invalid DISCONNECT payload: expected none"),
        ("83a47479706500a36e7370a12fa46461746190", "invalid CONNECT payload: expected a map"),
        ("82a47479706503a36e7370a12f", "invalid ACK payload: expected a list"),
        ("83a47479706502a36e7370a12fa46461746191a7636f6e6e656374", "\"connect\" is reserved"),
        ("83a47479706501a464937461c0a36e7370a12f", "the packet's text is not UTF-8"),
        ("83a47479706502a36e7370a12fa46461746191a1ff", "the packet's text is not UTF-8"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{bytes}: {error}");
    }
}

#[test]
fn each_parser_refuses_the_messages_of_the_other() {
    let text = WireMessage::Text(Bytes::from_static(b"0"));
    let binary = WireMessage::Binary(message(&PARSER.join("/", None)));
    let error = PARSER.part(text.clone()).unwrap_err();
    assert_eq!(error, PacketError::UnexpectedText);
    assert!(error.to_string().contains("another parser"));
    assert!(matches!(PARSER.part(binary.clone()), Ok(Part::Packet(_))));
    // Which the reassembly refuses.
    assert!(matches!(Parser::json().part(binary), Ok(Part::Attachment(_))));
    assert!(PacketError::UnexpectedBinary.to_string().contains("another parser"));
}

#[test]
fn an_event_without_a_name_is_heard_by_nothing() {
    let packet = read("84a47479706502a36e7370a12fa46461746190a2696407").unwrap();
    assert_eq!(packet.id(), Some(7));
    let args = packet.into_args();
    assert_eq!((args.event(), args.len(), args.event_bytes()), (None, 0, None));
    let args = read("83a47479706502a36e7370a12fa4646174619105").unwrap().into_args();
    assert_eq!(args.event().as_deref(), Some("5"));
    assert_eq!(args.event_bytes().as_deref(), Some(&b"5"[..]));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    New(u8),
    Pair(u8, String),
    Named { a: Option<u8>, b: Bytes },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    integers: (i8, i16, i32, i64, u8, u16, u32, u64),
    floats: (f32, f64),
    text: String,
    letter: char,
    bytes: Bytes,
    nothing: Option<u8>,
    some: Option<bool>,
    list: Vec<Shape>,
    keys: BTreeMap<u16, String>,
    signs: BTreeMap<i8, ()>,
    flags: BTreeMap<bool, u8>,
    #[serde(default)]
    absent: u8,
}

fn everything() -> Everything {
    Everything {
        integers: (-1, -300, -70_000, i64::MIN, 200, 60_000, 4_000_000_000, u64::MAX),
        floats: (0.1, 1e300),
        text: "zwölf 😀".to_owned() + &"x".repeat(300),
        letter: 'ä',
        bytes: vec![7; 70_000].into(),
        nothing: None,
        some: Some(true),
        list: vec![
            Shape::Unit,
            Shape::New(1),
            Shape::Pair(2, String::new()),
            Shape::Named { a: Some(1), b: Bytes::new() },
        ],
        keys: (0..300).map(|number| (number, number.to_string())).collect(),
        signs: [(-1, ()), (5, ())].into(),
        flags: [(true, 1), (false, 0)].into(),
        absent: 3,
    }
}

#[test]
fn types_come_back_as_they_were() {
    let args = args(&("first", everything(), 3));
    assert_eq!(args.len(), 3);
    let (first, back, third): (String, Everything, u8) = args.decode().unwrap();
    assert_eq!((&*first, third), ("first", 3));
    assert_eq!(back, everything());
    assert_eq!(args.get::<Everything>(1).unwrap(), everything());
    assert_eq!(args.iter().map(|argument| argument.position()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(args.skip(2).decode::<u8>().unwrap(), 3);
    assert_eq!(args.bytes(0), None);
}

#[test]
fn what_javascript_has_beside_is_read() {
    let date = raw(&hex("d70000000000000003e8"));
    assert_eq!(date.decode::<String>().unwrap(), "1970-01-01T00:00:01.000Z");
    assert_eq!(date.decode::<i64>().unwrap(), 1000);
    assert_eq!(date.decode::<f64>().unwrap(), 1000.0);
    assert_eq!(date.decode::<Date>().unwrap(), Date::from_millis(1000));
    assert_eq!(date.decode::<Value>().unwrap(), json!("1970-01-01T00:00:01.000Z"));
    let timestamp = raw(&hex("d6ff00000001"));
    assert_eq!(timestamp.decode::<Date>().unwrap(), Date::from_millis(1000));
    let timestamp = raw(&hex("d7ff7735940000000001"));
    assert_eq!(timestamp.decode::<i64>().unwrap(), 1500);
    let timestamp = raw(&hex("c70cff1dcd6500ffffffffffffffff"));
    assert_eq!(timestamp.decode::<i64>().unwrap(), -500);
    let undefined = raw(&hex("d40000"));
    assert_eq!(undefined.decode::<Option<u8>>().unwrap(), None);
    assert_eq!(undefined.decode::<Value>().unwrap(), Value::Null);
    let members = raw(&hex("83a161d40000a16201a163d40000"));
    assert_eq!(members.decode::<BTreeMap<String, u8>>().unwrap(), [("b".to_string(), 1)].into());
    assert_eq!(members.to_json(), r#"{"b":1}"#);
    let buffer = raw(&hex("c70800 0102030405060708"));
    assert_eq!(buffer.decode::<Bytes>().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8][..]);
    let nan = raw(&hex("cb7ff8000000000000"));
    assert!(nan.decode::<f64>().unwrap().is_nan());
    assert_eq!(nan.to_json(), "null");
    let keys = raw(&hex("83 01a161 c3a162 cb3ff8000000000000a163"));
    assert_eq!(keys.decode::<Value>().unwrap(), json!({ "1": "a", "true": "b", "1.5": "c" }));
    let whole = raw(&hex("81 05 c0"));
    assert_eq!(whole.decode::<BTreeMap<u8, ()>>().unwrap(), [(5, ())].into());
    let foreign = raw(&hex("d501aabb"));
    assert_eq!(foreign.decode::<Bytes>().unwrap(), [0xaa, 0xbb][..]);
}

#[test]
fn numbers_have_their_shortest_forms() {
    for (value, bytes) in [
        (json!(0), "00"),
        (json!(127), "7f"),
        (json!(128), "cc80"),
        (json!(300), "cd012c"),
        (json!(70_000), "ce00011170"),
        (json!(5_000_000_000_u64), "cf000000012a05f200"),
        (json!(-1), "ff"),
        (json!(-32), "e0"),
        (json!(-33), "d0df"),
        (json!(-129), "d1ff7f"),
        (json!(-40_000), "d2ffff63c0"),
        (json!(-5_000_000_000_i64), "d3fffffffed5fa0e00"),
        (json!(1.5), "cb3ff8000000000000"),
    ] {
        let frame = PARSER.ack("/", 0, &value).unwrap();
        let expected =
            [&hex("84a47479706503a36e7370a12fa46461746191")[..], &hex(bytes), &hex("a2696400")].concat();
        assert_eq!(message(&frame), expected, "{value}");
    }
    assert_eq!(args(&u128::from(u64::MAX)).decode::<u64>().unwrap(), u64::MAX);
    assert_eq!(args(&i128::from(i64::MIN)).decode::<i64>().unwrap(), i64::MIN);
    assert!(matches!(PARSER.ack("/", 0, &u128::MAX), Err(EncodeError::Value(_))));
    assert!(args(&f64::INFINITY).decode::<f64>().unwrap().is_infinite());
}

#[test]
fn dates_are_dates_at_the_peer() {
    let frame = PARSER.ack("/", 0, &Date::from_millis(1000)).unwrap();
    assert_eq!(&message(&frame)[19..29], &hex("d70000000000000003e8"));
    assert_eq!(args(&[Date::from_millis(-5)]).decode::<Date>().unwrap(), Date::from_millis(-5));
}

#[test]
fn lists_of_any_length_have_the_right_head() {
    for len in [0usize, 1, 14, 15, 16, 255, 256, 999] {
        let values: Vec<usize> = (0..len).collect();
        let frame = PARSER.event("/", "e", Some(1), &Many(&values)).unwrap();
        let args = PARSER.decode(message(&frame)).unwrap().into_args();
        assert_eq!(args.len(), len);
        let back: Vec<usize> = args.iter().map(|argument| argument.decode().unwrap()).collect();
        assert_eq!(back, values);
    }
    // serde does not say how long these will be.
    #[derive(Serialize)]
    struct Flat {
        #[serde(flatten)]
        all: BTreeMap<String, u8>,
    }
    for len in [0u8, 15, 16, 200] {
        let all: BTreeMap<String, u8> = (0..len).map(|number| (number.to_string(), number)).collect();
        let back: BTreeMap<String, u8> = args(&Flat { all: all.clone() }).decode().unwrap();
        assert_eq!(back, all);
    }
}

/// As many arguments as there are.
struct Many<'a>(&'a [usize]);

impl ToArgs for Many<'_> {
    fn to_args(&self, out: &mut crate::socket::ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|value| out.arg(value))
    }
}

#[test]
fn raw_json_is_taken_and_given() {
    let raw = RawValue::from_string(r#"{"a":[1,2.5,"x",null]}"#.to_string()).unwrap();
    let args = args(&(&raw, 1));
    assert_eq!(args.decode::<(Value, u8)>().unwrap().0, json!({"a": [1, 2.5, "x", null]}));
    let (back, one): (alloc::boxed::Box<RawValue>, u8) = args.decode().unwrap();
    assert_eq!((back.get(), one), (raw.get(), 1));
}

#[test]
fn errors_say_which_argument_and_why() {
    let args = args(&("a", 1));
    let error = args.decode::<(String, String)>().unwrap_err();
    assert_eq!(error.to_string(), "args[1]: invalid type: integer `1`, expected a string");
    let error = args.decode::<(String, u8, u8)>().unwrap_err();
    assert_eq!(error.to_string(), "args[2] is missing, the peer sent 2");
    assert_eq!(args.decode::<(String, u8, Option<u8>)>().unwrap().2, None);
    assert_eq!(args.json(0), None);
    assert_eq!(args.to_json(), r#""a",1"#);
}

#[test]
fn limits_hold_in_both_directions() {
    let deep = |levels: usize| {
        let mut value = json!(1);
        for _ in 1..levels {
            value = json!([value]);
        }
        value
    };
    let small = Parser::msgpack().max_depth(5).max_arguments(2);
    let frame = |levels| message(&PARSER.event("/", "e", None, &deep(levels)).unwrap());
    assert!(small.decode(frame(5)).is_ok());
    assert_eq!(small.decode(frame(6)).unwrap_err(), PacketError::TooDeep { max: 5 });
    assert!(small.event("/", "e", None, &deep(5)).is_ok());
    assert_eq!(small.event("/", "e", None, &deep(6)), Err(EncodeError::TooDeep { max: 5 }));
    let relayed = PARSER.decode(frame(6)).unwrap().into_args();
    assert_eq!(small.event("/", "e", None, &relayed), Err(EncodeError::TooDeep { max: 5 }));
    assert_eq!(small.event("/", "e", None, &(1, 2, 3)), Err(EncodeError::TooManyArguments { max: 2 }));
    let three = message(&PARSER.event("/", "e", None, &(1, 2, 3)).unwrap());
    assert_eq!(small.decode(three).unwrap_err(), PacketError::TooManyArguments { max: 2 });
    assert_eq!(
        PARSER.event("/", "connect", None, &()),
        Err(EncodeError::ReservedEvent("connect".to_string()))
    );
    assert_eq!(PARSER.event("/a,b", "e", None, &()), Err(EncodeError::Namespace("/a,b".to_string())));
    // Deeper than a stack is.
    let mut hostile = hex("83a47479706503a36e7370a12fa464617461").to_vec();
    hostile.extend(core::iter::repeat_n(0x91, 1_000_000));
    hostile.push(0);
    assert_eq!(PARSER.decode(hostile.clone().into()).unwrap_err(), PacketError::TooDeep { max: 500 });
    let args = PARSER.max_depth(usize::MAX).decode(hostile.into()).unwrap().into_args();
    assert!(args.decode::<Value>().unwrap_err().to_string().contains("recursion limit"));
    assert_eq!(args.to_json().len(), 1_999_999);
}

#[test]
fn the_data_of_a_connect_is_not_too_deep_for_json() {
    let mut auth = hex("83a47479706500a36e7370a12fa464617461 81a161").to_vec();
    auth.extend(core::iter::repeat_n(0x91, 130));
    auth.push(0);
    assert_eq!(PARSER.decode(auth.into()).unwrap_err(), PacketError::TooDeep { max: 128 });
}

#[test]
fn arguments_are_passed_on_as_they_stand() {
    let bytes = hex(
        "84a47479706502a46461746195a165c4020102d40000d70000000000000003e8cb7ff8000000000000a2696401a36e7370a12f",
    );
    let args = PARSER.decode(bytes.clone()).unwrap().into_args();
    let again = message(&PARSER.event("/", "e", Some(1), &args).unwrap());
    let list = hex("95a165c4020102d40000d70000000000000003e8cb7ff8000000000000");
    assert!(again.windows(list.len()).any(|window| window == list));
    let last = message(&PARSER.event("/", "e", None, &args.skip(3)).unwrap());
    assert!(last.ends_with(&hex("92a165cb7ff8000000000000")));
    // Python would refuse a key that is no text.
    let odd = raw(&hex("8101a161"));
    let relayed = message(&PARSER.event("/", "e", None, &odd).unwrap());
    assert!(relayed.ends_with(&hex("81a131a161")));
    // All else of them stays: dates, `undefined`, NaN, and a map that looks like JSON's placeholder of the bytes beside it.
    let lookalike = hex("82ac5f706c616365686f6c646572c3a36e756d00");
    let values = [&hex("94c403010203")[..], &lookalike, &hex("d40000cb7ff8000000000000")].concat();
    let odd = raw(&[&hex("82")[..], &hex("01a161"), &hex("02"), &values].concat());
    let relayed = message(&PARSER.event("/", "e", None, &odd).unwrap());
    assert!(relayed.ends_with(&[&hex("82a131a161a132")[..], &values].concat()));
    let none = message(&PARSER.event("/", "e", None, &args.skip(9)).unwrap());
    assert!(none.ends_with(&hex("91a165")));
}

#[test]
fn arguments_go_from_one_parser_to_another() {
    let picture = Bytes::from_static(&[1, 2, 3]);
    let sent = ("a", &picture, json!({"deep": [1, -2, 2.5, null, true, "é"]}), [&picture]);
    type Back = (String, Bytes, Value, [Bytes; 1]);
    let packed = args(&sent);
    let frame = Parser::json().event("/", "e", None, &packed).unwrap();
    assert_eq!(
        frame.text().unwrap(),
        concat!(
            r#"452-["e","a",{"_placeholder":true,"num":0},{"deep":[1,-2,2.5,null,true,"é"]},"#,
            r#"[{"_placeholder":true,"num":1}]]"#
        )
    );
    assert_eq!(frame.attachments(), [&picture[..], &picture[..]]);
    let json = Parser::json().event_of(&frame).unwrap();
    let back = message(&PARSER.event("/", "e", None, &json).unwrap());
    assert_eq!(back, message(&PARSER.event("/", "e", None, &sent).unwrap()));
    let once: Back = packed.decode().unwrap();
    assert_eq!(json.decode::<Back>().unwrap(), once);
    assert_eq!((packed.bytes(1), json.bytes(1)), (Some(picture.clone()), Some(picture)));
    // A map that looks like a placeholder would be taken for bytes.
    let lookalike = args(&(json!({"_placeholder": true, "num": 0}), Bytes::from_static(b"x")));
    assert_eq!(Parser::json().event("/", "e", None, &lookalike), Err(EncodeError::Placeholder));
    assert!(Parser::json().event("/", "e", None, &args(&json!({"_placeholder": true}))).is_ok());
}

#[test]
fn an_offset_stands_behind_the_arguments() {
    for count in [0usize, 1, 14, 15, 300] {
        let values: Vec<usize> = (0..count).collect();
        let event = PARSER.event("/chat", "e", Some(7), &Many(&values)).unwrap();
        let with_offset = PARSER.with_offset(&event.clone().compress(false), "Q8AVICU");
        assert!(!with_offset.may_compress() && PARSER.with_offset(&event, "Q8AVICU").may_compress());
        let packet = PARSER.decode(message(&with_offset)).unwrap();
        assert_eq!((packet.namespace(), packet.id()), ("/chat", Some(7)));
        let args = packet.into_args();
        assert_eq!((args.len(), args.get::<String>(count).unwrap()), (count + 1, "Q8AVICU".to_string()));
    }
    let other = PARSER.ack("/", 1, &()).unwrap();
    assert_eq!(PARSER.with_offset(&other, "x"), other);
}

#[test]
fn an_event_is_seen_as_its_receiver_gets_it() {
    let frame = PARSER.event("/chat", "said", Some(1), &("a", 1)).unwrap();
    let event = PARSER.event_of(&frame).unwrap();
    assert_eq!((event.event().unwrap(), event.decode::<(String, u8)>().unwrap().1), ("said".into(), 1));
    assert!(PARSER.event_of(&PARSER.ack("/", 1, &()).unwrap()).is_none());
    assert!(PARSER.event_of(&PARSER.disconnect("/")).is_none());
    assert!(PARSER.event_of(&Frame::text_message("2[]")).is_none());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|value| Value::from(f64::from(value) / 8.0)),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(".{0,5}", inner, 0..20)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Bytes that have many kinds of values in them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        prop::sample::select(vec![
            "80",
            "81",
            "90",
            "91",
            "92",
            "a0",
            "a161",
            "c0",
            "c1",
            "d40000",
            "d70000000000000003e8",
            "c401ff",
            "c700ff",
            "dc0002",
            "dd00000001",
            "de0001",
            "df00000001",
            "dd7fffffff",
            "cb7ff8000000000000",
            "ca3f800000",
            "ff",
            "a2ffff",
            "d501aabb",
            "c70100aa",
        ])
        .prop_map(|text| hex(text).to_vec()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn values_come_back(value in values()) {
        let packed = args(&(&value, 1));
        prop_assert_eq!(packed.decode::<(Value, u8)>().unwrap(), (value.clone(), 1));
        // The same as JSON, there and back.
        let json = Args::from_json(&format!("[{}]", packed.to_json()), vec![]).unwrap();
        prop_assert_eq!(json.decode::<(Value, u8)>().unwrap(), (value.clone(), 1));
        let relayed = args(&json);
        prop_assert_eq!(relayed.decode::<(Value, u8)>().unwrap(), (value, 1));
    }

    #[test]
    fn values_are_written_as_rmp_writes_them(value in values()) {
        // Lists and maps, texts and numbers: the same bytes.
        let theirs = rmp_serde::to_vec_named(&value).unwrap();
        let frame = PARSER.event("/", "e", None, &value).unwrap();
        prop_assert!(message(&frame).ends_with(&theirs));
    }

    #[test]
    fn a_value_that_was_checked_is_skipped_to_the_same_place(bytes in pieces()) {
        let mut checked = &bytes[..];
        let seen = check::value(&mut checked, 20);
        let mut skipped = &bytes[..];
        check::skip(&mut skipped, 1);
        match seen {
            Ok(seen) => {
                prop_assert_eq!(checked.len(), skipped.len());
                let value = &bytes[..bytes.len() - checked.len()];
                let mut tight = value;
                prop_assert_eq!(check::value(&mut tight, seen.depth).unwrap(), seen);
                if seen.depth > 0 {
                    let mut tighter = value;
                    let error = check::value(&mut tighter, seen.depth - 1).unwrap_err();
                    prop_assert_eq!(error, Fault::TooDeep { max: seen.depth - 1 });
                }
                // Whoever reads it finds it whole.
                raw(value).decode::<serde::de::IgnoredAny>().unwrap();
                let _ = raw(value).decode::<Value>();
                let json = raw(value).to_json();
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(), "{}", json);
                let again = args(&raw(value));
                prop_assert!(again.to_json() == json || json.contains("_placeholder"));
            }
            // A prefix of something, or nothing: no length is believed.
            Err(Fault::Cut) => prop_assert!(bytes.len() < 300),
            Err(_) => {}
        }
    }
}
