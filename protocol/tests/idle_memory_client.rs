//! The memory of a client at rest, counted in bytes.

use allocation_counter::measure;
use sansocket_protocol::client::{ClientEvent, Manager};
use sansocket_protocol::engine::{ClientTransmit, EngineClientConfig, RequestId, TransportKind};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::{AuthSource, ClientSocketEvent, Parser, SocketKey};
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const NOW: Instant = Instant::ZERO;
/// Events of each kind in a burst.
const BURST: u64 = 500;

struct Joined {
    client: Manager,
    socket: SocketKey,
    websocket: RequestId,
}

impl Joined {
    /// A client in the main namespace, all of whose output is written.
    fn new() -> Self {
        let engine = EngineClientConfig::default().transports([TransportKind::WebSocket]);
        let random = Random::new([7; 32]);
        let mut client = Manager::new(Arc::default(), Arc::new(engine), random, Some(Arc::default()));
        let socket = client.add("/", AuthSource::None).expect("a namespace");
        client.connect(NOW, socket);
        let Some(ClientTransmit::OpenWebSocket { websocket, .. }) = client.poll_transmit() else {
            panic!("no WebSocket is asked for")
        };
        client.handle_websocket_opened(NOW, websocket);
        let mut joined = Self { client, socket, websocket };
        joined.say(r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#);
        joined.say(r#"40{"sid":"public-id"}"#);
        assert_eq!(joined.write_all(), 1, "it joins");
        joined.events();
        joined
    }

    fn say(&mut self, text: &str) {
        let message = WireMessage::Text(text.to_owned().into());
        self.client.handle_websocket(NOW, self.websocket, message);
    }

    fn write_all(&mut self) -> usize {
        std::iter::from_fn(|| self.client.poll_transmit()).count()
    }

    fn events(&mut self) -> usize {
        std::iter::from_fn(|| self.client.poll_event()).count()
    }

    /// Events that wait for a handler, events to the server, and acknowledgements that are asked for and come.
    fn burst(&mut self) {
        for _ in 0..BURST {
            self.say(r#"42["said"]"#);
        }
        assert_eq!(self.events(), BURST as usize);
        let parser = Parser::json();
        for id in 0..BURST {
            let frame = parser.event("/", "asked", Some(id), &()).expect("a frame");
            let deadline = NOW + Duration::from_secs(1);
            self.client.emit_with_ack(NOW, self.socket, frame, id, deadline).expect("a session");
        }
        assert_eq!(self.write_all(), BURST as usize);
        for id in 0..BURST {
            self.say(&format!("43{id}[]"));
        }
        assert_eq!(self.events(), BURST as usize);
    }

    fn heartbeat(&mut self) {
        self.say("2");
        assert_eq!(self.write_all(), 1, "a pong");
    }
}

#[test]
fn a_burst_leaves_nothing_behind_the_next_heartbeat_of_a_client() {
    let mut joined = Joined::new();
    joined.heartbeat();
    let grown = measure(|| joined.burst()).bytes_current;
    let given_back = measure(|| joined.heartbeat()).bytes_current;
    assert!(given_back < -10_000, "{given_back} bytes at the heartbeat, after {grown} of the burst");
    assert!(grown + given_back <= 0, "{grown} bytes of the burst, {given_back} at the heartbeat");
}

#[test]
fn a_burst_leaves_nothing_behind_a_connection_that_is_lost() {
    let held = |has_burst: bool| {
        let mut joined = Joined::new();
        joined.heartbeat();
        let held = measure(|| {
            if has_burst {
                joined.burst();
            }
            joined.client.handle_websocket_closed(NOW, joined.websocket, None);
            let lost = std::iter::from_fn(|| joined.client.poll_event())
                .any(|event| matches!(event, ClientEvent::Socket(ClientSocketEvent::Disconnected { .. })));
            assert!(lost);
        });
        held.bytes_current
    };
    assert_eq!(held(true), held(false));
}
