//! The compressors of a thread: lent for one message, so that nobody owns one who does not need its past.

use std::cell::Cell;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

/// The bytes that come out of zlib in one step.
const SCRATCH: usize = 16 << 10;
/// The most compressors that a thread keeps: one for each kind that is in use, of which there are two or three.
const MAX_KEPT: usize = 4;

/// The kind of a compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The level, 0 to 9.
    pub(crate) level: u8,
    /// zlib's `memLevel`, 1 to 9.
    pub(crate) memory_level: u8,
    /// The logarithm of the window, 9 to 15.
    pub(crate) window_bits: u8,
    /// The bytes around the compressed ones.
    pub(crate) wrapping: Wrapping,
}

/// The format around compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// Nothing: RFC 1951.
    Raw,
    /// RFC 1950, which HTTP calls `deflate`.
    Zlib,
    /// RFC 1952.
    Gzip,
}

impl Kind {
    pub(crate) fn compressor(self) -> Deflate {
        let bits = i32::from(self.window_bits);
        Deflate::new_with_config(DeflateConfig {
            level: self.level.into(),
            mem_level: self.memory_level.into(),
            window_bits: match self.wrapping {
                Wrapping::Raw => -bits,
                Wrapping::Zlib => bits,
                Wrapping::Gzip => bits + 16,
            },
            ..DeflateConfig::default()
        })
    }
}

thread_local! {
    static COMPRESSORS: Cell<Vec<(Kind, Deflate)>> = const { Cell::new(Vec::new()) };
    static SCRATCHES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends a compressor of the thread that knows nothing of the past.
pub(crate) fn with_compressor<T>(kind: Kind, work: impl FnOnce(&mut Deflate) -> T) -> T {
    let mut kept = COMPRESSORS.take();
    let found = kept.iter().position(|(other, _)| *other == kind).map(|at| kept.remove(at).1);
    COMPRESSORS.set(kept);
    let mut compressor = found.unwrap_or_else(|| kind.compressor());
    let result = work(&mut compressor);
    compressor.reset();
    let mut kept = COMPRESSORS.take();
    if kept.len() >= MAX_KEPT {
        // The one that was idle longest.
        kept.remove(0);
    }
    kept.push((kind, compressor));
    COMPRESSORS.set(kept);
    result
}

/// Lends the thread's bytes between zlib and a vector.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCHES.take();
    if scratch.len() < SCRATCH {
        scratch.resize(SCRATCH, 0);
    }
    let result = work(&mut scratch);
    SCRATCHES.set(scratch);
    result
}

/// A compressor that failed. zlib does so only when it has no memory.
#[derive(Debug)]
pub(crate) struct CompressFailed;

/// Compresses all of the input, up to a point at which the receiver has all of it, and appends the outcome.
fn run(
    compressor: &mut Deflate,
    mut input: &[u8],
    out: &mut Vec<u8>,
    flush: DeflateFlush,
) -> Result<Status, CompressFailed> {
    with_scratch(|scratch| {
        loop {
            let (taken, given) = (compressor.total_in(), compressor.total_out());
            let status = compressor.compress(input, scratch, flush).map_err(|_| CompressFailed)?;
            let taken = usize::try_from(compressor.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(compressor.total_out() - given).unwrap_or(usize::MAX);
            input = input.get(taken..).unwrap_or_default();
            out.extend_from_slice(scratch.get(..given).unwrap_or_default());
            // A full buffer may mean that there is more.
            if given < scratch.len() {
                return if input.is_empty() { Ok(status) } else { Err(CompressFailed) };
            }
        }
    })
}

/// Compresses a message for a WebSocket (RFC 7692, section 7.2.1), and appends it. It must not be empty.
///
/// # Errors
/// [`CompressFailed`]: the compressor must not be used any more.
pub(crate) fn compress_message(
    compressor: &mut Deflate,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressFailed> {
    run(compressor, message, out, DeflateFlush::SyncFlush)?;
    // The receiver adds them.
    if !out.ends_with(&[0, 0, 0xff, 0xff]) {
        return Err(CompressFailed);
    }
    out.truncate(out.len() - 4);
    Ok(())
}

/// Compresses a whole body.
///
/// # Errors
/// [`CompressFailed`].
pub(crate) fn compress_whole(kind: Kind, body: &[u8]) -> Result<Vec<u8>, CompressFailed> {
    with_compressor(kind, |compressor| {
        let mut out = Vec::new();
        match run(compressor, body, &mut out, DeflateFlush::Finish)? {
            Status::StreamEnd => {
                out.shrink_to_fit();
                Ok(out)
            }
            Status::Ok | Status::BufError => Err(CompressFailed),
        }
    })
}
