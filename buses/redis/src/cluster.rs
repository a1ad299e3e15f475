//! A Redis Cluster: its present nodes, as one of them tells, and the way to the node of a command.

use crate::Settings;
use crate::connection::{LostError, config};
use crate::sentinel::at;
use crate::slots::{Place, Topology, slot};
use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, Value, cmd, from_redis_value,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// The most time for one node to tell of the others: there are more to ask.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// The most masters of before that are asked, beside the nodes of the address.
const MOST_KNOWN: usize = 8;

/// The nodes of a cluster that are asked for the others.
pub(crate) struct Cluster {
    pub(crate) seeds: Vec<Place>,
}

/// The knowledge of a cluster that a bus keeps from one connection to the next.
#[derive(Default)]
pub(crate) struct Known {
    /// A node that has the slot of a command, as another one has said: it knows more than that.
    hint: Option<Place>,
    masters: Vec<Place>,
    /// The slots that were used: without their masters the cluster is of no use.
    pub(crate) used: Used,
}

/// A set of slots.
pub(crate) struct Used(Box<[u64; 256]>);

impl Default for Used {
    fn default() -> Self {
        Self(Box::new([0; 256]))
    }
}

impl Used {
    fn add(&mut self, slot: u16) {
        self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
    }

    fn contains(&self, slot: u16) -> bool {
        self.0.get(usize::from(slot / 64)).is_some_and(|slots| slots & (1 << (slot % 64)) != 0)
    }

    fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..16_384).filter(|slot| self.contains(*slot))
    }
}

impl Known {
    /// The positions of the masters that have the slots which were used.
    pub(crate) fn masters_of(&self, nodes: &Nodes) -> Result<BTreeSet<usize>, LostError> {
        self.used.iter().map(|slot| nodes.topology.master_of(slot).ok_or(LostError::NoTopology)).collect()
    }

    /// Forgets the node that an error has named: it was asked, and may be gone by the next time.
    pub(crate) fn forget_redirection(&mut self) {
        self.hint = None;
    }

    /// Notes the node that an error names.
    pub(crate) fn redirected(&mut self, error: &RedisError) {
        let Some((address, _)) = error.redirect_node() else { return };
        let Some((host, port)) = address.rsplit_once(':') else { return };
        // Without a host it is the node that has said so, which is known.
        let Ok(port) = port.parse() else { return };
        self.hint = Some((host.to_owned(), port)).filter(|(host, _)| !host.is_empty());
    }
}

/// The nodes of a cluster, for the time of one connection.
pub(crate) struct Nodes {
    /// As they were when the connection began: the positions are of these.
    topology: Topology,
    /// As they were when that was asked last.
    pub(crate) now: Topology,
    /// The position of the master that has what any of them may have: it is one of those that answer.
    pub(crate) home: usize,
    used: Used,
}

impl Nodes {
    pub(crate) fn new(topology: Topology, home: usize) -> Self {
        Self { now: topology.clone(), topology, home, used: Used::default() }
    }

    /// The position of the master for a key or a channel of sharded pub/sub; `None` if none has its slot.
    pub(crate) fn master(&mut self, key: &str) -> Option<usize> {
        self.used.add(slot(key.as_bytes()));
        self.master_once(key)
    }

    /// The same for a key like no other: without its master the cluster is of use for all else.
    pub(crate) fn master_once(&self, key: &str) -> Option<usize> {
        self.topology.master_of(slot(key.as_bytes()))
    }

    /// Returns whether the slot that an error names is one whose master is needed. If it names none, it may be.
    pub(crate) fn needs(&self, error: &RedisError) -> bool {
        error.redirect_node().is_none_or(|(_, slot)| self.used.contains(slot))
    }

    /// Takes the answer of the home about the nodes. Returns whether what is used is elsewhere by now: a slot has another
    /// master, or the home is none any more.
    pub(crate) fn have_moved(&mut self, slots: Value) -> bool {
        let home = &self.topology.masters[self.home];
        let Some(now) = Topology::parse(slots, &home.0) else { return false };
        let of = |topology: &Topology, slot| Some(topology.masters[topology.master_of(slot)?].clone());
        let have_moved = now != self.now
            && (!now.masters.contains(home)
                || self.used.iter().any(|slot| of(&self.topology, slot) != of(&now, slot)));
        self.now = now;
        have_moved
    }

    /// Keeps for the next connection what was learnt.
    pub(crate) fn end(self, known: &mut Known) {
        known.masters = self.topology.masters;
        known.used = self.used;
    }
}

impl Cluster {
    /// # Errors
    /// If one of the addresses is that of a Unix socket.
    pub(crate) fn new(addresses: Vec<ConnectionAddr>) -> Result<Self, RedisError> {
        let place = |address| match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Ok((host, port)),
            _ => Err((ErrorKind::InvalidClientConfig, "a cluster is reached by hosts and ports").into()),
        };
        Ok(Self { seeds: addresses.into_iter().map(place).collect::<Result<_, RedisError>>()? })
    }

    /// Asks one node after the other for all of them, until one of them tells.
    pub(crate) async fn topology(
        &self,
        client: &Client,
        settings: &Settings,
        known: &Known,
        attempt: u32,
        needs_all: bool,
    ) -> Result<Topology, LostError> {
        let before = known.masters.iter().take(MOST_KNOWN);
        let mut places: Vec<&Place> = Vec::new();
        for place in self.seeds.iter().chain(before) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        // Another one is the first each time: the time of one that does not answer is lost.
        let first = attempt as usize % places.len().max(1);
        places.rotate_left(first);
        let mut last = None;
        for place in known.hint.iter().chain(places) {
            match ask(client, settings, place, needs_all).await {
                Ok(topology) => return Ok(topology),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(LostError::NoTopology))
    }
}

/// A client of one node, with the user and everything else of `of`.
pub(crate) fn client_at(of: &Client, (host, port): &Place) -> Result<Client, RedisError> {
    let info = of.get_connection_info().clone().into_connection_info()?;
    let address = at(info.addr(), host.clone(), *port);
    Client::open(info.set_addr(address))
}

async fn ask(
    client: &Client,
    settings: &Settings,
    place: &Place,
    needs_all: bool,
) -> Result<Topology, LostError> {
    let patience = PATIENCE.min(settings.timeout);
    let config = config(settings).set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let client = client_at(client, place)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut ask = redis::pipe();
    for about in about() {
        ask.add_command(about);
    }
    let mut answers = connection.send_packed_commands(ask.ignore_errors(), 0, 2).await?.into_iter();
    let slots = answers.next().unwrap_or(Value::Nil).extract_error()?;
    if is_useless(answers.next().unwrap_or(Value::Nil).extract_error()?, needs_all) {
        return Err(LostError::ClusterDown);
    }
    let topology = Topology::parse(slots, &place.0).ok_or(LostError::NoTopology)?;
    if topology.masters.is_empty() { Err(LostError::NoTopology) } else { Ok(topology) }
}

/// The two questions about a cluster: for its nodes, and for [its state](is_useless).
pub(crate) fn about() -> [Cmd; 2] {
    ["SLOTS", "INFO"].map(|what| {
        let mut ask = cmd("CLUSTER");
        ask.arg(what);
        ask
    })
}

/// Returns whether a node, by its answer to `CLUSTER INFO`, is cut off from most others, so that it reaches few
/// subscribers; or, if all slots are needed, whether some of them have no node.
pub(crate) fn is_useless(info: Value, needs_all: bool) -> bool {
    let info: String = from_redis_value(info).unwrap_or_default();
    let is = |line: &str| info.lines().any(|one| one == line);
    // Only most masters together find that one has failed; for one that is alone the others may have.
    !is("cluster_state:ok") && (needs_all || !is("cluster_slots_pfail:0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_useless_if_it_is_cut_off() {
        let useless = |state, pfail, needs_all| {
            let info = format!(
                "cluster_state:{state}\r\ncluster_slots_assigned:16384\r\ncluster_slots_pfail:{pfail}\r\n"
            );
            is_useless(Value::BulkString(info.into()), needs_all)
        };
        assert!(!useless("ok", "0", true));
        assert!(!useless("ok", "5461", true), "it is not agreed that these have failed");
        assert!(!useless("fail", "0", false), "pub/sub works without the others");
        assert!(useless("fail", "0", true));
        assert!(useless("fail", "10922", false));
        assert!(is_useless(Value::Nil, false));
    }

    #[test]
    fn a_slot_that_is_used_and_moves_is_noticed() {
        let slots = |host: &str| {
            let range = |first, last, host: &str| {
                let node = Value::Array(vec![Value::BulkString(host.into()), Value::Int(1)]);
                Value::Array(vec![Value::Int(first), Value::Int(last), node])
            };
            Value::Array(vec![range(0, 12000, "a"), range(12001, 16383, host)])
        };
        let new = || Nodes::new(Topology::parse(slots("b"), "").unwrap(), 0);
        let mut nodes = new();
        assert_eq!(nodes.master("123456789"), Some(1));
        assert!(!nodes.have_moved(slots("b")));
        assert!(!nodes.have_moved(Value::Nil), "that is no answer");
        assert!(nodes.have_moved(slots("a")));
        assert!(new().have_moved(Value::Array(Vec::new())), "the home is none");
        let mut elsewhere = new();
        assert_eq!(elsewhere.master("{user1000}"), Some(0));
        assert_eq!(elsewhere.master_once("123456789"), Some(1));
        assert!(!elsewhere.have_moved(slots("c")), "nothing that is used");
        assert_eq!(elsewhere.now, Topology::parse(slots("c"), "").unwrap());
        let mut known = Known::default();
        nodes.end(&mut known);
        assert_eq!(known.used.iter().collect::<Vec<_>>(), [12739]);
        assert_eq!(known.masters_of(&new()).unwrap(), BTreeSet::from([1]));
    }
}
