//! The trace of a run, as one number and, if wanted, as a diagram in text.

use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt::Write as _;

/// The number of lines that are kept: the last ones of a longer run.
const MAX_LINES: usize = 4000;
/// The number of characters that are shown: the first ones of a longer message.
const MAX_TEXT: usize = 72;

/// Everything that happened, in order: a hash, and a transcript if it is kept.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    lines: Option<VecDeque<String>>,
    lost: usize,
}

impl Trace {
    pub(super) fn new(keep: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines: keep.then(VecDeque::new), lost: 0 }
    }

    /// A number that two runs share only if all was the same, byte for byte.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the number of things that happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The diagram; empty if none was kept.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        if self.lost > 0 {
            let _ = writeln!(text, "({} lines before)", self.lost);
        }
        for line in self.lines.iter().flatten() {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Something happened. `what` tells kinds apart, `data` is what it was about.
    pub(super) fn note(
        &mut self,
        now: Instant,
        what: u8,
        number: u64,
        data: &[u8],
        line: impl FnOnce(&mut String) -> core::fmt::Result,
    ) {
        self.events += 1;
        self.mix(now.as_micros());
        self.mix(u64::from(what) << 56 ^ number);
        self.mix(data.len() as u64);
        let (words, rest) = data.as_chunks_of_eight();
        for word in words {
            self.mix(word);
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
        if let Some(lines) = &mut self.lines {
            if lines.len() >= MAX_LINES {
                lines.pop_front();
                self.lost += 1;
            }
            let mut text = String::new();
            let micros = now.as_micros();
            let _ = write!(text, "{:>5}.{:06}  ", micros / 1_000_000, micros % 1_000_000);
            let _ = line(&mut text);
            lines.push_back(text);
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

trait Chunks {
    fn as_chunks_of_eight(&self) -> (impl Iterator<Item = u64>, &[u8]);
}

impl Chunks for [u8] {
    fn as_chunks_of_eight(&self) -> (impl Iterator<Item = u64>, &[u8]) {
        let chunks = self.chunks_exact(8);
        let rest = chunks.remainder();
        let words = chunks.map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        (words, rest)
    }
}

/// Bytes as a reader of a transcript wants them.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(MAX_TEXT) {
        match byte {
            0x1e => text.push('|'),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push('.'),
        }
    }
    if bytes.len() > MAX_TEXT {
        let _ = write!(text, ".. ({} bytes)", bytes.len());
    }
    text
}
