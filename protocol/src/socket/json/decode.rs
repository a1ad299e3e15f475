//! Decoding arguments: serde_json's deserializer, but a tuple is made out of several arguments.

use crate::socket::json::args::Args;
use crate::socket::json::resolve::{Resolve, each_plain_method};
use crate::socket::msgpack::decode::Value;
use core::cell::Cell;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::Error;

/// Which argument is being decoded, for the words of an error.
pub(super) struct Progress {
    position: Cell<usize>,
    missing: Cell<bool>,
}

impl Progress {
    pub(super) fn at(position: usize) -> Self {
        Self { position: Cell::new(position), missing: Cell::new(false) }
    }

    pub(super) fn position(&self) -> usize {
        self.position.get()
    }

    pub(super) fn is_missing(&self) -> bool {
        self.missing.get()
    }
}

/// In place of an argument that the peer did not send. Only an `Option` can be made of it.
pub(super) struct Missing<'a>(pub(super) &'a Progress);

impl<'de> Deserializer<'de> for Missing<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.0.missing.set(true);
        Err(Error::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum identifier
    }
}

/// The arguments as one value: what asks for a tuple gets them all, what asks for anything else the first.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a, 'de> {
    pub(super) args: &'de Args,
    pub(super) progress: &'a Progress,
}

/// Hands the first argument to a method of its deserializer.
macro_rules! first {
    ($self:ident, $method:ident($($arg:expr),*)) => {
        match $self.args.to_decode(0) {
            None => Missing($self.progress).$method($($arg),*),
            Some(value) if $self.args.is_packed() => Value::new(value).$method($($arg),*),
            Some(json) => {
                let mut json = serde_json::Deserializer::from_slice(json);
                match $self.args.attachments() {
                    [] => json.$method($($arg),*),
                    attachments => Resolve::new(&mut json, attachments).$method($($arg),*),
                }
            }
        }
    };
}

macro_rules! first_of_plain {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            first!(self, $method(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Whole<'_, 'de> {
    type Error = Error;

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Arguments { whole: self, json: None, position: 0, len })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    each_plain_method! { first_of_plain }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        first!(self, deserialize_bytes(visitor))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        first!(self, deserialize_byte_buf(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        first!(self, deserialize_option(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        first!(self, deserialize_unit_struct(name, visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        first!(self, deserialize_newtype_struct(name, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        first!(self, deserialize_tuple_struct(name, len, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        first!(self, deserialize_struct(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        first!(self, deserialize_enum(name, variants, visitor))
    }
}

/// The arguments, one after the other, then missing ones up to the tuple's length.
///
/// Each has a parser of its own, so that neither the event's name before them nor arguments behind that nobody
/// asks for are parsed. The price is that an argument is skipped over once more if another is read behind it.
struct Arguments<'a, 'de> {
    whole: Whole<'a, 'de>,
    /// From the beginning of the argument that was read last.
    json: Option<&'de [u8]>,
    position: usize,
    len: usize,
}

impl<'de> SeqAccess<'de> for Arguments<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.position == self.len {
            return Ok(None);
        }
        let Whole { args, progress } = self.whole;
        progress.position.set(self.position);
        self.json = match self.json {
            None => args.to_decode(self.position),
            Some(json) if self.position < args.len() => args.behind(json),
            Some(_) => None,
        };
        self.position = self.position.saturating_add(1);
        let value = match self.json {
            None => seed.deserialize(Missing(progress)),
            Some(value) if args.is_packed() => seed.deserialize(&mut Value::new(value)),
            Some(json) => {
                let mut json = serde_json::Deserializer::from_slice(json);
                match args.attachments() {
                    [] => seed.deserialize(&mut json),
                    attachments => seed.deserialize(Resolve::new(&mut json, attachments)),
                }
            }
        };
        value.map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len.saturating_sub(self.position))
    }
}
