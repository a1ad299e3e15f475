//! The entries of a recording.

use super::mask::Mask;
use super::wire::{Reader, RecordingError, Writer};
use crate::message::Frame;
use crate::reason::CloseReason;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// The reasons, by their numbers in a recording. New ones come at the end.
const REASONS: [CloseReason; 13] = [
    CloseReason::TransportError,
    CloseReason::TransportClose,
    CloseReason::ForcedClose,
    CloseReason::PingTimeout,
    CloseReason::ParseError,
    CloseReason::ServerShuttingDown,
    CloseReason::ServerNamespaceDisconnect,
    CloseReason::ClientNamespaceDisconnect,
    CloseReason::SlowConsumer,
    CloseReason::Stalled,
    CloseReason::HandlerPanic,
    CloseReason::IoServerDisconnect,
    CloseReason::IoClientDisconnect,
];

macro_rules! entries {
    ($($(#[$doc:meta])* $kind:literal $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ident),* })*) => {
        /// An entry of a recording: an input, a command, or an output that was taken, with the number of its kind. Fields
        /// stand in this order; requests, sockets and times are numbers, a code is 0 for none and otherwise one more.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Entry<'a> {
            $(
                $(#[$doc])*
                #[doc = concat!("Kind ", stringify!($kind), ".")]
                $name {
                    $($(#[$field_doc])* $field: entries!(@type 'a $type)),*
                },
            )*
            /// The recording has reached its limit, and ends here. Kind 255.
            Truncated,
        }

        impl<'a> Entry<'a> {
            /// Writes it, `after` so long a time.
            pub(super) fn write(&self, writer: &mut Writer, after: Duration, mask: Mask) {
                let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                match self {
                    $(
                        Self::$name { $($field),* } => {
                            writer.byte($kind);
                            writer.number(after);
                            $(entries!(@write $type writer mask $field);)*
                        }
                    )*
                    Self::Truncated => {
                        writer.byte(255);
                        writer.number(after);
                    }
                }
            }

            /// Reads the next entry, and the microseconds since the one before.
            pub(crate) fn read(reader: &mut Reader<'a>) -> Result<(u64, Self), RecordingError> {
                let kind = reader.byte()?;
                let after = reader.number()?;
                let entry = match kind {
                    $($kind => Self::$name { $($field: entries!(@read $type reader)),* },)*
                    255 => Self::Truncated,
                    _ => return Err(reader.damaged("an entry of an unknown kind")),
                };
                Ok((after, entry))
            }

            /// The name of its kind.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                    Self::Truncated => "Truncated",
                }
            }
        }
    };

    (@type $a:lifetime number) => { u64 };
    (@type $a:lifetime text) => { Cow<$a, str> };
    (@type $a:lifetime words) => { Cow<$a, str> };
    (@type $a:lifetime id) => { Cow<$a, str> };
    (@type $a:lifetime optional_id) => { Option<Cow<$a, str>> };
    (@type $a:lifetime optional_text) => { Option<Cow<$a, str>> };
    (@type $a:lifetime target) => { Cow<$a, str> };
    (@type $a:lifetime packet) => { Cow<$a, [u8]> };
    (@type $a:lifetime message) => { Cow<$a, [u8]> };
    (@type $a:lifetime body) => { Cow<$a, [u8]> };
    (@type $a:lifetime optional_json) => { Option<Cow<$a, [u8]>> };
    (@type $a:lifetime frame) => { Frame };
    (@type $a:lifetime reason) => { CloseReason };

    (@write number $writer:ident $mask:ident $field:ident) => { $writer.number(*$field) };
    (@write text $writer:ident $mask:ident $field:ident) => { $writer.text($field) };
    (@write words $writer:ident $mask:ident $field:ident) => { $writer.text(&$mask.words($field)) };
    (@write id $writer:ident $mask:ident $field:ident) => { $writer.text(&$mask.id($field)) };
    (@write optional_id $writer:ident $mask:ident $field:ident) => {
        $writer.optional($field.as_deref().map(|id| $mask.id(id)).as_deref().map(str::as_bytes))
    };
    (@write optional_text $writer:ident $mask:ident $field:ident) => {
        $writer.optional($field.as_deref().map(str::as_bytes))
    };
    (@write target $writer:ident $mask:ident $field:ident) => { $writer.text(&$mask.target($field)) };
    (@write packet $writer:ident $mask:ident $field:ident) => { $writer.bytes(&$mask.text($field)) };
    (@write message $writer:ident $mask:ident $field:ident) => {
        $writer.bytes(&$mask.binary_message($field))
    };
    (@write body $writer:ident $mask:ident $field:ident) => { $writer.bytes(&$mask.body($field)) };
    (@write optional_json $writer:ident $mask:ident $field:ident) => {
        $writer.optional($field.as_deref().map(|json| $mask.json(json)).as_deref())
    };
    (@write frame $writer:ident $mask:ident $field:ident) => { write_frame($writer, $mask, $field) };
    (@write reason $writer:ident $mask:ident $field:ident) => {
        $writer.number(REASONS.iter().position(|reason| reason == $field).unwrap_or(0) as u64)
    };

    (@read number $reader:ident) => { $reader.number()? };
    (@read text $reader:ident) => { Cow::Borrowed($reader.text()?) };
    (@read words $reader:ident) => { Cow::Borrowed($reader.text()?) };
    (@read id $reader:ident) => { Cow::Borrowed($reader.text()?) };
    (@read optional_id $reader:ident) => { $reader.optional_text()?.map(Cow::Owned) };
    (@read optional_text $reader:ident) => { $reader.optional_text()?.map(Cow::Owned) };
    (@read target $reader:ident) => { Cow::Borrowed($reader.text()?) };
    (@read packet $reader:ident) => { Cow::Borrowed($reader.bytes()?) };
    (@read message $reader:ident) => { Cow::Borrowed($reader.bytes()?) };
    (@read body $reader:ident) => { Cow::Borrowed($reader.bytes()?) };
    (@read optional_json $reader:ident) => { $reader.optional()?.map(Cow::Borrowed) };
    (@read frame $reader:ident) => { read_frame($reader)? };
    (@read reason $reader:ident) => {{
        let number = $reader.size()?;
        *REASONS.get(number).ok_or_else(|| $reader.damaged("an unknown reason"))?
    }};
}

entries! {
    /// A request arrived: [`handle_request`](crate::server::Connection::handle_request).
    1 Request {
        /// Its id.
        request: number,
        /// The method.
        method: text,
        /// Path and query.
        target: target,
        /// The header `connection`.
        connection: optional_text,
        /// The header `upgrade`.
        upgrade: optional_text,
        /// The header `content-type`.
        content_type: optional_text,
        /// The header `content-length`.
        content_length: optional_text
    }
    /// A body arrived.
    2 Body {
        /// Of that request.
        request: number,
        /// All of it.
        data: body
    }
    /// A body was too large.
    3 BodyTooLarge {
        /// Of that request.
        request: number
    }
    /// A request ended before it was answered.
    4 RequestAborted {
        /// Its id.
        request: number
    }
    /// A WebSocket opened.
    5 WebSocketOpened {
        /// Its id.
        websocket: number
    }
    /// A text message arrived.
    6 WebSocketText {
        /// On that WebSocket.
        websocket: number,
        /// The message.
        data: packet
    }
    /// A binary message arrived.
    7 WebSocketBinary {
        /// On that WebSocket.
        websocket: number,
        /// The message.
        data: message
    }
    /// Bytes arrived that complete nothing.
    8 BytesArrived {
        /// On that WebSocket, or of that request.
        from: number
    }
    /// A WebSocket ended.
    9 WebSocketClosed {
        /// Its id.
        websocket: number,
        /// The close code that was sent for an error, and one more; 0 without an error.
        code: number
    }
    /// So much is not written.
    10 Unwritten {
        /// In bytes.
        size: number
    }
    /// A deadline was judged.
    11 Timeout {}
    /// A client was let in.
    20 Accept {
        /// The socket.
        socket: number,
        /// Its public id.
        sid: id,
        /// Its private id.
        pid: optional_id
    }
    /// A client was refused.
    21 Reject {
        /// The socket.
        socket: number,
        /// The words.
        message: words,
        /// The data, as JSON.
        data: optional_json
    }
    /// An event was queued.
    22 Emit {
        /// For that socket.
        socket: number,
        /// The event.
        frame: frame
    }
    /// An event was queued that asks for an acknowledgement.
    23 EmitWithAck {
        /// For that socket.
        socket: number,
        /// The event.
        frame: frame,
        /// The id.
        id: number,
        /// When it is given up, in microseconds since the epoch.
        deadline: number
    }
    /// An acknowledgement was queued.
    24 Ack {
        /// Of that socket.
        socket: number,
        /// The acknowledgement.
        frame: frame
    }
    /// A socket was disconnected.
    25 Disconnect {
        /// Its key.
        socket: number,
        /// The reason.
        reason: reason
    }
    /// The next events are kept back.
    26 Hold {
        /// Of that socket, and one more; 0 for plain Engine.IO.
        socket: number
    }
    /// They go on.
    27 Release {
        /// Of that socket, and one more; 0 for plain Engine.IO.
        socket: number
    }
    /// A handler began that keeps nothing back.
    28 BeginApart {
        /// The bytes of its event.
        size: number
    }
    /// It is done.
    29 EndApart {
        /// The bytes of its event.
        size: number
    }
    /// A message of plain Engine.IO was queued.
    30 Send {
        /// The message.
        frame: frame
    }
    /// The session was closed.
    31 Close {
        /// The reason.
        reason: reason
    }
    /// The session was ended.
    32 Abort {
        /// The reason.
        reason: reason
    }
    /// A client is to be decided about once more.
    33 AskAgain {
        /// The socket.
        socket: number,
        /// Its `auth`, as JSON.
        auth: optional_json
    }
    /// An output was taken.
    40 Transmit {
        /// A number that two outputs share only if they are the same.
        digest: number
    }
    /// An event was taken.
    41 Event {
        /// A number that two events share only if they are the same.
        digest: number
    }
    /// An event was asked for, and none was to be had yet: asking may have put some off.
    42 NoEvent {}
    /// The owner's remark, such as a panic's message.
    50 Note {
        /// The remark.
        text: text
    }
}

fn write_frame(writer: &mut Writer, mask: Mask, frame: &Frame) {
    writer.byte(u8::from(frame.may_compress()));
    writer.optional(frame.text().map(|text| mask.text(text)).as_deref());
    writer.size(frame.attachments().len());
    for attachment in frame.attachments() {
        writer.bytes(&mask.binary(attachment));
    }
}

fn read_frame(reader: &mut Reader<'_>) -> Result<Frame, RecordingError> {
    let may_compress = reader.byte()? != 0;
    let text = reader.optional()?.unwrap_or_default().to_vec();
    let count = reader.size()?;
    let mut attachments = Vec::new();
    for _ in 0..count {
        attachments.push(Bytes::copy_from_slice(reader.bytes()?));
    }
    let frame = if attachments.is_empty() {
        Frame::from_text(text)
    } else {
        Frame::with_attachments(text, attachments)
    };
    Ok(frame.compress(may_compress))
}
