//! Events to one client with flags.

use crate::base::error::{AckError, EmitError};
use crate::handler::ack::{CALL_TIMEOUT, MESSAGE};
use crate::server::socket::{Delivery, Socket};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, EncodeError, ToArgs};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::Duration;

/// A socket with the flags of the events that are emitted through it, as [`Socket::volatile`], [`Socket::timeout`] and
/// [`Socket::compress`] give it. Its methods are the socket's. A [`Broadcast`](crate::Broadcast) has the same flags.
///
/// ```
/// # use sansocket_runtime::{EmitError, Socket};
/// fn cursor(socket: &Socket, x: f64, y: f64) -> Result<(), EmitError> {
///     socket.volatile().compress(false).emit("cursor", &(x, y))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it emits nothing by itself"]
pub struct SocketEmitter<'a> {
    socket: &'a Socket,
    compress: bool,
    delivery: Delivery,
    timeout: Duration,
}

impl<'a> SocketEmitter<'a> {
    pub(super) fn new(socket: &'a Socket) -> Self {
        Self { socket, compress: true, delivery: Delivery::Queue, timeout: CALL_TIMEOUT }
    }

    /// Drops events that cannot leave at once. It does not concern those that ask for an acknowledgement.
    pub fn volatile(mut self) -> Self {
        self.delivery = Delivery::Volatile;
        self
    }

    /// Sets how long [`call`](Self::call) waits for the answer. Default 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets whether the events may be compressed, where the server and the connection do so. Default yes.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    fn encode<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        id: Option<u64>,
        args: &T,
    ) -> Result<Frame, EncodeError> {
        let frame = self.socket.0.namespace.encoder.event(event, id, args)?;
        Ok(frame.compress(self.compress))
    }

    /// Emits an event to the client, as [`Socket::emit`].
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        Ok(self.socket.send_frame(self.encode(event, None, args)?, self.delivery)?)
    }

    /// Emits the event `message`, as [`Socket::send`].
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn send<T: ToArgs + ?Sized>(&self, args: &T) -> Result<(), EmitError> {
        self.emit(MESSAGE, args)
    }

    /// Emits an event if it can leave at once, as [`Socket::emit_volatile`].
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn emit_volatile<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.volatile().emit(event, args)
    }

    /// Emits an event and awaits its acknowledgement as a value, as [`Socket::call`].
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        let answer = self.emit_with_ack(event, args, self.timeout);
        async move { Ok(answer.await?.decode()?) }
    }

    /// Emits an event and awaits its acknowledgement, as [`Socket::emit_with_ack`].
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        let id = self.socket.0.session.next_ack_id();
        self.socket.ask(self.encode(event, Some(id), args), id, timeout)
    }
}
