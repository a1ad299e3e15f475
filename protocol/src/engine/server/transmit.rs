//! What passes between a session and its owner, as plain data.

use crate::engine::packet::Message;
use crate::engine::request::{RequestId, Response};
use alloc::boxed::Box;
use bytes::Bytes;

/// What is to be written, and where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transmit {
    /// Answer that request.
    Respond {
        /// Which one.
        request: RequestId,
        /// With what. [`Config::decorate`](crate::engine::config::Config::decorate) is to be applied.
        response: Box<Response>,
    },
    /// End the connection of that request without an answer.
    Abort {
        /// Which one.
        request: RequestId,
    },
    /// Answer that request with 101 and tell [`Server::websocket_opened`](super::Server::websocket_opened) once its WebSocket is there. From then
    /// on the request's id names the WebSocket.
    AcceptWebSocket {
        /// Which one.
        request: RequestId,
    },
    /// Write one message to that WebSocket.
    Write {
        /// Which one.
        websocket: RequestId,
        /// A text message is a whole packet, type digit included.
        message: Message,
    },
    /// Close that WebSocket. It may be gone already.
    CloseWebSocket {
        /// Which one.
        websocket: RequestId,
        /// The code of the close frame; without one, the frame is empty.
        code: Option<u16>,
    },
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wants {
    /// A [`Transmit`] about it.
    Answer,
    /// Its body, up to that many bytes: see [`Server::begin_body`](super::Server::begin_body).
    Body {
        /// In bytes.
        limit: usize,
    },
}

/// How the body of a POST ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Body {
    /// It is here.
    Complete(Bytes),
    /// It is larger than the limit; what came of it was thrown away.
    TooLarge,
}
