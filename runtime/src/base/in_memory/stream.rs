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
    /// The most bytes that one read gets.
    most_per_read: Option<usize>,
    /// Nothing comes any more.
    is_at_end: bool,
    /// Reads and writes fail.
    is_broken: bool,
    /// The bytes that are still taken. `None` for any number.
    room: Option<usize>,
    /// The bytes that the stream itself keeps until it is flushed, as TLS does, and the most of them.
    kept: Vec<u8>,
    most_kept: usize,
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

    /// Each read of the near end gets at most that many bytes.
    pub(crate) fn send_in_pieces(&self, most_per_read: usize) {
        self.pipe().most_per_read = Some(most_per_read);
    }

    /// The stream keeps up to that many bytes until the near end flushes it.
    pub(crate) fn keep_until_flushed(&self, most: usize) {
        self.pipe().most_kept = most;
    }

    /// Reads and writes of the near end fail from now on.
    pub(crate) fn break_off(&self) {
        let mut pipe = self.pipe();
        pipe.is_broken = true;
        let wakers = [pipe.reader.take(), pipe.writer.take()];
        drop(pipe);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Takes nothing until [`read_on`](Self::read_on).
    pub(crate) fn stop_reading(&self) {
        self.pipe().room = Some(0);
    }

    /// Takes that many bytes more, if it does not take everything.
    pub(crate) fn read_some(&self, bytes: usize) {
        let room = self.pipe().room;
        self.make_room(room.map(|room| room + bytes));
    }

    /// Takes everything again.
    pub(crate) fn read_on(&self) {
        self.make_room(None);
    }

    fn make_room(&self, room: Option<usize>) {
        let mut pipe = self.pipe();
        pipe.room = room;
        let writer = pipe.writer.take();
        drop(pipe);
        writer.into_iter().for_each(Waker::wake);
    }

    /// Returns whether it takes everything.
    pub(crate) fn reads(&self) -> bool {
        self.pipe().room.is_none()
    }

    /// The bytes that the near end has not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.pipe().to_near.len()
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
        if pipe.is_broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
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
        let bytes = pipe.to_near.len().min(into.remaining()).min(pipe.most_per_read.unwrap_or(usize::MAX));
        into.put_slice(&pipe.to_near[..bytes]);
        pipe.to_near.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

impl Pipe {
    /// Moves bytes to the far end, as many as it takes. Returns their number.
    fn pass_on(&mut self, data: &[u8]) -> usize {
        let bytes = data.len().min(self.room.unwrap_or(usize::MAX));
        if let Some(room) = &mut self.room {
            *room -= bytes;
        }
        self.to_far.extend_from_slice(&data[..bytes]);
        bytes
    }

    /// Moves the bytes that the stream keeps. Returns whether none are left.
    fn pass_on_kept(&mut self) -> bool {
        let kept = std::mem::take(&mut self.kept);
        let bytes = self.pass_on(&kept);
        self.kept = kept[bytes..].to_vec();
        self.kept.is_empty()
    }
}

impl Write for NearEnd {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = if pipe.most_kept == 0 {
            pipe.pass_on(data)
        } else {
            if pipe.kept.len() >= pipe.most_kept {
                pipe.pass_on_kept();
            }
            let bytes = data.len().min(pipe.most_kept.saturating_sub(pipe.kept.len()));
            pipe.kept.extend_from_slice(&data[..bytes]);
            bytes
        };
        if bytes == 0 {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.pass_on_kept() {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
