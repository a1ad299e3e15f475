//! The log of a cluster whose nodes share one, as a server uses it: events that get their place in it, and sessions that are
//! kept beside it.

use crate::base::trace::debug;
use crate::cluster::handle::Cluster;
use sansocket_protocol::cluster::node::{EntryId, LookupId, LookupOutcome};
use sansocket_protocol::cluster::{Event, Message, Session};
use sansocket_protocol::hub::Target;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A socket's data in the session that all nodes share, for a server that recovers connections on Redis streams: the
/// `socket.data` of JavaScript nodes. It is kept with the socket like any other value, and comes back with its session, at
/// whichever node. Other values do not leave their process.
///
/// ```
/// use sansocket_runtime::{Socket, cluster::SessionData};
///
/// fn sign_in(socket: &Socket) {
///     socket.insert(SessionData(serde_json::json!({ "name": "ada" })));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionData(pub Value);

/// An event with its place in the log.
pub(crate) struct LoggedEvent {
    pub(crate) namespace: Arc<str>,
    pub(crate) event: Event,
    pub(crate) target: Target,
    pub(crate) id: EntryId,
    /// Of an event of this node.
    pub(crate) ticket: Option<u64>,
}

/// News about the log.
pub(crate) enum LogNews {
    Logged(LoggedEvent),
    Unlogged { ticket: u64, may_come: bool },
    Found { lookup: LookupId, namespace: Arc<str>, pid: Arc<str>, outcome: LookupOutcome },
}

impl Cluster {
    /// Appends an event to the log, if there is one and the bus is there.
    pub(crate) fn append(&self, namespace: &Arc<str>, event: Event, target: Target) -> Option<u64> {
        match self.encoder.encode(namespace, Message::Emit { event, target, ack: None }) {
            Ok(encoded) => self.with_node(|node, now| node.send_logged(now, encoded)),
            Err(error) => {
                self.inexpressible("emit", &error);
                None
            }
        }
    }

    /// Keeps a session beside the log. False if the bus is away.
    pub(crate) fn save_session(&self, session: &Session, time: Duration) -> bool {
        let is_saved = self.with_node(|node, now| node.save_session(now, session, time));
        if !is_saved {
            debug!(socket = &*session.sid, "a session cannot be kept for other nodes");
        }
        is_saved
    }

    /// Looks for a session. `None` if it need not be looked for.
    pub(crate) fn find_session(&self, namespace: &str, pid: &str, offset: &str) -> Option<LookupId> {
        self.with_node(|node, now| node.find_session(now, namespace, pid, offset))
    }
}
