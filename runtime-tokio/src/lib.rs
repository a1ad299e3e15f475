//! Socket.IO for tokio.
