//! The arguments of a received event or acknowledgement, one by one.

use crate::socket::json::args::{Args, ArgsError, plain_reason};
use crate::socket::json::placeholder;
use crate::socket::json::scan::skip_value;
use alloc::string::String;
use bytes::Bytes;
use core::fmt;
use serde::Deserialize;

/// One of the arguments of an event or an acknowledgement: see [`Args::iter`].
#[derive(Clone, Copy)]
pub struct Argument<'a> {
    pub(super) args: &'a Args,
    /// From its beginning on.
    pub(super) json: &'a [u8],
    pub(super) position: usize,
}

impl<'a> Argument<'a> {
    /// Its position, counted from 0.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Its JSON text.
    pub fn json(&self) -> Option<&'a str> {
        if self.args.is_packed() {
            return None;
        }
        core::str::from_utf8(self.json.get(..skip_value(self.json, 0))?).ok()
    }

    /// It as JSON text, whatever parser has read it. In MessagePack, bytes are lists of numbers then.
    pub fn to_json(&self) -> String {
        self.args.json_of(self.json)
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Invalid`] if it is something else.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, ArgsError> {
        let json = match self.args.mended() {
            None => self.json,
            Some(mended) => {
                mended.get(self.args.text().len().saturating_sub(self.json.len())..).unwrap_or_default()
            }
        };
        self.args
            .value(json)
            .map_err(|error| ArgsError::Invalid { position: self.position, reason: plain_reason(&error) })
    }

    /// The bytes that it stands for, without a copy, if it is bytes itself.
    pub fn attachment(&self) -> Option<&'a Bytes> {
        let attachments = self.args.attachments();
        let mut outermost = None;
        // They are reported in the order in which they end, so the argument itself comes last.
        let end = skip_value(self.json, 0);
        let found = placeholder::placeholders(self.json.get(..end)?, |found| {
            outermost = (found.span.end == end).then_some(found.num).flatten();
            Ok::<(), ()>(())
        });
        found.ok().and(outermost).and_then(|num| attachments.get(num))
    }
}

impl fmt::Debug for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = self.to_json();
        f.debug_struct("Argument").field("position", &self.position).field("json", &json).finish()
    }
}

/// The arguments of an event or an acknowledgement, one after the other: see [`Args::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    pub(super) args: &'a Args,
    /// From the beginning of the argument that was given last.
    pub(super) next: Option<&'a [u8]>,
    pub(super) position: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Argument<'a>;

    fn next(&mut self) -> Option<Argument<'a>> {
        if self.position >= self.args.len() {
            return None;
        }
        let json = match self.next {
            None => self.args.argument(0)?,
            Some(json) => self.args.behind(json)?,
        };
        self.next = Some(json);
        let position = self.position;
        self.position = position.saturating_add(1);
        Some(Argument { args: self.args, json, position })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.args.len().saturating_sub(self.position);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Args {
    type Item = Argument<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
