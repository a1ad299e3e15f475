//! The explanation of a packet, as data: nothing here touches files or terminals.

use super::locate::{self, Break};
use bytes::Bytes;
use sansocket_protocol::engine::{EnginePacket, OpenPacket};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::{Packet, PacketError, PacketType, Parser, Reassembly};

/// The explanation of one packet.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The line, or the place in the body, counted from 1.
    pub(crate) number: usize,
    /// The packet as it was read, or the bytes for which its hexadecimal digits stand.
    pub(crate) packet: Bytes,
    /// The Engine.IO type, if that much could be read.
    pub(crate) engine: Option<&'static str>,
    /// The data of an Engine.IO packet that is no message, `probe` for example.
    pub(crate) data: Option<String>,
    /// The Socket.IO packet in it.
    pub(crate) socket: Option<SocketPart>,
    /// The bytes of a binary message.
    pub(crate) binary: Option<Bytes>,
    /// Its place among the attachments of a packet, if it is one.
    pub(crate) attachment: Option<Attachment>,
    /// The meaning of the packet, in words.
    pub(crate) note: Option<String>,
    /// The error, if it is malformed.
    pub(crate) error: Option<Malformed>,
}

/// A Socket.IO packet.
#[derive(Debug)]
pub(crate) struct SocketPart {
    pub(crate) kind: PacketType,
    pub(crate) namespace: String,
    pub(crate) id: Option<u64>,
    /// The name of an event.
    pub(crate) event: Option<String>,
    /// The arguments of an event or an acknowledgement, each as JSON.
    pub(crate) args: Vec<String>,
    /// The payload of another packet, as JSON.
    pub(crate) data: Option<String>,
    /// The number of attachments that follow.
    pub(crate) attachments: usize,
}

/// The place of an attachment among those of its packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attachment {
    /// The number of the packet that announced it.
    pub(crate) of: usize,
    /// Its place, counted from 1.
    pub(crate) index: usize,
    /// The number of attachments that the packet announced.
    pub(crate) announced: usize,
}

/// The error in a malformed packet.
#[derive(Debug)]
pub(crate) struct Malformed {
    /// The error in words.
    pub(crate) message: String,
    /// The place of the error, if it has one in the packet, and what belongs there.
    pub(crate) at: Option<Break>,
}

/// An explainer of the packets that one side of a connection sends, one after the other.
#[derive(Debug)]
pub(crate) struct Explainer {
    parser: Parser,
    engine_only: bool,
    /// Packets of revision 3.
    eio3: bool,
    reassembly: Reassembly,
    /// The attachment that is due next.
    due: Option<Attachment>,
}

impl Explainer {
    pub(crate) fn new(parser: Parser, engine_only: bool, eio3: bool) -> Self {
        Self { parser, engine_only, eio3, reassembly: Reassembly::new(), due: None }
    }

    /// Explains a packet given as text; a binary one is in base64.
    pub(crate) fn text(&mut self, number: usize, packet: Bytes) -> Explanation {
        let mut explanation = Explanation::new(number, packet.clone());
        if let Err(error) = std::str::from_utf8(&packet) {
            explanation.malformed("the packet is not UTF-8", error.valid_up_to(), "UTF-8");
            return explanation;
        }
        let is_base64 = self.eio3 && packet.first() == Some(&b'b');
        if is_base64 && packet.get(1) != Some(&b'4') {
            explanation.malformed("a binary packet of another type than a message", 1, "the type 4");
            return explanation;
        }
        // Without the type of the message, which only revision 3 has there.
        let plain = if is_base64 { [b"b", &packet[2..]].concat().into() } else { packet.clone() };
        match EnginePacket::decode(plain) {
            Err(error) if is_base64 => {
                let mut at = locate::engine(&[b"b", &packet[2..]].concat(), error);
                at.offset += 1;
                explanation.error = Some(Malformed { message: error.to_string(), at: Some(at) });
            }
            Err(error) => {
                let at = locate::engine(&packet, error);
                explanation.error = Some(Malformed { message: error.to_string(), at: Some(at) });
            }
            Ok(EnginePacket::Open(json)) => explanation.open(&json),
            Ok(EnginePacket::Close) => explanation.control("close", &packet, "ends the session"),
            Ok(EnginePacket::Ping(data)) if data == "probe" => {
                explanation.control("ping", &packet, "the client probes a WebSocket for its session");
            }
            Ok(EnginePacket::Ping(_)) => {
                let note = if self.eio3 { "the client's heartbeat" } else { "the server's heartbeat" };
                explanation.control("ping", &packet, note);
            }
            Ok(EnginePacket::Pong(data)) if data == "probe" => {
                explanation.control("pong", &packet, "the WebSocket works: the client may upgrade to it");
            }
            Ok(EnginePacket::Pong(_)) => {
                let whose = if self.eio3 { "the server's" } else { "the client's" };
                explanation.control("pong", &packet, &format!("{whose} answer to a ping"));
            }
            Ok(EnginePacket::Upgrade) => {
                explanation.control("upgrade", &packet, "the client has upgraded to this WebSocket")
            }
            Ok(EnginePacket::Message(WireMessage::Binary(data))) => self.attach(&mut explanation, data),
            Ok(EnginePacket::Message(WireMessage::Text(text))) => {
                explanation.engine = Some("message");
                if self.engine_only {
                    explanation.data = Some(String::from_utf8_lossy(&text).into_owned());
                } else {
                    self.socket(&mut explanation, text);
                }
            }
            // `Noop`, and there are no others.
            Ok(_) => explanation.control("noop", &packet, "ends a poll, and carries no message"),
        }
        explanation
    }

    /// Explains a packet given in hexadecimal.
    pub(crate) fn hex(&mut self, number: usize, line: &[u8]) -> Explanation {
        let (digits, is_binary) = if let Some(rest) = line.strip_prefix(b"text:") {
            (rest, false)
        } else if let Some(rest) = line.strip_prefix(b"binary:") {
            (rest, true)
        } else {
            (line, self.due.is_some() || self.is_packed())
        };
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        let mut high = None;
        for (i, byte) in digits.iter().enumerate() {
            let value = match char::from(*byte).to_digit(16) {
                Some(value) => value as u8,
                None if byte.is_ascii_whitespace() => continue,
                None => {
                    let mut explanation = Explanation::new(number, Bytes::copy_from_slice(line));
                    let at = line.len() - digits.len() + i;
                    explanation.malformed("not a hexadecimal digit", at, "a digit, 0 to 9 or a to f");
                    return explanation;
                }
            };
            match high.take() {
                None => high = Some(value),
                Some(high) => bytes.push(high << 4 | value),
            }
        }
        if high.is_some() {
            let mut explanation = Explanation::new(number, Bytes::copy_from_slice(line));
            explanation.malformed("half a byte is missing", line.len(), "one more digit");
            return explanation;
        }
        let bytes = Bytes::from(bytes);
        if is_binary { self.binary(number, bytes) } else { self.text(number, bytes) }
    }

    /// Explains a binary packet.
    pub(crate) fn binary(&mut self, number: usize, packet: Bytes) -> Explanation {
        let mut explanation = Explanation::new(number, packet.clone());
        match packet.first() {
            _ if !self.eio3 => self.attach(&mut explanation, packet),
            Some(4) => self.attach(&mut explanation, packet.slice(1..)),
            _ => explanation.malformed("no binary message of Engine.IO 3", 0, "the byte 4, for a message"),
        }
        explanation
    }

    /// The error in a body that breaks between its packets.
    pub(crate) fn broken_body(number: usize, body: &[u8], place: Break) -> Explanation {
        let mut explanation = Explanation::new(number, Bytes::copy_from_slice(body));
        let message = "the body breaks here".to_owned();
        explanation.error = Some(Malformed { message, at: Some(place) });
        explanation
    }

    /// Returns whether packets are MessagePack.
    fn is_packed(&self) -> bool {
        self.parser.name() == "msgpack"
    }

    /// The error at the end of the packets, if attachments are still missing.
    pub(crate) fn finish(&mut self) -> Option<Explanation> {
        let due = self.due.take()?;
        let mut explanation = Explanation::new(due.of, Bytes::new());
        let missing = due.announced + 1 - due.index;
        let message = format!("{missing} of {} attachments are missing at the end", due.announced);
        explanation.error = Some(Malformed { message, at: None });
        Some(explanation)
    }

    fn socket(&mut self, explanation: &mut Explanation, text: Bytes) {
        // The Engine.IO type stands before it.
        let offset = explanation.packet.len() - text.len();
        let decoded = match self.parser.part(WireMessage::Text(text.clone())) {
            Ok(_) => self.parser.decode(text.clone()),
            Err(error) => {
                explanation.error = Some(Malformed { message: error.to_string(), at: None });
                return;
            }
        };
        let packet = match decoded {
            Ok(packet) => packet,
            Err(error) => {
                let mut at = locate::socket(&text, &error);
                at.offset += offset;
                let message = match &error {
                    // The place, and what belongs there, are shown beside it.
                    PacketError::InvalidPayload { kind, .. } => format!("invalid {kind} payload"),
                    error => error.to_string(),
                };
                explanation.error = Some(Malformed { message, at: Some(at) });
                // A connection would end here, so no attachment is due any more.
                self.reassembly = Reassembly::new();
                self.due = None;
                return;
            }
        };
        self.explain(explanation, packet);
    }

    /// A packet in MessagePack, which is a binary message.
    fn packed(&mut self, explanation: &mut Explanation, message: Bytes) {
        match self.parser.decode(message) {
            Ok(packet) => self.explain(explanation, packet),
            // Its words have the place in the message, which may stand in base64.
            Err(error) => {
                explanation.error = Some(Malformed { message: error.to_string(), at: None });
            }
        }
    }

    fn explain(&mut self, explanation: &mut Explanation, packet: Packet) {
        let announced = packet.attachments();
        let mut part = SocketPart {
            kind: packet.kind(),
            namespace: packet.namespace().to_owned(),
            id: packet.id(),
            event: None,
            args: Vec::new(),
            data: None,
            attachments: announced,
        };
        match packet.kind() {
            PacketType::Event | PacketType::BinaryEvent | PacketType::Ack | PacketType::BinaryAck => {
                let args = packet.clone().into_args();
                part.event = args.event().map(std::borrow::Cow::into_owned);
                part.args = args.iter().map(|argument| argument.to_json()).collect();
            }
            _ => part.data = packet.data().map(|data| data.json().to_owned()),
        }
        explanation.note = part.note();
        explanation.socket = Some(part);
        self.due = None;
        // Attachments are counted and not kept, so any size will do.
        if let Err(error) = self.reassembly.start(packet, usize::MAX, usize::MAX) {
            explanation.error = Some(Malformed { message: error.to_string(), at: None });
        } else if announced > 0 {
            self.due = Some(Attachment { of: explanation.number, index: 1, announced });
        }
    }

    fn attach(&mut self, explanation: &mut Explanation, data: Bytes) {
        explanation.engine = Some("message");
        explanation.binary = Some(data.clone());
        if self.engine_only {
            return;
        }
        if self.is_packed() {
            return self.packed(explanation, data);
        }
        explanation.attachment = self.due.take();
        match self.reassembly.push(data) {
            Ok(complete) => {
                self.due = explanation
                    .attachment
                    .filter(|_| complete.is_none())
                    .map(|due| Attachment { index: due.index + 1, ..due });
            }
            Err(error) => explanation.error = Some(Malformed { message: error.to_string(), at: None }),
        }
    }
}

impl Explanation {
    fn new(number: usize, packet: Bytes) -> Self {
        Self {
            number,
            packet,
            engine: None,
            data: None,
            socket: None,
            binary: None,
            attachment: None,
            note: None,
            error: None,
        }
    }

    fn malformed(&mut self, message: &str, offset: usize, expected: &str) {
        let at = Break { offset, expected: expected.to_owned() };
        self.error = Some(Malformed { message: message.to_owned(), at: Some(at) });
    }

    fn control(&mut self, kind: &'static str, packet: &[u8], note: &str) {
        self.engine = Some(kind);
        self.note = Some(note.to_owned());
        let data = packet.get(1..).unwrap_or_default();
        self.data = (!data.is_empty()).then(|| String::from_utf8_lossy(data).into_owned());
    }

    fn open(&mut self, json: &[u8]) {
        self.engine = Some("open");
        self.data = Some(String::from_utf8_lossy(json).into_owned());
        match OpenPacket::parse(json) {
            Ok(handshake) => {
                self.note = Some(format!(
                    "the server opens session {}: a ping every {:?}, {:?} to answer it{}",
                    handshake.sid,
                    handshake.ping_interval,
                    handshake.ping_timeout,
                    if handshake.offers_websocket { "; offers a WebSocket" } else { "" },
                ));
            }
            Err(error) => {
                let mut at = locate::handshake(json);
                at.offset += 1;
                self.error = Some(Malformed { message: error.to_string(), at: Some(at) });
            }
        }
    }
}

impl SocketPart {
    fn note(&self) -> Option<String> {
        let note = match (self.kind, self.id) {
            (PacketType::Connect, _) if self.data.as_deref().is_some_and(|data| data.contains("\"sid\"")) => {
                "the server accepts the client".to_owned()
            }
            (PacketType::Connect, _) => "the client asks to join the namespace".to_owned(),
            (PacketType::Disconnect, _) => "one side leaves the namespace; the session goes on".to_owned(),
            (PacketType::ConnectError, _) => "the server refuses the client".to_owned(),
            (PacketType::Event | PacketType::BinaryEvent, _) if self.event.is_none() => {
                "legal, but without a name it reaches no handler".to_owned()
            }
            (PacketType::Event | PacketType::BinaryEvent, Some(id)) => {
                format!("wants the acknowledgement {id}")
            }
            (PacketType::Event | PacketType::BinaryEvent, None) => return None,
            (PacketType::Ack | PacketType::BinaryAck, Some(id)) => format!("answers the event with id {id}"),
            (PacketType::Ack | PacketType::BinaryAck, None) => {
                "has no id: it answers no event and is ignored".to_owned()
            }
            _ => return None,
        };
        Some(note)
    }
}
