//! The two ends of a connection, and the masks of one of them.

/// An end of a connection: clients mask their frames, servers do not (RFC 6455, section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that answered; incoming frames must be masked.
    Server,
    /// The end that dialled; incoming frames must not be masked.
    Client,
}

/// Masks or unmasks `data` (the same operation), which begins `offset` bytes into its frame's payload.
pub(super) fn mask(data: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut mask = mask;
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = data.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(word) = <&mut [u8; 8]>::try_from(word) {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}
