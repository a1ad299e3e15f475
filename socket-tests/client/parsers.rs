//! Parsers: the same handlers and the same client, whatever form the packets have.

use crate::sansocket::{
    Args, BoxError, Client, CustomPacket, CustomParser, Data, DisconnectReason, Parser, Server, Socket,
};
use crate::suite::relay::{TRANSPORTS, WEBSOCKET, quick};
use crate::suite::support::{Client as RawClient, Poller, log, request, soon};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// CBOR: binary, as most formats are.
struct Cbor;

impl CustomParser for Cbor {
    fn name(&self) -> &str {
        "cbor"
    }

    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, BoxError> {
        let mut message = Vec::new();
        ciborium::into_writer(packet, &mut message)?;
        Ok(message)
    }

    fn decode(&self, message: &[u8]) -> Result<CustomPacket, BoxError> {
        Ok(ciborium::from_reader(message)?)
    }
}

/// A whole packet as JSON text, as npm's `socket.io-json-parser` has it: bytes are lists of numbers.
struct Text;

impl CustomParser for Text {
    fn name(&self) -> &str {
        "json-text"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(packet)?)
    }

    fn decode(&self, message: &[u8]) -> Result<CustomPacket, BoxError> {
        Ok(serde_json::from_slice(message)?)
    }
}

type Everything = (String, Bytes, BTreeMap<String, Option<i64>>, [f64; 2], bool);

fn everything() -> Everything {
    let map = [("a".to_owned(), Some(-70_000)), ("é".to_owned(), None)].into();
    ("zwölf".to_owned(), Bytes::from_static(&[0, 1, 255]), map, [0.5, -1e-9], true)
}

async fn serve(parser: Parser) -> (Server, SocketAddr) {
    let io = crate::server().parser(parser).build().unwrap();
    for name in ["/", "/chat"] {
        io.namespace(name)
            .on("typed", async |Data(all): Data<Everything>| all)
            .on("relayed", async |socket: Socket, args: Args| socket.emit("relayed", &args))
            .on("skipped", async |args: Args| args.skip(1))
            .on("broadcast", async |socket: Socket, args: Args| socket.namespace().emit("relayed", &args));
    }
    let addr = io.listen("127.0.0.1:0").await.unwrap().local_addr();
    (io, addr)
}

#[tokio::test]
async fn the_same_handlers_run_with_every_parser_over_each_transport() {
    for parser in [Parser::json(), Parser::msgpack(), Parser::custom(Cbor), Parser::custom(Text)] {
        let (_io, addr) = serve(parser).await;
        for transports in TRANSPORTS {
            let client = quick(addr, transports).parser(parser).auth(&everything().2).build().unwrap();
            let (log, mut lines) = log();
            client.on("relayed", move |Data(all): Data<Everything>| {
                log.note(all == everything());
                async {}
            });
            soon(client.connect()).await.unwrap();
            let back: Everything = soon(client.call("typed", &everything())).await.unwrap();
            assert_eq!(back, everything(), "{}", parser.name());
            let (one, two): (u8, Bytes) =
                soon(client.call("skipped", &("gone", 1, everything().1))).await.unwrap();
            assert_eq!((one, two), (1, everything().1));
            client.emit("relayed", &everything()).unwrap();
            lines.expect("true").await;
            client.emit("broadcast", &everything()).unwrap();
            lines.expect("true").await;
            let chat = client.namespace("/chat");
            soon(chat.connect()).await.unwrap();
            let back: Everything = soon(chat.call("typed", &everything())).await.unwrap();
            assert_eq!(back, everything());
            assert!(soon(client.namespace("/missing").connect()).await.is_err());
            chat.disconnect();
        }
    }
}

#[tokio::test]
async fn arguments_are_passed_on_to_clients_with_another_parser() {
    let parsers = [Parser::json(), Parser::msgpack(), Parser::custom(Cbor)];
    let mut servers = Vec::new();
    for parser in parsers {
        servers.push((serve(parser).await, parser));
    }
    for ((from, addr), parser) in &servers {
        // Whatever comes to this one goes out at all of them.
        let all: Vec<Server> = servers.iter().map(|((io, _), _)| io.clone()).collect();
        from.root().on("spread", move |args: Args| {
            all.iter().for_each(|io| drop(io.emit("relayed", &args)));
            async {}
        });
        let mut ears = Vec::new();
        for ((_, addr), parser) in &servers {
            let ear = quick(*addr, WEBSOCKET).parser(*parser).build().unwrap();
            let (log, lines) = log();
            ear.on("relayed", move |Data(all): Data<Everything>| {
                log.note(all == everything());
                async {}
            });
            soon(ear.connect()).await.unwrap();
            ears.push((ear, lines));
        }
        let mouth = quick(*addr, WEBSOCKET).parser(*parser).build().unwrap();
        soon(mouth.connect()).await.unwrap();
        mouth.emit("spread", &everything()).unwrap();
        for (_, lines) in &mut ears {
            lines.expect("true").await;
        }
    }
}

#[tokio::test]
async fn another_parser_ends_the_session() {
    // A server's parser, and what a client with another one hears or makes it hear.
    for (servers, clients) in [(Parser::msgpack(), Parser::json()), (Parser::json(), Parser::msgpack())] {
        let (_io, addr) = serve(servers).await;
        for transports in TRANSPORTS {
            let client = quick(addr, transports).parser(clients).reconnection(false).build().unwrap();
            assert!(soon(client.connect()).await.is_err(), "{} at {}", clients.name(), servers.name());
            soon(client.closed()).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_changes_its_parser_is_closed() {
    let parser = Parser::msgpack();
    let (io, addr) = serve(parser).await;
    let (log, mut lines) = log();
    io.root().on_disconnect(move |reason: DisconnectReason| {
        log.note(reason);
        async {}
    });
    let mut client = RawClient::connect(addr).await;
    client.send_binary(&parser.join("/", None).attachments()[0]).await;
    let answer = client.binary().await;
    assert!(parser.decode(answer).unwrap().sid().is_some());
    client.emit(r#"["message"]"#).await;
    client.gone().await;
    lines.expect("forced close").await;
}

/// CBOR that calls the application before it reads a packet.
struct Calling(Arc<dyn Fn(&CustomPacket) + Send + Sync>);

impl CustomParser for Calling {
    fn name(&self) -> &str {
        "calling"
    }

    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, BoxError> {
        Cbor.encode(packet)
    }

    fn decode(&self, message: &[u8]) -> Result<CustomPacket, BoxError> {
        let packet = Cbor.decode(message)?;
        (self.0)(&packet);
        Ok(packet)
    }
}

#[tokio::test]
async fn a_parser_may_call_the_server_and_the_client_while_it_reads() {
    for transports in TRANSPORTS {
        let (server, client) = (Arc::new(OnceLock::<Server>::new()), Arc::new(OnceLock::<Client>::new()));
        let (io, sender, calls) = (server.clone(), client.clone(), Arc::new(AtomicU8::new(0)));
        let servers = Parser::custom(Calling(Arc::new(move |packet| {
            let Some(io) = io.get().filter(|_| packet.id().is_some()) else { return };
            // To the very session that the packet came from, whose lock would be in the way.
            io.emit("heard", &"from the parser").unwrap();
            assert_eq!(io.root().sockets().len(), 1);
            assert!(io.root().sockets()[0].emit("heard", &"from the parser").is_ok());
        })));
        let clients = Parser::custom(Calling(Arc::new(move |_| {
            let Some(client) = sender.get() else { return };
            // Its own answers would be read by the same parser, without end.
            if calls.fetch_add(1, Ordering::Relaxed) < 3 {
                client.emit("ignored", &1).unwrap();
            }
        })));
        let (io, addr) = serve(servers).await;
        server.set(io).ok().unwrap();
        let speaker = quick(addr, transports).parser(clients).build().unwrap();
        let (log, mut lines) = log();
        speaker.on("heard", move |Data(text): Data<String>| {
            log.note(text);
            async {}
        });
        soon(speaker.connect()).await.unwrap();
        client.set(speaker.clone()).ok().unwrap();
        let back: Everything = soon(speaker.call("typed", &everything())).await.unwrap();
        assert_eq!(back, everything());
        lines.expect("from the parser").await;
        lines.expect("from the parser").await;
        speaker.close();
        soon(speaker.closed()).await;
    }
}

/// JSON text, but for the word over which the parser panics.
struct Fragile;

impl CustomParser for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, BoxError> {
        Text.encode(packet)
    }

    fn decode(&self, message: &[u8]) -> Result<CustomPacket, BoxError> {
        assert!(!message.windows(6).any(|word| word == b"poison"), "the parser does not expect that");
        Text.decode(message)
    }
}

#[tokio::test]
async fn a_parser_that_panics_ends_the_session_that_it_reads_for() {
    let parser = Parser::custom(Fragile);
    let (io, addr) = serve(parser).await;
    let other = quick(addr, WEBSOCKET).parser(parser).build().unwrap();
    soon(other.connect()).await.unwrap();
    let (log, mut lines) = log();
    io.root().on_disconnect(move |reason: DisconnectReason| {
        log.note(reason);
        async {}
    });
    let (join, poison) = (r#"4{"type":0,"nsp":"/"}"#, r#"4{"type":2,"nsp":"/","data":["poison"]}"#);

    let mut websocket = RawClient::connect(addr).await;
    websocket.raw(join).await.unwrap();
    assert!(websocket.packet().await.contains("sid"));
    websocket.raw(poison).await.unwrap();
    websocket.gone().await;
    lines.expect("forced close").await;

    let poller = Poller::connect(addr).await;
    poller.post(join).await;
    assert!(poller.poll().await[0].contains("sid"));
    let _ = request(poller.addr, "POST", &poller.target, "", poison).await;
    lines.expect("forced close").await;
    assert_eq!(io.stats().panics, 2);

    let back: Everything = soon(other.call("typed", &everything())).await.unwrap();
    assert_eq!(back, everything(), "another session goes on");
}

#[tokio::test]
async fn a_client_whose_parser_panics_is_closed() {
    for transports in TRANSPORTS {
        let (io, addr) = serve(Parser::custom(Text)).await;
        let client =
            quick(addr, transports).parser(Parser::custom(Fragile)).reconnection(false).build().unwrap();
        soon(client.connect()).await.unwrap();
        io.emit("poison", &1).unwrap();
        soon(client.closed()).await;
    }
}
