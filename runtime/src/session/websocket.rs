//! A WebSocket of a session: what it reads goes to the machine, and what it has not written is told to the machine.

use crate::base::ahead;
use crate::session::handle::{ConnectionPlace, OwnerPass, SessionHandle, SessionInner};
use crate::session::stats::{Counters, count};
use crate::websocket::buffers::with_buffers;
use crate::websocket::wire::{Wire, WireRead};
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::{AheadReader, Parser, ReadAhead};
use sansocket_protocol::time;
use std::task::Context;

/// A WebSocket of the session: the one in use, or the one it is moving to.
pub(super) struct SessionWebSocket {
    pub(super) id: RequestId,
    pub(super) wire: Wire,
    /// The machine wanted no more of it at the last look.
    pub(super) is_paused: bool,
    /// Held as long as the session does not use this WebSocket.
    pub(super) place: Option<ConnectionPlace>,
}

impl SessionWebSocket {
    /// Reads one batch and gives its messages to the machine. Returns whether anything came.
    pub(super) fn poll_read(
        &mut self,
        handle: &SessionHandle,
        now: time::Instant,
        pass: &mut OwnerPass,
        counters: &Counters,
        context: &mut Context<'_>,
    ) -> bool {
        if self.is_paused && self.wire.is_open() {
            self.is_paused = !handle.lock().machine.wants_read_from(self.id);
            if self.is_paused {
                return false;
            }
        }
        with_buffers(|buffers| {
            let read = self.wire.poll_read(buffers, now, None, context);
            if read == WireRead::Nothing {
                return false;
            }
            let mut inner = handle.lock();
            inner.wake_up(pass);
            inner.traffic.add(self.wire.take_traffic());
            if buffers.inbox.is_empty() && self.wire.awaits_more() {
                inner.machine.handle_bytes(now, self.id);
            }
            let timing = &counters.timing;
            let pong = timing.before_input(&inner.machine);
            match inner.machine.ahead_reader() {
                None => {
                    for message in buffers.inbox.drain(..) {
                        inner.machine.handle_websocket(now, self.id, message);
                    }
                }
                Some(reader) => {
                    drop(inner);
                    let read = read_ahead(&reader, std::mem::take(&mut buffers.inbox), counters);
                    inner = handle.lock();
                    for (message, ahead) in read {
                        inner.machine.handle_websocket_ahead(now, self.id, message, ahead);
                    }
                }
            }
            timing.after_input(&pong, &inner.machine, now);
            match read {
                WireRead::Nothing | WireRead::Received => {}
                WireRead::Closed => inner.machine.handle_websocket_closed(now, self.id, None),
                WireRead::Failed(code) => inner.machine.handle_websocket_closed(now, self.id, Some(code)),
            }
            if !pass.may_pull || pass.pulled.is_some() {
                pass.has_more = true;
            } else {
                pass.pulled = inner.pull(&mut pass.has_more);
            }
            self.is_paused = !inner.machine.wants_read_from(self.id);
            true
        })
    }
}

/// Has the application's parser read messages, without the lock of their session.
#[cold]
fn read_ahead(
    reader: &AheadReader,
    inbox: Vec<WireMessage>,
    counters: &Counters,
) -> Vec<(WireMessage, ReadAhead)> {
    let decode = |parser: &Parser, packet| ahead::decode(parser, packet, || count(&counters.panics));
    let read = |message| {
        let ahead = reader.read_message(&message, decode);
        (message, ahead)
    };
    inbox.into_iter().map(read).collect()
}

/// Tells the machine how much is not written, and counts what is.
pub(super) fn tell_unwritten(
    inner: &mut SessionInner,
    websockets: &mut [SessionWebSocket],
    now: time::Instant,
) {
    for websocket in &mut *websockets {
        inner.traffic.add(websocket.wire.take_traffic());
    }
    let current = websockets.iter().find(|websocket| inner.machine.is_on(websocket.id));
    inner.unwritten = current.map_or(0, |websocket| websocket.wire.unwritten());
    inner.writing = false;
    inner.tell_unwritten(now);
}
