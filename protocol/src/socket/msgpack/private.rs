//! Types of serde_json that hold JSON text, in a message that has none.

use super::to_json::{Binary, push_value};
use alloc::string::String;
use alloc::vec::Vec;
use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, MapAccess};
use serde_json::Error;

/// The name by which serde_json's `RawValue` asks for the text of a value.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// The JSON of a value, in the form in which `RawValue` takes it: a map of one member, its name that of the type.
pub(super) struct JsonText {
    json: Option<String>,
    is_named: bool,
}

impl JsonText {
    /// Takes a value from the front of `rest`. Bytes become lists of numbers.
    pub(super) fn taken_from(rest: &mut &[u8]) -> Self {
        let mut json = Vec::new();
        push_value(&mut json, rest, &mut Binary::Numbers);
        Self { json: String::from_utf8(json).ok(), is_named: false }
    }
}

impl<'de> MapAccess<'de> for JsonText {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if core::mem::replace(&mut self.is_named, true) {
            return Ok(None);
        }
        seed.deserialize(BorrowedStrDeserializer::new(RAW_VALUE)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(StringDeserializer::new(self.json.take().unwrap_or_default()))
    }
}
