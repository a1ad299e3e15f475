//! Typed events of a server's sockets and broadcasts.

use crate::base::error::{AckError, EmitError};
use crate::handler::OnEvent;
use crate::handler::table::Listener;
use crate::handler::typed::{TypedEvent, TypedHandler, erase_typed};
use crate::server::answers::Answer;
use crate::server::broadcast::Broadcast;
use crate::server::emitter::SocketEmitter;
use crate::server::socket::Socket;
use std::future::Future;

impl Socket {
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

    /// Runs when this client emits that [typed event](TypedEvent), as [`on`](Self::on).
    #[track_caller]
    pub fn on_typed<E: TypedEvent, Params: 'static>(
        &self,
        _: E,
        handler: impl TypedHandler<E, OnEvent, Params>,
    ) -> &Self {
        self.add_own(E::NAME, Listener::in_line(erase_typed::<E, OnEvent, Params>(handler)))
    }
}

impl SocketEmitter<'_> {
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

impl Broadcast {
    /// Emits a [typed event](TypedEvent), as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: TypedEvent>(&self, _: E, payload: &E::Payload) -> Result<(), EmitError> {
        self.emit(E::NAME, payload)
    }

    /// Emits a [typed event](TypedEvent) and awaits the answer of each socket, as [`call`](Self::call).
    pub fn call_typed<E: TypedEvent>(
        &self,
        _: E,
        payload: &E::Payload,
    ) -> impl Future<Output = Result<Vec<Answer<E::Answer>>, EmitError>> + Send + 'static + use<E> {
        self.call(E::NAME, payload)
    }
}
