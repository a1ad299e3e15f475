//! The events of a small chat, declared once: for the server and for clients in Rust, whose build they are checked in, and
//! for pages in TypeScript, by `events.ts` beside this file, which a test compares. Each adapter's example includes this file
//! and provides the adapter as `crate::sansocket`.

use crate::sansocket::{AckError, Client, EmitError, Server, Socket, TypeScript, TypedEvent};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) room_name: String,
    pub(crate) text: String,
}

/// A client says something to a room, and is told how many others hear it.
pub(crate) struct Say;

impl TypedEvent for Say {
    const NAME: &'static str = "say";
    type Payload = Message;
    type Answer = u32;
}

/// Somebody has said something: the id of the socket, and the message.
pub(crate) struct Said;

impl TypedEvent for Said {
    const NAME: &'static str = "said";
    type Payload = (String, Message);
    type Answer = ();
}

/// The declarations for the page.
pub(crate) fn declarations() -> String {
    TypeScript::new().from_client(Say).from_server(Said).to_string()
}

/// The server.
pub(crate) fn register(io: &Server) {
    io.on_typed(Say, async |socket: Socket, message: Message| -> Result<u32, EmitError> {
        let others = socket.to(&message.room_name);
        let count = others.sockets().len();
        others.emit_typed(Said, &(socket.id().to_owned(), message))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    });
    io.on_connect(|socket: Socket| socket.join("tea").map(drop));
}

/// A client. The events of the server are handled, and one is sent.
pub(crate) async fn talk(client: &Client) -> Result<u32, AckError> {
    client.on_typed(Said, |(who, message): (String, Message)| eprintln!("{who}: {}", message.text));
    client.call_typed(Say, &Message { room_name: "tea".into(), text: "hello".into() }).await
}
