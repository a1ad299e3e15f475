//! Writing values as serde_json writes them, but bytes as placeholders and attachments.

use crate::socket::json::encode::{Draft, EncodeError};
use crate::socket::json::placeholder;
use crate::socket::json::write::{
    push_displayed, push_f32, push_f64, push_i64, push_plain, push_string, push_u64,
};
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Display;
use serde::ser;
use serde::ser::{Impossible, Serialize, Serializer};

macro_rules! scalars {
    ($($method:ident: $type:ty = $push:ident)*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            $push(&mut self.0.text, value.into());
            Ok(())
        }
    )*};
}

/// Writes one value: serde_json's compact form, but bytes become attachments.
pub(in crate::socket) struct Json<'a>(pub(super) &'a mut Draft);

impl<'a> Json<'a> {
    /// `{"variant":`, for the variants that carry something.
    fn open_variant(self, variant: &'static str) -> Result<&'a mut Draft, EncodeError> {
        self.0.text.push(b'{');
        push_string(&mut self.0.text, variant);
        self.0.text.push(b':');
        Ok(self.0)
    }
}

impl<'a> Serializer for Json<'a> {
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
        serialize_i8: i8 = push_i64 serialize_i16: i16 = push_i64
        serialize_i32: i32 = push_i64 serialize_i64: i64 = push_i64
        serialize_u8: u8 = push_u64 serialize_u16: u16 = push_u64
        serialize_u32: u32 = push_u64 serialize_u64: u64 = push_u64
        serialize_f32: f32 = push_f32 serialize_f64: f64 = push_f64
        serialize_str: &str = push_string
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        push_plain(&mut self.0.text, value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeError> {
        push_plain(&mut self.0.text, value);
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.0.text.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        let number = self.0.attach(Bytes::copy_from_slice(bytes));
        placeholder::push(&mut self.0.text, number);
        self.0.placeholders = self.0.placeholders.saturating_add(1);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.0.text.extend_from_slice(b"null");
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
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let message = self.open_variant(variant)?;
        message.open()?;
        value.serialize(Json(message))?;
        message.close();
        message.text.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.0.text.push(b'[');
        Compound::new(self.0, b"]", 1)
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
        _: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        let message = self.open_variant(variant)?;
        message.text.push(b'[');
        Compound::new(message, b"]}", 2)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.0.text.push(b'{');
        Compound::new(self.0, b"}", 1)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        if name.starts_with(SERDE_JSON_PRIVATE) {
            self.0.has_foreign_json = true;
            return Compound::new(self.0, b"", 0);
        }
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        let message = self.open_variant(variant)?;
        message.text.push(b'{');
        Compound::new(message, b"}}", 2)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        push_displayed(&mut self.0.text, value).map_err(|_| ser::Error::custom("a `Display` failed"))
    }
}

/// The names by which serde_json's `RawValue` (and `Number`, with some features) make themselves known to its serializer: as
/// structs of such a name with one member of the same name.
pub(in crate::socket) const SERDE_JSON_PRIVATE: &str = "$serde_json::private::";

/// Such a struct, on its way to serde_json, which alone knows what its member means.
pub(in crate::socket) struct Private<'a, T: ?Sized> {
    pub(in crate::socket) name: &'static str,
    pub(in crate::socket) value: &'a T,
}

impl<T: Serialize + ?Sized> Serialize for Private<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct(self.name, 1)?;
        ser::SerializeStruct::serialize_field(&mut out, self.name, self.value)?;
        ser::SerializeStruct::end(out)
    }
}

/// A list or an object that was begun.
pub(in crate::socket) struct Compound<'a> {
    message: &'a mut Draft,
    is_first: bool,
    /// The last key was `_placeholder`.
    is_marker: bool,
    /// Its end; nothing for the private structs of serde_json.
    end: &'static [u8],
}

impl<'a> Compound<'a> {
    fn new(message: &'a mut Draft, end: &'static [u8], levels: u8) -> Result<Self, EncodeError> {
        for _ in 0..levels {
            message.open()?;
        }
        Ok(Self { message, is_first: true, is_marker: false, end })
    }

    fn separate(&mut self) {
        if !self.is_first {
            self.message.text.push(b',');
        }
        self.is_first = false;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.separate();
        value.serialize(Json(self.message))
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        if self.end.is_empty() {
            let json = serde_json::to_vec(&Private { name: key, value }).map_err(ser::Error::custom)?;
            return self.message.push_foreign(&json);
        }
        self.separate();
        push_string(&mut self.message.text, key);
        self.is_marker = key == "_placeholder";
        self.value(value)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.message.text.push(b':');
        let start = self.message.text.len();
        value.serialize(Json(self.message))?;
        if self.is_marker {
            self.message.has_lookalike |= self.message.text.get(start..) == Some(b"true");
        }
        Ok(())
    }

    fn close(self) -> Result<(), EncodeError> {
        self.message.text.extend_from_slice(self.end);
        // Each byte closes a level.
        self.end.iter().for_each(|_| self.message.close());
        Ok(())
    }
}

macro_rules! list {
    ($trait:ident, $method:ident) => {
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

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

macro_rules! object {
    ($trait:ident) => {
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    };
}

object!(SerializeStruct);
object!(SerializeStructVariant);

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.separate();
        let start = self.message.text.len();
        key.serialize(MapKey(self.message))?;
        self.is_marker = self.message.text.get(start..) == Some(b"\"_placeholder\"");
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.value(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

/// Writes the key of a map. JSON has strings only: numbers and booleans go into quotes, as serde_json does it.
struct MapKey<'a>(&'a mut Draft);

impl MapKey<'_> {
    fn quoted(self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), EncodeError> {
        self.0.text.push(b'"');
        write(&mut self.0.text);
        self.0.text.push(b'"');
        Ok(())
    }
}

fn not_a_key<T>() -> Result<T, EncodeError> {
    Err(EncodeError::Value("key must be a string".to_string()))
}

macro_rules! quoted_keys {
    ($($method:ident: $type:ty = $push:ident)*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.quoted(|out| $push(out, value.into()))
        }
    )*};
}

impl Serializer for MapKey<'_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Impossible<(), EncodeError>;
    type SerializeTuple = Impossible<(), EncodeError>;
    type SerializeTupleStruct = Impossible<(), EncodeError>;
    type SerializeTupleVariant = Impossible<(), EncodeError>;
    type SerializeMap = Impossible<(), EncodeError>;
    type SerializeStruct = Impossible<(), EncodeError>;
    type SerializeStructVariant = Impossible<(), EncodeError>;

    quoted_keys! {
        serialize_i8: i8 = push_i64 serialize_i16: i16 = push_i64
        serialize_i32: i32 = push_i64 serialize_i64: i64 = push_i64
        serialize_u8: u8 = push_u64 serialize_u16: u16 = push_u64
        serialize_u32: u32 = push_u64 serialize_u64: u64 = push_u64
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        self.quoted(|out| push_plain(out, value))
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeError> {
        self.quoted(|out| push_plain(out, value))
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        if value.is_finite() { self.quoted(|out| push_f32(out, value)) } else { not_a_key() }
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        if value.is_finite() { self.quoted(|out| push_f64(out, value)) } else { not_a_key() }
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.quoted(|out| out.extend_from_slice(if value { b"true" } else { b"false" }))
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        Json(self.0).serialize_char(value)
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        Json(self.0).serialize_str(value)
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

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        Json(self.0).collect_str(value)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), EncodeError> {
        not_a_key()
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        not_a_key()
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        not_a_key()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        not_a_key()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), EncodeError> {
        not_a_key()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        not_a_key()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
        not_a_key()
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, EncodeError> {
        not_a_key()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        not_a_key()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        not_a_key()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, EncodeError> {
        not_a_key()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        not_a_key()
    }
}
