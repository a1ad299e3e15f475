//! Typed events of a client.

use super::emitter::ClientEmitter;
use super::socket::ClientSocket;
use crate::base::error::{AckError, EmitError};
use crate::handler::OnClientEvent;
use crate::handler::reserved::{End, check_event};
use crate::handler::table::Listener;
use crate::handler::typed::{TypedEvent, TypedHandler, erase_typed};
use std::future::Future;

impl ClientSocket {
    /// Emits a [typed event](TypedEvent), as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: TypedEvent>(&self, _: E, payload: &E::Payload) -> Result<(), EmitError> {
        self.emit(E::NAME, payload)
    }

    /// Emits a [typed event](TypedEvent) and awaits its answer, as [`call`](Self::call).
    pub fn call_typed<E: TypedEvent>(
        &self,
        _: E,
        payload: &E::Payload,
    ) -> impl Future<Output = Result<E::Answer, AckError>> + Send + 'static + use<E> {
        self.call(E::NAME, payload)
    }

    /// Runs when the server emits that [typed event](TypedEvent), as [`on`](Self::on).
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_typed<E: TypedEvent, Params: 'static>(
        &self,
        _: E,
        handler: impl TypedHandler<E, OnClientEvent, Params>,
    ) -> &Self {
        check_event(End::Client, E::NAME);
        let handler = erase_typed::<E, OnClientEvent, Params>(handler);
        let before =
            self.namespace_inner().change(|table| table.events.add(E::NAME, Listener::in_line(handler)));
        drop(before);
        self
    }
}

impl ClientEmitter<'_> {
    /// Emits a [typed event](TypedEvent), as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: TypedEvent>(&self, _: E, payload: &E::Payload) -> Result<(), EmitError> {
        self.emit(E::NAME, payload)
    }

    /// Emits a [typed event](TypedEvent) and awaits its answer, as [`call`](Self::call).
    pub fn call_typed<E: TypedEvent>(
        &self,
        _: E,
        payload: &E::Payload,
    ) -> impl Future<Output = Result<E::Answer, AckError>> + Send + 'static + use<E> {
        self.call(E::NAME, payload)
    }
}
