//! Engine.IO and Socket.IO as pure state machines.
//!
//! This crate decides everything about the protocols (Engine.IO 4, Socket.IO 5, the server's side) and does
//! nothing: no I/O, no clock, no entropy, no threads, no futures, no `std` needed. Bytes and times go in, events and
//! frames come out. Most people want an adapter, such as `sansocket-tokio`; this is for those who write one, embed
//! the protocols elsewhere, or test what is built on them.
//!
//! # The run loop
//!
//! The owner of a server has one [`Router`](server::Router), and for each client a
//! [`Connection`](server::Connection).
//!
//! 1. A request arrives: [`Router::route`](server::Router::route) answers it, or says whose it is. For a new client,
//!    [`Router::register`](server::Router::register) gives a session id, and
//!    [`Connection::new`](server::Connection::new) what goes with it.
//! 2. Tell the connection what happened: `handle_request`, `handle_body`, `websocket_opened`,
//!    `handle_websocket`, and so on, each with the time. None of them fails; what the peer did wrong becomes an event.
//! 3. Write what [`poll_transmit`](server::Connection::poll_transmit) gives, until it gives nothing, and report by
//!    [`handle_unwritten`](server::Connection::handle_unwritten) what is not written yet.
//! 4. Hand what [`poll_event`](server::Connection::poll_event) gives to the application. Its wishes are commands:
//!    `accept`, `emit`, `ack`, `close`. A [`Frame`](frame::Frame) is encoded once for any number of them.
//! 5. Read on while [`wants_read`](server::Connection::wants_read) says so: that is backpressure.
//! 6. Wait for the next happening, at most until [`poll_timeout`](server::Connection::poll_timeout), and then call
//!    [`handle_timeout`](server::Connection::handle_timeout).
//! 7. Once [`is_finished`](server::Connection::is_finished), forget the connection; once it is no longer
//!    [`is_listed`](server::Connection::is_listed), take its id out of the router.
//!
//! Any order of these calls is legal, and a spurious one does nothing. Time that runs backwards stands still. What
//! waits is counted and bounded by [`engine::config::Config`] and [`socket::config::Config`].
//!
//! ```
//! use sansocket_protocol::engine::request::{RequestHead, RequestId};
//! use sansocket_protocol::engine::server::{Body, Transmit, Wants};
//! use sansocket_protocol::engine::config::Config;
//! use sansocket_protocol::frame::Frame;
//! use sansocket_protocol::random::Random;
//! use sansocket_protocol::server::{Connection, Event, Route, Router};
//! use sansocket_protocol::socket::server::SocketEvent;
//! use sansocket_protocol::time::Instant;
//! use std::sync::Arc;
//!
//! let now = Instant::ZERO; // the caller's clock
//! let config = Arc::new(Config::default().path("/socket.io"));
//! let mut router = Router::new(config.clone(), Random::new([0; 32])); // 32 bytes of the caller's entropy
//! let head = |method, target| RequestHead { method, target, headers: &[] };
//! let body = |transmit| match transmit {
//!     Some(Transmit::Respond { response, .. }) => String::from_utf8(response.body.to_vec()).unwrap(),
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
//! let Some(Event::Socket(SocketEvent::Connect { socket, .. })) = connection.poll_event() else { panic!() };
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
//! | [`server`] | what an adapter drives: [`Router`](server::Router), whose request is this, and [`Connection`](server::Connection), one client |
//! | [`engine`] | Engine.IO: packets, polling payloads, HTTP as data, heartbeat, a session with polling and upgrade |
//! | [`socket`] | Socket.IO: packets, arguments with attachments, namespaces and acknowledgements of one connection |
//! | [`hub`] | the sockets of one namespace and their rooms; which of them a target stands for |
//! | [`frame`] | a message, encoded once and shared by all who receive it |
//! | [`error`] | why a session ended, what a peer did wrong, why a command failed |
//! | [`time`], [`random`] | time and randomness as the caller gives them |
//!
//! # Features
//!
//! `std`, on by default, turns on the `std` features of the dependencies. The machines are the same without it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod client;
pub mod engine;
pub mod error;
pub mod frame;
pub mod hub;
pub mod random;
pub mod server;
pub mod socket;
pub mod time;
