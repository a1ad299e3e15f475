//! The messages of a plain Engine.IO session that wait for the application.

use crate::cost;
use crate::engine::config::EngineServerConfig;
use crate::engine::error::EngineError;
use crate::message::WireMessage;
use crate::pace::{Pace, Turn};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// The messages of a plain session, in the order in which they came.
#[derive(Debug)]
pub(super) struct Messages {
    queue: VecDeque<WireMessage>,
    inbound: usize,
    /// The application is busy with the one before.
    held: bool,
    /// Bytes of the one before. They count while it is held.
    in_hand: usize,
    /// `None` without a `message_rate`: most servers have none.
    pace: Option<Box<Pace>>,
    paced: u64,
}

impl Messages {
    pub(super) fn new(now: Instant, config: &EngineServerConfig) -> Self {
        let pace = config.message_rate.map(|rate| Box::new(Pace::new(now, rate, config.message_excess)));
        Self { queue: VecDeque::new(), inbound: 0, held: false, in_hand: 0, pace, paced: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait, with [`cost::EVENT`] more for each message.
    pub(super) fn waiting(&self) -> usize {
        self.inbound
    }

    /// The same, with those of the message that the application is busy with.
    pub(super) fn inbound(&self) -> usize {
        self.inbound.saturating_add(if self.held { self.in_hand } else { 0 })
    }

    /// The application is busy with the message that it was handed last.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// It is done with it.
    pub(super) fn release(&mut self) {
        self.held = false;
    }

    /// Returns whether the application is busy with a message.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// The times that a message had to wait for its turn.
    pub(super) fn paced(&self) -> u64 {
        self.paced
    }

    /// Returns whether they come at a rate.
    pub(super) fn paces(&self) -> bool {
        self.pace.is_some()
    }

    /// One has arrived.
    pub(super) fn push(&mut self, now: Instant, message: WireMessage) -> Result<(), EngineError> {
        if matches!(&message, WireMessage::Text(text) if core::str::from_utf8(text).is_err()) {
            return Err(EngineError::NotUtf8);
        }
        if self.pace.as_mut().is_some_and(|pace| !pace.admits(now)) {
            return Err(EngineError::TooManyMessages);
        }
        self.inbound = self.inbound.saturating_add(weight(&message));
        self.queue.push_back(message);
        Ok(())
    }

    /// Returns whether [`Messages::next`] may have one.
    pub(super) fn has_next(&self) -> bool {
        !self.queue.is_empty() && !self.held && self.until().is_none()
    }

    /// The next one whose turn it is. Once the session `is_over`, the rest waits for no turn.
    pub(super) fn next(&mut self, now: Instant, is_over: bool) -> Option<WireMessage> {
        if !self.has_next() {
            return None;
        }
        match self.pace.as_mut().map_or(Turn::Now, |pace| pace.turn(now, is_over)) {
            Turn::Now => {
                let message = self.queue.pop_front()?;
                self.in_hand = weight(&message);
                self.inbound = self.inbound.saturating_sub(self.in_hand);
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
    bytes.len().saturating_add(cost::EVENT)
}
