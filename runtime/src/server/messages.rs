//! The messages of a socket: events, calls, and the flags of both.

use crate::base::error::{AckError, EmitError};
use crate::handler::ack::MESSAGE;
use crate::server::emitter::SocketEmitter;
use crate::server::socket::{Delivery, Socket};
use futures_channel::oneshot;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{AckOutcome, Args, EncodeError, ToArgs};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::Duration;

impl Socket {
    /// Emits an event to the client. A tuple is several arguments, `&()` is no argument, anything else is one; bytes
    /// (`Bytes`) travel as binary.
    ///
    /// It never waits: the event is queued, in the order of the calls, until the client reads it. The builder's
    /// `overflow` decides what happens when more than `send_budget` bytes wait.
    ///
    /// # Errors
    /// [`EmitError`] if the value cannot be encoded, the name is reserved, or the socket is not connected.
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        let frame = self.0.namespace.encoder.event(event, None, args)?;
        Ok(self.send_frame(frame, Delivery::Queue)?)
    }

    /// Emits the event `message`, as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn send<T: ToArgs + ?Sized>(&self, args: &T) -> Result<(), EmitError> {
        self.emit(MESSAGE, args)
    }

    /// Emits an event and awaits the client's acknowledgement, for up to 60 seconds or the time of
    /// [`timeout`](Self::timeout): its first argument, or a tuple of several. For the rest, see
    /// [`emit_with_ack`](Self::emit_with_ack).
    ///
    /// ```
    /// # use sansocket_runtime::{AckError, Socket};
    /// # use std::time::Duration;
    /// async fn ask(socket: Socket) -> Result<u32, AckError> {
    ///     let name: String = socket.call("name?", &()).await?;
    ///     socket.timeout(Duration::from_secs(5)).call("age?", &name).await
    /// }
    /// ```
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        SocketEmitter::new(self).call(event, args)
    }

    /// Emits an event if it can leave at once, and otherwise drops it: for positions, cursors, sounds. The same as
    /// `volatile().emit(..)`.
    ///
    /// # Errors
    /// As [`emit`](Self::emit). A dropped event is not an error.
    pub fn emit_volatile<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        let frame = self.0.namespace.encoder.event(event, None, args)?;
        Ok(self.send_frame(frame, Delivery::Volatile)?)
    }

    /// Waits until less than half of the send budget is used, then emits: for a sender that produces faster than
    /// the client reads.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_when_ready<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        let frame = self.0.namespace.encoder.event(event, None, args)?;
        self.ready().await;
        Ok(self.send_frame(frame, Delivery::Queue)?)
    }

    /// Waits until less than half of the send budget is used, or the client is gone.
    pub async fn ready(&self) {
        self.0.session.ready().await;
    }

    /// Emits an event and awaits the client's acknowledgement. The event is sent by the call, not by the first
    /// poll; the future may be dropped.
    ///
    /// The future resolves exactly once: with the answer, or an error when `timeout` is over or the client has gone.
    /// A handler may await it for the very client that it serves. In `on_connect` it fails at once: the client
    /// has not joined yet.
    ///
    /// ```
    /// # use sansocket_runtime::{AckError, Socket};
    /// # use std::time::Duration;
    /// async fn ask(socket: Socket) -> Result<String, AckError> {
    ///     let answer = socket.emit_with_ack("name?", &(), Duration::from_secs(5)).await?;
    ///     Ok(answer.decode().unwrap_or_default())
    /// }
    /// ```
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        let id = self.0.session.next_ack_id();
        self.ask(self.0.namespace.encoder.event(event, Some(id), args), id, timeout)
    }

    /// Sends an event with that id, and awaits its acknowledgement.
    pub(super) fn ask(
        &self,
        frame: Result<Frame, EncodeError>,
        id: u64,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<> {
        let (sender, receiver) = oneshot::channel();
        let sent = frame.map_err(EmitError::from).and_then(|frame| {
            let sink = move |outcome| {
                // Nobody listens if the future was dropped.
                let _ = sender.send(outcome);
            };
            let watched = self.0.namespace.handlers.outgoing.watch(self.0.namespace.encoder.parser(), &frame);
            self.send_with_ack(frame, id, timeout, sink)?;
            if let Some(watched) = watched {
                self.show(&watched);
            }
            Ok(())
        });
        async move {
            sent?;
            match receiver.await {
                Ok(AckOutcome::Answered(args)) => Ok(args),
                Ok(AckOutcome::Timeout) => Err(AckError::Timeout),
                _ => Err(AckError::Disconnected),
            }
        }
    }

    /// Events that are dropped if they cannot leave at once: for positions, cursors, sounds.
    pub fn volatile(&self) -> SocketEmitter<'_> {
        SocketEmitter::new(self).volatile()
    }

    /// An emitter whose [`call`](SocketEmitter::call) waits that long for its answer.
    pub fn timeout(&self, timeout: Duration) -> SocketEmitter<'_> {
        SocketEmitter::new(self).timeout(timeout)
    }

    /// Sets whether the events that are emitted through the result may be compressed, where the server and the connection
    /// do so. Events of the socket itself may.
    ///
    /// ```
    /// # use sansocket_runtime::{Bytes, EmitError, Socket};
    /// fn picture(socket: &Socket, jpeg: Bytes) -> Result<(), EmitError> {
    ///     socket.compress(false).volatile().emit("picture", &jpeg)
    /// }
    /// ```
    pub fn compress(&self, compress: bool) -> SocketEmitter<'_> {
        SocketEmitter::new(self).compress(compress)
    }
}
