//! Clients of Socket.IO 1.x and 2.x (revision 4 of the Socket.IO protocol, on revision 3 of Engine.IO).
//!
//! They are in the namespace `/` from the beginning, without having asked; they write their query behind the name of a
//! namespace, where later ones have `auth`; the answer has no id, because they make their sockets' ids from the session's;
//! and a refusal is any value.

use super::{ServerSocketEvent, ServerSockets, Socket, SocketKey, State};
use crate::engine::Revision;
use crate::engine::request::pairs;
use crate::message::Frame;
use crate::socket::json::data::PacketData;
use crate::socket::packet::Packet;
use crate::socket::parser::Parser;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

impl ServerSockets {
    /// The session is open. A client of revision 3 joins the main namespace by that, once.
    pub(crate) fn handle_open(&mut self) {
        if self.joins_main {
            self.joins_main = false;
            // The first CONNECT of a connection is within every limit.
            let _ = self.ask("/".into(), None);
        }
    }
}

impl ServerSockets {
    /// The socket behind whose last event a CONNECT waits: a client of revision 3 that joins a namespace again has the same
    /// id as before, so what was there under that id must be over first.
    pub(super) fn waits_behind(&self, event: &ServerSocketEvent) -> Option<SocketKey> {
        let ServerSocketEvent::Connect { namespace, .. } = event else { return None };
        let left = |socket: &&Socket| socket.state == State::Left && socket.namespace == *namespace;
        let earlier = self.sockets.iter().filter(|_| self.revision == Revision::V3).find(left);
        earlier.filter(|socket| !socket.is_done()).map(|socket| socket.key)
    }
}

/// The namespace that a packet is for.
#[inline]
pub(super) fn namespace(revision: Revision, packet: &Packet) -> &str {
    match revision {
        Revision::V4 => packet.namespace(),
        Revision::V3 => without_query(packet.namespace()).0,
    }
}

/// Returns the data of a CONNECT: its `auth`, or its query as if it were that.
pub(super) fn auth(revision: Revision, packet: &Packet) -> Option<PacketData> {
    match revision {
        Revision::V4 => packet.data(),
        Revision::V3 => {
            let query: BTreeMap<Cow<'_, str>, Cow<'_, str>> =
                pairs(without_query(packet.namespace()).1?).collect();
            PacketData::encode(&query).ok()
        }
    }
}

/// The answer that lets a client in.
pub(super) fn consent(revision: Revision, parser: &Parser, namespace: &str, sid: &str) -> Frame {
    match revision {
        Revision::V4 => parser.connect(namespace, sid),
        // It reads as a client's CONNECT.
        Revision::V3 => parser.join(namespace, None),
    }
}

/// The answer that keeps a client out.
pub(super) fn refusal(
    revision: Revision,
    parser: &Parser,
    namespace: &str,
    message: &str,
    data: Option<&PacketData>,
) -> Frame {
    match revision {
        Revision::V4 => parser.connect_error(namespace, message, data),
        Revision::V3 => match (data.filter(|data| !is_falsy(data)), PacketData::encode(message)) {
            (Some(data), _) => parser.error(namespace, data),
            (None, Ok(message)) => parser.error(namespace, &message),
            // Every text is JSON.
            (None, Err(_)) => parser.error(namespace, &PacketData::EMPTY),
        },
    }
}

/// The id of the socket of a client of revision 3 in a namespace, as the client makes it.
pub(crate) fn socket_id(session: &Arc<str>, namespace: &str) -> Arc<str> {
    match namespace {
        "/" => session.clone(),
        other => alloc::format!("{other}#{session}").into(),
    }
}

/// The reference sends the message in place of such data.
fn is_falsy(data: &PacketData) -> bool {
    matches!(data.json(), "null" | "false" | "0" | "\"\"")
}

fn without_query(namespace: &str) -> (&str, Option<&str>) {
    namespace.split_once('?').map_or((namespace, None), |(name, query)| (name, Some(query)))
}
