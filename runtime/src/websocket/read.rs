//! The reading half: from bytes to messages.

use super::deflate::inflate::{Inflating, max_compressed};
use super::header::{Header, Kind, MAX_HEADER};
use super::{Role, mask};
use bytes::Bytes;
use std::mem;
use thiserror::Error;

/// The most empty frames of one message: 16,384.
///
/// They cost their sender two to six bytes and would otherwise keep a message unfinished for ever without meeting the
/// limit of its size. A frame that carries something brings that limit nearer, and costs less than a message of that
/// size, of which a peer may send any number.
pub const MAX_EMPTY_FRAGMENTS: u32 = 16_384;

/// A message or control frame that a [`Reader`] has taken out of the bytes. Each `Bytes` owns its memory, at most twice
/// its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message, its fragments joined. **Not** checked to be UTF-8: the protocol core does that once, and
    /// orders the close with code 1007. Only of one that comes in parts, what has come is checked before its end.
    Text(Bytes),
    /// A binary message, its fragments joined.
    Binary(Bytes),
    /// A ping, to be answered by [`write_pong`](super::write_pong) with the same bytes (125 at most).
    Ping(Bytes),
    /// A pong. Engine.IO has a heartbeat of its own and ignores it.
    Pong,
    /// A close frame, with its code, if it has one. The code is permitted on the wire. Nothing follows.
    Close(Option<u16>),
}

/// A breach of the protocol by the peer. The connection is over: close it with [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A reserved bit is set (5.2), though no extension was agreed on that gives it a meaning there.
    #[error("a reserved bit is set, but no WebSocket extension was agreed on that gives it a meaning there")]
    ReservedBits,
    /// An opcode without a meaning (5.2).
    #[error("the frame's opcode has no meaning in RFC 6455")]
    ReservedOpcode,
    /// A client must mask (5.1).
    #[error("the client sent a frame without a mask")]
    Unmasked,
    /// A server must not mask (5.1).
    #[error("the server sent a frame with a mask")]
    Masked,
    /// A ping, pong or close in several frames (5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A ping, pong or close with more than 125 bytes (5.5).
    #[error("a control frame carries more than 125 bytes")]
    LongControl,
    /// A continuation, but no message was begun (5.4).
    #[error("a continuation frame continues no message")]
    NothingToContinue,
    /// A new message before the last one was finished (5.4).
    #[error("a new message begins inside a fragmented one")]
    UnfinishedMessage,
    /// A close with half a code, or with one that must not be sent (5.5.1, 7.4).
    #[error("the close frame's code is cut short or not permitted on the wire")]
    BadCloseCode,
    /// A close with a reason that is not UTF-8 (5.5.1).
    #[error("the close frame's reason is not UTF-8")]
    BadCloseReason,
    /// More bytes in one message than the reader accepts, as its header announced, or as came out of a compressed one.
    #[error("the message is larger than accepted: send less at once, or raise the largest message's size")]
    TooLarge,
    /// More than [`MAX_EMPTY_FRAGMENTS`] frames of one message are empty.
    #[error("the message has more than {MAX_EMPTY_FRAGMENTS} empty fragments")]
    TooManyFragments,
    /// A text message that is not complete, and cannot become UTF-8 any more (8.1).
    #[error("the text message is not UTF-8")]
    NotUtf8,
    /// A compressed message that cannot be decompressed (RFC 7692, section 7.2.2), or is cut short.
    #[error("the compressed message cannot be decompressed, or is cut short")]
    BadCompression,
}

impl ReadError {
    /// The code to close the connection with (7.4.1): 1002 for a breach of the protocol, 1007 for text that is
    /// not UTF-8 and for data that cannot be decompressed, 1008 for too many empty fragments, 1009 for a message too large.
    pub fn close_code(self) -> u16 {
        match self {
            Self::BadCloseReason | Self::BadCompression | Self::NotUtf8 => 1007,
            Self::TooManyFragments => 1008,
            Self::TooLarge => 1009,
            Self::ReservedBits
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::Masked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::NothingToContinue
            | Self::UnfinishedMessage
            | Self::BadCloseCode => 1002,
        }
    }
}

/// The reading half of one connection: 32 bytes, and no heap while nothing is incomplete.
#[derive(Debug)]
pub struct Reader {
    max_message: usize,
    /// A data message that has begun, in a fragment or in part of a frame.
    message: Option<Box<Message>>,
    /// The frame that the last input ended in.
    partial: Option<Box<Partial>>,
    role: Role,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Failed(ReadError),
}

#[derive(Debug)]
struct Message {
    text: bool,
    compressed: bool,
    empty_fragments: u32,
    /// The bytes of its frames so far.
    arrived: usize,
    /// The bytes of the text that are known to be UTF-8.
    checked: usize,
    /// The message so far: the same bytes, unless they are compressed.
    data: Vec<u8>,
}

#[derive(Debug)]
enum Partial {
    Header {
        bytes: [u8; MAX_HEADER],
        len: usize,
    },
    /// Of a data frame, the payload goes to the message; of a control frame, it waits here.
    Payload {
        header: Header,
        got: usize,
        control: Vec<u8>,
    },
}

impl Reader {
    /// A reader at the start of a connection, just after the handshake. `max_message` is the largest message
    /// accepted, in bytes, all fragments together; control frames are not counted.
    pub fn new(role: Role, max_message: usize) -> Self {
        Self { max_message, message: None, partial: None, role, state: State::Open }
    }

    /// Takes every complete frame out of `input` (unmasking it in place), keeps what is incomplete, and calls
    /// `each` for every message and control frame, in order. Nothing of `input` is needed afterwards.
    ///
    /// The cuts between inputs do not matter. The memory kept is at most about twice the bytes that have arrived of one
    /// message, whatever its header announces. After [`Incoming::Close`] all further input is ignored.
    ///
    /// # Errors
    /// The peer's breach of the protocol, once all that came before it has been delivered. Later calls return it again.
    pub fn feed(&mut self, input: &mut [u8], each: &mut impl FnMut(Incoming)) -> Result<(), ReadError> {
        self.feed_with(None, input, each).map(drop)
    }

    /// As [`feed`](Self::feed), on a connection whose ends have agreed on compression if there is an inflater; it must
    /// be the same each time. Returns how many bytes at the end of the input are left for the next time: so much may
    /// have come out of the others that it should be dealt with first.
    pub(super) fn feed_with(
        &mut self,
        inflating: Option<&mut Inflating>,
        input: &mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<usize, ReadError> {
        match self.state {
            State::Open => {}
            State::Closed => return Ok(0),
            State::Failed(error) => return Err(error),
        }
        let result = self.take_frames(inflating, input, each);
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        if self.state != State::Open {
            self.message = None;
            self.partial = None;
            return result.map(|_| 0);
        }
        result
    }

    /// Returns whether nothing is kept: the input so far ended with a whole frame of a whole message.
    pub fn is_idle(&self) -> bool {
        self.message.is_none() && self.partial.is_none()
    }

    fn take_frames(
        &mut self,
        mut inflating: Option<&mut Inflating>,
        input: &mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<usize, ReadError> {
        let deflate = inflating.is_some();
        if let Some(inflating) = &mut inflating {
            inflating.begin_batch();
        }
        let mut rest = self.resume(&mut inflating, input, each)?;
        while !rest.is_empty() && self.state == State::Open {
            if inflating.as_ref().is_some_and(|inflating| inflating.is_sated()) {
                return Ok(rest.len());
            }
            let Some((header, start)) = Header::parse(rest, self.role, deflate)? else {
                let mut bytes = [0; MAX_HEADER];
                bytes[..rest.len()].copy_from_slice(rest);
                self.partial = Some(Box::new(Partial::Header { bytes, len: rest.len() }));
                return Ok(0);
            };
            rest = self.frame(header, &mut inflating, &mut rest[start..], each)?;
        }
        Ok(0)
    }

    /// Goes on with the frame that the last input ended in. Returns the input behind it.
    #[inline]
    fn resume<'a>(
        &mut self,
        inflating: &mut Option<&mut Inflating>,
        input: &'a mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<&'a mut [u8], ReadError> {
        if self.partial.is_none() { Ok(input) } else { self.resume_partial(inflating, input, each) }
    }

    #[inline(never)]
    fn resume_partial<'a>(
        &mut self,
        inflating: &mut Option<&mut Inflating>,
        input: &'a mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<&'a mut [u8], ReadError> {
        match self.partial.as_deref_mut() {
            None => Ok(input),
            Some(Partial::Header { bytes, len }) => {
                let old = *len;
                let added = input.len().min(MAX_HEADER - old);
                bytes[old..old + added].copy_from_slice(&input[..added]);
                match Header::parse(&bytes[..old + added], self.role, inflating.is_some())? {
                    None => {
                        *len = old + added;
                        Ok(&mut input[added..])
                    }
                    Some((header, start)) => {
                        self.partial = None;
                        // The old bytes alone were no header, so it ends within the added ones.
                        self.frame(header, inflating, &mut input[start - old..], each)
                    }
                }
            }
            Some(Partial::Payload { .. }) => self.payload(inflating, input, each),
        }
    }

    /// Takes a frame whose header is complete. Returns the input behind it.
    #[inline(always)]
    fn frame<'a>(
        &mut self,
        header: Header,
        inflating: &mut Option<&mut Inflating>,
        rest: &'a mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<&'a mut [u8], ReadError> {
        let len = self.admit(&header)?;
        let whole = rest.len() >= len;
        // The usual case, a message in one frame in one input, goes without a state in between.
        if whole && header.fin && header.kind != Kind::Continue && !header.compressed {
            let (payload, rest) = rest.split_at_mut(len);
            unmask(payload, &header, 0);
            match header.kind {
                Kind::Text => each(Incoming::Text(Bytes::copy_from_slice(payload))),
                Kind::Binary => each(Incoming::Binary(Bytes::copy_from_slice(payload))),
                _ => self.control(header.kind, payload, each)?,
            }
            return Ok(rest);
        }
        self.begin_frame(header, inflating, rest, each)
    }

    /// Takes a frame that is not a message by itself, or not all there.
    #[inline(never)]
    fn begin_frame<'a>(
        &mut self,
        header: Header,
        inflating: &mut Option<&mut Inflating>,
        rest: &'a mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<&'a mut [u8], ReadError> {
        if matches!(header.kind, Kind::Text | Kind::Binary) {
            let (text, compressed) = (header.kind == Kind::Text, header.compressed);
            let message =
                Message { text, compressed, empty_fragments: 0, arrived: 0, checked: 0, data: Vec::new() };
            self.message = Some(Box::new(message));
        }
        if let (Some(message), 0, false) = (&mut self.message, header.len, header.kind.is_control()) {
            message.empty_fragments += 1;
        }
        self.partial = Some(Box::new(Partial::Payload { header, got: 0, control: Vec::new() }));
        self.payload(inflating, rest, each)
    }

    /// Judges a header by what came before it, and its length before any of it arrives.
    fn admit(&self, header: &Header) -> Result<usize, ReadError> {
        // A control frame has at most 125 bytes, and stands outside the message.
        let room = match (header.kind, self.message.as_deref()) {
            (Kind::Close | Kind::Ping | Kind::Pong, _) => usize::MAX,
            (Kind::Continue, None) => return Err(ReadError::NothingToContinue),
            (Kind::Text | Kind::Binary, Some(_)) => return Err(ReadError::UnfinishedMessage),
            (Kind::Continue, Some(message)) if message.empty_fragments > MAX_EMPTY_FRAGMENTS => {
                return Err(ReadError::TooManyFragments);
            }
            (Kind::Continue, Some(message)) => {
                self.max_arriving(message.compressed).saturating_sub(message.arrived)
            }
            (Kind::Text | Kind::Binary, None) => self.max_arriving(header.compressed),
        };
        match usize::try_from(header.len) {
            Ok(len) if len <= room => Ok(len),
            _ => Err(ReadError::TooLarge),
        }
    }

    /// The most bytes of a message's frames.
    fn max_arriving(&self, compressed: bool) -> usize {
        if compressed { max_compressed(self.max_message) } else { self.max_message }
    }

    /// Takes as much of the payload in progress as has arrived. Returns the input behind it.
    fn payload<'a>(
        &mut self,
        inflating: &mut Option<&mut Inflating>,
        input: &'a mut [u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<&'a mut [u8], ReadError> {
        let Some(Partial::Payload { header, got, control }) = self.partial.as_deref_mut() else {
            return Ok(input);
        };
        let header = *header;
        // Admitted, so it fits.
        let missing = usize::try_from(header.len).unwrap_or(usize::MAX) - *got;
        let (chunk, rest) = input.split_at_mut(input.len().min(missing));
        unmask(chunk, &header, *got);
        *got += chunk.len();
        let complete = chunk.len() == missing;
        if header.kind.is_control() {
            control.extend_from_slice(chunk);
            if complete {
                let payload = mem::take(control);
                self.partial = None;
                self.control(header.kind, &payload, each)?;
            }
            return Ok(rest);
        }
        let is_last = complete && header.fin;
        if let Some(message) = &mut self.message {
            message.arrived += chunk.len();
            match inflating {
                Some(inflating) if message.compressed => {
                    inflating.push(chunk, is_last, &mut message.data, self.max_message)?;
                    if is_last {
                        inflating.finish(&mut message.data, self.max_message)?;
                    }
                }
                _ => {
                    message.append(chunk, if header.fin { Some(missing) } else { None });
                    if !is_last {
                        message.check()?;
                    }
                }
            }
        }
        if complete {
            self.partial = None;
        }
        if is_last {
            if let Some(message) = self.message.take() {
                each(message.finish());
            }
        }
        Ok(rest)
    }

    fn control(
        &mut self,
        kind: Kind,
        payload: &[u8],
        each: &mut impl FnMut(Incoming),
    ) -> Result<(), ReadError> {
        match kind {
            Kind::Close => {
                let code = close_code(payload)?;
                self.state = State::Closed;
                each(Incoming::Close(code));
            }
            Kind::Ping => each(Incoming::Ping(Bytes::copy_from_slice(payload))),
            Kind::Pong => each(Incoming::Pong),
            Kind::Continue | Kind::Text | Kind::Binary => {}
        }
        Ok(())
    }
}

impl Message {
    /// Adds what arrived. Memory at most doubles, and where the end is known it stops there. Small fragments of
    /// a message with no known end need the vector's own growth, or each would move all that came before.
    fn append(&mut self, chunk: &[u8], until_end: Option<usize>) {
        if self.data.capacity() - self.data.len() < chunk.len() {
            match until_end {
                Some(missing) => self.data.reserve_exact(missing.min(chunk.len().max(self.data.len()))),
                None => self.data.reserve(chunk.len()),
            }
        }
        self.data.extend_from_slice(chunk);
    }

    /// Looks at what has come of a text: nobody waits for the end of one that is wrong. The last part is the core's to
    /// judge, together with the rest.
    fn check(&mut self) -> Result<(), ReadError> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_some() => return Err(ReadError::NotUtf8),
            // A character that goes on in what is still to come.
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }

    fn finish(self) -> Incoming {
        let data = Bytes::from(self.data);
        if self.text { Incoming::Text(data) } else { Incoming::Binary(data) }
    }
}

fn unmask(payload: &mut [u8], header: &Header, offset: usize) {
    if let Some(key) = header.mask {
        mask(payload, key, offset);
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, ReadError> {
    let code = match *payload {
        [] => return Ok(None),
        [_] => return Err(ReadError::BadCloseCode),
        [high, low, ..] => u16::from_be_bytes([high, low]),
    };
    // 1004 has no meaning; 1005, 1006 and 1015 stand for what was never sent. 1012 to 1014 were registered
    // after the RFC, 3000 and up belong to libraries and applications.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(ReadError::BadCloseCode);
    }
    match std::str::from_utf8(&payload[2..]) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(ReadError::BadCloseReason),
    }
}
