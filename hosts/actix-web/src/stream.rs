//! A WebSocket's bytes, between actix-web's request and response and the session that reads and writes them.

use bytes::{Buf, Bytes, BytesMut};
use futures_channel::mpsc;
use futures_core::Stream;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The largest piece that is passed on.
const PIECE: usize = 64 << 10;

/// The connection, as a session reads and writes it.
#[derive(Debug)]
pub(crate) struct HostIo {
    incoming: mpsc::Receiver<io::Result<Bytes>>,
    /// The rest of a piece that was larger than its reader's buffer.
    rest: Bytes,
    outgoing: mpsc::Sender<io::Result<Bytes>>,
}

impl HostIo {
    /// With the request's body as its input, and the response's body for its output.
    pub(crate) fn new(
        incoming: mpsc::Receiver<io::Result<Bytes>>,
    ) -> (Self, mpsc::Receiver<io::Result<Bytes>>) {
        let (outgoing, body) = mpsc::channel(0);
        (Self { incoming, rest: Bytes::new(), outgoing }, body)
    }

    fn poll_capacity(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_ready(context).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn send(&mut self, piece: Bytes) -> io::Result<usize> {
        let length = piece.len();
        self.outgoing.start_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(length)
    }
}

impl Read for HostIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.incoming).poll_next(context)) {
                Some(piece) => self.rest = piece?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl Write for HostIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_capacity(context))?;
        Poll::Ready(self.send(Bytes::copy_from_slice(&data[..data.len().min(PIECE)])))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_capacity(context))?;
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>().min(PIECE);
        let mut piece = BytesMut::with_capacity(length);
        for slice in slices {
            piece.extend_from_slice(&slice[..slice.len().min(length - piece.len())]);
        }
        Poll::Ready(self.send(piece.freeze()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was passed on is actix-web's, which writes without being asked.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What waits is still written; then the response ends, and the connection with it.
        self.outgoing.close_channel();
        Poll::Ready(Ok(()))
    }
}
