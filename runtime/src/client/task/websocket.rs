//! A client's WebSocket over its stream: reads in batches, writes in batches.

use crate::base::runtime::Stream;
use crate::base::trace::debug;
use crate::websocket::{self, Incoming, Reader, Role};
use bytes::Bytes;
use hyper::rt::ReadBuf;
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::time;
use std::pin::Pin;
use std::task::{Context, Poll};

/// WebSocket pings are answered while less than this waits to be written.
const PONGS_BELOW: usize = 16 << 10;

/// Written bytes are given back when they are more than this, and not for every piece.
const KEEP_WRITTEN: usize = 256 << 10;

/// So large a buffer stays, empty or not.
const KEEP_EMPTY: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// Our close frame is queued; what comes in is thrown away, until then at the latest.
    Closing(time::Instant),
    /// Nothing more is read or written.
    Dead,
}

/// What a read gave.
pub(crate) enum Read {
    Nothing,
    /// It gave messages, perhaps.
    Some,
    /// The server closed it, or the stream ended.
    Closed,
    /// It failed, with that close code.
    Failed(u16),
}

pub(crate) struct WebSocket {
    pub(crate) id: RequestId,
    pub(crate) state: State,
    stream: Box<dyn Stream>,
    reader: Reader,
    /// What was read beyond the handshake.
    ahead: Bytes,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// What was written still waits inside of the stream: TLS has buffers of its own.
    flushing: bool,
}

impl WebSocket {
    pub(crate) fn new(id: RequestId, stream: Box<dyn Stream>, ahead: Bytes, max_message: usize) -> Self {
        Self {
            id,
            state: State::Open,
            stream,
            reader: Reader::new(Role::Client, max_message),
            ahead,
            out: Vec::new(),
            written: 0,
            flushing: false,
        }
    }

    pub(crate) fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.flushing || self.unwritten() > 0
    }

    pub(crate) fn write(&mut self, message: &WireMessage, random: &mut Random) {
        let mask = Some(mask(random));
        match message {
            WireMessage::Text(text) => websocket::write_text(&mut self.out, mask, text),
            WireMessage::Binary(data) => websocket::write_binary(&mut self.out, mask, data),
        }
    }

    /// Queues a close frame.
    pub(crate) fn close(&mut self, code: Option<u16>, until: time::Instant, random: &mut Random) {
        if self.state == State::Open {
            websocket::write_close(&mut self.out, Some(mask(random)), code, "");
            self.state = State::Closing(until);
        }
    }

    /// Reads one batch. Messages go into `inbox`; the rest is dealt with here.
    pub(crate) fn poll_read(
        &mut self,
        buffer: &mut [u8],
        inbox: &mut Vec<Incoming>,
        now: time::Instant,
        random: &mut Random,
        context: &mut Context<'_>,
    ) -> Read {
        let bytes = if self.ahead.is_empty() {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *self.stream).poll_read(context, read.unfilled()) {
                Poll::Pending => return Read::Nothing,
                Poll::Ready(Ok(())) => read.filled().len(),
                Poll::Ready(Err(error)) => {
                    debug!(%error, "a WebSocket failed");
                    return self.dead(Read::Failed(1006));
                }
            }
        } else {
            let bytes = self.ahead.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&self.ahead[..bytes]);
            let rest = self.ahead.slice(bytes..);
            self.ahead = if rest.is_empty() { Bytes::new() } else { rest };
            bytes
        };
        if bytes == 0 {
            return self.dead(Read::Closed);
        }
        let fed = self.reader.feed(&mut buffer[..bytes], &mut |item| inbox.push(item));
        let mut outcome = Read::Some;
        if self.state != State::Open {
            // Only that the other side closes, too, is of interest now.
            if inbox.iter().any(|item| matches!(item, Incoming::Close(_))) || fed.is_err() {
                self.state = State::Dead;
            }
            inbox.clear();
            return outcome;
        }
        if let Err(error) = fed {
            debug!(%error, "the server broke the WebSocket protocol");
            self.close(Some(error.close_code()), now, random);
            outcome = Read::Failed(error.close_code());
        }
        inbox.retain(|item| match item {
            Incoming::Text(_) | Incoming::Binary(_) => true,
            Incoming::Ping(data) => {
                // One who pings without reading gets no more answers than fit (RFC 6455, section 5.5.3).
                if self.out.len() - self.written < PONGS_BELOW {
                    websocket::write_pong(&mut self.out, Some(mask(random)), data);
                }
                false
            }
            Incoming::Pong => false,
            Incoming::Close(code) => {
                websocket::write_close(&mut self.out, Some(mask(random)), *code, "");
                self.state = State::Closing(now);
                outcome = Read::Closed;
                false
            }
        });
        outcome
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) -> Read {
        let before = self.written;
        while self.written < self.out.len() {
            match Pin::new(&mut *self.stream).poll_write(context, &self.out[self.written..]) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => self.written += bytes,
                // Whatever follows would follow half a frame.
                Poll::Ready(_) => return self.dead(Read::Failed(1006)),
                Poll::Pending => {
                    self.flushing |= self.written > before;
                    if self.written > KEEP_WRITTEN {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Read::Nothing;
                }
            }
        }
        if self.written > 0 {
            self.flushing = true;
            // What a burst has made large goes once less is written, with the next heartbeat at the latest: to shrink
            // it after each burst would cost a row of system calls to let it grow again.
            if self.out.capacity() > KEEP_EMPTY && self.written < self.out.capacity() / 8 {
                self.out = Vec::new();
            } else {
                self.out.clear();
            }
            self.written = 0;
        }
        if !self.flushing {
            return Read::Nothing;
        }
        match Pin::new(&mut *self.stream).poll_flush(context) {
            Poll::Pending => return Read::Nothing,
            Poll::Ready(Err(_)) => return self.dead(Read::Failed(1006)),
            Poll::Ready(Ok(())) => {}
        }
        let closing = matches!(self.state, State::Closing(_));
        if closing && Pin::new(&mut *self.stream).poll_shutdown(context).is_pending() {
            return Read::Nothing;
        }
        self.flushing = false;
        Read::Nothing
    }

    fn dead(&mut self, outcome: Read) -> Read {
        let was = std::mem::replace(&mut self.state, State::Dead);
        self.out = Vec::new();
        self.written = 0;
        self.flushing = false;
        // One that we have closed has nothing to tell.
        if was == State::Open { outcome } else { Read::Some }
    }
}

/// Four bytes that nobody can foresee (RFC 6455, section 10.3).
fn mask(random: &mut Random) -> [u8; 4] {
    let [a, b, c, d, ..] = random.u64().to_le_bytes();
    [a, b, c, d]
}
