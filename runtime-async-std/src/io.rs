//! futures-io streams as hyper reads and writes them, and the system's streams on async-io's reactor.

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::ReadBufCursor;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The largest number of bytes that one read brings: as many as a session asks for.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    /// The buffer that is read into: hyper's buffers may be uninitialised, and only unsafe code reads into those, so
    /// the bytes are copied from here.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A futures-io stream, for hyper.
#[derive(Debug)]
pub(crate) struct HyperIo<T>(pub(crate) T);

impl<T: AsyncRead + Unpin> hyper::rt::Read for HyperIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Taken and put back: a stream of the host's that reads another one meanwhile finds none, not this one.
        let mut scratch = SCRATCH.take();
        scratch.resize(READ_BYTES, 0);
        let room = into.remaining().min(READ_BYTES);
        let read = Pin::new(&mut self.0).poll_read(context, &mut scratch[..room]);
        if let Poll::Ready(Ok(bytes)) = read {
            into.put_slice(&scratch[..bytes]);
        }
        SCRATCH.set(scratch);
        read.map_ok(drop)
    }
}

impl<T: AsyncWrite + Unpin> hyper::rt::Write for HyperIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        // TCP and rustls both do; what does not would write the first slice only, which is legal.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}

/// A stream of hyper's traits, for TLS over whatever connection there is.
#[cfg(feature = "tls")]
pub(crate) struct FuturesIo(pub(crate) Box<dyn sansocket_runtime::adapter::Stream>);

#[cfg(feature = "tls")]
impl AsyncRead for FuturesIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = hyper::rt::ReadBuf::new(buffer);
        match hyper::rt::Read::poll_read(Pin::new(&mut *self.0), context, buffer.unfilled()) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(feature = "tls")]
impl AsyncWrite for FuturesIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write(Pin::new(&mut *self.0), context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_flush(Pin::new(&mut *self.0), context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_shutdown(Pin::new(&mut *self.0), context)
    }
}

/// A stream of the system's. Unlike async-io's own, closing it tells the peer: it ends the direction that is written to.
#[derive(Debug)]
pub(crate) struct SystemStream<T>(Async<T>);

/// A TCP stream.
pub(crate) type Tcp = SystemStream<TcpStream>;

impl From<Async<TcpStream>> for Tcp {
    fn from(stream: Async<TcpStream>) -> Self {
        // A message that waits for the last one's acknowledgement helps nobody. It fails only for a socket that is
        // gone already.
        let _ = stream.get_ref().set_nodelay(true);
        Self(stream)
    }
}

/// A stream on a Unix socket.
#[cfg(unix)]
pub(crate) type Unix = SystemStream<std::os::unix::net::UnixStream>;

#[cfg(unix)]
impl From<Async<std::os::unix::net::UnixStream>> for Unix {
    fn from(stream: Async<std::os::unix::net::UnixStream>) -> Self {
        Self(stream)
    }
}

/// A stream whose own direction can be ended.
pub(crate) trait EndWriting {
    fn end_writing(&self) -> io::Result<()>;
}

impl EndWriting for TcpStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(unix)]
impl EndWriting for std::os::unix::net::UnixStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl<T> AsyncRead for SystemStream<T>
where
    Async<T>: AsyncRead + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<T: EndWriting> AsyncWrite for SystemStream<T>
where
    Async<T>: AsyncWrite + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is the kernel's already.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().end_writing())
    }
}
