//! The slots of a Redis Cluster: the one of a key or channel, and the masters that have them.

use redis::{Value, from_redis_value};
use std::collections::{BTreeMap, BTreeSet};

/// The number of slots of every cluster.
const SLOTS: u16 = 16_384;

/// The CRC16 of each byte, by the polynomial of XMODEM.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The slot of a key or of a channel of sharded pub/sub. If there is a part in braces, that part alone decides.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let crc = |crc: u16, byte: &u8| (crc << 8) ^ CRC[usize::from((crc >> 8) as u8 ^ byte)];
    tag(key).unwrap_or(key).iter().fold(0, crc) % SLOTS
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let rest = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
    let tag = &rest[..rest.iter().position(|byte| *byte == b'}')?];
    (!tag.is_empty()).then_some(tag)
}

/// The host and the port of one Redis.
pub(crate) type Place = (String, u16);

/// The masters of a cluster with their slots, and the replicas, as one node has told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    /// By the last slot of each range: its first one, and the position of its master.
    ranges: BTreeMap<u16, (u16, usize)>,
    pub(crate) masters: Vec<Place>,
    pub(crate) replicas: BTreeSet<Place>,
}

impl Topology {
    /// Reads an answer to `CLUSTER SLOTS`; without a host, a node means the one that was asked. `None` if it is no such
    /// answer. Nodes whose address is not known are left out.
    pub(crate) fn parse(answer: Value, asked: &str) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let mut topology = Self::default();
        let mut read = Vec::new();
        for range in ranges {
            let Value::Array(parts) = range else { return None };
            let mut parts = parts.into_iter();
            let (first, last) = (number(parts.next()?)?, number(parts.next()?)?);
            let master = parts.next().and_then(|node| place(node, asked));
            topology.replicas.extend(parts.filter_map(|node| place(node, asked)));
            read.extend(master.map(|master| (first, last, master)));
        }
        let masters: BTreeSet<&Place> = read.iter().map(|(_, _, master)| master).collect();
        topology.masters = masters.into_iter().cloned().collect();
        for (first, last, master) in &read {
            let position = topology.masters.binary_search(master).ok()?;
            topology.ranges.insert(*last, (*first, position));
        }
        Some(topology)
    }

    /// The position of the master that has a slot.
    pub(crate) fn master_of(&self, slot: u16) -> Option<usize> {
        let (_, (first, master)) = self.ranges.range(slot..).next()?;
        (*first <= slot).then_some(*master)
    }
}

/// A slot or a port.
fn number(value: Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(number).ok(),
        _ => None,
    }
}

/// The address of a node: its host, its port, and more.
fn place(node: Value, asked: &str) -> Option<Place> {
    let Value::Array(parts) = node else { return None };
    let mut parts = parts.into_iter();
    let host: Option<String> = from_redis_value(parts.next()?).ok()?;
    let port = number(parts.next()?)?;
    match host.as_deref() {
        None | Some("") => Some((asked.to_owned(), port)),
        // It has a name, which the cluster does not know yet.
        Some("?") => None,
        Some(host) => Some((host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_slots_that_redis_gives_them() {
        // As CLUSTER KEYSLOT says.
        for (key, expected) in [
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("socket.io", 9972),
            ("socket.io#/#", 13868),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{{bar}}zap", 4015),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"foo{}{bar}"), 8363, "an empty tag is none");
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_eq!(tag(b"foo{bar"), None);
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![
            host,
            Value::Int(port),
            Value::SimpleString("id".to_owned()),
            Value::Array(Vec::new()),
        ])
    }

    fn named(host: &str) -> Value {
        Value::BulkString(host.into())
    }

    #[test]
    fn each_slot_has_the_master_of_its_range() {
        let range = |first, last, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
        };
        let answer = Value::Array(vec![
            range(5461, 10922, vec![node(named("b"), 2), node(named("d"), 4)]),
            range(0, 5460, vec![node(Value::Nil, 1)]),
            range(10923, 10923, vec![node(named("c"), 3)]),
            range(12000, 12001, vec![node(named("?"), 5)]),
            range(13000, 16383, vec![node(named(""), 1)]),
        ]);
        let topology = Topology::parse(answer, "asked").unwrap();
        let at = |slot| topology.master_of(slot).map(|master| topology.masters[master].clone());
        let asked = Some(("asked".to_owned(), 1));
        assert_eq!(
            [at(0), at(5460), at(13000), at(16383)],
            [asked.clone(), asked.clone(), asked.clone(), asked]
        );
        assert_eq!([at(5461), at(10922)], [Some(("b".to_owned(), 2)), Some(("b".to_owned(), 2))]);
        assert_eq!([at(10923), at(10924), at(12000)], [Some(("c".to_owned(), 3)), None, None]);
        assert_eq!(topology.replicas.len(), 1);
    }

    #[test]
    fn other_answers_are_no_topology() {
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![Value::Array(vec![Value::Int(70_000), Value::Int(1)])]),
            Value::Array(vec![Value::Array(Vec::new())]),
        ] {
            assert_eq!(Topology::parse(answer, "asked"), None);
        }
        assert_eq!(Topology::parse(Value::Array(Vec::new()), "asked"), Some(Topology::default()));
    }
}
