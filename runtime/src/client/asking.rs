//! Events of a client that ask for an acknowledgement.

use super::socket::ClientSocket;
use crate::base::error::{AckError, EmitError};
use crate::handler::ack::{AckSink, CALL_TIMEOUT};
use futures_channel::oneshot;
use sansocket_protocol::error::SendError;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{AckOutcome, Args, ToArgs};
use std::future::Future;
use std::time::Duration;

impl ClientSocket {
    /// As [`call`](Self::call), with a time limit of its own and the arguments as they came.
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        self.ask(event, args, Some(timeout))
    }

    /// Emits an event and awaits its acknowledgement. The time is that of each try, with `retries`.
    pub(super) fn ask<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        let id = self.namespace.next_ack_id();
        let (sender, receiver) = oneshot::channel();
        let sent =
            self.namespace.encoder.event(event, Some(id), args).map_err(EmitError::from).and_then(|frame| {
                let sink = move |outcome| {
                    // Nobody listens if the future was dropped.
                    let _ = sender.send(outcome);
                };
                if self.shared.settings.reliable {
                    return Ok(self.send_reliably(frame, id, Some(Box::new(sink)), timeout)?);
                }
                let key = self.key()?;
                let watched = self.namespace.outgoing.watch(self.namespace.encoder.parser(), &frame);
                let now = self.shared.handle.now();
                let deadline = now + timeout.unwrap_or(CALL_TIMEOUT);
                self.shared.handle.with(|inner| {
                    if inner.ended {
                        return Err(SendError::Disconnected);
                    }
                    inner.machine.emit_with_ack(now, key, &frame, id, deadline)?;
                    inner.acks.insert((key, id), Box::new(sink));
                    Ok(())
                })?;
                self.show(watched);
                Ok(())
            });
        let shared = self.shared.clone();
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

    pub(super) fn send_reliably(
        &self,
        frame: Frame,
        id: u64,
        sink: Option<AckSink>,
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
            if let Some(sink) = sink {
                inner.acks.insert((key, id), sink);
            }
            Ok(())
        })?;
        self.show(watched);
        Ok(())
    }
}
