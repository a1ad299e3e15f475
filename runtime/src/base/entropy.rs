//! The system's randomness, which keys the generators of the core.

use sansocket_protocol::random::Random;
use std::io;

/// A generator keyed by the system's entropy.
///
/// # Errors
/// If the system gives no random bytes.
pub(crate) fn random() -> io::Result<Random> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(Random::new(seed))
}
