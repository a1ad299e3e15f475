//! The auth object that a client shows when it joins a namespace.

use sansocket_protocol::socket::{AuthSource, EncodeError, PacketData};
use serde::Serialize;

/// The auth. Servers take an object or nothing, and close the connection for anything else.
pub(super) fn encode<T: Serialize + ?Sized>(auth: &T) -> Result<AuthSource, EncodeError> {
    let auth = PacketData::encode(auth)?;
    if auth.is_object() {
        return Ok(AuthSource::Fixed(auth));
    }
    if auth.is_null() {
        return Ok(AuthSource::None);
    }
    Err(EncodeError::Value("servers take an object, and nothing else".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_object_is_shown() {
        assert_eq!(
            encode(&json!({ "a": 1 })).unwrap(),
            AuthSource::Fixed(PacketData::from_json(r#"{"a":1}"#).unwrap())
        );
        assert_eq!(encode(&None::<u32>).unwrap(), AuthSource::None);
        for wrong in [json!("token"), json!(1), json!([{}]), json!(true)] {
            assert!(encode(&wrong).is_err(), "{wrong}");
        }
    }
}
