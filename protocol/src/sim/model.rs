//! A perfect Socket.IO: the deliveries that ours is compared with.
//!
//! The unit is the *wire*: one socket for as long as it is connected, known to both sides by its public id. Everything
//! that one side emits to a wire arrives on it in order and without gaps from the beginning on; anything lost is lost
//! at the end, and only if the wire broke. The events that a client emits while it is away belong to its next wire.

use super::{ClientId, SessionId};
use crate::socket::server::SocketKey;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One direction of a wire: what was sent, by numbers, and how much of it has arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Direction {
    sent: Vec<u64>,
    arrived: usize,
    /// Messages in the middle may be missing.
    pub(super) gaps: bool,
}

impl Direction {
    pub(super) fn send(&mut self, number: u64) {
        self.sent.push(number);
    }

    /// Notes an arrival: wrong if it is not the next one. Events that are `unsure` may have gone another way.
    pub(super) fn arrive(&mut self, number: u64, unsure: &BTreeSet<u64>) -> Result<(), String> {
        let rest = self.sent.get(self.arrived..).unwrap_or_default();
        match rest.iter().position(|sent| *sent == number) {
            Some(skipped) if self.gaps || rest.iter().take(skipped).all(|other| unsure.contains(other)) => {
                self.arrived += skipped + 1;
            }
            Some(_) => return Err(format!("{number} came, and before it {:?} was due", rest.first())),
            None if self.sent.contains(&number) => return Err(format!("{number} came again, or too late")),
            None => return Err(format!("{number} was never sent on this wire")),
        }
        Ok(())
    }

    /// Returns whether it was sent on this wire.
    pub(super) fn knows(&self, number: u64) -> bool {
        self.sent.contains(&number)
    }

    /// Returns the events that should have arrived and have not.
    pub(super) fn missing(&self, unsure: &BTreeSet<u64>) -> Vec<u64> {
        let rest = self.sent.get(self.arrived..).unwrap_or_default();
        rest.iter().copied().filter(|number| !self.gaps && !unsure.contains(number)).collect()
    }
}

/// A socket for as long as it is connected.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) client: ClientId,
    /// Counts the programs that were that client.
    pub(super) life: u32,
    pub(super) namespace: Arc<str>,
    pub(super) session: SessionId,
    /// Its client was seen connected.
    pub(super) seen: bool,
    pub(super) up: Direction,
    pub(super) down: Direction,
    /// Acknowledgements that the server asked for: counted from 0 for each socket, so that one of another socket
    /// would be mistaken.
    pub(super) last_ack: u64,
}

/// An acknowledgement that a side waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) number: u64,
    /// By the clock of whoever waits; none for what is sent until it is acknowledged.
    pub(super) deadline: Option<Instant>,
}

/// A namespace as its client's application knows it.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) key: SocketKey,
    pub(super) name: Arc<str>,
    /// The wire that messages go to.
    pub(super) current: Option<Arc<str>>,
    /// The wire that the application was told of.
    pub(super) told: Option<Arc<str>>,
    /// Emitted while away.
    pub(super) pending: Vec<u64>,
    /// Those that must arrive, in the order in which they were emitted.
    pub(super) reliable: Vec<u64>,
    pub(super) held: bool,
}

/// A client's application.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) life: u32,
    pub(super) clock: Instant,
    pub(super) namespaces: Vec<Joined>,
    pub(super) acks: BTreeMap<u64, Awaited>,
    pub(super) offline: BTreeSet<u64>,
}

impl Peer {
    pub(super) fn find(&mut self, key: SocketKey) -> Option<&mut Joined> {
        self.namespaces.iter_mut().find(|joined| joined.key == key)
    }
}

/// All that is known of all wires.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) peers: Vec<Peer>,
    pub(super) wires: BTreeMap<Arc<str>, Wire>,
    /// Emitted to sockets that are not let in yet.
    pub(super) behind: BTreeMap<(SessionId, SocketKey), Vec<u64>>,
    pub(super) server_acks: BTreeMap<(SessionId, SocketKey, u64), Awaited>,
    /// Events that must arrive, as the server first saw them.
    pub(super) seen: BTreeMap<(ClientId, u32, Arc<str>), Vec<u64>>,
    pub(super) seen_all: BTreeSet<u64>,
    /// Emitted while away, and given to a wire that was over before anybody could look at it; or not.
    pub(super) unsure: BTreeSet<u64>,
    /// Of these, those that were acknowledged.
    pub(super) answered: BTreeSet<u64>,
}

impl Model {
    /// A client's socket is connected with that id, or is not: what waited belongs to the new wire.
    pub(super) fn sync(
        &mut self,
        client: ClientId,
        key: SocketKey,
        id: Option<&Arc<str>>,
    ) -> Result<(), String> {
        let Some(peer) = self.peers.get_mut(client.0) else { return Ok(()) };
        let life = peer.life;
        let Some(joined) = peer.find(key) else { return Ok(()) };
        if joined.current.as_ref() == id {
            return Ok(());
        }
        joined.current = id.cloned();
        let Some(id) = id else { return Ok(()) };
        let Some(wire) = self.wires.get_mut(id) else {
            return Err(format!("client {}: nobody gave out the id {id}", client.0));
        };
        if (wire.client, wire.life) != (client, life) || wire.namespace != joined.name {
            return Err(format!("client {}: {id} is another's", client.0));
        }
        wire.seen = true;
        // While it is held, its application has not heard yet of a wire before this one that was over at once.
        if joined.held {
            self.unsure.extend(&joined.pending);
        }
        for number in core::mem::take(&mut joined.pending) {
            wire.up.send(number);
        }
        Ok(())
    }

    /// The application is told of a connection. If nobody has seen it, it was over at once, and what waited went with
    /// it.
    pub(super) fn told(&mut self, client: ClientId, key: SocketKey, id: &Arc<str>) {
        let Some(joined) = self.peers.get_mut(client.0).and_then(|peer| peer.find(key)) else { return };
        joined.told = Some(id.clone());
        let Some(wire) = self.wires.get_mut(id) else { return };
        if !wire.seen {
            wire.seen = true;
            for number in &joined.pending {
                wire.up.send(*number);
                self.unsure.insert(*number);
            }
        }
    }

    /// Returns whether what had to arrive was first seen in the order in which it was emitted.
    pub(super) fn reliable_order(&self) -> Result<(), String> {
        for ((client, _, namespace), seen) in &self.seen {
            let acknowledged = seen.iter().filter(|number| self.answered.contains(number));
            if !acknowledged.is_sorted() {
                return Err(format!("client {} in {namespace}: {seen:?}", client.0));
            }
        }
        Ok(())
    }
}
