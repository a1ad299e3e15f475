//! The data of packets that have no arguments: the auth of a CONNECT, the reason of a CONNECT_ERROR.

use super::args::plain_reason;
use super::encode::{EncodeError, extent};
use super::validate;
use super::write::push_string;
use crate::socket::packet::{PacketError, PacketType};
use crate::socket::parser::{DEFAULT_MAX_DEPTH, DEFAULT_MAX_NUMBER, Parser};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;
use serde::de::Deserialize;
use serde::ser::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// The data of a CONNECT or a CONNECT_ERROR: one value, such as the `auth` object that a client shows.
///
/// It is kept as JSON, whatever parser brings it, and decoded when the application asks. A clone shares the bytes.
///
/// ```
/// use sansocket_protocol::socket::PacketData;
///
/// let auth = PacketData::encode(&[("token", "secret")])?;
/// assert_eq!(auth.json(), r#"[["token","secret"]]"#);
/// assert_eq!(auth.decode::<Vec<(String, String)>>()?[0].1, "secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PacketData(Bytes);

/// The reason why the data of a packet is not what the application asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct DataError {
    /// The value found, and the one expected. Control characters are escaped.
    pub reason: String,
}

impl PacketData {
    /// An object without members.
    pub const EMPTY: Self = Self(Bytes::from_static(b"{}"));

    /// The data that a value is.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if it has no such form, or is beyond a limit.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let json = serde_json::to_string(value).map_err(|error| EncodeError::Value(error.to_string()))?;
        // It stands inside of an object when a server refuses with it.
        let parser = Parser::json().max_depth(DEFAULT_MAX_DEPTH.saturating_sub(1));
        extent(&parser, json.as_bytes(), 0)?;
        Ok(Self(json.into()))
    }

    /// Data that is JSON already.
    ///
    /// # Errors
    ///
    /// [`PacketError::InvalidPayload`] if it is not JSON, and the errors of the limits on depth and numbers.
    pub fn from_json(json: &str) -> Result<Self, PacketError> {
        let checked = validate::check(json.as_bytes(), 0, DEFAULT_MAX_DEPTH.saturating_sub(1))
            .map_err(|error| error.refuse(PacketType::Connect))?;
        if checked.longest_number > DEFAULT_MAX_NUMBER {
            return Err(PacketError::NumberTooLong { max: DEFAULT_MAX_NUMBER });
        }
        Ok(Self(Bytes::copy_from_slice(json.as_bytes())))
    }

    /// The data as JSON text.
    pub fn json(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`DataError`] if it is something else.
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T, DataError> {
        serde_json::from_slice(&self.0).map_err(|error| DataError { reason: plain_reason(&error) })
    }

    /// Returns whether it is an object, which alone a server takes as `auth`.
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// The private id and the offset by which a client asks to recover its session; `None` if it does not. One that has
    /// not received any event has no offset to tell.
    ///
    /// ```
    /// use sansocket_protocol::socket::PacketData;
    ///
    /// let auth = PacketData::from_json(r#"{"pid":"l3bH","offset":"Q8AVICU","token":"x"}"#)?;
    /// assert_eq!(auth.recovery(), Some(("l3bH".to_string(), Some("Q8AVICU".to_string()))));
    /// assert_eq!(PacketData::from_json(r#"{"pid":7}"#)?.recovery(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recovery(&self) -> Option<(String, Option<String>)> {
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(&self.0).ok()?;
        let text = |value: &&RawValue| serde_json::from_str::<String>(value.get()).ok();
        let pid = members.get("pid").and_then(text)?;
        match members.get("offset") {
            None => Some((pid, None)),
            // Anything but a text is no offset, so nothing is known of what was received.
            Some(offset) => Some((pid, Some(text(offset)?))),
        }
    }

    /// The same object with `pid` and `offset` before its members, unless it has those itself: the application's win, as
    /// in the reference.
    pub(in crate::socket) fn with_recovery(auth: Option<&Self>, pid: &str, offset: Option<&str>) -> Self {
        let json = auth.filter(|auth| auth.is_object()).map_or("{}", Self::json);
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).unwrap_or_default();
        let mut text = alloc::vec![b'{'];
        for (name, value) in [("pid", Some(pid)), ("offset", offset)] {
            if let Some(value) = value.filter(|_| !members.contains_key(name)) {
                if text.len() > 1 {
                    text.push(b',');
                }
                push_string(&mut text, name);
                text.push(b':');
                push_string(&mut text, value);
            }
        }
        if !members.is_empty() && text.len() > 1 {
            text.push(b',');
        }
        // Behind the brace.
        text.extend_from_slice(json.as_bytes().get(1..).unwrap_or(b"}"));
        Self(text.into())
    }

    /// The same object without the `pid` and `offset` of a session that is to be recovered.
    pub(in crate::socket) fn without_recovery(self) -> Option<Self> {
        let Ok(mut members) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(&self.0) else {
            return Some(self);
        };
        if members.remove("pid").is_none() {
            return Some(self);
        }
        members.remove("offset");
        if members.is_empty() { None } else { Self::encode(&members).ok() }
    }

    /// Returns whether it is `null`.
    pub fn is_null(&self) -> bool {
        &*self.0 == b"null"
    }

    /// Its length in bytes.
    pub fn wire_len(&self) -> usize {
        self.0.len()
    }

    /// The data of a packet that has come, which was checked and has no halves of surrogate pairs any more.
    pub(super) fn received(json: Bytes) -> Self {
        Self(json)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl DataError {
    /// The error of data that is missing, or is wrong for a reason of the application's.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A client's data is a secret: only its length is told.
impl fmt::Debug for PacketData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketData({} bytes)", self.0.len())
    }
}

/// The public id in a server's CONNECT.
pub(in crate::socket) fn sid(data: &PacketData) -> Option<Arc<str>> {
    member(data, "sid")
}

/// The private id beside it.
pub(in crate::socket) fn pid(data: &PacketData) -> Option<Arc<str>> {
    member(data, "pid")
}

fn member(data: &PacketData, name: &str) -> Option<Arc<str>> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(data.bytes()).ok()?;
    let text: String = serde_json::from_str(members.get(name)?.get()).ok()?;
    Some(text.into())
}

/// Returns the message and the data of a CONNECT_ERROR. Servers send `{"message","data"}`; Python's and old ones a
/// string, too.
pub(in crate::socket) fn refusal(data: &PacketData) -> (String, Option<PacketData>) {
    let as_text = |json: &str| serde_json::from_str::<String>(json).ok();
    if let Ok(members) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(data.bytes()) {
        let message = members.get("message").map(|value| value.get());
        let message = message.map(|json| as_text(json).unwrap_or_else(|| json.to_string()));
        let data = members.get("data").map(|value| Bytes::copy_from_slice(value.get().as_bytes()));
        return (message.unwrap_or_default(), data.map(PacketData));
    }
    (as_text(data.json()).unwrap_or_else(|| data.json().to_string()), None)
}
