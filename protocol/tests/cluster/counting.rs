//! Counts of nodes and of answers, and what a peer that answers too often cannot do.

use bytes::Bytes;
use sansocket_protocol::cluster::node::{
    Ask, AskId, Dialect, EntryId, Node, NodeConfig, NodeEvent, NodeTransmit, Outcome,
};
use sansocket_protocol::cluster::{Classic, Event};
use sansocket_protocol::hub::Target;
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::time::Duration;

const NOW: Instant = Instant::from_millis(1000);

/// A node beside peers with the classic adapter.
struct Asker {
    node: Node,
    token: String,
}

impl Asker {
    fn new(config: NodeConfig) -> Self {
        let mut node = Node::new(config, Dialect::Classic(Classic::default()), Random::new([3; 32]));
        node.open(NOW, "/");
        node.handle_bus_up(NOW);
        Self { node, token: String::new() }
    }

    fn asks(&mut self, ask: Ask) -> AskId {
        let id = self.node.ask(NOW, "/", ask, Duration::from_secs(1)).unwrap();
        while let Some(transmit) = self.node.poll_transmit() {
            let NodeTransmit::Publish(one) = transmit else { continue };
            let text: String = one.payload.iter().map(|byte| char::from(*byte)).collect();
            // In JSON, and in MessagePack, where its length is before it.
            if let Some((_, rest)) = text.split_once("requestId") {
                let rest = rest.trim_start_matches(['"', ':']).trim_start_matches('\u{a6}');
                self.token = rest.chars().take(6).collect();
            }
        }
        id
    }

    /// A peer answers with these fields.
    fn hears(&mut self, fields: &str) {
        let payload = format!(r#"{{"requestId":"{}",{fields}}}"#, self.token);
        self.node.handle_message(NOW, "socket.io-response#/#", &Bytes::from(payload));
        assert_eq!(self.node.inconsistency(), None);
    }

    fn counts(&mut self, ask: AskId, subscribers: u32) {
        self.node.handle_count(NOW, ask, Some(subscribers));
    }

    fn done(&mut self) -> Vec<Outcome> {
        std::iter::from_fn(|| self.node.poll_event())
            .filter_map(|event| match event {
                NodeEvent::Done { outcome, .. } => Some(outcome),
                _ => None,
            })
            .collect()
    }
}

fn acks() -> Ask {
    let event = Event::new("ask", &()).unwrap();
    Ask::Acks { event, target: Target::all(), single: false, max_bytes: 1 << 20 }
}

fn tell() -> Ask {
    Ask::ServerSide { event: Event::new("tell", &()).unwrap() }
}

#[test]
fn there_are_as_many_answers_as_the_limit_and_not_one_more() {
    let mut asker = Asker::new(NodeConfig::default().with_max_answers(2));
    let id = asker.asks(acks());
    asker.counts(id, 2);
    asker.hears(r#""type":8,"clientCount":2"#);
    for ack in 1..=2 {
        assert!(asker.done().is_empty());
        asker.hears(&format!(r#""type":9,"packet":[{ack}]"#));
    }
    let done = asker.done();
    assert_eq!((done.len(), done[0].answers.len(), done[0].is_complete()), (1, 2, true));

    // Of more sockets that answer, the others are not kept; of more sockets in a list, neither.
    let id = asker.asks(acks());
    asker.counts(id, 2);
    asker.hears(r#""type":8,"clientCount":3"#);
    let refused = asker.node.counts().refused;
    for ack in 1..=3 {
        asker.hears(&format!(r#""type":9,"packet":[{ack}]"#));
    }
    assert_eq!(asker.node.counts().refused, refused + 1);
    asker.node.handle_timeout(NOW + Duration::from_secs(1));
    assert_eq!(asker.done()[0].answers.len(), 2);
    let id = asker.asks(Ask::Sockets { target: Target::all() });
    asker.counts(id, 2);
    let socket = |id| format!(r#"{{"id":"{id}","handshake":{{}},"rooms":[],"data":{{}}}}"#);
    let sockets = ["a", "b", "c"].map(socket).join(",");
    asker.hears(&format!(r#""sockets":[{sockets}]"#));
    assert_eq!(asker.done()[0].sockets.len(), 2);
}

#[test]
fn who_answers_when_all_have_answered_is_not_heard() {
    let mut asker = Asker::new(NodeConfig::default());
    let id = asker.asks(tell());
    asker.counts(id, 3);
    asker.hears(r#""type":6,"data":"one""#);
    assert!(asker.done().is_empty());
    asker.hears(r#""type":6,"data":"two""#);
    let done = asker.done();
    assert_eq!((done[0].answers.len(), done[0].missing_nodes), (2, Some(0)));
    asker.hears(r#""type":6,"data":"three""#);
    assert!(asker.done().is_empty());
    assert_eq!(asker.node.open_requests(), (0, 0));
    assert_eq!(asker.node.poll_timeout(), None);
}

#[test]
fn the_number_of_nodes_is_told_once() {
    let mut asker = Asker::new(NodeConfig::default());
    let id = asker.asks(Ask::Nodes);
    asker.counts(id, 3);
    asker.counts(id, 9);
    let done = asker.done();
    assert_eq!((done.len(), done[0].nodes), (1, Some(2)));
    // A request that waits for two is not over because the bus says something else, or nothing, afterwards.
    for (round, ask) in [tell(), acks()].into_iter().enumerate() {
        let id = asker.asks(ask);
        asker.counts(id, 3);
        asker.counts(id, 1);
        asker.node.handle_count(NOW, id, None);
        assert!(asker.done().is_empty());
        asker.node.handle_timeout(NOW + Duration::from_secs(10) * (round as u32 + 1));
        assert_eq!(asker.done()[0].missing_nodes, Some(2));
    }
}

#[test]
fn the_ids_of_a_stream_have_a_next_one_to_their_end() {
    let most = u64::MAX;
    assert_eq!(EntryId::new(5, 7).next(), EntryId::new(5, 8));
    assert_eq!(EntryId::new(5, most).next(), EntryId::new(6, 0));
    // Behind the last one there is none, and nothing begins anew.
    assert_eq!(EntryId::new(most, most).next(), EntryId::new(most, most));
    assert!(EntryId::new(most, 0).next() > EntryId::new(most, 0));
    for text in ["18446744073709551615-18446744073709551615", "0-0"] {
        assert_eq!(text.parse::<EntryId>().unwrap().to_string(), text);
    }
    for text in ["18446744073709551616-0", "0-18446744073709551616", "-", "1-", "-1", "1-2-3", "1- 2", ""] {
        assert!(text.parse::<EntryId>().is_err(), "{text}");
    }
}
