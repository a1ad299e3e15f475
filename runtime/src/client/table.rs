//! The handlers of a client's namespace.

use crate::handler::table::{EventTable, Listener, Runs};
use crate::handler::{
    Kind, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent, SharedHandler,
};
use std::sync::Arc;

/// The handlers of a namespace.
#[derive(Clone, Default)]
pub(crate) struct ClientTable {
    pub(crate) connect: Vec<SharedHandler<OnClientConnect>>,
    pub(crate) connect_error: Vec<SharedHandler<OnClientConnectError>>,
    pub(crate) disconnect: Vec<SharedHandler<OnClientDisconnect>>,
    pub(crate) events: EventTable<OnClientEvent>,
    /// The one among the handlers for the rest that is a loop's.
    looping: Option<SharedHandler<OnClientEvent>>,
}

impl ClientTable {
    /// The listeners of an event, in the order of their registration; those for the rest if it has none.
    pub(crate) fn listeners(&self, event: &[u8]) -> &[Listener<OnClientEvent>] {
        match self.events.listeners(event) {
            [] => &self.events.fallback,
            listeners => listeners,
        }
    }

    /// Gives the events that have no handlers of their own to a loop: before the handlers for the rest, and in place
    /// of the loop before.
    pub(crate) fn begin_loop(&mut self, handler: SharedHandler<OnClientEvent>) {
        self.end_loop(None);
        self.events.fallback.insert(0, Listener::in_line(handler.clone()));
        self.looping = Some(handler);
    }

    /// Adds a handler that the next such event removes.
    pub(crate) fn add_once(&mut self, event: &str, handler: SharedHandler<OnClientEvent>) {
        // Nobody counts them: the next event takes all of them.
        self.events.add(event, Listener { handler, runs: Runs::Once(0) });
    }

    /// Removes the handlers for the rest, but for a loop.
    pub(crate) fn remove_fallback(&mut self) {
        let looping = self.looping.clone();
        let is_looping =
            |found: &SharedHandler<_>| looping.as_ref().is_some_and(|looping| same(found, looping));
        self.events.fallback.retain(|listener| is_looping(&listener.handler));
    }

    /// Removes that loop, or whichever there is.
    pub(crate) fn end_loop(&mut self, handler: Option<&SharedHandler<OnClientEvent>>) {
        type Known = SharedHandler<OnClientEvent>;
        let is_it = |looping: &mut Known| handler.is_none_or(|handler| same(handler, looping));
        if let Some(looping) = self.looping.take_if(is_it) {
            self.events.fallback.retain(|listener| !same(&listener.handler, &looping));
        }
    }
}

fn same<K: Kind>(a: &SharedHandler<K>, b: &SharedHandler<K>) -> bool {
    Arc::as_ptr(a).cast::<()>() == Arc::as_ptr(b).cast()
}
