//! Sockets in the form of the JavaScript server, for other nodes and for the admin UI.

use crate::http::handshake::Handshake;
use serde_json::{Map, Value};
use std::time::UNIX_EPOCH;

/// Headers that say who somebody is.
const PRIVATE: [&str; 3] = ["cookie", "authorization", "proxy-authorization"];

/// A handshake in the form of the JavaScript server. Its `auth` stays here.
pub(crate) fn handshake_value(handshake: &Handshake, with_private: bool) -> Value {
    let mut headers = Map::new();
    for (name, value) in handshake.headers() {
        if with_private || !PRIVATE.contains(&name.as_str()) {
            headers.insert(name.as_str().into(), String::from_utf8_lossy(value.as_bytes()).into());
        }
    }
    let query: Map<String, Value> =
        handshake.query().map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    let since = handshake.time().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut object = Map::new();
    object.insert("xdomain".into(), handshake.headers().contains_key("origin").into());
    object.insert("headers".into(), headers.into());
    object.insert("time".into(), httpdate::fmt_http_date(handshake.time()).into());
    let address = handshake.peer_addr().map(|address| address.ip().to_string());
    object.insert("address".into(), address.into());
    object.insert("secure".into(), handshake.is_secure().into());
    object.insert("issued".into(), u64::try_from(since.as_millis()).unwrap_or(u64::MAX).into());
    object.insert("url".into(), handshake.uri().to_string().into());
    object.insert("query".into(), query.into());
    object.insert("auth".into(), Map::new().into());
    object.into()
}
