//! The inputs of a client: everything that happens outside of it.

use super::{Layer, Manager, State};
use crate::engine::error::EngineError;
use crate::engine::request::RequestId;
use crate::engine::server::Incoming;
use crate::message::WireMessage;
use crate::socket::{AheadReader, ReadAhead};
use crate::time::Instant;
use bytes::Bytes;

impl Manager {
    /// A request was answered, with the whole of the body.
    pub fn handle_response(&mut self, now: Instant, request: RequestId, status: u16, body: Bytes) {
        let now = self.tick_input(now);
        let packets =
            self.owner(request).and_then(|engine| engine.begin_response(now, request, status, body));
        if let Some(packets) = packets {
            for packet in packets {
                let message = self.owner(request).and_then(|engine| engine.handle_packet(now, packet));
                self.settle_opened(now);
                match message {
                    Some(message) => self.deliver(now, message),
                    None => self.give_back(),
                }
            }
            if let Some(engine) = self.owner(request) {
                engine.end_response(now);
            }
        }
        self.settle(now);
    }

    /// A request failed, or a WebSocket could not be opened: for example [`EngineError::RequestFailed`] if the
    /// connection broke or could not be made, [`EngineError::TooLarge`] if the body passed its limit.
    pub fn handle_request_failed(&mut self, now: Instant, request: RequestId, error: EngineError) {
        let now = self.tick(now);
        if let Some(engine) = self.owner(request) {
            engine.handle_request_failed(now, request, error);
            self.settle(now);
        }
    }

    /// The server answered a WebSocket's handshake with that status instead of 101, and that (beginning of a) body.
    pub fn handle_websocket_refused(&mut self, now: Instant, websocket: RequestId, status: u16, body: &[u8]) {
        let now = self.tick(now);
        if let Some(engine) = self.owner(websocket) {
            engine.handle_websocket_refused(now, websocket, status, body);
            self.settle(now);
        }
    }

    /// A WebSocket has opened.
    pub fn handle_websocket_opened(&mut self, now: Instant, websocket: RequestId) {
        let now = self.tick(now);
        if let Some(engine) = self.owner(websocket) {
            engine.handle_websocket_opened(now, websocket);
            self.settle(now);
        }
    }

    /// A message arrived on a WebSocket. Text need not have been checked for UTF-8.
    pub fn handle_websocket(&mut self, now: Instant, websocket: RequestId, message: WireMessage) {
        let now = self.tick_input(now);
        let message =
            self.owner(websocket).and_then(|engine| engine.handle_websocket(now, websocket, message));
        self.settle_opened(now);
        match message {
            Some(message) => self.deliver(now, message),
            None => self.give_back(),
        }
        self.settle(now);
    }

    /// As [`handle_response`](Self::handle_response), for a body whose messages were read ahead by an
    /// [`ahead_reader`](Self::ahead_reader).
    pub fn handle_response_ahead(
        &mut self,
        now: Instant,
        request: RequestId,
        status: u16,
        body: Bytes,
        mut ahead: ReadAhead,
    ) {
        let now = self.tick_input(now);
        let packets =
            self.owner(request).and_then(|engine| engine.begin_response(now, request, status, body));
        if let Some(packets) = packets {
            for packet in packets {
                let read = ahead.next_of(&packet);
                let message = self.owner(request).and_then(|engine| engine.handle_packet(now, packet));
                self.settle_opened(now);
                match message {
                    Some(message) => self.deliver_ahead(now, message, read),
                    None => self.give_back(),
                }
            }
            if let Some(engine) = self.owner(request) {
                engine.end_response(now);
            }
        }
        self.settle(now);
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
        let now = self.tick_input(now);
        let message =
            self.owner(websocket).and_then(|engine| engine.handle_websocket(now, websocket, message));
        self.settle_opened(now);
        match message {
            Some(message) => self.deliver_ahead(now, message, ahead.next()),
            None => self.give_back(),
        }
        self.settle(now);
    }

    /// A reader of the messages that come on a WebSocket or in the body of an answer, if they are for a parser of the
    /// application's: see [`ReadAhead`].
    #[inline]
    pub fn ahead_reader(&self) -> Option<AheadReader> {
        self.sockets().and_then(|sockets| AheadReader::new(&sockets.parser(), || Incoming::V4))
    }

    /// A WebSocket ended: with a close frame or the end of the stream (`None`), or by an error, for which the
    /// adapter has sent that close code.
    pub fn handle_websocket_closed(&mut self, now: Instant, websocket: RequestId, error: Option<u16>) {
        let now = self.tick(now);
        if let Some(engine) = self.owner(websocket) {
            engine.handle_websocket_closed(now, websocket, error);
            self.settle(now);
        }
    }

    /// The owner has not yet written that many of the bytes that it was given for the WebSocket in use. It is given no
    /// more while there are 64 KiB or more, so it has to say 0 when all is written. While no session is active this is
    /// about the last one, whose WebSocket is closed only after its queue was written.
    pub fn handle_unwritten(&mut self, bytes: usize) {
        let engine = match &mut self.state {
            State::Active { engine, .. } => Some(&mut **engine),
            State::Idle | State::Asking | State::Waiting { .. } => {
                self.lingering.last_mut().map(|(_, engine)| engine)
            }
        };
        if let Some(engine) = engine {
            engine.handle_unwritten(bytes);
        }
    }

    /// As [`handle_unwritten`](Self::handle_unwritten), for one WebSocket: for owners that also keep the WebSockets of
    /// sessions that are over until they are closed.
    pub fn handle_unwritten_on(&mut self, websocket: RequestId, bytes: usize) {
        if let Some(engine) = self.owner(websocket).filter(|engine| engine.is_on(websocket)) {
            engine.handle_unwritten(bytes);
        }
    }

    /// Gives memory back to the allocator that nothing is in. Packets without a message, such as the server's ping,
    /// come seldom, and find most queues empty.
    #[inline(never)]
    fn give_back(&mut self) {
        if let Layer::Sockets(sockets) = &mut self.layer {
            sockets.give_back();
        }
    }

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        for (_, engine) in &mut self.lingering {
            engine.handle_timeout(now);
        }
        match &mut self.state {
            State::Active { engine, .. } => engine.handle_timeout(now),
            State::Waiting { until } if now >= *until => self.begin(now),
            State::Idle | State::Asking | State::Waiting { .. } => {}
        }
        self.with_sockets(|sockets, engine| sockets.handle_timeout(now, engine));
        self.settle(now);
    }
}
