//! The events that wait: for their sockets to be released, and for their turn where there is a rate.

use super::SocketKey;
use crate::cost;
use crate::pace::Turn;
use crate::socket::server::{ServerSocketEvent, ServerSockets};
use crate::time::Instant;
use alloc::collections::VecDeque;
use core::mem;

impl ServerSockets {
    /// Returns the number of times that events had to wait because of `event_rate`.
    pub(crate) fn paced(&self) -> u64 {
        self.paced
    }

    /// Returns whether events are handed out no faster than at a rate.
    pub(crate) fn paces(&self) -> bool {
        self.config.event_rate.is_some()
    }

    /// Keeps the next events of a socket back until [`ServerSockets::release`].
    pub(crate) fn hold(&mut self, socket: SocketKey) {
        if let Some(found) = self.sockets.iter_mut().find(|candidate| candidate.key == socket) {
            if !mem::replace(&mut found.held, true) {
                self.in_hand = self.in_hand.saturating_add(found.in_hand);
            }
        }
    }

    /// Lets the events of a held socket go on.
    pub(crate) fn release(&mut self, socket: SocketKey) {
        if let Some(found) = self.sockets.iter_mut().find(|candidate| candidate.key == socket) {
            let was_held = mem::take(&mut found.held);
            if was_held {
                self.in_hand = self.in_hand.saturating_sub(mem::take(&mut found.in_hand));
            }
            if was_held && found.has_waiting() {
                self.first.get_or_insert_default().release(socket);
            }
        }
        self.sweep();
    }

    /// Lets the sockets go on whose events have waited long enough.
    #[inline]
    pub(crate) fn next_turns(&mut self, now: Instant) {
        if now >= self.pace_deadline {
            self.next_due_turns(now);
        }
    }

    fn next_due_turns(&mut self, now: Instant) {
        self.pace_deadline = Instant::FAR_FUTURE;
        for socket in &mut self.sockets {
            let has_waiting = socket.has_waiting();
            let Some(pace) = &mut socket.pace else { continue };
            match pace.until {
                Some(until) if until <= now => {
                    pace.until = None;
                    if !socket.held && has_waiting {
                        self.first.get_or_insert_default().release(socket.key);
                    }
                }
                Some(until) => self.pace_deadline = self.pace_deadline.min(until),
                None => {}
            }
        }
    }

    /// The next outcome of an awaited acknowledgement. These are never held back.
    #[inline]
    pub(crate) fn poll_answer(&mut self) -> Option<ServerSocketEvent> {
        if mem::take(&mut self.told_over) {
            // Only now: whoever was told of an end had the time to hold the socket while its handlers run, so that it
            // counts against `max_namespaces` until they are done.
            self.sweep();
        }
        let answer = self.first.as_mut()?.answers.pop_front()?;
        self.inbound = self.inbound.saturating_sub(answer.weight());
        Some(answer)
    }

    /// Returns whether the first in the queue is an event that nothing keeps back and that nothing goes before. Then it
    /// counts as handed out: [`pop_event`](Self::pop_event) must follow.
    #[inline]
    pub(crate) fn is_plain_turn(&mut self) -> bool {
        if self.goes_before() || self.told_over {
            return false;
        }
        let Some(event @ ServerSocketEvent::Event { socket, .. }) = self.events.front() else { return false };
        let Some(found) = self.sockets.iter_mut().find(|candidate| candidate.key == *socket) else {
            return false;
        };
        if !found.takes_at_once() {
            return false;
        }
        found.in_hand = event.weight();
        self.inbound = self.inbound.saturating_sub(found.in_hand);
        true
    }

    /// The next event: answers first. Those of held sockets are passed over.
    pub(crate) fn poll_event(&mut self) -> Option<ServerSocketEvent> {
        if let Some(answer) = self.poll_answer() {
            return Some(answer);
        }
        let event = self.next_released().or_else(|| self.next_event())?;
        self.inbound = self.inbound.saturating_sub(event.weight());
        if matches!(event, ServerSocketEvent::Connect { .. }) && self.events.is_empty() {
            // Many connections join, and send nothing for a long time.
            self.events = VecDeque::new();
        }
        if let ServerSocketEvent::Disconnected { socket, .. } = event {
            if let Some(found) = self.sockets.iter_mut().find(|candidate| candidate.key == socket) {
                found.over = true;
                self.told_over = true;
            }
        }
        Some(event)
    }

    /// Returns whether [`ServerSockets::poll_answer`] has something.
    #[inline]
    pub(crate) fn has_answer(&self) -> bool {
        self.first.as_ref().is_some_and(|first| !first.answers.is_empty())
    }

    /// Returns whether anything goes before the events in the queue.
    #[inline]
    fn goes_before(&self) -> bool {
        self.first.as_ref().is_some_and(|first| !first.is_empty())
    }

    /// Returns whether [`ServerSockets::poll_event`] may have something.
    #[inline]
    pub(crate) fn has_event(&self) -> bool {
        !self.events.is_empty() || self.goes_before()
    }

    fn next_released(&mut self) -> Option<ServerSocketEvent> {
        while let Some(&key) = self.first.as_ref()?.released.front() {
            let found = self.sockets.iter_mut().find(|socket| socket.key == key && !socket.held);
            let Some(event) = found.and_then(|socket| socket.pending.as_mut()?.waiting.pop_front()) else {
                self.go_on();
                continue;
            };
            if event.socket() != key && !self.is_connecting(event.socket()) {
                // It waited behind another socket, and its connection ended meanwhile.
                self.inbound = self.inbound.saturating_sub(event.weight());
                continue;
            }
            let Some(socket) = self.sockets.iter_mut().find(|socket| socket.key == key) else { continue };
            match socket.turn(&event, self.now) {
                Turn::Now => {
                    socket.in_hand = event.in_hand();
                    if !socket.has_waiting() {
                        self.go_on();
                    }
                    return Some(event);
                }
                Turn::Later => {
                    socket.pending_mut().waiting.push_front(event);
                    self.go_on();
                    self.waits(key);
                }
                Turn::Never => self.inbound = self.inbound.saturating_sub(event.weight()),
            }
        }
        None
    }

    /// The first of the released sockets has nothing more that could go on.
    fn go_on(&mut self) {
        if let Some(first) = &mut self.first {
            first.released.pop_front();
        }
    }

    #[inline(always)]
    pub(crate) fn pop_event(&mut self) -> Option<ServerSocketEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() && self.events.capacity() > cost::SHRINK_ABOVE {
            self.events = VecDeque::new();
        }
        event
    }

    fn next_event(&mut self) -> Option<ServerSocketEvent> {
        while let Some(event) = self.pop_event() {
            let key = self.waits_behind(&event).unwrap_or(event.socket());
            match self.sockets.iter_mut().find(|socket| socket.key == key) {
                Some(socket) if socket.held || socket.has_waiting() => {
                    socket.pending_mut().waiting.push_back(event);
                }
                Some(socket) => match socket.turn(&event, self.now) {
                    Turn::Now => {
                        socket.in_hand = event.in_hand();
                        return Some(event);
                    }
                    Turn::Later => {
                        socket.pending_mut().waiting.push_back(event);
                        self.waits(key);
                    }
                    Turn::Never => self.inbound = self.inbound.saturating_sub(event.weight()),
                },
                // The connection ended before the application heard of it.
                None => self.inbound = self.inbound.saturating_sub(event.weight()),
            }
        }
        None
    }

    /// The events of a socket wait for their turn.
    fn waits(&mut self, key: SocketKey) {
        self.paced = self.paced.saturating_add(1);
        let socket = self.sockets.iter().find(|socket| socket.key == key);
        let until = socket.and_then(|socket| socket.pace.as_ref()?.until);
        self.pace_deadline = self.pace_deadline.min(until.unwrap_or(Instant::FAR_FUTURE));
    }

    /// Hands an event out that has just come, if nothing goes before it, nothing keeps it back, and it would not use the
    /// `budget` up, for which it counts until it is handed out. Queues it else.
    #[inline]
    pub(crate) fn hand_out(&mut self, event: ServerSocketEvent, budget: usize) -> Option<ServerSocketEvent> {
        let weight = event.weight();
        let fits = self.inbound().saturating_add(weight) < budget;
        if fits && self.events.is_empty() && !self.goes_before() && !self.told_over {
            let socket = event.socket();
            let found = self.sockets.iter_mut().find(|candidate| candidate.key == socket);
            if let Some(found) = found.filter(|found| found.takes_at_once()) {
                found.in_hand = weight;
                return Some(event);
            }
        }
        self.push(event);
        None
    }

    #[inline]
    pub(crate) fn push(&mut self, event: ServerSocketEvent) {
        self.inbound = self.inbound.saturating_add(event.weight());
        if self.events.capacity() == 0 {
            // A queue's first growth would allocate four.
            self.events.reserve_exact(1);
        }
        self.events.push_back(event);
    }
}
