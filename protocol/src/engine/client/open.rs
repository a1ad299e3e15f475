//! The opening of a session: URLs, the server's handshake, and the meaning of answers that are no handshake.

use super::{Method, State, Transport};
use crate::engine::client::config::EngineClientConfig;
use crate::engine::client::{ClientSession, ClientTransmit};
use crate::engine::error::{Ended, EngineError};
use crate::engine::request::RefusalCode;
use crate::engine::revision::Revision;
use crate::engine::transport::TransportKind;
use crate::random::Random;
use crate::reason::CloseReason;
use crate::time::Instant;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

/// All bytes but the unreserved ones (RFC 3986, section 2.3): a server chooses its ids, and must not be able to choose
/// our requests.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// An interval longer than any sensible heartbeat; it keeps sums within bounds.
const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60 * 24 * 365);
/// The longest open packet, in bytes: several times what any server sends.
const MAX_OPEN_PACKET: usize = 16 << 10;
/// The longest session id, in bytes. It stands in the URL of every request.
const MAX_SID: usize = 1 << 10;
/// The longest body in which the words of a refusal are looked for.
const MAX_REFUSAL: usize = 64 << 10;
/// The most characters of a server's own words that an error repeats.
const MAX_WORDS: usize = 200;

/// The open packet of a server: the first packet of a session (protocol v4, "Handshake").
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenPacket {
    /// The session id: a secret between this client and its server.
    pub sid: Arc<str>,
    /// Whether the server offers an upgrade to WebSocket.
    pub offers_websocket: bool,
    /// The time between two pings of the server.
    pub ping_interval: Duration,
    /// The time that a ping may be late.
    pub ping_timeout: Duration,
    /// The largest body that the server takes, in bytes; servers of old do not say.
    pub max_payload: Option<usize>,
}

impl OpenPacket {
    /// Reads the JSON of an open packet. Members may come in any order, and unknown ones are ignored.
    ///
    /// # Errors
    /// [`EngineError::Handshake`] if it is no object with a `sid` that is a string of at most 1024 bytes, and two
    /// intervals, or is longer than 16 KiB.
    ///
    /// ```
    /// use sansocket_protocol::engine::OpenPacket;
    ///
    /// let json = br#"{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;
    /// let handshake = OpenPacket::parse(json).unwrap();
    /// assert_eq!(&*handshake.sid, "abc");
    /// assert!(handshake.offers_websocket && handshake.max_payload.is_none());
    /// ```
    pub fn parse(json: &[u8]) -> Result<Self, EngineError> {
        if json.len() > MAX_OPEN_PACKET {
            return Err(EngineError::Handshake);
        }
        let members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(json).map_err(|_| EngineError::Handshake)?;
        let get = |name: &str| members.get(name).map(|value| value.get());
        let sid: String = get("sid")
            .and_then(|value| serde_json::from_str(value).ok())
            .filter(|sid: &String| (1..=MAX_SID).contains(&sid.len()))
            .ok_or(EngineError::Handshake)?;
        let upgrades: Vec<Cow<'_, str>> =
            get("upgrades").and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default();
        let interval = |name| get(name).and_then(millis).ok_or(EngineError::Handshake);
        Ok(Self {
            sid: sid.into(),
            offers_websocket: upgrades.iter().any(|name| name == TransportKind::WebSocket.as_str()),
            ping_interval: interval("pingInterval")?,
            ping_timeout: interval("pingTimeout")?,
            max_payload: get("maxPayload").and_then(|value| serde_json::from_str(value).ok()),
        })
    }

    /// The time for which the server may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.ping_interval.saturating_add(self.ping_timeout)
    }
}

impl ClientSession {
    /// Tries to open the session with the first transport that is left.
    pub(super) fn begin(&mut self) {
        let id = self.fresh_id();
        self.opening = Some(id);
        match self.order.first() {
            Some(TransportKind::WebSocket) => {
                self.transport = Transport::WebSocket(id);
                let target = target(&self.config, TransportKind::WebSocket, &mut self.random, None);
                self.control.push_back(ClientTransmit::OpenWebSocket { websocket: id, target });
            }
            Some(TransportKind::Polling) | None => {
                self.transport = Transport::Polling;
                let request = self.request(id, Method::Get, Bytes::new());
                self.control.push_back(request);
            }
        }
    }

    pub(super) fn open(&mut self, now: Instant, json: &[u8]) {
        let handshake = match OpenPacket::parse(json) {
            Ok(handshake) => handshake,
            Err(error) => return self.fail(Ended::by(CloseReason::TransportError, error)),
        };
        self.state = State::Open;
        self.opening = None;
        self.opened = true;
        let may_upgrade = handshake.offers_websocket
            && self.config.upgrade
            && self.transport == Transport::Polling
            && self.config.has(TransportKind::WebSocket);
        self.handshake = Some(handshake);
        self.wind_up(now);
        if may_upgrade {
            self.begin_upgrade(now);
        }
    }
}

/// A number of milliseconds, whole or not.
fn millis(json: &str) -> Option<Duration> {
    let millis: f64 = serde_json::from_str(json).ok()?;
    let seconds = Duration::try_from_secs_f64(millis / 1000.0).ok()?;
    Some(seconds.min(MAX_INTERVAL))
}

/// The target of a request: path and query, the application's parameters first, as the reference has it.
pub(super) fn target(
    config: &EngineClientConfig,
    kind: TransportKind,
    random: &mut Random,
    sid: Option<&str>,
) -> String {
    let mut target = String::with_capacity(96);
    target.push_str(&config.path);
    let mut separator = '?';
    let mut add = |key: &str, value: &str| {
        target.push(separator);
        separator = '&';
        target.extend(utf8_percent_encode(key, RESERVED));
        target.push('=');
        target.extend(utf8_percent_encode(value, RESERVED));
    };
    for (key, value) in &config.query {
        add(key, value);
    }
    add("EIO", Revision::V4.as_str());
    add("transport", kind.as_str());
    if config.timestamp_requests && kind == TransportKind::Polling {
        let bits = random.u64();
        let stamp: String = (0..64).step_by(8).map(|at| base36(bits >> at)).collect();
        add(&config.timestamp_param, &stamp);
    }
    if let Some(sid) = sid {
        add("sid", sid);
    }
    target
}

fn base36(bits: u64) -> char {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let at = usize::try_from(bits % 36).unwrap_or(0);
    char::from(DIGITS.get(at).copied().unwrap_or(b'0'))
}

/// The error in an HTTP response with another status than 200.
pub(super) fn refusal(status: u16, body: &[u8]) -> EngineError {
    #[derive(Default)]
    struct Words {
        code: Option<u64>,
        message: Option<String>,
    }
    let mut words = Words::default();
    let body = if body.len() > MAX_REFUSAL { &[] } else { body };
    // The reference answers with an object, Python's servers with a string, a proxy with a page.
    if let Ok(members) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(body) {
        let get = |name: &str| members.get(name).map(|value| value.get());
        // A number; one implementation sends a string.
        words.code = get("code").and_then(|code| code.trim_matches('"').parse().ok());
        words.message = get("message").and_then(|message| serde_json::from_str(message).ok());
    } else if let Ok(message) = serde_json::from_slice::<String>(body) {
        words.message = Some(message);
    }
    if words.code == Some(RefusalCode::UnsupportedRevision as u64) {
        return EngineError::UnsupportedRevision;
    }
    let message = words.message.map(|message| message.chars().take(MAX_WORDS).collect::<String>());
    EngineError::Status { status, message }
}

/// The error in the first body of a session that does not begin with an open packet.
pub(super) fn not_a_handshake(body: &[u8]) -> EngineError {
    // Revision 3 puts a length before each packet: `96:0{"sid":...`.
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = body.get(digits..).unwrap_or_default();
    if digits > 0 && rest.starts_with(b":0{") {
        return EngineError::UnsupportedRevision;
    }
    EngineError::NotEngineIo
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_handshake_may_come_in_any_order_and_with_more_members() {
        let json =
            br#"{"maxPayload":100,"new":{},"pingTimeout":200.5,"pingInterval":0,"upgrades":[],"sid":"a"}"#;
        let handshake = OpenPacket::parse(json).unwrap();
        assert_eq!(handshake.max_payload, Some(100));
        assert_eq!(handshake.patience(), Duration::from_micros(200_500));
        assert!(!handshake.offers_websocket);
    }

    #[test]
    fn a_handshake_without_sense_is_none() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"sid":1,"pingInterval":1,"pingTimeout":1}"#,
            r#"{"sid":"","pingInterval":1,"pingTimeout":1}"#,
            r#"{"sid":"a","pingInterval":-1,"pingTimeout":1}"#,
            r#"{"sid":"a","pingInterval":1e999,"pingTimeout":1}"#,
            r#"{"sid":"a","pingInterval":1}"#,
        ] {
            assert_eq!(OpenPacket::parse(json.as_bytes()), Err(EngineError::Handshake), "{json}");
        }
        let json = r#"{"sid":"a","pingInterval":1e300,"pingTimeout":1e15}"#;
        assert!(OpenPacket::parse(json.as_bytes()).is_err());
        let json = r#"{"sid":"a","pingInterval":1e14,"pingTimeout":1e14}"#;
        assert_eq!(OpenPacket::parse(json.as_bytes()).unwrap().patience(), MAX_INTERVAL * 2);
    }

    #[test]
    fn what_a_server_says_when_a_session_opens_is_bounded() {
        let open = |sid: usize, rest: &str| {
            let sid = "s".repeat(sid);
            let json = alloc::format!(r#"{{"sid":"{sid}","pingInterval":1,"pingTimeout":1{rest}}}"#);
            OpenPacket::parse(json.as_bytes()).map(|handshake| handshake.sid.len())
        };
        assert_eq!(open(1024, ""), Ok(1024));
        assert_eq!(open(1025, ""), Err(EngineError::Handshake));
        assert_eq!(open(60_000_000, ""), Err(EngineError::Handshake));
        let upgrades = |count: usize| alloc::format!(r#","upgrades":[{}"x"]"#, r#""x","#.repeat(count));
        assert_eq!(open(1, &upgrades(1000)), Ok(1));
        assert_eq!(open(1, &upgrades(5000)), Err(EngineError::Handshake));
        let words = alloc::format!(r#"{{"code":4,"message":"{}"}}"#, "w".repeat(100_000));
        assert_eq!(refusal(403, words.as_bytes()), EngineError::Status { status: 403, message: None });
    }

    #[test]
    fn a_servers_id_cannot_add_to_the_url() {
        let config = EngineClientConfig::default().query([("room name", "a&b=c")]).timestamp_requests(false);
        let mut random = Random::new([0; 32]);
        assert_eq!(
            target(&config, TransportKind::Polling, &mut random, Some("x&sid=y\r\nHost: z")),
            "/engine.io/?room%20name=a%26b%3Dc&EIO=4&transport=polling&sid=x%26sid%3Dy%0D%0AHost%3A%20z",
        );
    }

    #[test]
    fn each_polling_request_has_a_stamp_of_its_own() {
        let mut random = Random::new([0; 32]);
        let config = EngineClientConfig::default();
        let first = target(&config, TransportKind::Polling, &mut random, None);
        let second = target(&config, TransportKind::Polling, &mut random, None);
        let stamp = first.rsplit_once("&t=").unwrap().1;
        assert!(stamp.len() == 8 && stamp.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{first}");
        assert_ne!(first, second);
        let websocket = target(&config, TransportKind::WebSocket, &mut random, None);
        assert_eq!(websocket, "/engine.io/?EIO=4&transport=websocket");
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let status = |status, message: Option<&str>| EngineError::Status {
            status,
            message: message.map(ToString::to_string),
        };
        assert_eq!(refusal(400, br#"{"code":5,"message":"x"}"#), EngineError::UnsupportedRevision);
        assert_eq!(refusal(400, br#"{"code":"5","message":"x"}"#), EngineError::UnsupportedRevision);
        assert_eq!(refusal(403, br#"{"code":4,"message":"No"}"#), status(403, Some("No")));
        assert_eq!(refusal(400, br#""Invalid session""#), status(400, Some("Invalid session")));
        assert_eq!(refusal(502, b"<html>"), status(502, None));
    }

    #[test]
    fn a_server_of_the_older_revision_is_told_apart_from_no_server() {
        assert_eq!(not_a_handshake(br#"96:0{"sid":"a"}2:40"#), EngineError::UnsupportedRevision);
        assert_eq!(not_a_handshake(b"<!doctype html>"), EngineError::NotEngineIo);
        assert_eq!(not_a_handshake(b""), EngineError::NotEngineIo);
    }
}
