//! The inputs of a connection: everything that its client and the time bring.

use super::{Connection, Layer};
use crate::engine::error::Ended;
use crate::engine::request::{RequestHead, RequestId};
use crate::engine::server::{Body, Wants};
use crate::error::CloseReason;
use crate::message::WireMessage;
use crate::socket::SocketError;
use crate::time::Instant;
use alloc::boxed::Box;

impl Connection {
    /// A request arrived for which the router said [`Open`](crate::server::Route::Open) (the first one) or
    /// [`Session`](crate::server::Route::Session).
    pub fn handle_request(&mut self, now: Instant, request: RequestId, head: &RequestHead<'_>) -> Wants {
        let now = self.tick_input(now);
        let wants = self.engine.handle_request(now, request, head);
        self.handle_open();
        self.settle_input();
        wants
    }

    /// The body that a request wanted is here, or too large.
    pub fn handle_body(&mut self, now: Instant, request: RequestId, body: Body) {
        let now = self.tick_input(now);
        if let Some(payload) = self.engine.begin_body(now, request, body) {
            for packet in payload {
                if let Some(message) = self.engine.handle_packet(now, packet) {
                    self.handle_message(message);
                }
            }
            self.settle();
            self.engine.end_body(request);
        }
        self.settle_input();
    }

    /// A request ended before it was answered, or its body failed, or its WebSocket never came to be.
    pub fn handle_request_aborted(&mut self, now: Instant, request: RequestId) {
        let now = self.tick_input(now);
        self.engine.handle_request_aborted(now, request);
        self.settle_input();
    }

    /// The WebSocket of an accepted request has opened.
    pub fn handle_websocket_opened(&mut self, now: Instant, websocket: RequestId) {
        let now = self.tick_input(now);
        self.engine.handle_websocket_opened(now, websocket);
        self.handle_open();
        self.settle_input();
    }

    /// A message arrived on a WebSocket. Text need not have been checked for UTF-8.
    pub fn handle_websocket(&mut self, now: Instant, websocket: RequestId, message: WireMessage) {
        let now = self.tick_input(now);
        if let Some(message) = self.engine.handle_websocket(now, websocket, message) {
            self.handle_message(message);
        }
        self.settle_input();
    }

    /// Bytes arrived that complete no message of that WebSocket, or not yet the body of that POST. They are a sign of
    /// life for the heartbeat, up to eight times `ping_timeout` for each ping.
    pub fn handle_bytes(&mut self, now: Instant, from: RequestId) {
        let now = self.tick_input(now);
        self.engine.handle_bytes(now, from);
        self.settle_input();
    }

    /// A WebSocket ended: with a close frame or the end of the stream (`None`), or by an error, for which the
    /// adapter has sent that close code.
    pub fn handle_websocket_closed(&mut self, now: Instant, websocket: RequestId, error: Option<u16>) {
        let now = self.tick_input(now);
        self.engine.handle_websocket_closed(now, websocket, error);
        self.settle_input();
    }

    /// The owner has not yet written that many of the bytes that it was given, answers to polls included. For a
    /// WebSocket it is given no more while there are 64 KiB or more, so it has to say 0 when all is written.
    pub fn handle_unwritten(&mut self, now: Instant, bytes: usize) {
        let now = self.tick(now);
        self.engine.handle_unwritten(now, bytes);
        self.engine.dated();
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.engine.handle_timeout(now);
        if let Layer::Sockets(sockets) = &mut self.layer {
            if let Err(error) = sockets.handle_timeout(now, self.engine.is_paused()) {
                let never_joined = error == SocketError::ConnectTimeout;
                self.mistake = Some(Box::new(error.into()));
                if never_joined {
                    // It has nothing to fetch, and would keep its place for `close_timeout` if it never came back.
                    self.engine.abort(Ended::above(CloseReason::ForcedClose));
                } else {
                    self.engine.close_because_of_above(now, CloseReason::ForcedClose);
                }
            }
        }
        self.next_turn(now);
        self.settle_input();
    }
}
