//! Rules that hold for each session, whatever its peer sends and its owner does.

use super::Output;
use crate::engine::ServerTransmit;
use crate::record::Entry;
use crate::server::{Connection, ServerEvent};
use crate::socket::ServerSocketEvent;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use core::fmt;

/// The bytes by which a queue may pass its budget: book-keeping, and the packets that are not refused.
const OVERHEAD: usize = 256 * 1024;

/// A fault of the session itself: it did what it must not do, whatever its peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The rule that was broken.
    pub rule: &'static str,
    /// By what.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

impl core::error::Error for Fault {}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Waits,
    /// Its client is gone; an answer may be on its way.
    Aborted,
    Accepted,
    Done,
}

/// The rules, and what is known of the session that they are held against.
#[derive(Debug, Default)]
pub(super) struct Rules {
    requests: BTreeMap<u64, Asked>,
    /// The sockets, and whether each is over.
    sockets: BTreeMap<u64, bool>,
    /// The sockets that were ever held: one that has asked again may be, before it is told of.
    held: BTreeSet<u64>,
    /// The number of outcomes still to be told: an id may be used again once it is decided, told or not.
    awaited: BTreeMap<(u64, u64), u64>,
    is_closed: bool,
    largest: usize,
    unwritten: usize,
    fault: Option<Fault>,
}

impl Rules {
    /// The first fault.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    fn hold(&mut self, holds: bool, rule: &'static str, detail: impl FnOnce() -> String) {
        if !holds && self.fault.is_none() {
            self.fault = Some(Fault { rule, detail: detail() });
        }
    }

    /// Looks at a step that is done.
    pub(super) fn judge(&mut self, now: Instant, entry: &Entry<'_>, output: &Output, session: &Connection) {
        self.entry(now, entry, output, session);
        match output {
            Output::Transmit(transmit) => self.transmit(transmit),
            Output::Event(event) => self.event(event),
            _ => {}
        }
        let config = session.config();
        let budget = config.send_budget.max(config.max_payload).max(self.largest);
        let budget = budget.saturating_add(self.unwritten).saturating_add(OVERHEAD);
        let buffered = session.buffered();
        self.hold(buffered <= budget, "queues stay within their budgets", || {
            format!("{buffered} bytes wait, where {budget} may")
        });
        if session.is_finished() {
            let is_done = session.poll_timeout().is_none() && !session.has_output();
            self.hold(is_done, "a session that is finished has nothing left to do", || {
                format!("{session:?}")
            });
        }
    }

    fn entry(&mut self, now: Instant, entry: &Entry<'_>, output: &Output, session: &Connection) {
        match entry {
            Entry::Request { request, .. } => {
                self.requests.insert(*request, Asked::Waits);
            }
            Entry::RequestAborted { request } => {
                self.requests.insert(*request, Asked::Aborted);
            }
            Entry::Unwritten { size } => self.unwritten = usize::try_from(*size).unwrap_or(usize::MAX),
            Entry::Timeout {} => {
                let next = session.poll_timeout();
                let is_later = next.is_none_or(|next| next > now) || session.has_output();
                self.hold(is_later, "a deadline is never in the past", || format!("{next:?} at {now:?}"));
            }
            Entry::EmitWithAck { socket, id, frame, .. } if !matches!(output, Output::Failed(_)) => {
                self.largest = self.largest.max(frame.queued_len());
                let outcomes = self.awaited.entry((*socket, *id)).or_default();
                *outcomes = outcomes.saturating_add(1);
            }
            Entry::Hold { socket } => self.held.extend(socket.checked_sub(1)),
            // It asks to join once more, under the same key.
            Entry::AskAgain { socket, .. } if !matches!(output, Output::Failed(_)) => {
                self.sockets.remove(socket);
            }
            Entry::Emit { frame, .. } | Entry::Ack { frame, .. } | Entry::Send { frame } => {
                self.largest = self.largest.max(frame.queued_len());
            }
            _ => {}
        }
    }

    fn transmit(&mut self, transmit: &ServerTransmit) {
        match transmit {
            ServerTransmit::Respond { request, .. } | ServerTransmit::Abort { request } => {
                let asked = self.requests.insert(request.0, Asked::Done);
                self.hold(asked != Some(Asked::Done), "a request is answered once", || {
                    format!("request {}", request.0)
                });
                self.hold(
                    matches!(asked, Some(Asked::Waits | Asked::Aborted | Asked::Done)),
                    "what is answered was asked, and is no WebSocket",
                    || format!("request {}: {asked:?}", request.0),
                );
            }
            ServerTransmit::AcceptWebSocket { request } => {
                let asked = self.requests.insert(request.0, Asked::Accepted);
                let may_be = matches!(asked, Some(Asked::Waits | Asked::Aborted));
                self.hold(may_be, "a WebSocket is accepted once", || {
                    format!("request {}: {asked:?}", request.0)
                });
            }
            ServerTransmit::Write { websocket, .. } | ServerTransmit::WriteTyped { websocket, .. } => {
                let asked = self.requests.get(&websocket.0).copied();
                self.hold(asked.is_some(), "a message goes to a WebSocket that is there", || {
                    format!("request {}", websocket.0)
                });
            }
            ServerTransmit::CloseWebSocket { .. } => {}
        }
    }

    fn event(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) => {
                let before = self.sockets.insert(u64::from(socket.number()), false);
                self.hold(before.is_none(), "a socket's key is used once", || format!("{socket:?}"));
            }
            ServerEvent::Socket(ServerSocketEvent::Event { socket, .. }) => {
                let is_over = self.sockets.get(&u64::from(socket.number())).copied();
                self.hold(
                    is_over == Some(false),
                    "no event comes before the first or after the last",
                    || format!("{socket:?}"),
                );
            }
            ServerEvent::Socket(ServerSocketEvent::Ack { socket, id, .. }) => {
                let outcomes = self.awaited.get_mut(&(u64::from(socket.number()), *id));
                let is_awaited = outcomes.is_some_and(|outcomes| {
                    let is_awaited = *outcomes > 0;
                    *outcomes = outcomes.saturating_sub(1);
                    is_awaited
                });
                self.hold(is_awaited, "an acknowledgement is decided once", || format!("{id} of {socket:?}"));
            }
            ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, .. }) => {
                let before = self.sockets.insert(u64::from(socket.number()), true);
                self.hold(before == Some(false), "a socket ends once", || format!("{socket:?}"));
            }
            ServerEvent::Closed(_) => {
                let is_first = !core::mem::replace(&mut self.is_closed, true);
                self.hold(is_first, "a session ends once", String::new);
            }
            _ => {}
        }
    }

    /// Ends the session, and looks whether that is the end of everything.
    pub(super) fn end(&mut self, session: &mut Connection) {
        session.abort(crate::reason::CloseReason::ForcedClose);
        session.release(None);
        // Each socket that is let go may have something left to tell.
        for _ in 0..4 {
            while let Some(transmit) = session.poll_transmit() {
                self.transmit(&transmit);
            }
            while let Some(event) = session.poll_event() {
                self.event(&event);
            }
            for socket in self.sockets.keys().chain(&self.held) {
                let number = u32::try_from(*socket).unwrap_or(u32::MAX);
                session.release(Some(crate::socket::SocketKey::new(number)));
            }
        }
        let is_over = session.is_finished() && !session.is_listed() && session.poll_timeout().is_none();
        self.hold(is_over, "an abort ends a session", || format!("{session:?}"));
        let waits = self.requests.iter().find(|(_, asked)| **asked == Asked::Waits).map(|(id, _)| *id);
        self.hold(waits.is_none(), "every request is answered", || format!("request {waits:?}"));
        let open = self.awaited.iter().find(|(_, outcomes)| **outcomes > 0).map(|(ack, _)| *ack);
        self.hold(open.is_none(), "every acknowledgement is decided", || format!("{open:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineServerConfig, RequestId, Response, Revision};
    use crate::message::Frame;
    use crate::reason::CloseReason;
    use crate::socket::{AckOutcome, SocketKey};
    use alloc::boxed::Box;
    use alloc::sync::Arc;

    const NOW: Instant = Instant::ZERO;

    /// The rule that a session breaks which has done all that.
    fn broken(steps: &[(Entry<'_>, Output)]) -> Option<&'static str> {
        let config = Arc::new(EngineServerConfig::default());
        let session = Connection::new(NOW, Revision::V4, config, "id".into(), Some(Arc::default()));
        let mut rules = Rules::default();
        for (entry, output) in steps {
            rules.judge(NOW, entry, output, &session);
        }
        rules.fault().map(|fault| fault.rule)
    }

    fn asked() -> (Entry<'static>, Output) {
        let entry = Entry::Request {
            request: 1,
            method: "GET".into(),
            target: "/".into(),
            connection: None,
            upgrade: None,
            content_type: None,
            content_length: None,
        };
        (entry, Output::Nothing)
    }

    fn sent(transmit: ServerTransmit) -> (Entry<'static>, Output) {
        (Entry::Transmit { digest: 0 }, Output::Transmit(transmit))
    }

    fn told(event: ServerSocketEvent) -> (Entry<'static>, Output) {
        (Entry::Event { digest: 0 }, Output::Event(ServerEvent::Socket(event)))
    }

    fn answer() -> (Entry<'static>, Output) {
        sent(ServerTransmit::Respond { request: RequestId(1), response: Box::new(Response::new(200)) })
    }

    #[test]
    fn what_is_asked_is_answered_once() {
        let accept = || sent(ServerTransmit::AcceptWebSocket { request: RequestId(1) });
        let gone = || (Entry::RequestAborted { request: 1 }, Output::Nothing);
        assert_eq!(broken(&[asked(), answer()]), None);
        assert_eq!(broken(&[asked(), gone(), answer()]), None);
        assert_eq!(broken(&[answer()]), Some("what is answered was asked, and is no WebSocket"));
        assert_eq!(broken(&[asked(), answer(), answer()]), Some("a request is answered once"));
        assert_eq!(broken(&[asked(), accept()]), None);
        assert_eq!(broken(&[asked(), accept(), accept()]), Some("a WebSocket is accepted once"));
        let late = broken(&[asked(), accept(), answer()]);
        assert_eq!(late, Some("what is answered was asked, and is no WebSocket"));
    }

    #[test]
    fn a_socket_has_one_life_and_its_acknowledgements_one_outcome() {
        let socket = SocketKey::new(1);
        let came = || told(ServerSocketEvent::Connect { socket, namespace: "/".into(), auth: None });
        let reason = CloseReason::TransportClose;
        let went = || told(ServerSocketEvent::Disconnected { socket, reason });
        let asks = || {
            let frame = Frame::from_text(b"420[\"e\"]".to_vec());
            (Entry::EmitWithAck { socket: 1, frame, id: 0, deadline: 1 }, Output::Nothing)
        };
        let decided = || told(ServerSocketEvent::Ack { socket, id: 0, outcome: AckOutcome::Timeout });
        assert_eq!(broken(&[came(), asks(), decided(), asks(), decided(), went()]), None);
        assert_eq!(broken(&[came(), came()]), Some("a socket's key is used once"));
        let again = (Entry::AskAgain { socket: 1, auth: None }, Output::Nothing);
        assert_eq!(broken(&[came(), again, came(), went()]), None);
        assert_eq!(broken(&[came(), went(), went()]), Some("a socket ends once"));
        let twice = broken(&[came(), asks(), decided(), decided()]);
        assert_eq!(twice, Some("an acknowledgement is decided once"));
        let failed = (asks().0, Output::Failed(crate::error::SendError::Full));
        assert_eq!(broken(&[came(), failed, decided()]), Some("an acknowledgement is decided once"));
    }

    #[test]
    fn what_is_open_at_the_end_is_a_fault() {
        let config = Arc::new(EngineServerConfig::default());
        let mut session = Connection::new(NOW, Revision::V4, config, "id".into(), Some(Arc::default()));
        let mut rules = Rules::default();
        // The session has never heard of it.
        let (entry, output) = asked();
        rules.judge(NOW, &entry, &output, &session);
        rules.end(&mut session);
        assert_eq!(rules.fault().map(|fault| fault.rule), Some("every request is answered"));
    }
}
