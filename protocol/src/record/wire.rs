//! Numbers, texts and bytes of a recording.

use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// The reason why a recording cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It does not begin as a recording does.
    #[error("this is no recording of a session, or one of another version")]
    NoRecording,
    /// It ends in the middle of something.
    #[error("the recording ends too early: it was cut off")]
    Ends,
    /// It holds something that has no meaning.
    #[error("the recording is damaged, or of a later version: {what} at byte {at}")]
    Damaged {
        /// The part that has no meaning.
        what: &'static str,
        /// The place.
        at: usize,
    },
}

/// A recording as it is written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn size(&mut self, size: usize) {
        self.number(size as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.raw(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn optional(&mut self, bytes: Option<&[u8]>) {
        self.byte(u8::from(bytes.is_some()));
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }
}

/// A recording as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn damaged(&self, what: &'static str) -> RecordingError {
        RecordingError::Damaged { what, at: self.at }
    }

    pub(super) fn raw(&mut self, len: usize) -> Result<&'a [u8], RecordingError> {
        let end = self.at.checked_add(len).ok_or(RecordingError::Ends)?;
        let bytes = self.bytes.get(self.at..end).ok_or(RecordingError::Ends)?;
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordingError> {
        self.raw(1)?.first().copied().ok_or(RecordingError::Ends)
    }

    pub(crate) fn number(&mut self) -> Result<u64, RecordingError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number of more than 64 bits"))
    }

    pub(super) fn size(&mut self) -> Result<usize, RecordingError> {
        // More than fits is as good as no limit.
        Ok(usize::try_from(self.number()?).unwrap_or(usize::MAX))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], RecordingError> {
        let len = self.size()?;
        self.raw(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, RecordingError> {
        let bytes = self.bytes()?;
        core::str::from_utf8(bytes).map_err(|_| self.damaged("a text that is not UTF-8"))
    }

    pub(super) fn optional(&mut self) -> Result<Option<&'a [u8]>, RecordingError> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.bytes().map(Some),
            _ => Err(self.damaged("neither something nor nothing")),
        }
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, RecordingError> {
        let Some(bytes) = self.optional()? else { return Ok(None) };
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| self.damaged("a text that is not UTF-8"))
    }
}
