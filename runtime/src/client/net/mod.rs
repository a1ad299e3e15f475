//! A client's network: addresses, connections, HTTP requests and cookies.

pub(crate) mod addresses;
pub(crate) mod cookies;
pub(crate) mod dial;
pub(crate) mod http;
pub(crate) mod proxy;
pub(crate) mod server;
mod socks;
pub(crate) mod tls;
