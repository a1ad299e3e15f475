//! Engine.IO and Socket.IO as pure state machines: bytes and times go in, events and bytes come out.
//!
//! This crate decides everything about the two protocols (Engine.IO 4 and Socket.IO 5, server and client) and does
//! nothing: it has no I/O, no clock, no entropy, no threads and no futures, and it needs no `std`. To write an
//! application, use an adapter such as `sansocket-tokio`. Use this crate to write an adapter, to embed the protocols
//! somewhere else, or to test programs that are built on them.
//!
//! ```text
//!                     bytes                                            events
//!    +-----------+             +------------------------------+                +-------------+
//!    |           |  handle_*   |                              |   poll_event   |             |
//!    |  network  | ----------> |  server::Connection, one per |  ------------> | application |
//!    |           |             |  client, with the Router     |                |             |
//!    |   HTTP,   |             |                              |                |  handlers,  |
//!    | WebSocket | <---------- |  client::Manager             |  <------------ |    state    |
//!    |           |  poll_      |                              |    commands    |             |
//!    +-----------+   transmit  +------------------------------+   (emit, ack)  +-------------+
//!                                poll_timeout |    ^ handle_timeout
//!                                             v    |
//!                                       the clock of the owner
//! ```
//!
//! # The run loop
//!
//! A client is one [`client::Manager`]. A server is one [`server::Router`], and one [`server::Connection`] for each of its
//! clients. All of them are driven in the same way:
//!
//! 1. Do what `poll_transmit` says, until it says nothing, and report by `handle_unwritten` how many bytes are not yet written.
//! 2. Tell the application what `poll_event` gives. It answers by commands.
//! 3. Wait for the next input, at most until `poll_timeout`, and read from the network only if `wants_read` says so: that
//!    is backpressure.
//! 4. Hand the input to its `handle_*` method, or call `handle_timeout`, with the time.
//!
//! Any order of these calls is legal, and a spurious one does nothing. Time that runs backwards stands still. Everything
//! that waits inside is counted, and bounded by the settings.
//!
//! ## One client of a server
//!
//! ```
//! use sansocket_protocol::engine::{RequestId, ServerTransmit};
//! use sansocket_protocol::message::WireMessage;
//! use sansocket_protocol::server::{Connection, ServerEvent};
//! use sansocket_protocol::time::Instant;
//!
//! enum Input {
//!     Message(RequestId, WireMessage),
//!     Closed(RequestId),
//! }
//!
//! fn run(
//!     connection: &mut Connection,
//!     now: impl Fn() -> Instant,                                    // the clock
//!     mut write: impl FnMut(ServerTransmit) -> usize,               // returns how many bytes did not fit
//!     mut wait: impl FnMut(Option<Instant>, bool) -> Option<Input>, // until then; the bool: may it read?
//!     mut tell: impl FnMut(ServerEvent, &mut Connection),           // the application
//! ) {
//!     while !connection.is_finished() {
//!         while let Some(transmit) = connection.poll_transmit() {
//!             let unwritten = write(transmit);
//!             connection.handle_unwritten(now(), unwritten);
//!         }
//!         while let Some(event) = connection.poll_event() {
//!             tell(event, connection);
//!         }
//!         if connection.has_output() {
//!             continue; // the application's commands made more to write
//!         }
//!         match wait(connection.poll_timeout(), connection.wants_read()) {
//!             Some(Input::Message(id, message)) => connection.handle_websocket(now(), id, message),
//!             Some(Input::Closed(id)) => connection.handle_websocket_closed(now(), id, None),
//!             None => connection.handle_timeout(now()),
//!         }
//!     }
//! }
//! # use sansocket_protocol::engine::{EngineServerConfig, RequestHead, Revision};
//! # use sansocket_protocol::socket::ServerSocketEvent;
//! # use std::sync::Arc;
//! # let (now, config, id) = (Instant::ZERO, Arc::new(EngineServerConfig::default()), RequestId(1));
//! # let mut connection = Connection::new(now, Revision::V4, config, "sid".into(), Some(Arc::default()));
//! # let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
//! # let target = "/engine.io/?EIO=4&transport=websocket";
//! # let _ = connection.handle_request(now, id, &RequestHead { method: "GET", target, headers: &headers });
//! # connection.handle_websocket_opened(now, id);
//! # let mut inputs = vec![Input::Closed(id), Input::Message(id, WireMessage::Text("40".into()))];
//! # let (mut written, mut told) = (0, Vec::new());
//! # let write = |_| { written += 1; 0 };
//! # run(&mut connection, || now, write, |_, _| inputs.pop(), |event, connection| {
//! #     if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = &event {
//! #         connection.accept(*socket, "public-id").unwrap();
//! #     }
//! #     told.push(event);
//! # });
//! # assert_eq!((written, told.len()), (4, 3));
//! ```
//!
//! ## A client
//!
//! ```
//! use sansocket_protocol::client::{ClientEvent, Manager};
//! use sansocket_protocol::engine::{ClientTransmit, RequestId};
//! use sansocket_protocol::message::WireMessage;
//! use sansocket_protocol::time::Instant;
//!
//! enum Input {
//!     Opened(RequestId),
//!     Message(RequestId, WireMessage),
//!     Closed(RequestId),
//! }
//!
//! fn run(
//!     client: &mut Manager,
//!     now: impl Fn() -> Instant,
//!     mut act: impl FnMut(ClientTransmit) -> usize, // opens a WebSocket, writes, closes; returns what did not fit
//!     mut wait: impl FnMut(Option<Instant>, bool) -> Option<Input>,
//!     mut tell: impl FnMut(ClientEvent, &mut Manager),
//! ) {
//!     while !client.is_finished() {
//!         while let Some(transmit) = client.poll_transmit() {
//!             let unwritten = act(transmit);
//!             client.handle_unwritten(unwritten);
//!         }
//!         while let Some(event) = client.poll_event() {
//!             tell(event, client);
//!         }
//!         if client.has_output() || client.is_finished() {
//!             continue;
//!         }
//!         match wait(client.poll_timeout(), client.wants_read()) {
//!             Some(Input::Opened(id)) => client.handle_websocket_opened(now(), id),
//!             Some(Input::Message(id, message)) => client.handle_websocket(now(), id, message),
//!             Some(Input::Closed(id)) => client.handle_websocket_closed(now(), id, None),
//!             None => client.handle_timeout(now()),
//!         }
//!     }
//! }
//! # use sansocket_protocol::client::ReconnectConfig;
//! # use sansocket_protocol::engine::{EngineClientConfig, TransportKind};
//! # use sansocket_protocol::random::Random;
//! # use sansocket_protocol::socket::{AuthSource, ClientSocketEvent};
//! # use std::{cell::RefCell, collections::VecDeque, sync::Arc};
//! # let engine = Arc::new(EngineClientConfig::default().transports([TransportKind::WebSocket]));
//! # let (now, random) = (Instant::ZERO, Random::new([7; 32]));
//! # let mut client = Manager::new(Arc::new(ReconnectConfig::default()), engine, random, Some(Arc::default()));
//! # let socket = client.add("/", AuthSource::None).unwrap();
//! # client.connect(now, socket);
//! # let inputs = RefCell::new(VecDeque::new());
//! # let text = |text: &'static str| WireMessage::Text(text.into());
//! # let act = |transmit| {
//! #     if let ClientTransmit::OpenWebSocket { websocket, .. } = transmit {
//! #         inputs.borrow_mut().extend([
//! #             Input::Opened(websocket),
//! #             Input::Message(websocket, text(r#"0{"sid":"x","upgrades":[],"pingInterval":1,"pingTimeout":1}"#)),
//! #             Input::Message(websocket, text(r#"40{"sid":"public-id"}"#)),
//! #         ]);
//! #     }
//! #     0
//! # };
//! # let mut connected = false;
//! # run(&mut client, || now, act, |_, _| inputs.borrow_mut().pop_front(), |event, client| {
//! #     if let ClientEvent::Socket(ClientSocketEvent::Connected { .. }) = event {
//! #         connected = true;
//! #         client.close(now);
//! #     }
//! # });
//! # assert!(connected);
//! ```
//!
//! `examples/blocking_client.rs` of this crate is the same loop on `std::net` and one thread: a whole client that
//! reconnects, in one file. Read it beside this page.
//!
//! # Embedding it, by direction
//!
//! ## From the network to the core
//!
//! A WebSocket's messages go in as they are, text unchecked, by `handle_websocket`. Its opening and its end are told by
//! `handle_websocket_opened` and `handle_websocket_closed`. Parsing HTTP and WebSocket frames is the embedder's part, as
//! are TLS, names and proxies.
//!
//! * **Client.** A request that the core asked for ends in one of
//!   [`handle_response`](client::Manager::handle_response) and
//!   [`handle_request_failed`](client::Manager::handle_request_failed). A WebSocket that could not be opened ends in
//!   `handle_request_failed` or, if the server answered,
//!   [`handle_websocket_refused`](client::Manager::handle_websocket_refused): the core makes an error of it that explains
//!   itself. With [`transports`](engine::EngineClientConfig::transports) set to WebSocket there are no requests, and
//!   nothing but the WebSocket is needed.
//! * **Server.** [`Router::route`](server::Router::route) answers a request, or tells which session it belongs to. For a
//!   new client, [`Router::register`](server::Router::register) gives a session id, and
//!   [`Connection::new`](server::Connection::new) the machine that goes with it. The request itself is then the
//!   connection's: [`handle_request`](server::Connection::handle_request), and
//!   [`handle_body`](server::Connection::handle_body) if that asks for the body.
//!
//! None of these calls fails. A mistake of the peer becomes an event.
//!
//! ## From the core to the network
//!
//! `poll_transmit` gives plain data: requests to make or answers to give, WebSockets to open, messages to write,
//! WebSockets to close. Each names the [`RequestId`](engine::RequestId) by which the core knows it; a report about one that
//! is gone does nothing. If a write completes, call `handle_unwritten` with 0. If not, keep the remainder and report its
//! length; the core hands out nothing more until it is below 64 KiB. Messages that nobody pulls stay inside, counted
//! against `send_budget`; above it sending fails.
//!
//! ## To the application and back
//!
//! `poll_event` gives events with their arguments as [`Args`](socket::Args): checked, and not decoded before a handler asks
//! for a type. Commands take a [`Frame`](message::Frame), which is encoded once for any number of recipients. An awaited
//! acknowledgement ends exactly once: answered, too late, or disconnected. `hold` keeps back the events of a socket whose
//! handler is still busy, and `release` lets them go on.
//!
//! ## Time
//!
//! An [`Instant`](time::Instant) counts microseconds from a moment that the caller picks. There is one deadline for all
//! that a machine waits for, and every call may change it: ask `poll_timeout` before each wait. Calling `handle_timeout`
//! early or late does no harm; a machine that slept learns it at the next call. Randomness is passed in as well: a
//! [`Random`](random::Random) of 32 bytes, which must be secret for a server.
//!
//! ## Closing
//!
//! * **Client.** [`Manager::close`](client::Manager::close) ends everything that the application waits for at once. Queued
//!   messages are still written: go on until [`is_finished`](client::Manager::is_finished). After a loss a client dials
//!   again by itself: the next `poll_transmit` after the delay says where.
//! * **Server.** Once a connection [`is_finished`](server::Connection::is_finished), forget it; once it is no longer
//!   [`is_listed`](server::Connection::is_listed), take its id out of the router.
//!
//! # A server over HTTP, step by step
//!
//! ```
//! use sansocket_protocol::engine::{Body, EngineServerConfig, RequestHead, RequestId, ServerTransmit, Wants};
//! use sansocket_protocol::message::Frame;
//! use sansocket_protocol::random::Random;
//! use sansocket_protocol::server::{Connection, Route, Router, ServerEvent};
//! use sansocket_protocol::socket::{Parser, ServerSocketEvent};
//! use sansocket_protocol::time::Instant;
//! use std::sync::Arc;
//!
//! let now = Instant::ZERO; // the caller's clock
//! let config = Arc::new(EngineServerConfig::default().path("/socket.io"));
//! let mut router = Router::new(config.clone(), Random::new([0; 32])); // 32 bytes of the caller's entropy
//! let head = |method, target| RequestHead { method, target, headers: &[] };
//! let body = |transmit| match transmit {
//!     Some(ServerTransmit::Respond { response, .. }) => String::from_utf8(response.body.to_vec()).unwrap(),
//!     other => panic!("{other:?}"),
//! };
//!
//! // A client opens a session by long-polling.
//! let target = "/socket.io/?EIO=4&transport=polling";
//! let Route::Open(grant) = router.route(&head("GET", target)) else { panic!() };
//! let id = router.register(None, |_id| ()).unwrap();
//! let mut connection = Connection::new(now, grant.revision, config, id.clone(), Some(Arc::default()));
//! let _ = connection.handle_request(now, RequestId(1), &head("GET", target));
//! assert!(body(connection.poll_transmit()).starts_with("0{\"sid\":"));
//!
//! // It asks for the main namespace.
//! let target = format!("{target}&sid={id}");
//! let Route::Session(()) = router.route(&head("POST", &target)) else { panic!() };
//! let Wants::Body { .. } = connection.handle_request(now, RequestId(2), &head("POST", &target)) else { panic!() };
//! connection.handle_body(now, RequestId(2), Body::Complete("40".into()));
//! assert_eq!(body(connection.poll_transmit()), "ok");
//!
//! // The application lets it in and greets it; both go out with the next poll.
//! let Some(ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. })) = connection.poll_event() else { panic!() };
//! connection.accept(socket, "public-id").unwrap();
//! connection.emit(socket, &Parser::json().event("/", "welcome", None, &("ada", 1)).unwrap()).unwrap();
//! let _ = connection.handle_request(now, RequestId(3), &head("GET", &target));
//! assert_eq!(
//!     body(connection.poll_transmit()),
//!     "40{\"sid\":\"public-id\"}\x1e42[\"welcome\",\"ada\",1]",
//! );
//! ```
//!
//! # The map
//!
//! | module | content |
//! |---|---|
//! | [`server`] | [`Router`](server::Router), which finds the session of a request, and [`Connection`](server::Connection), one client |
//! | [`client`] | [`Manager`](client::Manager), which dials, keeps one session at a time, and dials again |
//! | [`hub`] | the sockets of one namespace and their rooms, and the selection of recipients |
//! | [`recovery`] | the sessions of clients that have lost their connection, and the events that they miss |
//! | [`socket`] | Socket.IO: packets, arguments with attachments, the events and settings of sockets |
//! | [`engine`] | Engine.IO: packets, polling payloads, HTTP as data, settings, the data of `poll_transmit` |
//! | [`message`] | a message, encoded once and shared by all its receivers |
//! | [`error`] | reasons of closing, mistakes of a peer, errors of commands |
//! | [`time`], [`random`], [`rate`] | time and randomness as the caller passes them in; rate limits |
#![cfg_attr(
    feature = "cluster",
    doc = "| [`cluster`] | messages between the nodes of a cluster in the formats of the peers, and a node as a machine; the buses are crates of their own |"
)]
#![cfg_attr(
    not(feature = "cluster"),
    doc = "| `cluster` (feature `cluster`) | messages between the nodes of a cluster in the formats of the peers, and a node as a machine; the buses are crates of their own |"
)]
#![cfg_attr(
    feature = "sim",
    doc = "| [`sim`] | clients, a server and faulty links in virtual time, to test programs that are built on this crate |"
)]
#![cfg_attr(
    not(feature = "sim"),
    doc = "| `sim` (feature `sim`) | clients, a server and faulty links in virtual time, to test programs that are built on this crate |"
)]
//!
//! The parsers and both machines are fuzzed: `fuzz/README.md` of the repository lists the targets, their oracles, and what
//! to do with a finding. `tests/client/` and `tests/vectors/` hold conversations and packets as data, for other
//! implementations to use.
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `std` | yes | turns on the `std` features of the dependencies. The machines are the same without it |
//! | `cluster` | no | adds the module `cluster`: what the nodes of a cluster say to each other, in the formats of the peers |
//! | `sim` | no | adds the module `sim` |
#![no_std]
#![forbid(unsafe_code)]
// Bad input never panics: an expression that looks as if it might is written in another way, or carries its proof.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
    )
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[doc(hidden)]
pub mod ascending;
mod attachments;
pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
mod cost;
pub mod engine;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a panic is how a fuzzer reports a finding"
)]
pub mod fuzzing;
pub mod hub;
pub mod message;
mod pace;
pub mod random;
pub mod rate;
mod reason;
#[cfg(feature = "record")]
pub mod record;
pub mod recovery;
#[cfg(feature = "record")]
pub mod replay;
pub mod server;
#[cfg(feature = "sim")]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a panic is how a simulation reports a finding"
)]
pub mod sim;
pub mod socket;
pub mod time;
