//! The stream behind a request for a WebSocket, once HTTP lets go of it.

use crate::base::error::BoxError;
use crate::base::runtime::{Runtime, Stream};
use bytes::Bytes;
use http::Extensions;
use hyper::upgrade::OnUpgrade;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The stream of a request, in a host that does not serve its connections by hyper.
///
/// Such a host puts it among the extensions of a request for a WebSocket before it calls
/// [`Endpoint::respond`](crate::adapter::Endpoint::respond). Once the host has written the response, of status 101, it
/// passes on what the stream writes, and gives the stream what it reads. With any other response the stream is dropped.
/// A host on hyper has no use for it: hyper's own upgrade is found by itself.
#[derive(Clone)]
pub struct HostStream(Arc<Mutex<Option<Box<dyn Stream>>>>);

impl HostStream {
    /// A stream that carries bytes once the host has switched protocols; until then it only waits.
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(stream)))))
    }

    fn take(&self) -> Option<Box<dyn Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for HostStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostStream").finish_non_exhaustive()
    }
}

/// A connection after HTTP, with the bytes that were read ahead.
type Upgraded = (Box<dyn Stream>, Bytes);

/// A connection of HTTP that can keep the response of status 101 back, so that it leaves together with the first bytes of the
/// WebSocket.
pub(crate) trait HoldsBack: Send + Sync {
    /// From now on what HTTP writes is kept, if it is no more than such a response: the next is one.
    fn hold(&self);

    /// The bytes that were kept. Those that are written afterwards are not.
    fn take_held(&self) -> Vec<u8>;
}

/// A stream that is on its way out of HTTP.
pub(crate) enum Switching {
    Hyper(OnUpgrade),
    Host(Option<Box<dyn Stream>>),
    /// One that comes when the test says so.
    #[cfg(any(test, fuzzing))]
    Later(futures_channel::oneshot::Receiver<Box<dyn Stream>>),
}

impl Switching {
    /// The stream of the request with these extensions, if its host can switch protocols.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<Self> {
        let hyper = extensions.remove::<OnUpgrade>().map(Self::Hyper);
        hyper.or_else(|| Some(Self::Host(Some(extensions.remove::<HostStream>()?.take()?))))
    }

    /// Ready with the stream, and with what was read ahead of it, once HTTP has let go of it.
    pub(crate) fn poll(
        &mut self,
        runtime: &Arc<dyn Runtime>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Upgraded, BoxError>> {
        match self {
            Self::Hyper(upgrade) => {
                Pin::new(upgrade).poll(context).map(|upgraded| Ok(runtime.stream(upgraded?)))
            }
            Self::Host(stream) => {
                let stream = stream.take().ok_or_else(|| "the stream was taken already".into());
                Poll::Ready(stream.map(|stream| (stream, Bytes::new())))
            }
            #[cfg(any(test, fuzzing))]
            Self::Later(stream) => Pin::new(stream).poll(context).map(|stream| Ok((stream?, Bytes::new()))),
        }
    }
}
