//! The requests of a client's session to its owner, as plain data.

use crate::engine::request::RequestId;
use crate::message::WireMessage;
use alloc::string::String;
use bytes::Bytes;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`, without a body.
    Get,
    /// `POST`. Its body is `text/plain;charset=UTF-8`.
    Post,
}

/// A client's wish: a request to make, or something to do with a WebSocket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientTransmit {
    /// Make that request, and give the response to
    /// [`Manager::handle_response`](crate::client::Manager::handle_response).
    Request {
        /// The id by which it is known from here on.
        request: RequestId,
        /// GET or POST.
        method: Method,
        /// Path and query, ready for the request line.
        target: String,
        /// The body of a POST.
        body: Bytes,
        /// The bytes that the body of the response may have. If there are more, give the request up and call
        /// [`Manager::handle_request_failed`](crate::client::Manager::handle_request_failed).
        limit: usize,
    },
    /// Forget that request, or the WebSocket that is being opened: nobody waits for it.
    Abort {
        /// The id of the request or the WebSocket.
        request: RequestId,
    },
    /// Open a WebSocket, and call
    /// [`Manager::handle_websocket_opened`](crate::client::Manager::handle_websocket_opened),
    /// [`Manager::handle_websocket_refused`](crate::client::Manager::handle_websocket_refused) or
    /// [`Manager::handle_request_failed`](crate::client::Manager::handle_request_failed).
    OpenWebSocket {
        /// The id by which it is known from here on.
        websocket: RequestId,
        /// Path and query.
        target: String,
    },
    /// Write one message to that WebSocket.
    Write {
        /// The id of the WebSocket.
        websocket: RequestId,
        /// A text message is a whole packet, type digit included.
        message: WireMessage,
        /// Whether it may be compressed, if an extension of the WebSocket does so.
        compress: bool,
    },
    /// Close that WebSocket, after the messages that were given before are written. It may be gone already.
    CloseWebSocket {
        /// The id of the WebSocket.
        websocket: RequestId,
        /// The code of the close frame; without one, the frame is empty.
        code: Option<u16>,
    },
}
