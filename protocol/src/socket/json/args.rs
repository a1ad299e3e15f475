//! The arguments of a received event or acknowledgement.

use crate::socket::json::decode::{Missing, Progress, Whole};
use crate::socket::json::placeholder;
use crate::socket::json::resolve::Resolve;
use crate::socket::json::scan::{skip_blanks, skip_value};
use crate::socket::json::validate;
use crate::socket::packet::{PacketError, PacketType, event_name};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;
use serde::Deserialize;

/// The arguments of a received event or acknowledgement: the JSON as it came, and the attachments.
///
/// The JSON was checked when the packet came in, and is decoded when the application asks, into the types that
/// it asks for. A clone shares the bytes. To pass arguments on without decoding them, send the `Args`
/// themselves: they are [`ToArgs`](crate::socket::json::encode::ToArgs).
///
/// Bytes (`bytes::Bytes`, `&[u8]`, the wrappers of serde_bytes) decode from attachments wherever they stand,
/// inside of structs and lists too. `&[u8]` borrows and the owning types copy; [`attachment`](Self::attachment)
/// is there for who wants neither. Where the type asks for no bytes, in a `serde_json::Value`, in untagged
/// enums and behind `#[serde(flatten)]`, the placeholder stays the object it is on the wire.
///
/// ```
/// use sansocket_protocol::socket::Args;
///
/// let args = Args::from_json(r#"["ada",36,{"admin":true}]"#, vec![])?;
/// assert_eq!(args.len(), 3);
/// assert_eq!(args.decode::<(String, u8)>()?, ("ada".to_string(), 36)); // a tuple takes them all, more may follow
/// assert_eq!(args.decode::<String>()?, "ada"); // anything else takes the first
/// assert_eq!(args.get::<u8>(1)?, 36);
/// assert_eq!(args.raw(2), Some(r#"{"admin":true}"#));
///
/// let error = args.decode::<(String, String)>().unwrap_err();
/// assert_eq!(error.to_string(), "args[1]: invalid type: integer `36`, expected a string");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Args {
    text: Bytes,
    shape: Shape,
    attachments: Option<Arc<[Bytes]>>,
}

/// Where the parts of the array are in the text. All zero if there is none.
#[derive(Clone, Copy, Default)]
pub(in crate::socket) struct Shape {
    name: (usize, usize),
    first: usize,
    count: usize,
}

impl Shape {
    /// `[name, arguments...]`.
    #[inline]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: a position is at most one byte behind the end of a slice"
    )]
    pub(in crate::socket) fn event(json: &[u8], name: Range<usize>, count: usize) -> Self {
        // Behind the name stands a comma, if anything.
        let comma = skip_blanks(json, name.end);
        Self { name: (name.start, name.end), first: skip_blanks(json, comma + 1), count }
    }

    /// `[arguments...]` at `array`.
    #[inline]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: a position is at most one byte behind the end of a slice"
    )]
    pub(in crate::socket) fn list(json: &[u8], array: usize, count: usize) -> Self {
        Self { name: (0, 0), first: skip_blanks(json, array + 1), count }
    }

    fn name(&self) -> Range<usize> {
        self.name.0..self.name.1
    }
}

/// Why arguments are not what the application asked for. The connection is well; the handler's author, or the
/// peer's, is to look at it.
///
/// Positions count from 0 and leave out the event's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The peer sent fewer arguments. Ask for an `Option` if it may.
    #[error("args[{position}] is missing, the peer sent {count}")]
    Missing {
        /// Which argument.
        position: usize,
        /// How many there are.
        count: usize,
    },
    /// The argument is there, but is something else.
    #[error("args[{position}]: {reason}")]
    Invalid {
        /// Which argument.
        position: usize,
        /// What was there and what was expected instead.
        reason: String,
    },
}

impl Args {
    pub(in crate::socket) fn new(text: Bytes, shape: Shape) -> Self {
        Self { text, shape, attachments: None }
    }

    /// Arguments that were not received: for tests, and for who brings them by another way.
    ///
    /// `json` is an array of the arguments, without an event's name, and `attachments` are what its
    /// placeholders stand for.
    ///
    /// # Errors
    ///
    /// [`PacketError::InvalidPayload`] if `json` is no array, [`PacketError::IllegalPlaceholder`] if there are
    /// attachments and a placeholder names none of them.
    pub fn from_json(json: &str, attachments: Vec<Bytes>) -> Result<Self, PacketError> {
        let kind = if attachments.is_empty() { PacketType::Ack } else { PacketType::BinaryAck };
        let invalid = |at, reason: String| PacketError::InvalidPayload { kind, at, reason };
        let start = skip_blanks(json.as_bytes(), 0);
        if json.as_bytes().get(start) != Some(&b'[') {
            return Err(invalid(start, "expected an array".to_string()));
        }
        let count =
            validate::check(json.as_bytes(), start).map_err(|error| invalid(error.at, error.to_string()))?;
        if !attachments.is_empty() && !placeholder::are_legal(json.as_bytes(), attachments.len()) {
            return Err(PacketError::IllegalPlaceholder { announced: attachments.len() });
        }
        let text = Bytes::copy_from_slice(json.as_bytes());
        let shape = Shape::list(&text, start, count);
        let mut args = Self::new(text, shape);
        args.attach(attachments);
        Ok(args)
    }

    /// The event's name; `None` for an acknowledgement, and for an event that came without any payload, which
    /// is legal and fires nothing.
    ///
    /// Does not allocate unless the name was sent with escapes. A number that is sent as a name is its
    /// JavaScript text: `[1.0]` is the event `1`.
    pub fn event(&self) -> Option<Cow<'_, str>> {
        event_name(self.text.get(self.shape.name())?)
    }

    /// The bytes of [`event`](Self::event), for looking a handler up: cheaper, where the name has no escapes.
    pub fn event_bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self.text.get(self.shape.name())? {
            [b'"', name @ .., b'"'] if !name.contains(&b'\\') => Some(Cow::Borrowed(name)),
            raw => event_name(raw).map(|name| Cow::Owned(name.into_owned().into_bytes())),
        }
    }

    /// Whether they came with an event's name. Cheaper than to look at it.
    pub(in crate::socket) fn has_event(&self) -> bool {
        !self.shape.name().is_empty()
    }

    /// How many arguments there are. The event's name is none.
    pub fn len(&self) -> usize {
        self.shape.count
    }

    /// Whether there is no argument.
    pub fn is_empty(&self) -> bool {
        self.shape.count == 0
    }

    /// The JSON text of argument `position`, counted from 0.
    pub fn raw(&self, position: usize) -> Option<&str> {
        let json = self.argument(position)?;
        core::str::from_utf8(json.get(..skip_value(json, 0))?).ok()
    }

    /// Decodes argument `position`, counted from 0. An `Option` may be missing.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if it is missing or something else.
    pub fn get<'de, T: Deserialize<'de>>(&'de self, position: usize) -> Result<T, ArgsError> {
        let progress = Progress::at(position);
        let decoded = match self.argument(position) {
            None => T::deserialize(Missing(&progress)),
            Some(json) => {
                let mut json = serde_json::Deserializer::from_slice(json);
                match self.attachments() {
                    [] => T::deserialize(&mut json),
                    attachments => T::deserialize(Resolve::new(&mut json, attachments)),
                }
            }
        };
        decoded.map_err(|error| self.error(&progress, &error))
    }

    /// Decodes the arguments into what the type says: a tuple (or an array `[T; N]`) takes them all, one for
    /// each element; `()` takes none; anything else, a `Vec` or a tuple struct too, takes the first.
    ///
    /// More arguments than asked for are ignored, as in JavaScript. An `Option` may be missing.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if one is missing or something else.
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T, ArgsError> {
        let progress = Progress::at(0);
        T::deserialize(Whole { args: self, progress: &progress })
            .map_err(|error| self.error(&progress, &error))
    }

    /// The arguments behind the first `n`; none if there are no more than that.
    ///
    /// For a server that reads an argument, a room perhaps, and sends the rest on. The event keeps its name,
    /// positions count from 0 again, and the bytes are shared. The placeholders keep their numbers and
    /// [`attachments`](Self::attachments) all of the attachments, but when the rest is sent, only those go out
    /// that it refers to.
    ///
    /// ```
    /// use sansocket_protocol::message::Frame;
    /// use sansocket_protocol::socket::Args;
    ///
    /// let args = Args::from_json(r#"["lobby","hello",3]"#, vec![])?;
    /// let room: String = args.get(0)?;
    /// let frame = Frame::event("/", "said", None, &args.skip(1))?;
    /// assert_eq!(room, "lobby");
    /// assert_eq!(frame.text().unwrap(), r#"42["said","hello",3]"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip(&self, n: usize) -> Self {
        let mut rest = self.clone();
        rest.shape.count = self.shape.count.saturating_sub(n);
        if let Some(json) = self.argument(n) {
            rest.shape.first = self.text.len().saturating_sub(json.len());
        }
        rest
    }

    /// The attachments, in the order of their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        self.attachments.as_deref().unwrap_or_default()
    }

    /// The bytes that argument `position` stands for, without a copy, if it is a placeholder itself.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use sansocket_protocol::socket::Args;
    ///
    /// let picture = Bytes::from_static(&[1, 2, 3]);
    /// let args = Args::from_json(r#"["x",{"_placeholder":true,"num":0}]"#, vec![picture.clone()])?;
    /// assert_eq!(args.attachment(1), Some(&picture));
    /// assert_eq!(args.attachment(0), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attachment(&self, position: usize) -> Option<&Bytes> {
        let attachments = self.attachments.as_deref()?;
        let json = self.argument(position)?;
        let mut outermost = None;
        // They are reported in the order in which they end, so the argument itself comes last.
        let end = skip_value(json, 0);
        let found = placeholder::placeholders(json.get(..end)?, |found| {
            outermost = (found.span.end == end).then_some(found.num).flatten();
            Ok::<(), ()>(())
        });
        found.ok().and(outermost).and_then(|num| attachments.get(num))
    }

    /// The bytes that these arguments keep alive: the packet's text and the attachments.
    pub fn wire_len(&self) -> usize {
        self.attachments().iter().fold(self.text.len(), |sum, bytes| sum.saturating_add(bytes.len()))
    }

    pub(in crate::socket) fn text(&self) -> &Bytes {
        &self.text
    }

    pub(in crate::socket) fn attach(&mut self, attachments: Vec<Bytes>) {
        self.attachments = if attachments.is_empty() { None } else { Some(attachments.into()) };
    }

    /// The JSON from the beginning of argument `position` on.
    pub(in crate::socket) fn argument(&self, position: usize) -> Option<&[u8]> {
        if position >= self.shape.count {
            return None;
        }
        let first = self.text.get(self.shape.first..)?;
        (0..position).try_fold(first, |json, _| next(json))
    }

    /// The JSON of all arguments, commas between them, without brackets.
    pub(crate) fn list(&self) -> &[u8] {
        if self.shape.count == 0 {
            return &[];
        }
        let end = self.text.iter().rposition(|&byte| byte == b']').unwrap_or(self.text.len());
        self.text.get(self.shape.first..end).unwrap_or_default()
    }

    fn error(&self, progress: &Progress, error: &serde_json::Error) -> ArgsError {
        let position = progress.position();
        if progress.is_missing() {
            return ArgsError::Missing { position, count: self.shape.count };
        }
        // The place in a text that the reader does not have is noise.
        let mut reason = error.to_string();
        if error.line() > 0 {
            if let Some(at) = reason.rfind(" at line ") {
                reason.truncate(at);
            }
        }
        ArgsError::Invalid { position, reason }
    }
}

/// From the beginning of an argument to the beginning of the one behind it.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most one byte behind the end of a slice"
)]
pub(in crate::socket) fn next(json: &[u8]) -> Option<&[u8]> {
    let comma = skip_blanks(json, skip_value(json, 0));
    json.get(skip_blanks(json, comma + 1)..)
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args")
            .field("event", &self.event())
            .field("json", &String::from_utf8_lossy(self.list()))
            .field("attachments", &self.attachments().len())
            .finish()
    }
}
