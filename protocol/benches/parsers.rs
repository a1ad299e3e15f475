//! The parsers beside each other, and beside rmp-serde alone, which checks nothing beforehand and has no limits:
//! `cargo bench -p sansocket-protocol --bench parsers`.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, Parser, Reassembly};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let said = Said { room: "kitchen".into(), text: "tea is ready".into(), at: 1_700_000_000, urgent: false };
    compare(&mut criterion, "small event", &said);
    let points: Vec<Point> = (0..200)
        .map(|n| Point { x: f64::from(n) * 1.5, y: -f64::from(n), name: format!("point {n}") })
        .collect();
    compare(&mut criterion, "list of 200 structs", &points);
    compare(&mut criterion, "1 KB of bytes", &Bytes::from(vec![7; 1024]));
    compare(&mut criterion, "4 KB of text", &"word ".repeat(800));
    criterion.final_summary();
}

#[derive(Serialize, Deserialize)]
struct Said {
    room: String,
    text: String,
    at: u64,
    urgent: bool,
}

#[derive(Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
    name: String,
}

/// A packet as rmp-serde sees it.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    r#type: u8,
    nsp: String,
    data: (String, T),
    id: u64,
}

/// The arguments of the packet that a frame is.
fn read(parser: &Parser, frame: &Frame) -> Args {
    let Some(text) = frame.text() else {
        return parser.decode(frame.attachments()[0].clone()).expect("a packet").into_args();
    };
    let mut reassembly = Reassembly::new();
    let packet = parser.decode(text.slice(1..)).expect("a packet");
    let mut whole = reassembly.start(packet, 1 << 20, 1 << 20).expect("it waits");
    for attachment in frame.attachments() {
        whole = reassembly.push(attachment.clone()).expect("its attachment");
    }
    whole.expect("it is whole").into_args()
}

fn compare<T: Serialize + for<'de> Deserialize<'de>>(criterion: &mut Criterion, what: &str, value: &T) {
    let mut group = criterion.benchmark_group(what);
    group.throughput(Throughput::Elements(1));
    for parser in [Parser::json(), Parser::msgpack()] {
        let name = parser.name();
        let frame = parser.event("/chat", "said", Some(17), &(value,)).expect("it can be sent");
        group.bench_function(format!("{name} encode"), |bencher| {
            bencher.iter(|| parser.event("/chat", "said", Some(17), &(black_box(value),)));
        });
        group.bench_function(format!("{name} check"), |bencher| {
            bencher.iter(|| read(&parser, black_box(&frame)));
        });
        group.bench_function(format!("{name} check and decode"), |bencher| {
            bencher.iter(|| read(&parser, black_box(&frame)).decode::<(T,)>().expect("the same type"));
        });
        let args = read(&parser, &frame);
        group.bench_function(format!("{name} pass on"), |bencher| {
            bencher.iter(|| parser.event("/chat", "said", None, black_box(&args)));
        });
    }
    let envelope = |value| Envelope { r#type: 2, nsp: "/chat".into(), data: ("said".into(), value), id: 17 };
    let message = rmp_serde::to_vec_named(&envelope(value)).expect("it can be written");
    group.bench_function("rmp-serde encode", |bencher| {
        bencher.iter(|| rmp_serde::to_vec_named(&envelope(black_box(value))));
    });
    group.bench_function("rmp-serde decode", |bencher| {
        bencher.iter(|| rmp_serde::from_slice::<Envelope<T>>(black_box(&message)).expect("the same type"));
    });
    group.finish();
}
