//! The arguments of a received event or acknowledgement.

use crate::attachments::{Attachments, Beside};
use crate::socket::json::argument::{Argument, Iter};
use crate::socket::json::data::PacketData;
use crate::socket::json::decode::{Missing, Progress, Whole};
use crate::socket::json::packet::{event_name, judge};
use crate::socket::json::placeholder;
use crate::socket::json::resolve::Resolve;
use crate::socket::json::scan::{skip_blanks, skip_value};
use crate::socket::json::shape::{Form, MAX_TEXT, Shape, narrow};
use crate::socket::json::validate;
use crate::socket::msgpack;
use crate::socket::msgpack::check;
use crate::socket::msgpack::head::Head;
use crate::socket::msgpack::to_json::{Binary, push_value};
use crate::socket::packet::{PacketError, PacketType};
use crate::socket::parser::Parser;
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use serde::Deserialize;

/// The arguments of a received event or acknowledgement: the message as it came, and the attachments.
///
/// The message was checked when the packet came in, and is decoded when the application asks, into the types that
/// it asks for. A clone shares the bytes. To pass arguments on without decoding them, send the `Args`
/// themselves: they are [`ToArgs`](crate::socket::ToArgs).
///
/// Bytes (`bytes::Bytes`, `&[u8]`, the wrappers of serde_bytes) decode from attachments wherever they stand, inside of
/// structs and lists too. `&[u8]` borrows and the owning types copy; [`attachment`](Self::attachment) does neither.
/// Half a surrogate pair, which JavaScript can hold and Rust cannot, decodes as U+FFFD. Where the type asks for no
/// bytes, in a `serde_json::Value`, in untagged enums and behind `#[serde(flatten)]`, the placeholder stays the object
/// it is on the wire.
///
/// ```
/// use sansocket_protocol::socket::Args;
///
/// let args = Args::from_json(r#"["ada",36,{"admin":true}]"#, vec![])?;
/// assert_eq!(args.len(), 3);
/// assert_eq!(args.decode::<(String, u8)>()?, ("ada".to_string(), 36)); // a tuple takes them all, more may follow
/// assert_eq!(args.decode::<String>()?, "ada"); // anything else takes the first
/// assert_eq!(args.get::<u8>(1)?, 36);
/// assert_eq!(args.json(2), Some(r#"{"admin":true}"#));
///
/// let error = args.decode::<(String, String)>().unwrap_err();
/// assert_eq!(error.to_string(), "args[1]: invalid type: integer `36`, expected a string");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Args {
    text: Bytes,
    shape: Shape,
    /// The parts that few packets have, behind one pointer: arguments are moved often on their way to a handler.
    beside: Option<Arc<Beside>>,
}

/// The reason why arguments are not what the application asked for. The connection is well: the mistake is in the
/// handler or in what the peer sent.
///
/// Positions count from 0 and leave out the event's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The peer sent fewer arguments. Ask for an `Option` if it may.
    #[error("args[{position}] is missing, the peer sent {count}")]
    Missing {
        /// The place of the argument, from 0.
        position: usize,
        /// The number of arguments.
        count: usize,
    },
    /// The argument is there, but is something else.
    #[error("args[{position}]: {reason}")]
    Invalid {
        /// The place of the argument, from 0.
        position: usize,
        /// The value found, and the one expected. Control characters, which a peer may have sent, are
        /// escaped.
        reason: String,
    },
}

impl Args {
    pub(in crate::socket) fn new(text: Bytes, shape: Shape) -> Self {
        Self { text, shape, beside: None }
    }

    /// Arguments that came in another way than from a peer: for tests, say.
    ///
    /// `json` is an array of the arguments, without an event's name, and `attachments` are what its
    /// placeholders stand for.
    ///
    /// # Errors
    ///
    /// [`PacketError::InvalidPayload`] if `json` is no array, [`PacketError::IllegalPlaceholder`] if there are
    /// attachments and a placeholder names none of them, and the errors of the default limits of [`Parser`].
    pub fn from_json(json: &str, attachments: Vec<Bytes>) -> Result<Self, PacketError> {
        let kind = if attachments.is_empty() { PacketType::Ack } else { PacketType::BinaryAck };
        let invalid = |at, reason: String| PacketError::InvalidPayload { kind, at, reason };
        let start = skip_blanks(json.as_bytes(), 0);
        if json.as_bytes().get(start) != Some(&b'[') {
            return Err(invalid(start, "expected an array".to_string()));
        }
        if json.len() > MAX_TEXT {
            return Err(PacketError::TooLong);
        }
        let parser = Parser::json();
        let checked = validate::check(json.as_bytes(), start, parser.max_depth.get())
            .map_err(|error| error.refuse(kind))?;
        judge(&parser, &checked, checked.elements)?;
        let text = Bytes::copy_from_slice(json.as_bytes());
        let mut shape = Shape::list(&text, start, &checked);
        if !attachments.is_empty() {
            let names = placeholder::check(json.as_bytes(), attachments.len(), checked.has_escapes)
                .ok_or(PacketError::IllegalPlaceholder { announced: attachments.len() })?;
            shape = shape.with_names(names);
        }
        let mut args = Self::new(text, shape);
        args.attach(attachments.into());
        if checked.has_half_surrogate {
            args.mend(0);
        }
        Ok(args)
    }

    /// The event's name; `None` for an acknowledgement, and for an event that came without any payload, which
    /// is legal and fires nothing.
    ///
    /// Does not allocate unless the name was sent with escapes. An integer that is sent as a name is its digits:
    /// `[1]` is the event `1`.
    pub fn event(&self) -> Option<Cow<'_, str>> {
        match self.event_bytes()? {
            Cow::Borrowed(name) => core::str::from_utf8(name).ok().map(Cow::Borrowed),
            Cow::Owned(name) => String::from_utf8(name).ok().map(Cow::Owned),
        }
    }

    /// The bytes of [`event`](Self::event), for looking a handler up: cheaper, where the name has no escapes.
    #[inline]
    pub fn event_bytes(&self) -> Option<Cow<'_, [u8]>> {
        let raw = self.text.get(self.shape.name()?)?;
        if self.is_packed() {
            return msgpack::packet::event_name(raw);
        }
        match raw {
            // Only a name with escapes has kept its quotes.
            raw @ [b'"', ..] => event_name(raw).map(|name| Cow::Owned(name.into_owned().into_bytes())),
            name => Some(Cow::Borrowed(name)),
        }
    }

    /// Returns whether they came with an event's name. Cheaper than to look at it.
    pub(in crate::socket) fn has_event(&self) -> bool {
        self.shape.name().is_some()
    }

    /// The number of arguments, without the event's name.
    pub fn len(&self) -> usize {
        self.shape.count()
    }

    /// Returns whether there is no argument.
    pub fn is_empty(&self) -> bool {
        self.shape.count == 0
    }

    /// All arguments as JSON text, commas between them, without brackets, whatever parser has read them: for a look at
    /// them. In MessagePack, bytes are lists of numbers then.
    pub fn to_json(&self) -> String {
        if !self.is_packed() {
            return String::from_utf8_lossy(self.list()).into_owned();
        }
        let texts: Vec<_> = self.iter().map(|argument| argument.to_json()).collect();
        texts.join(",")
    }

    /// The value that begins there as JSON text.
    pub(super) fn json_of(&self, mut value: &[u8]) -> String {
        if !self.is_packed() {
            return String::from_utf8_lossy(value.get(..skip_value(value, 0)).unwrap_or_default())
                .into_owned();
        }
        let mut json = Vec::new();
        push_value(&mut json, &mut value, &mut Binary::Numbers);
        String::from_utf8(json).unwrap_or_default()
    }

    /// The JSON text of argument `position`, counted from 0. Costs as much as [`get`](Self::get). `None` if it is not JSON,
    /// because another parser than the default one has read it: see [`to_json`](Self::to_json).
    pub fn json(&self, position: usize) -> Option<&str> {
        Argument { json: self.argument(position)?, ..self.outside() }.json()
    }

    /// The last argument, if it is a text: where a server that recovers connections puts its offset.
    pub(in crate::socket) fn last_text(&self) -> Option<Cow<'_, str>> {
        let last = self.len().checked_sub(1)?;
        if self.is_packed() {
            return self.get::<&str>(last).ok().map(Cow::Borrowed);
        }
        // Nearly all texts end so, and few have an escaped quote.
        if let [text @ .., b'"', b']'] = &self.text[..] {
            let start = text.iter().rposition(|byte| *byte == b'"')?;
            let (before, quoted) = (text.get(..start)?, text.get(start.saturating_add(1)..)?);
            if before.last() != Some(&b'\\') && !quoted.contains(&b'\\') {
                return core::str::from_utf8(quoted).ok().map(Cow::Borrowed);
            }
        } else if self.text.last() == Some(&b']')
            && self.text.iter().nth_back(1).is_some_and(|byte| !byte.is_ascii_whitespace())
        {
            return None;
        }
        self.get::<String>(last).ok().map(Cow::Owned)
    }

    /// The arguments, one after the other.
    ///
    /// ```
    /// use sansocket_protocol::socket::Args;
    ///
    /// let args = Args::from_json("[1,2,3]", vec![])?;
    /// let sum: Result<u8, _> = args.iter().map(|argument| argument.decode::<u8>()).sum();
    /// assert_eq!(sum?, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter { args: self, next: None, position: 0 }
    }

    /// Decodes argument `position`, counted from 0. An `Option` may be missing.
    ///
    /// The arguments before it are skipped over, which costs a look at each of their bytes: to take one after the
    /// other, [`iter`](Self::iter) and tuples are better.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if it is missing or something else.
    pub fn get<'de, T: Deserialize<'de>>(&'de self, position: usize) -> Result<T, ArgsError> {
        let progress = Progress::at(position);
        let decoded = match self.to_decode(position) {
            None => T::deserialize(Missing(&progress)),
            Some(json) => self.value(json),
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
    /// use sansocket_protocol::socket::{Args, Parser};
    ///
    /// let args = Args::from_json(r#"["lobby","hello",3]"#, vec![])?;
    /// let room: String = args.get(0)?;
    /// let frame = Parser::json().event("/", "said", None, &args.skip(1))?;
    /// assert_eq!(room, "lobby");
    /// assert_eq!(frame.text().unwrap(), r#"42["said","hello",3]"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip(&self, n: usize) -> Self {
        let mut rest = self.clone();
        rest.shape.count = narrow(self.len().saturating_sub(n));
        rest.shape.names_in_order &= n == 0;
        if let Some(json) = self.argument(n) {
            rest.shape.first = narrow(self.text.len().saturating_sub(json.len()));
        }
        rest
    }

    /// The attachments, in the order of their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        self.beside.as_ref().map_or(&[], |beside| beside.attachments.as_slice())
    }

    /// The bytes that argument `position` is, without a copy, whatever parser has read it. `None` if it is no bytes.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use sansocket_protocol::socket::Parser;
    ///
    /// let picture = Bytes::from_static(&[1, 2, 3]);
    /// let parser = Parser::msgpack();
    /// let frame = parser.event("/", "drawn", None, &("x", &picture))?;
    /// let args = parser.decode(frame.attachments()[0].clone())?.into_args();
    /// assert_eq!(args.bytes(1), Some(picture));
    /// assert_eq!(args.bytes(0), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bytes(&self, position: usize) -> Option<Bytes> {
        if !self.is_packed() {
            return self.attachment(position).cloned();
        }
        match Head::read(&mut self.argument(position)?) {
            Ok(Head::Bin(bytes)) => Some(self.text.slice_ref(bytes)),
            _ => None,
        }
    }

    /// The bytes that argument `position` stands for, without a copy, if it is a placeholder itself. `None` where bytes
    /// stand inside of the message: [`bytes`](Self::bytes) finds both.
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
        self.beside.as_ref()?;
        Argument { json: self.argument(position)?, ..self.outside() }.attachment()
    }

    /// The bytes that these arguments keep alive: the packet's text and the attachments.
    pub fn wire_len(&self) -> usize {
        let text = self.text.len().saturating_add(self.mended().map_or(0, <[u8]>::len));
        self.attachments().iter().fold(text, |sum, bytes| sum.saturating_add(bytes.len()))
    }

    /// The depth of lists and objects inside each other, and the length of the longest number. Where arguments were
    /// skipped, they count too.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.shape.depth as usize, self.shape.longest_number as usize)
    }

    /// Whether they are MessagePack.
    #[inline]
    pub(in crate::socket) fn is_packed(&self) -> bool {
        self.shape.form != Form::Json
    }

    /// Whether maps in them have keys that are no texts.
    pub(crate) fn has_odd_keys(&self) -> bool {
        self.shape.form == Form::PackedWithOddKeys
    }

    /// From `data` on there are halves of surrogate pairs, which serde_json refuses. What is passed on keeps them.
    pub(super) fn mend(&mut self, data: usize) {
        let mut mended = self.text.to_vec();
        if let Some(json) = mended.get_mut(data..) {
            validate::mend(json);
        }
        let beside = Arc::make_mut(self.beside.get_or_insert_default());
        beside.mended = Some(mended.into());
    }

    pub(super) fn mended(&self) -> Option<&[u8]> {
        self.beside.as_ref()?.mended.as_deref()
    }

    /// The data that begins there, of a packet without arguments.
    pub(in crate::socket) fn data(&self, data: usize) -> Option<PacketData> {
        if data >= self.text.len() {
            return None;
        }
        if self.is_packed() {
            let mut json = Vec::new();
            push_value(&mut json, &mut self.text.get(data..)?, &mut Binary::Numbers);
            return Some(PacketData::received(json.into()));
        }
        Some(PacketData::received(match self.mended() {
            Some(mended) => Bytes::copy_from_slice(mended.get(data..)?),
            None => self.text.slice(data..),
        }))
    }

    /// The bytes that all placeholders from `data` on stand for.
    pub(in crate::socket) fn referenced(&self, data: usize, attachments: &[Bytes]) -> usize {
        placeholder::referenced(self.text.get(data..).unwrap_or_default(), attachments)
    }

    pub(in crate::socket) fn text(&self) -> &Bytes {
        &self.text
    }

    pub(in crate::socket) fn attach(&mut self, attachments: Attachments) {
        match &mut self.beside {
            _ if attachments.is_empty() => {}
            Some(beside) => Arc::make_mut(beside).attachments = attachments,
            none => *none = Some(Arc::new(Beside::of(attachments))),
        }
    }

    /// The attachments, if the text names each of them once and in order: a message that passes all of it on has both
    /// as they are.
    pub(super) fn in_order(&self) -> Option<&Arc<Beside>> {
        self.beside.as_ref().filter(|beside| self.shape.names_in_order && beside.mended.is_none())
    }

    /// The JSON from the beginning of argument `position` on.
    pub(in crate::socket) fn argument(&self, position: usize) -> Option<&[u8]> {
        if position >= self.len() {
            return None;
        }
        let first = self.text.get(self.shape.first as usize..)?;
        if self.is_packed() {
            let mut rest = first;
            check::skip(&mut rest, position);
            return Some(rest);
        }
        (0..position).try_fold(first, |json, _| next(json))
    }

    /// From the beginning of an argument to the beginning of the one behind it.
    pub(super) fn behind<'a>(&self, argument: &'a [u8]) -> Option<&'a [u8]> {
        if self.is_packed() {
            let mut rest = argument;
            check::skip(&mut rest, 1);
            return Some(rest);
        }
        next(argument)
    }

    /// Decodes the value that begins there.
    pub(super) fn value<'de, T: Deserialize<'de>>(
        &'de self,
        value: &'de [u8],
    ) -> Result<T, serde_json::Error> {
        if self.is_packed() {
            return T::deserialize(&mut msgpack::decode::Value::new(value));
        }
        decode(value, self.attachments())
    }

    /// The same, to decode from.
    pub(super) fn to_decode(&self, position: usize) -> Option<&[u8]> {
        let json = self.argument(position)?;
        match self.mended() {
            None => Some(json),
            Some(mended) => mended.get(self.text.len().saturating_sub(json.len())..),
        }
    }

    /// No argument, from which one is made.
    fn outside(&self) -> Argument<'_> {
        Argument { args: self, json: &[], position: 0 }
    }

    /// The JSON of all arguments, commas between them, without brackets.
    pub(crate) fn list(&self) -> &[u8] {
        if self.shape.count == 0 {
            return &[];
        }
        let end = self.text.iter().rposition(|&byte| byte == b']').unwrap_or(self.text.len());
        self.text.get(self.shape.first as usize..end).unwrap_or_default()
    }

    fn error(&self, progress: &Progress, error: &serde_json::Error) -> ArgsError {
        let position = progress.position();
        if progress.is_missing() {
            return ArgsError::Missing { position, count: self.len() };
        }
        ArgsError::Invalid { position, reason: plain_reason(error) }
    }
}

/// Decodes one argument, which begins there.
fn decode<'de, T: Deserialize<'de>>(
    json: &'de [u8],
    attachments: &'de [Bytes],
) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(json);
    match attachments {
        [] => T::deserialize(&mut json),
        attachments => T::deserialize(Resolve::new(&mut json, attachments)),
    }
}

/// The words of serde_json, without the place in a text that the reader does not have, and without control characters: it
/// quotes what a peer sent.
pub(super) fn plain_reason(error: &serde_json::Error) -> String {
    let mut reason = error.to_string();
    if error.line() > 0 {
        if let Some(at) = reason.rfind(" at line ") {
            reason.truncate(at);
        }
    }
    if reason.contains(char::is_control) {
        let escaped = reason.chars().flat_map(|char| {
            let (escape, plain) = if char.is_control() { (Some(char), None) } else { (None, Some(char)) };
            escape.into_iter().flat_map(char::escape_default).chain(plain)
        });
        return escaped.collect();
    }
    reason
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
            .field("json", &self.to_json())
            .field("attachments", &self.attachments().len())
            .finish()
    }
}
