//! Arguments that came in go out again without being decoded.
//!
//! The expected texts are what the JavaScript parser sends when it decodes and encodes the same packet, except that
//! blanks and the digits of numbers stay as they came.

use crate::socket::Parser;
use crate::socket::json::codec_tests::*;

/// `P0`, `P1`, ... as the reference writes them.
fn expand(short: &str) -> String {
    let mut long = short.to_owned();
    for num in 0..4 {
        long = long.replace(&format!("P{num}"), &format!(r#"{{"_placeholder":true,"num":{num}}}"#));
    }
    long
}

/// Arguments that a peer sent, with as many attachments as `blobs` has letters.
fn received(json: &str, blobs: &str) -> Args {
    Args::from_json(&expand(json), blobs_of(blobs)).unwrap()
}

fn blobs_of(letters: &str) -> Vec<Bytes> {
    letters.bytes().map(|letter| Bytes::copy_from_slice(&[letter])).collect()
}

fn assert_frame(frame: &Frame, head: &str, json: &str, blobs: &str, what: &str) {
    let count = if blobs.is_empty() { String::new() } else { format!("{}-", blobs.len()) };
    let digit = if blobs.is_empty() { "3" } else { "6" };
    assert_eq!(text(frame), format!("4{digit}{count}{head}{}", expand(json)), "{what}");
    assert_eq!(frame.attachments(), blobs_of(blobs), "{what}");
}

#[test]
fn received_arguments_without_attachments_are_passed_on_as_they_came() {
    let plain = decode(r#"2["e", 1.50 ,{"a": "\ud83d"} ]"#).unwrap().into_args();
    assert_eq!(
        text(&Parser::json().event("/", "x", None, &plain).unwrap()),
        r#"42["x",1.50 ,{"a": "\ud83d"} ]"#
    );
    assert_eq!(text(&Parser::json().ack("/", 0, &plain).unwrap()), r#"430[1.50 ,{"a": "\ud83d"} ]"#);
    let none = decode(r#"2["e"]"#).unwrap().into_args();
    assert_eq!(text(&Parser::json().ack("/", 0, &none).unwrap()), "430[]");
    let lookalike = decode(r#"2["e",{"num":9,"_placeholder":true}]"#).unwrap().into_args();
    assert_eq!(
        text(&Parser::json().ack("/", 0, &lookalike).unwrap()),
        r#"430[{"num":9,"_placeholder":true}]"#
    );
}

#[test]
fn attachments_are_passed_on_in_the_order_of_their_placeholders() {
    for (json, blobs, relayed, sent) in [
        // As they should be: nothing changes.
        ("[P0]", "A", "[P0]", "A"),
        (r#"[1,P0,[P1],"x"]"#, "AB", r#"[1,P0,[P1],"x"]"#, "AB"),
        // In another order, twice, never.
        ("[P1,P0]", "AB", "[P0,P1]", "BA"),
        ("[P0,P0]", "A", "[P0,P0]", "A"),
        ("[P1]", "AB", "[P0]", "B"),
        ("[P2,P0,P1]", "ABC", "[P0,P1,P2]", "CAB"),
        (r#"[[[{"a":[P1,{"b":P0}]}]],P1]"#, "AB", r#"[[[{"a":[P0,{"b":P1}]}]],P0]"#, "BA"),
        ("[]", "A", "[]", ""),
        // No placeholders.
        (r#"[{"_placeholder":"true","num":0}]"#, "A", r#"[{"_placeholder":"true","num":0}]"#, ""),
        (r#"["{\"_placeholder\":true,\"num\":0}"]"#, "A", r#"["{\"_placeholder\":true,\"num\":0}"]"#, ""),
        // Written in another way.
        (r#"[{"num":1,"_placeholder":true}]"#, "AB", "[P0]", "B"),
        (
            r#"[{"num":1,"x":[1,{}],"_placeholder":true},[{"_placeholder":true,"num":0,"y":{}}]]"#,
            "AB",
            "[P0,[P1]]",
            "BA",
        ),
        (r#"[{ "_placeholder" : true , "num" : 0 },P1]"#, "AB", "[P0,P1]", "AB"),
        (r#"[{"\u005fplaceholder":true,"n\u0075m":1}]"#, "AB", "[P0]", "B"),
        (
            r#"[{"_placeholder":true,"num":1.0},{"_placeholder":true,"num":-0},{"_placeholder":true,"num":1e0}]"#,
            "AB",
            "[P0,P1,P0]",
            "BA",
        ),
        (r#"[{"_placeholder":true,"num":0,"num":1}]"#, "AB", "[P0]", "B"),
        (r#"[{"_placeholder":true,"num":0,"num":0}]"#, "A", "[P0]", "A"),
        // Inside of another one.
        (r#"[{"_placeholder":true,"num":1,"x":P0},P0]"#, "AB", "[P0,P1]", "BA"),
        (r#"[{"a":P1,"num":0,"_placeholder":true},P1]"#, "AB", "[P0,P1]", "AB"),
        (r#"[P1,{"a":[P1,{"b":P1}],"num":0,"_placeholder":true}]"#, "AB", "[P0,P1]", "BA"),
        // The text between them is left alone.
        (r#"[ 1.50 ,P1 , {"a": P0}]"#, "AB", r#"[1.50 ,P0 , {"a": P1}]"#, "BA"),
    ] {
        let args = received(json, blobs);
        assert_frame(&Parser::json().ack("/", 5, &args).unwrap(), "5", relayed, sent, json);
    }
}

#[test]
fn many_attachments_keep_their_order() {
    let count = 120;
    let placeholders = |nums: &mut dyn Iterator<Item = usize>| {
        let all: Vec<_> = nums.map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#)).collect();
        format!("[{}]", all.join(","))
    };
    let blobs: Vec<_> = (0..count).map(|num| Bytes::from(num.to_string())).collect();
    let straight = placeholders(&mut (0..count));
    let reversed = placeholders(&mut (0..count).rev());
    for json in [&straight, &reversed] {
        let args = Args::from_json(json, blobs.clone()).unwrap();
        let frame = ANYTHING.ack("/", 5, &args).unwrap();
        assert_eq!(text(&frame), format!("46120-5{straight}"));
        let again = receive(&frame).into_args();
        for position in 0..count {
            assert_eq!(again.attachment(position), args.attachment(position));
        }
    }
}

/// Several things as the arguments of one message.
struct All<'a>(&'a [Add<'a>]);

type Add<'a> = &'a dyn Fn(&mut ArgsEncoder<'_>) -> Result<(), EncodeError>;

impl ToArgs for All<'_> {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|add| add(out))
    }
}

#[test]
fn several_received_arguments_fit_into_one_message() {
    for (first, second, relayed, sent) in [
        (("[7]", ""), ("[P0]", "A"), "[P0,7,P1]", "zA"),
        (("[P0]", "A"), ("[P0]", "B"), "[P0,P1,P2]", "zAB"),
        (("[P1]", "AB"), ("[[P1],P0]", "CD"), "[P0,P1,[P2],P3]", "zBDC"),
        (("[]", "A"), ("[P1]", "BC"), "[P0,P1]", "zC"),
        (("[1]", "A"), ("[]", ""), "[P0,1]", "z"),
        ((r#"[{"_placeholder":true,"num":1,"in":P0}]"#, "AB"), ("[7]", ""), "[P0,P1,7]", "zB"),
        // The numbers are already those of the message.
        (("[P1]", "AB"), ("[P2]", "CDE"), "[P0,P1,P2]", "zBE"),
    ] {
        let (one, two) = (received(first.0, first.1), received(second.0, second.1));
        let frame = Parser::json().ack(
            "/",
            5,
            &All(&[&|out| out.arg(&Bytes::from_static(b"z")), &|out| one.to_args(out), &|out| {
                two.to_args(out)
            }]),
        );
        let what = format!("{first:?} {second:?}");
        assert_frame(&frame.unwrap(), "5", relayed, sent, &what);
    }
}

#[test]
fn a_lookalike_beside_relayed_attachments_is_refused() {
    let fake = received("[P0]", "");
    for (json, blobs, refused) in [
        ("[7]", "", false),
        ("[P0]", "A", true),
        // Nothing refers to this attachment, so the message has none.
        ("[7]", "A", false),
        // What is inside of a placeholder does not make up for it.
        (r#"[{"_placeholder":true,"num":0,"in":P0}]"#, "A", true),
    ] {
        let args = received(json, blobs);
        let frame = Parser::json().ack("/", 5, &All(&[&|out| args.to_args(out), &|out| fake.to_args(out)]));
        let expected = if refused { Err(EncodeError::Placeholder) } else { Ok(()) };
        assert_eq!(frame.map(|_| ()), expected, "{json}");
    }
}

#[test]
fn relayed_attachments_are_not_copied() {
    let blob = Bytes::from(vec![1; 100]);
    let args = Args::from_json(&expand("[P0,P0]"), vec![blob.clone()]).unwrap();
    let frame = Parser::json().ack("/", 5, &args).unwrap();
    assert_eq!(frame.attachments().len(), 1);
    assert!(frame.attachments().iter().all(|sent| sent.as_ptr() == blob.as_ptr()));
}

#[test]
fn skipping_leaves_the_arguments_behind() {
    for (json, blobs, n, rest, sent) in [
        (r#"["room",1,{"a":[2]}]"#, "", 0, r#"["room",1,{"a":[2]}]"#, ""),
        (r#"["room",1,{"a":[2]}]"#, "", 1, r#"[1,{"a":[2]}]"#, ""),
        (r#"["room",1,{"a":[2]}]"#, "", 2, r#"[{"a":[2]}]"#, ""),
        (r#"["room",1,{"a":[2]}]"#, "", 3, "[]", ""),
        (r#"["room",1,{"a":[2]}]"#, "", usize::MAX, "[]", ""),
        ("[]", "", 1, "[]", ""),
        (r#"[ "a,]" , 1 ]"#, "", 1, "[1 ]", ""),
        (r#"["room",P0]"#, "A", 1, "[P0]", "A"),
        ("[P0,P1]", "AB", 1, "[P0]", "B"),
        ("[P1,P0]", "AB", 1, "[P0]", "A"),
        ("[P0,P0]", "AB", 1, "[P0]", "A"),
        ("[P0,7]", "A", 1, "[7]", ""),
        ("[P0,7]", "A", 2, "[]", ""),
    ] {
        let frame = Parser::json().ack("/", 5, &received(json, blobs).skip(n)).unwrap();
        assert_frame(&frame, "5", rest, sent, &format!("{json} {n}"));
    }
}

#[test]
fn what_is_left_is_read_like_any_other_arguments() {
    let packet = Parser::json().event("/", "bcast", None, &("room", 7, Bytes::from_static(b"A"))).unwrap();
    let args = receive(&packet).into_args();
    let rest = args.skip(1);
    assert_eq!(rest.event().as_deref(), Some("bcast"));
    assert_eq!((rest.len(), rest.is_empty()), (2, false));
    assert_eq!((rest.json(0), rest.json(2)), (Some("7"), None));
    assert_eq!(rest.get::<u8>(0).unwrap(), 7);
    assert_eq!(rest.decode::<(u8, &[u8])>().unwrap(), (7, &b"A"[..]));
    assert_eq!(rest.decode::<u8>().unwrap(), 7);
    assert_eq!((rest.attachment(0), rest.attachment(1)), (None, Some(&args.attachments()[0])));
    assert_eq!(rest.get::<u8>(2).unwrap_err(), ArgsError::Missing { position: 2, count: 2 });
    assert_eq!(rest.skip(1).decode::<&[u8]>().unwrap(), b"A");

    let none = rest.skip(2);
    assert_eq!(none.event().as_deref(), Some("bcast"));
    assert_eq!((none.len(), none.is_empty(), none.json(0)), (0, true, None));
    assert_eq!(none.decode::<(Option<u8>,)>().unwrap(), (None,));
    assert_eq!(none.skip(1).len(), 0);
    assert!(decode("2").unwrap().into_args().skip(1).is_empty());
}

#[test]
fn what_is_passed_on_is_allocated_once_at_its_exact_size() {
    for (name, json, id) in [
        ("echo", r#"["x",{"a":[1, 2]},null]"#, None),
        ("e", "[]", None),
        ("", "[ 1 ]", Some(0)),
        ("é", "[-1]", Some(9)),
        ("long enough", "[[]]", Some(10)),
        ("long enough", "[[]]", Some(u64::MAX)),
    ] {
        let args = Args::from_json(json, vec![]).unwrap();
        for namespace in ["/", "/chat"] {
            let event = Parser::json().event(namespace, name, id, &args).unwrap();
            let ack = Parser::json().ack(namespace, id.unwrap_or(1), &args).unwrap();
            for frame in [event, ack] {
                let text = frame.text().unwrap().clone();
                drop(frame);
                let len = text.len();
                assert_eq!(text.try_into_mut().unwrap().capacity(), len, "{json} {name:?} {id:?}");
            }
        }
    }
}
