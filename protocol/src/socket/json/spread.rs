//! Making several arguments out of a tuple.

use crate::socket::json::encode::EncodeError;
use core::fmt::Display;
use serde::ser;
use serde::ser::{Serialize, Serializer};

/// A message that takes arguments, one after the other.
pub(in crate::socket) trait Sink {
    /// The writer of one argument.
    type Value<'a>: Serializer<Ok = (), Error = EncodeError>
    where
        Self: 'a;

    /// The place of the next argument.
    fn next(&mut self) -> Self::Value<'_>;
}

/// Spreads a tuple into arguments; `()` into none; anything else is one.
pub(super) struct Spread<'a, S> {
    pub(super) out: &'a mut S,
    /// The value is `()`, which nothing but its type can tell from other units.
    pub(super) is_unit: bool,
}

macro_rules! single_values {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.out.next().$method(value)
        }
    )*};
}

impl<'a, S: Sink> Serializer for Spread<'a, S> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = <S::Value<'a> as Serializer>::SerializeSeq;
    type SerializeTuple = Self;
    type SerializeTupleStruct = <S::Value<'a> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant = <S::Value<'a> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <S::Value<'a> as Serializer>::SerializeMap;
    type SerializeStruct = <S::Value<'a> as Serializer>::SerializeStruct;
    type SerializeStructVariant = <S::Value<'a> as Serializer>::SerializeStructVariant;

    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        if self.is_unit { Ok(()) } else { self.out.next().serialize_unit() }
    }

    single_values! {
        serialize_bool: bool
        serialize_i8: i8 serialize_i16: i16 serialize_i32: i32 serialize_i64: i64 serialize_i128: i128
        serialize_u8: u8 serialize_u16: u16 serialize_u32: u32 serialize_u64: u64 serialize_u128: u128
        serialize_f32: f32 serialize_f64: f64 serialize_char: char serialize_str: &str serialize_bytes: &[u8]
        serialize_unit_struct: &'static str
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.out.next().serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self.out.next())
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.out.next().serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.out.next().serialize_newtype_struct(name, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.out.next().serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        self.out.next().serialize_seq(len)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, EncodeError> {
        self.out.next().serialize_tuple_struct(name, len)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        self.out.next().serialize_tuple_variant(name, index, variant, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        self.out.next().serialize_map(len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, EncodeError> {
        self.out.next().serialize_struct(name, len)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        self.out.next().serialize_struct_variant(name, index, variant, len)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.out.next().collect_str(value)
    }
}

impl<S: Sink> ser::SerializeTuple for Spread<'_, S> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self.out.next())
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}
