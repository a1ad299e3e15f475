//! Randomness, as the machines see it: a cipher keyed by the caller.

use alloc::string::String;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::fmt;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of unpredictable bytes, drawn from 32 bytes that the caller took from the system's entropy.
///
/// Session ids are bearer secrets: whoever knows one can read and write as that client. So the generator is a
/// cipher (ChaCha) and not a fast statistical one. The same seed gives the same ids, which is what a replay
/// needs.
///
/// ```
/// use sansocket_protocol::random::Random;
///
/// let mut a = Random::new([7; 32]);
/// let mut b = Random::new([7; 32]);
/// assert_eq!(a.id(), b.id());
/// assert_eq!(a.id().len(), 20);
/// ```
#[derive(Clone)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// A generator keyed by `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// A fresh identifier: 120 random bits as 20 characters of `A-Z a-z 0-9 - _`, the shape of the reference's
    /// ids (load balancers match on it).
    pub fn id(&mut self) -> String {
        let mut bytes = [0; 15];
        self.0.fill_bytes(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A generator of its own, keyed from this one.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self::new(seed)
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_reference_alphabet_and_length() {
        let mut random = Random::new([1; 32]);
        for _ in 0..200 {
            let id = random.id();
            assert_eq!(id.len(), 20);
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }

    #[test]
    fn a_fork_does_not_repeat_its_parent() {
        let mut parent = Random::new([2; 32]);
        let mut child = parent.fork();
        assert_ne!(parent.id(), child.id());
    }
}
