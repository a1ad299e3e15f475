//! A client of plain Engine.IO: sends its arguments, and prints the messages that come, until the server closes the session.
//!
//! ```text
//! cargo run -p sansocket-tokio --example conformance             # an Engine.IO server that echoes
//! cargo run -p sansocket-tokio --example engine_client -- http://127.0.0.1:3000 upgrade hello 0x00ff
//! ```
//!
//! The second argument is the transport: `polling`, `websocket`, or `upgrade` from one to the other. `0x` begins bytes in
//! hexadecimal; anything else is text. The server above answers with `text hello` and `bytes 00ff`.

use sansocket_tokio::{ConnectionEvent, EngineClient, EngineClientSocket, Message, TransportKind};
use std::error::Error;
use std::sync::{Arc, OnceLock};

fn message(argument: &str) -> Result<Message, Box<dyn Error>> {
    let Some(digits) = argument.strip_prefix("0x") else { return Ok(argument.into()) };
    let digits: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8).ok_or("a hexadecimal digit is missing"))
        .collect::<Result<_, _>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    Ok(bytes.into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("the server's address is missing")?;
    let transports: &[TransportKind] = match arguments.next().as_deref() {
        Some("polling") => &[TransportKind::Polling],
        Some("websocket") => &[TransportKind::WebSocket],
        Some("upgrade") | None => &[TransportKind::Polling, TransportKind::WebSocket],
        Some(other) => return Err(format!("no transport: {other}").into()),
    };
    // It runs ahead of the loop, which may have messages to take yet.
    let end = Arc::new(OnceLock::new());
    let ended = end.clone();
    let client = EngineClient::builder(&address)
        .transports(transports.iter().copied())
        .on_open(async |client: EngineClientSocket| {
            println!("open by {}", client.transport().map_or("nothing", |transport| transport.as_str()));
        })
        .on_close(move |_, reason| {
            let _ = ended.set(reason);
            async {}
        })
        .on_connection_event(|state| {
            if matches!(state, ConnectionEvent::Upgraded) {
                println!("upgraded");
            }
        })
        .build()?;
    let mut messages = client.messages();
    client.connect().await?;
    for argument in arguments {
        client.ready().await;
        client.send(message(&argument)?)?;
    }
    while let Some(message) = messages.next().await {
        match message {
            Message::Text(text) => println!("text {text}"),
            Message::Binary(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                println!("bytes {hex}");
            }
        }
    }
    println!("closed: {}", end.get().ok_or("no reason")?);
    Ok(())
}
