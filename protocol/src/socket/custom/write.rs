//! A packet as a value of serde's, for the serializers of other formats.

use super::{CustomData, CustomPacket};
use crate::socket::msgpack::date::Date;
use crate::socket::msgpack::head::Head;
use core::cell::Cell;
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

/// The levels that may be written, as serde_json reads them: each of them takes some of the stack.
const MAX_LEVELS: u8 = 128;

impl Serialize for CustomPacket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (data, id) = (self.data(), self.id());
        let others = [data.is_some(), id.is_some()].iter().filter(|is_there| **is_there).count();
        let mut map = serializer.serialize_map(Some(others.saturating_add(2)))?;
        map.serialize_entry("type", &(self.kind() as u8))?;
        map.serialize_entry("nsp", self.namespace())?;
        if let Some(data) = data {
            map.serialize_entry("data", &data)?;
        }
        if let Some(id) = id {
            map.serialize_entry("id", &id)?;
        }
        map.end()
    }
}

impl Serialize for CustomData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = Source { rest: Cell::new(self.0), levels: Cell::new(MAX_LEVELS) };
        Next(&source).serialize(serializer)
    }
}

/// MessagePack that is written by and by.
struct Source<'a> {
    rest: Cell<&'a [u8]>,
    levels: Cell<u8>,
}

impl<'a> Source<'a> {
    fn read(&self) -> Option<Head<'a>> {
        let mut rest = self.rest.get();
        let head = Head::read(&mut rest).ok();
        self.rest.set(rest);
        head
    }
}

/// The value at the front of it.
struct Next<'s, 'a>(&'s Source<'a>);

impl Next<'_, '_> {
    fn go_in<E: serde::ser::Error>(&self) -> Result<(), E> {
        let levels = self.0.levels.get().checked_sub(1);
        self.0.levels.set(levels.ok_or_else(|| E::custom("lists and maps nest deeper than 128 levels"))?);
        Ok(())
    }

    fn go_out(&self) {
        self.0.levels.set(self.0.levels.get().saturating_add(1));
    }
}

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.read().ok_or_else(|| S::Error::custom("the value is missing"))? {
            Head::Nil | Head::Undefined => serializer.serialize_unit(),
            Head::Bool(value) => serializer.serialize_bool(value),
            Head::Uint(value) => serializer.serialize_u64(value),
            Head::Int(value) => serializer.serialize_i64(value),
            Head::F32(value) => serializer.serialize_f32(value),
            Head::F64(value) => serializer.serialize_f64(value),
            Head::Str(text) => serializer.serialize_str(core::str::from_utf8(text).unwrap_or_default()),
            Head::Bin(bytes) | Head::Ext(bytes) => serializer.serialize_bytes(bytes),
            Head::Date(millis) => Date::from_millis(millis).serialize(serializer),
            Head::Array(len) => {
                self.go_in()?;
                let mut list = serializer.serialize_seq(Some(len as usize))?;
                for _ in 0..len {
                    list.serialize_element(&Next(self.0))?;
                }
                self.go_out();
                list.end()
            }
            Head::Map(len) => {
                self.go_in()?;
                let mut map = serializer.serialize_map(Some(len as usize))?;
                for _ in 0..len {
                    map.serialize_entry(&Next(self.0), &Next(self.0))?;
                }
                self.go_out();
                map.end()
            }
        }
    }
}
