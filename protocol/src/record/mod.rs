//! Recordings: what the machine of a session was given, in a compact form, to be given to it once more.
//!
//! A [`Connection`](crate::server::Connection) decides by its settings, its inputs and its commands alone. So whoever has
//! those has the session: [`replay`](crate::replay) runs it again, on another machine and as often as it takes.
//! [`Connection::record`](crate::server::Connection::record) begins a recording,
//! [`Connection::take_recording`](crate::server::Connection::take_recording) ends it.
//!
//! # What is in it
//!
//! By default a recording holds no secrets: the letters of texts in JSON are `x` and the digits of numbers `1`, as are the
//! values of the query behind a namespace, which clients of Socket.IO 2.x have for `auth`; of attachments and bodies of
//! plain Engine.IO only the length is there; the session's id, the ids of its sockets, and the words of a refusal are `x`;
//! and of requests only what the session reads is there: method, path, the query of Engine.IO, and the headers that say how
//! the body is encoded. Names of namespaces and events, the keys of objects and queries, and ids of acknowledgements stay:
//! those are counters, which both ends need to find what belongs together. All lengths stay as well, so the session takes
//! the same way. [`RecordOptions::with_secrets`] keeps everything.
//!
//! # The format
//!
//! Numbers are LEB128 (seven bits in a byte, the lowest first, the highest bit set in all bytes but the last); a text or a
//! row of bytes is its length as a number, and its bytes; an optional one has a byte before it, 0 or 1.
//!
//! ```text
//! "sansocket-rec" 1          14 bytes: the name of the format, and its version
//! flags                      number: 1 masked, 2 Socket.IO (else plain Engine.IO), 4 revision 3
//! id                         text: the session's id
//! initial packet             optional text
//! count, (name, number)...   the settings, by the names of their fields; durations in microseconds
//! (kind, time, fields)...    the entries, to the end: a byte, the microseconds since the entry before, what follows
//! ```
//!
//! The entries, and the fields of each, are in [`Entry`]. Unknown settings are left out by a reader. An entry of an unknown
//! kind is an error, because its length is not known.

mod entry;
mod mask;
mod settings;
mod wire;

pub use entry::Entry;
pub use wire::RecordingError;

pub(crate) use mask::Mask;
pub(crate) use settings::{ReadSettings, Settings};
pub(crate) use wire::Reader;

use crate::time::Instant;
use alloc::vec::Vec;
use wire::Writer;

/// The name of the format, and its version.
const MAGIC: &[u8] = b"sansocket-rec\x01";

/// The most bytes of a recording, unless the application says otherwise.
const DEFAULT_MAX_BYTES: usize = 1 << 20;

/// The options of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordOptions {
    /// The most bytes; what comes later is left out. Default 1 MiB.
    pub max_bytes: usize,
    /// Whether secrets are kept. Default no.
    pub with_secrets: bool,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES, with_secrets: false }
    }
}

impl RecordOptions {
    /// Sets [`RecordOptions::max_bytes`].
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`RecordOptions::with_secrets`].
    #[must_use]
    pub const fn with_secrets(mut self, keep: bool) -> Self {
        self.with_secrets = keep;
        self
    }
}

/// A recording in the making.
#[derive(Debug)]
pub(crate) struct Recorder {
    writer: Writer,
    last: Instant,
    max_bytes: usize,
    mask: Mask,
    is_full: bool,
}

impl Recorder {
    /// Begins a recording. `None` if the session's parser has no form here: the application's own, or MessagePack where
    /// secrets are not kept.
    pub(crate) fn new(now: Instant, settings: &Settings<'_>, options: RecordOptions) -> Option<Self> {
        let mask = Mask::new(!options.with_secrets, settings.sockets.is_some(), settings.revision);
        let mut writer = Writer::default();
        settings.write(&mut writer, mask)?;
        writer.number(now.as_micros());
        Some(Self { writer, last: now, max_bytes: options.max_bytes, mask, is_full: false })
    }

    /// The masking of this recording's texts.
    pub(crate) fn mask(&self) -> Mask {
        self.mask
    }

    /// Adds an entry, unless the recording is full.
    pub(crate) fn note(&mut self, now: Instant, entry: &Entry<'_>) {
        if self.is_full {
            return;
        }
        let before = self.writer.len();
        let now = self.last.max(now);
        entry.write(&mut self.writer, now - self.last, self.mask);
        if self.writer.len() > self.max_bytes {
            self.writer.truncate(before);
            self.is_full = true;
            Entry::Truncated.write(&mut self.writer, now - self.last, self.mask);
        }
        self.last = now;
    }

    /// The recording so far.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.writer.into_bytes()
    }
}
