//! A process without a server that emits to the clients of a cluster: a worker, a scheduled job.

use crate::base::clock::Clock;
use crate::base::entropy;
use crate::base::error::BoxError;
use crate::base::runtime::{LONGEST, Runtime};
use crate::cluster::handle::{Cluster, NodeApplication};
use crate::cluster::options::{ClusterEvent, ClusterOptions};
use crate::cluster::task::node_task;
use sansocket_protocol::cluster::node::{NodeCounts, ServingId};
use sansocket_protocol::cluster::{Event, InexpressibleError, Message};
use sansocket_protocol::hub::Target;
use sansocket_protocol::socket::{EncodeError, ToArgs};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use thiserror::Error;

/// The time by which the wait for the end is longer than the bus has for it.
const LEAVING: Duration = Duration::from_millis(500);

/// A process without a server that emits to the clients of a cluster, in the dialect of its nodes, and moves and
/// disconnects them. It hears nothing, and the nodes neither count it nor wait for it. Cheap to clone.
///
/// It is about one namespace, first `/`; [`namespace`](Self::namespace) gives it for another.
///
/// ```
/// use sansocket_runtime::adapter::Runtime;
/// use sansocket_runtime::cluster::{ClusterOptions, Emitter, EmitterError, InProcessBus};
/// use std::time::Duration;
///
/// // With an adapter, its runtime: `Emitter::open(Tokio, ..)`, and a bus to other processes.
/// async fn work(runtime: impl Runtime, bus: InProcessBus) -> Result<(), EmitterError> {
///     let emitter = Emitter::open(runtime, ClusterOptions::new(bus)).await?;
///     emitter.to("user 7").emit("progress", &0.5)?;
///     emitter.namespace("/admin").except("night shift").emit("report", &("done", 3))?;
///     emitter.close(Duration::from_secs(5)).await
/// }
/// ```
#[derive(Clone)]
pub struct Emitter {
    inner: Arc<Inner>,
    namespace: Arc<str>,
}

struct Inner {
    cluster: Arc<Cluster>,
    news: Arc<News>,
    /// The refusals of the bus before this emitter was there: of no concern to what is emitted.
    refused_before: OnceLock<u64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cluster.close();
    }
}

type BusHook = Box<dyn Fn(&ClusterEvent) + Send + Sync>;

/// The news about the bus: for the hook, and for the one that waits for it to come up.
#[derive(Default)]
struct News {
    hook: OnceLock<BusHook>,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    reason: Option<Arc<BoxError>>,
    waker: Option<Waker>,
}

impl NodeApplication for News {
    fn message(&self, _: &Arc<Cluster>, _: &str, _: Message, _: Option<ServingId>) {
        // It subscribes to nothing.
    }

    fn news(&self, event: &ClusterEvent) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let ClusterEvent::Down { reason } = event {
            latest.reason.clone_from(reason);
        }
        let waker = latest.waker.take();
        drop(latest);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(hook) = self.hook.get() {
            // Its panic is no reason to lose the bus.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(event)));
        }
    }
}

/// Why an emitter has not emitted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmitterError {
    /// The bus is away. Nothing was sent.
    #[error("nothing was sent: {0}")]
    Away(#[from] BusAway),
    /// The event cannot be encoded, or its name is reserved.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The dialect has no form for it.
    #[error(transparent)]
    Inexpressible(#[from] InexpressibleError),
    /// As much waits for the bus as [`NodeConfig::max_waiting_bytes`](crate::cluster::NodeConfig::max_waiting_bytes)
    /// allows.
    #[error("nothing was sent: more than {limit} bytes would wait for the bus")]
    TooMuch {
        /// The limit.
        limit: usize,
    },
    /// The bus did not take everything before the time was over, or was lost while something waited for it.
    #[error("the bus has not taken everything that was emitted")]
    Unsent,
    /// The bus has refused some of what it was told: by an access rule, or for its size. The log says why.
    #[error("the bus has refused {times} of what it was told: the log says why")]
    Refused {
        /// The number of commands that it has refused since the emitter was opened.
        times: u64,
    },
    /// The system gives no random bytes, of which names are made.
    #[error("the system gives no random bytes")]
    Entropy(#[source] io::Error),
}

/// The state of a bus that is away, with the reason if it said one.
#[derive(Clone, Debug)]
pub struct BusAway(Option<Arc<BoxError>>);

impl fmt::Display for BusAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(reason) => write!(f, "the bus is away: {reason}"),
            None => f.write_str("the bus is away"),
        }
    }
}

impl std::error::Error for BusAway {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|reason| &***reason as &(dyn std::error::Error + 'static))
    }
}

impl Emitter {
    /// Connects to the bus of a cluster, and waits until it is there, for as long as the options'
    /// [`request_timeout`](ClusterOptions::request_timeout). Afterwards it is tried again whenever it is lost.
    ///
    /// # Errors
    /// [`EmitterError::Away`], or [`EmitterError::Entropy`].
    pub async fn open(runtime: impl Runtime, options: ClusterOptions) -> Result<Self, EmitterError> {
        let mut random = entropy::random().map_err(EmitterError::Entropy)?;
        let ClusterOptions { bus, dialect, node, request_timeout, .. } = options;
        let clock = Clock::new(Arc::new(runtime));
        let of_bus = random.fork();
        let news = Arc::new(News::default());
        let cluster = Cluster::emitter(node, dialect, random, clock.clone(), request_timeout);
        clock.runtime().spawn(node_task(cluster.clone(), bus, news.clone(), of_bus));
        let inner = Inner { cluster, news, refused_before: OnceLock::new() };
        let emitter = Self { inner: Arc::new(inner), namespace: "/".into() };
        if !emitter.is_there_within(request_timeout).await {
            return Err(emitter.away().into());
        }
        let _ = emitter.inner.refused_before.set(emitter.inner.cluster.refused_by_bus());
        Ok(emitter)
    }

    async fn is_there_within(&self, time: Duration) -> bool {
        let runtime = self.inner.cluster.runtime();
        let mut timer = runtime.timer(runtime.now() + time.min(LONGEST));
        poll_fn(|context| {
            self.latest().waker = Some(context.waker().clone());
            if self.is_on_bus() {
                return Poll::Ready(true);
            }
            timer.poll_elapsed(context).map(|()| false)
        })
        .await
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.inner.news.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> BusAway {
        BusAway(self.latest().reason.clone())
    }

    /// The same emitter for another namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self { inner: self.inner.clone(), namespace: name.into() }
    }

    /// All sockets of the namespace.
    pub fn broadcast(&self) -> EmitterTarget<'_> {
        EmitterTarget { emitter: self, target: Target::all() }
    }

    /// The sockets in a room, or the socket with that id.
    pub fn to(&self, room: &str) -> EmitterTarget<'_> {
        self.broadcast().to(room)
    }

    /// All sockets but those in a room, or but the one with that id.
    pub fn except(&self, room: &str) -> EmitterTarget<'_> {
        self.broadcast().except(room)
    }

    /// Emits an event to every socket of the namespace.
    ///
    /// # Errors
    /// As for [`EmitterTarget::emit`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitterError> {
        self.broadcast().emit(event, args)
    }

    /// Makes everybody in a room leave it.
    ///
    /// # Errors
    /// [`EmitterError::Away`], [`TooMuch`](EmitterError::TooMuch).
    pub fn close_room(&self, room: &str) -> Result<(), EmitterError> {
        self.send(Message::close_room(room))
    }

    /// Emits an event to the servers, whose handlers for
    /// [`on_server_side`](crate::Namespace::on_server_side) get it. Nobody answers a process that only writes.
    ///
    /// # Errors
    /// As for [`EmitterTarget::emit`]. Python's dialect has no such event.
    pub fn server_side_emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitterError> {
        let event = Event::new(event, args)?;
        self.send(Message::ServerSideEmit { event, request: None })
    }

    /// Sets the hook for news about the bus: that it is lost, and that it is back. The first hook stays. It must not block.
    pub fn on_bus(&self, hook: impl Fn(&ClusterEvent) + Send + Sync + 'static) -> &Self {
        // Setting it twice is a mistake without consequence.
        let _ = self.inner.news.hook.set(Box::new(hook));
        self
    }

    /// Whether the bus is there.
    pub fn is_on_bus(&self) -> bool {
        self.inner.cluster.is_on_bus()
    }

    /// The numbers of messages so far.
    pub fn counts(&self) -> NodeCounts {
        self.inner.cluster.counts()
    }

    /// Closes the emitter, with all of its clones, once the bus has taken everything that was emitted. Without this the
    /// last clone that is dropped closes it, and nobody learns whether everything has left.
    ///
    /// # Errors
    /// [`EmitterError::Unsent`] if that is not so within `limit`, or if the bus was lost earlier while something waited for
    /// it; [`EmitterError::Refused`] if it has refused something. What the bus had taken and not confirmed when its
    /// connection was lost may be lost as well, and is not known.
    pub async fn close(&self, limit: Duration) -> Result<(), EmitterError> {
        let cluster = &self.inner.cluster;
        cluster.set_goodbye(limit);
        cluster.close();
        cluster.left(limit.saturating_add(LEAVING).min(LONGEST)).await;
        if !cluster.has_said_all() {
            return Err(EmitterError::Unsent);
        }
        let before = self.inner.refused_before.get().copied().unwrap_or_default();
        match cluster.refused_by_bus().saturating_sub(before) {
            0 => Ok(()),
            times => Err(EmitterError::Refused { times }),
        }
    }

    fn send(&self, message: Message) -> Result<(), EmitterError> {
        let cluster = &self.inner.cluster;
        if cluster.try_send(&self.namespace, message)? {
            return Ok(());
        }
        if cluster.is_closing() {
            return Err(BusAway(Some(Arc::new("the emitter is closed".into()))).into());
        }
        if self.is_on_bus() {
            return Err(EmitterError::TooMuch { limit: cluster.max_waiting_bytes() });
        }
        Err(self.away().into())
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A selection of a namespace's sockets on all nodes: all, or those in some rooms, minus those in others.
///
/// Python's nodes leave out single sockets only, by their ids, and join, leave and disconnect single sockets only.
#[derive(Clone, Debug)]
#[must_use = "a target does nothing until one of its verbs is called"]
pub struct EmitterTarget<'a> {
    emitter: &'a Emitter,
    target: Target,
}

impl EmitterTarget<'_> {
    /// Adds the sockets in a room. Without any room, all sockets are selected.
    pub fn to(mut self, room: &str) -> Self {
        self.target = self.target.to(room);
        self
    }

    /// Leaves the sockets in a room out.
    pub fn except(mut self, room: &str) -> Self {
        self.target = self.target.except(room);
        self
    }

    /// Skips sockets to which the event could not leave at once.
    pub fn volatile(mut self) -> Self {
        self.target = self.target.volatile();
        self
    }

    /// Sets whether the event may be compressed, where the server and the connection do so. Default yes.
    pub fn compress(mut self, compress: bool) -> Self {
        self.target = self.target.compress(compress);
        self
    }

    /// Emits an event to each socket. It has not left when this returns: [`Emitter::close`] says whether all has.
    ///
    /// # Errors
    /// [`EmitterError`]: it cannot be encoded, the dialect has no form for it, the bus is away or does not keep up.
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitterError> {
        let event = Event::new(event, args)?;
        self.send(|target| Message::Emit { event, target, ack: None })
    }

    /// Makes all of them join a room.
    ///
    /// # Errors
    /// As for [`emit`](Self::emit).
    pub fn join(&self, room: &str) -> Result<(), EmitterError> {
        self.send(|target| Message::Join { target, rooms: vec![room.into()] })
    }

    /// Makes all of them leave a room.
    ///
    /// # Errors
    /// As for [`emit`](Self::emit).
    pub fn leave(&self, room: &str) -> Result<(), EmitterError> {
        self.send(|target| Message::Leave { target, rooms: vec![room.into()] })
    }

    /// Disconnects all of them from the namespace.
    ///
    /// # Errors
    /// As for [`emit`](Self::emit).
    pub fn disconnect(&self) -> Result<(), EmitterError> {
        self.send(|target| Message::Disconnect { target, close: false })
    }

    /// Closes the connections of all of them, whatever other namespaces they are in.
    ///
    /// # Errors
    /// As for [`emit`](Self::emit).
    pub fn close(&self) -> Result<(), EmitterError> {
        self.send(|target| Message::Disconnect { target, close: true })
    }

    fn send(&self, message: impl FnOnce(Target) -> Message) -> Result<(), EmitterError> {
        self.emitter.send(message(self.target.clone()))
    }
}
