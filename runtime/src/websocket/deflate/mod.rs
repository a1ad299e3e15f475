//! permessage-deflate (RFC 7692): WebSocket messages that are compressed on their way.
//!
//! | file | |
//! |---|---|
//! | `offer` | what the two ends agree on in the handshake |
//! | `inflate` | reading: bounded while it comes out |
//! | `compress` | the compressors of a thread, which HTTP uses as well |
//! | `shared` | what the connections of a server have in common, and broadcasts compressed once for all of them |
//! | `connection` | the extension on one connection |
//!
//! Without context takeover in a direction, each message is compressed by itself: a connection holds nothing between
//! two of them, and works with a compressor that belongs to the thread.

pub(crate) mod compress;
pub(crate) mod connection;
pub(crate) mod inflate;
pub(crate) mod offer;
pub(crate) mod shared;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

/// The window bits that can be asked for. zlib's deflate has no window of 8 bits.
const WINDOW_BITS: RangeInclusive<u8> = 9..=15;
const LEVELS: RangeInclusive<u8> = 0..=9;
const MEMORY_LEVELS: RangeInclusive<u8> = 1..=9;

/// The settings of permessage-deflate (RFC 7692), the compression of WebSocket messages, for a server or a client.
///
/// The other end has the last word on what it can do: a server takes the first offer of its client that fits these
/// settings, and speaks without compression if none does.
///
/// | setting | default | in the reference |
/// |---|---|---|
/// | [`threshold`](Self::threshold) | 1024 bytes | `threshold`, 1024 |
/// | [`level`](Self::level) | 6 | `zlibDeflateOptions.level`, 6 |
/// | [`memory_level`](Self::memory_level) | 8 | `zlibDeflateOptions.memLevel`, 8 |
/// | [`server_window_bits`](Self::server_window_bits) | 15 | `serverMaxWindowBits`, 15 |
/// | [`client_window_bits`](Self::client_window_bits) | 15 | `clientMaxWindowBits`, 15 |
/// | [`server_context_takeover`](Self::server_context_takeover) | no | `serverNoContextTakeover`, takeover |
/// | [`client_context_takeover`](Self::client_context_takeover) | no | `clientNoContextTakeover`, takeover |
///
/// ```
/// use sansocket_runtime::websocket::PerMessageDeflate;
///
/// let settings = PerMessageDeflate::default().threshold(256).server_window_bits(12);
/// assert!(settings.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerMessageDeflate {
    pub(crate) threshold: usize,
    level: u8,
    memory_level: u8,
    server: Wanted,
    client: Wanted,
}

/// One direction, as this end wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    window_bits: u8,
    takeover: bool,
}

impl Default for PerMessageDeflate {
    fn default() -> Self {
        let wanted = Wanted { window_bits: 15, takeover: false };
        Self { threshold: 1024, level: 6, memory_level: 8, server: wanted, client: wanted }
    }
}

impl PerMessageDeflate {
    /// Sets the size from which a message is compressed, in bytes. Smaller ones are sent as they are, as is one that
    /// would become larger. Default 1024; an empty message is never compressed.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Sets the level of compression of what this end sends: 1 is fastest, 9 smallest, 0 does not compress. Default 6.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Sets the memory of this end's compressors, zlib's `memLevel`: from 1, the least and slowest, to 9. Default 8.
    #[must_use]
    pub fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = level;
        self
    }

    /// Sets the largest window of what the server sends, as a power of two: 9 (512 bytes) to 15 (32 KiB). Default 15.
    /// A client that sets less asks for it, and goes without compression if the server declines.
    #[must_use]
    pub fn server_window_bits(mut self, bits: u8) -> Self {
        self.server.window_bits = bits;
        self
    }

    /// Sets the largest window of what the client sends, as a power of two: 9 (512 bytes) to 15 (32 KiB). Default 15.
    /// A server that sets less serves clients that cannot limit theirs without compression.
    #[must_use]
    pub fn client_window_bits(mut self, bits: u8) -> Self {
        self.client.window_bits = bits;
        self
    }

    /// Sets whether the server's messages may refer to its earlier ones. Default no: takeover makes messages that are
    /// alike smaller, and costs a compressor for each connection at the server and up to a window at the client; no
    /// broadcast can be compressed once for all.
    #[must_use]
    pub fn server_context_takeover(mut self, takeover: bool) -> Self {
        self.server.takeover = takeover;
        self
    }

    /// Sets whether the client's messages may refer to its earlier ones. Default no: takeover costs up to a window for
    /// each connection at the server, and a compressor at the client.
    #[must_use]
    pub fn client_context_takeover(mut self, takeover: bool) -> Self {
        self.client.takeover = takeover;
        self
    }

    /// Checks the settings, as the builders of servers and clients do.
    ///
    /// # Errors
    /// [`DeflateSettingError`] for the first one that is out of its range.
    pub fn check(&self) -> Result<(), DeflateSettingError> {
        for (setting, value, range) in [
            ("level", self.level, LEVELS),
            ("memory_level", self.memory_level, MEMORY_LEVELS),
            ("server_window_bits", self.server.window_bits, WINDOW_BITS),
            ("client_window_bits", self.client.window_bits, WINDOW_BITS),
        ] {
            if !range.contains(&value) {
                let (least, most) = (*range.start(), *range.end());
                return Err(DeflateSettingError { setting, value, least, most });
            }
        }
        Ok(())
    }
}

/// A setting of [`PerMessageDeflate`] that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` of permessage-deflate is {value}: it goes from {least} to {most}")]
pub struct DeflateSettingError {
    setting: &'static str,
    value: u8,
    least: u8,
    most: u8,
}
