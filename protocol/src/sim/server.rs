//! The server of a simulated world.

use super::{ClientId, SessionId};
use crate::engine::config::EngineServerConfig;
use crate::error::SendError;
use crate::hub::{Hub, HubLimits, MemberKey, Target};
use crate::message::Frame;
use crate::random::Random;
use crate::server::{Connection, Router};
use crate::socket::SocketServerConfig;
use crate::socket::server::SocketKey;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One session at the server.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    /// When the client was last heard.
    pub(super) heard: Instant,
    /// Since when no client has known of it, as far as was looked.
    pub(super) orphan: Option<Instant>,
    /// Whose first request it was.
    pub(super) client: ClientId,
}

/// A socket that the server has let in.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) namespace: Arc<str>,
    pub(super) key: MemberKey,
}

/// The server of a simulated [`World`](super::World): a router, a connection for each session, and a hub for each
/// namespace.
#[derive(Debug)]
pub struct SimServer {
    pub(super) config: Arc<EngineServerConfig>,
    pub(super) sockets: Arc<SocketServerConfig>,
    pub(super) router: Router<SessionId>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) hubs: BTreeMap<Arc<str>, Hub<(SessionId, SocketKey)>>,
    pub(super) members: BTreeMap<(SessionId, SocketKey), Member>,
    pub(super) last_session: u64,
    pub(super) last_socket: u64,
    pub(super) paused_until: Option<Instant>,
    /// When it last went on after it had stood still.
    pub(super) resumed: Instant,
    /// Sessions with a poll that the network repeated: what that fetched reached nobody.
    pub(super) tainted: BTreeSet<SessionId>,
}

impl SimServer {
    pub(super) fn new(
        config: Arc<EngineServerConfig>,
        sockets: Arc<SocketServerConfig>,
        random: Random,
    ) -> Self {
        Self {
            router: Router::new(config.clone(), random),
            config,
            sockets,
            sessions: BTreeMap::new(),
            hubs: BTreeMap::new(),
            members: BTreeMap::new(),
            last_session: 0,
            last_socket: 0,
            paused_until: None,
            resumed: Instant::ZERO,
            tainted: BTreeSet::new(),
        }
    }

    /// The connection of a session.
    pub fn connection(&mut self, session: SessionId) -> Option<&mut Connection> {
        self.sessions.get_mut(&session).map(|session| &mut session.connection)
    }

    /// Returns whether the network repeated a poll of that session, so that messages in the middle may be lost.
    pub fn is_tainted(&self, session: SessionId) -> bool {
        self.tainted.contains(&session)
    }

    /// The sessions that there are.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Connection)> {
        self.sessions.iter().map(|(id, session)| (*id, &session.connection))
    }

    /// Returns the number of sessions that the router knows.
    pub fn listed(&self) -> usize {
        self.router.len()
    }

    /// Lets a client into the namespace that it asked for: into the hub first, as an adapter does, and then told.
    /// Returns its public id.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if it is gone.
    pub fn accept(
        &mut self,
        session: SessionId,
        socket: SocketKey,
        namespace: &Arc<str>,
    ) -> Result<Arc<str>, SendError> {
        self.last_socket += 1;
        let id: Arc<str> = format!("S{}", self.last_socket).into();
        let connection = self.connection(session).ok_or(SendError::Disconnected)?;
        connection.accept(socket, &id)?;
        let hub = self.hubs.entry(namespace.clone()).or_insert_with(|| Hub::new(HubLimits::default()));
        if let Ok(key) = hub.insert(id.clone(), (session, socket)) {
            self.members.insert((session, socket), Member { namespace: namespace.clone(), key });
        }
        Ok(id)
    }

    /// The public id of a socket that was let in, and of which the end was not told yet.
    pub fn socket_id(&self, session: SessionId, socket: SocketKey) -> Option<&Arc<str>> {
        let member = self.members.get(&(session, socket))?;
        self.hubs.get(&member.namespace)?.id(member.key)
    }

    /// The namespace of such a socket.
    pub fn namespace(&self, session: SessionId, socket: SocketKey) -> Option<&Arc<str>> {
        self.members.get(&(session, socket)).map(|member| &member.namespace)
    }

    /// Such sockets, in all namespaces.
    pub fn members(&self) -> impl Iterator<Item = (SessionId, SocketKey)> {
        self.members.keys().copied()
    }

    /// Puts a socket into a room.
    pub fn join(&mut self, session: SessionId, socket: SocketKey, room: &str) -> bool {
        let Some(member) = self.members.get(&(session, socket)) else { return false };
        self.hubs.get_mut(&member.namespace).is_some_and(|hub| hub.join(member.key, room).unwrap_or(false))
    }

    /// Sends a frame to all whom a target stands for, and returns them with what came of it.
    pub fn broadcast(
        &mut self,
        namespace: &str,
        target: &Target,
        frame: &Frame,
    ) -> Vec<(SessionId, SocketKey, Result<(), SendError>)> {
        let mut reached = Vec::new();
        if let Some(hub) = self.hubs.get(namespace) {
            hub.select(target, |_, (session, socket)| reached.push((*session, *socket)));
        }
        let mut outcomes = Vec::new();
        for (session, socket) in reached {
            let sent = match self.connection(session) {
                Some(connection) => connection.emit(socket, frame).map(drop),
                None => Err(SendError::Disconnected),
            };
            outcomes.push((session, socket, sent));
        }
        outcomes
    }

    /// The end of a socket was told: it leaves the hub.
    pub(super) fn leave(&mut self, session: SessionId, socket: SocketKey) {
        if let Some(member) = self.members.remove(&(session, socket)) {
            if let Some(hub) = self.hubs.get_mut(&member.namespace) {
                hub.remove(member.key);
                if hub.is_empty() {
                    self.hubs.remove(&member.namespace);
                }
            }
        }
    }

    /// Returns what is wrong with the hubs, if anything is: every connected socket is in its hub, and every member of a
    /// hub has a connection that has something to tell about its end at least.
    pub(super) fn inconsistency(&self) -> Option<&'static str> {
        let in_hubs: usize = self.hubs.values().map(Hub::len).sum();
        if in_hubs != self.members.len() {
            return Some("a hub has members that nobody let in");
        }
        for (session, _) in self.members.keys() {
            if !self.sessions.contains_key(session) {
                return Some("a member of a hub has no connection any more");
            }
        }
        None
    }
}
