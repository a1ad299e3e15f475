//! Values on their way out.

use crate::socket::json::codec_tests::*;
use crate::socket::{PacketData, Parser};

#[test]
fn frames_are_written_as_the_reference_writes_them() {
    let event = |namespace, ack| Parser::json().event(namespace, "ev", ack, &1).unwrap();
    assert_eq!(text(&event("/", None)), r#"42["ev",1]"#);
    assert_eq!(text(&event("", Some(0))), r#"420["ev",1]"#);
    assert_eq!(text(&event("/chat", Some(12))), r#"42/chat,12["ev",1]"#);
    assert_eq!(text(&Parser::json().ack("/chat", 12, &()).unwrap()), "43/chat,12[]");
    assert_eq!(text(&Parser::json().connect("/", "abc")), r#"40{"sid":"abc"}"#);
    assert_eq!(text(&Parser::json().connect("/chat", "a\"")), r#"40/chat,{"sid":"a\""}"#);
    assert_eq!(text(&Parser::json().connect_error("/x", "no", None)), r#"44/x,{"message":"no"}"#);
    assert_eq!(
        text(&Parser::json().connect_error(
            "/",
            "no",
            Some(&PacketData::from_json(r#"{"code":42}"#).unwrap())
        )),
        r#"44{"message":"no","data":{"code":42}}"#
    );
    assert_eq!(
        text(&Parser::json().connect_error("/", "no", Some(&PacketData::encode("oh").unwrap()))),
        r#"44{"message":"no","data":"oh"}"#
    );
    assert_eq!(text(&Parser::json().disconnect("/")), "41");
    assert_eq!(text(&Parser::json().disconnect("/chat")), "41/chat,");
    assert_eq!(text(&Frame::text_message("hi")), "4hi");
    assert_eq!(text(&Frame::text_message("")), "4");

    let raw = Frame::binary_message(Bytes::from_static(b"abc"));
    assert_eq!((raw.text(), raw.attachments().len(), raw.wire_len()), (None, 1, 3));

    let pictures = (Bytes::from_static(b"one"), 1, [Bytes::from_static(b"two")]);
    let frame = Parser::json().event("/chat", "ev", Some(45), &pictures).unwrap();
    assert_eq!(
        text(&frame),
        r#"452-/chat,45["ev",{"_placeholder":true,"num":0},1,[{"_placeholder":true,"num":1}]]"#
    );
    assert_eq!(frame.attachments(), [&b"one"[..], b"two"]);
    assert_eq!(frame.wire_len(), text(&frame).len() + 6);
}

const UNIT: &&() = &&();

#[test]
fn a_tuple_is_several_arguments_and_all_else_is_one() {
    for (frame, expected) in [
        (emit(()), r#"42["e"]"#),
        (emit(((),)), r#"42["e",null]"#),
        (emit((1, "a")), r#"42["e",1,"a"]"#),
        (emit(alloc::boxed::Box::new((1, "a"))), r#"42["e",1,"a"]"#),
        (emit([1, 2]), r#"42["e",1,2]"#),
        (emit(vec![1, 2]), r#"42["e",[1,2]]"#),
        (emit(&[1, 2][..]), r#"42["e",[1,2]]"#),
        (emit(((1, 2),)), r#"42["e",[1,2]]"#),
        (emit(None::<u8>), r#"42["e",null]"#),
        (emit(Value::Null), r#"42["e",null]"#),
        (emit(UNIT), r#"42["e"]"#),
        (emit(&Value::Null), r#"42["e",null]"#),
        (emit((Value::Null,)), r#"42["e",null]"#),
        (emit(Transparent(())), r#"42["e",null]"#),
        (emit(Untagged::Nothing), r#"42["e",null]"#),
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
        (Parser::json().ack("/", 1, &[(1, 2)]).unwrap(), "431[[1,2]]"),
        (Parser::json().ack("/", 1, "a").unwrap(), r#"431["a"]"#),
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

    let keys = (
        BTreeMap::from([(Some('"'), 1)]),
        BTreeMap::from([(i128::MIN, 1)]),
        BTreeMap::from([(u128::MAX, ())]),
        BTreeMap::from([(u8::MAX, ()), (0, ())]),
        BTreeMap::from([("é\n", RawValue::from_string("[ 1 ]".to_owned()).unwrap())]),
        BTreeMap::from([(Name::Variant, 1)]),
        BTreeMap::from([(Id(5), 1)]),
    );
    let expected = serde_json::to_string(&("e", &keys)).unwrap();
    assert_eq!(text(&emit((&keys,)))[2..], expected);

    let keys = BTreeMap::from([(vec![1], 1)]);
    let error = Parser::json().event("/", "e", None, &keys).unwrap_err();
    assert_eq!(error.to_string(), "cannot be encoded: key must be a string");
}

#[test]
fn what_cannot_be_sent_is_refused_in_words() {
    let refused =
        |namespace, event| Parser::json().event(namespace, event, None, &()).unwrap_err().to_string();
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
    assert!(Parser::json().event("/", "e", None, &(&map, &raw)).is_ok());
    refused(Parser::json().event("/", "e", None, &(bytes(), &fake)));
    refused(Parser::json().event("/", "e", None, &(&fake, bytes())));
    refused(Parser::json().event("/", "e", None, &(bytes(), &map)));
    refused(Parser::json().event("/", "e", None, &(bytes(), &raw)));
    let harmless = Fake { _placeholder: false, num: 0 };
    assert!(
        Parser::json()
            .event("/", "e", None, &(bytes(), harmless, BTreeMap::from([("_placeholder", "true")])))
            .is_ok()
    );
}
