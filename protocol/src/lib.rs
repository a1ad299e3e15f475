//! Engine.IO and Socket.IO as pure state machines.
//!
//! This crate decides everything about the protocols (Engine.IO 4, Socket.IO 5, both ends of the wire) and does
//! nothing: no I/O, no clock, no entropy, no threads, no futures, no `std` needed. Bytes and times go in, events and
//! frames come out. Most people want an adapter, such as `sansocket-tokio`; this is for those who write one, embed
//! the protocols elsewhere, or test what is built on them.
//!
//! # The run loop
//!
//! The owner of a client has one [`client::Manager`]. The owner of a server has one [`Router`](server::Router), and
//! for each client a [`Connection`](server::Connection). Both are driven alike:
//!
//! 1. Something came from the network: tell the machine by a `handle_*` or its like, with the time.
//! 2. The application wants something: give a command (`emit`, `ack`, `close`, ..).
//! 3. Do what `poll_transmit` gives, until it gives nothing, and say by `handle_unwritten` what is not written yet.
//! 4. Tell the application what `poll_event` gives.
//! 5. Read on while `wants_read` says so: that is backpressure.
//! 6. Wait for the next happening, at most until `poll_timeout`, and then call `handle_timeout`.
//!
//! Any order of these calls is legal, and a spurious one does nothing. Time that runs backwards stands still. What
//! waits is counted and bounded by the `EngineServerConfig`s.
//!
//! # Embedding it, by direction
//!
//! What an embedder writes is small: `examples/blocking_client.rs` of this crate is a whole client that reconnects, on
//! `std::net` and one thread. Read it beside this.
//!
//! ## From the network to the core
//!
//! A WebSocket's messages go in as they are, text unchecked, by `handle_websocket`. Its opening and its end are told by
//! `handle_websocket_opened` and `handle_websocket_closed`. Parsing of HTTP and of WebSocket frames is the embedder's, as are TLS,
//! names and proxies.
//!
//! * **Client.** A request that the core asked for ends in one of
//!   [`handle_response`](client::Manager::handle_response) and [`handle_request_failed`](client::Manager::handle_request_failed). A
//!   WebSocket that could not be opened ends in `handle_request_failed`, or, if the server answered,
//!   [`handle_websocket_refused`](client::Manager::handle_websocket_refused): the core makes an error of it that explains itself.
//!   With [`transports`](engine::client::EngineClientConfig::transports) set to WebSocket there are no requests, and nothing but
//!   the WebSocket is needed.
//! * **Server.** [`Router::route`](server::Router::route) answers a request, or says whose it is. For a new client,
//!   [`Router::register`](server::Router::register) gives a session id, and
//!   [`Connection::new`](server::Connection::new) what goes with it. The request itself is then the connection's:
//!   [`handle_request`](server::Connection::handle_request), and
//!   [`handle_body`](server::Connection::handle_body) if that asks for the body.
//!
//! None of these calls fails. What the peer did wrong becomes an event.
//!
//! ## From the core to the network
//!
//! `poll_transmit` gives plain data: requests to make or answers to give, WebSockets to open, messages to write,
//! WebSockets to close. Each names the [`RequestId`](engine::request::RequestId) by which the core knows it; what
//! is told of one that is gone does nothing. Who can write at once does so, and reports `handle_unwritten(0)`. Who cannot keeps
//! what is left and reports its bytes, and is given no more while that is much. What nobody pulls stays inside, counted
//! against `send_budget`; above it sending fails.
//!
//! ## To the application and back
//!
//! `poll_event` gives events with their arguments as [`Args`](socket::Args), raw and checked, to be decoded into
//! the types that a handler asks for. Commands take a [`Frame`](message::Frame), which is encoded once for any number of
//! recipients. Acknowledgements that are awaited end exactly once: answered, too late, or disconnected. The events of a
//! socket whose handler is still busy are kept back by `hold`, and let go on by `release`.
//!
//! ## Time
//!
//! An [`Instant`](time::Instant) counts microseconds from whatever moment the caller picks; it never goes back. There
//! is one deadline for all that a machine waits for, and it may change with every call: ask `poll_timeout` before
//! each wait. To call `handle_timeout` early or late does no harm; a machine that slept learns it at the next call.
//! Randomness is passed in as well: a [`Random`](random::Random) of 32 bytes, secret ones for a server.
//!
//! ## Closing
//!
//! * **Client.** [`Manager::close`](client::Manager::close) ends everything that the application waits for at once.
//!   What is queued is still to be written: go on with `poll_transmit` until
//!   [`has_output`](client::Manager::has_output) and [`poll_timeout`](client::Manager::poll_timeout) have nothing
//!   more. A client is done for good when its [`status`](client::Manager::status) is
//!   [`Idle`](client::ClientState::Idle); after a loss it dials again by itself, and what it wants done then comes out of
//!   `poll_transmit` when the delay is over.
//! * **Server.** Once a connection [`is_finished`](server::Connection::is_finished), forget it; once it is no longer
//!   [`is_listed`](server::Connection::is_listed), take its id out of the router.
//!
//! # A server, by hand
//!
//! ```
//! use sansocket_protocol::engine::{RequestHead, RequestId};
//! use sansocket_protocol::engine::{Body, ServerTransmit, Wants};
//! use sansocket_protocol::engine::EngineServerConfig;
//! use sansocket_protocol::message::Frame;
//! use sansocket_protocol::random::Random;
//! use sansocket_protocol::server::{Connection, Route, Router, ServerEvent};
//! use sansocket_protocol::socket::ServerSocketEvent;
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
//! let Route::Open(_) = router.route(&head("GET", target)) else { panic!() };
//! let id = router.register(None, |_id| ()).unwrap();
//! let mut connection = Connection::new(now, config, id.clone(), Some(Arc::default()));
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
//! connection.emit(socket, &Frame::event("/", "welcome", None, &("ada", 1)).unwrap()).unwrap();
//! let _ = connection.handle_request(now, RequestId(3), &head("GET", &target));
//! assert_eq!(
//!     body(connection.poll_transmit()),
//!     "40{\"sid\":\"public-id\"}\x1e42[\"welcome\",\"ada\",1]",
//! );
//! ```
//!
//! # The map
//!
//! | module | what is in it |
//! |---|---|
//! | [`client`] | the other end: [`Manager`](client::Manager), which dials, keeps one session at a time, and dials again |
//! | [`server`] | what an adapter drives: [`Router`](server::Router), whose request is this, and [`Connection`](server::Connection), one client |
//! | [`engine`] | Engine.IO: packets, polling payloads, HTTP as data, heartbeat, a session with polling and upgrade, from either end |
//! | [`socket`] | Socket.IO: packets, arguments with attachments, namespaces and acknowledgements, from either end |
//! | [`hub`] | the sockets of one namespace and their rooms; which of them a target stands for |
//! | [`message`] | a message, encoded once and shared by all who receive it |
//! | [`error`] | why a session ended, what a peer did wrong, why a command failed |
//! | [`time`], [`random`] | time and randomness as the caller gives them |
//! | [`rate`] | how often something may happen: token buckets |
//!
//! # Features
//!
//! `std`, on by default, turns on the `std` features of the dependencies. The machines are the same without it.
//!
//! `cluster` adds the module of that name: what the nodes of a cluster say to each other, in the formats of the peers.
//!
//! `sim` adds the module of that name: clients, a server and links with faults in virtual time, for tests.
#![no_std]
#![forbid(unsafe_code)]
// Bad input never panics. What looks as if it might is written so that it cannot, or carries its proof.
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

pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
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
