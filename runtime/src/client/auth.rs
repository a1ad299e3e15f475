//! The auth object that a client shows when it joins a namespace.

use sansocket_protocol::socket::AuthSource;
use serde::Serialize;
use serde::ser::Error as _;

/// The auth as JSON. Servers take an object or nothing, and close the connection for anything else.
pub(super) fn encode<T: Serialize + ?Sized>(auth: &T) -> Result<AuthSource, serde_json::Error> {
    let json = serde_json::to_vec(auth)?;
    match json.first() {
        Some(b'{') => Ok(AuthSource::Fixed(json.into())),
        _ if json == b"null" => Ok(AuthSource::None),
        _ => Err(serde_json::Error::custom("servers take an object and nothing else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_object_is_shown() {
        assert_eq!(encode(&json!({ "a": 1 })).unwrap(), AuthSource::Fixed(r#"{"a":1}"#.into()));
        assert_eq!(encode(&None::<u32>).unwrap(), AuthSource::None);
        for wrong in [json!("token"), json!(1), json!([{}]), json!(true)] {
            assert!(encode(&wrong).is_err(), "{wrong}");
        }
    }
}
