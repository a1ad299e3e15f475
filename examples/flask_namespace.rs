//! The example application of Flask-SocketIO once more, as it is there with a class-based namespace: a type with its state,
//! whose functions are the handlers. Each adapter's example includes this file and provides the adapter as
//! `crate::sansocket`.

use crate::sansocket::{Data, EmitError, Error, Namespace, Server, Socket, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Deserialize)]
pub(crate) struct Message {
    data: Value,
}

#[derive(Deserialize)]
pub(crate) struct Room {
    room: String,
}

#[derive(Deserialize)]
pub(crate) struct RoomMessage {
    room: String,
    data: Value,
}

/// The namespace, with the number of events of each client.
#[derive(Default)]
pub(crate) struct Demo {
    received: Mutex<HashMap<String, u64>>,
}

/// The argument of each handler in place of `self`.
type This = State<Arc<Demo>>;

impl Demo {
    pub(crate) fn register(self, io: &Server) -> Namespace {
        let namespace = io.provide(Arc::new(self)).root();
        namespace
            .on_connected(|socket: Socket| {
                socket.emit("my_response", &json!({ "data": "Connected", "count": 0 }))
            })
            .on("my_event", Self::my_event)
            .on("my_broadcast_event", Self::my_broadcast_event)
            .on("my_room_event", Self::my_room_event)
            .on("join", Self::join)
            .on("leave", Self::leave)
            .on("close_room", Self::close_room)
            .on("disconnect_request", Self::disconnect_request)
            .on("my_ping", |socket: Socket| socket.emit("my_pong", &()))
            .on_disconnect(Self::disconnect);
        namespace
    }

    /// A response to a client's event, with their number so far.
    fn response(&self, socket: &Socket, data: impl Serialize) -> Value {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let count = received.entry(socket.id().to_owned()).or_default();
        *count += 1;
        json!({ "data": data, "count": *count })
    }

    fn tell_rooms(&self, socket: &Socket) -> Result<(), EmitError> {
        socket.emit("my_response", &self.response(socket, format!("In rooms: {}", socket.rooms().join(", "))))
    }

    fn my_event(State(demo): This, socket: Socket, Data(message): Data<Message>) -> Result<(), EmitError> {
        socket.emit("my_response", &demo.response(&socket, message.data))
    }

    fn my_broadcast_event(
        State(demo): This,
        socket: Socket,
        Data(message): Data<Message>,
    ) -> Result<(), EmitError> {
        socket.namespace().emit("my_response", &demo.response(&socket, message.data))
    }

    fn my_room_event(
        State(demo): This,
        socket: Socket,
        Data(message): Data<RoomMessage>,
    ) -> Result<(), EmitError> {
        let response = demo.response(&socket, message.data);
        socket.namespace().to(message.room).emit("my_response", &response)
    }

    fn join(State(demo): This, socket: Socket, Data(Room { room }): Data<Room>) -> Result<(), Error> {
        socket.join(room)?;
        Ok(demo.tell_rooms(&socket)?)
    }

    fn leave(State(demo): This, socket: Socket, Data(Room { room }): Data<Room>) -> Result<(), EmitError> {
        socket.leave(room);
        demo.tell_rooms(&socket)
    }

    fn close_room(
        State(demo): This,
        socket: Socket,
        Data(Room { room }): Data<Room>,
    ) -> Result<(), EmitError> {
        let closing = demo.response(&socket, format!("Room {room} is closing."));
        socket.namespace().to(&room).emit("my_response", &closing)?;
        socket.namespace().close_room(&room);
        Ok(())
    }

    /// The client goes once it has seen that it may.
    async fn disconnect_request(State(demo): This, socket: Socket) {
        let _ = socket.call::<_, ()>("my_response", &demo.response(&socket, "Disconnected!")).await;
        socket.disconnect();
    }

    fn disconnect(State(demo): This, socket: Socket) {
        demo.received.lock().unwrap_or_else(PoisonError::into_inner).remove(socket.id());
    }
}
