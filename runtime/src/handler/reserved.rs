//! The names that are no events: a handler of one of them would be registered, and never run.

/// The end that a handler is registered at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Client,
}

/// The way to hear of what a reserved name stands for; `None` for the name of an event.
fn instead(end: End, event: &str) -> Option<&'static str> {
    Some(match (end, event) {
        (End::Server, "connect" | "connection") => {
            "register with `on_connect` (before the client has joined) or `on_connected`"
        }
        (End::Server, "disconnecting") => "register with `on_disconnecting`",
        (_, "disconnect") => "register with `on_disconnect`",
        (End::Server, "connect_error") => {
            "it is the client that hears of it; a server's builder has `on_connection_error`"
        }
        (End::Client, "connect" | "connection") => "register with `on_connect`",
        (End::Client, "connect_error") => "register with `on_connect_error`",
        (End::Client, "disconnecting") => "only a server hears of it; register with `on_disconnect`",
        (_, "newListener" | "removeListener") => "no peer may send it",
        _ => return None,
    })
}

/// Refuses the names that are no events.
#[track_caller]
pub(crate) fn check_event(end: End, event: &str) {
    if let Some(instead) = instead(end, event) {
        panic!("`{event}` is not an event, and its handler would never run: {instead}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansocket_protocol::socket::RESERVED_EVENTS;

    #[test]
    fn what_cannot_be_emitted_cannot_be_handled() {
        for event in RESERVED_EVENTS.into_iter().chain(["connection"]) {
            assert!(instead(End::Server, event).is_some(), "{event}");
            assert!(instead(End::Client, event).is_some(), "{event}");
        }
        for event in ["message", "Connect", "connected", "error", ""] {
            check_event(End::Server, event);
            check_event(End::Client, event);
        }
    }
}
