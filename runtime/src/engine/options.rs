//! The options of a server of plain Engine.IO that concern its messages, and the server that is built with them.

use crate::base::entropy;
use crate::base::runtime::Runtime;
use crate::base::typemap::TypeMap;
use crate::engine::server::{EngineServer, EngineShared, EngineSocket, Messages};
use crate::handler::message::{EngineHandlers, Message};
use crate::http::builder::ServerBuilder;
use crate::http::gate::{Gate, MakeApplication};
use crate::http::limits::Limits;
use crate::http::options::BuildError;
use crate::session::task::Session;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::rate::Rate;
use sansocket_protocol::socket::EventExcess;
use std::future::Future;
use std::sync::{Arc, OnceLock};

/// The options of a [`ServerBuilder`] that concern the messages of plain Engine.IO.
#[derive(Debug, Default)]
pub struct EngineOptions {
    handlers: EngineHandlers<EngineSocket>,
    state: TypeMap,
}

/// The options of plain Engine.IO.
impl<S: From<EngineServer>> ServerBuilder<S, EngineOptions> {
    /// A builder with the defaults, at the path `/engine.io/`, for a server on that runtime.
    pub fn new(runtime: impl Runtime) -> Self {
        Self::under("/engine.io", EngineOptions::default(), Arc::new(runtime))
    }

    /// Sets all limits that concern Engine.IO and HTTP at once: those of [`Limits::internet`], [`Limits::trusted`], or some of
    /// your own. Limits that are set later go on top.
    pub fn limits(mut self, limits: &Limits) -> Self {
        limits.set_http(&mut self.http);
        self
    }

    /// Sets how many messages one client may send. Messages that come faster wait, or end the session: see
    /// [`message_excess`](Self::message_excess). Default: no limit, because `receive_budget` bounds the messages that
    /// wait, and only you know what a message costs. Heartbeats are not counted.
    pub fn message_rate(mut self, rate: Rate) -> Self {
        self.http.engine.message_rate = Some(rate);
        self
    }

    /// Sets what happens to messages beyond `message_rate`. Default: they wait for their turn, and reading from the
    /// client pauses once `receive_budget` is used up.
    pub fn message_excess(mut self, excess: EventExcess) -> Self {
        self.http.engine.message_excess = excess;
        self
    }

    /// Sets the handler that runs when a session opens, before its first message is handled.
    pub fn on_open<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.handlers.on_open(handler);
        self
    }

    /// Sets the handler that runs when a session has moved from long-polling to WebSocket, in line with its messages.
    pub fn on_upgrade<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.handlers.on_upgrade(handler);
        self
    }

    /// Gives a value to all sessions, one of each type: see [`EngineSocket::state`].
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.layer.state.insert(Arc::new(value));
        self
    }

    /// Sets the handler that runs for each message. Messages of one session are handled one after the other.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.handlers.on_message(handler);
        self
    }

    /// Sets the handler that runs when a session has closed.
    pub fn on_close<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.handlers.on_close(handler);
        self
    }

    /// Builds the server. It serves nothing until it listens or is mounted.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<S, BuildError> {
        let Self { http, layer: EngineOptions { handlers, state }, runtime, .. } = self;
        let random = entropy::random().map_err(BuildError::Entropy)?;
        let shared = Arc::new(EngineShared { state, server: OnceLock::new() });
        let of_sessions = shared.clone();
        let application: MakeApplication = Box::new(move |handshake| {
            let messages = Messages::new(handlers.clone(), handshake.clone(), of_sessions.clone());
            Some(Session::make_task(messages))
        });
        let gate = Gate::new(http, runtime, None, random, application)?;
        Ok(EngineServer::new(gate, &shared).into())
    }
}
