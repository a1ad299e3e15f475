//! Recovery of a client's sessions: what it shows the server when it joins again.

use crate::socket::client::ClientSocketEvent;
use crate::socket::json::data::PacketData;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

/// The most bytes of an offset. Those of the peers have less than 40; what is longer is a text of the application, at the
/// end of an event that has no offset.
const MAX_OFFSET: usize = 128;

/// A socket's knowledge of its session at a server that recovers connections.
pub(super) struct Recovery {
    /// The private id.
    pid: Arc<str>,
    /// The last offset that was seen.
    offset: Option<Box<str>>,
    /// Whether the session was given back when the socket joined last.
    pub(super) is_recovered: bool,
}

impl fmt::Debug for Recovery {
    /// Anybody with the private id can take the session over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("is_recovered", &self.is_recovered).finish_non_exhaustive()
    }
}

/// The auth that the server is shown: the application's, and that session if there was one.
pub(super) fn auth(recovery: Option<&Recovery>, auth: Option<&PacketData>) -> Option<PacketData> {
    let Some(Recovery { pid, offset, .. }) = recovery else { return auth.cloned() };
    Some(PacketData::with_recovery(auth, pid, offset.as_deref()))
}

/// The server let the socket in, with that private id. An offset of another session is forgotten: the server could not
/// tell it from one of this.
pub(super) fn joined(recovery: &mut Option<Box<Recovery>>, pid: Option<Arc<str>>) -> bool {
    let before = recovery.take();
    let Some(pid) = pid else { return false };
    let offset = before.filter(|before| before.pid == pid).map(|before| before.offset);
    let is_recovered = offset.is_some();
    *recovery = Some(Box::new(Recovery { pid, offset: offset.flatten(), is_recovered }));
    is_recovered
}

/// An event has come. The last argument is its offset if it is a short text, whatever it looks like: each server has a
/// format of its own. One that asks for an acknowledgement has none.
pub(super) fn seen(recovery: &mut Option<Box<Recovery>>, event: &ClientSocketEvent) {
    let (Some(recovery), ClientSocketEvent::Event { args, ack: None, .. }) = (recovery, event) else {
        return;
    };
    if let Some(offset) = args.last_text().filter(|offset| offset.len() <= MAX_OFFSET) {
        recovery.offset = Some(Box::from(&*offset));
    }
}
