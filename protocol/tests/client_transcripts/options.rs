//! The settings that a transcript begins with.

use crate::notation::duration;
use sansocket_protocol::client::{Manager, ReconnectConfig};
use sansocket_protocol::engine::{EngineClientConfig, TransportKind};
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::SocketClientConfig;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Options {
    pub(crate) asks: bool,
    manager: ReconnectConfig,
    engine: EngineClientConfig,
    sockets: Option<SocketClientConfig>,
}

impl Options {
    /// From words like `transports=polling,websocket upgrade=no`.
    pub(crate) fn parse(words: &str) -> Self {
        let mut options = Self {
            asks: false,
            manager: ReconnectConfig::default().randomization_factor(0.0),
            engine: EngineClientConfig::default().path("/socket.io").timestamp_requests(false),
            sockets: Some(SocketClientConfig::default()),
        };
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, "yes"));
            options.set(key, value).unwrap_or_else(|| panic!("`{word}` is no setting"));
        }
        options
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let yes = || match value {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        let time = || duration(value);
        let (manager, engine) = (&mut self.manager, &mut self.engine);
        match key {
            "engine" => self.sockets = None,
            "path" => *engine = engine.clone().path(value),
            "exact_path" => *engine = engine.clone().exact_path(value),
            "query" => {
                let pairs = value.split('&').map(|pair| pair.split_once(':').expect("key:value"));
                *engine = engine.clone().query(pairs);
            }
            "transports" => {
                engine.transports = value.split(',').map(transport).collect::<Option<_>>()?;
            }
            "upgrade" => engine.upgrade = yes()?,
            "remember_upgrade" => engine.remember_upgrade = yes()?,
            "try_all_transports" => engine.try_all_transports = yes()?,
            "open_timeout" => engine.open_timeout = time()?,
            "request_timeout" => engine.request_timeout = time()?,
            "upgrade_timeout" => engine.upgrade_timeout = time()?,
            "close_timeout" => engine.close_timeout = time()?,
            "max_message" => engine.max_message = value.parse().ok()?,
            "send_budget" => engine.send_budget = value.parse().ok()?,
            "receive_budget" => engine.receive_budget = value.parse().ok()?,
            "reconnection" => manager.reconnection = yes()?,
            "attempts" => manager.reconnection_attempts = Some(value.parse().ok()?),
            "delay" => manager.reconnection_delay = time()?,
            "delay_max" => manager.reconnection_delay_max = time()?,
            "randomization" => manager.randomization_factor = value.parse().ok()?,
            "ask" => {
                manager.ask_before_dial = yes()?;
                self.asks = manager.ask_before_dial;
            }
            "join_timeout" => self.sockets.as_mut()?.join_timeout = time()?,
            "ack_timeout" => self.sockets.as_mut()?.ack_timeout = time()?,
            "retries" => self.sockets.as_mut()?.retries = value.parse().ok()?,
            "max_pending_acks" => self.sockets.as_mut()?.max_pending_acks = value.parse().ok()?,
            "max_attachments" => {
                self.sockets.as_mut()?.parser.max_attachments = value.parse::<usize>().ok()?.into()
            }
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn client(self) -> Manager {
        let sockets = self.sockets.map(Arc::new);
        Manager::new(Arc::new(self.manager), Arc::new(self.engine), Random::new([7; 32]), sockets)
    }
}

fn transport(name: &str) -> Option<TransportKind> {
    [TransportKind::Polling, TransportKind::WebSocket].into_iter().find(|kind| kind.as_str() == name)
}

/// Returns whether `got` is what `expected` says: the same, but for one `again=500ms..1500ms`, which is a range.
pub(crate) fn matches(expected: &str, got: &str) -> bool {
    let range = |word: &str| -> Option<(Duration, Duration)> {
        let (from, to) = word.strip_prefix("again=")?.split_once("..")?;
        Some((duration(from)?, duration(to)?))
    };
    let (expected, got): (Vec<_>, Vec<_>) = (expected.split(' ').collect(), got.split(' ').collect());
    expected.len() == got.len()
        && expected.iter().zip(got).all(|(expected, got)| match range(expected) {
            Some((from, to)) => {
                let got = got.strip_prefix("again=").and_then(duration);
                got.is_some_and(|got| (from..=to).contains(&got))
            }
            None => *expected == got,
        })
}
