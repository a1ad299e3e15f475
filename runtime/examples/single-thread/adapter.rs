//! A complete adapter for an executor on one thread. `runtime/docs/writing-an-adapter.md` explains it.
#![allow(dead_code, unused_imports, unreachable_pub)] // each program that includes it takes what it needs

mod executor;

pub(crate) use executor::block_on;
pub use sansocket_runtime::adapter::{BoxFuture, Dial, Endpoint, Mount, Stream};
pub use sansocket_runtime::*;

use executor::{Direction, Executor};
use hyper::rt::ReadBufCursor;
use hyper::upgrade::Upgraded;
use mio::Token;
use mio::net::{TcpListener, TcpStream};
use sansocket_runtime::adapter::{ClientTls, Mounted, Runtime, Timer, connect_to_any, raw_stream};
use std::future::{poll_fn, ready};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

// --- 1. The runtime: clock, timers, tasks, and the stream after an upgrade ----------------------------------------

/// The executor of this process, on its one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleThread;

impl Runtime for SingleThread {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        Box::new(Alarm { deadline, id: Executor::get().fresh() })
    }

    fn spawn(&self, task: BoxFuture<()>) {
        Executor::get().spawn(task);
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
        // Served by somebody else's hyper: its wrapper around the stream does too.
        raw_stream::<Tcp>(upgraded).unwrap_or_else(|upgraded| (Box::new(upgraded), Bytes::new()))
    }
}

struct Alarm {
    deadline: Instant,
    id: usize,
}

impl Timer for Alarm {
    fn reset(&mut self, deadline: Instant) {
        Executor::get().clear_timer(self.deadline, self.id);
        self.deadline = deadline;
    }

    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        Executor::get().set_timer(self.deadline, self.id, context.waker());
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        Executor::get().clear_timer(self.deadline, self.id);
    }
}

// --- 2. A stream, as hyper reads and writes it --------------------------------------------------------------------

#[derive(Debug)]
struct Tcp {
    stream: TcpStream,
    token: Token,
}

impl Tcp {
    fn new(mut stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let token = Executor::get().register(&mut stream)?;
        Ok(Self { stream, token })
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        Executor::get().deregister(&mut self.stream, self.token);
    }
}

impl hyper::rt::Read for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper's buffer may be uninitialised, which only unsafe code reads into.
        let mut buffer = [0; 16 << 10];
        let room = into.remaining().min(buffer.len());
        let (token, stream) = (self.token, &mut self.stream);
        let read =
            Executor::get().try_io(token, Direction::Read, context, || stream.read(&mut buffer[..room]));
        read.map_ok(|bytes| into.put_slice(&buffer[..bytes]))
    }
}

impl hyper::rt::Write for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (token, stream) = (self.token, &mut self.stream);
        Executor::get().try_io(token, Direction::Write, context, || stream.write(data))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is the kernel's already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

// --- 3. A listening socket ----------------------------------------------------------------------------------------

#[derive(Debug)]
struct Acceptor {
    listener: TcpListener,
    token: Token,
}

impl Acceptor {
    async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        // Names are looked up on the spot: an adapter for others would let a thread do it.
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the address resolves to nothing");
        for address in address.to_socket_addrs()? {
            match TcpListener::bind(address) {
                Ok(listener) => return Self::over(listener),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn over(mut listener: TcpListener) -> io::Result<Self> {
        let token = Executor::get().register(&mut listener)?;
        Ok(Self { listener, token })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    async fn serve(self, mounted: Mounted) {
        let accept = |context: &mut Context<'_>| {
            Executor::get().try_io(self.token, Direction::Read, context, || self.listener.accept())
        };
        mounted.serve(accept, |stream| ready(Tcp::new(stream))).await;
    }
}

impl TryFrom<std::net::TcpListener> for Acceptor {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::over(TcpListener::from_std(listener))
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        Executor::get().deregister(&mut self.listener, self.token);
    }
}

// --- 4. Connections that a client makes ---------------------------------------------------------------------------

struct Dialer;

impl Dialer {
    fn new(_: ClientTls) -> Self {
        Self
    }
}

impl Dial for Dialer {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let connect = async |address| {
                let tcp = Tcp::new(TcpStream::connect(address)?)?;
                let connected = || match tcp.stream.take_error()? {
                    Some(error) => Err(error),
                    None => match tcp.stream.peer_addr() {
                        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                            Err(io::ErrorKind::WouldBlock.into())
                        }
                        peer => peer,
                    },
                };
                let wait = |context: &mut Context<'_>| {
                    Executor::get().try_io(tcp.token, Direction::Write, context, connected)
                };
                poll_fn(wait).await.map(|_| Box::new(tcp) as _)
            };
            let addresses = (host, port).to_socket_addrs()?;
            connect_to_any(&SingleThread, addresses, connect).await
        })
    }

    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        // For the sake of brevity: a TLS library for blocking streams would do here.
        let error = self.check_secure().err();
        Box::pin(ready(Err(error.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))))
    }

    fn check_secure(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this adapter has no TLS"))
    }
}

// --- 5. The names that an application uses ------------------------------------------------------------------------

sansocket_runtime::adapter! {
    crate: "single_thread",
    runtime: SingleThread,
    addresses: ToSocketAddrs,
    socket: Acceptor,
    dialer: Dialer,
}
