//! Joining a namespace, and leaving it.

use super::{AckOutcome, State, recovery, weight};
use crate::engine::client::ClientSession;
use crate::reason::CloseReason;
use crate::socket::client::{AuthSource, ClientSocketEvent, ClientSockets, JoinError};
use crate::socket::json::data::PacketData;
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

impl ClientSockets {
    pub(super) fn join(&mut self, now: Instant, engine: &mut ClientSession, at: usize) {
        let Some(socket) = self.sockets.get_mut(at) else { return };
        match socket.auth.clone() {
            AuthSource::None => self.send_join(now, engine, at, None),
            AuthSource::Fixed(auth) => self.send_join(now, engine, at, Some(&auth)),
            AuthSource::Ask | AuthSource::AskAgain => {
                socket.state = State::Asking;
                socket.asked_again = false;
                self.answers.push_back(ClientSocketEvent::Auth { socket: socket.key, refused: None });
            }
        }
    }

    pub(super) fn send_join(
        &mut self,
        now: Instant,
        engine: &mut ClientSession,
        at: usize,
        auth: Option<&PacketData>,
    ) {
        let deadline = now + self.config.join_timeout;
        let Some(socket) = self.sockets.get_mut(at) else { return };
        let auth = recovery::auth(socket.recovery.as_deref(), auth);
        let frame = self.config.parser.join(&socket.namespace, auth.as_ref());
        if let Err(error) = engine.check_size(&frame) {
            socket.state = State::Joining { deadline };
            return self.refuse(at, JoinError::Auth(error));
        }
        if engine.send(&frame) {
            socket.state = State::Joining { deadline };
            self.deadline = self.deadline.min(deadline);
        }
    }

    /// The server let a socket in: first comes what it had sent before, then what waited here.
    pub(super) fn joined(
        &mut self,
        now: Instant,
        engine: &mut ClientSession,
        at: usize,
        id: Arc<str>,
        pid: Option<Arc<str>>,
    ) {
        let Some(socket) = self.sockets.get_mut(at) else { return };
        socket.state = State::Joined;
        socket.id = Some(id.clone());
        let recovered = recovery::joined(&mut socket.recovery, pid);
        for event in &socket.early {
            recovery::seen(&mut socket.recovery, event);
        }
        socket.inbox.append(&mut socket.early);
        let event =
            ClientSocketEvent::Connected { socket: socket.key, connection: socket.ended, id, recovered };
        self.inbound = self.inbound.saturating_add(event.weight());
        socket.inbox.push_back(event);
        for waiting in mem::take(&mut socket.buffer) {
            socket.buffered = socket.buffered.saturating_sub(weight(&waiting.frame));
            let Err(error) = engine.check_size(&waiting.frame) else {
                engine.send(&waiting.frame);
                continue;
            };
            // It would end the session, and all that is sent beside it.
            match waiting.ack {
                Some(id) => {
                    socket.acks.remove(id);
                    let outcome = AckOutcome::Unsent(error);
                    self.answers.push_back(ClientSocketEvent::Ack { socket: socket.key, id, outcome });
                }
                None => socket.inbox.push_back(ClientSocketEvent::Unsent { socket: socket.key, error }),
            }
        }
        self.send_next(now, engine, at);
        self.rearm();
    }

    /// The server does not let a socket in.
    pub(super) fn refuse(&mut self, at: usize, error: JoinError) {
        let Some(socket) = self.sockets.get_mut(at) else { return };
        if !matches!(socket.state, State::Joining { .. }) {
            // A refusal of what was granted before says nothing.
            return;
        }
        if matches!(error, JoinError::Refused { .. })
            && socket.auth == AuthSource::AskAgain
            && !socket.asked_again
        {
            socket.asked_again = true;
            socket.state = State::Asking;
            self.answers.push_back(ClientSocketEvent::Auth { socket: socket.key, refused: Some(error) });
            return self.rearm();
        }
        socket.wanted = false;
        let event = ClientSocketEvent::Refused { socket: socket.key, connection: socket.ended, error };
        self.inbound = self.inbound.saturating_add(event.weight());
        socket.inbox.push_back(event);
        self.leave(at, CloseReason::IoServerDisconnect);
    }

    /// A socket is away: what was sent and not acknowledged is decided at once.
    pub(super) fn leave(&mut self, at: usize, reason: CloseReason) {
        let Some(socket) = self.sockets.get_mut(at) else { return };
        let was = mem::replace(&mut socket.state, State::Away);
        if matches!(was, State::Away | State::Leaving) {
            return;
        }
        let key = socket.key;
        socket.id = None;
        socket.ended = socket.ended.saturating_add(1);
        for event in &mut socket.inbox {
            // There is nobody to be answered any more.
            if let ClientSocketEvent::Event { ack, .. } = event {
                *ack = None;
            }
        }
        for event in mem::take(&mut socket.early) {
            self.inbound = self.inbound.saturating_sub(event.weight());
        }
        let unsent: BTreeSet<u64> = socket.buffer.iter().filter_map(|waiting| waiting.ack).collect();
        let mut decided = Vec::new();
        socket.acks.retain(|id, _| {
            let waits = unsent.contains(&id);
            if !waits {
                decided.push(id);
            }
            waits
        });
        if was == State::Joined {
            socket.inbox.push_back(ClientSocketEvent::Disconnected { socket: key, reason });
        }
        let given_up = socket.try_failed(self.config.retries, AckOutcome::Disconnected);
        socket.copy_lost();
        for id in decided {
            let outcome = AckOutcome::Disconnected;
            self.answers.push_back(ClientSocketEvent::Ack { socket: key, id, outcome });
        }
        if let Some((given_up, outcome)) = given_up {
            self.told(key, &given_up, outcome);
        }
        self.rearm();
    }
}
