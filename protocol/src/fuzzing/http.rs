//! The head of a request: its query, and what the router makes of it.

use super::input::Input;
use crate::engine::request::{Query, RequestHead, pairs};
use crate::engine::{EngineServerConfig, Origins, Revision, TransportKind, Transports};
use crate::random::Random;
use crate::server::{Route, Router};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

const METHODS: [&str; 8] = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "get", ""];
const CONNECTIONS: [Option<&str>; 6] =
    [None, Some("upgrade"), Some("keep-alive, Upgrade"), Some("close"), Some("upgraded"), Some(",")];
const UPGRADES: [Option<&str>; 5] =
    [None, Some("websocket"), Some("WebSocket"), Some("h2c, websocket"), Some("websockets")];
const ORIGINS: [Option<&str>; 4] =
    [None, Some("https://a.example"), Some("https://b.example"), Some("https://a.example.evil")];

/// Four bytes for the method, the headers and the settings, then the target as text.
///
/// # Panics
/// If the query or the router's answer is another than the oracle's.
pub fn admission(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let method = input.pick(&METHODS).unwrap_or_default();
    let sent = input.byte();
    let connection = CONNECTIONS[usize::from(sent) % CONNECTIONS.len()];
    let upgrade = UPGRADES[usize::from(sent / 8) % UPGRADES.len()];
    let origin = input.pick(&ORIGINS).flatten();
    let target = String::from_utf8_lossy(input.rest());
    let mut headers: Vec<(&str, &str)> = vec![];
    headers.extend(connection.map(|value| ("Connection", value)));
    headers.extend(upgrade.map(|value| ("upgrade", value)));
    headers.extend(origin.map(|value| ("Origin", value)));
    let headers = headers.as_slice();
    let head = RequestHead { method, target: &target, headers: &headers };

    let transports = [Transports::ALL, Transports::WEBSOCKET, Transports::POLLING][usize::from(settings) % 3];
    let listed = settings & 4 != 0;
    let allow_eio3 = settings & 8 != 0;
    let mut config = EngineServerConfig::default().transports(transports).allow_eio3(allow_eio3);
    if listed {
        config = config.origins(Some(Origins::list(["https://a.example"])));
    }
    let mut router = Router::new(Arc::new(config), Random::new([0; 32]));
    let registered = router.register(Some("sid".to_string()), |_| 7);
    assert!(registered.is_ok());

    // The query: every key and value by hand, the last of duplicates counts, an empty sid is none.
    let text = target.split_once('?').map_or("", |(_, query)| query);
    let expected: Vec<(String, String)> = text
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| match part.find('=') {
            Some(at) => (unescape(&part[..at]), unescape(&part[at + 1..])),
            None => (unescape(part), String::new()),
        })
        .collect();
    let read: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs(text).collect();
    assert_eq!(read.len(), expected.len());
    for (ours, oracle) in read.iter().zip(&expected) {
        assert_eq!((&*ours.0, &*ours.1), (&*oracle.0, &*oracle.1));
    }
    let last = |key: &str| expected.iter().rev().find(|(name, _)| name == key).map(|(_, value)| &**value);
    let session = last("sid").filter(|id| !id.is_empty());
    let query = head.query();
    assert_eq!(query, Query::parse(text));
    assert_eq!(query.revision.as_deref(), last("EIO"));
    assert_eq!(query.transport.as_deref(), last("transport"));
    assert_eq!(query.session.as_deref(), session);
    assert_eq!(query.jsonp.as_deref(), last("j"));
    assert_eq!(query.base64, last("b64").is_some_and(|value| !value.is_empty()));

    // The route: the reference's order of checks.
    let websocket = matches!(connection, Some("upgrade" | "keep-alive, Upgrade"))
        && matches!(upgrade, Some("websocket" | "WebSocket" | "h2c, websocket"));
    assert_eq!(head.is_websocket_upgrade(), websocket);
    let known = match last("transport") {
        Some("polling") => transports.polling,
        Some("websocket") => transports.websocket,
        _ => false,
    };
    let expected = if listed && !matches!(origin, None | Some("https://a.example")) {
        Expected::Refused(4)
    } else if listed && method == "OPTIONS" {
        Expected::Preflight
    } else if !known {
        Expected::Refused(0)
    } else if let Some(id) = session {
        match (id, websocket && method != "GET") {
            ("sid", false) => Expected::Session,
            ("sid", true) => Expected::Refused(2),
            _ => Expected::Refused(1),
        }
    } else if method != "GET" {
        Expected::Refused(2)
    } else if websocket != (last("transport") == Some("websocket")) {
        Expected::Refused(3)
    } else if listed && last("j").is_some() && !websocket {
        Expected::Refused(4)
    } else if last("EIO") != Some("4") && !allow_eio3 {
        Expected::Refused(5)
    } else {
        Expected::Open
    };
    let judge = |route: Route<i32>| match route {
        Route::Reply(reply) if reply.status == 204 => Expected::Preflight,
        Route::Reply(reply) => {
            let body = String::from_utf8_lossy(&reply.body).to_string();
            let words = [
                "Transport unknown",
                "Session ID unknown",
                "Bad handshake method",
                "Bad request",
                "Forbidden",
                "Unsupported protocol version",
            ];
            let code = words.iter().position(|words| body.contains(words));
            assert_eq!(body.starts_with('{'), !websocket, "{body}");
            assert_eq!(reply.status, if code == Some(4) && !websocket { 403 } else { 400 });
            Expected::Refused(code.unwrap_or(usize::MAX))
        }
        Route::Open(grant) => {
            assert_eq!(grant.transport == TransportKind::WebSocket, websocket);
            assert_eq!(grant.revision == Revision::V4, last("EIO") == Some("4"));
            Expected::Open
        }
        Route::Session(key) => {
            assert_eq!(key, 7);
            Expected::Session
        }
        Route::Pass => Expected::Pass,
    };
    assert_eq!(judge(router.route_any_path(&head)), expected);
    let ours = target.bytes().zip(*b"/engine.io/").filter(|(byte, wanted)| byte == wanted).count() == 11;
    assert_eq!(judge(router.route(&head)), if ours { expected } else { Expected::Pass });
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Refused(usize),
    Preflight,
    Session,
    Open,
    Pass,
}

/// `+` is a blank and `%XX` a byte, if it is one.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let digits = rest.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &rest[3..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.extend_from_slice(&rest.as_bytes()[..first_len(rest)]),
        }
        rest = &rest[first_len(rest)..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}
