//! A stream in memory, whose far end the test holds.

use super::InMemory;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The near end of a stream.
pub(crate) struct NearEnd(Arc<Mutex<Pipe>>);

/// The far end of a stream, which the test holds.
#[derive(Clone)]
pub(crate) struct FarEnd(Arc<Mutex<Pipe>>);

#[derive(Default)]
struct Pipe {
    to_near: Vec<u8>,
    to_far: Vec<u8>,
    flood: Option<Flood>,
    /// Nothing comes any more.
    is_at_end: bool,
    /// Nothing is taken any more.
    is_full: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    near_is_dropped: bool,
}

/// Bytes that come without end, a piece at each read.
struct Flood {
    piece: Vec<u8>,
    /// The time that a read takes: without it, time would stand still.
    takes: Duration,
    runtime: InMemory,
}

/// A stream in memory.
pub(crate) fn stream() -> (NearEnd, FarEnd) {
    let pipe = Arc::new(Mutex::new(Pipe::default()));
    (NearEnd(pipe.clone()), FarEnd(pipe))
}

impl FarEnd {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut pipe = self.pipe();
        pipe.to_near.extend_from_slice(bytes);
        let reader = pipe.reader.take();
        drop(pipe);
        reader.into_iter().for_each(Waker::wake);
    }

    /// From now on there is always something to read.
    pub(crate) fn flood(&self, piece: Vec<u8>, takes: Duration, runtime: &InMemory) {
        self.pipe().flood = Some(Flood { piece, takes, runtime: runtime.clone() });
        self.send(&[]);
    }

    /// The flood is over.
    pub(crate) fn stop_flood(&self) {
        self.pipe().flood = None;
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        self.pipe().is_at_end = true;
        self.send(&[]);
    }

    /// Takes nothing until [`read_on`](Self::read_on).
    pub(crate) fn stop_reading(&self) {
        self.pipe().is_full = true;
    }

    /// Takes everything again.
    pub(crate) fn read_on(&self) {
        let mut pipe = self.pipe();
        pipe.is_full = false;
        let writer = pipe.writer.take();
        drop(pipe);
        writer.into_iter().for_each(Waker::wake);
    }

    /// Takes the bytes that were written since the last call.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.pipe().to_far)
    }

    /// Returns whether the near end is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.pipe().near_is_dropped
    }
}

impl Drop for NearEnd {
    fn drop(&mut self) {
        self.0.lock().unwrap().near_is_dropped = true;
    }
}

impl Read for NearEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.to_near.is_empty() {
            if pipe.is_at_end {
                return Poll::Ready(Ok(()));
            }
            let Some(flood) = &pipe.flood else {
                pipe.reader = Some(context.waker().clone());
                return Poll::Pending;
            };
            let (piece, takes, runtime) = (flood.piece.clone(), flood.takes, flood.runtime.clone());
            drop(pipe);
            runtime.advance(takes);
            into.put_slice(&piece);
            return Poll::Ready(Ok(()));
        }
        let bytes = pipe.to_near.len().min(into.remaining());
        into.put_slice(&pipe.to_near[..bytes]);
        pipe.to_near.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

impl Write for NearEnd {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.is_full {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        pipe.to_far.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
