//! Dynamic namespaces, which come to be when a client asks for them.

use crate::handler::reserved::{End, check_event};
use crate::handler::table::{Listener, Runs};
use crate::handler::{
    Handler, OnConnect, OnConnected, OnDisconnect, OnDisconnecting, OnEvent, OnFilter, erase,
};
use crate::server::socket::Socket;
use crate::server::table::{NamespaceHandlers, handler_methods, registrations};
use sansocket_protocol::socket::Args;
use std::fmt;
use std::sync::Arc;

/// The namespaces whose names match a pattern: each is made when a client asks for it. They share their handlers, which
/// are registered here; each has its own sockets and rooms.
///
/// ```
/// use sansocket_runtime::{Namespace, Server, Socket};
///
/// fn register(io: &Server) {
///     io.dynamic_namespace("/game-*").on_connected(async |socket: Socket, game: Namespace| {
///         let _ = game.emit("joined", &(game.name(), socket.id()));
///     });
/// }
/// ```
#[derive(Clone)]
pub struct DynamicNamespace(pub(crate) Arc<Dynamic>);

pub(crate) struct Dynamic {
    pub(crate) matches: Box<dyn Fn(&str) -> bool + Send + Sync>,
    pub(crate) handlers: Arc<NamespaceHandlers>,
}

impl DynamicNamespace {
    handler_methods!();

    fn handlers(&self) -> &NamespaceHandlers {
        &self.0.handlers
    }
}

impl fmt::Debug for DynamicNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicNamespace(..)")
    }
}

/// Returns whether `name` fits `pattern`, in which `*` stands for any number of characters.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.find(before) {
                Some(at) => rest = &rest[at + before.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_in_a_pattern_stands_for_anything() {
        for (pattern, name, fit) in [
            ("/room", "/room", true),
            ("/room", "/rooms", false),
            ("/room-*", "/room-1", true),
            ("/room-*", "/room-", true),
            ("/room-*", "/hall-1", false),
            ("/*/chat", "/a/chat", true),
            ("/*/chat", "/chat", false),
            ("/a*b*c", "/a1b2c", true),
            ("/a*b*c", "/acb", false),
            ("/ab*ba", "/aba", false),
            ("*", "/anything", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }
}
