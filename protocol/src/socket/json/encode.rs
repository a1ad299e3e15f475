//! Encoding arguments: serde_json's output, with two additions. A tuple becomes several arguments, and bytes
//! become placeholders and attachments.

use crate::attachments::Beside;
use crate::socket::json::args::Args;
use crate::socket::json::placeholder;
use crate::socket::json::serialize::Json;
use crate::socket::json::spread::{Sink, Spread};
use crate::socket::json::validate::{self, Invalid, SyntaxError};
use crate::socket::json::write::decimal_len;
use crate::socket::msgpack;
use crate::socket::msgpack::to_json::{Binary, push_value};
use crate::socket::parser::Parser;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Display;
use serde::ser;
use serde::ser::Serialize;

/// The reason why a message cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The name is one of the [`RESERVED_EVENTS`](crate::socket::RESERVED_EVENTS): the peer would refuse it, and
    /// close the connection.
    #[error("the event name {0:?} is reserved, choose another")]
    ReservedEvent(String),
    /// The name of the namespace cannot be written: see [`is_namespace`](crate::socket::is_namespace).
    #[error("the namespace {0:?} must begin with '/' and have no ','")]
    Namespace(String),
    /// A value has no form that the parser can write, or its `Serialize` implementation refused.
    #[error("cannot be encoded: {0}")]
    Value(String),
    /// The message has attachments, and somewhere in it an object whose `_placeholder` is `true` is ordinary
    /// data. The peer would put an attachment in its place, or close the connection.
    #[error("an object with \"_placeholder\":true cannot be sent in a message with attachments")]
    Placeholder,
    /// The message has more attachments than the peers take.
    #[error(
        "a message with more than {max} attachments is refused by its receiver: send less in one, or raise the limit if \
         all peers take more"
    )]
    TooManyAttachments {
        /// The limit: [`Parser::max_sent_attachments`].
        max: usize,
    },
    /// Lists and objects stand inside each other deeper than the peers take.
    #[error("lists and objects nest deeper than {max} levels")]
    TooDeep {
        /// The limit: [`Parser::max_depth`].
        max: usize,
    },
    /// A number has more characters than the peers take.
    #[error("a number has more than {max} characters")]
    NumberTooLong {
        /// The limit: [`Parser::max_number`].
        max: usize,
    },
    /// The message has more arguments than the peers take.
    #[error("the message has more than {max} arguments")]
    TooManyArguments {
        /// The limit: [`Parser::max_arguments`].
        max: usize,
    },
}

impl ser::Error for EncodeError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// A value that can be sent as the arguments of an event or an acknowledgement.
///
/// Everything that is `Serialize` is: a tuple (or an array `[T; N]`) becomes one argument for each element, `()` none,
/// and anything else one: a `Vec`, a struct, a tuple struct, `None` and serde_json's `Null` (which are `null`). To
/// send a tuple as one argument, put it into another: `((1, 2),)`.
///
/// Bytes (what serializes as bytes: `bytes::Bytes`, the wrappers of serde_bytes) become attachments, wherever
/// they stand. A `Vec<u8>` is to serde a list of numbers, and is sent as one.
///
/// Received [`Args`] are passed on as text, without being decoded, and their attachments without a copy. What goes out
/// is nevertheless in order: placeholders are numbered from 0 in the order in which their attachments are first named,
/// an attachment that none of them names is left out, and one that several name is sent once. The blanks and numbers
/// between them stay as they were written.
///
/// ```
/// use bytes::Bytes;
/// use sansocket_protocol::message::Frame;
/// use sansocket_protocol::socket::Parser;
///
/// let parser = Parser::json();
/// let text = |frame: Frame| String::from_utf8(frame.text().unwrap().to_vec()).unwrap();
/// assert_eq!(text(parser.ack("/", 1, &("a", 2))?), r#"431["a",2]"#);
/// assert_eq!(text(parser.ack("/", 1, &vec!["a", "b"])?), r#"431[["a","b"]]"#);
/// assert_eq!(text(parser.ack("/", 1, &())?), "431[]");
///
/// let frame = parser.ack("/", 1, &("pic", Bytes::from_static(&[1, 2, 3])))?;
/// assert_eq!(frame.attachments(), [&[1, 2, 3][..]]);
/// assert_eq!(text(frame), r#"461-1["pic",{"_placeholder":true,"num":0}]"#);
/// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as the arguments of an event or acknowledgement",
    label = "this type is not `Serialize`",
    note = "derive `serde::Serialize` for it; a tuple sends several arguments, `()` sends none"
)]
pub trait ToArgs {
    /// Writes the arguments, one after the other.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if one of them cannot be written.
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError>;

    /// The number of bytes that this will be, separators included, if known beforehand: the message is
    /// allocated at that size. A wrong answer costs time and nothing else.
    fn len_hint(&self) -> Option<usize> {
        None
    }
}

impl<T: Serialize + ?Sized> ToArgs for T {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        let is_unit = is_unit::<T>();
        match &mut out.0 {
            Target::Json(out) => self.serialize(Spread { out: &mut **out, is_unit }),
            Target::Packed(out) => self.serialize(Spread { out: &mut **out, is_unit }),
        }
    }
}

/// Returns whether that is `()`, or a reference to it. A value says to serde no more than that it is a unit, as
/// serde_json's `Null` does.
fn is_unit<T: ?Sized>() -> bool {
    let mut name = core::any::type_name::<T>();
    while let Some(inner) = name.strip_prefix('&') {
        name = inner.strip_prefix("mut ").unwrap_or(inner);
    }
    name == "()"
}

impl ToArgs for Args {
    #[inline]
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        out.relay(self)
    }

    fn len_hint(&self) -> Option<usize> {
        if self.is_packed() {
            return Some(self.text().len());
        }
        // Behind the type of a message with attachments stand their number and a dash. As a rule all are sent.
        let announced = match self.attachments().len() {
            0 => 0,
            number => decimal_len(number as u64).saturating_add(1),
        };
        Some(self.list().len().saturating_add(announced))
    }
}

/// Takes arguments for a message, in order. What [`ToArgs`] writes to.
#[derive(Debug)]
pub struct ArgsEncoder<'a>(Target<'a>);

/// The message, as its parser makes it.
#[derive(Debug)]
enum Target<'a> {
    Json(&'a mut Draft),
    Packed(&'a mut msgpack::serialize::Draft),
}

impl<'a> ArgsEncoder<'a> {
    pub(in crate::socket) fn json(draft: &'a mut Draft) -> Self {
        Self(Target::Json(draft))
    }

    pub(in crate::socket) fn packed(draft: &'a mut msgpack::serialize::Draft) -> Self {
        Self(Target::Packed(draft))
    }

    /// Adds one argument; a tuple as one, too.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if it cannot be written.
    pub fn arg<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        match &mut self.0 {
            Target::Json(out) => value.serialize(out.next()),
            Target::Packed(out) => value.serialize(out.next()),
        }
    }

    /// The number of attachments so far: none, where bytes stand inside of the message.
    pub fn attachments(&self) -> usize {
        match &self.0 {
            Target::Json(out) => out.attached(),
            Target::Packed(_) => 0,
        }
    }

    /// Adds received arguments, whatever parser has read them.
    #[inline]
    fn relay(&mut self, args: &Args) -> Result<(), EncodeError> {
        if args.is_empty() {
            return Ok(());
        }
        // The other parser may have allowed more.
        let (depth, longest_number) = args.extent();
        match &mut self.0 {
            Target::Json(out) => {
                out.limit(depth, longest_number)?;
                out.arguments = out.arguments.saturating_add(args.len());
                out.separate();
                if args.is_packed() {
                    out.relay_packed(args)
                } else {
                    out.relay(args)
                }
                Ok(())
            }
            Target::Packed(out) => {
                out.relay(args.len(), depth, longest_number, |out| msgpack::frame::push_args(out, args))
            }
        }
    }
}

impl Sink for Draft {
    type Value<'a> = Json<'a>;

    #[inline]
    fn next(&mut self) -> Json<'_> {
        self.arguments = self.arguments.saturating_add(1);
        self.separate();
        Json(self)
    }
}

impl Draft {
    /// Adds received JSON.
    #[inline]
    fn relay(&mut self, args: &Args) {
        if !args.attachments().is_empty() {
            return self.relay_attached(args);
        }
        self.has_foreign_json = true;
        self.text.extend_from_slice(args.list());
    }

    /// The same, and each attachment where its first placeholder stands.
    fn relay_attached(&mut self, args: &Args) {
        let json = args.list();
        let message = self;
        if let (Some(beside), 0) = (args.in_order(), message.attached()) {
            message.placeholders = message.placeholders.saturating_add(beside.attachments.len());
            message.text.extend_from_slice(json);
            message.beside = Some(beside.clone());
            return;
        }
        // The number here of each that was named before. Mostly they are few: no allocation for those.
        let (mut few, mut many) = ([None; 16], Vec::new());
        let numbers: &mut [Option<usize>] = match few.get_mut(..args.attachments().len()) {
            Some(few) => few,
            None => {
                many.resize(args.attachments().len(), None);
                &mut many
            }
        };
        // Mostly each of them is already written as it must be, and all of the text is copied at once.
        let mut copied = 0;
        for found in placeholder::outermost(json) {
            let named = found.num.and_then(|num| args.attachments().get(num).zip(numbers.get_mut(num)));
            let Some((attachment, number)) = named else {
                message.has_foreign_json = true;
                continue;
            };
            let num = *number.get_or_insert_with(|| message.attach(attachment.clone()));
            message.placeholders = message.placeholders.saturating_add(1);
            if found.num != Some(num) || !found.is_canonical(json) {
                message.text.extend_from_slice(json.get(copied..found.span.start).unwrap_or_default());
                placeholder::push(&mut message.text, num);
                copied = found.span.end;
            }
        }
        message.text.extend_from_slice(json.get(copied..).unwrap_or_default());
    }

    /// Adds received MessagePack as JSON: its bytes become attachments.
    fn relay_packed(&mut self, args: &Args) {
        // A map of the peer may look like a placeholder.
        self.has_foreign_json = true;
        let mut attachments =
            self.beside.take().map_or_else(Vec::new, |beside| beside.attachments.as_slice().to_vec());
        let before = attachments.len();
        let mut rest = args.argument(0).unwrap_or_default();
        for position in 0..args.len() {
            if position > 0 {
                self.text.push(b',');
            }
            let mut found = Binary::Attach { message: args.text(), attachments: &mut attachments };
            push_value(&mut self.text, &mut rest, &mut found);
        }
        self.placeholders = self.placeholders.saturating_add(attachments.len().saturating_sub(before));
        if !attachments.is_empty() {
            self.beside = Some(Arc::new(Beside::of(attachments.into())));
        }
    }
}

/// Looks how deep that valid JSON is, which stands below so many levels, and whether it is within the limits.
pub(in crate::socket) fn extent(parser: &Parser, json: &[u8], depth: usize) -> Result<(), EncodeError> {
    let max_depth = parser.max_depth.get().saturating_sub(depth);
    let seen = validate::check(json, 0, max_depth).map_err(|error| match error {
        Invalid::TooDeep { .. } => EncodeError::TooDeep { max: parser.max_depth.get() },
        // An invalid `RawValue` cannot be made.
        Invalid::Syntax(SyntaxError { expected, .. }) => EncodeError::Value(format!("expected {expected}")),
    })?;
    if seen.longest_number > parser.max_number.get() {
        return Err(EncodeError::NumberTooLong { max: parser.max_number.get() });
    }
    Ok(())
}

/// A message while it is made.
#[derive(Debug)]
pub(crate) struct Draft {
    parser: Parser,
    pub(crate) text: Vec<u8>,
    /// The attachments, if there are any. Received arguments that are passed on as they came share theirs.
    pub(super) beside: Option<Arc<Beside>>,
    /// Where the array begins.
    pub(crate) array: usize,
    /// The number of arguments.
    arguments: usize,
    /// The number of open lists and objects, the array included.
    depth: usize,
    /// The number of objects that are placeholders of our own making.
    pub(super) placeholders: usize,
    /// An object of the application looks like one.
    pub(super) has_lookalike: bool,
    /// There is JSON of others, which nobody has looked into.
    pub(super) has_foreign_json: bool,
}

impl Draft {
    pub(crate) fn new(parser: &Parser, text: Vec<u8>) -> Self {
        Self {
            parser: *parser,
            text,
            beside: None,
            array: 0,
            arguments: 0,
            depth: 1,
            placeholders: 0,
            has_lookalike: false,
            has_foreign_json: false,
        }
    }

    /// The number of attachments so far.
    #[inline]
    pub(super) fn attached(&self) -> usize {
        self.beside.as_ref().map_or(0, |beside| beside.attachments.len())
    }

    /// Adds an attachment, and returns its number.
    pub(super) fn attach(&mut self, attachment: Bytes) -> usize {
        let number = self.attached();
        Arc::make_mut(self.beside.get_or_insert_default()).attachments.push(attachment);
        number
    }

    /// One more list or object is open.
    pub(super) fn open(&mut self) -> Result<(), EncodeError> {
        self.depth = self.depth.saturating_add(1);
        self.limit(self.depth, 0)
    }

    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Adds JSON of others.
    pub(super) fn push_foreign(&mut self, json: &[u8]) -> Result<(), EncodeError> {
        extent(&self.parser, json, self.depth)?;
        self.text.extend_from_slice(json);
        Ok(())
    }

    #[inline]
    fn limit(&self, depth: usize, longest_number: usize) -> Result<(), EncodeError> {
        if depth > self.parser.max_depth.get() {
            return Err(EncodeError::TooDeep { max: self.parser.max_depth.get() });
        }
        if longest_number > self.parser.max_number.get() {
            return Err(EncodeError::NumberTooLong { max: self.parser.max_number.get() });
        }
        Ok(())
    }

    /// Refuses what the peer would refuse, or take for something else.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        if self.arguments > self.parser.max_arguments.get() {
            return Err(EncodeError::TooManyArguments { max: self.parser.max_arguments.get() });
        }
        if self.attached() > self.parser.max_sent_attachments.get() {
            return Err(EncodeError::TooManyAttachments { max: self.parser.max_sent_attachments.get() });
        }
        if self.attached() == 0 { Ok(()) } else { self.check_lookalikes() }
    }

    /// Refuses what the peer would take for an attachment of a message that has some.
    fn check_lookalikes(&self) -> Result<(), EncodeError> {
        let mut found = 0usize;
        if self.has_foreign_json {
            let json = self.text.get(self.array..).unwrap_or_default();
            let counted = placeholder::placeholders(json, |_| {
                found = found.saturating_add(1);
                Ok::<(), core::convert::Infallible>(())
            });
            let Ok(()) = counted;
        }
        if self.has_lookalike || found > self.placeholders { Err(EncodeError::Placeholder) } else { Ok(()) }
    }

    /// A comma, unless this is the first element: nothing that was written ends in a bracket that opens.
    fn separate(&mut self) {
        if self.text.last() != Some(&b'[') {
            self.text.push(b',');
        }
    }
}
