//! The messages of plain Engine.IO, and the handlers of its sessions.

use crate::base::runtime::BoxFuture;
use bytes::Bytes;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::{Frame, WireMessage};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// One message: text or bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// A message as the core gives it.
    pub(crate) fn received(message: WireMessage) -> Option<Self> {
        Some(match message {
            // The core has checked it.
            WireMessage::Text(text) => Self::Text(String::from_utf8(text.into()).ok()?),
            WireMessage::Binary(data) => Self::Binary(data),
        })
    }

    pub(crate) fn into_frame(self) -> Frame {
        match self {
            Self::Text(text) => Frame::text_message(&text),
            Self::Binary(data) => Frame::binary_message(data),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Self::Binary(data)
    }
}

impl From<Vec<u8>> for Message {
    fn from(data: Vec<u8>) -> Self {
        Self::Binary(data.into())
    }
}

type OnOpen<S> = Arc<dyn Fn(S) -> BoxFuture<()> + Send + Sync>;
type OnMessage<S> = Arc<dyn Fn(S, Message) -> BoxFuture<()> + Send + Sync>;
type OnClose<S> = Arc<dyn Fn(S, CloseReason) -> BoxFuture<()> + Send + Sync>;

/// The handlers of plain Engine.IO sessions. `S` is the socket that they get: an
/// [`EngineSocket`](crate::EngineSocket) at a server, an [`EngineClientSocket`](crate::EngineClientSocket) at a
/// client. Messages of one session are handled one after the other.
pub struct EngineHandlers<S> {
    open: Option<OnOpen<S>>,
    upgrade: Option<OnOpen<S>>,
    message: Option<OnMessage<S>>,
    close: Option<OnClose<S>>,
}

impl<S: 'static> EngineHandlers<S> {
    pub(crate) fn on_open<F, Fut>(&mut self, handler: F)
    where
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.open = Some(Arc::new(move |socket| Box::pin(handler(socket))));
    }

    pub(crate) fn on_upgrade<F, Fut>(&mut self, handler: F)
    where
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.upgrade = Some(Arc::new(move |socket| Box::pin(handler(socket))));
    }

    pub(crate) fn on_message<F, Fut>(&mut self, handler: F)
    where
        F: Fn(S, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.message = Some(Arc::new(move |socket, message| Box::pin(handler(socket, message))));
    }

    pub(crate) fn on_close<F, Fut>(&mut self, handler: F)
    where
        F: Fn(S, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.close = Some(Arc::new(move |socket, reason| Box::pin(handler(socket, reason))));
    }

    pub(crate) fn opened(&self, socket: impl FnOnce() -> S) -> Option<BoxFuture<()>> {
        self.open.as_ref().map(|handler| handler(socket()))
    }

    pub(crate) fn upgraded(&self, socket: impl FnOnce() -> S) -> Option<BoxFuture<()>> {
        self.upgrade.as_ref().map(|handler| handler(socket()))
    }

    pub(crate) fn message(&self, socket: impl FnOnce() -> S, message: WireMessage) -> Option<BoxFuture<()>> {
        let handler = self.message.as_ref()?;
        Some(handler(socket(), Message::received(message)?))
    }

    pub(crate) fn closed(&self, socket: impl FnOnce() -> S, reason: CloseReason) -> Option<BoxFuture<()>> {
        self.close.as_ref().map(|handler| handler(socket(), reason))
    }
}

impl<S> Clone for EngineHandlers<S> {
    fn clone(&self) -> Self {
        Self {
            open: self.open.clone(),
            upgrade: self.upgrade.clone(),
            message: self.message.clone(),
            close: self.close.clone(),
        }
    }
}

impl<S> Default for EngineHandlers<S> {
    fn default() -> Self {
        Self { open: None, upgrade: None, message: None, close: None }
    }
}

impl<S> fmt::Debug for EngineHandlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineHandlers(..)")
    }
}
