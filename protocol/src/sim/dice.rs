//! Chance, from one number, or from bytes that somebody else has thought out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A small generator (SplitMix64): fast, the same everywhere, and no secret. The machines get their randomness from
/// [`Random`](crate::random::Random), keyed by one of these.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    tape: Option<Arc<Tape>>,
}

/// The decisions of an earlier run, read before new ones are drawn.
#[derive(Debug)]
struct Tape {
    bytes: Vec<u8>,
    read: AtomicUsize,
}

impl Tape {
    fn next(&self) -> Option<u8> {
        self.bytes.get(self.read.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

impl Dice {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, tape: None }
    }

    /// Decisions that are read from `bytes`, one byte for each, and only when these are used up drawn from `seed`: so
    /// a fuzzer makes them. Copies and forks read on where the others have stopped.
    ///
    /// ```
    /// use sansocket_protocol::sim::Dice;
    ///
    /// let mut dice = Dice::fed(7, vec![0, 3, 255]);
    /// assert_eq!((dice.below(10), dice.fork().below(10), dice.below(1_000)), (0, 3, 999));
    /// ```
    pub fn fed(seed: u64, bytes: Vec<u8>) -> Self {
        let tape = (!bytes.is_empty()).then(|| Arc::new(Tape { bytes, read: AtomicUsize::new(0) }));
        Self { state: seed, tape }
    }

    /// The sequence of another seed, which reads on where this one has stopped.
    pub(super) fn reseeded(&self, seed: u64) -> Self {
        Self { state: seed, tape: self.tape.clone() }
    }

    /// Another sequence, for something that is to go its own way whatever else is drawn from this one.
    pub fn fork(&mut self) -> Self {
        let state = self.next_u64();
        Self { state, tape: self.tape.clone() }
    }

    /// 64 bits, never of the bytes that it is [fed](Self::fed).
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let Some(byte) = self.tape.as_ref().and_then(|tape| tape.next()) else {
            return self.next_u64().checked_rem(end).unwrap_or(0);
        };
        // Of a large range 256 places, from the first to the last.
        match end {
            0..=256 => u64::from(byte).checked_rem(end).unwrap_or(0),
            _ => u64::from(byte) * ((end - 1) / 255) + (end - 1) % 255 * u64::from(byte) / 255,
        }
    }

    /// A number from `low` up to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of several; there must be at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap_or(0)]
    }

    /// 32 bytes, to key a [`Random`](crate::random::Random).
    pub fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next_u64().to_le_bytes());
        }
        key
    }
}
