//! The inputs of a connection: everything that its client and the time bring.

use super::{Connection, Layer};
use crate::engine::error::Ended;
use crate::engine::request::{ParsedHead, RequestHead, RequestId};
use crate::engine::server::{Body, Wants};
use crate::error::CloseReason;
use crate::message::WireMessage;
#[cfg(feature = "record")]
use crate::record::Entry;
use crate::server::ServerEvent;
use crate::socket::{AheadReader, ReadAhead, SocketError};
use crate::time::Instant;
#[cfg(feature = "record")]
use alloc::borrow::Cow;
use alloc::boxed::Box;

/// Adds an entry to the recording, if there is one.
macro_rules! note {
    ($self:ident, $now:ident, $entry:expr) => {
        #[cfg(feature = "record")]
        if $self.recorder.is_some() {
            $self.now = $self.now.max($now);
            $self.note(|_| $entry);
        }
    };
}

impl Connection {
    /// A request arrived for which the router said [`Open`](crate::server::Route::Open) (the first one) or
    /// [`Session`](crate::server::Route::Session).
    pub fn handle_request(&mut self, now: Instant, request: RequestId, head: &RequestHead<'_>) -> Wants {
        self.handle_parsed_request(now, request, &head.parse())
    }

    /// As [`handle_request`](Self::handle_request), for a head that is [parsed](RequestHead::parse) already.
    pub fn handle_parsed_request(
        &mut self,
        now: Instant,
        request: RequestId,
        parsed: &ParsedHead<'_>,
    ) -> Wants {
        #[cfg(feature = "record")]
        let head = parsed.head();
        note!(self, now, {
            let header = |name| head.headers.header(name);
            Entry::Request {
                request: request.0,
                method: Cow::Borrowed(head.method),
                target: Cow::Borrowed(head.target),
                connection: header("connection"),
                upgrade: header("upgrade"),
                content_type: header("content-type"),
                content_length: header("content-length"),
            }
        });
        let now = self.tick_input(now);
        let wants = self.engine.handle_request(now, request, parsed);
        self.handle_open();
        self.settle_input();
        wants
    }

    /// The body that a request wanted is here, or too large.
    pub fn handle_body(&mut self, now: Instant, request: RequestId, body: Body) {
        self.note_body(now, request, &body);
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
        note!(self, now, Entry::RequestAborted { request: request.0 });
        let now = self.tick_input(now);
        self.engine.handle_request_aborted(now, request);
        self.settle_input();
    }

    /// The WebSocket of an accepted request has opened.
    pub fn handle_websocket_opened(&mut self, now: Instant, websocket: RequestId) {
        note!(self, now, Entry::WebSocketOpened { websocket: websocket.0 });
        let now = self.tick_input(now);
        self.engine.handle_websocket_opened(now, websocket);
        self.handle_open();
        self.settle_input();
    }

    /// A message arrived on a WebSocket. Text need not have been checked for UTF-8.
    pub fn handle_websocket(&mut self, now: Instant, websocket: RequestId, message: WireMessage) {
        self.note_websocket(now, websocket, &message);
        let now = self.tick_input(now);
        if let Some(message) = self.engine.handle_websocket(now, websocket, message) {
            self.handle_message(message);
        }
        self.settle_input();
    }

    /// As [`handle_websocket`](Self::handle_websocket) with a [`poll_event`](Self::poll_event) behind it, for an event that is
    /// next as soon as it is here: it need not be queued. `None` if the message brings no event, or if anything goes before
    /// it; then `poll_event` tells.
    pub fn handle_websocket_event(
        &mut self,
        now: Instant,
        websocket: RequestId,
        message: WireMessage,
    ) -> Option<ServerEvent> {
        self.note_websocket(now, websocket, &message);
        let now = self.tick_input(now);
        let event = match self.engine.handle_websocket(now, websocket, message) {
            Some(message) => self.handle_message_now(message),
            None => None,
        };
        self.settle_input();
        #[cfg(feature = "record")]
        if let Some(event) = &event {
            self.note_event(event);
        }
        event
    }

    /// As [`handle_body`](Self::handle_body), for a body whose messages were read ahead by an
    /// [`ahead_reader_of_body`](Self::ahead_reader_of_body).
    pub fn handle_body_ahead(&mut self, now: Instant, request: RequestId, body: Body, mut ahead: ReadAhead) {
        self.note_body(now, request, &body);
        let now = self.tick_input(now);
        if let Some(payload) = self.engine.begin_body(now, request, body) {
            for packet in payload {
                let read = ahead.next_of(&packet);
                if let Some(message) = self.engine.handle_packet(now, packet) {
                    self.handle_message_ahead(message, read);
                }
            }
            self.settle();
            self.engine.end_body(request);
        }
        self.settle_input();
    }

    /// As [`handle_websocket`](Self::handle_websocket), for a message that was read ahead by an
    /// [`ahead_reader`](Self::ahead_reader).
    pub fn handle_websocket_ahead(
        &mut self,
        now: Instant,
        websocket: RequestId,
        message: WireMessage,
        mut ahead: ReadAhead,
    ) {
        self.note_websocket(now, websocket, &message);
        let now = self.tick_input(now);
        if let Some(message) = self.engine.handle_websocket(now, websocket, message) {
            self.handle_message_ahead(message, ahead.next());
        }
        self.settle_input();
    }

    /// A reader of the messages that come on a WebSocket, if they are for a parser of the application's: see
    /// [`ReadAhead`].
    #[inline]
    pub fn ahead_reader(&self) -> Option<AheadReader> {
        match &self.layer {
            Layer::Sockets(sockets) => AheadReader::new(sockets.parser(), || self.engine.incoming()),
            Layer::Messages(_) => None,
        }
    }

    /// The same for the body of a request.
    #[inline]
    pub fn ahead_reader_of_body(&self, request: RequestId) -> Option<AheadReader> {
        match &self.layer {
            Layer::Sockets(sockets) => {
                AheadReader::new(sockets.parser(), || self.engine.incoming_body(request))
            }
            Layer::Messages(_) => None,
        }
    }

    /// Adds a body to the recording, if there is one.
    #[inline]
    fn note_body(&mut self, now: Instant, request: RequestId, body: &Body) {
        note!(
            self,
            now,
            match body {
                Body::Complete(data) => Entry::Body { request: request.0, data: Cow::Borrowed(data) },
                Body::TooLarge => Entry::BodyTooLarge { request: request.0 },
            }
        );
        let _ = (now, request, body);
    }

    /// Adds a message of a WebSocket to the recording, if there is one.
    #[inline]
    fn note_websocket(&mut self, now: Instant, websocket: RequestId, message: &WireMessage) {
        note!(
            self,
            now,
            match message {
                WireMessage::Text(data) => {
                    Entry::WebSocketText { websocket: websocket.0, data: Cow::Borrowed(data) }
                }
                WireMessage::Binary(data) => {
                    Entry::WebSocketBinary { websocket: websocket.0, data: Cow::Borrowed(data) }
                }
            }
        );
        let _ = (now, websocket, message);
    }

    /// Bytes arrived that complete no message of that WebSocket, or not yet the body of that POST. They are a sign of
    /// life for the heartbeat, up to eight times `ping_timeout` for each ping.
    pub fn handle_bytes(&mut self, now: Instant, from: RequestId) {
        note!(self, now, Entry::BytesArrived { from: from.0 });
        let now = self.tick_input(now);
        self.engine.handle_bytes(now, from);
        self.settle_input();
    }

    /// A WebSocket ended: with a close frame or the end of the stream (`None`), or by an error, for which the
    /// adapter has sent that close code.
    pub fn handle_websocket_closed(&mut self, now: Instant, websocket: RequestId, error: Option<u16>) {
        note!(
            self,
            now,
            Entry::WebSocketClosed {
                websocket: websocket.0,
                code: error.map_or(0, |code| u64::from(code).saturating_add(1)),
            }
        );
        let now = self.tick_input(now);
        self.engine.handle_websocket_closed(now, websocket, error);
        self.settle_input();
    }

    /// The owner has not yet written that many of the bytes that it was given, answers to polls included. For a
    /// WebSocket it is given no more while there are 64 KiB or more, so it has to say 0 when all is written.
    pub fn handle_unwritten(&mut self, now: Instant, bytes: usize) {
        note!(self, now, Entry::Unwritten { size: bytes as u64 });
        let now = self.tick(now);
        self.engine.handle_unwritten(now, bytes);
        self.engine.dated();
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        note!(self, now, Entry::Timeout {});
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
            sockets.give_back();
        }
        self.next_turn(now);
        self.settle_input();
    }
}
