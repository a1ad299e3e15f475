//! The client's side of the handlers: its kinds and extractors, and the part of its socket that they need.

use crate::base::error::HandlerError;
use crate::client::error::ConnectError;
use crate::client::socket::ClientSocket;
use crate::client::task::shared::{Alive, Lease, Shared};
use crate::handler::ack::{AckTarget, Reply};
use crate::handler::extract::FromContext;
use crate::handler::peer::sealed::{HandlerPeer, SendAck};
use crate::handler::{
    Context, EventInput, Kind, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent,
};
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::message::Frame;
use std::sync::Arc;

impl Kind for OnClientConnect {
    type Peer = ClientSocket;
    type Input = ();
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnClientConnectError {
    type Peer = ClientSocket;
    type Input = ConnectError;
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnClientEvent {
    type Peer = ClientSocket;
    type Input = EventInput;
    type Outcome = Result<Reply, HandlerError>;

    fn event(input: &EventInput) -> Option<&EventInput> {
        Some(input)
    }
}

impl Kind for OnClientDisconnect {
    type Peer = ClientSocket;
    type Input = CloseReason;
    type Outcome = Result<(), HandlerError>;
}

impl<K: Kind<Peer = ClientSocket>> FromContext<K> for ClientSocket {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.peer.clone())
    }
}

impl<K: Kind<Input = ConnectError>> FromContext<K> for ConnectError {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.input.clone())
    }
}

impl SendAck for Shared {
    fn send_ack(&self, target: &AckTarget, frame: Frame) -> Result<(), SendError> {
        let now = self.handle.now();
        self.handle.with(|inner| inner.machine.ack_on(now, target.socket, target.connection, frame))
    }
}

/// Keeps the client going until it is sent.
impl SendAck for Alive {
    fn send_ack(&self, target: &AckTarget, frame: Frame) -> Result<(), SendError> {
        self.shared().send_ack(target, frame)
    }
}

impl HandlerPeer for ClientSocket {
    fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.shared().settings.state.get::<T>().map(|value| T::clone(&value))
    }

    fn report(&self, event: Option<&str>, error: &HandlerError, ack: Option<&AckTarget>) -> Option<Frame> {
        self.shared().report_about(self, event, error, ack)
    }

    fn acknowledge(&self, target: &AckTarget, frame: Frame) {
        match self.shared().send_ack(target, frame) {
            // The connection may be lost meanwhile; nobody is left to be told.
            Ok(()) | Err(SendError::Disconnected) => {}
            Err(error) => drop(self.report(None, &HandlerError::Unsent(error), None)),
        }
    }

    fn ack_sender(&self) -> Arc<dyn SendAck> {
        match self.lease() {
            Lease::Lasting(alive) => alive.clone(),
            Lease::LastWords(shared) => shared.clone(),
        }
    }
}
