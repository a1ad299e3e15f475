//! Encoding arguments: serde_json's output, with two additions. A tuple becomes several arguments, and bytes
//! become placeholders and attachments.

use crate::socket::json::args::Args;
use crate::socket::json::placeholder;
use crate::socket::json::serialize::Json;
use crate::socket::json::spread::Spread;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Display;
use serde::ser;
use serde::ser::Serialize;

/// Why a message cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The name is one of the [`RESERVED_EVENTS`](crate::socket::packet::RESERVED_EVENTS): the peer would refuse it, and
    /// close the connection.
    #[error("the event name {0:?} is reserved, choose another")]
    ReservedEvent(String),
    /// The name of the namespace cannot be written: see [`is_namespace`](crate::socket::packet::is_namespace).
    #[error("the namespace {0:?} must begin with '/' and have no ','")]
    Namespace(String),
    /// A value has no JSON form, or its `Serialize` implementation refused.
    #[error("cannot be written as JSON: {0}")]
    Value(String),
    /// The message has attachments, and somewhere in it an object whose `_placeholder` is `true` is ordinary
    /// data. The peer would put an attachment in its place, or close the connection.
    #[error("an object with \"_placeholder\":true cannot be sent in a message with attachments")]
    Placeholder,
}

impl ser::Error for EncodeError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// What can be sent as the arguments of an event or an acknowledgement.
///
/// Everything that is `Serialize` is: a tuple (or an array `[T; N]`) becomes one argument for each element, `()`
/// none, and anything else one: a `Vec`, a struct, a tuple struct, `None` (which is `null`). To send a tuple as
/// one argument, put it into another: `((1, 2),)`.
///
/// Bytes (what serializes as bytes: `bytes::Bytes`, the wrappers of serde_bytes) become attachments, wherever
/// they stand. A `Vec<u8>` is to serde a list of numbers, and is sent as one.
///
/// Received [`Args`] are passed on as text, without being decoded, and their attachments without a copy. What
/// goes out is nevertheless what a peer sends that decodes and encodes: placeholders are numbered from 0 in the
/// order in which they stand, an attachment that none of them names is left out, and one that several name is
/// sent once for each. The blanks and numbers between them stay as they were written.
///
/// ```
/// use bytes::Bytes;
/// use sansocket_protocol::message::Frame;
///
/// let text = |frame: Frame| String::from_utf8(frame.text().unwrap().to_vec()).unwrap();
/// assert_eq!(text(Frame::ack("/", 1, &("a", 2))?), r#"431["a",2]"#);
/// assert_eq!(text(Frame::ack("/", 1, &vec!["a", "b"])?), r#"431[["a","b"]]"#);
/// assert_eq!(text(Frame::ack("/", 1, &())?), "431[]");
///
/// let frame = Frame::ack("/", 1, &("pic", Bytes::from_static(&[1, 2, 3])))?;
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

    /// How many bytes of JSON that will be, commas included, if it is known beforehand: the message is allocated
    /// at that size. A wrong answer costs time and nothing else.
    fn json_len(&self) -> Option<usize> {
        None
    }
}

impl<T: Serialize + ?Sized> ToArgs for T {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.serialize(Spread(out))
    }
}

impl ToArgs for Args {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        out.relay(self);
        Ok(())
    }

    fn json_len(&self) -> Option<usize> {
        self.attachments().is_empty().then(|| self.list().len())
    }
}

/// Takes arguments for a message, in order. What [`ToArgs`] writes to.
#[derive(Debug)]
pub struct ArgsEncoder<'a>(pub(crate) &'a mut Draft);

impl ArgsEncoder<'_> {
    /// Adds one argument; a tuple as one, too.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Value`] if it has no JSON form.
    pub fn arg<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self.next())
    }

    /// How many attachments there are so far.
    pub fn attachments(&self) -> usize {
        self.0.attachments.len()
    }

    pub(super) fn next(&mut self) -> Json<'_> {
        self.0.separate();
        Json(self.0)
    }

    /// Adds received arguments, each attachment where its placeholder stands.
    fn relay(&mut self, args: &Args) {
        let json = args.list();
        if json.is_empty() {
            return;
        }
        self.0.separate();
        let message = &mut *self.0;
        if args.attachments().is_empty() {
            message.has_foreign_json = true;
            message.text.extend_from_slice(json);
            return;
        }
        // Mostly each of them is already written as it must be, and all of the text is copied at once.
        let mut copied = 0;
        for found in placeholder::outermost(json) {
            let Some(attachment) = found.num.and_then(|num| args.attachments().get(num)) else {
                message.has_foreign_json = true;
                continue;
            };
            let num = message.attachments.len();
            message.attachments.push(attachment.clone());
            message.placeholders = message.placeholders.saturating_add(1);
            if found.num != Some(num) || !found.is_canonical(json) {
                message.text.extend_from_slice(json.get(copied..found.span.start).unwrap_or_default());
                placeholder::push(&mut message.text, num);
                copied = found.span.end;
            }
        }
        message.text.extend_from_slice(json.get(copied..).unwrap_or_default());
    }
}

/// A message while it is made.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) text: Vec<u8>,
    pub(crate) attachments: Vec<Bytes>,
    /// Where the array begins.
    pub(crate) array: usize,
    /// How many of the objects are placeholders by our own making.
    pub(super) placeholders: usize,
    /// An object of the application looks like one.
    pub(super) has_lookalike: bool,
    /// There is JSON of others, which nobody has looked into.
    pub(super) has_foreign_json: bool,
}

impl Draft {
    pub(crate) fn new(text: Vec<u8>) -> Self {
        Self {
            text,
            attachments: Vec::new(),
            array: 0,
            placeholders: 0,
            has_lookalike: false,
            has_foreign_json: false,
        }
    }

    /// Refuses what the peer would take for an attachment.
    pub(crate) fn check_lookalikes(&self) -> Result<(), EncodeError> {
        if self.attachments.is_empty() {
            return Ok(());
        }
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
