//! The example application of Flask-SocketIO: the same events with the same names and payloads, so that its page works
//! with this server. Each adapter's example includes this file and provides the adapter as `crate::sansocket`.

use crate::sansocket::{Data, EmitError, Error, Server, Socket, WeakServer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Deserialize)]
struct Message {
    data: Value,
}

#[derive(Deserialize)]
struct Room {
    room: String,
}

#[derive(Deserialize)]
struct RoomMessage {
    room: String,
    data: Value,
}

/// The events that one client has sent, kept with its socket.
#[derive(Default)]
struct Received(AtomicU64);

/// A response to a client's event, with their number so far.
fn response(socket: &Socket, data: impl Serialize) -> Value {
    let count = socket.get::<Received>().map_or(0, |received| received.0.fetch_add(1, Ordering::Relaxed) + 1);
    json!({ "data": data, "count": count })
}

async fn rooms(socket: Socket) -> Result<(), EmitError> {
    let rooms = socket.rooms().join(", ");
    socket.emit("my_response", &response(&socket, format!("In rooms: {rooms}")))
}

async fn join(socket: Socket, Data(Room { room }): Data<Room>) -> Result<(), Error> {
    socket.join(room)?;
    Ok(rooms(socket).await?)
}

async fn leave(socket: Socket, Data(Room { room }): Data<Room>) -> Result<(), EmitError> {
    socket.leave(room);
    rooms(socket).await
}

async fn close_room(io: Server, socket: Socket, Data(Room { room }): Data<Room>) -> Result<(), EmitError> {
    let closing = response(&socket, format!("Room {room} is closing."));
    io.to(&room).emit("my_response", &closing)?;
    io.close_room(&room);
    Ok(())
}

/// The client goes once it has seen that it may.
async fn disconnect_request(socket: Socket) {
    let _ = socket.call::<_, ()>("my_response", &response(&socket, "Disconnected!")).await;
    socket.disconnect();
}

pub(crate) fn register(io: &Server) {
    io.on_connect(async |socket: Socket| drop(socket.insert(Received::default())))
        .on_connected(async |socket: Socket| {
            socket.emit("my_response", &json!({ "data": "Connected", "count": 0 }))
        })
        .on("my_event", async |socket: Socket, Data(message): Data<Message>| {
            socket.emit("my_response", &response(&socket, message.data))
        })
        .on("my_broadcast_event", async |io: Server, socket: Socket, Data(message): Data<Message>| {
            io.emit("my_response", &response(&socket, message.data))
        })
        .on("my_room_event", async |io: Server, socket: Socket, Data(message): Data<RoomMessage>| {
            io.to(message.room).emit("my_response", &response(&socket, message.data))
        })
        .on("join", join)
        .on("leave", leave)
        .on("close_room", close_room)
        .on("disconnect_request", disconnect_request)
        .on("my_ping", async |socket: Socket| socket.emit("my_pong", &()))
        .on_disconnect(async |socket: Socket| println!("Client disconnected: {}", socket.id()));
}

/// Tells all clients something every ten seconds, for as long as there is the server.
pub(crate) async fn background(io: WeakServer, sleep: impl AsyncFn(Duration)) {
    for count in 1.. {
        sleep(Duration::from_secs(10)).await;
        let Some(io) = io.upgrade() else { return };
        let _ = io.emit("my_response", &json!({ "data": "Server generated event", "count": count }));
    }
}
