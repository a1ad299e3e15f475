//! The messages of a client's socket: events, calls, and what waits to be sent.

use super::emitter::ClientEmitter;
use super::socket::ClientSocket;
use crate::base::error::{AckError, EmitError};
use crate::handler::ack::{CALL_TIMEOUT, MESSAGE};
use crate::handler::outgoing_hook::Watched;
use crate::handler::timed::Timed;
use futures_channel::oneshot;
use sansocket_protocol::error::SendError;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{AckOutcome, Args, ToArgs};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

impl ClientSocket {
    /// Emits an event to the server. A tuple is several arguments, `&()` is no argument, anything else is one; bytes
    /// (`Bytes`) travel as binary.
    ///
    /// It never waits: an event that cannot be sent now is kept, and sent in order.
    ///
    /// # Errors
    /// [`EmitError`] if the value cannot be encoded, the name is reserved, more than `send_budget` bytes wait, the
    /// server takes no message of that size, or the async runtime that the client ran on is gone. If the server's limit
    /// is not known before the socket is connected, the hook `on_error` is told of an event that is too large
    /// ([`HandlerError::UnsentEvent`](crate::HandlerError::UnsentEvent)).
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.emit_as(event, args, true)
    }

    pub(super) fn emit_as<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        compress: bool,
    ) -> Result<(), EmitError> {
        if self.shared.settings.reliable {
            let id = self.namespace.next_ack_id();
            let frame = self.namespace.encoder.event(event, Some(id), args)?.compress(compress);
            return Ok(self.send_reliably(frame, id, None, None)?);
        }
        let frame = self.namespace.encoder.event(event, None, args)?.compress(compress);
        let key = self.key()?;
        let watched = self.namespace.outgoing.watch(self.namespace.encoder.parser(), &frame);
        self.shared.handle.emit(key, frame)?;
        self.show(watched);
        Ok(())
    }

    /// Emits the event `message`, as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn send<T: ToArgs + ?Sized>(&self, args: &T) -> Result<(), EmitError> {
        self.emit(MESSAGE, args)
    }

    /// Events that may be compressed or not, on a WebSocket with
    /// [`per_message_deflate`](crate::ClientBuilder::per_message_deflate). Those of other methods may.
    ///
    /// ```
    /// # use sansocket_runtime::{Bytes, ClientSocket, EmitError};
    /// # fn send(socket: ClientSocket, photo: Bytes) -> Result<(), EmitError> {
    /// socket.compress(false).emit("photo", &photo)
    /// # }
    /// ```
    pub fn compress(&self, compress: bool) -> ClientEmitter<'_> {
        ClientEmitter::new(self).compress(compress)
    }

    /// Events that are dropped if they cannot leave at once.
    pub fn volatile(&self) -> ClientEmitter<'_> {
        ClientEmitter::new(self).volatile()
    }

    /// Calls that wait that long for their answer.
    ///
    /// ```
    /// # use sansocket_runtime::{AckError, ClientSocket};
    /// # use std::time::Duration;
    /// async fn ask(socket: ClientSocket) -> Result<u32, AckError> {
    ///     socket.timeout(Duration::from_secs(5)).call("add", &(1, 2)).await
    /// }
    /// ```
    pub fn timeout(&self, timeout: Duration) -> Timed<ClientEmitter<'_>> {
        ClientEmitter::new(self).timeout(timeout)
    }

    /// Shows the hooks an event that was queued.
    fn show(&self, watched: Option<Watched<Self>>) {
        if let Some(watched) = watched {
            watched.show(self, None);
        }
    }

    /// Emits an event if it can leave at once, and otherwise drops it: for positions, cursors, sounds.
    ///
    /// # Errors
    /// As [`emit`](Self::emit). A dropped event is not an error.
    pub fn emit_volatile<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.emit_volatile_as(event, args, true)
    }

    pub(super) fn emit_volatile_as<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        compress: bool,
    ) -> Result<(), EmitError> {
        let frame = self.namespace.encoder.event(event, None, args)?.compress(compress);
        let key = self.key()?;
        let watched = self.namespace.outgoing.watch(self.namespace.encoder.parser(), &frame);
        let now = self.shared.handle.now();
        if self.shared.handle.with(|inner| inner.machine.emit_volatile(now, key, frame))? {
            self.show(watched);
        }
        Ok(())
    }

    /// Waits until less than half of the send budget is used, then emits: for a sender that produces faster than
    /// the server reads.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_when_ready<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.ready().await;
        self.emit(event, args)
    }

    /// The bytes of events that wait for a connection, or with the builder's `retries` for their acknowledgement, with
    /// 64 more for each event.
    pub fn unsent(&self) -> usize {
        let Some(key) = self.namespace.key else { return 0 };
        self.shared.handle.lock().machine.buffered_by(key)
    }

    /// Drops the events that are [unsent](Self::unsent). Acknowledgements that are awaited for them fail as
    /// disconnected.
    pub fn discard_unsent(&self) {
        if let Some(key) = self.namespace.key {
            self.shared.discard(key);
        }
    }

    /// Waits until less than half of the send budget is used, or nothing will be sent before the next
    /// [`connect`](Self::connect).
    pub async fn ready(&self) {
        self.shared.handle.ready(self.namespace.key).await;
    }

    /// Emits an event and awaits the server's acknowledgement, for up to 60 seconds or the time of
    /// [`timeout`](Self::timeout): its first argument, or a tuple of several.
    ///
    /// The event is sent by the call, not by the first poll. The answer comes exactly once: the value, or an error
    /// when it took too long or the connection was lost.
    ///
    /// ```
    /// # use sansocket_runtime::{AckError, ClientSocket};
    /// async fn ask(socket: ClientSocket) -> Result<u32, AckError> {
    ///     socket.call("add", &(1, 2)).await
    /// }
    /// ```
    ///
    /// With the builder's `retries`, the event is sent again until it is acknowledged, as often as they allow. The time of
    /// each try is then that of [`timeout`](Self::timeout), or else the builder's `ack_timeout`.
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        let answer = self.ask(event, args, None, true);
        async move { Ok(answer.await?.decode()?) }
    }

    /// As [`call`](Self::call), with a time limit of its own and the arguments as they came.
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        self.ask(event, args, Some(timeout), true)
    }

    /// Emits an event and awaits its acknowledgement. The time is that of each try, with `retries`.
    pub(super) fn ask<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Option<Duration>,
        compress: bool,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        let id = self.namespace.next_ack_id();
        let (sender, receiver) = oneshot::channel();
        let sent =
            self.namespace.encoder.event(event, Some(id), args).map_err(EmitError::from).and_then(|frame| {
                let frame = frame.compress(compress);
                if self.shared.settings.reliable {
                    return Ok(self.send_reliably(frame, id, Some(sender), timeout)?);
                }
                let key = self.key()?;
                let watched = self.namespace.outgoing.watch(self.namespace.encoder.parser(), &frame);
                let now = self.shared.handle.now();
                let deadline = now + timeout.unwrap_or(CALL_TIMEOUT);
                self.shared.handle.with(|inner| {
                    if inner.ended {
                        return Err(SendError::Disconnected);
                    }
                    inner.machine.emit_with_ack(now, key, frame, id, deadline)?;
                    inner.acks.insert((id, key), sender);
                    Ok(())
                })?;
                self.show(watched);
                Ok(())
            });
        let shared = Arc::clone(&self.shared);
        async move {
            sent?;
            // The task watches the time, connected or not.
            shared.start();
            drop(shared);
            match receiver.await {
                Ok(AckOutcome::Answered(args)) => Ok(args),
                Ok(AckOutcome::Timeout) => Err(AckError::Timeout),
                Ok(AckOutcome::Unsent(error)) => Err(AckError::Emit(error.into())),
                Ok(_) | Err(oneshot::Canceled) => Err(AckError::Disconnected),
            }
        }
    }

    fn send_reliably(
        &self,
        frame: Frame,
        id: u64,
        sender: Option<oneshot::Sender<AckOutcome>>,
        timeout: Option<Duration>,
    ) -> Result<(), SendError> {
        let key = self.key()?;
        let watched = self.namespace.outgoing.watch(self.namespace.encoder.parser(), &frame);
        let now = self.shared.handle.now();
        self.shared.handle.with(|inner| {
            if inner.ended {
                return Err(SendError::Disconnected);
            }
            match timeout {
                Some(limit) => inner.machine.emit_reliably_within(now, key, frame, id, limit)?,
                None => inner.machine.emit_reliably(now, key, frame, id)?,
            }
            if let Some(sender) = sender {
                inner.acks.insert((id, key), sender);
            }
            Ok(())
        })?;
        self.show(watched);
        Ok(())
    }
}
