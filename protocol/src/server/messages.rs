//! What waits for the application of a plain Engine.IO session.

use crate::engine::config::EngineServerConfig;
use crate::error::PeerError;
use crate::message::WireMessage;
use crate::pace::{Pace, Turn};
use crate::socket::ids::PER_EVENT;
use crate::socket::packet::PacketError;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Messages in the order in which they came.
#[derive(Debug)]
pub(super) struct Messages {
    queue: VecDeque<WireMessage>,
    inbound: usize,
    /// The application is busy with the one before.
    pub(super) held: bool,
    /// `None` without a `message_rate`: most servers have none.
    pace: Option<Box<Pace>>,
    paced: u64,
}

impl Messages {
    pub(super) fn new(now: Instant, config: &EngineServerConfig) -> Self {
        let pace = config.message_rate.map(|rate| Box::new(Pace::new(now, rate, config.message_excess)));
        Self { queue: VecDeque::new(), inbound: 0, held: false, pace, paced: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait, with [`PER_EVENT`] more for each message.
    pub(super) fn inbound(&self) -> usize {
        self.inbound
    }

    /// How often a message had to wait for its turn.
    pub(super) fn paced(&self) -> u64 {
        self.paced
    }

    /// Whether they come at a rate.
    pub(super) fn paces(&self) -> bool {
        self.pace.is_some()
    }

    /// One has arrived.
    pub(super) fn push(&mut self, now: Instant, message: WireMessage) -> Result<(), PeerError> {
        if matches!(&message, WireMessage::Text(text) if core::str::from_utf8(text).is_err()) {
            return Err(PeerError::Socket(PacketError::InvalidUtf8));
        }
        if self.pace.as_mut().is_some_and(|pace| !pace.admits(now)) {
            return Err(PeerError::TooManyMessages);
        }
        self.inbound = self.inbound.saturating_add(weight(&message));
        self.queue.push_back(message);
        Ok(())
    }

    /// Whether [`Messages::next`] may have one.
    pub(super) fn has_next(&self) -> bool {
        !self.queue.is_empty() && !self.held && self.until().is_none()
    }

    /// The next one whose turn it is. Once the session `is_over`, nobody waits for the turns of what is left.
    pub(super) fn next(&mut self, now: Instant, is_over: bool) -> Option<WireMessage> {
        if !self.has_next() {
            return None;
        }
        match self.pace.as_mut().map_or(Turn::Now, |pace| pace.turn(now, is_over)) {
            Turn::Now => {
                let message = self.queue.pop_front()?;
                self.inbound = self.inbound.saturating_sub(weight(&message));
                Some(message)
            }
            Turn::Later => {
                self.paced = self.paced.saturating_add(1);
                None
            }
            Turn::Never => {
                self.queue.clear();
                self.inbound = 0;
                None
            }
        }
    }

    /// The time has come, perhaps, for the next one.
    pub(super) fn next_turn(&mut self, now: Instant) {
        if let Some(pace) = &mut self.pace {
            pace.until.take_if(|until| *until <= now);
        }
    }

    /// The session ended: nobody waits for a turn any more.
    pub(super) fn end_turns(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.until = None;
        }
    }

    /// When the next one may go.
    pub(super) fn until(&self) -> Option<Instant> {
        self.pace.as_ref().and_then(|pace| pace.until)
    }
}

fn weight(message: &WireMessage) -> usize {
    let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = message;
    bytes.len().saturating_add(PER_EVENT)
}
