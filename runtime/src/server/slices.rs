//! Large broadcasts that give way to other tasks: their recipients are those of the moment of the call, and are served a
//! slice at a time.
//!
//! Nothing is lost if the emitter does not wait for the end: dropping the future sends the rest at once, and so does the
//! shutdown of the server; a socket that the server disconnects before its turn is served first. Where connection state
//! recovery gives events numbers, the next event of the namespace first has the rest sent, because the order of the numbers
//! is the order on each connection.

use crate::base::turn::give_way;
use crate::handler::outgoing_hook::Watched;
use crate::server::broadcast::Broadcast;
use crate::server::namespace::NamespaceInner;
use crate::server::recovery::{Recorder, lock};
use crate::server::socket::{Delivery, Socket};
use sansocket_protocol::hub::MemberKey;
use sansocket_protocol::message::Frame;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// The default number of recipients between which a broadcast gives way.
pub(crate) const SLICE: usize = 128;

/// An event on its way to its recipients.
pub(crate) struct Unsent {
    rest: Mutex<Rest>,
    frame: Frame,
    delivery: Delivery,
    /// The event for the hooks, if there are any.
    watched: Option<Watched<Socket>>,
}

struct Rest {
    /// In the order of their keys.
    sockets: std::vec::IntoIter<Socket>,
    /// Those of them that have it already.
    early: BTreeSet<MemberKey>,
}

/// A part of the recipients that the event was queued for. To be dropped without a lock, as the application's values may go
/// with a socket, and its hooks run.
#[must_use = "it shows the hooks what was sent"]
pub(crate) struct Sent {
    unsent: Arc<Unsent>,
    _sockets: Vec<Socket>,
    /// Those that the hooks are to see.
    queued: Vec<Socket>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(watched) = &self.unsent.watched {
            self.queued.iter().for_each(|socket| socket.show(watched));
        }
    }
}

impl Unsent {
    fn new(
        sockets: Vec<Socket>,
        frame: Frame,
        delivery: Delivery,
        watched: Option<Watched<Socket>>,
    ) -> Arc<Self> {
        let rest = Mutex::new(Rest { sockets: sockets.into_iter(), early: BTreeSet::new() });
        Arc::new(Self { rest, frame, delivery, watched })
    }

    fn is_over(&self) -> bool {
        lock(&self.rest).sockets.len() == 0
    }

    /// Queues it for the next recipients. Under a lock of its own, so that whoever finds it over knows that it is queued.
    fn send(self: &Arc<Self>, at_most: usize) -> Sent {
        let mut rest = lock(&self.rest);
        let Rest { sockets, early } = &mut *rest;
        let sockets: Vec<Socket> = sockets.by_ref().take(at_most).collect();
        let is_due =
            |socket: &&Socket| early.is_empty() || socket.hub_key().is_none_or(|key| !early.contains(&key));
        let mut queued = Vec::new();
        for socket in sockets.iter().filter(is_due) {
            if socket.deliver(&self.frame, self.delivery) == Ok(true) && self.watched.is_some() {
                queued.push(socket.clone());
            }
        }
        drop(rest);
        Sent { unsent: self.clone(), _sockets: sockets, queued }
    }

    /// Queues it for one recipient before its turn, if it is one and has not had it.
    fn send_early(self: &Arc<Self>, socket: &Socket) -> Option<Sent> {
        let key = socket.hub_key()?;
        let mut rest = lock(&self.rest);
        let at = rest.sockets.as_slice().binary_search_by_key(&Some(key), Socket::hub_key).ok()?;
        let found = rest.sockets.as_slice().get(at)?.clone();
        if !rest.early.insert(key) {
            return None;
        }
        let is_queued = found.deliver(&self.frame, self.delivery) == Ok(true) && self.watched.is_some();
        drop(rest);
        let queued = if is_queued { vec![found.clone()] } else { Vec::new() };
        Some(Sent { unsent: self.clone(), _sockets: vec![found], queued })
    }
}

/// The broadcasts of a namespace that have recipients left.
#[derive(Default)]
pub(crate) struct UnsentBroadcasts {
    list: Mutex<List>,
    /// There may be some.
    any: AtomicBool,
}

#[derive(Default)]
struct List {
    broadcasts: Vec<Weak<Unsent>>,
    /// Whatever is emitted now is sent by the call.
    is_closed: bool,
}

impl UnsentBroadcasts {
    /// Adds a broadcast. False if it may not wait.
    fn add(&self, unsent: &Arc<Unsent>) -> bool {
        let mut list = lock(&self.list);
        if list.is_closed {
            return false;
        }
        list.broadcasts.push(Arc::downgrade(unsent));
        self.any.store(true, Ordering::Release);
        true
    }

    /// Takes a broadcast out that is over, and those that nobody knows any more.
    fn remove(&self, unsent: &Arc<Unsent>) {
        let mut list = lock(&self.list);
        list.broadcasts.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(unsent));
        self.any.store(!list.broadcasts.is_empty(), Ordering::Release);
    }

    fn all(&self) -> Vec<Arc<Unsent>> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        lock(&self.list).broadcasts.iter().filter_map(Weak::upgrade).collect()
    }

    /// Sends the rest of all of them: to that socket, or to everybody. Gives what is to be dropped without a lock.
    pub(crate) fn send_all(&self, to: Option<&Socket>) -> Vec<Sent> {
        let all = self.all();
        match to {
            None => all.iter().map(|unsent| unsent.send(usize::MAX)).collect(),
            Some(socket) => all.iter().filter_map(|unsent| unsent.send_early(socket)).collect(),
        }
    }

    /// The server shuts down: sends the rest, and lets no broadcast wait any more.
    pub(crate) fn close(&self) -> Vec<Sent> {
        lock(&self.list).is_closed = true;
        self.send_all(None)
    }
}

/// A broadcast that is sent in slices. Dropping it sends the rest.
pub(super) struct InSlices {
    unsent: Arc<Unsent>,
    namespace: Arc<NamespaceInner>,
}

impl InSlices {
    /// Sends the rest, and lets other tasks run before each slice.
    pub(super) async fn send(self, slice: usize) {
        while !self.unsent.is_over() {
            give_way().await;
            drop(self.unsent.send(slice));
        }
    }
}

impl Drop for InSlices {
    fn drop(&mut self) {
        // Before it leaves the list: whoever finds nothing there knows that it is sent.
        drop(self.unsent.send(usize::MAX));
        self.namespace.unsent.remove(&self.unsent);
        if let Some(recorder) = self.namespace.recorder() {
            recorder.unsent.remove(&self.unsent);
        }
    }
}

impl Socket {
    /// Sends what broadcasts of its namespace have left for it, before the server disconnects it.
    pub(super) fn send_unsent(&self) {
        let namespace = self.namespace_inner();
        // They have numbers by now, so the order need not be held.
        let recorded = namespace.recorder().map(|recorder| recorder.unsent.send_all(Some(self)));
        drop((recorded, namespace.unsent.send_all(Some(self))));
    }
}

impl Broadcast {
    /// Emits a frame in slices, the first one now. `None` if that was all.
    pub(super) fn begin(&self, frame: &Frame, slice: usize) -> Option<InSlices> {
        if self.is_to_nobody() {
            return None;
        }
        let watched = self.namespace.handlers.outgoing.watch(self.namespace.encoder.parser(), frame);
        let unsent = match self.recorder() {
            Some(recorder) => recorder.begin_broadcast(self, frame, watched, slice)?,
            None => {
                let delivery = if self.target.flags.volatile { Delivery::Volatile } else { Delivery::Queue };
                let unsent = Unsent::new(self.recipients(), frame.clone(), delivery, watched);
                drop(unsent.begin(&self.namespace.unsent, slice));
                unsent
            }
        };
        // If it is over by now, this takes it out of the list.
        let rest = InSlices { unsent, namespace: self.namespace.clone() };
        (!rest.unsent.is_over()).then_some(rest)
    }
}

impl Unsent {
    /// Sends the first slice, or everything if it may not wait.
    fn begin(self: &Arc<Self>, list: &UnsentBroadcasts, slice: usize) -> Sent {
        let is_large = lock(&self.rest).sockets.len() > slice;
        // In the list before anything is sent: a shutdown that comes in between sends all.
        let may_wait = is_large && list.add(self);
        self.send(if may_wait { slice } else { usize::MAX })
    }
}

impl Recorder {
    /// The same for an event that gets a number. `None` if it goes to a log first, and to the sockets from there.
    fn begin_broadcast(
        &self,
        broadcast: &Broadcast,
        frame: &Frame,
        watched: Option<Watched<Socket>>,
        slice: usize,
    ) -> Option<Arc<Unsent>> {
        let (namespace, target) = (&broadcast.namespace, &broadcast.target);
        #[cfg(feature = "cluster")]
        if self.logs(target) {
            self.log(namespace, target, frame);
            return None;
        }
        #[cfg(feature = "cluster")]
        // The events of the log get their numbers by another way, which knows nothing of slices.
        let slice = if self.recovery.log().is_some() { usize::MAX } else { slice };
        let in_order = self.in_order_behind(None);
        let (appended, reached) = self.number(namespace, target, frame);
        let unsent = Unsent::new(reached, appended.frame, Delivery::Queue, watched);
        let sent = unsent.begin(&self.unsent, slice);
        drop(in_order);
        drop(sent);
        self.recovery.watch();
        Some(unsent)
    }
}
