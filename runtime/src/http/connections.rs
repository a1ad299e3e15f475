//! The limits on a listener's TCP connections. WebSockets that sessions use do not count: `max_sessions` bounds those.

use crate::base::runtime;
use crate::base::runtime::{Runtime, Stream};
use http::StatusCode;
use sansocket_protocol::engine::{RefusalCode, Response};
use sansocket_protocol::server::Source;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The number of connections that are told at once that they are too many; more are closed without a word.
const MAX_TOLD: usize = 64;
/// The time that telling one may take.
const TELLING: Duration = Duration::from_secs(1);

/// The limits on TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) in_all: usize,
    /// Of one address.
    pub(crate) per_address: Option<usize>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { in_all: 1_000_000, per_address: None }
    }
}

/// The limit that a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    InAll,
    FromAddress,
}

impl TooMany {
    /// The answer, as the bytes of HTTP: no request was read, so hyper has no part in it.
    pub(crate) fn response(self) -> Vec<u8> {
        let (status, message) = match self {
            Self::InAll => (StatusCode::SERVICE_UNAVAILABLE, "Too many connections"),
            Self::FromAddress => (StatusCode::TOO_MANY_REQUESTS, "Too many connections from this address"),
        };
        let refusal = Response::refusal_with(RefusalCode::Forbidden, message);
        let length = refusal.body.len().to_string();
        let response = refusal.header("content-length", length).header("connection", "close");
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in &response.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&response.body);
        bytes
    }
}

/// The connections that the limits refused, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RefusedConnections {
    pub(crate) in_all: u64,
    pub(crate) from_address: u64,
}

/// The open connections of a listener.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    limits: ConnectionLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// Counted only if there is a limit for each of them.
    by_address: BTreeMap<Source, usize>,
    told: usize,
    refused: RefusedConnections,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Connections>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Served(Option<Source>),
    Told,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.state();
        match self.kind {
            Kind::Told => state.told -= 1,
            Kind::Served(source) => {
                state.open -= 1;
                let Some(source) = source else { return };
                match state.by_address.get_mut(&source) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(state.by_address.remove(&source)),
                }
            }
        }
    }
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn refused(&self) -> RefusedConnections {
        self.state().refused
    }

    /// Takes a place for a new connection. One without an address, on a Unix socket, counts among all of them only.
    ///
    /// # Errors
    /// If all are taken.
    pub(crate) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Place, TooMany> {
        let mut state = self.state();
        let source = peer.zip(self.limits.per_address).map(|(peer, limit)| (Source::from(peer), limit));
        if state.open >= self.limits.in_all {
            state.refused.in_all += 1;
            return Err(TooMany::InAll);
        }
        if let Some((source, limit)) = source {
            let count = state.by_address.get(&source).copied().unwrap_or(0);
            if count >= limit {
                state.refused.from_address += 1;
                return Err(TooMany::FromAddress);
            }
            state.by_address.insert(source, count + 1);
        }
        state.open += 1;
        drop(state);
        Ok(Place { of: self.clone(), kind: Kind::Served(source.map(|(source, _)| source)) })
    }

    /// Takes a place for telling a connection that it is one too many; `None` if enough of them are being told.
    pub(crate) fn may_tell(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.state();
        if state.told >= MAX_TOLD {
            return None;
        }
        state.told += 1;
        drop(state);
        Some(Place { of: self.clone(), kind: Kind::Told })
    }
}

/// Answers whatever request comes, and closes.
pub(crate) async fn tell(mut io: impl Stream, runtime: &Arc<dyn Runtime>, too_many: TooMany) {
    runtime::timeout(runtime, TELLING, async {
        let _ = say(&mut io, &too_many.response()).await;
        // A close with something unread is a reset, which may overtake the answer.
        while matches!(read(&mut io).await, Ok(true)) {}
    })
    .await;
}

async fn say(io: &mut impl Stream, mut response: &[u8]) -> io::Result<()> {
    while !response.is_empty() {
        let written = poll_fn(|context| Pin::new(&mut *io).poll_write(context, response)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        response = &response[written..];
    }
    poll_fn(|context| Pin::new(&mut *io).poll_flush(context)).await?;
    poll_fn(|context| Pin::new(&mut *io).poll_shutdown(context)).await
}

/// Reads something, and forgets it. False at the end.
async fn read(io: &mut impl Stream) -> io::Result<bool> {
    let mut memory = [0; 1024];
    let mut buffer = hyper::rt::ReadBuf::new(&mut memory);
    poll_fn(|context| Pin::new(&mut *io).poll_read(context, buffer.unfilled())).await?;
    Ok(!buffer.filled().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn connections(in_all: usize, per_address: Option<usize>) -> Arc<Connections> {
        Arc::new(Connections::new(ConnectionLimits { in_all, per_address }))
    }

    #[test]
    fn a_place_is_free_again_once_its_connection_is_gone() {
        let connections = connections(2, None);
        let first = connections.admit(Some(A)).unwrap();
        let _second = connections.admit(Some(A)).unwrap();
        assert_eq!(connections.admit(Some(B)).unwrap_err(), TooMany::InAll);
        drop(first);
        let _third = connections.admit(Some(B)).unwrap();
        assert_eq!(connections.refused(), RefusedConnections { in_all: 1, from_address: 0 });
        assert!(connections.state().by_address.is_empty(), "nobody asked for them");
    }

    #[test]
    fn each_address_has_its_own_count_and_none_is_remembered() {
        let connections = connections(100, Some(2));
        let places: Vec<_> = [A, A, B].map(|address| connections.admit(Some(address)).unwrap()).into();
        assert_eq!(connections.admit(Some(A)).unwrap_err(), TooMany::FromAddress);
        // The same address, as a socket for both families shows it.
        let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_eq!(connections.admit(Some(mapped)).unwrap_err(), TooMany::FromAddress);
        let _ = connections.admit(Some(B)).unwrap();
        drop(places);
        assert!(connections.state().by_address.is_empty());
        assert_eq!(connections.state().open, 0);
        assert_eq!(connections.refused().from_address, 2);
    }

    #[test]
    fn peers_without_an_address_have_no_limit_for_each() {
        let connections = connections(3, Some(1));
        let _places: Vec<_> = [None; 3].map(|peer| connections.admit(peer).unwrap()).into();
        assert_eq!(connections.admit(None).unwrap_err(), TooMany::InAll);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let connections = connections(100, Some(1));
        let address = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        let _first = connections.admit(Some(address(1))).unwrap();
        assert_eq!(connections.admit(Some(address(2))).unwrap_err(), TooMany::FromAddress);
    }

    #[test]
    fn telling_is_bounded_too() {
        let connections = connections(0, None);
        let told: Vec<_> = std::iter::from_fn(|| connections.may_tell()).collect();
        assert_eq!(told.len(), MAX_TOLD);
        drop(told);
        assert!(connections.may_tell().is_some());
    }

    #[test]
    fn the_answers_say_how_long_they_are() {
        for too_many in [TooMany::InAll, TooMany::FromAddress] {
            let text = String::from_utf8(too_many.response()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
        }
    }
}
