//! The events that wait for the application, and the sockets whose events are held back.

use super::{ClientSocketEvent, ClientSockets, SocketKey, State};
use alloc::collections::VecDeque;

impl ClientSockets {
    /// Keeps the next events of a socket back until [`ClientSockets::release`].
    pub(crate) fn hold(&mut self, socket: SocketKey) {
        if let Some(found) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) {
            found.held = true;
        }
    }

    /// Lets the events of a held socket go on.
    pub(crate) fn release(&mut self, socket: SocketKey) {
        if let Some(found) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) {
            found.held = false;
        }
    }

    /// The next event. Those of held sockets are passed over; answers never are.
    pub(crate) fn poll_event(&mut self) -> Option<ClientSocketEvent> {
        let event = self.answers.pop_front().or_else(|| self.next_event())?;
        self.inbound = self.inbound.saturating_sub(event.weight());
        Some(event)
    }

    /// Returns whether [`ClientSockets::poll_event`] has something.
    pub(crate) fn has_event(&self) -> bool {
        !self.answers.is_empty() || self.sockets.iter().any(|socket| !socket.held && !socket.inbox.is_empty())
    }

    fn next_event(&mut self) -> Option<ClientSocketEvent> {
        let count = self.sockets.len();
        for _ in 0..count {
            let at = if self.turn < count { self.turn } else { 0 };
            self.turn = at.saturating_add(1);
            let Some(socket) = self.sockets.get_mut(at).filter(|socket| !socket.held) else { continue };
            if let Some(event) = socket.inbox.pop_front() {
                // No ping comes to give it back at.
                if socket.state != State::Joined && socket.inbox.is_empty() {
                    socket.inbox = VecDeque::new();
                }
                return Some(event);
            }
        }
        None
    }

    /// Gives memory back to the allocator that nothing is in: what comes at the busiest time is no measure for the
    /// rest.
    pub(crate) fn give_back(&mut self) {
        let empty = |queue: &&mut VecDeque<_>| queue.is_empty();
        let inboxes = self.sockets.iter_mut().map(|socket| &mut socket.inbox);
        inboxes.chain([&mut self.answers]).filter(empty).for_each(|queue| *queue = VecDeque::new());
        self.sockets.iter_mut().for_each(|socket| socket.acks.give_back());
    }

    pub(super) fn answer(&mut self, event: ClientSocketEvent) {
        self.inbound = self.inbound.saturating_add(event.weight());
        self.answers.push_back(event);
    }
}
