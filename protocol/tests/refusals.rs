//! The answers to clients that are not let in, and the headers of every response.

use sansocket_protocol::engine::{EngineServerConfig, OriginDecision, Origins};
use sansocket_protocol::engine::{RequestHead, Response};
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Grant, RegisterError, Route, Router};
use std::sync::Arc;

fn router(config: EngineServerConfig) -> Router<u8> {
    Router::new(Arc::new(config), Random::new([0; 32]))
}

const UPGRADE: [(&str, &str); 2] = [("connection", "upgrade"), ("upgrade", "websocket")];

fn head<'a>(websocket: bool) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        target: if websocket {
            "/engine.io/?EIO=4&transport=websocket"
        } else {
            "/engine.io/?EIO=4&transport=polling"
        },
        headers: if websocket { &UPGRADE } else { &[] },
    }
}

fn grant(websocket: bool) -> Grant {
    match router(EngineServerConfig::default()).route(&head(websocket)) {
        Route::Open(grant) => grant,
        other => panic!("{other:?}"),
    }
}

fn words(response: &Response) -> (u16, &str) {
    (response.status, core::str::from_utf8(&response.body).unwrap())
}

#[test]
fn the_application_refuses_in_its_words_or_in_those_of_the_reference() {
    let response = grant(false).refuse(None);
    assert_eq!(words(&response), (403, r#"{"code":4,"message":"Forbidden"}"#));
    assert_eq!(response.get("content-type"), Some("application/json"));
    let response = grant(false).refuse(Some("no \"cookie\""));
    assert_eq!(words(&response), (403, r#"{"code":4,"message":"no \"cookie\""}"#));

    let response = grant(true).refuse(None);
    assert_eq!(words(&response), (400, "Forbidden"));
    assert_eq!(response.get("connection"), Some("close"));
    assert_eq!(words(&grant(true).refuse(Some("no cookie"))), (400, "no cookie"));
}

#[test]
fn an_id_that_cannot_be_used_is_refused() {
    let mut router = router(EngineServerConfig::default());
    router.register(Some("a".into()), |_| 1).unwrap();
    for id in ["a", "", "with blank", "ä"] {
        let error = router.register(Some(id.into()), |_| 2).unwrap_err();
        assert_eq!(error, RegisterError::BadId, "{id:?}");
    }
    assert_eq!(router.sessions().collect::<Vec<_>>(), [&1]);
    let polling = RegisterError::BadId.response(&grant(false));
    assert_eq!(words(&polling), (400, r#"{"code":3,"message":"Bad request"}"#));
    assert_eq!(words(&RegisterError::BadId.response(&grant(true))), (400, "Bad request"));
}

#[test]
fn a_preflight_allows_the_headers_it_was_asked_for() {
    let router = router(EngineServerConfig::default().origins(Some(Origins::any())));
    let headers = [("access-control-request-headers", "x-token"), ("origin", "https://a.example")];
    let head = RequestHead { method: "OPTIONS", headers: &headers, ..head(false) };
    let Route::Reply(response) = router.route(&head) else { panic!("no reply") };
    assert_eq!(response.status, 204);
    assert_eq!(response.get("access-control-allow-headers"), Some("x-token"));
    assert_eq!(response.get("vary"), Some("Access-Control-Request-Headers"));
}

#[test]
fn an_old_browser_is_told_not_to_look_for_scripts() {
    let config = EngineServerConfig::default();
    for (agent, status, told) in [
        ("Mozilla/4.0 (compatible;MSIE 8.0)", 200, true),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0)", 200, true),
        ("Mozilla/5.0 (compatible;MSIE 8.0)", 400, false),
        ("Mozilla/5.0 (X11; Linux x86_64)", 200, false),
    ] {
        let headers = [("user-agent", agent)];
        let mut response = Response::new(status);
        let head = RequestHead { headers: &headers, ..head(false) };
        config.decorate(&head, &OriginDecision::Unjudged, &mut response);
        assert_eq!(response.get("x-xss-protection").is_some(), told, "{agent} {status}");
    }
}
