//! The bodies of the fuzz targets on the vectors, whole and damaged; and what reading costs.

use crate::vectors::{bytes, lines};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sansocket_protocol::cluster::{Classic, Limits, Python, Sharded};
use sansocket_protocol::fuzzing::{cluster, cluster_node};
use serde_json::Value;

/// All messages of the vectors, as inputs of the three targets.
fn inputs() -> [Vec<Vec<u8>>; 3] {
    let [mut python, mut classic, mut adapter] = [const { Vec::new() }; 3];
    let input = |head: &[u8], payload: &[u8]| [head, payload].concat();
    let payload = |line: &Value| bytes(&line["payload_b64"]);
    for file in [
        include_str!("../vectors/cluster/python-redis.jsonl"),
        include_str!("../vectors/cluster/python-amqp.jsonl"),
    ] {
        python.extend(lines(file).iter().map(|line| payload(line).to_vec()));
    }
    for line in lines(include_str!("../vectors/cluster/js-redis-classic.jsonl")) {
        let channel = line["channel"].as_str().unwrap_or_default();
        let number = match channel.split('#').next().unwrap() {
            "socket.io-request" => 3,
            "socket.io-response" => 4,
            _ if channel.contains("admin") => 2,
            _ => 0,
        };
        classic.push(input(&[number], &payload(&line)));
    }
    for line in lines(include_str!("../vectors/cluster/js-redis-sharded.jsonl")) {
        let is_answer = line["channel"].as_str().is_some_and(|channel| channel.len() > 16);
        adapter.push(input(&[u8::from(is_answer)], &payload(&line)));
    }
    for line in lines(include_str!("../vectors/cluster/js-redis-streams.jsonl")) {
        match line["op"].as_str().unwrap() {
            "XADD" => {
                let fields = line["fields"].as_object().unwrap();
                let kind: u8 = fields["type"].as_str().unwrap().parse().unwrap();
                adapter.push(input(&[2, kind], fields["data"].as_str().unwrap().as_bytes()));
            }
            "SET" => adapter.push(input(&[6], line["args"][1].as_str().unwrap().as_bytes())),
            _ => adapter.push(input(&[3], &payload(&line))),
        }
    }
    for line in lines(include_str!("../vectors/cluster/js-postgres.jsonl")) {
        adapter.push(input(&[if line["op"] == "ROW" { 5 } else { 4 }], &payload(&line)));
    }
    for line in lines(include_str!("../vectors/cluster/tolerance.jsonl")) {
        python.push(payload(&line).to_vec());
        for number in [0, 3, 4] {
            classic.push(input(&[number], &payload(&line)));
            adapter.push(input(&[number], &payload(&line)));
        }
    }
    [python, classic, adapter]
}

/// A few thousand damaged copies of each file's messages: the same ones each time.
#[test]
fn damaged_messages_break_nothing() {
    let mut state = 1u64;
    let mut dice = |end: usize| {
        // xorshift64, by Marsaglia.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % end.max(1)
    };
    for (inputs, target) in inputs().into_iter().zip([cluster::python, cluster::classic, cluster::adapter]) {
        assert!(inputs.len() > 100);
        for input in &inputs {
            target(input);
            for _ in 0..15 {
                let mut damaged = input.clone();
                for _ in 0..=dice(3) {
                    let at = dice(damaged.len() + 1);
                    let other = &inputs[dice(inputs.len())];
                    match dice(5) {
                        0 => damaged.truncate(at),
                        1 if at < damaged.len() => damaged[at] = dice(256) as u8,
                        2 if at < damaged.len() => drop(damaged.remove(at)),
                        3 => damaged.insert(at, b"\"[{]},:0n\xc1\x90\x80\xc4"[dice(13)]),
                        _ => {
                            let from = dice(other.len() + 1);
                            let to = (from + dice(40)).min(other.len());
                            damaged.splice(at..at, other[from..to].iter().copied());
                        }
                    }
                }
                target(&damaged);
            }
        }
    }
}

/// Some hundred short stories of three nodes, in every dialect.
#[test]
fn nodes_keep_their_promises_in_any_order_of_calls() {
    let mut state = 7u64;
    for story in 0..600u64 {
        let mut bytes = vec![(story % 8) as u8];
        for _ in 0..200 + story % 400 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.push((state >> 24) as u8);
        }
        cluster_node::any_order(&bytes);
    }
}

/// Memory follows what came, whatever it claims to be.
#[test]
fn reading_costs_a_multiple_of_the_message() {
    let limits = Limits::default();
    let json = |data: String| {
        Bytes::from(format!(r#"{{"method":"emit","event":"e","data":{data},"namespace":"/"}}"#))
    };
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let mut packed = vec![0x93, 0xa1, b'u', 0x81, 0xa4, b'd', b'a', b't', b'a', 0xdd, 0, 1, 0, 0];
    packed.extend([0xc0; 65536]);
    let mut bins = vec![0xdd, 0, 1, 0, 0];
    bins.extend([0xc4, 0].repeat(65536));
    let mut claims = [0xdd, 0xff, 0xff, 0xff, 0xff].repeat(100);
    claims.extend([0xc6, 0xff, 0xff, 0xff, 0xff]);
    for payload in [
        json(format!("[{}]", "0,".repeat(50_000) + "0")),
        json(nested(50_000)),
        json(format!("[[{}],\"{}\"]", [placeholder; 2000].join(","), "AAAA".repeat(10_000))),
        Bytes::from(format!(
            r#"{{"type":3,"nsp":"/","uid":"u","data":{{"opts":{{"rooms":[{}]}}}}}}"#,
            "1,".repeat(50_000) + "1"
        )),
        Bytes::from("{".repeat(100_000)),
        packed.into(),
        bins.into(),
        claims.into(),
        Bytes::from(STANDARD.encode([0x91; 50_000])),
    ] {
        let measured = allocation_counter::measure(|| {
            let _ = Python::default().decode("socketio", &payload, &limits);
            let _ = Classic::default().decode("socket.io#/#", &payload, &limits);
            let _ = Classic::default().decode("socket.io-request#/#", &payload, &limits);
            let _ = Classic::default().decode("socket.io-response#/#", &payload, &limits);
            let _ = Sharded::default().decode("socket.io#/#", &payload, &limits);
        });
        let most = 24 * payload.len() as u64 + 200_000;
        assert!(measured.bytes_max <= most, "{measured:?} of {}", payload.len());
    }
}
