//! The bodies of the fuzz targets: each takes any bytes whatever, and panics if something is wrong.
//!
//! `fuzz/` wraps each of them for a fuzzer; `tests/corpora.rs` replays the committed corpora over them; property
//! tests give the same bodies what they make up themselves. Nothing here is for applications, and nothing here is
//! covered by the version number.
//!
//! Wherever possible an oracle says what is right, made by the most obvious means and by none of those that it judges:
//! [`engine`] has its own base64, [`socket`] reads JSON by serde_json alone, [`msgpack`] by
//! rmp, [`hub`] compares with a list of lists.

pub mod client;
pub mod cluster;
pub mod cluster_node;
pub mod engine;
pub mod engine_v3;
pub mod http;
pub mod hub;
pub mod input;
pub mod msgpack;
pub mod pair;
pub mod replay;
pub mod server;
pub mod socket;

/// A target: bytes in, a panic if something is wrong.
pub type Target = fn(&[u8]);

/// All targets, under the names of their folders in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 17] = [
    ("engine_packet", engine::packet),
    ("engine_payload", engine::payload),
    ("engine_payload_v3", engine_v3::payload),
    ("socket_packet", socket::packet),
    ("arguments", socket::arguments),
    ("msgpack_packet", msgpack::packet),
    ("reassembly", socket::reassembly),
    ("http", http::admission),
    ("server", server::any_order),
    ("replay", replay::session),
    ("hub", hub::against_the_model),
    ("client", client::any_order),
    ("pair", pair::as_the_network),
    ("cluster_python", cluster::python),
    ("cluster_classic", cluster::classic),
    ("cluster_adapter", cluster::adapter),
    ("cluster_node", cluster_node::any_order),
];
