//! Packets of one peer must not end another one, nor make anybody hold much more than it has sent.

use crate::socket::json::codec_tests::*;
use crate::socket::{DataError, PacketData, Parser};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

/// The whole packet, with attachments of these lengths. As a server takes it that allows a million bytes in a message.
fn whole(text: &str, attachments: &[usize]) -> Result<Args, PacketError> {
    let mut reassembly = Reassembly::new();
    let mut packet = reassembly.start(decode(text)?, 10_000_000, 1_000_000)?;
    for &len in attachments {
        packet = reassembly.push(vec![7; len].into())?;
    }
    Ok(packet.unwrap().into_args())
}

fn named(times: usize) -> String {
    vec![PLACEHOLDER; times].join(",")
}

/// Lists inside each other.
fn nested(levels: usize) -> Value {
    (1..levels).fold(Value::Array(vec![]), |inner, _| Value::Array(vec![inner]))
}

fn raw(json: String) -> alloc::boxed::Box<RawValue> {
    RawValue::from_string(json).unwrap()
}

#[test]
fn an_attachment_that_is_named_often_is_passed_on_once() {
    // 366 bytes of this made a server send 11 attachments, for which its other clients closed.
    let args = whole(&format!("51-[\"e\",{}]", named(11)), &[3]).unwrap();
    let frame = Parser::json().event("/", "e", None, &args).unwrap();
    assert_eq!(text(&frame), format!("451-[\"e\",{}]", named(11)));
    assert_eq!(frame.attachments().len(), 1);
    let received = receive(&frame).into_args();
    assert_eq!((0..11).filter(|&at| received.attachment(at) == args.attachment(at)).count(), 11);
}

#[test]
fn what_placeholders_stand_for_is_no_more_than_what_has_come_or_one_message() {
    let text = format!("510-[\"e\",{}]", named(160));
    let lengths = |large| [large, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // 905 KB became 144 MB.
    let error = whole(&text, &lengths(900_000)).unwrap_err();
    assert_eq!(error, PacketError::ReferencesTooLarge { max: 1_000_000 });
    assert_eq!(whole(&text, &lengths(6_251)).unwrap_err(), error);
    let args = whole(&text, &lengths(6_250)).unwrap();
    assert_eq!(args.decode::<(Bytes, Bytes)>().unwrap().1.len(), 6_250);
    // What is passed on is what has come, without the nine that are not named.
    let frame = Parser::json().event("/", "e", None, &args).unwrap();
    assert_eq!((frame.attachments().len(), frame.attachments()[0].len()), (1, 6_250));
    // Named once each, they may be as large as messages are.
    let each: Vec<_> = (0..10).map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#)).collect();
    let args = whole(&format!("510-[\"e\",{}]", each.join(",")), &[1_000_000; 10]).unwrap();
    assert_eq!(Parser::json().event("/", "e", None, &args).unwrap().attachments().len(), 10);
}

#[test]
fn no_more_attachments_leave_than_peers_take() {
    let pictures = |count| vec![Bytes::from_static(b"picture"); count];
    let event = |parser: Parser, count| parser.event("/", "e", None, &pictures(count)).map(|_| ());
    assert_eq!(event(Parser::json(), 10), Ok(()));
    assert_eq!(event(Parser::json(), 11), Err(EncodeError::TooManyAttachments { max: 10 }));
    assert_eq!(event(Parser::json().max_sent_attachments(11), 11), Ok(()));

    let each: Vec<_> = (0..10).map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#)).collect();
    let args = whole(&format!("510-[\"e\",{}]", each.join(",")), &[1; 10]).unwrap();
    struct Beside(Args);
    impl ToArgs for Beside {
        fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
            self.0.to_args(out)?;
            out.arg(&Bytes::from_static(b"picture"))
        }
    }
    let error = Parser::json().event("/", "e", None, &Beside(args)).unwrap_err();
    assert_eq!(error, EncodeError::TooManyAttachments { max: 10 });
}

#[test]
fn what_leaves_is_no_deeper_and_has_no_longer_numbers_than_peers_take() {
    let event = |args: &dyn Fn() -> Result<Frame, EncodeError>| args().map(|_| ());
    let value = |value: Value| event(&|| Parser::json().event("/", "e", None, &(&value,)));
    let foreign = |json: String| event(&|| Parser::json().event("/", "e", None, &(1, [raw(json.clone())])));
    let deep = Err(EncodeError::TooDeep { max: 500 });
    assert_eq!(value(nested(499)), Ok(()));
    assert_eq!(value(nested(500)), deep);
    let lists = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(foreign(lists(498)), Ok(()));
    assert_eq!(foreign(lists(499)), deep);
    assert_eq!(foreign("1".repeat(400)), Ok(()));
    assert_eq!(foreign("1".repeat(401)), Err(EncodeError::NumberTooLong { max: 400 }));

    // Both levels of a variant count, and a list that has ended does not.
    #[derive(Serialize)]
    enum Nested {
        One(Vec<Nested>),
    }
    let variants = |levels| (0..levels).fold(vec![], |inner, _| vec![Nested::One(inner)]);
    assert_eq!(event(&|| Parser::json().ack("/", 1, &(variants(249),))), Ok(()));
    assert_eq!(event(&|| Parser::json().ack("/", 1, &(variants(250),))), deep);
    assert_eq!(event(&|| Parser::json().ack("/", 1, &(vec![vec![1]; 1000],))), Ok(()));

    // What a parser with other limits has taken.
    let relay = |text: String| {
        let args = ANYTHING.decode(text.into()).unwrap().into_args();
        event(&|| Parser::json().event("/", "e", None, &args))
    };
    assert_eq!(relay(format!("2[\"e\",{}]", lists(499))), Ok(()));
    assert_eq!(relay(format!("2[\"e\",{}]", lists(500))), deep);
    assert_eq!(relay(format!("2[\"e\",{}]", "1".repeat(401))), Err(EncodeError::NumberTooLong { max: 400 }));
    let many = Err(EncodeError::TooManyArguments { max: 1000 });
    assert_eq!(relay(format!("2[\"e\"{}]", ",1".repeat(1000))), Ok(()));
    assert_eq!(relay(format!("2[\"e\"{}]", ",1".repeat(1001))), many);
    struct Ones(usize);
    impl ToArgs for Ones {
        fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
            (0..self.0).try_for_each(|_| out.arg(&1))
        }
    }
    assert_eq!(event(&|| Parser::json().event("/", "e", None, &Ones(1000))), Ok(()));
    assert_eq!(event(&|| Parser::json().event("/", "e", None, &Ones(1001))), many);
}

#[test]
fn the_data_of_a_refusal_is_within_the_limits_too() {
    assert!(PacketData::encode(&nested(499)).is_ok());
    assert_eq!(PacketData::encode(&nested(500)), Err(EncodeError::TooDeep { max: 499 }));
    assert_eq!(PacketData::encode(&raw("1".repeat(401))), Err(EncodeError::NumberTooLong { max: 400 }));
    assert_eq!(PacketData::from_json(&"1".repeat(401)), Err(PacketError::NumberTooLong { max: 400 }));
    assert!(PacketData::from_json("{} {}").is_err());
}

#[test]
fn half_a_surrogate_pair_decodes_as_the_replacement_character() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Said {
        text: String,
        #[serde(rename = "\u{fffd}")]
        odd: u8,
    }
    let args =
        decode(r#"2["say","cut \ud83d",{"text":"\ude00\ud83d\ude00\ud83d\ud83d","\ud83d":7},"\\ud83d"]"#);
    let args = args.unwrap().into_args();
    let said = Said { text: "\u{fffd}😀\u{fffd}\u{fffd}".to_owned(), odd: 7 };
    assert_eq!(args.decode::<String>().unwrap(), "cut \u{fffd}");
    assert_eq!(args.get::<char>(0).ok(), None);
    assert_eq!(args.get::<Value>(0).unwrap(), Value::String("cut \u{fffd}".to_owned()));
    assert_eq!(args.get::<Said>(1).unwrap(), said);
    assert_eq!(args.decode::<(String, Said, String)>().unwrap().1, said);
    let map: BTreeMap<String, Value> = args.get(1).unwrap();
    assert_eq!(map["\u{fffd}"], 7);
    let each: Vec<Value> = args.iter().map(|argument| argument.decode().unwrap()).collect();
    assert_eq!(each[2], r"\ud83d");
    assert_eq!(args.skip(1).decode::<Said>().unwrap(), said);
    // Passed on it is what was sent, which the reference can hold.
    assert_eq!(args.json(0), Some(r#""cut \ud83d""#));
    let answer =
        Args::from_json(r#"["\udc00",{"_placeholder":true,"num":0}]"#, vec![Bytes::from_static(b"x")]);
    assert_eq!(answer.unwrap().decode::<(String, Bytes)>().unwrap().0, "\u{fffd}");

    let packet = decode(r#"0/a\ud83d,{"token":"\ud83d"}"#).unwrap();
    assert_eq!(packet.namespace(), r"/a\ud83d");
    let auth: BTreeMap<String, String> = packet.data().unwrap().decode().unwrap();
    assert_eq!(auth["token"], "\u{fffd}");
    let (message, data) = decode(r#"4{"message":"\ud83d","data":"\ud83d"}"#).unwrap().refusal();
    assert_eq!((&*message, data.unwrap().decode::<String>().unwrap()), ("\u{fffd}", "\u{fffd}".to_owned()));
}

#[test]
fn an_error_holds_no_control_characters() {
    #[derive(Deserialize, Debug)]
    enum Choice {
        Yes,
    }
    let json = r#"["\n2026-11-29T23:59:59Z  INFO app: admin logged in \u001b[31m"]"#;
    let args = Args::from_json(json, vec![]).unwrap();
    let error = args.decode::<Choice>().unwrap_err();
    assert_eq!(
        error.to_string(),
        r"args[0]: unknown variant `\n2026-11-29T23:59:59Z  INFO app: admin logged in \u{1b}[31m`, expected `Yes`"
    );
    let data = PacketData::from_json(&json[1..json.len() - 1]).unwrap();
    let DataError { reason, .. } = data.decode::<Choice>().unwrap_err();
    assert_eq!(error.to_string(), format!("args[0]: {reason}"));
    let _ = Choice::Yes;
}

#[test]
fn arguments_come_one_after_the_other() {
    let blobs = vec![Bytes::from_static(b"A")];
    let args = Args::from_json(&format!(r#"[ 1 , [2,3] ,"x", {PLACEHOLDER} ]"#), blobs.clone()).unwrap();
    let json: Vec<_> = args.iter().map(|argument| argument.json().unwrap()).collect();
    assert_eq!(json, ["1", "[2,3]", r#""x""#, PLACEHOLDER]);
    assert_eq!(args.iter().map(|argument| argument.position()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(args.iter().filter_map(|argument| argument.attachment()).collect::<Vec<_>>(), [&blobs[0]]);
    assert_eq!(args.iter().len(), 4);
    let last = args.iter().last().unwrap();
    assert_eq!(last.decode::<Bytes>().unwrap(), blobs[0]);
    assert_eq!(last.decode::<u8>().unwrap_err().to_string(), "args[3]: invalid type: map, expected u8");
    assert_eq!(args.skip(2).iter().count(), 2);
    assert_eq!(args.skip(9).iter().count(), 0);
}
