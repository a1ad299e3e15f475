//! The share of one address in the requests that a node passes on.

use super::forwarding::{ASKER, Nodes, OWNER, SECOND, answered, config};
use bytes::Bytes;
use sansocket_protocol::cluster::node::{ForwardId, NodeConfig};
use sansocket_protocol::cluster::{ForwardError, ForwardedRequest};
use sansocket_protocol::rate::Rate;
use std::net::IpAddr;

impl Nodes {
    fn open_from(&mut self, address: &str, bytes: usize) -> Result<ForwardId, ForwardError> {
        let (address, session): (IpAddr, _) = (address.parse().unwrap(), self.session(OWNER));
        self.nodes[ASKER].open_forward_from(self.now, Some(address), &session, bytes)
    }

    fn close(&mut self, id: ForwardId) {
        self.nodes[ASKER].close_forward(self.now, id);
        self.settle();
    }

    /// Passes a POST of so many bytes on.
    fn posts(&mut self, address: &str, bytes: usize) -> ForwardId {
        let request: ForwardedRequest = self.request(OWNER, "POST").with_body(Bytes::from(vec![b'4'; bytes]));
        let id = self.open_from(address, bytes).unwrap();
        self.send(id, request);
        id
    }
}

fn limits() -> NodeConfig {
    config().with_max_forwards_per_address(2).with_max_forwarded_bytes_per_address(100)
}

#[test]
fn one_address_has_so_many_requests_at_a_time_and_the_others_theirs() {
    let mut nodes = Nodes::new(2, &limits());
    let mut open =
        vec![nodes.open_from("10.0.0.1", 0).unwrap(), nodes.open_from("::ffff:10.0.0.1", 0).unwrap()];
    let many = ForwardError::TooManyFromAddress { limit: 2 };
    assert_eq!(nodes.open_from("10.0.0.1", 0), Err(many));
    assert_eq!((many.response().status, nodes.nodes[ASKER].counts().unforwarded), (429, 1));
    open.extend((0..2).map(|host| nodes.open_from(&format!("2001:db8:1:2::{host}"), 0).unwrap()));
    assert_eq!(nodes.open_from("2001:db8:1:2:3::", 0), Err(many), "a network has one share");
    open.push(nodes.open_from("2001:db8:1:3::", 0).unwrap());
    // Those of no known address have no share of their own.
    let session = nodes.session(OWNER);
    open.extend((0..5).map(|_| nodes.nodes[ASKER].open_forward(nodes.now, &session, 0).unwrap()));
    nodes.close(open[0]);
    nodes.close(open[0]);
    open.push(nodes.open_from("10.0.0.1", 0).unwrap());
    assert_eq!(nodes.open_from("10.0.0.1", 0), Err(many));
    nodes.finish(&open);
}

#[test]
fn bodies_of_one_address_are_bounded_until_they_have_left() {
    let mut nodes = Nodes::new(2, &limits());
    let much = Err(ForwardError::TooManyBytesFromAddress { limit: 100 });
    assert_eq!(ForwardError::TooManyBytesFromAddress { limit: 100 }.response().status, 429);
    let reading = nodes.open_from("10.0.0.1", 60).unwrap();
    assert_eq!(nodes.open_from("10.0.0.1", 50), much.map(|()| reading));
    assert_eq!(nodes.nodes[ASKER].grow_forward(reading, 41), much);
    assert_eq!(nodes.nodes[ASKER].grow_forward(reading, 40), Ok(()));
    nodes.close(reading);

    // One that is sent and given up may wait for the driver: who does that again and again gets no further.
    let given_up = nodes.posts("10.0.0.1", 60);
    nodes.close(given_up);
    nodes.close(given_up);
    assert_eq!(nodes.open_from("10.0.0.1", 50), much.map(|()| reading));
    nodes.pass(5 * SECOND);
    let other = nodes.posts("10.0.0.1", 60);
    // The bus goes, and all that waited with it.
    nodes.close(other);
    nodes.nodes[ASKER].handle_bus_down(nodes.now);
    nodes.nodes[ASKER].handle_bus_up(nodes.now);
    nodes.settle();
    nodes.pass(5 * SECOND);
    nodes.told(ASKER);
    nodes.told(OWNER);
    // One that was taken has left; one that is answered, too.
    let taken = nodes.posts("10.0.0.1", 60);
    nodes.settle();
    nodes.pass(SECOND);
    nodes.close(taken);
    let request = nodes.posts("10.0.0.1", 60);
    nodes.settle();
    let told = nodes.told(OWNER);
    let name = told.iter().rev().find_map(|told| match told {
        super::forwarding::Told::Request(name, _) => Some(*name),
        _ => None,
    });
    nodes.answer(OWNER, name.unwrap(), answered(b"ok"));
    nodes.told(ASKER);
    nodes.close(request);
    let last = nodes.open_from("10.0.0.1", 100).unwrap();
    nodes.finish(&[last]);
}

#[test]
fn requests_of_one_address_come_at_a_rate() {
    let rate = Rate::per_second(1).burst(2);
    let mut nodes = Nodes::new(2, &config().with_forward_rate_per_address(rate));
    for _ in 0..2 {
        let id = nodes.open_from("10.0.0.1", 0).unwrap();
        nodes.close(id);
    }
    let too_often = ForwardError::TooOften { retry_after: SECOND };
    assert_eq!(nodes.open_from("10.0.0.1", 0), Err(too_often));
    let response = too_often.response();
    assert_eq!((response.status, response.get("retry-after")), (429, Some("1")));
    let other = nodes.open_from("10.0.0.2", 0).unwrap();
    nodes.pass(SECOND);
    let id = nodes.open_from("10.0.0.1", 0).unwrap();
    assert!(nodes.open_from("10.0.0.1", 0).is_err());
    nodes.finish(&[id, other]);
}
