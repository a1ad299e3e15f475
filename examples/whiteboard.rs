//! Socket.IO's whiteboard: each line that one client draws, all others draw. Each adapter's example includes this file and
//! provides the adapter as `crate::sansocket`.

use crate::sansocket::{Args, Server, Socket};

pub(crate) fn register(io: &Server) {
    // The arguments are passed on as they came: nothing here needs to know what a line is.
    io.on("drawing", async |socket: Socket, args: Args| socket.broadcast().emit("drawing", &args));
}
