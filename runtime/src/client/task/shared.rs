//! The parts of a client that its handles and its task share.

use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::typemap::TypeMap;
use crate::client::engine::Session;
use crate::client::error::ConnectError;
use crate::client::namespace::ClientNamespace;
use crate::client::net::dial::Dial;
use crate::client::net::proxy::Proxies;
use crate::client::socket::ClientSocket;
use crate::client::state::ConnectionEvent;
use crate::client::task::driver::Driver;
use crate::client::task::handle::{ClientHandle, Key, Patience, Waiter};
use crate::handler::error_hook::{DefaultErrorHook, ErrorHook};
use crate::websocket::deflate::shared::SharedDeflate;
use futures_channel::oneshot;
use http::{HeaderMap, HeaderValue};
use sansocket_protocol::client::ServerAddr;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::{AuthSource, SocketKey};
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::task::Waker;

/// A try to reach the server, for [`before_dial`](crate::client::ClientBuilder::before_dial) to look at and to change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// 0 for the first try, then how many came before it in a row.
    pub number: u32,
    /// The address. Its path is not looked at: the namespace stays.
    pub url: String,
    /// The headers of all requests.
    pub headers: HeaderMap,
}

pub(crate) type BeforeDial = Box<dyn Fn(Attempt) -> BoxFuture<Result<Attempt, ConnectError>> + Send + Sync>;
pub(crate) type StateHook = Box<dyn Fn(&ConnectionEvent) + Send + Sync>;

/// The settings of a client.
pub(crate) struct Settings {
    pub(crate) url: ServerAddr,
    /// The address as it was given.
    pub(crate) address: String,
    pub(crate) path: String,
    /// The application's parameters, beside those of the address.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) before_dial: Option<BeforeDial>,
    pub(crate) proxies: Proxies,
    /// The value of `Sec-WebSocket-Protocol`.
    pub(crate) subprotocols: Option<HeaderValue>,
    /// The compression of WebSocket messages, if it is offered.
    pub(crate) deflate: Option<Arc<SharedDeflate>>,
    pub(crate) cookies: bool,
    pub(crate) reliable: bool,
    /// A handler that returns `()` acknowledges.
    pub(crate) acknowledge_unit: bool,
    pub(crate) max_message: usize,
    pub(crate) on_error: Option<ErrorHook<ClientSocket>>,
    pub(crate) on_connection_event: Option<StateHook>,
    pub(crate) state: TypeMap,
    /// The handlers of plain Engine.IO; `None` for Socket.IO.
    pub(crate) session: Option<Session>,
}

pub(crate) struct Shared {
    pub(crate) handle: ClientHandle,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) settings: Settings,
    pub(crate) default_error_hook: DefaultErrorHook,
    namespaces: RwLock<Vec<Arc<ClientNamespace>>>,
    /// The random numbers of the task; taken when it is spawned.
    random: Mutex<Option<Random>>,
    alive: OnceLock<Weak<Alive>>,
}

/// The life of a client: every handle of the application holds it, and with the last one the client ends.
pub(crate) struct Alive(Arc<Shared>);

impl Alive {
    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let shared = self.0.clone();
        let now = shared.handle.now();
        shared.handle.with(|inner| {
            inner.abandoned = true;
            inner.machine.close(now);
        });
    }
}

/// The hold that a socket has on its client: it keeps the client going, unless it is one for the client's last words.
#[derive(Clone)]
pub(crate) enum Lease {
    Lasting(Arc<Alive>),
    LastWords(Arc<Shared>),
}

impl Deref for Lease {
    type Target = Arc<Shared>;

    #[inline]
    fn deref(&self) -> &Arc<Shared> {
        match self {
            Self::Lasting(alive) => &alive.0,
            Self::LastWords(shared) => shared,
        }
    }
}

impl Shared {
    pub(crate) fn new(
        handle: ClientHandle,
        runtime: Arc<dyn Runtime>,
        dial: Arc<dyn Dial>,
        settings: Settings,
        random: Random,
    ) -> (Arc<Self>, Arc<Alive>) {
        let shared = Arc::new(Self {
            handle,
            runtime,
            dial,
            settings,
            default_error_hook: DefaultErrorHook::default(),
            namespaces: RwLock::default(),
            random: Mutex::new(Some(random)),
            alive: OnceLock::new(),
        });
        let alive = Arc::new(Alive(shared.clone()));
        // It was not set before: the client is new.
        let _ = shared.alive.set(Arc::downgrade(&alive));
        (shared, alive)
    }

    /// Spawns the task, if it does not run yet.
    pub(crate) fn start(self: &Arc<Self>) {
        let random = self.random.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(random) = random {
            self.runtime.spawn(Box::pin(Driver::new(self.clone(), random)));
        }
    }

    /// The namespace of that name, which is made if it is new. A missing slash is added.
    pub(crate) fn namespace(&self, name: &str) -> Arc<ClientNamespace> {
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let find = |all: &[Arc<ClientNamespace>]| all.iter().find(|found| *found.name == *name).cloned();
        let found = find(&self.namespaces.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(found) = found {
            return found;
        }
        let (key, parser) = {
            let mut inner = self.handle.lock();
            let known = inner.machine.find(&name);
            let parser = inner.machine.parser();
            (known.or_else(|| inner.machine.add(&name, AuthSource::None).ok()), parser)
        };
        let mut all = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        find(&all).unwrap_or_else(|| {
            let made = Arc::new(ClientNamespace::new(
                name.as_str().into(),
                key,
                parser,
                self.settings.acknowledge_unit,
            ));
            all.push(made.clone());
            made
        })
    }

    pub(crate) fn find(&self, socket: SocketKey) -> Option<Arc<ClientNamespace>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.iter().find(|found| found.key == Some(socket)).cloned()
    }

    /// Keeps the client going while a handler runs, unless the application has let go of the client.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        match self.alive.get().and_then(Weak::upgrade) {
            Some(alive) => Lease::Lasting(alive),
            None => Lease::LastWords(self.clone()),
        }
    }

    /// All that may be connected.
    pub(crate) fn keys(&self) -> Vec<Key> {
        if self.settings.session.is_some() {
            return vec![None];
        }
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.iter().filter(|namespace| namespace.key.is_some()).map(|namespace| namespace.key).collect()
    }

    // --- connecting -------------------------------------------------------------------------------------------

    /// Connects in the background.
    pub(crate) fn connect(self: &Arc<Self>, who: Key) {
        let now = self.handle.now();
        self.handle.with(|inner| inner.connect(now, who));
        self.start();
    }

    /// Waits until it is connected. With [`Patience::NextTry`] it is told to connect.
    pub(crate) fn wait(
        &self,
        who: Key,
        patience: Patience,
    ) -> impl Future<Output = Result<(), ConnectError>> + Send + 'static + use<> {
        let (sender, receiver) = oneshot::channel();
        let now = self.handle.now();
        let outcome = self.handle.with(|inner| {
            if inner.ended {
                return Err(ConnectError::Disconnected);
            }
            if inner.is_connected(who) {
                return Ok(true);
            }
            match patience {
                Patience::NextTry => inner.try_to_connect(now, who),
                Patience::AnyTry => {
                    if let Some(error) = inner.in_vain(who) {
                        return Err(error);
                    }
                }
            }
            // An application that waits again and again, each time for a while, leaves nothing behind.
            inner
                .waiters
                .retain(|waiter| waiter.patience == Patience::NextTry || !waiter.sender.is_canceled());
            let before = inner.before(who);
            inner.waiters.push(Waiter { who, patience, before, sender });
            Ok(false)
        });
        async move {
            match outcome {
                Err(error) => Err(error),
                Ok(true) => Ok(()),
                Ok(false) => receiver.await.unwrap_or(Err(ConnectError::Disconnected)),
            }
        }
    }

    /// Leaves the server.
    pub(crate) fn disconnect(&self, who: Key) {
        let now = self.handle.now();
        let (waiters, ready) = self.handle.with(|inner| {
            inner.disconnect(now, who);
            (inner.take_waiters(|waiter| waiter.who == who), inner.take_ready())
        });
        dismiss(waiters);
        ready.into_iter().for_each(Waker::wake);
    }

    /// Throws away what waits to be sent.
    pub(crate) fn discard(&self, socket: SocketKey) {
        let now = self.handle.now();
        let ready = self.handle.with(|inner| {
            inner.machine.discard(now, socket);
            inner.take_ready()
        });
        ready.into_iter().for_each(Waker::wake);
    }

    /// Ends everything.
    pub(crate) fn close(&self) {
        let now = self.handle.now();
        let (waiters, ready) = self.handle.with(|inner| {
            inner.machine.close(now);
            (inner.take_waiters(|_| true), inner.take_ready())
        });
        dismiss(waiters);
        ready.into_iter().for_each(Waker::wake);
    }
}

fn dismiss(waiters: Vec<Waiter>) {
    for waiter in waiters {
        // Nobody listens if the future was dropped.
        let _ = waiter.sender.send(Err(ConnectError::Disconnected));
    }
}
