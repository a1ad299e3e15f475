//! Tests of applications without a network and in virtual time.
//!
//! The server is the real one with the application's own handlers, and its clients are real clients, so acknowledgements,
//! namespaces, the upgrade and reconnection are those of production. Only the network and the clock are in memory. There
//! are two forms:
//!
//! | form | for | handlers run on |
//! |---|---|---|
//! | [`TestServer`] with [`TestClient`]s | an ordinary `#[test]` that blocks; the test moves the clock | a runtime in the test's own thread |
//! | [`Loopback`] | asynchronous tests (`#[tokio::test]`), with the adapter's own server and client | the adapter's runtime |
//!
//! The first is shorter, and the same at each run. Handlers that sleep or spawn tasks by functions of tokio, or of another
//! runtime, need the second.
//!
//! ```
//! use sansocket_runtime::testing::TestServer;
//! use sansocket_runtime::{Data, EmitError, HubError, Server, Socket};
//! use std::time::Duration;
//!
//! // The application.
//! fn register(io: &Server) {
//!     io.on("enter", async |socket: Socket, Data(room): Data<String>| {
//!         socket.join(&room)?;
//!         Ok::<_, HubError>(socket.rooms().len())
//!     });
//!     io.on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
//!         socket.to(&room).emit("said", &text)
//!     });
//! }
//!
//! // Its test. With an adapter: TestServer::new(|runtime| Server::builder().runtime(runtime).build())
//! let test = TestServer::default();
//! register(test.server());
//! let ada = test.client("/");
//! let bob = test.client("/");
//!
//! let rooms: usize = ada.call("enter", &"kitchen"); // the acknowledgement
//! assert_eq!(rooms, 2); // a socket's id is a room, too
//! bob.emit("enter", &"kitchen");
//! bob.emit("say", &("kitchen", "tea is ready"));
//! assert_eq!(ada.expect::<String>("said"), "tea is ready");
//! bob.expect_nothing();
//!
//! // Bob's network stops without a word, and the heartbeat finds it out.
//! bob.stall_network();
//! test.advance(Duration::from_secs(60));
//! assert_eq!(test.server().clients_count(), 1);
//! // It works again, and Bob's client comes back by itself.
//! bob.restore_network();
//! test.advance(Duration::from_secs(10));
//! assert!(bob.is_connected());
//! ```

mod client;
#[doc(hidden)]
pub mod echo;
mod loopback;
mod world;

pub use client::{PendingCall, TestClient, TestClientBuilder};
pub use loopback::Loopback;
pub use world::TestRuntime;

use crate::adapter::{Endpoint, Mount, ServerOptions};
use crate::{BuildError, ConnectError, Server, ServerBuilder};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use world::World;

/// A server in memory, and the clock of a test.
///
/// Each call of its methods, and of those of its [`TestClient`]s, returns when everything is at rest: all that could be
/// sent has arrived, and all handlers that could run have run. Time stands still, except in [`advance`](Self::advance),
/// and while a test waits for something that takes time: an acknowledgement, a connection, [`block_on`](Self::block_on).
///
/// See [the module](crate::testing) for an example.
pub struct TestServer<S> {
    server: S,
    endpoint: Endpoint,
    world: Rc<World>,
}

impl<S: Mount> TestServer<S> {
    /// A server that is built on the runtime of the test.
    ///
    /// # Panics
    /// If the server cannot be built.
    ///
    /// ```
    /// # use sansocket_runtime::{BuildError, Server, ServerBuilder, adapter::ServerOptions, testing::TestRuntime};
    /// # type Builder = ServerBuilder<Server, ServerOptions>;
    /// # fn builder(runtime: TestRuntime) -> Builder { Builder::new(runtime) }
    /// use sansocket_runtime::testing::TestServer;
    /// use std::time::Duration;
    ///
    /// // With an adapter: Server::builder().runtime(runtime).ping_interval(..).build()
    /// let test =
    ///     TestServer::new(|runtime| builder(runtime).ping_interval(Duration::from_secs(5)).build());
    /// assert!(test.client("/").is_connected());
    /// ```
    #[track_caller]
    pub fn new(build: impl FnOnce(TestRuntime) -> Result<S, BuildError>) -> Self {
        let world = World::new();
        match build(world.runtime.clone()) {
            Ok(server) => Self { endpoint: server.mount_point(), server, world: Rc::new(world) },
            Err(error) => panic!("the server of the test cannot be built: {error}"),
        }
    }
}

impl<S> TestServer<S> {
    /// Another server in the same world, with the same clock: a second node of a cluster.
    ///
    /// # Panics
    /// If the server cannot be built.
    #[track_caller]
    pub fn beside<T: Mount>(
        &self,
        build: impl FnOnce(TestRuntime) -> Result<T, BuildError>,
    ) -> TestServer<T> {
        let world = self.world.clone();
        match build(world.runtime.clone()) {
            Ok(server) => TestServer { endpoint: server.mount_point(), server, world },
            Err(error) => panic!("the server of the test cannot be built: {error}"),
        }
    }
}

impl Default for TestServer<Server> {
    /// A Socket.IO server with all defaults, of no adapter.
    fn default() -> Self {
        Self::new(|runtime| ServerBuilder::<Server, ServerOptions>::new(runtime).build())
    }
}

impl<S> TestServer<S> {
    /// The server: to register handlers, to emit, to ask for sockets and rooms.
    pub fn server(&self) -> &S {
        &self.server
    }

    /// The runtime of the test.
    pub fn runtime(&self) -> TestRuntime {
        self.world.runtime.clone()
    }

    /// A new network to the server, for clients that the test builds itself.
    pub fn network(&self) -> Loopback {
        Loopback::new(self.endpoint.clone(), None)
    }

    /// A client that has joined a namespace.
    ///
    /// It opens its session by polling and moves to a WebSocket, as clients do by default: a tenth of a second passes.
    ///
    /// # Panics
    /// If it is not let in.
    #[track_caller]
    pub fn client(&self, namespace: &str) -> TestClient {
        self.client_with(namespace, |builder| builder)
    }

    /// The same, with options of the client: auth, headers, query, transports, and so on.
    ///
    /// ```
    /// use sansocket_runtime::{TransportKind, testing::TestServer};
    ///
    /// let test = TestServer::default();
    /// let ada = test.client_with("/", |builder| {
    ///     builder
    ///         .auth(&serde_json::json!({ "token": "abc" }))
    ///         .header("cookie", "session=1")
    ///         .transports([TransportKind::Polling])
    /// });
    /// assert_eq!(ada.transport(), Some(TransportKind::Polling));
    /// ```
    ///
    /// # Panics
    /// If it is not let in, or cannot be built.
    #[track_caller]
    pub fn client_with(
        &self,
        namespace: &str,
        options: impl FnOnce(TestClientBuilder) -> TestClientBuilder,
    ) -> TestClient {
        match self.try_client(namespace, options) {
            Ok(client) => client,
            Err(error) => panic!("the client is not connected to `{namespace}`: {error}"),
        }
    }

    /// The same for a client that may be refused.
    ///
    /// ```
    /// use sansocket_runtime::{ConnectError, Refusal, testing::TestServer};
    ///
    /// let test = TestServer::default();
    /// test.server().namespace("/admin").on_connect(async || Err::<(), _>(Refusal::new("not you")));
    ///
    /// let refused = test.try_client("/admin", |builder| builder);
    /// assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.message() == "not you"));
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn try_client(
        &self,
        namespace: &str,
        options: impl FnOnce(TestClientBuilder) -> TestClientBuilder,
    ) -> Result<TestClient, ConnectError> {
        let client = self.unconnected(namespace, options)?;
        client.try_connect()?;
        Ok(client)
    }

    /// A client that does nothing until [`connect`](TestClient::connect), so that handlers can be registered before.
    ///
    /// # Errors
    /// [`ConnectError`] if the options make no client.
    pub fn unconnected(
        &self,
        namespace: &str,
        options: impl FnOnce(TestClientBuilder) -> TestClientBuilder,
    ) -> Result<TestClient, ConnectError> {
        TestClient::build(self.world.clone(), self.network(), namespace, options)
    }

    /// Lets virtual time pass: heartbeats, timeouts and reconnections happen, each at its time.
    pub fn advance(&self, time: Duration) {
        self.world.advance(time);
    }

    /// The virtual time since the test began.
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// Runs everything until it is at rest. Clients do it themselves; it is needed after something that the test has
    /// done without them, such as [`disconnect`](crate::Socket::disconnect) of the server's socket.
    pub fn settle(&self) {
        self.world.settle();
    }

    /// Awaits a future, of the server for example. Virtual time passes until it is ready.
    ///
    /// # Panics
    /// If the future is not ready after an hour of virtual time, or never will be.
    ///
    /// ```
    /// use sansocket_runtime::testing::TestServer;
    /// use std::time::Duration;
    ///
    /// let test = TestServer::default();
    /// let ada = test.client("/");
    /// test.block_on(test.server().shutdown(Duration::from_secs(1)));
    /// assert!(!ada.is_connected());
    /// ```
    #[track_caller]
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.world.block_on(future)
    }
}

impl<S: fmt::Debug> fmt::Debug for TestServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer")
            .field("server", &self.server)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}
