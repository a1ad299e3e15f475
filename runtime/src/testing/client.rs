//! The client of a test: one namespace of a real client, whose calls return when everything is at rest.

use super::loopback::Loopback;
use super::world::World;
use crate::adapter::{ClientOptions, Dial};
use crate::{
    Ack, AckError, Client, ClientBuilder, ClientSocket, ConnectError, DisconnectReason, EventName, Received,
    TransportKind,
};
use sansocket_protocol::socket::{Args, ToArgs};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time that a session's move to a WebSocket takes: a server looks every 100 ms whether a poll waits.
const UPGRADE: Duration = Duration::from_millis(100);

/// The builder of a test's clients.
pub type TestClientBuilder = ClientBuilder<Client, ClientOptions>;

/// A client in memory: one namespace of it.
///
/// It records the events that have no handler of their own (`test_client.socket().on(..)`), and the ends of its
/// connections. An expectation that fails panics with what was received instead.
///
/// Its settings are those of a [`Client`] in production, but that the delays of its reconnection are not random. With the
/// last `TestClient` of a connection the connection ends.
pub struct TestClient {
    world: Rc<World>,
    network: Loopback,
    /// Keeps the connection.
    client: Client,
    socket: ClientSocket,
    inbox: Arc<Mutex<Inbox>>,
}

/// The events that have come and were not looked at.
#[derive(Default)]
struct Inbox {
    events: VecDeque<Received>,
    disconnects: Vec<DisconnectReason>,
}

impl TestClient {
    pub(super) fn build(
        world: Rc<World>,
        network: Loopback,
        namespace: &str,
        options: impl FnOnce(TestClientBuilder) -> TestClientBuilder,
    ) -> Result<Self, ConnectError> {
        let no_dialer = |_| -> Arc<dyn Dial> { unreachable!("the client has the network of its test") };
        let address = format!("http://test/{}", namespace.trim_start_matches('/'));
        let builder = TestClientBuilder::new(&address, world.runtime.clone(), no_dialer)
            .dial(network.clone())
            .randomization_factor(0.0);
        let client = options(builder).build()?;
        let socket = client.socket().clone();
        Ok(Self::record(world, network, client, socket))
    }

    /// The client of one namespace, whose events are recorded from now on.
    fn record(world: Rc<World>, network: Loopback, client: Client, socket: ClientSocket) -> Self {
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let received = inbox.clone();
        socket.on_fallback(move |EventName(event): EventName, args: Args, ack: Ack| {
            lock(&received).events.push_back(Received { event, args, ack });
            ready(())
        });
        let ended = inbox.clone();
        socket.on_disconnect(move |reason: DisconnectReason| {
            lock(&ended).disconnects.push(reason);
            ready(())
        });
        Self { world, network, client, socket, inbox }
    }

    /// Another namespace of the same client, on the same connection, to be [connected](Self::connect). Ask once for each
    /// namespace, since each call begins a record of its own.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        let socket = self.socket.namespace(name);
        Self::record(self.world.clone(), self.network.clone(), self.client.clone(), socket)
    }

    /// The client's socket: for handlers, and for whatever a test client has no method for. Its methods do not wait until
    /// everything is at rest; the next method of a test client does.
    pub fn socket(&self) -> &ClientSocket {
        &self.socket
    }

    // --- the connection ---------------------------------------------------------------------------------------

    /// Joins the namespace, for the first time or again.
    ///
    /// # Panics
    /// If it is not let in.
    #[track_caller]
    pub fn connect(&self) {
        if let Err(error) = self.try_connect() {
            panic!("the client is not connected to `{}`: {error}", self.socket.name());
        }
    }

    /// The same for a client that may be refused.
    ///
    /// # Errors
    /// [`ConnectError`].
    #[track_caller]
    pub fn try_connect(&self) -> Result<(), ConnectError> {
        self.world.block_on(self.socket.connect())?;
        if self.socket.transport() == Some(TransportKind::Polling) {
            self.world.advance(UPGRADE);
        }
        Ok(())
    }

    /// Leaves the namespace. With its last namespace the connection ends.
    pub fn disconnect(&self) {
        self.world.settle();
        self.socket.disconnect();
        self.world.settle();
    }

    /// Returns whether it is in the namespace.
    pub fn is_connected(&self) -> bool {
        self.world.settle();
        self.socket.is_connected()
    }

    /// Its id: that of the server's socket, and the name of the room with that socket alone.
    ///
    /// # Panics
    /// If it is not connected.
    #[track_caller]
    pub fn id(&self) -> Arc<str> {
        self.world.settle();
        match self.socket.id() {
            Some(id) => id,
            None => panic!("the client has no id{}", self.describe_connection()),
        }
    }

    /// The transport of the connection; `None` while there is none.
    pub fn transport(&self) -> Option<TransportKind> {
        self.world.settle();
        self.socket.transport()
    }

    /// Takes the reasons for which it was disconnected since the last call.
    pub fn disconnects(&self) -> Vec<DisconnectReason> {
        self.world.settle();
        std::mem::take(&mut lock(&self.inbox).disconnects)
    }

    // --- sending ----------------------------------------------------------------------------------------------

    /// Emits an event. Its handlers have run when this returns, unless they wait for something.
    ///
    /// # Panics
    /// If it cannot be sent: see [`ClientSocket::emit`].
    #[track_caller]
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) {
        self.world.settle();
        if let Err(error) = self.socket.emit(event, args) {
            panic!("`{event}` cannot be emitted: {error}");
        }
        self.world.settle();
    }

    /// Emits an event and returns its acknowledgement. If there is none, virtual time passes.
    ///
    /// # Panics
    /// If no acknowledgement comes in 60 seconds of virtual time, or it is of another type.
    #[track_caller]
    pub fn call<R: DeserializeOwned + 'static>(&self, event: &str, args: &(impl ToArgs + ?Sized)) -> R {
        self.begin_call(event, args).answer()
    }

    /// The same for an event that may not be acknowledged.
    ///
    /// # Errors
    /// [`AckError`].
    #[track_caller]
    pub fn try_call<R: DeserializeOwned + 'static>(
        &self,
        event: &str,
        args: &(impl ToArgs + ?Sized),
    ) -> Result<R, AckError> {
        self.begin_call(event, args).try_answer()
    }

    /// Emits an event whose acknowledgement the test looks at later, after it has played its part in it.
    ///
    /// ```
    /// use sansocket_runtime::testing::TestServer;
    /// use sansocket_runtime::{AckError, Socket};
    /// use std::time::Duration;
    ///
    /// let test = TestServer::default();
    /// test.server().on("order", async |socket: Socket| {
    ///     let milk = socket.emit_with_ack("with milk?", &(), Duration::from_secs(10)).await?;
    ///     Ok::<_, AckError>(if milk.decode()? { "white" } else { "black" })
    /// });
    /// let ada = test.client("/");
    ///
    /// let order = ada.begin_call::<String>("order", &());
    /// ada.expect_event("with milk?").ack(&true).expect("an answer");
    /// assert_eq!(order.answer(), "white");
    /// ```
    pub fn begin_call<R: DeserializeOwned + 'static>(
        &self,
        event: &str,
        args: &(impl ToArgs + ?Sized),
    ) -> PendingCall<R> {
        self.world.settle();
        let answer = Box::pin(self.socket.call(event, args));
        self.world.settle();
        PendingCall { world: self.world.clone(), event: event.to_owned(), answer }
    }

    // --- receiving --------------------------------------------------------------------------------------------

    /// Takes all events that were received and not taken, in order.
    pub fn received(&self) -> Vec<Received> {
        self.world.settle();
        lock(&self.inbox).events.drain(..).collect()
    }

    /// Takes the next event, and returns its argument, or a tuple of several.
    ///
    /// # Panics
    /// If the next event has another name or arguments of another type, or there is none.
    #[track_caller]
    pub fn expect<T: DeserializeOwned>(&self, event: &str) -> T {
        let received = self.expect_event(event);
        match received.decode() {
            Ok(value) => value,
            Err(error) => panic!("the arguments do not fit: {error}\n  received: {}", describe(&received)),
        }
    }

    /// Takes the next event, with its acknowledgement.
    ///
    /// # Panics
    /// If the next event has another name, or there is none.
    #[track_caller]
    pub fn expect_event(&self, event: &str) -> Received {
        self.world.settle();
        let mut inbox = lock(&self.inbox);
        match inbox.events.front() {
            Some(next) if next.event == event => {}
            _ => {
                let received = describe_all(&inbox.events);
                drop(inbox);
                panic!("expected the event `{event}`{}{received}", self.describe_connection());
            }
        }
        inbox.events.pop_front().expect("the event was there")
    }

    /// Takes the first event of that name and returns its argument, or a tuple of several. The events before it stay.
    ///
    /// # Panics
    /// If there is no such event, or its arguments have another type.
    #[track_caller]
    pub fn find<T: DeserializeOwned>(&self, event: &str) -> T {
        self.world.settle();
        let mut inbox = lock(&self.inbox);
        if let Some(at) = inbox.events.iter().position(|received| received.event == event) {
            inbox.events.make_contiguous()[..=at].rotate_right(1);
        }
        drop(inbox);
        self.expect(event)
    }

    /// Makes sure that no event is left that was not taken.
    ///
    /// # Panics
    /// If there is one.
    #[track_caller]
    pub fn expect_nothing(&self) {
        self.world.settle();
        let inbox = lock(&self.inbox);
        if !inbox.events.is_empty() {
            let received = describe_all(&inbox.events);
            drop(inbox);
            panic!("expected no event{received}");
        }
    }

    // --- faults -----------------------------------------------------------------------------------------------

    /// Breaks the client's connections, and refuses new ones until [`restore_network`](Self::restore_network).
    pub fn cut_network(&self) {
        self.world.settle();
        self.network.cut();
        self.world.settle();
    }

    /// Holds back all bytes of this client, in both directions, without telling either side, until
    /// [`restore_network`](Self::restore_network).
    pub fn stall_network(&self) {
        self.world.settle();
        self.network.stall();
    }

    /// Lets the client's network work again. The client comes back by itself, when its delay is over.
    pub fn restore_network(&self) {
        self.network.restore();
        self.world.settle();
    }

    fn describe_connection(&self) -> String {
        if self.socket.is_connected() {
            return String::new();
        }
        let reasons: Vec<_> = lock(&self.inbox).disconnects.iter().map(ToString::to_string).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
        format!(" (it is not connected{reasons})")
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        // An acknowledgement that the server waits for keeps a client going.
        let events = std::mem::take(&mut lock(&self.inbox).events);
        drop(events);
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClient").field(&self.socket).finish()
    }
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

fn describe(received: &Received) -> String {
    let args = &received.args;
    let args: Vec<_> = args.iter().map(|argument| argument.to_json()).collect();
    format!("{} [{}]", received.event, args.join(", "))
}

fn describe_all(events: &VecDeque<Received>) -> String {
    let events: Vec<_> = events.iter().map(|event| format!("\n    {}", describe(event))).collect();
    let events = if events.is_empty() { " nothing".to_owned() } else { events.concat() };
    format!("\n  received:{events}")
}

/// An acknowledgement that a test awaits: see [`TestClient::begin_call`].
#[must_use]
pub struct PendingCall<R> {
    world: Rc<World>,
    event: String,
    answer: Pin<Box<dyn Future<Output = Result<R, AckError>>>>,
}

impl<R> PendingCall<R> {
    /// The acknowledgement. If it has not come, virtual time passes.
    ///
    /// # Panics
    /// If it does not come in time, or is of another type.
    #[track_caller]
    pub fn answer(self) -> R {
        let event = self.event.clone();
        match self.try_answer() {
            Ok(answer) => answer,
            Err(error) => panic!("no acknowledgement of `{event}`: {error}"),
        }
    }

    /// The same where it may not come.
    ///
    /// # Errors
    /// [`AckError`].
    #[track_caller]
    pub fn try_answer(self) -> Result<R, AckError> {
        self.world.block_on(self.answer)
    }
}

impl<R> fmt::Debug for PendingCall<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").field("event", &self.event).finish_non_exhaustive()
    }
}
