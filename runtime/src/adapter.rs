//! The types that every adapter offers under its own name, written once.
//!
//! They are newtypes made by a macro, and not types with a parameter for the runtime: so an application writes
//! `Server` wherever it needs one, and what it sees in the documentation is what it writes.

/// Makes an adapter's `Server`, `ServerBuilder`, `EngineServer`, `EngineServerBuilder`, `Listener`, `Client`,
/// `ClientBuilder`, `EngineClient` and `EngineClientBuilder`.
///
/// * `crate`: the adapter's name, for the examples in the documentation.
/// * `runtime`: what servers run on unless their builder is told otherwise; it implements
///   [`Runtime`](crate::Runtime).
/// * `addresses`: the trait of what can be bound.
/// * `socket`: a listening socket, with these functions, none of them public:
///   `async fn bind(impl addresses) -> io::Result<Self>`, `fn local_addr(&self) -> io::Result<SocketAddr>`,
///   `async fn serve(self, Mounted)`, and with the adapter's feature `tls` also
///   `async fn serve_tls(self, Mounted, Arc<rustls::ServerConfig>)`.
/// * `dialer`: what makes a client's connections: it implements [`Dial`](crate::Dial) and `Default`, and with the
///   adapter's feature `tls` it has a field `tls: Option<Arc<rustls::ClientConfig>>`.
/// * `tls`: the types `rustls::ServerConfig` and `rustls::ClientConfig`, named only with the adapter's feature `tls`.
///   An adapter without such a feature leaves them out.
#[doc(hidden)]
#[macro_export]
macro_rules! adapter {
    (
        crate: $name:literal, runtime: $runtime:expr, addresses: $addresses:path, socket: $socket:ty,
        dialer: $dialer:ty $(, tls: $tls:ty, $client_tls:ty)? $(,)?
    ) => {
        /// A Socket.IO server. Cheap to clone; usable in handlers and outside.
        ///
        /// Its namespaces, broadcasts and so on are methods of [`sansocket_runtime::Server`], to which it
        /// dereferences.
        #[derive(Clone, Debug)]
        pub struct Server($crate::Server);

        /// Builds a [`Server`]. The defaults are those of the JavaScript server.
        #[must_use]
        pub struct ServerBuilder {
            options: $crate::Options,
            runtime: ::std::sync::Arc<dyn $crate::Runtime>,
        }

        impl Server {
            /// A builder with the defaults, at the path `/socket.io/`.
            pub fn builder() -> ServerBuilder {
                ServerBuilder {
                    options: $crate::Options::new("/socket.io"),
                    runtime: ::std::sync::Arc::new($runtime),
                }
            }
        }

        impl ServerBuilder {
            $crate::server_builder_methods!();

            /// Builds the server. It serves nothing until it listens or is mounted.
            ///
            /// # Errors
            /// [`BuildError`]($crate::BuildError).
            pub fn build(self) -> ::std::result::Result<Server, $crate::BuildError> {
                self.options.build(self.runtime).map(Server)
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
        pub struct EngineServer($crate::engine::EngineServer);

        /// Builds an [`EngineServer`]. The defaults are those of the JavaScript server.
        #[must_use]
        pub struct EngineServerBuilder {
            options: $crate::Options,
            handlers: $crate::engine::EngineHandlers,
            runtime: ::std::sync::Arc<dyn $crate::Runtime>,
        }

        impl EngineServer {
            /// A builder with the defaults, at the path `/engine.io/`.
            pub fn builder() -> EngineServerBuilder {
                EngineServerBuilder {
                    options: $crate::Options::new("/engine.io"),
                    handlers: ::std::default::Default::default(),
                    runtime: ::std::sync::Arc::new($runtime),
                }
            }
        }

        impl EngineServerBuilder {
            $crate::engine_builder_methods!();
            $crate::message_builder_methods!();
            $crate::engine_handler_methods!($crate::engine::EngineSocket);

            /// Builds the server. It serves nothing until it listens or is mounted.
            ///
            /// # Errors
            /// [`BuildError`]($crate::BuildError).
            pub fn build(self) -> ::std::result::Result<EngineServer, $crate::BuildError> {
                $crate::engine::EngineServer::build(self.options, self.handlers, self.runtime)
                    .map(EngineServer)
            }
        }

        $crate::adapter! { @both $addresses, Server, $crate::Server, ServerBuilder }
        $crate::adapter! { @both $addresses, EngineServer, $crate::engine::EngineServer, EngineServerBuilder }

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

        /// Builds a [`Client`]. The defaults are those of the JavaScript client.
        #[must_use]
        pub struct ClientBuilder {
            options: $crate::ClientOptions,
            runtime: ::std::sync::Arc<dyn $crate::Runtime>,
            dialer: $dialer,
            dial: ::std::option::Option<::std::sync::Arc<dyn $crate::Dial>>,
        }

        impl Client {
            /// A builder for a client of the server at that address: `http://`, `https://`, `ws://` or `wss://`. As
            /// in the reference its path names the namespace, and its query goes into the URL of every request.
            pub fn builder(address: &str) -> ClientBuilder {
                ClientBuilder {
                    options: $crate::ClientOptions::new(address),
                    runtime: ::std::sync::Arc::new($runtime),
                    dialer: ::std::default::Default::default(),
                    dial: None,
                }
            }
        }

        impl ClientBuilder {
            $crate::client_builder_methods!();

            /// Builds the client. It does nothing until it is told to connect, which must be inside of its runtime.
            ///
            /// # Errors
            /// [`ClientBuildError`]($crate::ClientBuildError).
            pub fn build(self) -> ::std::result::Result<Client, $crate::ClientBuildError> {
                let dialer = self.dialer;
                let dial = self.dial.unwrap_or_else(|| ::std::sync::Arc::new(dialer));
                self.options.build(self.runtime, dial).map(Client)
            }
        }

        /// A client of plain Engine.IO: a session that opens, exchanges messages, and closes. Cheap to clone; with its
        /// last handle the session is closed.
        ///
        /// Whatever it does is a method of [`EngineClientSocket`]($crate::EngineClientSocket), to which it
        /// dereferences. A session that is lost stays lost, unless
        /// [`reconnection`](EngineClientBuilder::reconnection) is set.
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

        /// Builds an [`EngineClient`]. The defaults are those of the JavaScript client.
        #[must_use]
        pub struct EngineClientBuilder {
            options: $crate::ClientOptions,
            handlers: $crate::engine::EngineHandlers<$crate::EngineClientSocket>,
            runtime: ::std::sync::Arc<dyn $crate::Runtime>,
            dialer: $dialer,
            dial: ::std::option::Option<::std::sync::Arc<dyn $crate::Dial>>,
        }

        impl EngineClient {
            /// A builder for a client of the server at that address: `http://`, `https://`, `ws://` or `wss://`. Its
            /// query goes into the URL of every request. As in the reference its path does not count: see
            /// [`path`](EngineClientBuilder::path).
            pub fn builder(address: &str) -> EngineClientBuilder {
                EngineClientBuilder {
                    options: $crate::ClientOptions::engine(address),
                    handlers: ::std::default::Default::default(),
                    runtime: ::std::sync::Arc::new($runtime),
                    dialer: ::std::default::Default::default(),
                    dial: None,
                }
            }
        }

        impl EngineClientBuilder {
            $crate::engine_client_builder_methods!();
            $crate::engine_handler_methods!($crate::EngineClientSocket);

            /// Builds the client. It does nothing until it is told to connect, which must be inside of its runtime.
            ///
            /// # Errors
            /// [`ClientBuildError`]($crate::ClientBuildError).
            pub fn build(self) -> ::std::result::Result<EngineClient, $crate::ClientBuildError> {
                let dialer = self.dialer;
                let dial = self.dial.unwrap_or_else(|| ::std::sync::Arc::new(dialer));
                self.options.build_engine(self.handlers, self.runtime, dial).map(EngineClient)
            }
        }

        $crate::adapter! { @client Client, $crate::Client, ClientBuilder $(, $client_tls)? }
        $crate::adapter! {
            @client EngineClient, $crate::EngineClientSocket, EngineClientBuilder $(, $client_tls)?
        }

        /// Listens on one address for one or more servers, each under its own path.
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
        /// Its tasks run on the runtime of the first server that is mounted.
        #[derive(Debug)]
        #[must_use]
        pub struct Listener {
            socket: $socket,
            mounted: $crate::Mounted,
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

            /// The address that it is bound to.
            ///
            /// # Errors
            /// If the system does not tell.
            pub fn local_addr(&self) -> ::std::io::Result<::std::net::SocketAddr> {
                self.socket.local_addr()
            }

            /// Serves a server under its path. Of several that match, the first mounted answers.
            pub fn mount(mut self, server: &impl $crate::Mount) -> Self {
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
                /// Serves TLS. The configuration's ALPN protocols must not offer `h2`: WebSockets upgrade from
                /// HTTP/1.1.
                #[cfg(feature = "tls")]
                pub fn tls(mut self, config: ::std::sync::Arc<$tls>) -> Self {
                    self.tls = Some(config);
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

    (@client $client:ident, $inner:ty, $builder:ident $(, $client_tls:ty)?) => {
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

        impl $builder {
            /// Makes connections in a way of the application's own: over Unix sockets, a test network, another TLS.
            pub fn dial(mut self, dial: impl $crate::Dial) -> Self {
                self.dial = Some(::std::sync::Arc::new(dial));
                self
            }

            $(
                /// The TLS of `https` and `wss`: roots, certificates of the client, and so on. Its ALPN protocols
                /// must not offer `h2`: WebSockets upgrade from HTTP/1.1. Without one, the feature
                /// `platform-verifier` trusts what the system trusts; without that feature, such addresses cannot
                /// be reached.
                #[cfg(feature = "tls")]
                pub fn tls(mut self, config: ::std::sync::Arc<$client_tls>) -> Self {
                    self.dialer.tls = Some(config);
                    self
                }
            )?

            /// Runs the client on another runtime than this crate's default: its task and its timers. Its
            /// connections are this crate's all the same.
            pub fn runtime(mut self, runtime: impl $crate::Runtime) -> Self {
                self.runtime = ::std::sync::Arc::new(runtime);
                self
            }
        }

        impl ::std::fmt::Debug for $builder {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($builder)).field("options", &self.options).finish_non_exhaustive()
            }
        }

        impl ::std::ops::Deref for $client {
            type Target = $inner;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };

    (@both $addresses:path, $server:ident, $inner:ty, $builder:ident) => {
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

        impl $builder {
            /// Runs the server on another runtime than this crate's default: its tasks and its timers. Its
            /// listener is this crate's all the same.
            pub fn runtime(mut self, runtime: impl $crate::Runtime) -> Self {
                self.runtime = ::std::sync::Arc::new(runtime);
                self
            }
        }

        impl ::std::fmt::Debug for $builder {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($builder)).field("options", &self.options).finish_non_exhaustive()
            }
        }

        impl ::std::ops::Deref for $server {
            type Target = $inner;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl $crate::Mount for $server {
            fn mount_point(&self) -> $crate::Endpoint {
                self.endpoint()
            }
        }
    };
}

/// The methods of an adapter's Engine.IO builders that take handlers, which get that type; they keep them in
/// `self.handlers`.
#[doc(hidden)]
#[macro_export]
macro_rules! engine_handler_methods {
    ($socket:ty) => {
        /// Runs when a session opens, before its first message is handled.
        pub fn on_open<F, Fut>(mut self, handler: F) -> Self
        where
            F: Fn($socket) -> Fut + Send + Sync + 'static,
            Fut: ::std::future::Future<Output = ()> + Send + 'static,
        {
            self.handlers = self.handlers.on_open(handler);
            self
        }

        /// Runs for each message. Those of one session are handled one after the other.
        pub fn on_message<F, Fut>(mut self, handler: F) -> Self
        where
            F: Fn($socket, $crate::engine::Message) -> Fut + Send + Sync + 'static,
            Fut: ::std::future::Future<Output = ()> + Send + 'static,
        {
            self.handlers = self.handlers.on_message(handler);
            self
        }

        /// Runs when a session has closed.
        pub fn on_close<F, Fut>(mut self, handler: F) -> Self
        where
            F: Fn($socket, $crate::DisconnectReason) -> Fut + Send + Sync + 'static,
            Fut: ::std::future::Future<Output = ()> + Send + 'static,
        {
            self.handlers = self.handlers.on_close(handler);
            self
        }
    };
}
