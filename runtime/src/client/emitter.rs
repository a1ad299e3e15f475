//! Events of a client with flags.

use super::socket::ClientSocket;
use crate::base::error::{AckError, EmitError};
use crate::handler::ack::CALL_TIMEOUT;
use sansocket_protocol::socket::ToArgs;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::Duration;

/// A client's socket with the flags of the events that are emitted through it, as [`ClientSocket::volatile`] and
/// [`ClientSocket::timeout`] give it.
#[derive(Clone, Copy, Debug)]
#[must_use = "it emits nothing by itself"]
pub struct ClientEmitter<'a> {
    socket: &'a ClientSocket,
    is_volatile: bool,
    timeout: Duration,
}

impl<'a> ClientEmitter<'a> {
    pub(super) fn new(socket: &'a ClientSocket) -> Self {
        Self { socket, is_volatile: false, timeout: CALL_TIMEOUT }
    }

    /// Drops events that cannot leave at once. It does not concern those that ask for an acknowledgement.
    pub fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// Sets how long [`call`](Self::call) waits for the answer. Default 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Emits an event, as [`ClientSocket::emit`].
    ///
    /// # Errors
    /// As there.
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        if self.is_volatile { self.socket.emit_volatile(event, args) } else { self.socket.emit(event, args) }
    }

    /// Emits an event and awaits its acknowledgement, as [`ClientSocket::call`].
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        let answer = self.socket.emit_with_ack(event, args, self.timeout);
        async move { Ok(answer.await?.decode()?) }
    }
}
