//! Frames in and out of one connection.

use crate::frame::{Frame, decode, encode};
use async_io::Async;
use bytes::{Buf, BytesMut};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

/// Bytes that are read at once: at first, and on a connection that brings more.
const FIRST_READ: usize = 4 << 10;
const READ: usize = 64 << 10;
/// Bytes that may wait to be written before no more is added: what does not fit waits where it has a bound of its own.
const ROOM: usize = 256 << 10;

pub(crate) struct Wire {
    stream: Async<UnixStream>,
    max: usize,
    /// The buffer that the socket is read into: cleared once, and not for each read.
    scratch: Vec<u8>,
    read: BytesMut,
    written: BytesMut,
}

impl Wire {
    pub(crate) fn new(stream: Async<UnixStream>, max: usize) -> Self {
        Self { stream, max, scratch: vec![0; FIRST_READ], read: BytesMut::new(), written: BytesMut::new() }
    }

    /// The next frame; `None` at the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Frame>>> {
        loop {
            if let Some(frame) = decode(&mut self.read, self.max)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            match self.stream.get_ref().read(&mut self.scratch) {
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(read) => {
                    self.read.extend_from_slice(&self.scratch[..read]);
                    if read == self.scratch.len() && read < READ {
                        self.scratch.resize(READ, 0);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_readable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether more may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.written.len() < ROOM
    }

    pub(crate) fn write(&mut self, frame: &Frame) {
        // Nodes send nothing that large.
        let _ = encode(frame, &mut self.written);
    }

    /// Writes what was added. Ready once all of it is written.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.written.is_empty() {
            match self.stream.get_ref().write(&self.written) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => self.written.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_writable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
