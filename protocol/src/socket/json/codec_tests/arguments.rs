//! Arguments that come in become the application's types.

use crate::socket::json::codec_tests::*;

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
fn from_json_checks_what_it_is_given() {
    for (json, legal) in
        [("[]", true), (" [1] ", true), ("", false), ("{}", false), ("[1", false), ("[1]x", false)]
    {
        assert_eq!(Args::from_json(json, vec![]).is_ok(), legal, "{json}");
    }
    let error = Args::from_json(r#"[{"_placeholder":true,"num":1}]"#, vec![Bytes::new()]).unwrap_err();
    assert_eq!(error, PacketError::IllegalPlaceholder { announced: 1 });
}

#[test]
fn an_error_of_the_application_keeps_its_words() {
    #[derive(Debug)]
    struct Picky;

    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("look at line 3"))
        }
    }

    let args = Args::from_json("[1]", vec![]).unwrap();
    assert_eq!(args.get::<Picky>(0).unwrap_err().to_string(), "args[0]: look at line 3");
    // With a place in it, which is noise.
    assert_eq!(
        args.get::<Vec<Picky>>(0).unwrap_err().to_string(),
        "args[0]: invalid type: integer `1`, expected a sequence"
    );
    let nested = Args::from_json("[[1]]", vec![]).unwrap();
    assert_eq!(nested.get::<Vec<Picky>>(0).unwrap_err().to_string(), "args[0]: look at line 3");
}

#[test]
fn arguments_in_a_log_show_what_was_sent() {
    let shown = |text| format!("{:?}", decode(text).unwrap().into_args());
    assert_eq!(shown(r#"2["e", 1,"a"]"#), r#"Args { event: Some("e"), json: "1,\"a\"", attachments: 0 }"#);
    assert_eq!(shown("3[]"), r#"Args { event: None, json: "", attachments: 0 }"#);
}

#[test]
fn only_an_event_that_was_sent_has_a_name() {
    assert!(decode(r#"2["e"]"#).unwrap().into_args().has_event());
    assert!(decode(r#"2[""]"#).unwrap().into_args().has_event());
    assert!(!decode("2").unwrap().into_args().has_event());
    assert!(!decode("3[1]").unwrap().into_args().has_event());
}

#[test]
fn the_bytes_of_a_name_are_those_of_its_text() {
    for text in
        [r#"2["e",1]"#, r#"2[""]"#, r#"2["a\u0062\n\ud83d"]"#, r#"2["ä😀"]"#, "2[1]", "2[-0]", "2", "3[1]"]
    {
        let args = decode(text).unwrap().into_args();
        let name = args.event().map(|name| name.as_bytes().to_vec());
        assert_eq!(args.event_bytes().map(|name| name.into_owned()), name, "{text}");
    }
}

#[test]
fn a_tuple_is_told_how_many_elements_are_left() {
    struct Hints(Vec<Option<usize>>);

    impl<'de> Deserialize<'de> for Hints {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct HintsVisitor;

            impl<'de> serde::de::Visitor<'de> for HintsVisitor {
                type Value = Hints;

                fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str("elements")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Hints, A::Error> {
                    let mut hints = vec![seq.size_hint()];
                    while seq.next_element::<Option<u8>>()?.is_some() {
                        hints.push(seq.size_hint());
                    }
                    Ok(Hints(hints))
                }
            }

            deserializer.deserialize_tuple(3, HintsVisitor)
        }
    }

    let args = Args::from_json("[1,2]", vec![]).unwrap();
    assert_eq!(args.decode::<Hints>().unwrap().0, [Some(3), Some(2), Some(1), Some(0)]);
}
