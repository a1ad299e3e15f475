//! The bytes on their way between the two, one channel for each request and WebSocket. Channels overtake each other.

use bytes::Bytes;
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::message::WireMessage;

#[derive(Debug)]
pub(crate) enum Item {
    // From the client.
    Request { method: &'static str, target: String, body: Bytes },
    OpenWebSocket { target: String },
    Abort,
    // From the server.
    Response { status: u16, body: Bytes },
    Opened,
    Failed,
    // From both.
    Message(WireMessage),
    Close,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) id: RequestId,
    pub(crate) to_server: bool,
    pub(crate) item: Item,
}

#[derive(Debug)]
pub(crate) struct Wire {
    flights: Vec<Flight>,
    random: u64,
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        Self { flights: Vec::new(), random: seed }
    }

    pub(crate) fn push(&mut self, id: RequestId, to_server: bool, item: Item) {
        self.flights.push(Flight { id, to_server, item });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.flights.clear();
    }

    /// The next one to arrive: the first of some channel.
    pub(crate) fn pop(&mut self) -> Option<Flight> {
        let is_first = |at: usize| {
            let flight = &self.flights[at];
            !self.flights[..at]
                .iter()
                .any(|other| (other.id, other.to_server) == (flight.id, flight.to_server))
        };
        let first: Vec<_> = (0..self.flights.len()).filter(|at| is_first(*at)).collect();
        if first.is_empty() {
            return None;
        }
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (self.random >> 33) as usize % first.len();
        Some(self.flights.remove(first[at]))
    }
}
