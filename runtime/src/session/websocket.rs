//! A WebSocket of a session: what it reads goes to the machine, and what it has not written is told to the machine.

use crate::base::ahead;
use crate::session::handle::{ConnectionPlace, SessionHandle, SessionInner};
use crate::session::stats::{Counters, count};
use crate::websocket::buffers::Buffers;
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
    /// Reads one batch.
    pub(super) fn poll_read(
        &mut self,
        handle: &SessionHandle,
        now: time::Instant,
        buffers: &mut Buffers,
        context: &mut Context<'_>,
    ) -> WireRead {
        if self.is_paused && self.wire.is_open() {
            self.is_paused = !handle.lock().machine.wants_read_from(self.id);
            if self.is_paused {
                return WireRead::Nothing;
            }
        }
        // What came before the mistake is handled and answered first, even if that takes another turn.
        if self.wire.is_failing() && handle.lock().machine.has_output() {
            return WireRead::Nothing;
        }
        self.wire.poll_read(buffers, now, None, context)
    }
}

/// Has the application's parser read messages, without the lock of their session.
#[cold]
pub(super) fn read_ahead(
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
