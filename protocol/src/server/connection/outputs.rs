//! The outputs of a connection: what is to be written, what the application is to be told, and when to call again.

#[cfg(feature = "record")]
use super::recording;
use super::{Connection, Layer, ServerEvent};
use crate::engine::request::{RequestId, Response};
use crate::engine::server::ServerTransmit;
#[cfg(feature = "record")]
use crate::record::Entry;
use crate::socket::server::ServerSocketEvent;
use crate::time::Instant;
use alloc::boxed::Box;

impl Connection {
    /// The next thing to write.
    #[inline]
    pub fn poll_transmit(&mut self) -> Option<ServerTransmit> {
        let transmit = self.engine.poll_transmit();
        #[cfg(feature = "record")]
        if let Some(transmit) = &transmit {
            self.note(|mask| Entry::Transmit { digest: recording::digest_transmit(mask, transmit) });
        }
        transmit
    }

    /// The answer to that request, if it is the next thing that [`poll_transmit`](Self::poll_transmit) would give: for the
    /// one who has handed the request in, and need not wait for the owner then.
    pub fn poll_response(&mut self, request: RequestId) -> Option<Box<Response>> {
        if !self.engine.answers_next(request) {
            return None;
        }
        match self.poll_transmit() {
            Some(ServerTransmit::Respond { response, .. }) => Some(response),
            _ => None,
        }
    }

    /// The next event for the application. While more than half of the send budget is used, events
    /// of this client wait, unless it has brought about the end: a fast client that is answered paces itself.
    #[inline]
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        #[cfg(feature = "record")]
        // Looking for an event may put some off, by their rate or because their socket is busy.
        let may_change = self.recorder.is_some() && (self.engine.is_ending() || self.has_layer_event());
        let event = self.take_event();
        #[cfg(feature = "record")]
        match &event {
            Some(event) => self.note_event(event),
            None if may_change => self.note(|_| Entry::NoEvent {}),
            None => {}
        }
        event
    }

    /// Adds an event that was handed out to the recording, if there is one.
    #[cfg(feature = "record")]
    pub(super) fn note_event(&mut self, event: &ServerEvent) {
        self.note(|mask| Entry::Event { digest: recording::digest_event(mask, event) });
    }

    #[inline]
    fn take_event(&mut self) -> Option<ServerEvent> {
        let may_be_plain = !self.upgraded && !self.is_paced();
        if let (true, Layer::Sockets(sockets)) = (may_be_plain, &mut self.layer) {
            // By far the most events are such.
            if sockets.is_plain_turn() {
                self.counts.events_in = self.counts.events_in.wrapping_add(1);
                self.settle();
                return self.pop_event();
            }
        }
        self.take_any_event()
    }

    /// The first event in the queue of the sockets. A function of its own, which writes it to where it is wanted: it is
    /// large.
    #[inline(never)]
    fn pop_event(&mut self) -> Option<ServerEvent> {
        match &mut self.layer {
            Layer::Sockets(sockets) => sockets.pop_event().map(ServerEvent::Socket),
            Layer::Messages(_) => None,
        }
    }

    #[inline(never)]
    fn take_any_event(&mut self) -> Option<ServerEvent> {
        if core::mem::take(&mut self.upgraded) {
            return Some(ServerEvent::Upgraded);
        }
        let mut event = self.next_event();
        if event.is_none() && self.engine.is_ending() {
            // All that the peer had sent before it brought about the end was handled.
            self.engine.finish_ending(self.now);
            self.settle();
            event = self.next_event();
        }
        if let Some(told) = &event {
            if matches!(told, ServerEvent::Socket(ServerSocketEvent::Event { .. }) | ServerEvent::Message(_))
            {
                self.counts.events_in = self.counts.events_in.wrapping_add(1);
                // Handlers that finish at once are no progress that anybody tells; at a rate, they are slow all the same.
                let paces = match &self.layer {
                    Layer::Sockets(sockets) => sockets.paces(),
                    Layer::Messages(messages) => messages.paces(),
                };
                if paces {
                    self.engine.progress(self.now);
                }
            }
            self.settle();
            return event;
        }
        if self.is_held() {
            // The end comes after the messages, as it does for sockets.
            return None;
        }
        self.closed.take().map(|closed| ServerEvent::Closed(*closed))
    }

    fn next_event(&mut self) -> Option<ServerEvent> {
        let is_paced = self.is_paced();
        match &mut self.layer {
            Layer::Sockets(sockets) if is_paced => sockets.poll_answer().map(ServerEvent::Socket),
            Layer::Sockets(sockets) => sockets.poll_event().map(ServerEvent::Socket),
            Layer::Messages(_) if is_paced => None,
            Layer::Messages(messages) => {
                messages.next(self.now, self.ended.is_some()).map(ServerEvent::Message)
            }
        }
    }

    /// Returns whether [`Connection::poll_transmit`] has something.
    pub fn has_transmit(&self) -> bool {
        self.engine.has_transmit()
    }

    /// Returns whether [`Connection::poll_event`] may have something.
    #[inline]
    pub fn has_event(&self) -> bool {
        self.has_layer_event() || self.engine.is_ending() || self.closed.is_some() && !self.is_held()
    }

    /// Returns whether the owner has something to do: to write, or to tell.
    pub fn has_output(&self) -> bool {
        self.has_transmit() || self.has_event()
    }

    /// The time at which to call [`Connection::handle_timeout`]; `None` once the session is over. A command that
    /// starts a clock makes it due at once: commands carry no time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.engine.poll_timeout()?;
        if self.engine.is_undated() {
            return Some(self.now);
        }
        Some(match &self.layer {
            Layer::Sockets(sockets) => deadline.min(sockets.poll_timeout()),
            Layer::Messages(messages) => messages.until().map_or(deadline, |until| deadline.min(until)),
        })
    }
}
