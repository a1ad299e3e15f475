//! Everything that an adapter implements, mounts and calls, and the macro that makes the types which every adapter offers
//! under its own name.
//!
//! | for | see |
//! |---|---|
//! | an async runtime | [`Runtime`], [`Timer`] |
//! | accepting connections | [`Mounted`], [`Mount`]; below them [`Endpoint`] and [`serve_connection`] |
//! | a host that does not serve by hyper | [`Endpoint::respond`], [`HostStream`] |
//! | a stream after its upgrade to WebSocket | [`raw_stream`] |
//! | connections that a client makes | [`Dial`], [`connect_to_any`], [`ClientTls`] |
//!
#![doc = include_str!("../docs/writing-an-adapter.md")]

pub use crate::base::runtime::{BoxFuture, Runtime, Stream, Timer};
pub use crate::base::upgrade::HostStream;
pub use crate::client::{ClientOptions, ClientTls, Dial, connect_to_any};
pub use crate::engine::options::EngineOptions;
pub use crate::handler::message::EngineHandlers;
pub use crate::http::endpoint::{Endpoint, Fallback, serve_connection};
pub use crate::http::handshake::ConnInfo;
pub use crate::http::listener::{Mount, Mounted};
#[cfg(feature = "tls")]
pub use crate::http::tls::listener_tls;
#[cfg(unix)]
pub use crate::http::unix::SocketFile;
pub use crate::http::write_deadline::{WriteDeadline, raw_stream};
pub use crate::server::options::ServerOptions;

/// Makes an adapter's `Server`, `EngineServer`, `Listener`, `Client` and `EngineClient`, and names for their builders.
///
/// They are newtypes made by a macro, and not types with a parameter for the runtime: so an application writes `Server`
/// wherever it needs one, and what it sees in the documentation is what it writes.
///
/// * `crate`: the adapter's name, for the examples in the documentation.
/// * `runtime`: what servers and clients run on unless their builder is told otherwise; it implements
///   [`Runtime`](crate::adapter::Runtime).
/// * `addresses`: the trait of what can be bound.
/// * `socket`: a listening socket, with these functions, which need not be public:
///   `async fn bind(impl addresses) -> io::Result<Self>`, `fn local_addr(&self) -> io::Result<SocketAddr>`,
///   `async fn serve(self, Mounted)`, and with the adapter's feature `tls` also
///   `async fn serve_tls(self, Mounted, Arc<rustls::ServerConfig>)`. It implements `TryFrom<std::net::TcpListener>`.
/// * `dialer`: what makes a client's connections: it implements [`Dial`](crate::adapter::Dial), and has
///   `fn new(ClientTls) -> Self`.
/// * `blocking`: what blocking clients run on: an `io::Result` of a [`Runtime`](crate::adapter::Runtime) with threads of
///   its own. An adapter whose runtime has no threads leaves it out.
/// * `unix`: the type `std::path::Path`. On Unix, `socket` then also has
///   `async fn bind_unix(&Path) -> io::Result<Self>`, for which there is [`SocketFile`](crate::adapter::SocketFile), and
///   implements `TryFrom<std::os::unix::net::UnixListener>`; its address is `0.0.0.0:0` in that case. An adapter without
///   Unix sockets leaves it out.
/// * `tls`: the type `rustls::ServerConfig`, named only with the adapter's feature `tls`, which turns on that of this
///   crate. An adapter without such a feature leaves it out.
#[doc(hidden)]
#[macro_export]
macro_rules! adapter {
    (
        crate: $name:literal, runtime: $runtime:expr, addresses: $addresses:path, socket: $socket:ty,
        dialer: $dialer:ty $(, blocking: $blocking:expr)? $(, unix: $unix:ty)? $(, tls: $tls:ty)? $(,)?
    ) => {
        /// A Socket.IO server. Cheap to clone; usable in handlers and outside.
        ///
        /// Its namespaces, broadcasts and so on are methods of [`sansocket_runtime::Server`], to which it
        /// dereferences.
        #[derive(Clone, Debug)]
        pub struct Server($crate::Server);

        /// A builder of a [`Server`]. Its methods are those of [`sansocket_runtime::ServerBuilder`]. The defaults are
        /// those of the JavaScript server.
        ///
        /// ```
        #[doc = concat!("use ", $name, "::Server;")]
        /// use std::time::Duration;
        ///
        #[doc = concat!("# fn run() -> Result<(), ", $name, "::BuildError> {")]
        /// let io = Server::builder().max_payload(100_000).ping_interval(Duration::from_secs(10)).build()?;
        /// # Ok(()) }
        /// ```
        pub type ServerBuilder = $crate::ServerBuilder<Server, $crate::adapter::ServerOptions>;

        impl Server {
            /// A builder with the defaults, at the path `/socket.io/`.
            pub fn builder() -> ServerBuilder {
                ServerBuilder::new($runtime)
            }
        }

        impl<K: $crate::handler::Kind<Peer = $crate::Socket>> $crate::extract::FromContext<K> for Server {
            fn from_context(
                context: &mut $crate::handler::Context<K>,
            ) -> ::std::result::Result<Self, $crate::HandlerError> {
                <$crate::Server as $crate::extract::FromContext<K>>::from_context(context).map(Self)
            }
        }

        /// A plain Engine.IO server: sessions that open, exchange messages, and close. Cheap to clone.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::{EngineServer, EngineSocket, Message};")]
        ///
        /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
        /// let engine = EngineServer::builder()
        ///     .on_message(async |socket: EngineSocket, message: Message| {
        ///         let _ = socket.send(message);
        ///     })
        ///     .build()?;
        /// engine.listen("127.0.0.1:3000").await?.wait().await;
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Debug)]
        pub struct EngineServer($crate::EngineServer);

        /// A builder of an [`EngineServer`]. Its methods are those of [`sansocket_runtime::ServerBuilder`]. The
        /// defaults are those of the JavaScript server.
        pub type EngineServerBuilder =
            $crate::ServerBuilder<EngineServer, $crate::adapter::EngineOptions>;

        impl EngineServer {
            /// A builder with the defaults, at the path `/engine.io/`.
            pub fn builder() -> EngineServerBuilder {
                EngineServerBuilder::new($runtime)
            }
        }

        /// A Socket.IO client. Cheap to clone; with its last handle the connection is closed.
        ///
        /// It dereferences to what concerns all namespaces ([`sansocket_runtime::Client`]: `status`, `close`,
        /// `closed`), and that to the [`ClientSocket`]($crate::ClientSocket) of the namespace that the address names:
        /// handlers, messages and so on.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::{Client, Data};")]
        ///
        /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
        /// let client = Client::builder("http://localhost:3000").build()?;
        /// client.on("news", async |Data(text): Data<String>| println!("{text}"));
        /// client.connect().await?;
        ///
        /// client.emit("message", &"hello")?;
        /// let count: u32 = client.call("count", &()).await?;
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Debug)]
        pub struct Client($crate::Client);

        /// A builder of a [`Client`]. Its methods are those of [`sansocket_runtime::ClientBuilder`]. The defaults are
        /// those of the JavaScript client.
        pub type ClientBuilder = $crate::ClientBuilder<Client, $crate::adapter::ClientOptions>;

        impl Client {
            /// A builder for a client of the server at that address: `http://`, `https://`, `ws://` or `wss://`. As
            /// in the reference its path names the namespace, and its query goes into the URL of every request.
            pub fn builder(address: &str) -> ClientBuilder {
                ClientBuilder::new(address, $runtime, |tls| ::std::sync::Arc::new(<$dialer>::new(tls)))
            }
        }

        /// A client of plain Engine.IO: a session that opens, exchanges messages, and closes. Cheap to clone; with its
        /// last handle the session is closed.
        ///
        /// Everything it does is a method of [`EngineClientSocket`]($crate::EngineClientSocket), to which it
        /// dereferences. A session that is lost stays lost, unless `reconnection` of its builder is set.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::{EngineClient, Message};")]
        ///
        /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
        /// let client = EngineClient::builder("http://localhost:3000").build()?;
        /// let mut messages = client.messages();
        /// client.connect().await?;
        ///
        /// client.send("hello")?;
        /// while let Some(message) = messages.next().await {
        ///     match message {
        ///         Message::Text(text) => println!("{text}"),
        ///         Message::Binary(bytes) => println!("{} bytes", bytes.len()),
        ///     }
        /// }
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Debug)]
        pub struct EngineClient($crate::EngineClientSocket);

        /// A builder of an [`EngineClient`]. Its methods are those of [`sansocket_runtime::ClientBuilder`]. The
        /// defaults are those of the JavaScript client.
        pub type EngineClientBuilder =
            $crate::ClientBuilder<EngineClient, $crate::adapter::EngineHandlers<$crate::EngineClientSocket>>;

        impl EngineClient {
            /// A builder for a client of the server at that address: `http://`, `https://`, `ws://` or `wss://`. Its
            /// query goes into the URL of every request. Its path does not count, as in the reference: see `path` of
            /// the builder.
            pub fn builder(address: &str) -> EngineClientBuilder {
                EngineClientBuilder::new(address, $runtime, |tls| ::std::sync::Arc::new(<$dialer>::new(tls)))
            }
        }

        $(
            /// The client without async: scripts, threads, tools.
            ///
            /// ```no_run
            #[doc = concat!("use ", $name, "::blocking;")]
            /// use std::time::Duration;
            ///
            /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// // Connected, with all defaults.
            /// let client = blocking::connect("http://localhost:3000")?;
            /// let sum: u32 = client.call("add", &(1, 2))?;
            /// client.emit("sum", &sum)?;
            /// client.close(); // what is queued is written
            ///
            /// // With options, and with the events that the server emits.
            /// let client = blocking::client("http://localhost:3000/chat", |builder| {
            ///     builder.auth(&serde_json::json!({ "token": "abc" }))
            /// })?;
            /// let mut events = client.events(); // before connecting: earlier ones are not kept
            /// client.connect()?;
            /// while let Ok(received) = events.receive(Duration::from_secs(10)) {
            ///     println!("{}: {:?}", received.event, received.args);
            /// }
            /// # Ok(()) }
            /// ```
            pub mod blocking {
                pub use $crate::blocking::{Client, Events, Socket};

                /// A client with all defaults, connected.
                ///
                /// # Errors
                /// [`ConnectError`]($crate::ConnectError).
                pub fn connect(address: &str) -> ::std::result::Result<Client, $crate::ConnectError> {
                    let client = client(address, |builder| builder).map_err($crate::ConnectError::from)?;
                    client.connect()?;
                    Ok(client)
                }

                /// A client with options, to be connected.
                ///
                /// # Errors
                /// [`ClientBuildError`]($crate::ClientBuildError).
                pub fn client(
                    address: &str,
                    options: impl FnOnce(super::ClientBuilder) -> super::ClientBuilder,
                ) -> ::std::result::Result<Client, $crate::ClientBuildError> {
                    let runtime: ::std::io::Result<_> = $blocking;
                    let runtime = runtime.map_err($crate::ClientBuildError::Thread)?;
                    let client = options(super::Client::builder(address).runtime(runtime)).build()?;
                    Ok(Client::new((*client).clone()))
                }
            }
        )?

        $crate::adapter! { @newtype Server, $crate::Server }
        $crate::adapter! { @newtype EngineServer, $crate::EngineServer }
        $crate::adapter! { @newtype Client, $crate::Client }
        $crate::adapter! { @newtype EngineClient, $crate::EngineClientSocket }
        $crate::adapter! { @server $addresses, Server }
        $crate::adapter! { @server $addresses, EngineServer }
        $(
            $crate::adapter! { @unix $unix, Server }
            $crate::adapter! { @unix $unix, EngineServer }
        )?
        $crate::adapter! { @client Client }
        $crate::adapter! { @client EngineClient }

        /// A socket that the application was given, by systemd or by a process that passes it on.
        impl ::std::convert::TryFrom<::std::net::TcpListener> for Listener {
            type Error = ::std::io::Error;

            fn try_from(listener: ::std::net::TcpListener) -> ::std::io::Result<Self> {
                <$socket>::try_from(listener).map(Self::over)
            }
        }

        $( $crate::adapter! { @unix_listener $unix, $socket } )?

        /// A listener on one address, for one or more servers, each under its own path.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::{EngineServer, Listener, Server};")]
        ///
        /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
        /// let io = Server::builder().build()?;
        /// let engine = EngineServer::builder().build()?;
        /// let listening = Listener::bind("127.0.0.1:0").await?.mount(&io).mount(&engine).spawn()?;
        /// println!("listening on {}", listening.local_addr());
        /// listening.wait().await; // until io and engine are shut down
        /// # Ok(()) }
        /// ```
        ///
        /// It listens on TCP ([`bind`](Self::bind)), on a Unix socket (`bind_unix`), or on a socket that the process was
        /// given, such as one of systemd's. For those, the crate `listenfd` reads systemd's variables:
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::{Listener, Server};")]
        ///
        /// # async fn run(given: std::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
        /// let io = Server::builder().build()?;
        /// // let given = listenfd::ListenFd::from_env().take_tcp_listener(0)?.ok_or("no socket was given")?;
        /// Listener::try_from(given)?.mount(&io).spawn()?.wait().await;
        /// # Ok(()) }
        /// ```
        ///
        /// Its tasks run on the runtime of the first server that is mounted.
        #[derive(Debug)]
        #[must_use]
        pub struct Listener {
            socket: $socket,
            mounted: $crate::adapter::Mounted,
            $(
                #[cfg(feature = "tls")]
                tls: Option<::std::sync::Arc<$tls>>,
            )?
        }

        impl Listener {
            /// Binds an address; port 0 takes any that is free.
            ///
            /// # Errors
            /// If that is not possible.
            pub async fn bind(address: impl $addresses) -> ::std::io::Result<Self> {
                Ok(Self::over(<$socket>::bind(address).await?))
            }

            $(
                /// Binds a Unix socket, whose file is there until the listener ends. A file that a process which has
                /// died left behind is replaced.
                ///
                /// Its clients have no address: behind a proxy, `client_address` of the builder reads it from a header.
                /// The file's mode is the process's default, so a folder with the right mode decides which processes
                /// may connect.
                ///
                /// # Errors
                /// If another process listens there, if the file is not a socket, or if the system refuses the path.
                #[cfg(unix)]
                pub async fn bind_unix(path: impl AsRef<$unix>) -> ::std::io::Result<Self> {
                    Ok(Self::over(<$socket>::bind_unix(path.as_ref()).await?))
                }
            )?

            fn over(socket: $socket) -> Self {
                Self {
                    socket,
                    mounted: ::std::default::Default::default(),
                    $(
                        #[cfg(feature = "tls")]
                        tls: None::<::std::sync::Arc<$tls>>,
                    )?
                }
            }

            /// The address that it is bound to. A Unix socket has a path instead: for one, this is `0.0.0.0:0`.
            ///
            /// # Errors
            /// If the system does not tell.
            pub fn local_addr(&self) -> ::std::io::Result<::std::net::SocketAddr> {
                self.socket.local_addr()
            }

            /// Serves a server under its path. Of several that match, the first mounted answers.
            pub fn mount(mut self, server: &impl $crate::adapter::Mount) -> Self {
                self.mounted.add(server);
                self
            }

            /// Answers what is for none of the servers: a page or two. For more than that, take a web framework
            /// and mount the server into it.
            pub fn fallback<F, Fut>(mut self, answer: F) -> Self
            where
                F: Fn($crate::http_types::Request<$crate::Incoming>) -> Fut + Send + Sync + 'static,
                Fut: ::std::future::Future<Output = $crate::http_types::Response<$crate::Bytes>>
                    + Send
                    + 'static,
            {
                self.mounted.fallback(answer);
                self
            }

            $(
                /// Serves TLS. Without the feature `http2`, `h2` among the configuration's ALPN protocols is replaced by
                /// `http/1.1`, from which WebSockets upgrade. With it, both are offered unless the configuration names
                /// some: a browser takes HTTP/2 for polls, and opens WebSockets by HTTP/1.1.
                #[cfg(feature = "tls")]
                pub fn tls(mut self, config: ::std::sync::Arc<$tls>) -> Self {
                    self.tls = Some($crate::adapter::listener_tls(config));
                    self
                }
            )?

            /// Serves in the background until the first of its servers is shut down.
            ///
            /// # Errors
            /// If the system does not tell the bound address.
            pub fn spawn(self) -> ::std::io::Result<$crate::Listening> {
                let local_addr = self.local_addr()?;
                let Self { socket, mounted, .. } = self;
                $(
                    #[cfg(feature = "tls")]
                    if let Some(config) = self.tls {
                        let config: ::std::sync::Arc<$tls> = config;
                        return Ok(mounted.spawn(local_addr, |mounted| socket.serve_tls(mounted, config)));
                    }
                )?
                Ok(mounted.spawn(local_addr, |mounted| socket.serve(mounted)))
            }

            /// Serves until the first of its servers is shut down.
            pub async fn serve(self) {
                $(
                    #[cfg(feature = "tls")]
                    if let Some(config) = self.tls {
                        let config: ::std::sync::Arc<$tls> = config;
                        return self.socket.serve_tls(self.mounted, config).await;
                    }
                )?
                self.socket.serve(self.mounted).await;
            }
        }
    };

    (@unix_listener $unix:ty, $socket:ty) => {
        /// A Unix socket that the application was given. Its file, if any, stays when the listener ends.
        #[cfg(unix)]
        impl ::std::convert::TryFrom<::std::os::unix::net::UnixListener> for Listener {
            type Error = ::std::io::Error;

            fn try_from(listener: ::std::os::unix::net::UnixListener) -> ::std::io::Result<Self> {
                <$socket>::try_from(listener).map(Self::over)
            }
        }
    };

    (@unix $unix:ty, $server:ident) => {
        impl $server {
            /// Listens on a Unix socket, and serves it in the background: see [`Listener::bind_unix`].
            ///
            /// # Errors
            /// If the path cannot be bound.
            #[cfg(unix)]
            pub async fn listen_unix(
                &self,
                path: impl AsRef<$unix>,
            ) -> ::std::io::Result<$crate::Listening> {
                Listener::bind_unix(path).await?.mount(self).spawn()
            }
        }
    };

    (@newtype $name:ident, $inner:ty) => {
        impl ::std::convert::From<$inner> for $name {
            fn from(inner: $inner) -> Self {
                Self(inner)
            }
        }

        impl ::std::ops::Deref for $name {
            type Target = $inner;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };

    (@client $client:ident) => {
        impl $client {
            /// A client with all defaults, connected.
            ///
            /// # Errors
            /// [`ConnectError`]($crate::ConnectError).
            pub async fn connect_to(address: &str) -> ::std::result::Result<Self, $crate::ConnectError> {
                let client = Self::builder(address).build().map_err($crate::ConnectError::from)?;
                client.connect().await?;
                Ok(client)
            }
        }
    };

    (@server $addresses:path, $server:ident) => {
        impl $server {
            /// Listens on an address, port 0 for any, and serves it in the background.
            ///
            /// For more on one port, TLS, or pages beside it, see [`Listener`].
            ///
            /// # Errors
            /// If the address cannot be bound.
            pub async fn listen(&self, address: impl $addresses) -> ::std::io::Result<$crate::Listening> {
                Listener::bind(address).await?.mount(self).spawn()
            }

            /// A tower service that answers whatever reaches it: for `nest_service` and its like, where the host
            /// matches the path.
            pub fn service(&self) -> $crate::ServerService {
                $crate::ServerService::new(self.endpoint())
            }

            /// A tower layer that answers what begins with this server's path, and passes the rest on.
            pub fn layer(&self) -> $crate::ServerLayer {
                $crate::ServerLayer::new(self.endpoint())
            }
        }

        impl $crate::adapter::Mount for $server {
            fn mount_point(&self) -> $crate::adapter::Endpoint {
                self.endpoint()
            }
        }
    };
}
