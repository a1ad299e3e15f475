//! State that handlers share: the values that the application gives a server, and the handle with which such a value knows the
//! server.

use crate::base::error::HandlerError;
use crate::handler::extract::Requirements;
use crate::server::server::{Server, ServerInner};
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

impl Server {
    /// Gives handlers a value by [`State<T>`](crate::State), as the builder's `state` does, but later: for values that
    /// need the server. One of each type; a value of a type that the builder was given is not replaced.
    ///
    /// A handler whose state is not there when the server starts (`listen`, `layer`, `service`) is a mistake, and the start
    /// panics with the type's name; a handler that is registered later finds its mistake at its first event, by
    /// [`HandlerError::NoState`].
    ///
    /// ```
    /// use sansocket_runtime::{Server, State, WeakServer};
    /// use std::sync::Arc;
    ///
    /// struct Lobby {
    ///     io: WeakServer, // and not a `Server`: the server keeps the lobby
    /// }
    ///
    /// fn register(io: &Server) {
    ///     io.on("size", async |State(lobby): State<Arc<Lobby>>| {
    ///         lobby.io.upgrade().map_or(0, |io| io.to("lobby").sockets().len())
    ///     });
    ///     io.provide(Arc::new(Lobby { io: io.downgrade() }));
    /// }
    /// ```
    pub fn provide<T: Clone + Send + Sync + 'static>(&self, state: T) -> &Self {
        let mut provided = self.0.provided.write().unwrap_or_else(PoisonError::into_inner);
        let before = provided.insert(Arc::new(state));
        drop(provided);
        // The application's value is dropped without the lock.
        drop(before);
        self
    }

    /// The value of that type that was given to the builder's `state`, or to [`provide`](Self::provide).
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        let provided = || self.0.provided.read().unwrap_or_else(PoisonError::into_inner).get::<T>();
        self.0.options.state.get::<T>().or_else(provided).map(|state| T::clone(&state))
    }

    /// Makes sure that every handler finds its state.
    #[track_caller]
    pub(super) fn check_state(&self) {
        let mut requirements = Requirements::default();
        for handlers in self.0.namespaces.all_handlers() {
            handlers.table.get().requirements(&mut requirements);
        }
        let provided = self.0.provided.read().unwrap_or_else(PoisonError::into_inner);
        let has = |id| self.0.options.state.has(id) || provided.has(id);
        let missing = requirements.0.into_iter().find(|(id, _)| !has(*id));
        drop(provided);
        if let Some((_, name)) = missing {
            panic!("a handler extracts `State<{name}>`, and there is none: {}", HandlerError::NoState(name));
        }
    }

    /// A handle that does not keep the server: for values that handlers capture and for the builder's `state`, which the
    /// server keeps itself. Handlers take the server as a parameter instead.
    ///
    /// ```
    /// use sansocket_runtime::{Server, WeakServer};
    ///
    /// /// Shared by handlers and tasks.
    /// struct App {
    ///     io: WeakServer,
    /// }
    ///
    /// impl App {
    ///     fn announce(&self, text: &str) {
    ///         if let Some(io) = self.io.upgrade() {
    ///             let _ = io.emit("news", text);
    ///         }
    ///     }
    /// }
    ///
    /// fn app(io: &Server) -> App {
    ///     App { io: io.downgrade() }
    /// }
    /// ```
    pub fn downgrade(&self) -> WeakServer {
        WeakServer(self.0.this.clone())
    }
}

/// A handle of a [`Server`] that does not keep it: see [`Server::downgrade`].
#[derive(Clone)]
pub struct WeakServer(Weak<ServerInner>);

impl WeakServer {
    /// The server; `None` once it is gone.
    pub fn upgrade(&self) -> Option<Server> {
        self.0.upgrade().map(Server)
    }
}

impl fmt::Debug for WeakServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakServer(..)")
    }
}
