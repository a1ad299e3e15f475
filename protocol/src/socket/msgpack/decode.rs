//! Decoding values into the application's types.
//!
//! The errors are serde_json's, so that an application reads the same words whatever the parser.

use super::check;
use super::date::iso;
use super::head::Head;
use super::private::{JsonText, RAW_VALUE};
use super::to_json::{is_undefined, key_text};
use alloc::string::String;
use core::fmt;
use serde::Deserializer;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde_json::Error;

/// The levels that may be decoded, as many as serde_json decodes: each of them takes some of the stack.
const MAX_LEVELS: u8 = 128;

/// Decodes the values at the front of `rest`, which were checked when the message came.
pub(in crate::socket) struct Value<'de> {
    rest: &'de [u8],
    levels: u8,
}

impl<'de> Value<'de> {
    pub(in crate::socket) fn new(rest: &'de [u8]) -> Self {
        Self { rest, levels: MAX_LEVELS }
    }

    fn read(&mut self) -> Result<Head<'de>, Error> {
        Head::read(&mut self.rest).map_err(|_| Error::custom("the value is missing"))
    }

    fn peek(&self) -> Result<Head<'de>, Error> {
        Head::read(&mut &*self.rest).map_err(|_| Error::custom("the value is missing"))
    }

    /// Goes into a list or a map.
    fn within<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.levels = self.levels.checked_sub(1).ok_or_else(|| Error::custom("recursion limit exceeded"))?;
        let value = run(self);
        self.levels = self.levels.saturating_add(1);
        value
    }

    fn list<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Error> {
        self.within(|value| {
            let mut elements = Elements { value, left: len };
            let made = visitor.visit_seq(&mut elements)?;
            match elements.left {
                0 => Ok(made),
                _ => Err(Error::invalid_length(len as usize, &"fewer elements in array")),
            }
        })
    }

    fn map<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Error> {
        self.within(|value| {
            let mut members = Members { value, left: len };
            let made = visitor.visit_map(&mut members)?;
            members.pass_undefined();
            match members.left {
                0 => Ok(made),
                _ => Err(Error::invalid_length(len as usize, &"fewer elements in map")),
            }
        })
    }

    fn visit<V: Visitor<'de>>(&mut self, head: Head<'de>, visitor: V) -> Result<V::Value, Error> {
        match head {
            Head::Nil | Head::Undefined => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Uint(value) => visitor.visit_u64(value),
            Head::Int(value) => visitor.visit_i64(value),
            Head::F32(value) => visitor.visit_f32(value),
            Head::F64(value) => visitor.visit_f64(value),
            Head::Str(text) => visitor.visit_borrowed_str(checked(text)),
            Head::Bin(bytes) | Head::Ext(bytes) => visitor.visit_borrowed_bytes(bytes),
            Head::Date(millis) => match iso(millis) {
                Some(text) => visitor.visit_string(text),
                None => visitor.visit_unit(),
            },
            Head::Array(len) => self.list(len, visitor),
            Head::Map(len) => self.map(len, visitor),
        }
    }
}

/// A text that was checked when the message came.
fn checked(text: &[u8]) -> &str {
    core::str::from_utf8(text).unwrap_or_default()
}

macro_rules! whatever_stands_there {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.deserialize_any(visitor)
        }
    )*};
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.read()? {
                Head::Date(millis) => visitor.visit_i64(millis),
                head => self.visit(head, visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Value<'de> {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let head = self.read()?;
        self.visit(head, visitor)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    whatever_stands_there! {
        deserialize_bool deserialize_char deserialize_str deserialize_string deserialize_unit deserialize_seq
        deserialize_map deserialize_identifier
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.read()? {
            // As with the JSON parser.
            Head::Str(text) => visitor.visit_borrowed_bytes(text),
            head => self.visit(head, visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            Head::Nil | Head::Undefined => {
                self.read()?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == RAW_VALUE {
            return visitor.visit_map(JsonText::taken_from(&mut self.rest));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.read()? {
            Head::Str(variant) => visitor.visit_enum(BorrowedStrDeserializer::new(checked(variant))),
            Head::Map(1) => self.within(|value| visitor.visit_enum(Variant { value })),
            Head::Map(len) => Err(Error::invalid_length(len as usize, &"a map of one member, the variant")),
            other => Err(Error::invalid_type(unexpected(other), &"a variant of an enum")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        check::skip(&mut self.rest, 1);
        visitor.visit_unit()
    }
}

fn unexpected(head: Head<'_>) -> Unexpected<'_> {
    match head {
        Head::Nil | Head::Undefined => Unexpected::Unit,
        Head::Bool(value) => Unexpected::Bool(value),
        Head::Uint(value) => Unexpected::Unsigned(value),
        Head::Int(value) => Unexpected::Signed(value),
        Head::F32(value) => Unexpected::Float(f64::from(value)),
        Head::F64(value) => Unexpected::Float(value),
        Head::Str(text) => Unexpected::Str(checked(text)),
        Head::Bin(bytes) | Head::Ext(bytes) => Unexpected::Bytes(bytes),
        Head::Date(_) => Unexpected::Other("a date"),
        Head::Array(_) => Unexpected::Seq,
        Head::Map(_) => Unexpected::Map,
    }
}

struct Elements<'a, 'de> {
    value: &'a mut Value<'de>,
    left: u32,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.value).map(Some)
    }

    /// Each element has a byte at least, which has come.
    fn size_hint(&self) -> Option<usize> {
        Some((self.left as usize).min(self.value.rest.len()))
    }
}

struct Members<'a, 'de> {
    value: &'a mut Value<'de>,
    left: u32,
}

impl Members<'_, '_> {
    /// Passes over members that are `undefined`: to JavaScript they are as good as not there.
    fn pass_undefined(&mut self) {
        while let Some(left) = self.left.checked_sub(1) {
            let mut behind = self.value.rest;
            check::skip(&mut behind, 1);
            if !is_undefined(behind) {
                return;
            }
            check::skip(&mut behind, 1);
            self.value.rest = behind;
            self.left = left;
        }
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.pass_undefined();
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let key = self.value.read()?;
        seed.deserialize(MapKey(key)).map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(&mut *self.value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some((self.left as usize).min(self.value.rest.len()))
    }
}

/// The key of a map. JavaScript has texts only, so that numbers are read from texts, and texts from numbers.
struct MapKey<'de>(Head<'de>);

impl<'de> MapKey<'de> {
    fn text(self) -> Result<&'de str, String> {
        match self.0 {
            Head::Str(text) => Ok(checked(text)),
            other => Err(key_text(other)),
        }
    }

    fn visit_text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text() {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(text) => visitor.visit_string(text),
        }
    }
}

macro_rules! number_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Head::Uint(value) => visitor.visit_u64(value),
                Head::Int(value) => visitor.visit_i64(value),
                Head::F64(value) => visitor.visit_f64(value),
                Head::F32(value) => visitor.visit_f32(value),
                Head::Str(text) => {
                    let text = checked(text);
                    if let Ok(value) = text.parse() {
                        visitor.visit_u64(value)
                    } else if let Ok(value) = text.parse() {
                        visitor.visit_i64(value)
                    } else if let Ok(value) = text.parse() {
                        visitor.visit_f64(value)
                    } else {
                        Err(Error::invalid_type(Unexpected::Str(text), &Number))
                    }
                }
                other => Err(Error::invalid_type(unexpected(other), &Number)),
            }
        }
    )*};
}

struct Number;

impl Expected for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number as a key")
    }
}

impl<'de> Deserializer<'de> for MapKey<'de> {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    number_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Str(b"true") => visitor.visit_bool(true),
            Head::Str(b"false") => visitor.visit_bool(false),
            other => Err(Error::invalid_type(unexpected(other), &"a boolean as a key")),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Head::Str(bytes) | Head::Bin(bytes) => visitor.visit_borrowed_bytes(bytes),
            _ => self.visit_text(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.text() {
            Ok(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            Err(text) => Err(Error::invalid_value(Unexpected::Str(&text), &"a variant of an enum")),
        }
    }

    serde::forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The variant of an enum that carries something: a map of one member.
struct Variant<'a, 'de> {
    value: &'a mut Value<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let key = self.value.read()?;
        Ok((seed.deserialize(MapKey(key))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.value)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.value.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value.deserialize_any(visitor)
    }
}
