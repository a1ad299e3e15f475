//! Arguments of events as they are typed: JSON, strings, and binary from files.

use bytes::Bytes;
use sansocket_protocol::socket::ArgsEncoder;
use sansocket_tokio::{EncodeError, ToArgs};
use serde_json::value::RawValue;

/// One argument.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// JSON, sent as it was typed.
    Json(Box<RawValue>),
    Text(String),
    Binary(Bytes),
}

impl Value {
    /// Reads an argument: JSON, or else a string. `@file` is binary from a file, `@@text` the string `@text`. With
    /// `raw`, everything is a string.
    pub(crate) fn parse(typed: &str, raw: bool) -> Result<Self, String> {
        if raw {
            return Ok(Self::Text(typed.to_owned()));
        }
        if let Some(rest) = typed.strip_prefix('@') {
            return match rest.starts_with('@') {
                true => Ok(Self::Text(rest.to_owned())),
                false => match std::fs::read(rest) {
                    Ok(data) => Ok(Self::Binary(data.into())),
                    Err(error) => Err(format!(
                        "cannot read `{rest}`: {error}; write `@{typed}` for a string that begins with @"
                    )),
                },
            };
        }
        Ok(match RawValue::from_string(typed.to_owned()) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Text(typed.to_owned()),
        })
    }
}

/// The arguments of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(pub(crate) Vec<Value>);

impl Values {
    /// Reads all arguments, each as [`Value::parse`] does.
    pub(crate) fn parse(typed: &[String], raw: bool) -> Result<Self, String> {
        typed.iter().map(|typed| Value::parse(typed, raw)).collect::<Result<_, _>>().map(Self)
    }
}

impl ToArgs for Values {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|value| match value {
            Value::Json(json) => out.arg(json),
            Value::Text(text) => out.arg(text),
            Value::Binary(data) => out.arg(data),
        })
    }
}

/// Reads the `auth` of a namespace: a JSON object, or `@file` with one in it.
pub(crate) fn auth(typed: &str) -> Result<Box<RawValue>, String> {
    let json = match typed.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"))?
        }
        None => typed.to_owned(),
    };
    let json = json.trim();
    if !json.starts_with('{') {
        return Err("auth must be a JSON object, as in '{\"token\":\"abc\"}'".to_owned());
    }
    RawValue::from_string(json.to_owned()).map_err(|error| format!("auth is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_a_string_unless_it_is_a_file() {
        let kind = |typed: &str, raw| match Value::parse(typed, raw) {
            Ok(Value::Json(json)) => format!("json {json}"),
            Ok(Value::Text(text)) => format!("text {text}"),
            Ok(Value::Binary(data)) => format!("binary {}", data.len() > 10),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(kind(r#"{"b":1,"a":1e400}"#, false), r#"json {"b":1,"a":1e400}"#);
        assert_eq!(kind("-5", false), "json -5");
        assert_eq!(kind("hello", false), "text hello");
        assert_eq!(kind("{", false), "text {");
        assert_eq!(kind("5", true), "text 5");
        assert_eq!(kind("@@ada", false), "text @ada");
        assert_eq!(kind("@ada", true), "text @ada");
        assert_eq!(kind("@no such file", false), "error");
        assert_eq!(
            kind(&format!("@{}", env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml"), false),
            "binary true"
        );
    }

    #[test]
    fn auth_is_an_object() {
        assert_eq!(auth(r#" {"token":1} "#).unwrap().get(), r#"{"token":1}"#);
        assert!(auth("[1]").is_err());
        assert!(auth("{").is_err());
        assert!(auth("@no such file").is_err());
    }
}
