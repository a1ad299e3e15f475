//! Events to one client with a choice about their compression.

use crate::base::error::{AckError, EmitError};
use crate::server::socket::{Delivery, Socket};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, EncodeError, ToArgs};
use std::future::Future;
use std::time::Duration;

/// A socket whose events may be compressed or not, as [`Socket::compress`] was told. Its methods are the socket's.
#[derive(Clone, Copy, Debug)]
#[must_use = "it emits nothing by itself"]
pub struct SocketEmitter<'a> {
    pub(super) socket: &'a Socket,
    pub(super) compress: bool,
}

impl SocketEmitter<'_> {
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
        Ok(self.socket.send(self.encode(event, None, args)?, Delivery::Queue)?)
    }

    /// Emits an event if it can leave at once, as [`Socket::emit_volatile`].
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn emit_volatile<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        Ok(self.socket.send(self.encode(event, None, args)?, Delivery::Volatile)?)
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
