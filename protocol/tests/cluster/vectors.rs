//! Every line of every file of vectors: what is a message decodes to its meaning, and is written again as it was.

use crate::meaning;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sansocket_protocol::cluster::adapter::{Notification, Notified, Streamed, SubscriptionMode};
use sansocket_protocol::cluster::{
    Classic, Envelope, Limits, Origin, Postgres, Published, Python, Session, Sharded, Streams, Subscription,
};
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) fn lines(file: &str) -> Vec<Value> {
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn bytes(value: &Value) -> Bytes {
    // What the capture has cut ends in dots.
    let text = value.as_str().unwrap_or_default();
    STANDARD.decode(text.trim_end_matches('.')).unwrap().into()
}

/// The message in a line, by the capture's own reading.
fn content(line: &Value) -> Option<Value> {
    match line["text"].as_str() {
        // A bare NaN is no JSON.
        Some(text) => serde_json::from_str(text).ok(),
        None => line.get("decoded").or(line.get("data_decoded")).cloned(),
    }
}

fn limits() -> Limits {
    Limits::default()
}

/// The results of a file's lines.
#[derive(Default)]
struct Tally {
    by_op: BTreeMap<String, usize>,
    decoded: usize,
    /// The calls whose messages we write in other bytes, and how many messages that are.
    others: BTreeMap<String, usize>,
}

impl Tally {
    fn seen(&mut self, line: &Value) {
        *self.by_op.entry(line["op"].as_str().unwrap().to_string()).or_default() += 1;
    }

    fn count(&self, op: &str) -> usize {
        self.by_op.get(op).copied().unwrap_or(0)
    }

    /// Returns whether the bytes are those of the peer. If not, at least they mean the same.
    fn written(&mut self, line: &Value, is_equal: bool) {
        self.decoded += 1;
        if !is_equal {
            *self.others.entry(line["call"].as_str().unwrap().to_string()).or_default() += 1;
        }
    }

    #[track_caller]
    fn assert_others(&self, expected: &[(&str, usize)]) {
        let others: Vec<(&str, usize)> = self.others.iter().map(|(call, n)| (&call[..], *n)).collect();
        assert_eq!(others, expected);
    }
}

fn single(published: Vec<Published>) -> Published {
    let [published] = <[Published; 1]>::try_from(published).unwrap();
    published
}

fn python(line: &Value, tally: &mut Tally) {
    let python = Python::default();
    let payload = bytes(&line["payload_b64"]);
    let decoded = python.decode("socketio", &payload, &limits());
    let Some(content) = content(line) else {
        // NaN: passing it on would disconnect every JavaScript client.
        assert!(line["call"].as_str().unwrap().starts_with("emit NaN"), "{line}");
        assert!(decoded.is_err());
        return;
    };
    let envelope = decoded.unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(meaning::of(&envelope), meaning::of_python(&content), "{line}");
    let published = single(python.encode(&envelope, &limits()).unwrap());
    assert_eq!(published.channel, "socketio");
    let again = python.decode("socketio", &published.payload, &limits()).unwrap();
    assert_eq!(meaning::of(&again), meaning::of(&envelope), "{line}");
    tally.written(line, published.payload == payload);
}

#[test]
fn python_on_redis() {
    let mut tally = Tally::default();
    for line in lines(include_str!("../vectors/cluster/python-redis.jsonl")) {
        tally.seen(&line);
        match line["op"].as_str().unwrap() {
            "PUBLISH" => {
                assert_eq!(line["channel"], "socketio");
                python(&line, &mut tally);
            }
            "SUBSCRIBE" => {
                let channel = Subscription::Channel(line["args"][0].as_str().unwrap().to_string());
                assert_eq!(Python::default().subscriptions(), [channel]);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((tally.count("PUBLISH"), tally.count("SUBSCRIBE"), tally.decoded), (63, 3, 62));
    tally.assert_others(&[
        // Python writes `[null]` for no argument, and `[]` for an empty tuple; both arrive without arguments.
        ("emit None: await sio.emit(\"hello\", None)", 1),
        // A lookalike beside bytes is those bytes to every receiver: so it is written as bytes of its own.
        (
            "emit bytes and a lookalike placeholder: await sio.emit(\"hello\", ({\"_placeholder\": True, \"num\": 0}, b\"\\x05\"))",
            1,
        ),
        // Numbers as rooms are text here.
        ("emit to a numeric room: await sio.emit(\"hello\", 1, room=7)", 1),
        ("emit tuple (None,): await sio.emit(\"hello\", (None,))", 1),
        ("emit without data: await sio.emit(\"hello\")", 1),
        // One socket may be left out by its id or by a list of one.
        ("sync RedisManager: sio.emit(\"hello\", (b\"\\x01\", 2), room=\"r1\", skip_sid=[..])", 1),
    ]);
}

#[test]
fn python_on_rabbitmq() {
    let mut tally = Tally::default();
    for line in lines(include_str!("../vectors/cluster/python-amqp.jsonl")) {
        tally.seen(&line);
        match line["op"].as_str().unwrap() {
            "body" => python(&line, &mut tally),
            // The exchange is the channel; the rest is the driver's.
            "exchange.declare" | "basic.publish" => assert_eq!(line["fields"]["exchange"], "socketio"),
            "channel.open" | "channel.close" | "queue.declare" | "queue.bind" | "basic.consume"
            | "confirm.select" | "basic.qos" | "content header" | "basic.ack" | "basic.cancel" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!((tally.count("body"), tally.decoded), (10, 10));
    // One socket may be left out by its id or by a list of one.
    tally.assert_others(&[("kombu: sio.emit(\"hello\", (1, b\"\\x01\"), room=\"r1\", skip_sid=[\"x\"])", 1)]);
}

/// The namespace of a channel in the vectors: `/` or `/admin`.
fn namespace(channel: &str) -> &str {
    channel.split('#').nth(1).unwrap()
}

#[test]
fn classic_on_redis() {
    let mut tally = Tally::default();
    let mut subscribed: Vec<Vec<Subscription>> = Vec::new();
    for line in lines(include_str!("../vectors/cluster/js-redis-classic.jsonl")) {
        tally.seen(&line);
        let args = || line["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_string());
        match line["op"].as_str().unwrap() {
            "PUBLISH" => {
                let channel = line["channel"].as_str().unwrap();
                let payload = bytes(&line["payload_b64"]);
                // C answers so.
                let classic = Classic::default().with_specific_answers(line["node"] == "C");
                let envelope = classic.decode(channel, &payload, &limits());
                let mut envelope = envelope.unwrap_or_else(|error| panic!("{error}: {line}"));
                let expected = meaning::of_classic(channel, namespace(channel), &content(&line).unwrap());
                assert_eq!(meaning::of(&envelope), expected, "{line}");
                if line["node"] == "E" {
                    // Emitters do not name themselves in joins, leaves and disconnects.
                    envelope.origin = Origin::Emitter;
                }
                let published = single(classic.encode(&envelope, &limits()).unwrap());
                assert_eq!(published.channel, channel, "{line}");
                let again = classic.decode(channel, &published.payload, &limits()).unwrap();
                if line["node"] == "E" {
                    assert_eq!(again.message, envelope.message);
                } else {
                    assert_eq!(meaning::of(&again), meaning::of(&envelope), "{line}");
                }
                tally.written(&line, published.payload == payload);
            }
            "PSUBSCRIBE" => subscribed.push(args().map(Subscription::Pattern).collect()),
            "SUBSCRIBE" => {
                let args: Vec<String> = args().collect();
                let (namespace, node) = (namespace(&args[2]), args[2].split('#').nth(2).unwrap());
                let pattern = subscribed.last_mut().unwrap();
                pattern.extend(args.iter().cloned().map(Subscription::Channel));
                assert_eq!(&Classic::default().subscriptions(namespace, node), pattern);
            }
            "PUBSUB" => {
                let channel = line["args"][1].as_str().unwrap();
                assert_eq!(Classic::default().count_channel(namespace(channel)), channel);
            }
            "PUNSUBSCRIBE" | "UNSUBSCRIBE" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!((tally.count("PUBLISH"), tally.decoded), (100, 100));
    tally.assert_others(&[
        // The flag says that the recipient is one, and is of no use without an acknowledgement.
        ("RemoteSocket of fetchSockets(): s.emit(\"hello\", \"remote\"), s.join(\"late\"), s.leave(\"late\"), s.disconnect(false) of b2", 1),
        // NaN and dates are here what clients see of them.
        ("io.emit(\"hello\", \"text é€😀\", [1,-1,127,128,255,256,65535,65536,4294967295,4294967296,-32,-33,-128,-129,-32769,-2147483649, 9007199254740991, -9007199254740991, 1.5, 1e300], {a:undefined,b:null,c:true,d:false}, undefined, null, new Date(1500), new Date(1))", 1),
        ("io.emit(\"hello\", NaN, Infinity, -0)", 1),
        // Numbers as rooms are text here.
        ("io.to(7).emit(\"hello\", 1)", 1),
    ]);
}

/// The node that the channel of an answer names.
fn asker(channel: &str, kind: &Value) -> Option<String> {
    let is_answer = matches!(kind.as_u64(), Some(8 | 10 | 11 | 12));
    channel.split('#').nth(2).filter(|node| is_answer && !node.is_empty()).map(str::to_string)
}

#[test]
fn sharded_on_redis() {
    let mut tally = Tally::default();
    let mut rooms = 0;
    for line in lines(include_str!("../vectors/cluster/js-redis-sharded.jsonl")) {
        tally.seen(&line);
        let mode = match line["node"].as_str().unwrap() {
            "C" => SubscriptionMode::Static,
            "D" => SubscriptionMode::DynamicPrivate,
            _ => SubscriptionMode::Dynamic,
        };
        let sharded = Sharded::new("socket.io", mode);
        match line["op"].as_str().unwrap() {
            "SPUBLISH" => {
                let channel = line["channel"].as_str().unwrap();
                let payload = bytes(&line["payload_b64"]);
                let envelope = sharded.decode(channel, &payload, &limits());
                let envelope = envelope.unwrap_or_else(|error| panic!("{error}: {line}"));
                let content = content(&line).unwrap();
                let asker = asker(channel, &content["type"]);
                let expected = meaning::of_adapter(namespace(channel), asker.as_deref(), &content);
                assert_eq!(meaning::of(&envelope), expected, "{line}");
                let published = single(sharded.encode(&envelope, &limits()).unwrap());
                assert_eq!(published.channel, channel, "{line}");
                let again = sharded.decode(channel, &published.payload, &limits()).unwrap();
                assert_eq!(meaning::of(&again), meaning::of(&envelope), "{line}");
                tally.written(&line, published.payload == payload);
            }
            "SSUBSCRIBE" => {
                let channel = line["args"][0].as_str().unwrap();
                let parts: Vec<&str> = channel.split('#').collect();
                let own = Subscription::Channel(channel.to_string());
                if sharded.subscriptions(parts[1], parts[2]).contains(&own) && parts[2].len() == 16 {
                    continue;
                }
                if parts.len() == 3 {
                    assert_eq!(sharded.count_channel(parts[1]), channel);
                } else {
                    rooms += 1;
                    assert_eq!(sharded.room_channel(parts[1], parts[2]).as_deref(), Some(channel));
                }
            }
            "PUBSUB" => assert_eq!(line["args"][1], *sharded.count_channel("/")),
            "SUNSUBSCRIBE" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!((tally.count("SPUBLISH"), tally.decoded), (49, 49));
    assert!(rooms >= 10, "{rooms}");
    tally.assert_others(&[
        // 1e300 as JavaScript writes it in JSON is `1e+300`: kept as it came. A date is text.
        ("io.emit(\"hello\", Buffer.from([1,2,255]), {a:undefined,b:[new Uint8Array([0]).buffer, Buffer.alloc(0)]}, undefined, new Date(1500), 1e300)", 1),
    ]);
}

fn streamed(line: &Value, pairs: &[(String, String)], content: &Value, tally: &mut Tally) {
    let streams = Streams::default();
    let fields = || pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let envelope = streams.decode_entry(fields(), &limits());
    let envelope = envelope.unwrap_or_else(|error| panic!("{error}: {line}"));
    let field = |name: &str| &pairs.iter().find(|pair| pair.0 == name).unwrap().1;
    let message = serde_json::json!({ "uid": field("uid"), "type": field("type").parse::<u8>().unwrap(), "data": content });
    assert_eq!(meaning::of(&envelope), meaning::of_adapter(field("nsp"), None, &message), "{line}");
    let Streamed::Entry { stream, fields } = streams.encode(&envelope, &limits()).unwrap() else {
        panic!("{line}")
    };
    assert_eq!(stream, "socket.io");
    let is_equal =
        fields.iter().map(|(name, value)| (*name, &**value)).eq(pairs.iter().map(|(a, b)| (&**a, &**b)));
    let again = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let again = streams.decode_entry(again, &limits()).unwrap();
    assert_eq!(meaning::of(&again), meaning::of(&envelope), "{line}");
    tally.written(line, is_equal);
}

fn pairs(args: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    args.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

#[test]
fn streams_on_redis() {
    let mut tally = Tally::default();
    let streams = Streams::default();
    for line in lines(include_str!("../vectors/cluster/js-redis-streams.jsonl")) {
        tally.seen(&line);
        match line["op"].as_str().unwrap() {
            "XADD" => {
                let args = line["args"].as_array().unwrap();
                assert_eq!(args[0], streams.stream());
                let pairs = pairs(&args[5..]);
                let data = line.get("data_decoded").cloned();
                let data = data.unwrap_or_else(|| serde_json::from_str(&pairs[3].1).unwrap());
                streamed(&line, &pairs, &data, &mut tally);
            }
            "XRANGE reply" => {
                for entry in line["entries"].as_array().unwrap() {
                    let pairs = pairs(entry[1].as_array().unwrap());
                    // In one of them is the only binary entry after the first.
                    let data = serde_json::from_str(&pairs[3].1).unwrap_or_else(|_| {
                        serde_json::json!({ "packet": { "type": 2, "data": ["missed", { "$bin": "Bw==" }] },
                            "opts": { "rooms": ["r1"], "except": [], "flags": {} } })
                    });
                    streamed(&line, &pairs, &data, &mut tally);
                }
            }
            "PUBLISH" => {
                let channel = line["channel"].as_str().unwrap();
                let payload = bytes(&line["payload_b64"]);
                let envelope = streams.decode(channel, &payload, &limits());
                let envelope = envelope.unwrap_or_else(|error| panic!("{error}: {line}"));
                let content = content(&line).unwrap();
                let asker = asker(channel, &content["type"]);
                let expected = meaning::of_adapter(namespace(channel), asker.as_deref(), &content);
                assert_eq!(meaning::of(&envelope), expected, "{line}");
                let Streamed::Published(published) = streams.encode(&envelope, &limits()).unwrap() else {
                    panic!("{line}")
                };
                assert_eq!(published.channel, channel, "{line}");
                tally.written(&line, published.payload == payload);
            }
            "SET" => {
                let value = line["args"][1].as_str().unwrap();
                let session = Session::decode(value.as_bytes(), &limits()).unwrap();
                let said = &line["value_decoded"];
                assert_eq!(
                    (said["sid"].as_str(), said["pid"].as_str()),
                    (Some(&*session.sid), Some(&*session.pid))
                );
                let rooms: Vec<&str> = session.rooms.iter().map(|room| &**room).collect();
                assert_eq!(said["rooms"], serde_json::json!(rooms));
                assert_eq!(session.data.args().json(0).unwrap(), said["data"].to_string());
                assert_eq!(line["args"][0], *streams.session_key(&session.pid));
                assert_eq!(session.encode(&limits()).unwrap(), value);
            }
            "SUBSCRIBE" => {
                let channel = line["args"][1].as_str().unwrap();
                let parts: Vec<&str> = channel.split('#').collect();
                let args = line["args"].as_array().unwrap();
                let args = args.iter().map(|arg| Subscription::Channel(arg.as_str().unwrap().to_string()));
                assert!(args.eq(streams.subscriptions(parts[1], parts[2])));
            }
            "PUBSUB" => assert_eq!(line["args"][1], *streams.count_channel("/")),
            // Commands of the driver, without messages.
            "XREAD" | "XRANGE" | "MULTI" | "GET" | "DEL" | "EXEC" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!((tally.count("XADD"), tally.count("PUBLISH"), tally.count("SET")), (27, 22, 2));
    assert!(tally.decoded >= 52, "{}", tally.decoded);
    tally.assert_others(&[
        // Dates are text here.
        ("io.emit(\"hello\", Buffer.from([1,2,255]), {a:undefined,b:[new Uint8Array([0]).buffer, Buffer.alloc(0)]}, undefined, new Date(1500), 1e300)", 1),
    ]);
}

fn notified(line: &Value, envelope: &Envelope) -> Notified {
    Postgres::default().encode(envelope, &limits()).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn notifications_of_postgres() {
    let postgres = Postgres::default();
    let mut tally = Tally::default();
    let (mut headers, mut cut) = (0, 0);
    for line in lines(include_str!("../vectors/cluster/js-postgres.jsonl")) {
        tally.seen(&line);
        let payload = bytes(&line["payload_b64"]);
        // Rows are all of the main namespace.
        let channel = line["channel"].as_str().unwrap_or("socket.io#/");
        let is_row = line["op"] == "ROW";
        assert!(is_row || line["op"] == "NOTIFY");
        if line["truncated"] == true {
            // Cut by the capture.
            cut += 1;
            assert!(postgres.decode(channel, &payload, &limits()).is_err());
            assert!(postgres.decode_row(channel, &payload, &limits()).is_err());
            continue;
        }
        let content = content(&line).unwrap();
        let envelope = if is_row {
            postgres
                .decode_row(channel, &payload, &limits())
                .unwrap_or_else(|error| panic!("{error}: {line}"))
        } else {
            match postgres.decode(channel, &payload, &limits()) {
                Ok(Notification::Message(envelope)) => *envelope,
                Ok(Notification::Row { origin, id }) => {
                    headers += 1;
                    assert_eq!(content["attachmentId"], *id);
                    let uid = content["uid"].as_str().unwrap();
                    let emitter = if uid == "emitter" { Origin::Emitter } else { Origin::Node(uid.into()) };
                    assert_eq!(origin, emitter);
                    continue;
                }
                Err(error) => panic!("{error}: {line}"),
            }
        };
        let nsp = channel.trim_start_matches("socket.io#");
        assert_eq!(meaning::of(&envelope), meaning::of_adapter(nsp, None, &content), "{line}");
        match notified(&line, &envelope) {
            Notified::Published(published) => {
                assert!(!is_row);
                assert_eq!(published.channel, channel);
                tally.written(&line, published.payload == payload);
            }
            Notified::Row { payload: row } => {
                assert!(is_row);
                let again = postgres.decode_row(channel, &row, &limits()).unwrap();
                assert_eq!(meaning::of(&again), meaning::of(&envelope), "{line}");
                tally.written(&line, row == payload);
                let header = postgres.header(&envelope, 4, &limits()).unwrap();
                let expected = format!(
                    r#"{{"uid":"{}","type":{},"attachmentId":"4"}}"#,
                    content["uid"].as_str().unwrap(),
                    content["type"]
                );
                assert_eq!((header.channel.as_str(), &header.payload[..]), (channel, expected.as_bytes()));
            }
        }
    }
    assert_eq!((tally.count("NOTIFY"), tally.count("ROW")), (103, 10));
    assert_eq!(tally.decoded + headers + cut, 113);
    assert_eq!((headers, cut), (10, 9));
    tally.assert_others(&[
        // Dates are text here.
        ("io.emit(\"hello\", Buffer.from([1,2,255]), {a:undefined,b:[new Uint8Array([0]).buffer, Buffer.alloc(0)]}, undefined, new Date(1500), 1e300)", 1),
        // npm's adapter drops these, for they have no namespace.
        ("postgres-emitter", 7),
    ]);
}

#[test]
fn the_abandoned_adapter_for_nats_is_none_of_ours() {
    let lines = lines(include_str!("../vectors/cluster/js-nats-community.jsonl"));
    assert_eq!(lines.len(), 6);
    for line in lines {
        let payload = bytes(&line["payload_b64"]);
        assert!(Python::default().decode("socketio", &payload, &limits()).is_err());
        assert!(Classic::default().decode("socket.io#/#", &payload, &limits()).is_err());
        assert!(Classic::default().decode("socket.io-request#/#", &payload, &limits()).is_err());
        assert!(Sharded::default().decode("socket.io#/#", &payload, &limits()).is_err());
        assert!(Postgres::default().decode("socket.io#/", &payload, &limits()).is_err());
    }
}
