//! The server's hooks for errors of handlers.

use crate::base::error::HandlerFailure;
use crate::handler::ack::IntoAck;
use crate::handler::error_hook::ErrorHook;
use crate::server::server::Server;
use crate::server::socket::Socket;
use std::sync::PoisonError;

impl Server {
    /// Sets the hook for errors in handlers, in all namespaces that have none of their own
    /// ([`Namespace::on_error`](crate::Namespace::on_error)): arguments that do not fit, returned errors, panics. It takes the place of the hook
    /// before. It gets the socket, the event and a returned error as it is: see
    /// [`HandlerError::downcast_ref`](crate::HandlerError::downcast_ref).
    ///
    /// The client is told nothing: if it asked for an acknowledgement, it waits until its own time limit. For a hook that
    /// answers, see [`on_error_reply`](Self::on_error_reply).
    ///
    /// Without a hook, each error is told once to `tracing` (feature `tracing`), at the level of errors, with the
    /// event, the namespace, the socket's public id and all causes. Without a subscriber that hears it, each error is one
    /// line on stderr, up to 100 of them. A line names the event, the namespace and the mistake, and shows no ids
    /// and nothing that the client sent; the words of returned errors and panics are the application's own.
    /// A hook replaces those lines, even one that does nothing.
    ///
    /// ```
    /// use sansocket_runtime::{HandlerError, Server};
    ///
    /// fn register(io: &Server) {
    ///     io.on_error(|socket, error| match error.downcast_ref::<std::io::Error>() {
    ///         Some(io) if io.kind() == std::io::ErrorKind::StorageFull => eprintln!("buy a disk"),
    ///         _ => eprintln!("{}: {error}", socket.namespace().name()),
    ///     });
    /// }
    /// ```
    pub fn on_error(&self, hook: impl Fn(&Socket, &HandlerFailure) + Send + Sync + 'static) -> &Self {
        self.on_error_reply(hook)
    }

    /// As [`on_error`](Self::on_error), with a hook whose value **acknowledges the event**, if the client asks for that and
    /// no other handler has answered. `()` is no answer. After a panic nothing is acknowledged, as the connection ends.
    ///
    /// Choose the words for the client: those of an error may say what is none of its business.
    ///
    /// ```
    /// use sansocket_runtime::{HandlerError, Server};
    ///
    /// fn register(io: &Server) {
    ///     // An acknowledgement of this namespace is a value, or `{ error: ".." }`.
    ///     io.namespace("/api").on_error_reply(|socket, failure| {
    ///         eprintln!("{}: {failure}", socket.id());
    ///         let text = match failure.error() {
    ///             HandlerError::Args(_) => "the arguments do not fit",
    ///             _ => "that did not work",
    ///         };
    ///         serde_json::json!({ "error": text })
    ///     });
    /// }
    /// ```
    pub fn on_error_reply<R: IntoAck>(
        &self,
        hook: impl Fn(&Socket, &HandlerFailure) -> R + Send + Sync + 'static,
    ) -> &Self {
        let hook = ErrorHook::new(hook);
        let before = self.0.on_error.write().unwrap_or_else(PoisonError::into_inner).replace(hook);
        drop(before);
        self
    }
}
