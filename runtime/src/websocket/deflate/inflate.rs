//! Reading compressed messages (RFC 7692, section 7.2.2), bounded while they come out.
//!
//! No connection keeps an inflater between two messages: it is the thread's. With context takeover a connection keeps
//! the last bytes that came out instead, no more than the agreed window, and gives them to the next inflater.

use super::compress::with_scratch;
use super::offer::Direction;
use crate::websocket::ReadError;
use std::cell::Cell;
use std::mem;
use zlib_rs::{Inflate, InflateFlush, Status};

/// The most blocks of a message that call themselves the last one (RFC 7692, section 7.2.3.4): each makes the inflater
/// begin anew, and a sender needs one for each fragment at most.
const MAX_FINAL_BLOCKS: u32 = 1024;
/// The most bytes that may come out of one batch of input before the reader pauses, but for the message in which that
/// happens: a kilobyte of input can hold a megabyte.
const MAX_BATCH: usize = 256 << 10;
/// The most bytes of an unfinished message that wait for the rest as they are. An inflater is about three times as much,
/// so that a peer must have sent a part of that before it gets one.
const MAX_HELD: usize = 16 << 10;
/// The most inflaters that a thread keeps.
const MAX_KEPT: usize = 2;

/// The four bytes that the sender left out, and behind them an empty last block: it ends the stream if the message
/// ended where a block does.
const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

thread_local! {
    static INFLATERS: Cell<Vec<Inflate>> = const { Cell::new(Vec::new()) };
}

/// The reading half of the extension on one connection.
pub(crate) struct Inflating {
    /// The bytes to which the next message may refer, and how many there may be.
    history: Vec<u8>,
    window: usize,
    /// The message that has begun, in a box because there mostly is none.
    unfinished: Option<Box<Unfinished>>,
    /// Bytes that came out of this batch.
    batch: usize,
}

enum Unfinished {
    /// Its beginning as it came.
    Held(Vec<u8>),
    Inflating(Current),
}

struct Current {
    inflate: Inflate,
    final_blocks: u32,
    /// The last byte ended a block that called itself the last one, or there was none.
    at_end: bool,
    /// A block has called itself the last one, and nothing has followed it.
    has_ended: bool,
}

/// The most compressed bytes of a message that may have `max` when it is whole: codes of fixed length take nine bits
/// for a byte at most, and senders that only store them less.
pub(crate) fn max_compressed(max: usize) -> usize {
    max.saturating_add(max / 8).saturating_add(max / 64).saturating_add(64)
}

impl Inflating {
    pub(crate) fn new(direction: Direction) -> Self {
        let window = if direction.takeover { 1 << direction.window_bits } else { 0 };
        Self { history: Vec::new(), window, unfinished: None, batch: 0 }
    }

    /// Begins with a batch of input.
    pub(crate) fn begin_batch(&mut self) {
        self.batch = 0;
    }

    /// Returns whether so much has come out of this batch that the rest should wait.
    pub(crate) fn is_sated(&self) -> bool {
        self.batch >= MAX_BATCH
    }

    /// Takes a piece of a compressed message, which may be its last, and appends what comes out, up to `max` bytes in
    /// all. What comes out may be kept back until more has come in.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] and [`ReadError::BadCompression`]; the connection is over then.
    pub(crate) fn push(
        &mut self,
        input: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), ReadError> {
        let unfinished = self.unfinished.get_or_insert_with(|| Box::new(Unfinished::Held(Vec::new())));
        if let Unfinished::Held(held) = &mut **unfinished {
            if !is_last && held.len() + input.len() <= MAX_HELD {
                held.extend_from_slice(input);
                return Ok(());
            }
            // To give an inflater what came before costs about as much as that many bytes that come out.
            self.batch += self.history.len() / 4;
            let mut current = Current::begin(&self.history)?;
            self.batch += current.run(held, out, max, &self.history)?;
            **unfinished = Unfinished::Inflating(current);
        }
        if let Unfinished::Inflating(current) = &mut **unfinished {
            self.batch += current.run(input, out, max, &self.history)?;
        }
        Ok(())
    }

    /// The message is complete: its last piece was pushed.
    ///
    /// # Errors
    /// As [`push`](Self::push); it may have been cut short.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, max: usize) -> Result<(), ReadError> {
        let Some(Unfinished::Inflating(mut current)) = self.unfinished.take().map(|unfinished| *unfinished)
        else {
            return Ok(());
        };
        // A sender that ends each message with a last block may forget the empty one behind it, and one that has
        // nothing to say the one byte for that. zlib, and so everybody, takes both.
        if !current.at_end {
            self.batch += current.run(&TAIL, out, max, &self.history)?;
            if !current.at_end {
                return Err(ReadError::BadCompression);
            }
        }
        keep_inflater(current.inflate);
        self.remember(out);
        // Room for twice what came out is more than a message may hold on to.
        if out.capacity() / 2 > out.len() {
            out.shrink_to_fit();
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn has_inflater(&self) -> bool {
        matches!(self.unfinished.as_deref(), Some(Unfinished::Inflating(_)))
    }

    /// Keeps the last bytes for the next message.
    fn remember(&mut self, out: &[u8]) {
        if self.window == 0 {
            return;
        }
        let from_out = out.len().min(self.window);
        let from_history = self.history.len().min(self.window - from_out);
        self.history.drain(..self.history.len() - from_history);
        self.history.reserve_exact(from_out);
        self.history.extend_from_slice(&out[out.len() - from_out..]);
    }
}

impl Current {
    fn begin(history: &[u8]) -> Result<Self, ReadError> {
        let mut kept = INFLATERS.take();
        let inflate = kept.pop();
        INFLATERS.set(kept);
        // Whatever window was agreed on, one of 15 bits reads it.
        let mut inflate = inflate.unwrap_or_else(|| Inflate::new(false, 15));
        give(&mut inflate, history)?;
        Ok(Self { inflate, final_blocks: 0, at_end: true, has_ended: false })
    }

    /// Inflates all of the input. Returns how many bytes came out, and were given to inflaters that began anew.
    fn run(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        max: usize,
        history: &[u8],
    ) -> Result<usize, ReadError> {
        if input.is_empty() {
            return Ok(0);
        }
        self.at_end = false;
        let before = out.len();
        let mut given_anew = 0;
        with_scratch(|scratch| {
            loop {
                if mem::take(&mut self.has_ended) {
                    given_anew += self.begin_anew(out, history)?;
                }
                let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
                let status = self.inflate.decompress(input, scratch, InflateFlush::SyncFlush);
                let status = status.map_err(|_| ReadError::BadCompression)?;
                let taken = usize::try_from(self.inflate.total_in() - taken).unwrap_or(usize::MAX);
                let given = usize::try_from(self.inflate.total_out() - given).unwrap_or(usize::MAX);
                input = input.get(taken..).unwrap_or_default();
                append(out, scratch.get(..given).unwrap_or_default(), max)?;
                self.at_end = status == Status::StreamEnd && input.is_empty();
                self.has_ended = status == Status::StreamEnd;
                if !self.has_ended && taken == 0 && given == 0 && !input.is_empty() {
                    return Err(ReadError::BadCompression);
                }
                if input.is_empty() && (self.has_ended || given < scratch.len()) {
                    return Ok(out.len() - before + given_anew);
                }
            }
        })
    }

    /// A block has called itself the last one. What follows may still refer to what came before. Returns how many bytes
    /// that is.
    fn begin_anew(&mut self, out: &[u8], history: &[u8]) -> Result<usize, ReadError> {
        self.final_blocks += 1;
        if self.final_blocks > MAX_FINAL_BLOCKS {
            return Err(ReadError::BadCompression);
        }
        self.inflate.reset(false);
        let window = 1 << 15;
        let from_out = &out[out.len() - out.len().min(window)..];
        let from_history = history.len().min(window - from_out.len());
        give(&mut self.inflate, &[&history[history.len() - from_history..], from_out].concat())?;
        Ok(from_history + from_out.len())
    }
}

/// Gives an inflater that has just begun what came before.
fn give(inflate: &mut Inflate, history: &[u8]) -> Result<(), ReadError> {
    if history.is_empty() {
        return Ok(());
    }
    inflate.set_dictionary(history).map(drop).map_err(|_| ReadError::BadCompression)
}

/// Adds what came out, unless it is too much. Memory at most doubles.
fn append(out: &mut Vec<u8>, given: &[u8], max: usize) -> Result<(), ReadError> {
    let room = max.saturating_sub(out.len());
    if given.len() > room {
        return Err(ReadError::TooLarge);
    }
    if out.capacity() - out.len() < given.len() {
        out.reserve_exact(room.min(given.len().max(out.len())));
    }
    out.extend_from_slice(given);
    Ok(())
}

fn keep_inflater(mut inflate: Inflate) {
    let mut kept = INFLATERS.take();
    if kept.len() < MAX_KEPT {
        inflate.reset(false);
        kept.push(inflate);
    }
    INFLATERS.set(kept);
}

impl std::fmt::Debug for Inflating {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflating").field("window", &self.window).finish_non_exhaustive()
    }
}
