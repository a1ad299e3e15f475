//! Messages of Postgres that are rows of a table: they keep their place among the others.

use bytes::Bytes;
use sansocket_protocol::cluster::node::{Dialect, Node, NodeConfig, NodeTransmit};
use sansocket_protocol::cluster::{Event, Message, Postgres};
use sansocket_protocol::hub::Target;
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;

const NOW: Instant = Instant::ZERO;

fn node(seed: u8) -> Node {
    let dialect = Dialect::Postgres(Postgres::default());
    let mut node = Node::new(NodeConfig::default(), dialect, Random::new([seed; 32]));
    node.open(NOW, "/");
    node.handle_bus_up(NOW);
    while node.poll_transmit().is_some() {}
    node
}

fn emit(node: &mut Node, event: Event) {
    assert!(node.send(NOW, "/", Message::Emit { event, target: Target::all(), ack: None }).unwrap());
}

fn published(node: &mut Node) -> Bytes {
    match node.poll_transmit() {
        Some(NodeTransmit::Publish(published)) => published.payload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_notification_of_a_row_leaves_before_what_was_sent_after_it() {
    let mut node = node(1);
    emit(&mut node, Event::new("row", &Bytes::from_static(&[1])).unwrap());
    let Some(NodeTransmit::Insert { envelope, .. }) = node.poll_transmit() else { panic!() };
    emit(&mut node, Event::new("later", &()).unwrap());
    node.handle_inserted(NOW, &envelope, 7);
    let header = published(&mut node);
    assert!(std::str::from_utf8(&header).unwrap().contains(r#""attachmentId":"7""#));
    assert!(std::str::from_utf8(&published(&mut node)).unwrap().contains("later"));
    assert!(!node.has_transmits());
}

#[test]
fn a_row_that_came_is_read_before_anything_else_is_done() {
    let (mut one, mut other) = (node(1), node(2));
    emit(&mut one, Event::new("row", &Bytes::from_static(&[1])).unwrap());
    let Some(NodeTransmit::Insert { envelope, .. }) = one.poll_transmit() else { panic!() };
    one.handle_inserted(NOW, &envelope, 7);
    let header = published(&mut one);
    emit(&mut other, Event::new("own", &()).unwrap());
    other.handle_message(NOW, "socket.io#/", &header);
    assert!(matches!(other.next_transmit(), Some(NodeTransmit::Select { row, .. }) if &**row == "7"));
    // The sender does not read its own.
    one.handle_message(NOW, "socket.io#/", &header);
    assert_eq!(one.next_transmit(), None);
}
