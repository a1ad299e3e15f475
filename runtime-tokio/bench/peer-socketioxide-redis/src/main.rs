//! Benchmark peer: a node of socketioxide on axum and Redis, keeping the part of the contract that `cluster` needs.
//!
//! `PORT` in the environment is the port on 127.0.0.1 (3000), `REDIS` the address of the Redis.
use axum::serve::ListenerExt;
use rmpv::Value;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use socketioxide::adapter::Adapter;
use socketioxide_redis::drivers::redis::redis_client as redis;
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};

/// Packets a socket may queue before its emits fail: as in the peer without Redis.
const QUEUE: usize = 4096;

async fn on_connect<A: Adapter>(s: SocketRef<A>) {
    s.on("join", async |s: SocketRef<A>, Data::<String>(room), ack: AckSender<A>| {
        s.join(room);
        let _ = ack.send(&());
    });
    s.on("bcast", async |io: SocketIo<A>, Data::<(String, Value)>((room, v))| {
        let _ = io.to(room).emit("bcast", &v).await;
    });
}

#[tokio::main]
async fn main() {
    let port: u16 = std::env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(3000);
    let address = std::env::var("REDIS").expect("REDIS is the address of the Redis");
    let client = redis::Client::open(format!("{address}?protocol=resp3")).expect("the address is one of a Redis");
    let adapter = RedisAdapterCtr::new_with_redis(&client).await.expect("Redis is there");
    let (layer, io) =
        SocketIo::builder().max_buffer_size(QUEUE).with_adapter::<RedisAdapter<_>>(adapter).build_layer();
    io.ns("/", on_connect).await.expect("the namespace can be opened");
    let app = axum::Router::new().layer(layer);
    let l = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free").tap_io(|s| {
        let _ = s.set_nodelay(true);
    });
    axum::serve(l, app).await.expect("the listener lives");
}
