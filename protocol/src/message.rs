//! The messages that a transport carries, whatever layer wrote them: [`WireMessage`] in, [`Frame`] out.
use crate::attachments::{Attachments, Beside};
use crate::cost;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// One Engine.IO message, text or binary, as it arrived.
///
/// Text is kept as bytes: it arrives here before it was checked for UTF-8, so that it is checked only once, by its
/// reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireMessage {
    /// A text message, without its type digit.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
}

/// A message that is ready to be sent: to one peer, or to all members of a room. A clone shares the bytes.
///
/// A WebSocket sends it as one text message, with the Engine.IO type `4` in front, and a binary message for each attachment.
/// With the MessagePack parser it is one binary message.
/// Make it before you take a lock, because that runs the application's `Serialize`.
///
/// Namespaces are what [`is_namespace`](crate::socket::is_namespace) says; the namespace `/` is not written (the empty name means it, too).
///
/// ```
/// use sansocket_protocol::socket::Parser;
///
/// let frame = Parser::json().event("/chat", "said", None, &("ada", "hello"))?;
/// assert_eq!(frame.text().unwrap(), r#"42/chat,["said","ada","hello"]"#);
/// assert!(frame.attachments().is_empty());
/// # Ok::<(), sansocket_protocol::socket::EncodeError>(())
/// ```
#[derive(Clone)]
pub struct Frame {
    /// Empty for a message that is binary alone: any other text begins with `4`.
    text: Bytes,
    /// The attachments, if there are any.
    beside: Option<Arc<Beside>>,
    /// It is sent as it is, though its transport could compress it.
    as_is: bool,
}

impl From<&Frame> for Frame {
    /// Shares it.
    fn from(frame: &Frame) -> Self {
        frame.clone()
    }
}

impl Frame {
    /// A text message of plain Engine.IO, without Socket.IO: `4` and the text.
    pub fn text_message(text: &str) -> Self {
        let mut message = Vec::with_capacity(text.len().saturating_add(1));
        message.push(b'4');
        message.extend_from_slice(text.as_bytes());
        Self::from_text(message)
    }

    /// A binary message of plain Engine.IO.
    pub fn binary_message(data: Bytes) -> Self {
        Self::with_beside(Bytes::new(), Arc::new(Beside::of(Attachments::One(data))))
    }

    /// Sets whether a transport that compresses may compress it, attachments included. By default it may: the
    /// reference's flag `compress`. For data that is compressed already, such as images.
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.as_is = !compress;
        self
    }

    /// Returns whether a transport that compresses may compress it.
    pub fn may_compress(&self) -> bool {
        !self.as_is
    }

    /// The text, which begins with the Engine.IO type `4`. `None` for what is binary alone: a packet of the MessagePack
    /// parser, a binary message of plain Engine.IO.
    pub fn text(&self) -> Option<&Bytes> {
        if self.text.is_empty() { None } else { Some(&self.text) }
    }

    /// The binary messages to send, directly behind the text.
    pub fn attachments(&self) -> &[Bytes] {
        self.beside.as_ref().map_or(&[], |beside| beside.attachments.as_slice())
    }

    /// The bytes that it counts for in a budget: text and attachments, without a transport's own bytes.
    pub fn wire_len(&self) -> usize {
        self.attachments().iter().fold(self.text.len(), |sum, bytes| sum.saturating_add(bytes.len()))
    }

    /// The same, with the price of each of its messages in a server's queue.
    pub fn queued_len(&self) -> usize {
        let messages = self.attachments().len().saturating_add(usize::from(!self.text.is_empty()));
        self.wire_len().saturating_add(messages.saturating_mul(cost::SERVER_MESSAGE))
    }

    /// Its parts, without a copy: a sole owner need not share them.
    pub(crate) fn into_parts(self) -> (Bytes, Option<Arc<Beside>>) {
        (self.text, self.beside)
    }

    /// A frame of several messages: the text, then the attachments.
    pub(crate) fn from_parts(text: Vec<u8>, beside: Arc<Beside>) -> Self {
        Self::with_beside(kept(text), beside)
    }

    /// The same, of attachments that nothing shares.
    #[cfg(feature = "record")]
    pub(crate) fn with_attachments(text: Vec<u8>, attachments: Vec<Bytes>) -> Self {
        Self::from_parts(text, Arc::new(Beside::of(attachments.into())))
    }

    fn with_beside(text: Bytes, beside: Arc<Beside>) -> Self {
        Self { text, beside: Some(beside), as_is: false }
    }

    /// A frame of one binary message.
    pub(crate) fn from_binary(message: Vec<u8>) -> Self {
        Self::binary_message(kept(message))
    }

    /// The same attachments behind another text.
    pub(crate) fn with_text(&self, text: Vec<u8>) -> Self {
        Self { text: kept(text), beside: self.beside.clone(), as_is: self.as_is }
    }

    pub(crate) fn from_text(text: Vec<u8>) -> Self {
        Self { text: kept(text), beside: None, as_is: false }
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.attachments(), self.as_is) == (&other.text, other.attachments(), other.as_is)
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("text", &self.text)
            .field("attachments", &self.attachments())
            .field("compress", &self.may_compress())
            .finish()
    }
}

/// The message as it waits in queues, which count its length: much more than that it must not hold.
fn kept(mut text: Vec<u8>) -> Bytes {
    if text.capacity().saturating_sub(text.len()) > cost::MOST_SPARE {
        text.shrink_to_fit();
    }
    Bytes::from(text)
}
