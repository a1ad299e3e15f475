//! A Socket.IO client without async: the client's half of the core on `std::net`, tungstenite and one thread.
//!
//! ```text
//! cargo run -p sansocket-protocol --example blocking_client -- http://127.0.0.1:3000
//! cargo run -p sansocket-protocol --example blocking_client -- http://127.0.0.1:3000 say '["kitchen","hello"]'
//! ```
//!
//! It joins the namespace that the address names (`/`), prints the events that come, acknowledges those that want
//! it with their own arguments, and dials again when the connection is lost. With an event, and a JSON array of
//! arguments, it emits that on each connection and prints the answer. It ends when the server refuses it,
//! disconnects it, or emits `bye`.
//!
//! To embed the core in a stack of your own, take the four directions from here:
//!
//! | direction | here |
//! |---|---|
//! | core to network | [`Client::transmit`] does what the core wants done, and tells how it ended |
//! | network to core | [`Client::receive`] tells what came |
//! | core to application, and back | [`Client::application`] hears events and gives commands |
//! | time | [`Client::now`], and the deadline in [`run`]'s loop |

// The core has neither sockets nor a clock, and its lints see to that. Whoever embeds it brings them.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]

use sansocket_protocol::client::{ClientEvent, ClientState, Manager, ReconnectConfig, ServerAddr};
use sansocket_protocol::engine::{ClientTransmit, EngineClientConfig, EngineError, RequestId, TransportKind};
use sansocket_protocol::message::{Frame, WireMessage};
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::{AckOutcome, Args, AuthSource, ClientSocketEvent, Parser};
use sansocket_protocol::time::Instant;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tungstenite::error::ProtocolError;
use tungstenite::{Error as WsError, HandshakeError, Message as WsMessage, WebSocket};

/// The id under which the answer to the greeting is awaited. Ids are the application's to choose; each is free again
/// when it is answered, or the connection lost.
const ACK: u64 = 1;
/// For how long connecting and writing may block the only thread there is.
const PATIENCE: Duration = Duration::from_secs(5);

/// The core, and what it needs of the world: a clock, and one WebSocket under the id that the core gave it.
struct Client {
    core: Manager,
    start: std::time::Instant,
    websocket: Option<(RequestId, WebSocket<TcpStream>)>,
    url: ServerAddr,
    /// The event that is emitted on each connection.
    greeting: Option<Frame>,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let url = ServerAddr::parse(&words.next().ok_or("usage: blocking_client URL [EVENT [JSON-ARRAY]]")?)?;
    if url.secure {
        return Err("this example has no TLS: in `dial`, put it around the TcpStream".into());
    }
    let greeting = match words.next() {
        Some(event) => {
            let args = Args::from_json(words.next().as_deref().unwrap_or("[]"), Vec::new())?;
            Some(Parser::json().event(&url.namespace, &event, Some(ACK), &args)?)
        }
        None => None,
    };

    // Randomness spreads out a client's tries to dial, no more: the keys of a hash map will do. (A server makes
    // session ids of it, which are secrets: it needs 32 bytes of real entropy.)
    let seed: Vec<u8> = (0..4_u8).flat_map(|i| RandomState::new().hash_one(i).to_le_bytes()).collect();
    let random = Random::new(seed.try_into().expect("four times eight bytes"));
    let engine = EngineClientConfig::default().path("/socket.io").query(url.query.clone());
    let engine = Arc::new(engine.transports([TransportKind::WebSocket]));
    let core = Manager::new(Arc::new(ReconnectConfig::default()), engine, random, Some(Arc::default()));
    let mut client = Client { core, start: std::time::Instant::now(), websocket: None, url, greeting };

    let socket = client.core.add(&client.url.namespace, AuthSource::None)?;
    client.core.connect(client.now(), socket);
    loop {
        while let Some(wanted) = client.core.poll_transmit() {
            client.transmit(wanted);
        }
        while let Some(happened) = client.core.poll_event() {
            client.application(happened)?;
        }
        if client.core.has_output() {
            continue; // a command made more to write, or the network more to tell
        }
        if client.core.status() == ClientState::Idle {
            return Ok(()); // it was told to stop, by either side
        }
        // Nothing is left to do until something comes, or until the core's next deadline. (Who lets events wait for
        // a busy application asks `wants_read` here, too.)
        client.receive(client.core.poll_timeout().unwrap_or(Instant::FAR_FUTURE))?;
        client.core.handle_timeout(client.now());
    }
}

impl Client {
    /// Time is whatever the owner counts: here from the start of the program.
    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// Handles an event as an application would, and carries out what it wants then.
    fn application(&mut self, happened: ClientEvent) -> Result<(), Box<dyn Error>> {
        match happened {
            ClientEvent::Socket(ClientSocketEvent::Connected { socket, id, .. }) => {
                println!("connected as {id}");
                if let Some(greeting) = &self.greeting {
                    let deadline = self.now() + Duration::from_secs(10);
                    self.core.emit_with_ack(self.now(), socket, greeting, ACK, deadline)?;
                }
            }
            ClientEvent::Socket(ClientSocketEvent::Event { socket, args, ack }) => {
                println!("event {} {}", args.event().unwrap_or_default(), show(&args));
                if let Some(id) = ack {
                    let answer = Parser::json().ack(&self.url.namespace, id, &args)?;
                    // That the connection is gone meanwhile is no harm: nobody waits for the answer any more.
                    let _ = self.core.ack(self.now(), socket, &answer);
                }
                if args.event().as_deref() == Some("bye") {
                    self.core.close(self.now()); // what is queued is still written: the loop ends after it
                }
            }
            ClientEvent::Socket(ClientSocketEvent::Ack { outcome: AckOutcome::Answered(args), .. }) => {
                println!("answer {}", show(&args));
            }
            ClientEvent::Socket(ClientSocketEvent::Ack { outcome, .. }) => println!("no answer: {outcome:?}"),
            ClientEvent::Socket(ClientSocketEvent::Refused { error, .. }) => println!("refused: {error}"),
            ClientEvent::Socket(ClientSocketEvent::Disconnected { reason, .. }) => {
                println!("disconnected: {reason}")
            }
            ClientEvent::DialFailed { closed, retry_in } | ClientEvent::Closed { closed, retry_in } => {
                let detail = closed.detail.map_or(String::new(), |detail| format!(" ({detail})"));
                let again = retry_in.map_or("not again".to_owned(), |delay| format!("again in {delay:?}"));
                println!("no connection: {}{detail}; {again}", closed.reason);
            }
            _ => {} // dialing, opened: nothing that it needs to know
        }
        Ok(())
    }

    /// From the core to the network. Everything blocks here, so what is done is done at once, and reported.
    fn transmit(&mut self, wanted: ClientTransmit) {
        match wanted {
            ClientTransmit::OpenWebSocket { websocket, target } => match self.dial(&target) {
                Ok(stream) => {
                    self.websocket = Some((websocket, stream));
                    self.core.handle_websocket_opened(self.now(), websocket);
                }
                // The server said why not. The core turns it into an error that explains itself.
                Err(WsError::Http(answer)) => {
                    let (status, body) = (answer.status().as_u16(), answer.body().as_deref());
                    self.core.handle_websocket_refused(
                        self.now(),
                        websocket,
                        status,
                        body.unwrap_or_default(),
                    );
                }
                Err(_) => self.core.handle_request_failed(self.now(), websocket, EngineError::RequestFailed),
            },
            ClientTransmit::Write { websocket, message, .. } => {
                let Some((_, stream)) = self.websocket.as_mut().filter(|(id, _)| *id == websocket) else {
                    return;
                };
                let written = match message {
                    WireMessage::Text(text) => text.try_into().map(WsMessage::Text).map_err(WsError::from),
                    WireMessage::Binary(data) => Ok(WsMessage::Binary(data)),
                }
                .and_then(|message| stream.send(message));
                self.core.handle_unwritten(0); // none of it waits in a buffer of ours
                if let Err(error) = written {
                    self.lost(&error);
                }
            }
            ClientTransmit::CloseWebSocket { websocket, .. } => {
                if let Some((_, mut stream)) = self.websocket.take_if(|(id, _)| *id == websocket) {
                    // Dropped with unread bytes, a connection is reset, and our last words may be lost with it.
                    let _ = stream.get_ref().set_read_timeout(Some(Duration::from_millis(200)));
                    let _ = stream.close(None);
                    for _ in 0..100 {
                        if stream.read().is_err() {
                            break;
                        }
                    }
                }
            }
            _ => {} // without polling there are no requests; what opens blockingly cannot be aborted
        }
    }

    /// From the network to the core: one message, if one comes before the deadline.
    fn receive(&mut self, deadline: Instant) -> io::Result<()> {
        let patience = (deadline - self.now()).clamp(Duration::from_millis(1), Duration::from_secs(3600));
        let Some((id, stream)) = self.websocket.as_mut() else {
            std::thread::sleep(patience); // until it is time to dial again
            return Ok(());
        };
        stream.get_ref().set_read_timeout(Some(patience))?;
        let (id, came) = (*id, stream.read());
        match came {
            Ok(WsMessage::Text(text)) => {
                self.core.handle_websocket(self.now(), id, WireMessage::Text(text.into()));
            }
            Ok(WsMessage::Binary(data)) => {
                self.core.handle_websocket(self.now(), id, WireMessage::Binary(data))
            }
            Ok(_) => {} // pings and close frames are tungstenite's own affair
            // The time is over, or a signal came. What has come of a message, tungstenite keeps.
            Err(WsError::Io(error))
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => self.lost(&error),
        }
        Ok(())
    }

    /// The WebSocket ended: as it should, or with an error that has a close code.
    fn lost(&mut self, error: &WsError) {
        let Some((id, _)) = self.websocket.take() else { return };
        let code = match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Io(_)
            | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            WsError::Utf8(_) => Some(1007),
            WsError::Capacity(_) => Some(1009),
            _ => Some(1002),
        };
        self.core.handle_websocket_closed(self.now(), id, code);
    }

    fn dial(&self, target: &str) -> Result<WebSocket<TcpStream>, WsError> {
        let mut addresses = (&*self.url.host, self.url.port).to_socket_addrs()?;
        let stream = addresses.find_map(|address| TcpStream::connect_timeout(&address, PATIENCE).ok());
        let stream = stream.ok_or(io::Error::from(ErrorKind::NotConnected))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        match tungstenite::client(format!("ws://{}{target}", self.url.authority()), stream) {
            Ok((websocket, _)) => Ok(websocket),
            Err(HandshakeError::Failure(error)) => Err(error),
            Err(HandshakeError::Interrupted(_)) => Err(io::Error::from(ErrorKind::TimedOut).into()),
        }
    }
}

fn show(args: &Args) -> String {
    let json: Vec<_> = (0..args.len()).filter_map(|i| args.json(i)).collect();
    format!("[{}] with {} attachments", json.join(","), args.attachments().len())
}
