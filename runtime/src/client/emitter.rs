//! Events of a client with flags.

use super::socket::ClientSocket;
use crate::base::error::{AckError, EmitError};
use crate::handler::timed::Timed;
use sansocket_protocol::socket::{Args, ToArgs};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::Duration;

/// A client's socket with the flags of the events that are emitted through it, as [`ClientSocket::volatile`] and
/// [`ClientSocket::compress`] give it.
#[derive(Clone, Copy, Debug)]
#[must_use = "it emits nothing by itself"]
pub struct ClientEmitter<'a> {
    socket: &'a ClientSocket,
    is_volatile: bool,
    compress: bool,
}

impl<'a> ClientEmitter<'a> {
    pub(super) fn new(socket: &'a ClientSocket) -> Self {
        Self { socket, is_volatile: false, compress: true }
    }

    /// Drops events that cannot leave at once. It does not concern those that ask for an acknowledgement.
    pub fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// Sets whether the events may be compressed, where the WebSocket does so. Default yes.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Calls that wait that long for their answer.
    pub fn timeout(self, timeout: Duration) -> Timed<Self> {
        Timed { calls: self, timeout }
    }

    /// Emits an event, as [`ClientSocket::emit`].
    ///
    /// # Errors
    /// As there.
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        if self.is_volatile {
            self.socket.emit_volatile_as(event, args, self.compress)
        } else {
            self.socket.emit_as(event, args, self.compress)
        }
    }

    /// Emits an event and awaits its acknowledgement, as [`ClientSocket::call`].
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        let answer = self.socket.ask(event, args, None, self.compress);
        async move { Ok(answer.await?.decode()?) }
    }
}

impl Timed<ClientEmitter<'_>> {
    /// Emits an event and awaits its acknowledgement, as [`ClientSocket::call`].
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        let answer = self.emit_with_ack(event, args);
        async move { Ok(answer.await?.decode()?) }
    }

    /// Emits an event and awaits its acknowledgement, as [`ClientSocket::emit_with_ack`].
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        self.calls.socket.ask(event, args, Some(self.timeout), self.calls.compress)
    }
}
