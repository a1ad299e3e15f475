//! A packet from a value of serde's, from the deserializers of other formats.

use super::CustomPacket;
use crate::socket::msgpack::write::{
    push_array, push_bin, push_bool, push_f32, push_f64, push_int, push_map, push_nil, push_str, push_uint,
    set_len,
};
use alloc::vec::Vec;
use core::fmt;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor,
};

impl<'de> Deserialize<'de> for CustomPacket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut message = Vec::new();
        Writer(&mut message).deserialize(deserializer)?;
        Self::of_message(message.into()).map_err(D::Error::custom)
    }
}

/// Writes whatever it is given.
struct Writer<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! values {
    ($($method:ident: $type:ty = $push:ident)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<(), E> {
            $push(self.0, value);
            Ok(())
        }
    )*};
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that MessagePack has, too")
    }

    values! {
        visit_bool: bool = push_bool visit_i64: i64 = push_int visit_u64: u64 = push_uint
        visit_f32: f32 = push_f32 visit_f64: f64 = push_f64
        visit_str: &str = push_str visit_bytes: &[u8] = push_bin
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<(), E> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.visit_i64(value),
            (_, Ok(value)) => self.visit_u64(value),
            _ => Err(E::invalid_type(Unexpected::Other("an integer beyond 64 bits"), &self)),
        }
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<(), E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_type(Unexpected::Other("an integer beyond 64 bits"), &self)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        push_nil(self.0);
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let start = self.0.len();
        push_array(self.0, 0);
        let mut len = 0usize;
        while seq.next_element_seed(Writer(self.0))?.is_some() {
            len = len.saturating_add(1);
        }
        set_len(self.0, start, false, len);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let start = self.0.len();
        push_map(self.0, 0);
        let mut len = 0usize;
        while map.next_key_seed(Writer(self.0))?.is_some() {
            map.next_value_seed(Writer(self.0))?;
            len = len.saturating_add(1);
        }
        set_len(self.0, start, true, len);
        Ok(())
    }
}
