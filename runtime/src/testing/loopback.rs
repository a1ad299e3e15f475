//! A network of one server in memory: connections without sockets, which can be cut and stalled.

use crate::adapter::{BoxFuture, ConnInfo, Dial, Endpoint, Mount, Stream, serve_connection};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// The bytes that a connection holds in each direction, as the buffers of sockets do.
const CAPACITY: usize = 64 << 10;

/// A network of one server, without sockets: whatever a client dials, it reaches that server.
///
/// It serves any server and any client of an adapter, on the adapter's own runtime, so handlers may use what that runtime
/// offers. Each clone is the same network, whose connections [`cut`](Self::cut) and [`stall`](Self::stall) disturb. For
/// clients that are disturbed one by one, give each a `Loopback` of its own.
///
/// With tokio's paused clock (`#[tokio::test(start_paused = true)]`) heartbeats, timeouts and reconnections take no real
/// time.
///
/// ```
/// # use sansocket_runtime::{Client, ClientBuilder, ConnectError, Server, adapter::ClientOptions};
/// use sansocket_runtime::testing::Loopback;
///
/// // `builder` is `Client::builder("http://test")` of an adapter.
/// async fn ask(
///     io: Server,
///     builder: ClientBuilder<Client, ClientOptions>,
/// ) -> Result<u32, Box<dyn std::error::Error>> {
///     let client = builder.dial(Loopback::to(&io)).build()?;
///     client.connect().await?;
///     Ok(client.call("count", &()).await?)
/// }
/// ```
#[derive(Clone)]
pub struct Loopback(Arc<Network>);

struct Network {
    server: Arc<[Endpoint]>,
    peer: Option<SocketAddr>,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    state: Link,
    wires: Vec<Weak<Mutex<Wire>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Working,
    Cut,
    Stalled,
}

impl Loopback {
    /// A network to a server.
    pub fn to(server: &impl Mount) -> Self {
        Self::new(server.mount_point(), None)
    }

    /// The same, in which all clients have that address, for handlers that ask for
    /// [`PeerAddr`](crate::extract::PeerAddr), and for limits by address.
    pub fn from_addr(server: &impl Mount, address: SocketAddr) -> Self {
        Self::new(server.mount_point(), Some(address))
    }

    pub(super) fn new(server: Endpoint, peer: Option<SocketAddr>) -> Self {
        Self(Arc::new(Network { server: Arc::new([server]), peer, links: Mutex::default() }))
    }

    /// Breaks all connections, as a reset does, and refuses new ones until [`restore`](Self::restore).
    pub fn cut(&self) {
        self.change(Link::Cut);
    }

    /// Holds back all bytes, in both directions, until [`restore`](Self::restore), and tells neither side: each finds out
    /// by its heartbeat. Bytes that are held back arrive later.
    pub fn stall(&self) {
        self.change(Link::Stalled);
    }

    /// Lets the network work again. Connections that were cut stay broken.
    pub fn restore(&self) {
        self.change(Link::Working);
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, state: Link) {
        let mut links = self.links();
        links.state = state;
        links.wires.retain(|wire| wire.strong_count() > 0);
        let wires: Vec<_> = links.wires.iter().filter_map(Weak::upgrade).collect();
        drop(links);
        for wire in wires {
            let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
            // A reset cannot be undone.
            if wire.state != Link::Cut {
                wire.state = state;
            }
            let wakers = wire.wakers();
            drop(wire);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// A new connection: the client's end of it.
    fn connect(&self) -> io::Result<End> {
        let mut links = self.links();
        if links.state == Link::Cut {
            let reason = "the network of the test is cut";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
        }
        let wire = Arc::new(Mutex::new(Wire { state: links.state, ways: Default::default() }));
        links.wires.retain(|wire| wire.strong_count() > 0);
        links.wires.push(Arc::downgrade(&wire));
        drop(links);
        let [client, server] = [0, 1].map(|side| End { wire: wire.clone(), side });
        let info = ConnInfo { peer: self.0.peer, secure: false };
        if let Some(endpoint) = self.0.server.first() {
            endpoint.runtime().spawn(Box::pin(serve_connection(server, self.0.server.clone(), None, info)));
        }
        Ok(client)
    }
}

impl Dial for Loopback {
    fn dial(&self, _: String, _: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(ready(self.connect().map(|end| Box::new(end) as Box<dyn Stream>)))
    }

    /// Adds nothing: `https` reaches the server as `http` does.
    fn secure(&self, _: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Ok(stream)))
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback").field("server", &self.0.server).finish_non_exhaustive()
    }
}

/// A connection.
struct Wire {
    state: Link,
    /// Those towards the client and towards the server.
    ways: [Way; 2],
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// Nothing more is written.
    is_ended: bool,
    /// Nothing more is read.
    is_abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn wakers(&mut self) -> Vec<Waker> {
        self.ways.iter_mut().flat_map(|way| [way.reader.take(), way.writer.take()]).flatten().collect()
    }

    fn check(&self) -> io::Result<()> {
        if self.state == Link::Cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// One end of a connection.
pub(super) struct End {
    wire: Arc<Mutex<Wire>>,
    /// The index of the direction towards this end.
    side: usize,
}

impl End {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for End {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        wire.check()?;
        let is_stalled = wire.state == Link::Stalled;
        let way = &mut wire.ways[self.side];
        if is_stalled || (way.bytes.is_empty() && !way.is_ended) {
            way.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (piece, _) = way.bytes.as_slices();
        let length = piece.len().min(into.remaining());
        into.put_slice(&piece[..length]);
        way.bytes.drain(..length);
        let writer = way.writer.take();
        drop(wire);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Write for End {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        wire.check()?;
        let is_stalled = wire.state == Link::Stalled;
        let way = &mut wire.ways[1 - self.side];
        if way.is_abandoned && !is_stalled {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = data.len().min(CAPACITY.saturating_sub(way.bytes.len()));
        if length == 0 && !data.is_empty() {
            way.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        way.bytes.extend(&data[..length]);
        let reader = way.reader.take();
        drop(wire);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        let way = &mut wire.ways[1 - self.side];
        way.is_ended = true;
        let reader = way.reader.take();
        drop(wire);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut wire = self.wire();
        wire.ways[1 - self.side].is_ended = true;
        wire.ways[self.side].is_abandoned = true;
        let wakers = wire.wakers();
        drop(wire);
        wakers.into_iter().for_each(Waker::wake);
    }
}
