//! A WebSocket over its stream, at either end: it reads and writes in batches, answers pings and close frames, and knows
//! neither sessions nor locks.

use crate::base::runtime::Stream;
use crate::base::trace::debug;
use crate::websocket::buffers::Buffers;
use crate::websocket::deflate::connection::Deflate;
use crate::websocket::{
    Incoming, Reader, Role, write_binary, write_binary_parts, write_close, write_pong, write_text,
};
use bytes::Bytes;
use hyper::rt::ReadBuf;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The time that the peer has to close its side after we have closed ours.
const LINGER: Duration = Duration::from_secs(2);
/// The bytes that wait to be written below which pings are answered.
pub(crate) const PONGS_BELOW: usize = 16 << 10;

/// A WebSocket over its stream.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    reader: Reader,
    /// The bytes that were read beyond the handshake. There are hardly ever any.
    ahead: Option<Box<Bytes>>,
    out: Vec<u8>,
    /// Bytes at the beginning of `out` that are written: a large backlog is not moved for every part that leaves.
    written: usize,
    /// Written bytes still wait inside of the stream: TLS has buffers of its own.
    flushing: bool,
    state: WireState,
    traffic: Traffic,
    /// Compression, if both ends have agreed on it.
    deflate: Option<Box<Deflate>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WireState {
    Open,
    /// The peer has broken the protocol, behind messages that are dealt with and answered first: it is closed with that
    /// code by the next read.
    Failing(u16),
    /// Our close frame is queued. Incoming data is thrown away, until that time at the latest.
    Closing(Instant),
    /// Nothing more is read or written.
    Dead,
}

/// Bytes that WebSockets have moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
    }
}

/// The outcome of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireRead {
    /// Nothing has arrived.
    Nothing,
    /// Something has arrived; its messages, if any, are in the inbox.
    Received,
    /// The peer has closed the WebSocket, or its stream has ended. Messages before that are in the inbox.
    Closed,
    /// It has failed, with that close code. Messages before that were in the inbox of an earlier read.
    Failed(u16),
}

/// A stream that failed before it was closed.
#[derive(Debug)]
pub(crate) struct WireLost;

/// The random numbers that a client masks its frames with; a server has none (RFC 6455, section 5.3).
pub(crate) type Masks<'a> = Option<&'a mut Random>;

impl Wire {
    /// A WebSocket after its handshake, with the bytes that were read beyond that.
    pub(crate) fn new(role: Role, stream: Box<dyn Stream>, ahead: Bytes, max_message: usize) -> Self {
        Self {
            stream,
            reader: Reader::new(role, max_message),
            // An empty slice would keep the buffer that it is a slice of.
            ahead: (!ahead.is_empty()).then(|| Box::new(ahead)),
            out: Vec::new(),
            written: 0,
            flushing: false,
            state: WireState::Open,
            traffic: Traffic::default(),
            deflate: None,
        }
    }

    /// Queues bytes of HTTP before all of its own. Returns whether there are any.
    pub(crate) fn write_first(&mut self, bytes: Vec<u8>) -> bool {
        let behind = std::mem::replace(&mut self.out, bytes);
        let is_first = !self.out.is_empty();
        self.out.extend_from_slice(&behind);
        is_first
    }

    /// With compression, as the two ends have agreed on it.
    pub(crate) fn with_deflate(mut self, deflate: Option<Box<Deflate>>) -> Self {
        self.deflate = deflate;
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, WireState::Open | WireState::Failing(_))
    }

    /// Returns whether the next read closes it for a mistake of the peer.
    pub(crate) fn is_failing(&self) -> bool {
        matches!(self.state, WireState::Failing(_))
    }

    /// Returns whether the input so far ended in the middle of a message.
    pub(crate) fn awaits_more(&self) -> bool {
        !self.reader.is_idle()
    }

    /// Returns whether it is at its end, and may be dropped.
    pub(crate) fn is_dead(&self) -> bool {
        self.state == WireState::Dead
    }

    /// The time at which it is to end, if our close frame is queued.
    pub(crate) fn lingers_until(&self) -> Option<Instant> {
        match self.state {
            WireState::Closing(until) => Some(until),
            WireState::Open | WireState::Failing(_) | WireState::Dead => None,
        }
    }

    /// Ends it if the peer has had its time to close it.
    pub(crate) fn end_lingering(&mut self, now: Instant) {
        if self.lingers_until().is_some_and(|until| until <= now) {
            self.state = WireState::Dead;
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    /// Returns whether there is something to write, or to flush.
    pub(crate) fn is_behind(&self) -> bool {
        self.flushing || self.unwritten() > 0
    }

    /// The bytes that were moved since the last call.
    pub(crate) fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// Queues a message, which may be compressed unless `compress` says no.
    #[inline]
    pub(crate) fn write(&mut self, message: &WireMessage, compress: bool, mut masks: Masks<'_>) {
        let mask = mask(&mut masks);
        if let Some(deflate) = &mut self.deflate {
            return deflate.write(message.clone(), compress, mask);
        }
        match message {
            WireMessage::Text(text) => write_text(&mut self.out, mask, text),
            WireMessage::Binary(data) => write_binary(&mut self.out, mask, data),
        }
    }

    /// Compresses what is queued, which takes longer than to copy it: the session's lock should not be held.
    fn flush_deflate(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            deflate.flush(&mut self.out);
        }
    }

    /// Queues a binary message that begins with that byte: a server's, which has no mask.
    pub(crate) fn write_typed(&mut self, kind: u8, data: &[u8], compress: bool) {
        match &mut self.deflate {
            Some(deflate) => {
                let message = WireMessage::Binary([&[kind], data].concat().into());
                deflate.write(message, compress, None);
            }
            None => write_binary_parts(&mut self.out, [&[kind], data]),
        }
    }

    /// Queues a close frame. The peer has some time to close its side.
    pub(crate) fn close(&mut self, code: Option<u16>, now: Instant, mut masks: Masks<'_>) {
        if self.is_open() {
            self.flush_deflate();
            write_close(&mut self.out, mask(&mut masks), code, "");
            self.state = WireState::Closing(now + LINGER);
        }
    }

    /// Reads one batch, and puts its messages into the inbox.
    pub(crate) fn poll_read(
        &mut self,
        buffers: &mut Buffers,
        now: Instant,
        mut masks: Masks<'_>,
        context: &mut Context<'_>,
    ) -> WireRead {
        if let WireState::Failing(code) = self.state {
            self.close(Some(code), now, masks);
            return WireRead::Failed(code);
        }
        let bytes = match self.fill(&mut buffers.read, context) {
            Poll::Pending => return WireRead::Nothing,
            Poll::Ready(Ok(0)) => return self.ended(WireRead::Closed),
            Poll::Ready(Ok(bytes)) => bytes,
            Poll::Ready(Err(WireLost)) => return self.ended(WireRead::Failed(1006)),
        };
        self.traffic.read += bytes as u64;
        let inbox = &mut buffers.inbox;
        let was_open = self.is_open();
        let mut closed = None;
        let Self { reader, out, written, deflate, .. } = self;
        let inflating = deflate.as_deref_mut().map(|deflate| &mut deflate.inflating);
        let fed = reader.feed_with(inflating, &mut buffers.read[..bytes], &mut |item| match item {
            Incoming::Text(text) if was_open => inbox.push(WireMessage::Text(text)),
            Incoming::Binary(data) if was_open => inbox.push(WireMessage::Binary(data)),
            Incoming::Close(code) => closed = Some(code),
            _ if !was_open => {}
            // A peer that pings without reading gets no more answers than fit (RFC 6455, section 5.5.3).
            Incoming::Ping(data) if out.len() - *written < PONGS_BELOW => {
                write_pong(out, mask(&mut masks), &data);
            }
            // Messages were taken above.
            _ => {}
        });
        if !was_open {
            // All that counts now is that the peer closes, too.
            if closed.is_some() || fed.is_err() {
                self.state = WireState::Dead;
            }
            return WireRead::Received;
        }
        if let Err(error) = fed {
            debug!(%error, "the peer broke the WebSocket protocol");
            self.state = WireState::Failing(error.close_code());
            return WireRead::Received;
        }
        let Some(code) = closed else {
            if let Ok(left @ 1..) = fed {
                self.put_back(&buffers.read[bytes - left..bytes]);
            }
            return WireRead::Received;
        };
        self.flush_deflate();
        write_close(&mut self.out, mask(&mut masks), code, "");
        // Both sides have said it.
        self.state = WireState::Closing(now);
        WireRead::Closed
    }

    /// Keeps bytes for the next read.
    fn put_back(&mut self, bytes: &[u8]) {
        let behind = self.ahead.take().map(|ahead| *ahead).unwrap_or_default();
        self.ahead = Some(Box::new(Bytes::from([bytes, &behind].concat())));
    }

    /// Fills the beginning of a buffer. Returns how many bytes it got.
    fn fill(&mut self, buffer: &mut [u8], context: &mut Context<'_>) -> Poll<Result<usize, WireLost>> {
        if let Some(ahead) = &mut self.ahead {
            let bytes = ahead.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&ahead.split_to(bytes));
            if ahead.is_empty() {
                self.ahead = None;
            }
            return Poll::Ready(Ok(bytes));
        }
        let mut read = ReadBuf::new(buffer);
        match Pin::new(&mut *self.stream).poll_read(context, read.unfilled()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Ok(read.filled().len())),
            Poll::Ready(Err(error)) => {
                debug!(%error, "a WebSocket failed");
                Poll::Ready(Err(WireLost))
            }
        }
    }

    /// Lends it a thread's large buffer to write from, unless something waits in its own.
    pub(crate) fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.out.is_empty() {
            std::mem::swap(&mut self.out, buffer);
        }
    }

    /// Gives the thread's buffer back. It keeps only what is left, and no memory if that is nothing.
    pub(crate) fn give_back(&mut self, buffer: &mut Vec<u8>) {
        if self.unwritten() == 0 {
            let out = std::mem::take(&mut self.out);
            self.written = 0;
            if out.capacity() > buffer.capacity() {
                *buffer = out;
            }
        } else if buffer.capacity() == 0 {
            let left = self.out[std::mem::take(&mut self.written)..].to_vec();
            *buffer = std::mem::replace(&mut self.out, left);
        }
    }

    /// Writes what is queued, as far as the stream takes it.
    ///
    /// # Errors
    /// If that fails before our close frame was queued.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), WireLost> {
        self.flush_deflate();
        while self.unwritten() > 0 {
            match Pin::new(&mut *self.stream).poll_write(context, &self.out[self.written..]) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    self.written += bytes;
                    self.traffic.written += bytes as u64;
                }
                // Whatever follows would follow half a frame.
                Poll::Ready(_) => return self.lost(),
                Poll::Pending => {
                    // Once more than half is gone, moving the rest costs less than what has left.
                    if self.written > self.unwritten() {
                        self.out.drain(..std::mem::take(&mut self.written));
                    }
                    return Ok(());
                }
            }
        }
        if self.written > 0 {
            self.out.clear();
            self.written = 0;
            self.flushing = true;
        }
        if !self.flushing {
            return Ok(());
        }
        match Pin::new(&mut *self.stream).poll_flush(context) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Err(_)) => return self.lost(),
            Poll::Ready(Ok(())) => {}
        }
        let is_closing = self.lingers_until().is_some();
        if is_closing && Pin::new(&mut *self.stream).poll_shutdown(context).is_pending() {
            return Ok(());
        }
        self.flushing = false;
        Ok(())
    }

    fn lost(&mut self) -> Result<(), WireLost> {
        let was_open = self.is_open();
        self.ended(WireRead::Failed(1006));
        if was_open { Err(WireLost) } else { Ok(()) }
    }

    /// The stream has ended or failed. If it was closed before, that is no news.
    fn ended(&mut self, news: WireRead) -> WireRead {
        let was_open = self.is_open();
        self.state = WireState::Dead;
        self.deflate = None;
        self.out = Vec::new();
        self.written = 0;
        self.flushing = false;
        if was_open { news } else { WireRead::Received }
    }
}

/// Four bytes that nobody can foresee (RFC 6455, section 10.3).
fn mask(masks: &mut Masks<'_>) -> Option<[u8; 4]> {
    Some(masks.as_mut()?.u32().to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::{Read, ReadBufCursor, Write};
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    /// A stream that keeps each write apart.
    struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Read for Writes {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Writes {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(data.to_vec());
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_response_that_was_held_back_leaves_in_one_write_with_the_first_message() {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let mut wire = Wire::new(Role::Server, Box::new(Writes(writes.clone())), Bytes::new(), 100);
        assert!(!wire.write_first(Vec::new()));
        assert!(!wire.is_behind());
        // Without a message, too: the first one may be the client's.
        for (messages, expected) in [(0, &b"101"[..]), (1, b"101\x81\x010"), (2, b"101\x81\x010\x81\x010")] {
            assert!(wire.write_first(b"101".to_vec()));
            assert!(wire.is_behind());
            // A buffer of the thread is not lent: it would be written before.
            let mut lent = Vec::with_capacity(100);
            wire.lend(&mut lent);
            for _ in 0..messages {
                wire.write(&WireMessage::Text(Bytes::from_static(b"0")), true, None);
            }
            wire.poll_write(&mut Context::from_waker(Waker::noop())).unwrap();
            wire.give_back(&mut lent);
            assert_eq!(std::mem::take(&mut *writes.lock().unwrap()), [expected]);
            assert!(!wire.is_behind());
        }
    }
}
