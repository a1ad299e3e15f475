//! Writing the application's values. Enums, options and the keys of maps have the forms that they have as JSON, so that
//! peers see the same values whatever the parser.

use super::date::DATE;
use super::from_json::push_values;
use super::write::{
    push_array, push_bin, push_bool, push_date, push_f32, push_f64, push_int, push_map, push_nil, push_str,
    push_uint, set_len,
};
use crate::socket::json::encode::EncodeError;
use crate::socket::json::serialize::{Private, SERDE_JSON_PRIVATE};
use crate::socket::json::spread::Sink;
use crate::socket::parser::Parser;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use serde::ser;
use serde::ser::{Impossible, Serialize, Serializer};

/// A message while it is made.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) parser: Parser,
    pub(super) out: Vec<u8>,
    /// The number of arguments, and of what stands in their list beside them.
    pub(super) arguments: usize,
    pub(super) others: usize,
    /// The number of open lists and maps, the list of the arguments included.
    depth: usize,
}

impl Draft {
    pub(super) fn new(parser: &Parser, out: Vec<u8>) -> Self {
        Self { parser: *parser, out, arguments: 0, others: 0, depth: 1 }
    }

    /// One that may hold everything.
    pub(in crate::socket) fn unlimited(out: Vec<u8>) -> Self {
        Self::new(&Parser::UNLIMITED, out)
    }

    pub(in crate::socket) fn out_mut(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(in crate::socket) fn into_out(self) -> Vec<u8> {
        self.out
    }

    /// A text in the list that is no argument: the event's name.
    pub(in crate::socket) fn push_other(&mut self, text: &str) {
        self.others = self.others.saturating_add(1);
        push_str(&mut self.out, text);
    }

    /// Values that stand in the list already, as deep as that: arguments of others.
    pub(in crate::socket) fn relay(
        &mut self,
        arguments: usize,
        depth: usize,
        longest_number: usize,
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), EncodeError> {
        if depth > self.parser.max_depth.get() {
            return Err(EncodeError::TooDeep { max: self.parser.max_depth.get() });
        }
        if longest_number > self.parser.max_number.get() {
            return Err(EncodeError::NumberTooLong { max: self.parser.max_number.get() });
        }
        self.arguments = self.arguments.saturating_add(arguments);
        push(&mut self.out);
        Ok(())
    }

    fn open(&mut self, levels: u8) -> Result<(), EncodeError> {
        self.depth = self.depth.saturating_add(usize::from(levels));
        let max = self.parser.max_depth.get();
        if self.depth > max { Err(EncodeError::TooDeep { max }) } else { Ok(()) }
    }

    fn close(&mut self, levels: u8) {
        self.depth = self.depth.saturating_sub(usize::from(levels));
    }
}

impl Sink for Draft {
    type Value<'a> = Pack<'a>;

    fn next(&mut self) -> Pack<'_> {
        self.arguments = self.arguments.saturating_add(1);
        Pack(self)
    }
}

/// Writes one value.
pub(in crate::socket) struct Pack<'a>(&'a mut Draft);

impl<'a> Pack<'a> {
    pub(in crate::socket) fn new(draft: &'a mut Draft) -> Self {
        Self(draft)
    }

    /// The one member of the map that a variant with content is.
    fn open_variant(self, variant: &str) -> &'a mut Draft {
        push_map(&mut self.0.out, 1);
        push_str(&mut self.0.out, variant);
        self.0
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty = $push:ident)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            $push(&mut self.0.out, value.into());
            Ok(())
        }
    )*};
}

fn too_large<T>() -> Result<T, EncodeError> {
    Err(EncodeError::Value("MessagePack has no integers beyond 64 bits".to_string()))
}

impl<'a> Serializer for Pack<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    scalars! {
        serialize_i8: i8 = push_int serialize_i16: i16 = push_int
        serialize_i32: i32 = push_int serialize_i64: i64 = push_int
        serialize_u8: u8 = push_uint serialize_u16: u16 = push_uint
        serialize_u32: u32 = push_uint serialize_u64: u64 = push_uint
        serialize_f32: f32 = push_f32 serialize_f64: f64 = push_f64
        serialize_bool: bool = push_bool serialize_str: &str = push_str serialize_bytes: &[u8] = push_bin
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.serialize_i64(value),
            (_, Ok(value)) => self.serialize_u64(value),
            _ => too_large(),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeError> {
        u64::try_from(value).map_or_else(|_| too_large(), |value| self.serialize_u64(value))
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        push_nil(&mut self.0.out);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        if name == DATE {
            return value.serialize(Millis(self.0));
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let message = self.open_variant(variant);
        message.open(1)?;
        value.serialize(Pack(message))?;
        message.close(1);
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        Compound::new(self.0, false, len, 1)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        Compound::new(self.open_variant(variant), false, Some(len), 2)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        Compound::new(self.0, true, len, 1)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        if name.starts_with(SERDE_JSON_PRIVATE) {
            return Ok(Compound {
                message: self.0,
                start: 0,
                is_map: true,
                announced: None,
                count: 0,
                levels: 0,
            });
        }
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        Compound::new(self.open_variant(variant), true, Some(len), 2)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.serialize_str(&displayed(value)?)
    }
}

fn displayed<T: Display + ?Sized>(value: &T) -> Result<String, EncodeError> {
    use core::fmt::Write as _;
    let mut text = String::new();
    write!(text, "{value}").map_err(|_| EncodeError::Value("a `Display` failed".to_string()))?;
    Ok(text)
}

/// A list or a map that was begun.
pub(in crate::socket) struct Compound<'a> {
    message: &'a mut Draft,
    start: usize,
    is_map: bool,
    /// The length that was written.
    announced: Option<usize>,
    count: usize,
    /// The levels that end with it; none for the private structs of serde_json, which are JSON.
    levels: u8,
}

impl<'a> Compound<'a> {
    fn new(
        message: &'a mut Draft,
        is_map: bool,
        announced: Option<usize>,
        levels: u8,
    ) -> Result<Self, EncodeError> {
        message.open(levels)?;
        let start = message.out.len();
        // A length that is not known, or that may be wrong, is written when it is known.
        let len = announced.unwrap_or(0);
        if is_map {
            push_map(&mut message.out, len)
        } else {
            push_array(&mut message.out, len)
        }
        Ok(Self { message, start, is_map, announced, count: 0, levels })
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count = self.count.saturating_add(1);
        value.serialize(Pack(self.message))
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        if self.levels == 0 {
            return self.json(key, value);
        }
        push_str(&mut self.message.out, key);
        self.element(value)
    }

    /// A value that is JSON text: serde_json's `RawValue`.
    #[cold]
    fn json<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        let json = serde_json::to_string(&Private { name: key, value }).map_err(ser::Error::custom)?;
        crate::socket::json::encode::extent(&self.message.parser, json.as_bytes(), self.message.depth)?;
        push_values(&mut self.message.out, &json, &[]);
        Ok(())
    }

    #[inline]
    fn close(self) -> Result<(), EncodeError> {
        self.message.close(self.levels);
        if self.levels == 0 || self.announced == Some(self.count) {
            return Ok(());
        }
        let (out, start) = (&mut self.message.out, self.start);
        // What was written first is not always one byte.
        let mut wrong = Vec::new();
        push_array(&mut wrong, self.announced.unwrap_or(0));
        if wrong.len() > 1 {
            out.drain(start.saturating_add(1)..start.saturating_add(wrong.len()));
        }
        set_len(out, start, self.is_map, self.count);
        Ok(())
    }
}

macro_rules! list {
    ($trait:ident, $method:ident) => {
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    };
}

list!(SerializeSeq, serialize_element);
list!(SerializeTuple, serialize_element);
list!(SerializeTupleStruct, serialize_field);
list!(SerializeTupleVariant, serialize_field);

macro_rules! map {
    ($trait:ident) => {
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.field(key, value)
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    };
}

map!(SerializeStruct);
map!(SerializeStructVariant);

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        key.serialize(MapKey(self.message))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

/// Writes what a [`Date`](super::date::Date) holds.
struct Millis<'a>(&'a mut Draft);

/// Writes the key of a map: a text, as JSON and JavaScript have it. Python's parser would refuse anything else.
struct MapKey<'a>(&'a mut Draft);

impl MapKey<'_> {
    fn text<T: Display>(self, value: T) -> Result<(), EncodeError> {
        push_str(&mut self.0.out, &value.to_string());
        Ok(())
    }
}

macro_rules! number_keys {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.text(value)
        }
    )*};
}

/// The rest of a serializer that takes a few kinds of values only.
macro_rules! refuse_all {
    ($error:expr, $($method:ident($($type:ty),*))*) => {$(
        fn $method(self, $(_: $type),*) -> Result<(), EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }
    )*};
    ($error:expr) => {
        type Ok = ();
        type Error = EncodeError;
        type SerializeSeq = Impossible<(), EncodeError>;
        type SerializeTuple = Impossible<(), EncodeError>;
        type SerializeTupleStruct = Impossible<(), EncodeError>;
        type SerializeTupleVariant = Impossible<(), EncodeError>;
        type SerializeMap = Impossible<(), EncodeError>;
        type SerializeStruct = Impossible<(), EncodeError>;
        type SerializeStructVariant = Impossible<(), EncodeError>;

        refuse_all! { $error,
            serialize_bytes(&[u8]) serialize_none() serialize_unit() serialize_unit_struct(&'static str)
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStruct, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }

        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, EncodeError> {
            Err(EncodeError::Value($error.to_string()))
        }
    };
}

impl Serializer for MapKey<'_> {
    refuse_all!("key must be a string");

    number_keys! {
        serialize_i8: i8 serialize_i16: i16 serialize_i32: i32 serialize_i64: i64 serialize_i128: i128
        serialize_u8: u8 serialize_u16: u16 serialize_u32: u32 serialize_u64: u64 serialize_u128: u128
        serialize_bool: bool serialize_char: char serialize_str: &str
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.text(number),
            None => Err(EncodeError::Value("key must be a string".to_string())),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.serialize_str(&displayed(value)?)
    }
}

impl Serializer for Millis<'_> {
    refuse_all!("a date is milliseconds");

    refuse_all! { "a date is milliseconds",
        serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_u8(u8)
        serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_f32(f32) serialize_f64(f64)
        serialize_char(char) serialize_str(&str) serialize_unit_variant(&'static str, u32, &'static str)
    }

    fn serialize_i64(self, millis: i64) -> Result<(), EncodeError> {
        push_date(&mut self.0.out, millis);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
