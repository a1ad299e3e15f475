//! Every shape that serde knows, with serde_json as the oracle: as an argument, as a key, with bytes beside it.

use crate::socket::Parser;
use crate::socket::json::codec_tests::*;
use core::fmt;
use core::fmt::{Debug, Display};
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserializer, Serializer};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Shape {
    Unit,
    New(u8),
    Pair(u8, i16),
    Named { a: u8, b: Option<u8> },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct New(u8);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Named {
    a: u8,
    b: String,
}

/// Serializes as what it displays.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Cannot be displayed.
struct Mute;

impl Display for Mute {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

/// Cannot be serialized.
struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("not today"))
    }
}

/// A map with one key, of whatever type.
struct Keyed<K>(K);

impl<K: Serialize> Serialize for Keyed<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.0, &1)?;
        map.end()
    }
}

/// Bytes as their owner asks for them, and how they came.
#[derive(Debug, PartialEq)]
struct Buffer(Vec<u8>, &'static str);

impl Serialize for Buffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BufferVisitor;

        impl<'de> Visitor<'de> for BufferVisitor {
            type Value = Buffer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a buffer")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Buffer, E> {
                Ok(Buffer(bytes.to_vec(), "copied"))
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Buffer, E> {
                Ok(Buffer(bytes.to_vec(), "borrowed"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Buffer, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Buffer(bytes, "listed"))
            }
        }

        deserializer.deserialize_byte_buf(BufferVisitor)
    }
}

/// As one of several arguments, and as the only one.
fn is_written_as_serde_json_writes_it<T: Serialize>(value: T) {
    let expected = serde_json::to_string(&("e", &value)).unwrap();
    assert_eq!(text(&emit((&value,)))[2..], expected);
    assert_eq!(text(&emit(&value))[2..], expected);
}

/// In each place in which an argument can be decoded, with bytes beside it and without.
fn comes_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: T) {
    is_written_as_serde_json_writes_it(&value);
    let alone = receive(&emit((&value,))).into_args();
    let beside = receive(&emit((&value, Bytes::from_static(b"x")))).into_args();
    assert_eq!(beside.attachments().len(), 1);
    for args in [&alone, &beside] {
        assert_eq!(args.get::<T>(0).unwrap(), value);
        assert_eq!(args.decode::<T>().unwrap(), value);
        let (first, _): (T, Option<Bytes>) = args.decode().unwrap();
        assert_eq!(first, value);
    }
}

#[test]
fn every_shape_comes_back() {
    comes_back(true);
    comes_back(-1i8);
    comes_back(i16::MIN);
    comes_back(i32::MIN);
    comes_back(i64::MIN);
    comes_back(i128::MIN);
    comes_back(u8::MAX);
    comes_back(u16::MAX);
    comes_back(u32::MAX);
    comes_back(u64::MAX);
    comes_back(u128::MAX);
    comes_back(0.1f32);
    comes_back(-1.5e300);
    comes_back('é');
    comes_back("a\"\\\n".to_owned());
    comes_back(Some(3));
    comes_back(None::<u8>);
    comes_back(Marker);
    comes_back(New(1));
    comes_back(Point(1, 2));
    comes_back(Wrapped(Some((1, 2))));
    comes_back(Wrapped(None));
    comes_back(Named { a: 1, b: "b".to_owned() });
    comes_back(Shape::Unit);
    comes_back(Shape::New(1));
    comes_back(Shape::Pair(1, -2));
    comes_back(Shape::Named { a: 1, b: None });
    comes_back(vec![vec![1], vec![], vec![2, 3]]);
    comes_back(vec![Shape::Unit, Shape::New(1)]);
    comes_back(BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)]));
    // As keys: serde_json makes numbers of strings there.
    comes_back(BTreeMap::from([(1u8, (true, ())), (2, (false, ()))]));
    is_written_as_serde_json_writes_it(Shown("a\"b\n"));
    is_written_as_serde_json_writes_it(vec![Shown(1), Shown(2)]);
}

#[test]
fn every_shape_is_the_key_that_it_is_in_serde_json() {
    fn is_the_same_key<K: Serialize>(key: K) {
        let ours = Parser::json().event("/", "e", None, &(Keyed(&key),));
        let theirs = serde_json::to_string(&("e", Keyed(&key)));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(text(&ours)[2..], theirs),
            (Err(EncodeError::Value(_)), Err(_)) => {}
            (ours, theirs) => panic!("{ours:?} {theirs:?}"),
        }
    }

    is_the_same_key(true);
    is_the_same_key(false);
    is_the_same_key(-1i8);
    is_the_same_key(i16::MIN);
    is_the_same_key(i32::MIN);
    is_the_same_key(i64::MIN);
    is_the_same_key(i128::MIN);
    is_the_same_key(u8::MAX);
    is_the_same_key(u16::MAX);
    is_the_same_key(u32::MAX);
    is_the_same_key(u64::MAX);
    is_the_same_key(u128::MAX);
    is_the_same_key(0.1f32);
    is_the_same_key(f32::NAN);
    is_the_same_key(1e300);
    is_the_same_key(f64::INFINITY);
    is_the_same_key('"');
    is_the_same_key("a\"");
    is_the_same_key(Shown("a\""));
    is_the_same_key(Buffer(vec![1], ""));
    is_the_same_key(());
    is_the_same_key(None::<u8>);
    is_the_same_key(Some(1));
    is_the_same_key(Marker);
    is_the_same_key(New(1));
    is_the_same_key(Point(1, 2));
    is_the_same_key(Named { a: 1, b: String::new() });
    is_the_same_key(Shape::Unit);
    is_the_same_key(Shape::New(1));
    is_the_same_key(Shape::Pair(1, 2));
    is_the_same_key(Shape::Named { a: 1, b: None });
    is_the_same_key((1, 2));
    is_the_same_key(vec![1]);
    is_the_same_key(Keyed(1));
}

#[test]
fn bytes_are_asked_for_in_two_ways_and_come_in_three() {
    let buffer = |args: &Args| {
        let (first, _): (Buffer, Option<IgnoredAny>) = args.decode().unwrap();
        assert_eq!(args.get::<Buffer>(0).unwrap(), first);
        assert_eq!(args.decode::<Buffer>().unwrap(), first);
        first
    };
    let sent = receive(&emit((Buffer(b"abc".to_vec(), ""), 1))).into_args();
    assert_eq!(sent.attachments(), [&b"abc"[..]]);
    assert_eq!(buffer(&sent), Buffer(b"abc".to_vec(), "borrowed"));
    for attachments in [vec![], vec![Bytes::new()]] {
        let args = |json| Args::from_json(json, attachments.clone()).unwrap();
        assert_eq!(buffer(&args(r#"["abc"]"#)), Buffer(b"abc".to_vec(), "borrowed"));
        assert_eq!(buffer(&args(r#"["a\u0062c"]"#)), Buffer(b"abc".to_vec(), "copied"));
        assert_eq!(buffer(&args("[[1,2]]")), Buffer(vec![1, 2], "listed"));
        let error = args("[true]").get::<Buffer>(0).unwrap_err().to_string();
        assert_eq!(error, "args[0]: invalid type: boolean `true`, expected a buffer");
    }
}

#[test]
fn what_is_ignored_may_be_anything_and_may_be_missing() {
    let args = receive(&emit((Bytes::from_static(b"x"), 2))).into_args();
    args.decode::<IgnoredAny>().unwrap();
    args.get::<IgnoredAny>(5).unwrap();
    let (_, two, _): (IgnoredAny, u8, IgnoredAny) = args.decode().unwrap();
    assert_eq!(two, 2);
}

#[test]
fn a_value_that_refuses_is_an_error_in_its_words() {
    let error = |value: &dyn Fn() -> Result<Frame, EncodeError>| value().unwrap_err().to_string();
    let refusing = || Parser::json().event("/", "e", None, &Refusing);
    assert_eq!(error(&refusing), "cannot be encoded: not today");
    let nested = || Parser::json().event("/", "e", None, &(1, vec![Refusing]));
    assert_eq!(error(&nested), "cannot be encoded: not today");
    let mute = || Parser::json().event("/", "e", None, &Shown(Mute));
    assert_eq!(error(&mute), "cannot be encoded: a `Display` failed");
}

#[test]
fn arguments_can_be_written_one_by_one() {
    struct Album(Vec<Bytes>);

    impl ToArgs for Album {
        fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
            assert_eq!(out.attachments(), 0);
            for (number, picture) in self.0.iter().enumerate() {
                out.arg(&(number, picture))?;
                assert_eq!(out.attachments(), number + 1);
            }
            Ok(())
        }
    }

    let album = Album(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
    let frame = emit(album);
    let expected = r#"452-["e",[0,{"_placeholder":true,"num":0}],[1,{"_placeholder":true,"num":1}]]"#;
    assert_eq!(text(&frame), expected);
}

#[test]
fn bytes_beside_a_value_change_nothing_about_how_it_is_read() {
    /// A deserializer's words about itself: whether it is for people, and how many elements it expects.
    #[derive(Debug, PartialEq)]
    struct About(bool, Option<usize>);

    impl<'de> Deserialize<'de> for About {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct AboutVisitor(bool);

            impl<'de> Visitor<'de> for AboutVisitor {
                type Value = About;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list or an object")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<About, A::Error> {
                    let about = About(self.0, seq.size_hint());
                    while seq.next_element::<IgnoredAny>()?.is_some() {}
                    Ok(about)
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<About, A::Error> {
                    let about = About(self.0, map.size_hint());
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    Ok(about)
                }
            }

            let readable = deserializer.is_human_readable();
            deserializer.deserialize_any(AboutVisitor(readable))
        }
    }

    for json in ["[[1,2]]", r#"[{"a":1}]"#] {
        for attachments in [vec![], vec![Bytes::new()]] {
            let args = Args::from_json(json, attachments).unwrap();
            assert_eq!(args.get::<About>(0).unwrap(), About(true, None));
        }
    }
    for attachments in [vec![], vec![Bytes::new()]] {
        let args = |json| Args::from_json(json, attachments.clone()).unwrap();
        assert_eq!(args(r#"[{"Unit":null}]"#).get::<Shape>(0).unwrap(), Shape::Unit);
        assert!(args(r#"[{"Unit":1}]"#).get::<Shape>(0).is_err());
    }
}
