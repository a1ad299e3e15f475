//! The scenarios: the rounds of each, which are alike.

use crate::clients::{client_ack, client_echo};
use crate::end::{End, binary, binary_back, close, poll, post, text, text_back, upgrade};
use sansocket_tokio::Server;
use sansocket_tokio::testing::TestServer;

pub(crate) type Test = TestServer<Server>;

/// Sends, lets server and clients work until they rest, compares what has come back, and returns the number of messages.
pub(crate) type Round<'a> = Box<dyn FnMut() -> usize + 'a>;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The measured rounds: some thousand messages in all.
    pub(crate) rounds: usize,
    pub(crate) prepare: fn(&Test) -> Round<'_>,
}

pub(crate) const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "echo", rounds: 20, prepare: echo },
    Scenario { name: "ack", rounds: 40, prepare: ack },
    Scenario { name: "echo_at_once", rounds: 20, prepare: echo },
    Scenario { name: "ack_at_once", rounds: 40, prepare: ack },
    Scenario { name: "bin1k", rounds: 20, prepare: bin1k },
    Scenario { name: "delivery", rounds: 10, prepare: delivery },
    Scenario { name: "connect", rounds: 10, prepare: connect },
    Scenario { name: "polling", rounds: 20, prepare: polling },
    Scenario { name: "client_echo", rounds: 30, prepare: client_echo },
    Scenario { name: "client_ack", rounds: 60, prepare: client_ack },
];

const CLIENTS: usize = 8;
const SMALL: usize = 64;

pub(crate) fn small() -> String {
    "x".repeat(SMALL)
}

/// A client that sends the same in each round, and gets the same.
struct Exchange {
    client: End,
    sends: Vec<u8>,
    gets: Vec<u8>,
}

impl Exchange {
    fn new(
        test: &Test,
        depth: usize,
        sends: impl Fn(usize) -> Vec<u8>,
        gets: impl Fn(usize) -> Vec<u8>,
    ) -> Self {
        let sends = (0..depth).flat_map(sends).collect();
        let gets = (0..depth).flat_map(gets).collect();
        Self { client: joined(test), sends, gets }
    }

    fn check(&mut self) {
        assert!(self.client.received() == self.gets, "something else has come back than an answer to each");
    }
}

fn exchange(test: &Test, mut exchanges: Vec<Exchange>, messages: usize) -> Round<'_> {
    Box::new(move || {
        for exchange in exchanges.iter_mut().filter(|exchange| !exchange.sends.is_empty()) {
            exchange.client.send(&exchange.sends);
        }
        test.settle();
        exchanges.iter_mut().for_each(Exchange::check);
        messages
    })
}

/// A client in the main namespace, on a WebSocket.
fn joined(test: &Test) -> End {
    let mut clients = vec![End::connect(test)];
    join(test, &mut clients);
    clients.remove(0)
}

fn join(test: &Test, clients: &mut [End]) {
    for (sends, gets) in [(upgrade(), "HTTP/1.1 101"), (text("40"), "40{\"sid\"")] {
        clients.iter_mut().for_each(|client| client.send(&sends));
        test.settle();
        for client in &mut *clients {
            assert!(client.received_text().contains(gets), "no {gets}");
        }
    }
}

/// Events of 64 bytes that the server sends back, 16 at a time from each client.
fn echo(test: &Test) -> Round<'_> {
    const DEPTH: usize = 16;
    let event = format!(r#"42["echo","{}"]"#, small());
    let exchange_of = |_| Exchange::new(test, DEPTH, |_| text(&event), |_| text_back(&event));
    exchange(test, (0..CLIENTS).map(exchange_of).collect(), CLIENTS * DEPTH)
}

/// Acknowledged events, 4 at a time.
fn ack(test: &Test) -> Round<'_> {
    const DEPTH: usize = 4;
    let (event, argument) = (|id| format!(r#"42{id}["ack","{}"]"#, small()), small());
    let exchange_of = |_| {
        let gets = |id| text_back(&format!(r#"43{id}["{argument}"]"#));
        Exchange::new(test, DEPTH, |id| text(&event(id)), gets)
    };
    exchange(test, (0..CLIENTS).map(exchange_of).collect(), CLIENTS * DEPTH)
}

/// Events with 1 KiB of bytes that the server sends back, 4 at a time.
fn bin1k(test: &Test) -> Round<'_> {
    const DEPTH: usize = 4;
    let event = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1024).collect();
    let exchange_of = |_| {
        let sends = |_| [text(event), binary(&bytes)].concat();
        Exchange::new(test, DEPTH, sends, |_| [text_back(event), binary_back(&bytes)].concat())
    };
    exchange(test, (0..CLIENTS).map(exchange_of).collect(), CLIENTS * DEPTH)
}

/// Broadcasts to a room of 200, 8 at a time; a message is one delivery.
fn delivery(test: &Test) -> Round<'_> {
    const MEMBERS: usize = 200;
    const DEPTH: usize = 8;
    let emitted = format!(r#"42["bcast","hall","{}"]"#, small());
    let delivered = format!(r#"42["bcast","{}"]"#, small());
    let mut members: Vec<_> =
        (0..MEMBERS).map(|_| Exchange::new(test, DEPTH, |_| Vec::new(), |_| text_back(&delivered))).collect();
    for Exchange { client, .. } in &mut members {
        client.send(&text(r#"420["join","hall"]"#));
        test.settle();
        assert_eq!(client.received(), text_back("430[]"));
    }
    members[0].sends = text(&emitted).repeat(DEPTH);
    exchange(test, members, MEMBERS * DEPTH)
}

/// Lives: a connection, its WebSocket, the namespace, the end. A message is one of them.
fn connect(test: &Test) -> Round<'_> {
    Box::new(move || {
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| End::connect(test)).collect();
        join(test, &mut clients);
        for client in &mut clients {
            client.send(&[text("41"), close()].concat());
        }
        test.settle();
        drop(clients);
        test.settle();
        assert_eq!(test.server().clients_count(), 0);
        CLIENTS
    })
}

/// A session on polling: the connection of its polls, and that of its posts.
struct Polling {
    polls: End,
    poll: Vec<u8>,
    posts: End,
    post: Vec<u8>,
}

/// An event that comes by POST, and the answer to a GET that waits; a message is both.
fn polling(test: &Test) -> Round<'_> {
    let event = format!(r#"42["echo","{}"]"#, small());
    let mut sessions: Vec<_> = (0..CLIENTS).map(|_| polling_session(test, &event)).collect();
    Box::new(move || {
        for session in &mut sessions {
            session.polls.send(&session.poll);
        }
        test.settle();
        for session in &mut sessions {
            session.posts.send(&session.post);
        }
        test.settle();
        for session in &mut sessions {
            assert!(session.polls.received().ends_with(event.as_bytes()), "the event has not come back");
            assert!(session.posts.received().ends_with(b"ok"), "the POST was not taken");
        }
        CLIENTS
    })
}

fn polling_session(test: &Test, event: &str) -> Polling {
    let [mut polls, mut posts] = [(); 2].map(|()| End::connect(test));
    let ask = |client: &mut End, request: &[u8]| {
        client.send(request);
        test.settle();
        client.received_text()
    };
    let opened = ask(&mut polls, &poll(""));
    let sid =
        opened.split_once(r#"{"sid":""#).and_then(|(_, rest)| rest.split_once('"')).expect("a session").0;
    assert!(ask(&mut posts, &post(sid, "40")).ends_with("ok"));
    assert!(ask(&mut polls, &poll(sid)).contains("40{\"sid\""));
    Polling { polls, poll: poll(sid), posts, post: post(sid, event) }
}
