//! The costs of the core's parts, one by one: `cargo bench -p sansocket-protocol`. For whole servers beside others, see
//! `runtime-tokio/bench`.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use sansocket_protocol::engine;
use sansocket_protocol::engine::{
    PayloadDecoder, PayloadEncoder, RequestHead, RequestId, Revision, ServerTransmit,
};
use sansocket_protocol::hub::{Hub, HubLimits, Target};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{Args, Packet, Parser, Reassembly, ServerSocketEvent, SocketKey};
use sansocket_protocol::time::Instant;
use std::hint::black_box;
use std::sync::Arc;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    packets(&mut criterion);
    payloads(&mut criterion);
    rooms(&mut criterion);
    connections(&mut criterion);
    criterion.final_summary();
}

/// One packet in, one out.
fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet");
    let words = "word ".repeat(800);
    for (name, text) in [
        ("event", r#"2/chat,17["said",{"room":"kitchen","text":"tea is ready","at":1700000000}]"#.to_owned()),
        ("acknowledgement", r#"3/chat,17["ok",{"n":5}]"#.to_owned()),
        ("event of 4 KB", format!(r#"2["said","{words}"]"#)),
    ] {
        let text = Bytes::from(text);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| Parser::json().decode(black_box(text.clone())));
        });
    }
    let picture = Bytes::from(vec![7; 1024]);
    let announced = Bytes::from_static(br#"51-["pic","a.png",{"_placeholder":true,"num":0}]"#);
    group.throughput(Throughput::Bytes((announced.len() + picture.len()) as u64));
    group.bench_function("decode binary event", |bencher| {
        bencher.iter(|| {
            let packet = Parser::json().decode(black_box(announced.clone())).expect("a packet");
            let mut reassembly = Reassembly::new();
            reassembly.start(packet, 1 << 20, 1 << 20).expect("it waits");
            let args = reassembly.push(picture.clone()).expect("its attachment").map(Packet::into_args);
            args.expect("it is whole").decode::<(String, Bytes)>()
        });
    });
    group.bench_function("encode binary event", |bencher| {
        bencher.iter(|| Parser::json().event("/", "pic", None, &("a.png", black_box(&picture))));
    });

    group.throughput(Throughput::Elements(1));
    group.bench_function("encode event", |bencher| {
        bencher
            .iter(|| Parser::json().event("/chat", "said", None, &(black_box("kitchen"), "tea is ready", 5)));
    });
    group.bench_function("encode acknowledgement", |bencher| {
        bencher.iter(|| Parser::json().ack("/chat", black_box(17), &("ok", 5)));
    });
    let relayed = Args::from_json(r#"["kitchen",{"text":"tea is ready"}]"#, vec![]).expect("arguments");
    group.bench_function("pass arguments on", |bencher| {
        bencher.iter(|| Parser::json().event("/chat", "said", None, black_box(&relayed)));
    });
    group.finish();
}

/// Bodies of polls and posts.
fn payloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    let text = br#"42["said","kitchen","tea is ready"]"#;
    let data = [7; 1024];
    let encode = || {
        let mut encoder = PayloadEncoder::with_capacity(32 * 1024);
        for _ in 0..16 {
            encoder.text(black_box(text));
            encoder.binary(black_box(&data));
        }
        encoder.finish()
    };
    let body = encode();
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("encode 32 packets", |bencher| bencher.iter(encode));
    group.bench_function("decode 32 packets", |bencher| {
        bencher.iter(|| PayloadDecoder::new(black_box(body.clone())).filter(Result::is_ok).count());
    });
    group.finish();
}

/// The recipients of a broadcast.
fn rooms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub");
    let mut hub = Hub::new(HubLimits::default());
    for number in 0..1000_u32 {
        let key = hub.insert(format!("socket {number}").into(), number).expect("there is room");
        hub.join(key, if number % 2 == 0 { "even" } else { "odd" }).expect("there is room");
        if number % 10 == 0 {
            hub.join(key, "tens").expect("there is room");
        }
    }
    for (name, target) in [
        ("all", Target::all()),
        ("a room", Target::all().to("even")),
        ("two rooms that overlap", Target::all().to("even").to("tens")),
        ("a room without another", Target::all().to("even").except("tens")),
        ("one socket", Target::all().to("socket 500")),
    ] {
        let mut reached = 0;
        hub.select(&target, |_, _| reached += 1);
        group.throughput(Throughput::Elements(reached));
        group.bench_function(format!("select {name}"), |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                hub.select(black_box(&target), |_, number| sum += *number);
                sum
            });
        });
    }
    let key = hub.insert("guest".into(), 0).expect("there is room");
    group.throughput(Throughput::Elements(1));
    group.bench_function("join and leave", |bencher| {
        bencher.iter(|| {
            hub.join(key, black_box("kitchen")).expect("there is room");
            hub.leave(key, "kitchen")
        });
    });
    group.finish();
}

const WS: RequestId = RequestId(1);

/// A client on a WebSocket that has joined the main namespace.
fn joined() -> (Connection, SocketKey) {
    let config = Arc::new(engine::EngineServerConfig::default().path("/socket.io"));
    let mut connection =
        Connection::new(Instant::ZERO, Revision::V4, config, "session".into(), Some(Arc::default()));
    let head = RequestHead {
        method: "GET",
        target: "/socket.io/?EIO=4&transport=websocket",
        headers: &[("connection", "upgrade"), ("upgrade", "websocket")],
    };
    let _ = connection.handle_request(Instant::ZERO, WS, &head);
    assert!(matches!(connection.poll_transmit(), Some(ServerTransmit::AcceptWebSocket { .. })));
    connection.handle_websocket_opened(Instant::ZERO, WS);
    connection.handle_websocket(Instant::ZERO, WS, WireMessage::Text(Bytes::from_static(b"40")));
    let Some(ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. })) = connection.poll_event() else {
        panic!("it asks to join")
    };
    connection.accept(socket, "public").expect("it is connecting");
    write_all(&mut connection);
    (connection, socket)
}

fn write_all(connection: &mut Connection) -> usize {
    let mut written = 0;
    while connection.poll_transmit().is_some() {
        written += 1;
    }
    connection.handle_unwritten(Instant::ZERO, 0);
    written
}

/// A message's whole way through the machine of a connection.
fn connections(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connection");
    group.throughput(Throughput::Elements(1));
    let (mut connection, _) = joined();
    let echo = Bytes::from_static(br#"42["echo",{"n":1}]"#);
    group.bench_function("round trip", |bencher| {
        bencher.iter(|| {
            connection.handle_websocket(Instant::ZERO, WS, WireMessage::Text(black_box(echo.clone())));
            let Some(ServerEvent::Socket(ServerSocketEvent::Event { socket, args, .. })) =
                connection.poll_event()
            else {
                panic!("an event")
            };
            let frame = Parser::json().event("/", "echo", None, &args).expect("encoded");
            connection.emit(socket, frame).expect("it is connected");
            assert_eq!(write_all(&mut connection), 1);
        });
    });
    let (mut connection, socket) = joined();
    let frame = Parser::json().event("/", "tick", None, &5).expect("encoded");
    group.bench_function("delivery of a broadcast", |bencher| {
        bencher.iter(|| {
            connection.emit(socket, black_box(&frame)).expect("it is connected");
            assert_eq!(write_all(&mut connection), 1);
        });
    });
    group.bench_function("open and join", |bencher| {
        bencher.iter_batched(|| (), |()| joined(), BatchSize::SmallInput)
    });
    group.finish();
}
