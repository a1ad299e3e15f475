//! Events of a server whose nodes share a log: they go there first, and to the sockets here when they are back.

use crate::base::trace::debug;
use crate::cluster::{LogNews, LoggedEvent};
use crate::handler::outgoing_hook::Watched;
use crate::server::broadcast::Broadcast;
use crate::server::namespace::NamespaceInner;
use crate::server::pending::{LogEvent, Outgoing, Place};
use crate::server::recoverable::Recoverable;
use crate::server::recovery::{InOrder, Recorder, Recovery};
use crate::server::server::ServerInner;
use crate::server::socket::{Delivery, Socket};
use crate::server::stream_log::StreamLog;
use sansocket_protocol::cluster::node::Reach;
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

    /// Sends an event to the log; to the sockets here at once if it cannot wait for that.
    pub(super) fn log(&self, namespace: &Arc<NamespaceInner>, target: &Target, frame: &Frame) {
        let Some(log) = self.recovery.log() else { return };
        let event = LogEvent { namespace: namespace.clone(), target: target.clone(), frame: frame.clone() };
        if log.append(event) {
            self.recovery.send_logged();
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

    /// The server is about to disconnect a socket: what is on its way to it is sent before. No other event of the
    /// namespace is sent until what this returns is dropped.
    pub(super) fn flush(&self, socket: &Socket) -> Option<InOrder<'_>> {
        let log = self.recovery.log()?;
        let in_order = self.in_order();
        send_on(log, socket);
        Some(in_order)
    }

    /// Sends the next event of the queue to the sockets here.
    fn send_next(&self) -> Option<Sent> {
        let pending = &self.recovery.log()?.pending;
        let in_order = self.lock_order();
        let (Outgoing { event, place }, reach, returned) = pending.next()?;
        let LogEvent { namespace, target, frame } = &event;
        let now = self.recovery.clock.now();
        let (appended, mut reached) = {
            let mut hub = namespace.hub_mut();
            let offset = match place {
                Place::At { id, .. } => Some(id.to_string().into()),
                Place::Early(_) | Place::Nowhere => None,
            };
            let appended = self.append(now, namespace, Audience::of(target), frame, offset);
            let (next, oldest) = self.passed();
            hub.passed(next, oldest);
            let reached = if reach == Reach::Nobody { Vec::new() } else { hub.reached(target) };
            (appended, reached)
        };
        if let Place::Early(ticket) = place {
            pending.sent_early(ticket, appended.number);
        }
        if let Reach::After(number) = reach {
            reached.retain(|socket| socket.recoverable().is_some_and(|part| part.came_after(number)));
        }
        let detection = self.recovery.config.detection;
        let watched = namespace.handlers.outgoing.watch(namespace.encoder.parser(), frame);
        let mut queued = Vec::new();
        for socket in &reached {
            if let Some(recoverable) = socket.recoverable() {
                match place {
                    Place::At { .. } => recoverable.placed(now, returned, detection),
                    Place::Early(ticket) => recoverable.unplaced(now, ticket),
                    Place::Nowhere => recoverable.unplaced(now, 0),
                }
            }
            if socket.deliver(&appended.frame, Delivery::Queue) == Ok(true) && watched.is_some() {
                queued.push(socket.clone());
            }
        }
        drop(in_order);
        Some(Sent { _event: event, _reached: reached, shown: watched.map(|watched| (watched, queued)) })
    }
}

/// Sends a socket that leaves for good what is on its way to it by the log. With the order of its namespace held.
fn send_on(log: &StreamLog, socket: &Socket) {
    let namespace = socket.namespace_inner();
    let on_their_way = log.pending.of(namespace);
    let rooms = {
        let hub = namespace.hub();
        hub.by_id(socket.id()).map(|(key, _)| hub.rooms_of(key)).unwrap_or_default()
    };
    for (target, frame) in &on_their_way {
        if Audience::of(target).includes(socket.id(), |room| rooms.iter().any(|known| **known == *room)) {
            let _ = socket.deliver(frame, Delivery::Queue);
        }
    }
}

/// An event that was sent. The application's values and hooks may go with what is in it: dropped without a lock.
struct Sent {
    _event: LogEvent,
    _reached: Vec<Socket>,
    shown: Option<(Watched<Socket>, Vec<Socket>)>,
}

impl Recovery {
    /// Closes a connection by `close`, after what is on its way to its sockets by the log, in all namespaces. No other event
    /// of these is sent in between.
    pub(super) fn close_after_log(&self, log: &StreamLog, socket: &Socket, close: impl FnOnce()) {
        let mut sockets = vec![socket.clone()];
        let namespaces = log.pending.namespaces();
        if !namespaces.is_empty() {
            let recoverable = self.sockets_of(socket.session());
            // Sessions of the older revision cannot be recovered.
            let legacy = namespaces.iter().filter_map(|namespace| socket.legacy_neighbor(namespace));
            sockets.extend(recoverable.into_iter().chain(legacy).filter(|other| other != socket));
        }
        // Everybody who holds the orders of several namespaces takes them in this order.
        sockets.sort_by(|one, other| one.namespace_inner().name.cmp(&other.namespace_inner().name));
        // The hooks see these once the orders are free.
        let mut sent = Vec::new();
        let mut orders = Vec::new();
        let mut last: Option<&Arc<NamespaceInner>> = None;
        for socket in &sockets {
            let namespace = socket.namespace_inner();
            let Some(recorder) = namespace.recorder() else { continue };
            // One that has left may still be with its handlers, beside one that has come after it.
            if !last.is_some_and(|last| Arc::ptr_eq(last, namespace)) {
                orders.push(recorder.lock_order());
                last = Some(namespace);
            }
            sent.extend(recorder.unsent.send_all(Some(socket)));
            send_on(log, socket);
        }
        close();
        drop(orders);
        drop(sent);
        self.settle();
    }

    /// Sends what is in the queue of the log.
    pub(super) fn send_logged(&self) {
        let Some(log) = self.log() else { return };
        let mut sent = Vec::new();
        {
            let _turn = log.pending.turn();
            while let Some(namespace) = log.pending.next_namespace() {
                match namespace.recorder() {
                    Some(recorder) => sent.extend(recorder.send_next()),
                    // Only what is recorded gets there.
                    None => drop(log.pending.next()),
                }
            }
        }
        for Sent { shown, .. } in &sent {
            if let Some((watched, queued)) = shown {
                queued.iter().for_each(|socket| socket.show(watched));
            }
        }
        drop(sent);
        self.settle();
    }
}

/// Applies news about the log.
pub(super) fn apply(server: &ServerInner, news: LogNews) {
    let Some(recovery) = server.recovery() else { return };
    let Some(log) = recovery.log() else { return };
    match news {
        LogNews::Logged(LoggedEvent { namespace, event, target, id, ticket }) => {
            let make = || {
                let namespace = server.namespaces.find(&namespace)?;
                namespace.recorder()?;
                let frame = Broadcast::new(namespace.clone(), target.clone())
                    .encode(&event.name(), None, event.args())
                    .inspect_err(|error| debug!(%error, "an event of the log cannot be sent"))
                    .ok()?;
                Some(LogEvent { namespace, target, frame })
            };
            match ticket {
                Some(ticket) => log.pending.back(id, ticket, make),
                None => {
                    if let Some(event) = make() {
                        log.pending.other(id, event);
                    }
                }
            }
            recovery.send_logged();
        }
        LogNews::Unlogged { ticket, may_come } => {
            if log.pending.give_up(ticket, may_come) {
                recovery.send_logged();
            }
        }
        LogNews::Found { lookup, namespace, pid, outcome } => log.found(lookup, namespace, &pid, outcome),
    }
}
