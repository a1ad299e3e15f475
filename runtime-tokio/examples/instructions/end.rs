//! One end of a connection, which knows bytes alone, on a network in memory: a client's or a server's.

use hyper::rt::{Read as _, ReadBuf, Write as _};
use sansocket_tokio::testing::TestServer;
use sansocket_tokio::{Dial, Server, Stream};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The bytes that an end has room for at first. It gets more when it needs more, before the measured rounds: a scenario
/// that connects again and again would count little else if each end had room for all that may ever come.
const FIRST_ROOM: usize = 1 << 10;
/// The largest payload whose length a frame holds in its second byte.
const SHORT: usize = 125;
/// The mask of all frames. Not zeros, with which nothing would have to be unmasked.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// One end of a connection.
pub(crate) struct End {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
}

impl End {
    /// That of a client of the server.
    pub(crate) fn connect(test: &TestServer<Server>) -> Self {
        Self::new(test.block_on(test.network().dial("test".to_owned(), 80)).expect("a connection"))
    }

    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes, which the network takes at once.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        let sent = Pin::new(&mut self.stream).poll_write(&mut context, bytes);
        assert!(matches!(sent, Poll::Ready(Ok(count)) if count == bytes.len()), "not sent: {sent:?}");
    }

    /// All that has arrived.
    pub(crate) fn received(&mut self) -> &[u8] {
        let count = self.fill();
        &self.received[..count]
    }

    /// All that has arrived from a client: frames of less than 126 bytes, which come back with a mask of zeros.
    pub(crate) fn received_unmasked(&mut self) -> &[u8] {
        let count = self.fill();
        let mut rest = &mut self.received[..count];
        while let [_, length, behind @ ..] = rest {
            let length = usize::from(*length & 0x7f);
            assert!(length <= SHORT, "a frame that is longer than those of the scenario");
            let (mask, behind) = behind.split_first_chunk_mut::<4>().expect("a whole frame");
            let (payload, behind) = behind.split_at_mut_checked(length).expect("a whole frame");
            let mask = u32::from_ne_bytes(std::mem::take(mask));
            let mut words = payload.chunks_exact_mut(4);
            for word in &mut words {
                if let Ok(word) = <&mut [u8; 4]>::try_from(word) {
                    *word = (u32::from_ne_bytes(*word) ^ mask).to_ne_bytes();
                }
            }
            let left = words.into_remainder();
            left.iter_mut().zip(mask.to_ne_bytes()).for_each(|(byte, mask)| *byte ^= mask);
            rest = behind;
        }
        &self.received[..count]
    }

    /// Reads all that has arrived into the buffer. Returns how many bytes that is.
    fn fill(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut count = 0;
        loop {
            if count == self.received.len() {
                self.received.resize(FIRST_ROOM.max(2 * count), 0);
            }
            let mut buffer = ReadBuf::new(&mut self.received[count..]);
            match Pin::new(&mut self.stream).poll_read(&mut context, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => count += buffer.filled().len(),
                Poll::Ready(Ok(())) | Poll::Pending => break,
                Poll::Ready(Err(error)) => panic!("not received: {error}"),
            }
        }
        count
    }

    pub(crate) fn received_text(&mut self) -> String {
        String::from_utf8_lossy(self.received()).into_owned()
    }
}

/// The request for a WebSocket.
pub(crate) fn upgrade() -> Vec<u8> {
    let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost:3000\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    head.into()
}

/// A request of a session on polling, or without `sid` of one that is about to begin.
pub(crate) fn poll(sid: &str) -> Vec<u8> {
    let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
    let head = format!(
        "GET /socket.io/?EIO=4&transport=polling&t=oXfV9Ys{sid} HTTP/1.1\r\nHost: localhost:3000\r\nAccept: */*\r\n\
         User-Agent: node-XMLHttpRequest\r\nConnection: keep-alive\r\n\r\n"
    );
    head.into_bytes()
}

/// A POST of a session on polling.
pub(crate) fn post(sid: &str, body: &str) -> Vec<u8> {
    let request = format!(
        "POST /socket.io/?EIO=4&transport=polling&t=oXfV9Yt&sid={sid} HTTP/1.1\r\nHost: localhost:3000\r\nAccept: */*\r\n\
         User-Agent: node-XMLHttpRequest\r\nContent-type: text/plain;charset=UTF-8\r\nConnection: keep-alive\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    request.into_bytes()
}

/// A text message of a client.
pub(crate) fn text(message: &str) -> Vec<u8> {
    frame(TEXT, message.as_bytes(), Some(MASK))
}

/// A binary message of a client.
pub(crate) fn binary(message: &[u8]) -> Vec<u8> {
    frame(BINARY, message, Some(MASK))
}

/// The close frame of a client.
pub(crate) fn close() -> Vec<u8> {
    frame(CLOSE, &1000_u16.to_be_bytes(), Some(MASK))
}

/// A text message of a client as [`End::received_unmasked`] gives it.
pub(crate) fn text_unmasked(message: &str) -> Vec<u8> {
    frame(TEXT, message.as_bytes(), Some([0; 4]))
}

/// A text message of the server.
pub(crate) fn text_back(message: &str) -> Vec<u8> {
    frame(TEXT, message.as_bytes(), None)
}

/// A binary message of the server.
pub(crate) fn binary_back(message: &[u8]) -> Vec<u8> {
    frame(BINARY, message, None)
}

fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length) if usize::from(length) <= SHORT => frame.push(masked | length),
        _ => {
            frame.push(masked | 126);
            frame.extend(u16::try_from(payload.len()).expect("a message of less than 64 KiB").to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| frame.extend(mask)).unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
