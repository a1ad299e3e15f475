//! The sessions of a client, one after the other, and the transfer of what happens from one layer to the others.

use super::{IDS_PER_SESSION, Layer, MAX_LINGERING, Manager, SessionEvent, State};
use crate::client::manager::ClientEvent;
use crate::cost;
use crate::engine::TransportKind;
use crate::engine::client::ClientSession;
use crate::engine::error::{Ended, EngineError};
use crate::error::{CloseReason, Closed};
use crate::message::WireMessage;
use crate::socket::{Packet, PacketError};
use crate::time::Instant;
use alloc::boxed::Box;
use core::time::Duration;

impl Manager {
    /// Begins a try.
    pub(super) fn begin(&mut self, now: Instant) {
        self.events.push_back(ClientEvent::Dialing { attempt: self.attempt });
        if self.config.ask_before_dial {
            self.state = State::Asking;
        } else {
            self.start(now);
        }
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.sessions = self.sessions.saturating_add(1);
        let remembered = self.engine_config.remember_upgrade && self.websocket_worked;
        let engine = ClientSession::new(
            now,
            self.engine_config.clone(),
            self.random.fork(),
            self.sessions << IDS_PER_SESSION,
            remembered.then_some(TransportKind::WebSocket),
        );
        self.state = State::Active { engine: Box::new(engine), opened: false };
    }

    pub(super) fn deliver(&mut self, now: Instant, message: WireMessage) {
        self.deliver_ahead(now, message, None);
    }

    /// The same for a message that the application's parser may have read already.
    #[inline]
    pub(super) fn deliver_ahead(
        &mut self,
        now: Instant,
        message: WireMessage,
        read: Option<Result<Packet, PacketError>>,
    ) {
        let State::Active { engine, .. } = &mut self.state else { return };
        match &mut self.layer {
            Layer::Sockets(sockets) => {
                let (before, most) = (sockets.inbound(), self.engine_config.most_inbound());
                let taken = match read {
                    None => sockets.handle_message(now, engine, message),
                    Some(Ok(packet)) => sockets.handle_read(now, engine, packet),
                    Some(Err(error)) => Err(error.into()),
                };
                if let Err(error) = taken {
                    self.mistake = Some(Box::new(error.into()));
                    engine.close(now, Ended::above(CloseReason::ParseError));
                }
                // The events of an earlier session say nothing against this one.
                if before < most && sockets.inbound() >= most {
                    engine.abort(Ended::plain(CloseReason::Stalled));
                }
            }
            Layer::Messages { inbound, events, .. } => {
                let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
                if matches!(message, WireMessage::Text(_)) && core::str::from_utf8(bytes).is_err() {
                    return engine.abort(Ended::by(CloseReason::TransportError, EngineError::NotUtf8));
                }
                *inbound = inbound.saturating_add(bytes.len().saturating_add(cost::EVENT));
                events.push_back(SessionEvent::Message(message));
            }
        }
    }

    /// The session opened, if it did.
    #[inline]
    pub(super) fn settle_opened(&mut self, now: Instant) {
        if matches!(&self.state, State::Active { engine, .. } if engine.has_news()) {
            self.carry_over_opened(now);
        }
    }

    #[inline(never)]
    fn carry_over_opened(&mut self, now: Instant) {
        let State::Active { engine, opened } = &mut self.state else { return };
        if !engine.take_opened() {
            return;
        }
        *opened = true;
        self.websocket_worked |= engine.transport() == TransportKind::WebSocket;
        self.backoff.reset();
        let attempt = core::mem::take(&mut self.attempt);
        self.events.push_back(ClientEvent::Opened { attempt });
        match &mut self.layer {
            Layer::Sockets(sockets) => sockets.handle_opened(now, engine),
            Layer::Messages { events, .. } => events.push_back(SessionEvent::Opened),
        }
    }

    /// Returns whether a session is active, nothing has happened to it, and it reads on as it is to do.
    #[inline]
    pub(super) fn reads_on(&self) -> bool {
        matches!(&self.state, State::Active { engine, .. } if !engine.has_news())
            && self.inbound() < self.engine_config.receive_budget
    }

    /// Carries what happened in one layer over to the others. Every input and most commands end with it, and mostly
    /// nothing has happened.
    #[inline]
    pub(super) fn settle(&mut self, now: Instant) {
        if !(self.reads_on() && self.lingering.is_empty() && self.is_wanted()) {
            self.carry_over(now);
        } else if let State::Active { engine, .. } = &mut self.state {
            engine.tick(now);
        }
    }

    #[inline(never)]
    fn carry_over(&mut self, now: Instant) {
        self.settle_opened(now);
        self.lingering.retain(|(_, engine)| !engine.is_finished());
        let wants_session = self.is_wanted();
        let State::Active { engine, opened } = &mut self.state else {
            if !wants_session {
                self.state = State::Idle;
                self.backoff.reset();
            }
            return;
        };
        if engine.poll_upgraded() {
            self.websocket_worked = true;
            self.events.push_back(ClientEvent::Upgraded);
        }
        if let Some(error) = engine.take_upgrade_failed() {
            self.events.push_back(ClientEvent::UpgradeFailed(error.into()));
        }
        if !wants_session {
            engine.close(now, Ended::plain(CloseReason::ForcedClose));
        }
        if let Some(ended) = engine.poll_closed() {
            let closed = Closed::new(ended, self.mistake.take().map(|mistake| *mistake));
            let opened = *opened;
            self.linger();
            if opened {
                self.lost(now, closed);
            } else {
                self.failed(now, closed);
            }
            return;
        }
        self.settle_pause(Some(now));
    }

    /// Reading pauses while the application is behind.
    pub(super) fn settle_pause(&mut self, now: Option<Instant>) {
        let wants_read = self.wants_read();
        let State::Active { engine, .. } = &mut self.state else { return };
        if wants_read {
            engine.resume();
        } else {
            engine.pause();
        }
        if let Some(now) = now {
            engine.tick(now);
        }
    }

    /// The session is over for the application; it may have last words to write.
    pub(super) fn linger(&mut self) {
        let state = core::mem::replace(&mut self.state, State::Idle);
        if let State::Active { engine, .. } = state {
            self.lingering.push((self.sessions, *engine));
        }
        if self.lingering.len() > MAX_LINGERING {
            if let Some((_, oldest)) = self.lingering.first_mut() {
                oldest.abort(Ended::plain(CloseReason::ForcedClose));
            }
        }
    }

    /// A session that was open ended.
    pub(super) fn lost(&mut self, now: Instant, closed: Closed) {
        match &mut self.layer {
            Layer::Sockets(sockets) => sockets.handle_closed(closed.reason),
            Layer::Messages { events, held, .. } => {
                // While the application is busy, sessions that bring nothing must not pile up.
                let is_behind = *held || events.len() > 1;
                if is_behind && matches!(events.back(), Some(SessionEvent::Opened)) {
                    events.pop_back();
                } else {
                    events.push_back(SessionEvent::Closed(closed.clone()));
                }
            }
        }
        let retry_in = self.schedule(now);
        self.events.push_back(ClientEvent::Closed { closed, retry_in });
        self.tell_if_given_up(retry_in);
    }

    /// A session could not be opened.
    pub(super) fn failed(&mut self, now: Instant, closed: Closed) {
        // The next one begins anew: what worked once works no more.
        self.websocket_worked = false;
        let retry_in = self.schedule(now);
        self.events.push_back(ClientEvent::DialFailed { closed, retry_in });
        self.tell_if_given_up(retry_in);
    }

    pub(super) fn schedule(&mut self, now: Instant) -> Option<Duration> {
        self.state = State::Idle;
        self.ends = self.ends.saturating_add(1);
        let exhausted =
            self.config.reconnection_attempts.is_some_and(|attempts| self.backoff.attempts() >= attempts);
        if !self.config.reconnection || !self.is_wanted() || exhausted {
            return None;
        }
        let delay = self.backoff.next(&mut self.random);
        self.attempt = self.backoff.attempts();
        self.state = State::Waiting { until: now + delay };
        Some(delay)
    }

    pub(super) fn tell_if_given_up(&mut self, retry_in: Option<Duration>) {
        if retry_in.is_none() {
            if self.config.reconnection && self.is_wanted() {
                self.events.push_back(ClientEvent::GaveUp);
            }
            self.backoff.reset();
        }
    }
}
