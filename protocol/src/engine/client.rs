//! One Engine.IO session, seen from the client.
//!
//! ```text
//!              open packet                        close by either side, error, silence
//!   Opening ------------------> Open -----------------------------------------------------> Closed
//!      |                          |                                                           ^
//!      |                          | the application closes: told at once                      | all that was
//!      +--------------------------+----------------------------------------------> Closing ---+ queued is written
//! ```
//!
//! HTTP and WebSockets are data here: [`ClientSession::poll_transmit`] asks for a request or a WebSocket under an id that the
//! session chose, and the outcome goes back in by `handle_*`. Any order of calls is
//! legal, and a spurious one does nothing. [`crate::client::Manager`] puts Socket.IO and reconnection on top and
//! is what adapters drive.

mod config;
mod deadlines;
mod ending;
mod open;
mod posting;
mod receiving;
mod transmit;
mod upgrade;

pub use self::config::ConfigError;
pub use self::transmit::Method;
pub use crate::engine::client::config::EngineClientConfig;
pub use crate::engine::client::open::OpenPacket;
pub use crate::engine::client::transmit::ClientTransmit;

use self::upgrade::{Stage, Upgrade};
use super::payload;
use super::request::RequestId;
use crate::cost::{CLIENT_MESSAGE, WRITABLE_BELOW, WRITE_AHEAD};
use crate::engine::error::{Ended, EngineError};
use crate::engine::packet::EnginePacket;
use crate::engine::transport::TransportKind;
use crate::message::{Frame, WireMessage};
use crate::random::Random;
use crate::reason::{CloseReason, SendError};
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// The close code of a message that is too big (RFC 6455, section 7.4.1).
const TOO_BIG: u16 = 1009;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening { deadline: Instant },
    Open,
    Closing { deadline: Instant },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Polling,
    WebSocket(RequestId),
}

#[derive(Clone, Debug)]
enum Outgoing {
    Pong,
    Message { message: WireMessage, compress: bool },
}

/// One Engine.IO session, seen from the client. See the [module](self).
#[derive(Debug)]
pub(crate) struct ClientSession {
    config: Arc<EngineClientConfig>,
    random: Random,
    /// The latest time that was seen.
    now: Instant,
    state: State,
    /// The transports that are left to open the session with, the present one first.
    order: Vec<TransportKind>,
    transport: Transport,
    upgrade: Option<Upgrade>,
    handshake: Option<OpenPacket>,
    next_id: u64,
    /// The first GET, or the first WebSocket until it has opened.
    opening: Option<RequestId>,
    poll: Option<RequestId>,
    /// A poll's answer is being handled: the next poll waits for that.
    reading: bool,
    post: Option<(RequestId, Instant)>,
    close_posted: bool,
    watchdog: Instant,
    paused: bool,
    /// Reading has just gone on. The next call that brings the time dates it.
    resumed: bool,
    control: VecDeque<ClientTransmit>,
    out: VecDeque<Outgoing>,
    queued: usize,
    /// The number of messages that were queued so far.
    last: u64,
    unwritten: usize,
    closed: Option<Ended>,
    opened: bool,
    upgraded: bool,
    upgrade_failed: Option<EngineError>,
}

impl ClientSession {
    /// A session that begins to open. Its requests and WebSockets are numbered from `first_id` on; at most 2^32 of
    /// them. It begins with the transport `first`, if it may use that one
    /// ([`EngineClientConfig::remember_upgrade`] after a success), or else with the first of its settings.
    pub(crate) fn new(
        now: Instant,
        config: Arc<EngineClientConfig>,
        random: Random,
        first_id: u64,
        first: Option<TransportKind>,
    ) -> Self {
        let mut order = config.order().to_vec();
        if let Some(first) = first.filter(|first| config.has(*first)) {
            order.retain(|kind| *kind != first);
            order.insert(0, first);
        }
        let deadline = now + config.open_timeout;
        let mut client = Self {
            config,
            random,
            now,
            state: State::Opening { deadline },
            order,
            transport: Transport::Polling,
            upgrade: None,
            handshake: None,
            next_id: first_id,
            opening: None,
            poll: None,
            reading: false,
            post: None,
            close_posted: false,
            watchdog: Instant::FAR_FUTURE,
            paused: false,
            resumed: false,
            control: VecDeque::new(),
            out: VecDeque::new(),
            queued: 0,
            last: 0,
            unwritten: 0,
            closed: None,
            opened: false,
            upgraded: false,
            upgrade_failed: None,
        };
        client.begin();
        client
    }

    // --- getters ----------------------------------------------------------------------------------------------

    /// The settings.
    pub(crate) fn config(&self) -> &Arc<EngineClientConfig> {
        &self.config
    }

    /// The server's open packet.
    pub(crate) fn handshake(&self) -> Option<&OpenPacket> {
        self.handshake.as_ref()
    }

    /// Returns whether messages pass: neither opening, nor closing, nor closed.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether the session is on its way to open.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening { .. })
    }

    /// Returns whether the session is over and all about it was told: it can be forgotten.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Closed && self.control.is_empty() && self.closed.is_none()
    }

    /// The transport in use.
    pub(crate) fn transport(&self) -> TransportKind {
        match self.transport {
            Transport::Polling => TransportKind::Polling,
            Transport::WebSocket(_) => TransportKind::WebSocket,
        }
    }

    /// Returns whether that WebSocket is the transport in use.
    pub(crate) fn is_on(&self, websocket: RequestId) -> bool {
        self.transport == Transport::WebSocket(websocket)
    }

    /// Bytes that wait for the server: queued here (with 32 more for each message), and not yet written by the
    /// owner.
    pub(crate) fn buffered(&self) -> usize {
        self.queued.saturating_add(self.unwritten)
    }

    /// Returns whether the server takes messages of that size, as far as it has said.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]: sent all the same, the frame would end the session.
    pub(crate) fn check_size(&self, frame: &Frame) -> Result<(), SendError> {
        let limit = self.handshake.as_ref().and_then(|handshake| handshake.max_payload);
        // The reference takes 0 for a server that does not say.
        let Some(limit) = limit.filter(|limit| *limit > 0 && self.is_open()) else { return Ok(()) };
        let attachment = |data: &Bytes| match self.transport {
            Transport::Polling => payload::binary_len(data).saturating_sub(1),
            Transport::WebSocket(_) => data.len(),
        };
        let text = frame.text().map_or(0, Bytes::len);
        if frame.attachments().iter().map(attachment).fold(text, usize::max) <= limit {
            Ok(())
        } else {
            Err(SendError::TooLarge { limit })
        }
    }

    /// Returns whether a volatile message would leave at once.
    pub(crate) fn is_writable(&self) -> bool {
        self.is_open()
            && match self.transport {
                Transport::Polling => self.post.is_none() && self.out.is_empty() && !self.is_moving(),
                Transport::WebSocket(_) => self.unwritten == 0 && self.queued < WRITABLE_BELOW,
            }
    }

    // --- inputs -----------------------------------------------------------------------------------------------

    /// A request, or a WebSocket's handshake, came to nothing: for example [`EngineError::RequestFailed`] if the
    /// connection broke or could not be made, [`EngineError::TooLarge`] if the body passed its limit.
    pub(crate) fn handle_request_failed(&mut self, now: Instant, request: RequestId, error: EngineError) {
        self.fire(now);
        self.forget(request);
        if self.upgrade.as_ref().is_some_and(|upgrade| upgrade.websocket == request) {
            self.lose_upgrade(error);
        } else if self.is_on(request) {
            self.lose_websocket();
            self.fail(Ended::by(CloseReason::TransportError, error));
        } else if self.opening == Some(request) || self.poll == Some(request) {
            self.opening = None;
            self.poll = None;
            self.fail(Ended::by(CloseReason::TransportError, error));
        } else if self.post.is_some_and(|(post, _)| post == request) {
            self.post = None;
            if self.close_posted {
                self.finish();
            } else {
                self.fail(Ended::by(CloseReason::TransportError, error));
            }
        }
    }

    /// The server answered a WebSocket's handshake with that status instead of 101, and that (beginning of a) body.
    pub(crate) fn handle_websocket_refused(
        &mut self,
        now: Instant,
        websocket: RequestId,
        status: u16,
        body: &[u8],
    ) {
        self.handle_request_failed(now, websocket, open::refusal(status, body));
    }

    /// A WebSocket has opened.
    pub(crate) fn handle_websocket_opened(&mut self, now: Instant, websocket: RequestId) {
        self.fire(now);
        // If it was given up while it was being opened, it is closed below: the order to give it up is taken back.
        self.forget(websocket);
        if self.opening == Some(websocket) && self.is_opening() {
            self.opening = None;
        } else if !self.begin_probe(websocket) && !self.is_on(websocket) || self.state == State::Closed {
            self.control.push_back(ClientTransmit::CloseWebSocket { websocket, code: None });
        }
    }

    /// A message arrived on a WebSocket. Returns a message for the layer above.
    pub(crate) fn handle_websocket(
        &mut self,
        now: Instant,
        websocket: RequestId,
        message: WireMessage,
    ) -> Option<WireMessage> {
        self.fire(now);
        if !self.is_on(websocket) {
            self.handle_probe(websocket, &message);
            return None;
        }
        let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
        if bytes.len() > self.config.max_message && self.is_open() {
            let error = EngineError::TooLarge { limit: self.config.max_message };
            self.fail_with_code(Ended::by(CloseReason::TransportError, error), Some(TOO_BIG));
            return None;
        }
        match message {
            WireMessage::Binary(_) if self.is_open() => Some(message),
            WireMessage::Binary(_) if self.is_opening() => {
                self.fail(Ended::by(CloseReason::TransportError, EngineError::NotEngineIo));
                None
            }
            WireMessage::Binary(_) => None,
            WireMessage::Text(text) => {
                if self.is_opening() && text.first() != Some(&b'0') {
                    self.fail(Ended::by(CloseReason::TransportError, open::not_a_handshake(&text)));
                    return None;
                }
                self.packet(now, EnginePacket::decode(text))
            }
        }
    }

    /// A WebSocket ended: by a close frame or the end of the stream (`None`), or by an error, after which the
    /// adapter has sent that close code.
    pub(crate) fn handle_websocket_closed(&mut self, now: Instant, websocket: RequestId, error: Option<u16>) {
        self.fire(now);
        self.forget(websocket);
        if self.upgrade.as_ref().is_some_and(|upgrade| upgrade.websocket == websocket) {
            self.lose_upgrade(error.map_or(EngineError::Probe, EngineError::WebSocket));
        } else if self.is_on(websocket) {
            self.lose_websocket();
            match error {
                Some(code) => self.fail(Ended::by(CloseReason::TransportError, EngineError::WebSocket(code))),
                None if self.is_opening() => {
                    self.fail(Ended::by(CloseReason::TransportError, EngineError::NotEngineIo));
                }
                None => self.fail(Ended::plain(CloseReason::TransportClose)),
            }
        }
    }

    /// The owner has not yet written that many of the bytes that it was given for the WebSocket. It is given no more
    /// while there are 64 KiB or more, so it has to say 0 when all is written.
    pub(crate) fn handle_unwritten(&mut self, bytes: usize) {
        self.unwritten = bytes;
    }

    /// A deadline may have passed. Calling it early or often does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.fire(now);
        self.judge(now);
    }

    // --- commands ---------------------------------------------------------------------------------------------

    /// Queues a frame, whatever waits already: the budget is the caller's to check with [`ClientSession::buffered`].
    /// Returns false, having done nothing, if the session is not open.
    pub(crate) fn send(&mut self, frame: &Frame) -> bool {
        self.send_now(frame.clone())
    }

    /// The same, in line: for what is sent most often.
    #[inline(always)]
    pub(crate) fn send_now(&mut self, frame: Frame) -> bool {
        if !self.is_open() {
            return false;
        }
        let compress = frame.may_compress();
        let (text, beside) = frame.into_parts();
        // Only a raw binary message has no text.
        if !text.is_empty() {
            self.queue(WireMessage::Text(text), compress);
        }
        for attachment in beside.iter().flat_map(|beside| beside.attachments.as_slice()) {
            self.queue(WireMessage::Binary(attachment.clone()), compress);
        }
        true
    }

    #[inline(always)]
    fn queue(&mut self, message: WireMessage, compress: bool) {
        let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
        self.queued = self.queued.saturating_add(bytes.len().saturating_add(CLIENT_MESSAGE));
        self.last = self.last.wrapping_add(1);
        self.out.push_back(Outgoing::Message { message, compress });
    }

    /// The number of the message that was queued last: they are counted from 1.
    pub(crate) fn last_queued(&self) -> u64 {
        self.last
    }

    /// Returns whether the message of that number still waits to be given out.
    pub(crate) fn is_queued(&self, number: u64) -> bool {
        let waiting = self.out.iter().filter(|item| matches!(item, Outgoing::Message { .. })).count();
        number > self.last.saturating_sub(waiting as u64)
    }

    /// Reading pauses: the application is behind. Meanwhile no poll is made, and the server's silence is not held
    /// against it.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Reading goes on. The next [`ClientSession::tick`] says when it did.
    pub(crate) fn resume(&mut self) {
        self.resumed |= self.paused;
        self.paused = false;
    }

    /// Closes the session, after its queue was written. The application is told at once.
    pub(crate) fn close(&mut self, now: Instant, ended: Ended) {
        let deadline = now + self.config.close_timeout;
        match (self.state, self.transport) {
            (State::Closing { .. } | State::Closed, _) => return,
            (State::Opening { .. }, Transport::WebSocket(_)) => {
                self.order.clear();
                return self.fail(ended);
            }
            // The server may have opened a session for it, which has to be closed as well.
            (State::Opening { .. }, Transport::Polling) | (State::Open, _) => {
                self.state = State::Closing { deadline };
            }
        }
        self.closed = Some(ended);
        self.give_upgrade_up(None);
        self.out.retain(|item| !matches!(item, Outgoing::Pong));
    }

    /// Ends the session now; its queue is thrown away.
    pub(crate) fn abort(&mut self, ended: Ended) {
        self.order.clear();
        self.fail(ended);
    }

    // --- outputs ----------------------------------------------------------------------------------------------

    /// Returns whether the session has opened, moved or ended since that was last asked, or reading is paused, or has
    /// just gone on.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.opened
            || self.upgraded
            || self.paused
            || self.resumed
            || self.closed.is_some()
            || self.upgrade_failed.is_some()
    }

    /// The next thing to do outside.
    pub(crate) fn poll_transmit(&mut self) -> Option<ClientTransmit> {
        if let Some(control) = self.control.pop_front() {
            return Some(control);
        }
        let closing = matches!(self.state, State::Closing { .. });
        if !closing && self.state != State::Open {
            return None;
        }
        match self.transport {
            // All at once when the session closes, because then it is the owner's to write and to forget.
            Transport::WebSocket(websocket) if closing || self.unwritten < WRITE_AHEAD => {
                let Some(item) = self.out.pop_front() else {
                    if closing {
                        self.finish();
                    }
                    return self.control.pop_front();
                };
                let (message, compress) = match item {
                    Outgoing::Pong => (WireMessage::Text(Bytes::from_static(b"3")), false),
                    Outgoing::Message { message, compress } => {
                        let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
                        self.queued = self.queued.saturating_sub(bytes.len().saturating_add(CLIENT_MESSAGE));
                        self.unwritten = self.unwritten.saturating_add(bytes.len());
                        (message, compress)
                    }
                };
                Some(ClientTransmit::Write { websocket, message, compress })
            }
            Transport::WebSocket(_) => None,
            Transport::Polling if self.wants_post() => Some(self.post()),
            Transport::Polling if self.wants_poll() => Some(self.poll()),
            Transport::Polling => None,
        }
    }

    /// Returns whether [`ClientSession::poll_transmit`] has something.
    pub(crate) fn has_transmit(&self) -> bool {
        let closing = matches!(self.state, State::Closing { .. });
        !self.control.is_empty()
            || (closing || self.is_open())
                && match self.transport {
                    Transport::WebSocket(_) => {
                        closing || self.unwritten < WRITE_AHEAD && !self.out.is_empty()
                    }
                    Transport::Polling => self.wants_post() || self.wants_poll(),
                }
    }

    /// The time at which to call [`ClientSession::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Opening { deadline } | State::Closing { deadline } => Some(deadline),
            State::Closed => None,
            State::Open if self.resumed => Some(self.now),
            State::Open => {
                let silence = (!self.paused).then_some(self.watchdog);
                let post = self.post.map(|(_, deadline)| deadline);
                let upgrade = self.upgrade.as_ref().map(|upgrade| upgrade.deadline);
                [silence, post, upgrade].into_iter().flatten().min()
            }
        }
    }

    /// Returns whether the session has opened since the last call.
    pub(crate) fn take_opened(&mut self) -> bool {
        core::mem::take(&mut self.opened)
    }

    /// The end of the session, once.
    pub(crate) fn poll_closed(&mut self) -> Option<Ended> {
        self.closed.take()
    }

    /// Returns whether the session has moved to WebSocket since the last call.
    pub(crate) fn poll_upgraded(&mut self) -> bool {
        core::mem::take(&mut self.upgraded)
    }

    /// The failure of an upgrade, once. The session stays where it is.
    pub(crate) fn take_upgrade_failed(&mut self) -> Option<EngineError> {
        self.upgrade_failed.take()
    }

    // --- inside -----------------------------------------------------------------------------------------------

    fn fresh_id(&mut self) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    fn request(&mut self, request: RequestId, method: Method, body: Bytes) -> ClientTransmit {
        let sid = self.handshake.as_ref().map(|handshake| handshake.sid.clone());
        let target = open::target(&self.config, TransportKind::Polling, &mut self.random, sid.as_deref());
        ClientTransmit::Request { request, method, target, body, limit: self.config.max_message }
    }
}

impl Upgrade {
    fn is_moving(&self) -> bool {
        self.stage == Stage::Pausing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_over_a_websocket_opens_and_carries_messages_both_ways() {
        let now = Instant::ZERO;
        let config = Arc::new(EngineClientConfig::default().transports([TransportKind::WebSocket]));
        let mut session = ClientSession::new(now, config, Random::new([7; 32]), 1, None);
        let Some(ClientTransmit::OpenWebSocket { websocket, target }) = session.poll_transmit() else {
            panic!("no WebSocket is asked for")
        };
        assert_eq!(target, "/engine.io/?EIO=4&transport=websocket");

        session.handle_websocket_opened(now, websocket);
        let open = r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
        session.handle_websocket(now, websocket, WireMessage::Text(open.into()));
        assert!(session.is_open());
        let message = session.handle_websocket(now, websocket, WireMessage::Text("4hello".into()));
        assert_eq!(message, Some(WireMessage::Text("hello".into())));

        session.send(&Frame::text_message("hi"));
        assert!(matches!(
            session.poll_transmit(),
            Some(ClientTransmit::Write { message: WireMessage::Text(text), .. }) if text == "4hi"
        ));
    }
}
