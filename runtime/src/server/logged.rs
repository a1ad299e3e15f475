//! Events of a server whose nodes share a log: they go there first, and to the sockets here when they are back.

use crate::base::trace::debug;
use crate::cluster::{LogNews, LoggedEvent};
use crate::server::broadcast::Broadcast;
use crate::server::namespace::NamespaceInner;
use crate::server::recovery::{Recorder, Recoverable};
use crate::server::server::ServerInner;
use crate::server::socket::{Delivery, Socket};
use crate::server::stream_log::PendingEvent;
use sansocket_protocol::cluster::node::EntryId;
use sansocket_protocol::cluster::{Event, Message};
use sansocket_protocol::error::SendError;
use sansocket_protocol::hub::Target;
use sansocket_protocol::message::Frame;
use sansocket_protocol::recovery::Audience;
use std::sync::Arc;

impl Recorder {
    /// Whether an event for that target goes to the log first.
    pub(super) fn logs(&self, target: &Target) -> bool {
        self.recovery.log().is_some() && !target.flags.local && !target.flags.volatile
    }

    /// Sends an event to the log; to the sockets here at once if it cannot get there.
    pub(super) fn log(&self, namespace: &Arc<NamespaceInner>, target: &Target, frame: &Frame) {
        let Some(log) = self.recovery.log() else { return };
        if !log.append(namespace, target, frame) {
            // Behind those that were on their way.
            for event in log.take_all() {
                send(&event, None);
            }
            self.send(namespace, target, frame, None, &[]);
            // What waits for the stream has its bounds: beyond them the other nodes hear of it all the same.
            let event = Event::of_frame(namespace.encoder.parser(), frame);
            if let (Some(membership), Some(event)) = (&namespace.membership, event) {
                membership.send(Message::Emit { event, target: target.clone(), ack: None });
            }
        }
    }

    /// The same for an event to one socket.
    pub(super) fn log_for(
        &self,
        socket: &Socket,
        recoverable: &Recoverable,
        frame: &Frame,
    ) -> Result<(), SendError> {
        if socket.has_left() && !self.awaits(socket, recoverable) {
            return Err(SendError::Disconnected);
        }
        self.log(socket.namespace_inner(), &Target::all().to(socket.id()), frame);
        Ok(())
    }

    /// The server disconnects a socket: what is on its way to it is sent before.
    pub(super) fn flush(&self, socket: &Socket) {
        let Some(log) = self.recovery.log() else { return };
        let rooms = || socket.namespace_inner().hub().by_id(socket.id()).map(|(key, _)| key);
        log.serve_pending(socket.namespace_inner(), socket, |target| {
            let Some(key) = rooms() else { return false };
            let rooms = socket.namespace_inner().hub().rooms_of(key);
            Audience::of(target).includes(socket.id(), |room| rooms.iter().any(|known| **known == *room))
        });
    }

    /// Sends an event to the sockets here: with its place in the log, or without one.
    fn send(
        &self,
        namespace: &Arc<NamespaceInner>,
        target: &Target,
        frame: &Frame,
        id: Option<EntryId>,
        has_reached: &[Socket],
    ) -> Vec<Socket> {
        let in_order = self.in_order();
        let now = self.recovery.clock.now();
        let (appended, reached) = {
            let mut hub = namespace.hub_mut();
            let offset = id.map(|id| id.to_string().into());
            let appended = self.append(now, namespace, Audience::of(target), frame, offset);
            let (next, oldest) = self.passed();
            hub.passed(next, oldest);
            (appended, hub.reached(target))
        };
        let watched = namespace.handlers.outgoing.watch(namespace.encoder.parser(), frame);
        let mut queued = Vec::new();
        for socket in reached.iter().filter(|socket| !has_reached.contains(socket)) {
            if let Some(recoverable) = socket.recoverable() {
                recoverable.placed(id.is_some());
            }
            if socket.deliver(&appended.frame, Delivery::Queue) == Ok(true) && watched.is_some() {
                queued.push(socket.clone());
            }
        }
        drop(in_order);
        if let Some(watched) = watched {
            queued.iter().for_each(|socket| socket.show(&watched));
        }
        reached
    }
}

fn send(event: &PendingEvent, id: Option<EntryId>) -> Vec<Socket> {
    let Some(recorder) = event.namespace.recorder() else { return Vec::new() };
    recorder.send(&event.namespace, &event.target, &event.frame, id, &event.has_reached)
}

/// Applies news about the log.
pub(super) fn apply(server: &ServerInner, news: LogNews) {
    let Some(log) = server.recovery().and_then(|recovery| recovery.log()) else { return };
    match news {
        LogNews::Logged(LoggedEvent { id, ticket: Some(ticket), .. }) => {
            if let Some(event) = log.take(ticket) {
                send(&event, Some(id));
            }
        }
        LogNews::Logged(LoggedEvent { namespace, event, target, id, ticket: None }) => {
            let Some(namespace) = server.namespaces.find(&namespace) else { return };
            let Some(recorder) = namespace.recorder() else { return };
            let broadcast = Broadcast::new(namespace.clone(), target);
            match broadcast.encode(&event.name(), None, event.args()) {
                Ok(frame) => drop(recorder.send(&namespace, broadcast.target(), &frame, Some(id), &[])),
                Err(error) => debug!(%error, "an event of another node cannot be sent"),
            }
        }
        LogNews::Unlogged { ticket, may_come } => {
            let Some(mut event) = log.take(ticket) else { return };
            let reached = send(&event, None);
            if may_come {
                event.has_reached.extend(reached);
                event.is_late = true;
                log.put_back(ticket, event);
            }
        }
        LogNews::Found { pid, found } => log.found(&pid, found),
    }
}
