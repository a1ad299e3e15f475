//! The events for the page, in the shapes of the JavaScript server, and nothing else.

use super::any::Event;
use sansocket_protocol::socket::{Args, ArgsEncoder, Date, EncodeError, ToArgs};
use serde_json::{Map, Value, json};

/// The features that the page offers, in the reference's order.
const COMMANDS: [&str; 7] = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"];
const STATISTICS: &str = "AGGREGATED_EVENTS";
const DETAILS: &str = "ALL_EVENTS";

/// A value that is not shown.
const MASKED: &str = "***";

/// The headers in which proxies say who the client is, the most trusted first.
const FORWARDED: [&str; 2] = ["cf-connecting-ip", "x-forwarded-for"];

/// `config`: what the page may do here, and is told.
pub(super) fn config(read_only: bool, detailed: bool) -> Value {
    let commands = COMMANDS.into_iter().filter(|_| !read_only);
    let features: Vec<&str> =
        commands.chain([STATISTICS]).chain(Some(DETAILS).filter(|_| detailed)).collect();
    json!({ "supportedFeatures": features })
}

/// A socket, as `all_sockets` and `socket_connected` have it.
pub(super) struct SocketShape {
    pub(super) id: String,
    /// Names the connection, which sockets of several namespaces may share. `null` where another node does not tell.
    pub(super) client_id: Value,
    pub(super) transport: Value,
    pub(super) namespace: String,
    pub(super) data: Value,
    /// As other nodes have it, too: see `handshake_value`.
    pub(super) handshake: Value,
    pub(super) rooms: Vec<String>,
}

impl SocketShape {
    /// For the page; with `private`, the values of the client's query are shown.
    pub(super) fn into_value(self, private: bool) -> Value {
        json!({
            "id": self.id,
            "clientId": self.client_id,
            "transport": self.transport,
            "nsp": self.namespace,
            "data": self.data,
            "handshake": handshake(self.handshake, private),
            "rooms": self.rooms,
        })
    }
}

/// The handshake without the client's `auth`, and with the address that proxies tell. Without `private` a query shows its
/// names alone: many clients have their token there.
fn handshake(handshake: Value, private: bool) -> Value {
    let Value::Object(mut handshake) = handshake else { return handshake };
    handshake.remove("auth");
    if !private {
        mask_query(&mut handshake);
    }
    let headers = handshake.get("headers");
    let told = FORWARDED.iter().find_map(|name| headers?.get(*name).filter(|value| **value != json!("")));
    if let Some(address) = told.cloned() {
        handshake.insert("address".into(), address);
    }
    handshake.into()
}

/// Engine.IO's own part of a query, which tells nothing of anybody.
const OWN_QUERY: [&str; 5] = ["EIO", "transport", "t", "b64", "j"];

/// Masks the values of the application's part of the query.
fn mask_query(handshake: &mut Map<String, Value>) {
    if let Some(Value::Object(query)) = handshake.get_mut("query") {
        for (_, value) in query.iter_mut().filter(|(name, _)| !OWN_QUERY.contains(&name.as_str())) {
            *value = MASKED.into();
        }
    }
    if let Some(Value::String(url)) = handshake.get_mut("url") {
        if let Some((path, query)) = url.split_once('?') {
            let shown = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, _)) if !OWN_QUERY.contains(&name) => format!("{name}={MASKED}"),
                _ => pair.to_owned(),
            });
            *url = format!("{path}?{}", shown.collect::<Vec<_>>().join("&"));
        }
    }
}

/// The member of a socket's data in which nodes tell each other what the page shows beside it.
const PRIVATE_DATA: &str = "_admin";

/// The data of a socket for other nodes: the application's, and what only this node knows.
#[cfg(feature = "cluster")]
pub(super) fn data_for_nodes(data: Value, client_id: &str, transport: &str) -> Value {
    let mut members = members(data);
    members.insert(PRIVATE_DATA.into(), json!({ "clientId": client_id, "transport": transport }));
    members.into()
}

/// The reverse: the application's data, the client's id and the transport.
#[cfg(feature = "cluster")]
pub(super) fn data_of_node(data: Value) -> (Value, Value, Value) {
    let mut members = members(data);
    let private = members.remove(PRIVATE_DATA).unwrap_or_default();
    let member = |name| private.get(name).cloned().unwrap_or_default();
    (members.into(), member("clientId"), member("transport"))
}

/// The data as the page takes it: an object, without what nodes tell each other.
pub(super) fn shown_data(data: Value) -> Value {
    let mut members = members(data);
    members.remove(PRIVATE_DATA);
    members.into()
}

fn members(data: Value) -> Map<String, Value> {
    match data {
        Value::Object(members) => members,
        Value::Null => Map::new(),
        other => [("value".to_owned(), other)].into_iter().collect(),
    }
}

/// `socket_updated`, after a move to another transport.
pub(super) fn transport_updated(id: &str, namespace: &str, transport: &str) -> Value {
    json!({ "id": id, "nsp": namespace, "transport": transport })
}

/// `event_received`, `event_sent`: the namespace, the socket's id, the event as a list, the time.
pub(super) struct EventShape<'a> {
    pub(super) namespace: &'a str,
    pub(super) id: &'a str,
    pub(super) event: &'a Args,
    pub(super) at: Date,
}

impl ToArgs for EventShape<'_> {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        (self.namespace, self.id, Event::new(self.event), self.at).to_args(out)
    }
}

/// A count of something within one second, as `server_stats` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    /// The second's beginning, in milliseconds since 1970.
    pub(super) second: u64,
    pub(super) kind: &'static str,
    pub(super) sub_kind: Option<&'static str>,
    pub(super) count: u64,
}

impl Count {
    fn to_value(&self) -> Value {
        let mut count = json!({ "timestamp": self.second, "type": self.kind, "count": self.count });
        if let (Some(members), Some(sub_kind)) = (count.as_object_mut(), self.sub_kind) {
            members.insert("subType".into(), sub_kind.into());
        }
        count
    }
}

/// `server_stats`.
pub(super) struct StatsShape<'a> {
    pub(super) server_id: &'a str,
    pub(super) hostname: &'a str,
    pub(super) pid: u32,
    /// In seconds.
    pub(super) uptime: f64,
    pub(super) clients: usize,
    pub(super) polling_clients: usize,
    pub(super) counts: &'a [Count],
    /// The namespaces, and the number of sockets in each.
    pub(super) namespaces: &'a [(String, usize)],
}

impl StatsShape<'_> {
    pub(super) fn to_value(&self) -> Value {
        let namespaces: Vec<Value> = self
            .namespaces
            .iter()
            .map(|(name, sockets)| json!({ "name": name, "socketsCount": sockets }))
            .collect();
        json!({
            "serverId": self.server_id,
            "hostname": self.hostname,
            "pid": self.pid,
            "uptime": self.uptime,
            "clientsCount": self.clients,
            "pollingClientsCount": self.polling_clients,
            "aggregatedEvents": self.counts.iter().map(Count::to_value).collect::<Vec<_>>(),
            "namespaces": namespaces,
        })
    }
}
