//! WebSockets that send back what they get, without Engine.IO, for suites that test WebSockets from outside. No part of
//! the API.

use crate::base::runtime::Stream;
use crate::websocket::buffers::with_buffers;
use crate::websocket::deflate::connection::Deflate;
use crate::websocket::deflate::offer::judge_answer;
use crate::websocket::deflate::shared::SharedDeflate;
use crate::websocket::wire::{Wire, WireRead};
use crate::websocket::{PerMessageDeflate, Role, accept_upgrade};
use bytes::Bytes;
use http::{HeaderMap, Method};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// The settings of such WebSockets.
#[derive(Clone)]
pub struct Echo {
    shared: Arc<SharedDeflate>,
    max_message: usize,
}

/// One of them, after its handshake.
pub struct EchoSocket {
    role: Role,
    deflate: Option<Box<Deflate>>,
    max_message: usize,
}

impl Echo {
    /// Those with that compression and that largest message, in bytes.
    pub fn new(settings: PerMessageDeflate, max_message: usize) -> Self {
        Self { shared: SharedDeflate::new(settings), max_message }
    }

    /// A server's end: the head of its answer, and what follows. `None` if the request is no handshake.
    pub fn accept(&self, headers: &HeaderMap) -> Option<(String, EchoSocket)> {
        let accept = accept_upgrade(&Method::GET, headers).ok()?;
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {accept}\r\n"
        );
        let agreed = self.shared.settings().accept(headers);
        if let Some((_, extensions)) = &agreed {
            answer.push_str(&format!("sec-websocket-extensions: {extensions}\r\n"));
        }
        answer.push_str("\r\n");
        let deflate = agreed.map(|(agreed, _)| Deflate::new(Role::Server, self.shared.clone(), agreed));
        Some((answer, EchoSocket { role: Role::Server, deflate, max_message: self.max_message }))
    }

    /// The value of `Sec-WebSocket-Extensions` that a client offers.
    pub fn offer(&self) -> String {
        self.shared.settings().offer()
    }

    /// A client's end, for that answer. `None` if the answer does not fit the offer.
    pub fn answered(&self, headers: &HeaderMap) -> Option<EchoSocket> {
        let agreed = judge_answer(Some(self.shared.settings()), headers).ok()?;
        let deflate = agreed.map(|agreed| Deflate::new(Role::Client, self.shared.clone(), agreed));
        Some(EchoSocket { role: Role::Client, deflate, max_message: self.max_message })
    }
}

impl EchoSocket {
    /// Sends back what comes, until the connection ends.
    pub async fn run(self, stream: impl Stream + 'static) {
        let mut masks = (self.role == Role::Client).then(|| Random::new([7; 32]));
        let mut wire =
            Wire::new(self.role, Box::new(stream), Bytes::new(), self.max_message).with_deflate(self.deflate);
        poll_fn(|context| {
            loop {
                let read = with_buffers(|buffers| {
                    let read = wire.poll_read(buffers, Instant::ZERO, masks.as_mut(), context);
                    for message in buffers.inbox.drain(..) {
                        // The core's part.
                        match &message {
                            WireMessage::Text(text) if std::str::from_utf8(text).is_err() => {
                                wire.close(Some(1007), Instant::ZERO, masks.as_mut());
                            }
                            _ if wire.is_open() => wire.write(&message, true, masks.as_mut()),
                            _ => {}
                        }
                    }
                    read
                });
                if wire.poll_write(context).is_err() || wire.is_dead() {
                    return Poll::Ready(());
                }
                match read {
                    // It lingers no longer than its words take.
                    WireRead::Nothing if !wire.is_open() && !wire.is_behind() => return Poll::Ready(()),
                    WireRead::Nothing => return Poll::Pending,
                    WireRead::Received | WireRead::Closed | WireRead::Failed(_) => {}
                }
            }
        })
        .await;
    }
}

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Echo").field("max_message", &self.max_message).finish_non_exhaustive()
    }
}

impl fmt::Debug for EchoSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoSocket").field("role", &self.role).finish_non_exhaustive()
    }
}
