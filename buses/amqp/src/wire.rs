//! The connection of the client to a broker, which is made before the client begins, and which can be cut.
//!
//! The client reads and writes on a thread of its own. That, and a task, would stay for good if it could not connect, or if
//! the broker accepted the connection and was silent then.

#[cfg(feature = "tls")]
use crate::tls;
use crate::{AmqpBus, connection::LostError};
use async_compat::Compat;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, Error};
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The most time to connect, and then to open the channel and the queue.
const TIMEOUT: Duration = Duration::from_secs(3);

trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// A stream of bytes, with or without TLS.
pub(crate) struct Wire {
    stream: Pin<Box<dyn Bytes>>,
    cut: Arc<Cut>,
}

/// Cuts its wire when it is dropped.
pub(crate) struct Scissors(Arc<Cut>);

#[derive(Default)]
struct Cut(Mutex<State>);

#[derive(Default)]
struct State {
    is_cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Cut {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once the wire is cut; until then, whoever waits is woken by that.
    fn check(&self, place: fn(&mut State) -> &mut Option<Waker>, context: &Context<'_>) -> io::Result<()> {
        let mut state = self.state();
        if state.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let waker = place(&mut state);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Ok(())
    }
}

impl Drop for Scissors {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_cut = true;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Wire {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self { stream: Box::pin(stream), cut: Arc::default() }
    }

    /// Connects to the broker of an address.
    async fn dial(bus: &AmqpBus) -> Result<Self, LostError> {
        let stream = TcpStream::connect((&*bus.uri.authority.host, bus.uri.authority.port)).await?;
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if bus.uri.scheme == lapin::uri::AMQPScheme::AMQPS {
            return Ok(Self::new(Compat::new(tls::handshake(bus, stream).await?)));
        }
        Ok(Self::new(Compat::new(stream)))
    }
}

/// Connects, and lets the client log in. The connection lasts no longer than the second value.
pub(crate) async fn connect(
    bus: &AmqpBus,
    properties: ConnectionProperties,
) -> Result<(Connection, Scissors), LostError> {
    let wire = within(Wire::dial(bus)).await?;
    let scissors = Scissors(wire.cut.clone());
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Wired(Tokio::current())));
    let ready = Mutex::new(Some(wire));
    let take = async move |_, _: Runtime<RuntimeParts<Tokio, Wired>>| {
        // The client asks once: it connects anew only if it is told to.
        let wire = ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gone = || Error::from(io::Error::from(io::ErrorKind::NotConnected));
        wire.map(AsyncTcpStream::Plain).ok_or_else(gone)
    };
    let connecting = Connection::connector(bus.uri.clone(), runtime, take, properties);
    let connection = within(async { Ok(connecting.await?) }).await?;
    Ok((connection, scissors))
}

/// The outcome, if it comes in time.
pub(crate) async fn within<T>(future: impl Future<Output = Result<T, LostError>>) -> Result<T, LostError> {
    tokio::time::timeout(TIMEOUT, future).await.unwrap_or(Err(LostError::Silent))
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.cut.check(|state| &mut state.reader, context)?;
        self.stream.as_mut().poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cut.check(|state| &mut state.writer, context)?;
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check(|state| &mut state.writer, context)?;
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check(|state| &mut state.writer, context)?;
        self.stream.as_mut().poll_close(context)
    }
}

/// Tokio's reactor, with such wires as its connections.
#[derive(Clone, Debug)]
struct Wired(Tokio);

impl Reactor for Wired {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Refuses: sockets of others are of no use here, and the client has none.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Wire, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        let connecting = TcpStream::connect(address);
        async move { Ok(Wire::new(Compat::new(connecting.await?))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wire_that_is_cut_wakes_its_reader_and_fails() {
        let (one, _other) = tokio::io::duplex(64);
        let mut wire = Wire::new(Compat::new(one));
        let scissors = Scissors(wire.cut.clone());
        let reading = tokio::spawn(async move {
            let mut into = [0; 8];
            let read =
                std::future::poll_fn(|context| Pin::new(&mut wire).poll_read(context, &mut into)).await;
            (read, wire)
        });
        tokio::task::yield_now().await;
        assert!(!reading.is_finished());
        drop(scissors);
        let (read, mut wire) = reading.await.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        let written = std::future::poll_fn(|context| Pin::new(&mut wire).poll_write(context, b"x")).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
