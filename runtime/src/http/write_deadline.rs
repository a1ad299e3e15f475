//! A deadline for what HTTP writes. hyper has none: the answer to a poll of a client that reads nothing would stay in
//! memory for as long as the client likes.

use crate::base::runtime::{Stream, Timer};
use crate::http::head_deadline::Heads;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::upgrade::Upgraded;
use std::fmt;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The I/O of an HTTP connection, whose writes fail with [`io::ErrorKind::TimedOut`] once the peer has taken nothing
/// for a while. It also holds back a response of status 101, to write it together with the first message.
/// [`serve_connection`](crate::adapter::serve_connection) puts it around what it is given; after an upgrade,
/// [`raw_stream`] takes it off, since sessions have deadlines of their own.
pub struct WriteDeadline<IO> {
    io: IO,
    /// The heads, which are told of each read, with the limits of their connection.
    heads: Arc<Heads>,
    timer: Option<Box<dyn Timer>>,
    /// The timer runs: the last attempt moved nothing.
    is_waiting: bool,
    /// The bytes that were read to see the version of HTTP, and are to be read once more.
    #[cfg(feature = "http2")]
    ahead: Bytes,
}

impl<IO> WriteDeadline<IO> {
    pub(crate) fn new(io: IO, heads: Arc<Heads>) -> Self {
        Self {
            io,
            heads,
            timer: None,
            is_waiting: false,
            #[cfg(feature = "http2")]
            ahead: Bytes::new(),
        }
    }

    /// Gives back what was read, to be read once more.
    #[cfg(feature = "http2")]
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        self.ahead = Bytes::copy_from_slice(bytes);
    }

    /// The stream, and what was read ahead of it: by hyper, and then what hyper has not taken.
    fn into_stream(self, by_hyper: Bytes) -> (IO, Bytes) {
        #[cfg(feature = "http2")]
        if !self.ahead.is_empty() {
            return (self.io, [by_hyper, self.ahead].concat().into());
        }
        (self.io, by_hyper)
    }

    /// The I/O without the deadline.
    pub fn into_inner(self) -> IO {
        self.io
    }

    /// Passes on what came of an attempt, unless it was in vain for too long.
    fn judge<T>(&mut self, attempt: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.is_waiting = false;
            return attempt;
        }
        let Heads { runtime, deadlines, .. } = &*self.heads;
        let timer = match &mut self.timer {
            Some(timer) if self.is_waiting => timer,
            Some(timer) => {
                timer.reset(runtime.now() + deadlines.write);
                timer
            }
            none => none.insert(runtime.timer(runtime.now() + deadlines.write)),
        };
        self.is_waiting = true;
        match timer.poll_elapsed(context) {
            Poll::Ready(()) => {
                let reason = "the client took nothing of the response for too long";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: Read + Unpin> Read for WriteDeadline<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        #[cfg_attr(not(feature = "http2"), expect(unused_mut))] mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(feature = "http2")]
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(taken));
            self.heads.note_read();
            return Poll::Ready(Ok(()));
        }
        let attempt = Pin::new(&mut self.io).poll_read(context, buffer);
        if attempt.is_ready() {
            self.heads.note_read();
        }
        attempt
    }
}

impl<IO: Write + Unpin> Write for WriteDeadline<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(length) = self.heads.keep(&[IoSlice::new(data)]) {
            return Poll::Ready(Ok(length));
        }
        let attempt = Pin::new(&mut self.io).poll_write(context, data);
        self.judge(attempt, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.io).poll_flush(context);
        self.judge(attempt, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.io).poll_shutdown(context);
        self.judge(attempt, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(length) = self.heads.keep(data) {
            return Poll::Ready(Ok(length));
        }
        let attempt = Pin::new(&mut self.io).poll_write_vectored(context, data);
        self.judge(attempt, context)
    }
}

impl<IO> fmt::Debug for WriteDeadline<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteDeadline").field("limit", &self.heads.deadlines.write).finish_non_exhaustive()
    }
}

/// The stream of type `IO` itself, out of hyper's hands and from under the [`WriteDeadline`] that
/// [`serve_connection`](crate::adapter::serve_connection) put around it, with what hyper had read beyond the request.
/// For [`Runtime::stream`](crate::adapter::Runtime::stream).
///
/// # Errors
/// The connection as it was given, if the stream in it is of another type.
pub fn raw_stream<IO: Stream + 'static>(upgraded: Upgraded) -> Result<(Box<dyn Stream>, Bytes), Upgraded> {
    match upgraded.downcast::<WriteDeadline<IO>>() {
        Ok(parts) => {
            let (io, read) = parts.io.into_stream(parts.read_buf);
            Ok((Box::new(io), read))
        }
        Err(upgraded) => upgraded.downcast::<IO>().map(|parts| (Box::new(parts.io) as _, parts.read_buf)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::{InMemory, NearEnd, stream};
    use crate::base::upgrade::HoldsBack;
    use crate::http::options::Deadlines;
    use std::task::Waker;

    fn connection(io: NearEnd) -> (WriteDeadline<NearEnd>, Arc<Heads>) {
        let heads = Arc::new(Heads::new(Arc::new(InMemory::new()), Arc::new(Deadlines::default())));
        (WriteDeadline::new(io, heads.clone()), heads)
    }

    fn write(io: &mut WriteDeadline<NearEnd>, data: &[u8]) -> usize {
        let written = Pin::new(io).poll_write(&mut Context::from_waker(Waker::noop()), data);
        let Poll::Ready(Ok(length)) = written else { panic!("{written:?}") };
        length
    }

    #[test]
    fn a_response_that_is_held_back_is_kept_until_it_is_taken() {
        let (near, far) = stream();
        let (mut io, heads) = connection(near);
        assert_eq!((write(&mut io, b"200"), far.take()), (3, b"200".to_vec()));
        heads.hold();
        assert_eq!(write(&mut io, b"101"), 3);
        let mut context = Context::from_waker(Waker::noop());
        let parts = [IoSlice::new(b" Switching"), IoSlice::new(b" Protocols")];
        let written = Pin::new(&mut io).poll_write_vectored(&mut context, &parts);
        assert!(matches!(written, Poll::Ready(Ok(20))), "{written:?}");
        assert!(Pin::new(&mut io).poll_flush(&mut context).is_ready());
        assert!(far.take().is_empty());
        assert_eq!(heads.take_held(), b"101 Switching Protocols");
        assert_eq!((write(&mut io, b"frame"), far.take()), (5, b"frame".to_vec()));
        assert!(heads.take_held().is_empty());
    }

    #[test]
    fn what_is_longer_than_such_a_response_is_not_held_back_and_stays_before_it() {
        let (near, far) = stream();
        let (mut io, heads) = connection(near);
        heads.hold();
        let before = vec![b'a'; 5000];
        assert_eq!((write(&mut io, &before), far.take()), (5000, before));
        assert_eq!((write(&mut io, b"101"), far.take()), (3, Vec::new()));
        assert_eq!(write(&mut io, &[b'b'; 5000]), 5000);
        assert!(far.take().is_empty());
        assert_eq!(heads.take_held().len(), 5003);
    }
}
