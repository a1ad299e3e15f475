//! The second floor: tokio-tungstenite, one task per connection.
//!
//! Text frames go back verbatim, and a broadcast is one encoded `Utf8Bytes` cloned to every member. Writes are
//! flushed only once no further input is ready.
use futures_util::{FutureExt, SinkExt, StreamExt};
use peer_raw::*;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig};

type Rooms = Arc<Mutex<HashMap<String, Vec<mpsc::UnboundedSender<Utf8Bytes>>>>>;

#[tokio::main]
async fn main() {
    let l = TcpListener::bind(("127.0.0.1", port())).await.unwrap();
    let rooms = Rooms::default();
    loop {
        let (s, _) = l.accept().await.unwrap();
        s.set_nodelay(true).ok();
        tokio::spawn(conn(s, rooms.clone()));
    }
}

async fn conn(s: TcpStream, rooms: Rooms) -> Option<()> {
    let cfg = WebSocketConfig::default().read_buffer_size(4096);
    let mut ws = tokio_tungstenite::accept_async_with_config(s, Some(cfg)).await.ok()?;
    ws.send(Message::text(OPEN)).await.ok()?;
    let (tx, mut rx) = mpsc::unbounded_channel::<Utf8Bytes>();
    loop {
        // Take whatever is ready without flushing; flush and wait only when nothing is.
        let ev = match ready(&mut ws, &mut rx) {
            Some(e) => e,
            None => {
                ws.flush().await.ok()?;
                tokio::select! { m = ws.next() => Ev::In(m), m = rx.recv() => Ev::Out(m?) }
            }
        };
        match ev {
            Ev::Out(m) => ws.feed(Message::Text(m)).await.ok()?,
            Ev::In(m) => match m?.ok()? {
                Message::Text(t) => match classify(t.as_bytes()) {
                    Cmd::Echo => ws.feed(Message::Text(t)).await.ok()?,
                    Cmd::Connect => ws.feed(Message::text(CONNECTED)).await.ok()?,
                    Cmd::Ack(id, args) => ws.feed(Message::text(ack_frame(id, args))).await.ok()?,
                    Cmd::Join(id, room) => {
                        rooms.lock().unwrap().entry(room.to_string()).or_default().push(tx.clone());
                        ws.feed(Message::text(ack_frame(id, b""))).await.ok()?
                    }
                    Cmd::Bcast(room, rest) => {
                        let out = Utf8Bytes::from(bcast_frame(rest));
                        if let Some(v) = rooms.lock().unwrap().get_mut(room) {
                            v.retain(|tx| tx.send(out.clone()).is_ok());
                        }
                    }
                    Cmd::Close => return None,
                    Cmd::Other => {}
                },
                Message::Binary(b) => ws.feed(Message::Binary(b)).await.ok()?,
                Message::Close(_) => {
                    ws.flush().await.ok();
                    return None;
                }
                _ => {}
            },
        }
    }
}

enum Ev {
    In(Option<Result<Message, tokio_tungstenite::tungstenite::Error>>),
    Out(Utf8Bytes),
}

fn ready(
    ws: &mut tokio_tungstenite::WebSocketStream<TcpStream>,
    rx: &mut mpsc::UnboundedReceiver<Utf8Bytes>,
) -> Option<Ev> {
    if let Ok(m) = rx.try_recv() {
        return Some(Ev::Out(m));
    }
    ws.next().now_or_never().map(Ev::In)
}
