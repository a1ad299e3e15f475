//! What a transport carries, whatever layer wrote it: [`WireMessage`] in, [`Frame`] out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// One Engine.IO message, text or binary, as it arrived.
///
/// Text is kept as bytes: WebSocket text has not been checked for UTF-8 yet when it arrives here, so that it is
/// checked once, by whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireMessage {
    /// A text message, without its type digit.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
}

/// A message that is ready to be sent: to one peer, or to all members of a room. A clone shares the bytes.
///
/// It is what a WebSocket sends as one text message, with the Engine.IO type `4` in front, and a binary message
/// for each attachment. Made before any lock is taken, because making it runs the application's `Serialize`.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Empty for a raw binary message: any other text begins with `4`.
    text: Bytes,
    attachments: Option<Arc<[Bytes]>>,
}

/// What a queued message counts for beside its bytes, so that a million empty ones are not free: about what it costs.
pub(crate) const PER_MESSAGE: usize = 192;
/// Less than this is not worth an allocation of another size: [`PER_MESSAGE`] covers it.
pub(crate) const MOST_SPARE: usize = 128;

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
        Self { text: Bytes::new(), attachments: Some(Arc::from([data])) }
    }

    /// The text, which begins with the Engine.IO type `4`. `None` for a binary message of plain Engine.IO.
    pub fn text(&self) -> Option<&Bytes> {
        if self.text.is_empty() { None } else { Some(&self.text) }
    }

    /// What is to be sent as binary messages, directly behind the text.
    pub fn attachments(&self) -> &[Bytes] {
        self.attachments.as_deref().unwrap_or_default()
    }

    /// The bytes that it counts for in a budget: text and attachments, without what a transport adds.
    pub fn wire_len(&self) -> usize {
        self.attachments().iter().fold(self.text.len(), |sum, bytes| sum.saturating_add(bytes.len()))
    }

    /// The same, with what a queue counts for each of its messages.
    pub(crate) fn queued_len(&self) -> usize {
        let messages = self.attachments().len().saturating_add(usize::from(!self.text.is_empty()));
        self.wire_len().saturating_add(messages.saturating_mul(PER_MESSAGE))
    }

    /// What it consists of, without a copy: one who owns it alone need not share it.
    pub(crate) fn into_parts(self) -> (Bytes, Option<Arc<[Bytes]>>) {
        (self.text, self.attachments)
    }

    /// A frame of several messages: the text, then the attachments.
    pub(crate) fn from_parts(text: Vec<u8>, attachments: Vec<Bytes>) -> Self {
        Self { text: kept(text), attachments: Some(attachments.into()) }
    }

    pub(crate) fn from_text(text: Vec<u8>) -> Self {
        Self { text: kept(text), attachments: None }
    }
}

/// The text as it waits in queues, which count its length: much more than that it must not hold.
fn kept(mut text: Vec<u8>) -> Bytes {
    if text.capacity().saturating_sub(text.len()) > MOST_SPARE {
        text.shrink_to_fit();
    }
    Bytes::from(text)
}
