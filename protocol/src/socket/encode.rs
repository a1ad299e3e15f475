//! Encoding arguments: serde_json's output, with two additions. A tuple becomes several arguments, and bytes
//! become placeholders and attachments.

use super::args::Args;
use super::placeholder::{self, Placeholder};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Display;
use serde::ser::{self, Serialize, Serializer};

/// Why a message cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The name is one of the [`RESERVED_EVENTS`](super::packet::RESERVED_EVENTS): the peer would refuse it, and
    /// close the connection.
    #[error("the event name {0:?} is reserved, choose another")]
    ReservedEvent(String),
    /// The name of the namespace cannot be written: see [`is_namespace`](super::packet::is_namespace).
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

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Value(error.to_string())
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
/// Received [`Args`] are passed on as they came, without being decoded.
///
/// ```
/// use bytes::Bytes;
/// use sansocket_protocol::frame::Frame;
///
/// let text = |frame: Frame| String::from_utf8(frame.text().unwrap().to_vec()).unwrap();
/// assert_eq!(text(Frame::ack("/", 1, &("a", 2))?), r#"431["a",2]"#);
/// assert_eq!(text(Frame::ack("/", 1, &vec!["a", "b"])?), r#"431[["a","b"]]"#);
/// assert_eq!(text(Frame::ack("/", 1, &())?), "431[]");
///
/// let frame = Frame::ack("/", 1, &("pic", Bytes::from_static(&[1, 2, 3])))?;
/// assert_eq!(frame.attachments(), [&[1, 2, 3][..]]);
/// assert_eq!(text(frame), r#"461-1["pic",{"_placeholder":true,"num":0}]"#);
/// # Ok::<(), sansocket_protocol::socket::encode::EncodeError>(())
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
}

/// Takes arguments for a message, in order. What [`ToArgs`] writes to.
#[derive(Debug)]
pub struct ArgsEncoder<'a>(pub(crate) &'a mut Message);

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

    fn next(&mut self) -> Json<'_> {
        self.0.separate();
        Json(self.0)
    }

    /// Adds received arguments as they are.
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
        // Its attachments come behind those that are already there, and their numbers move accordingly.
        let mut found = Vec::new();
        let collected = placeholder::placeholders(json, |placeholder| {
            found.push(placeholder);
            Ok::<(), core::convert::Infallible>(())
        });
        let Ok(()) = collected;
        found.sort_by_key(|placeholder| placeholder.span.start);
        message.placeholders += found.len();
        let offset = message.attachments.len();
        let mut copied = 0;
        for Placeholder { num, span, .. } in found {
            let Some(num) = num.filter(|_| offset > 0) else { continue };
            message.text.extend_from_slice(&json[copied..span.start]);
            message.text.extend_from_slice((num + offset).to_string().as_bytes());
            copied = span.end;
        }
        message.text.extend_from_slice(&json[copied..]);
        message.attachments.extend_from_slice(args.attachments());
    }
}

/// A message while it is made.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) text: Vec<u8>,
    pub(crate) attachments: Vec<Bytes>,
    /// Where the array begins.
    pub(crate) array: usize,
    /// How many of the objects are placeholders by our own making.
    placeholders: usize,
    /// An object of the application looks like one.
    has_lookalike: bool,
    /// There is JSON of others, which nobody has looked into.
    has_foreign_json: bool,
}

impl Message {
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

    /// Writes what serde_json writes.
    pub(crate) fn plain<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        Ok(value.serialize(&mut serde_json::Serializer::new(&mut self.text))?)
    }

    /// Refuses what the peer would take for an attachment.
    pub(crate) fn check_lookalikes(&self) -> Result<(), EncodeError> {
        if self.attachments.is_empty() {
            return Ok(());
        }
        let mut found = 0;
        if self.has_foreign_json {
            let counted = placeholder::placeholders(&self.text[self.array..], |_| {
                found += 1;
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

macro_rules! plain_values {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            Ok(serde_json::Serializer::new(&mut self.0.text).$method(value)?)
        }
    )*};
}

/// Writes one value: serde_json's compact form, but bytes become attachments.
struct Json<'a>(&'a mut Message);

impl<'a> Json<'a> {
    /// `{"variant":`, for the variants that carry something.
    fn open_variant(self, variant: &'static str) -> Result<&'a mut Message, EncodeError> {
        self.0.text.push(b'{');
        self.0.plain(variant)?;
        self.0.text.push(b':');
        Ok(self.0)
    }
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    plain_values! {
        serialize_bool: bool
        serialize_i8: i8 serialize_i16: i16 serialize_i32: i32 serialize_i64: i64 serialize_i128: i128
        serialize_u8: u8 serialize_u16: u16 serialize_u32: u32 serialize_u64: u64 serialize_u128: u128
        serialize_f32: f32 serialize_f64: f64 serialize_char: char serialize_str: &str
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.text.extend_from_slice(b"{\"_placeholder\":true,\"num\":");
        self.0.plain(&self.0.attachments.len())?;
        self.0.text.push(b'}');
        self.0.attachments.push(Bytes::copy_from_slice(bytes));
        self.0.placeholders += 1;
        Ok(())
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.0.text.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let message = self.open_variant(variant)?;
        value.serialize(Json(message))?;
        message.text.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.0.text.push(b'[');
        Ok(Compound::new(self.0, b"]"))
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        let message = self.open_variant(variant)?;
        message.text.push(b'[');
        Ok(Compound::new(message, b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.0.text.push(b'{');
        Ok(Compound::new(self.0, b"}"))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        if name.starts_with(SERDE_JSON_PRIVATE) {
            self.0.has_foreign_json = true;
            return Ok(Compound::new(self.0, b""));
        }
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        let message = self.open_variant(variant)?;
        message.text.push(b'{');
        Ok(Compound::new(message, b"}}"))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        Ok(serde_json::Serializer::new(&mut self.0.text).collect_str(value)?)
    }
}

/// How serde_json's `RawValue` (and `Number`, with some features) make themselves known to its serializer: as
/// structs of such a name with one member of the same name.
const SERDE_JSON_PRIVATE: &str = "$serde_json::private::";

/// A list or an object that was begun.
struct Compound<'a> {
    message: &'a mut Message,
    is_first: bool,
    /// The last key was `_placeholder`.
    is_marker: bool,
    /// What ends it; nothing for the private structs of serde_json.
    end: &'static [u8],
}

impl<'a> Compound<'a> {
    fn new(message: &'a mut Message, end: &'static [u8]) -> Self {
        Self { message, is_first: true, is_marker: false, end }
    }

    fn separate(&mut self) {
        if !self.is_first {
            self.message.text.push(b',');
        }
        self.is_first = false;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.separate();
        value.serialize(Json(self.message))
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        if self.end.is_empty() {
            let serializer = &mut serde_json::Serializer::new(&mut self.message.text);
            let mut private = serializer.serialize_struct(key, 1)?;
            ser::SerializeStruct::serialize_field(&mut private, key, value)?;
            return Ok(ser::SerializeStruct::end(private)?);
        }
        self.separate();
        self.message.plain(key)?;
        self.is_marker = key == "_placeholder";
        self.value(value)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.message.text.push(b':');
        let start = self.message.text.len();
        value.serialize(Json(self.message))?;
        if self.is_marker {
            self.message.has_lookalike |= self.message.text[start..] == *b"true";
        }
        Ok(())
    }

    fn close(self) -> Result<(), EncodeError> {
        self.message.text.extend_from_slice(self.end);
        Ok(())
    }
}

macro_rules! list {
    ($trait:ident, $method:ident) => {
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    };
}

list!(SerializeSeq, serialize_element);
list!(SerializeTuple, serialize_element);
list!(SerializeTupleStruct, serialize_field);
list!(SerializeTupleVariant, serialize_field);

macro_rules! object {
    ($trait:ident) => {
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    };
}

object!(SerializeStruct);
object!(SerializeStructVariant);

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        // What may be a key, and how it is written (numbers in quotes, for one), is serde_json's to say: it
        // writes `{"key"` here, and the brace gives way to our comma, or takes the place of our brace.
        let text = &mut self.message.text;
        if self.is_first {
            text.pop();
        }
        let start = text.len();
        let mut serializer = serde_json::Serializer::new(&mut *text);
        serializer.serialize_map(None)?.serialize_key(key)?;
        if !self.is_first {
            text[start] = b',';
        }
        self.is_first = false;
        self.is_marker = text[start + 1..] == *b"\"_placeholder\"";
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.value(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}

/// Spreads a tuple into arguments; `()` into none; anything else is one.
struct Spread<'a, 'm>(&'a mut ArgsEncoder<'m>);

macro_rules! single_values {
    ($($method:ident: $type:ty)*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.0.next().$method(value)
        }
    )*};
}

impl<'a> Serializer for Spread<'a, '_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    single_values! {
        serialize_bool: bool
        serialize_i8: i8 serialize_i16: i16 serialize_i32: i32 serialize_i64: i64 serialize_i128: i128
        serialize_u8: u8 serialize_u16: u16 serialize_u32: u32 serialize_u64: u64 serialize_u128: u128
        serialize_f32: f32 serialize_f64: f64 serialize_char: char serialize_str: &str serialize_bytes: &[u8]
        serialize_unit_struct: &'static str
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.0.next().serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.0.arg(value)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.0.next().serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.0.arg(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.0.next().serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.0.next().serialize_seq(len)
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.0.next().serialize_tuple_struct(name, len)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.0.next().serialize_tuple_variant(name, index, variant, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.0.next().serialize_map(len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.0.next().serialize_struct(name, len)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.0.next().serialize_struct_variant(name, index, variant, len)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.0.next().collect_str(value)
    }
}

impl ser::SerializeTuple for Spread<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.0.arg(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}
