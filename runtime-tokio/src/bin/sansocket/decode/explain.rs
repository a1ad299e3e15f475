//! What a packet says, as data. Knows nothing of files and terminals.

use super::locate::{self, Break};
use bytes::Bytes;
use sansocket_protocol::engine::EnginePacket;
use sansocket_protocol::engine::OpenPacket;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::Reassembly;
use sansocket_protocol::socket::{PacketError, PacketType, Parser};

/// What is known about one packet.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The line, or the place in the body, counted from 1.
    pub(crate) number: usize,
    /// The packet as it was read; of one in hexadecimal, what that stands for.
    pub(crate) packet: Bytes,
    /// The Engine.IO type, if that much could be read.
    pub(crate) engine: Option<&'static str>,
    /// What follows an Engine.IO type other than a message, `probe` for example.
    pub(crate) data: Option<String>,
    /// The Socket.IO packet in it.
    pub(crate) socket: Option<SocketPart>,
    /// The bytes of a binary message.
    pub(crate) binary: Option<Bytes>,
    /// What it is one of, if it is an attachment.
    pub(crate) attachment: Option<Attachment>,
    /// What else there is to say.
    pub(crate) note: Option<String>,
    /// Where it breaks, if it is malformed.
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
    /// How many attachments follow.
    pub(crate) attachments: usize,
}

/// Which attachment of which packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attachment {
    /// The number of the packet that announced it.
    pub(crate) of: usize,
    /// Which one, counted from 1.
    pub(crate) index: usize,
    /// How many that packet announced.
    pub(crate) announced: usize,
}

/// How a packet is malformed.
#[derive(Debug)]
pub(crate) struct Malformed {
    /// What is wrong.
    pub(crate) message: String,
    /// Where in the packet, if it is about a place in it, and what belongs there.
    pub(crate) at: Option<Break>,
}

/// Explains the packets of one side of a connection, one after the other.
#[derive(Debug)]
pub(crate) struct Explainer {
    max_attachments: usize,
    engine_only: bool,
    reassembly: Reassembly,
    /// The attachment that is due next.
    due: Option<Attachment>,
}

impl Explainer {
    pub(crate) fn new(max_attachments: usize, engine_only: bool) -> Self {
        Self { max_attachments, engine_only, reassembly: Reassembly::new(), due: None }
    }

    /// A packet as text, binary ones in base64.
    pub(crate) fn text(&mut self, number: usize, packet: Bytes) -> Explanation {
        let mut explanation = Explanation::new(number, packet.clone());
        if let Err(error) = std::str::from_utf8(&packet) {
            explanation.malformed("the packet is not UTF-8", error.valid_up_to(), "UTF-8");
            return explanation;
        }
        match EnginePacket::decode(packet.clone()) {
            Err(error) => {
                let at = locate::engine(&packet, error);
                explanation.error = Some(Malformed { message: error.to_string(), at: Some(at) });
            }
            Ok(EnginePacket::Open(json)) => explanation.open(&json),
            Ok(EnginePacket::Close) => explanation.control("close", &packet, "ends the session"),
            Ok(EnginePacket::Ping(data)) if data == "probe" => {
                explanation.control("ping", &packet, "the client tries a WebSocket for its session");
            }
            Ok(EnginePacket::Ping(_)) => explanation.control("ping", &packet, "the server's heartbeat"),
            Ok(EnginePacket::Pong(data)) if data == "probe" => {
                explanation.control("pong", &packet, "the WebSocket works, the client may move there");
            }
            Ok(EnginePacket::Pong(_)) => {
                explanation.control("pong", &packet, "the client's answer to a ping")
            }
            Ok(EnginePacket::Upgrade) => explanation.control("upgrade", &packet, "the client has moved here"),
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
            Ok(_) => explanation.control("noop", &packet, "releases a poll, and says nothing"),
        }
        explanation
    }

    /// A packet in hexadecimal.
    pub(crate) fn hex(&mut self, number: usize, line: &[u8]) -> Explanation {
        let (digits, is_binary) = if let Some(rest) = line.strip_prefix(b"text:") {
            (rest, false)
        } else if let Some(rest) = line.strip_prefix(b"binary:") {
            (rest, true)
        } else {
            (line, self.due.is_some())
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
                    explanation.malformed("that is not hexadecimal", at, "a digit, 0 to 9 or a to f");
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
        if is_binary {
            let mut explanation = Explanation::new(number, bytes.clone());
            self.attach(&mut explanation, bytes);
            explanation
        } else {
            self.text(number, bytes)
        }
    }

    /// What is still missing at the end.
    pub(crate) fn finish(&mut self) -> Option<Explanation> {
        let due = self.due.take()?;
        let mut explanation = Explanation::new(due.of, Bytes::new());
        let missing = due.announced + 1 - due.index;
        let message = format!("{missing} of {} attachments are missing at the end", due.announced);
        explanation.error = Some(Malformed { message, at: None });
        Some(explanation)
    }

    fn socket(&mut self, explanation: &mut Explanation, text: Bytes) {
        // Behind the Engine.IO type.
        let offset = explanation.packet.len() - text.len();
        let packet = match Parser::json().max_attachments(self.max_attachments).decode(text.clone()) {
            Ok(packet) => packet,
            Err(error) => {
                let mut at = locate::socket(&text, &error);
                at.offset += offset;
                let message = match &error {
                    // The place and what belongs there are told anyway.
                    PacketError::InvalidPayload { kind, .. } => format!("invalid {kind} payload"),
                    error => error.to_string(),
                };
                explanation.error = Some(Malformed { message, at: Some(at) });
                // A connection would end here, and with it what it waited for.
                self.reassembly = Reassembly::new();
                self.due = None;
                return;
            }
        };
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
                part.args = (0..args.len()).filter_map(|i| args.json(i).map(str::to_owned)).collect();
            }
            _ => part.data = packet.data().map(|data| data.json().to_owned()),
        }
        explanation.note = part.note();
        explanation.socket = Some(part);
        self.due = None;
        // Attachments are counted, not kept: any size will do.
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
                    "the server opens session {}: a ping each {:?}, given up {:?} later{}",
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
                "the server lets the client in".to_owned()
            }
            (PacketType::Connect, _) => "the client asks to join".to_owned(),
            (PacketType::Disconnect, _) => "one side leaves the namespace, and the session stays".to_owned(),
            (PacketType::ConnectError, _) => "the server does not let the client in".to_owned(),
            (PacketType::Event | PacketType::BinaryEvent, _) if self.event.is_none() => {
                "legal, but without a name it reaches nobody".to_owned()
            }
            (PacketType::Event | PacketType::BinaryEvent, Some(id)) => {
                format!("wants the acknowledgement {id}")
            }
            (PacketType::Event | PacketType::BinaryEvent, None) => return None,
            (PacketType::Ack | PacketType::BinaryAck, Some(id)) => format!("answers the event with id {id}"),
            (PacketType::Ack | PacketType::BinaryAck, None) => {
                "has no id, so it answers nothing and is ignored".to_owned()
            }
            _ => return None,
        };
        Some(note)
    }
}
