//! Benchmark peer: socketioxide on axum, keeping the contract in the README.
//!
//! `PORT` in the environment is the port on 127.0.0.1 (3000), `PING_INTERVAL` the milliseconds between pings (25,000).
use axum::serve::ListenerExt;
use rmpv::Value;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use std::time::Duration;

/// Packets a socket may queue before its emits fail. The crate's default of 128 drops broadcasts under this load,
/// and a dropped delivery would stall the generator instead of costing CPU.
const QUEUE: usize = 4096;

async fn on_connect(s: SocketRef) {
    s.on("echo", async |s: SocketRef, Data::<(Value,)>(d)| {
        let _ = s.emit("echo", &d);
    });
    s.on("ack", async |Data::<(Value,)>(d), ack: AckSender| {
        let _ = ack.send(&d);
    });
    s.on("join", async |s: SocketRef, Data::<String>(room), ack: AckSender| {
        s.join(room);
        let _ = ack.send(&());
    });
    s.on("leave", async |s: SocketRef, Data::<String>(room), ack: AckSender| {
        s.leave(room);
        let _ = ack.send(&());
    });
    s.on("bcast", async |io: SocketIo, Data::<(String, Value)>((room, v))| {
        let _ = io.to(room).emit("bcast", &v).await;
    });
}

#[tokio::main]
async fn main() {
    let number = |name, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let port = number("PORT", 3000) as u16;
    let interval = Duration::from_millis(number("PING_INTERVAL", 25_000));
    let (layer, io) = SocketIo::builder().max_buffer_size(QUEUE).ping_interval(interval).build_layer();
    io.ns("/", on_connect);
    let app = axum::Router::new().layer(layer);
    let l = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free").tap_io(|s| {
        let _ = s.set_nodelay(true);
    });
    axum::serve(l, app).await.expect("the listener lives");
}
