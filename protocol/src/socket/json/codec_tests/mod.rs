//! The codec as a whole: what is accepted, what is refused, and that what goes out comes back in.

use crate::message::Frame;
use crate::socket::json::args::{Args, ArgsError};
use crate::socket::json::encode::{ArgsEncoder, EncodeError, ToArgs};
use crate::socket::json::reassembly::Reassembly;
use crate::socket::{Packet, PacketError, PacketType, Parser};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

mod arguments;
mod limits;
mod packets;
mod random;
mod relay;
mod shapes;
mod values;

/// A parser for what is more than peers take.
const ANYTHING: Parser = Parser::json()
    .max_attachments(usize::MAX)
    .max_sent_attachments(usize::MAX)
    .max_depth(usize::MAX)
    .max_number(usize::MAX)
    .max_arguments(usize::MAX);

fn decode(text: &str) -> Result<Packet, PacketError> {
    Parser::json().decode(Bytes::copy_from_slice(text.as_bytes()))
}

/// Returns the packet that the other end has when all of the frame has arrived.
fn receive(frame: &Frame) -> Packet {
    let text = frame.text().unwrap();
    assert_eq!(text[0], b'4');
    let packet = ANYTHING.decode(text.slice(1..)).unwrap();
    let mut reassembly = Reassembly::new();
    let mut received = reassembly.start(packet, usize::MAX, usize::MAX).unwrap();
    for attachment in frame.attachments() {
        assert!(received.is_none());
        received = reassembly.push(attachment.clone()).unwrap();
    }
    received.unwrap()
}

fn text(frame: &Frame) -> &str {
    core::str::from_utf8(frame.text().unwrap()).unwrap()
}

fn emit<T: ToArgs>(args: T) -> Frame {
    Parser::json().event("/", "e", None, &args).unwrap()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Picture {
    name: String,
    data: Bytes,
    thumbnails: Vec<Option<Bytes>>,
    kind: Kind,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Kind {
    Plain,
    Scaled(u8),
    Cut { mask: Bytes },
    Pair(u8, Bytes),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Point(i32, i32);

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Variant,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Id(u32);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Marker;

#[derive(Serialize)]
#[serde(transparent)]
struct Transparent(());

#[derive(Serialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Wrapped(Option<(u8, u8)>);
