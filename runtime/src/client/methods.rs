//! The methods of an adapter's builders of clients: they set the fields of [`ClientOptions`](super::ClientOptions).

/// The methods of an adapter's builder of clients of plain Engine.IO; it keeps its
/// [`ClientOptions`](super::ClientOptions) in `self.options`. Socket.IO has them, too.
#[doc(hidden)]
#[macro_export]
macro_rules! engine_client_builder_methods {
    () => {
        /// The path of the server. Default `/socket.io/`, of plain Engine.IO `/engine.io/`.
        pub fn path(mut self, path: &str) -> Self {
            self.options.path(path);
            self
        }

        /// Adds a parameter to the URL of all requests, beside those of the address.
        pub fn query(mut self, key: &str, value: &str) -> Self {
            self.options.add_query(key, value);
            self
        }

        /// Adds a header to all requests, WebSocket handshakes included.
        pub fn header(mut self, name: &str, value: &str) -> Self {
            self.options.add_header(name, value);
            self
        }

        /// Is asked before each try to reach the server, and may change the address and the headers: for addresses
        /// that move, and tokens that expire. An error counts as a try that failed.
        pub fn before_dial<E, F, Fut>(mut self, before_dial: F) -> Self
        where
            E: ::std::convert::Into<$crate::BoxError>,
            F: Fn($crate::Attempt) -> Fut + Send + Sync + 'static,
            Fut: ::std::future::Future<Output = ::std::result::Result<$crate::Attempt, E>> + Send + 'static,
        {
            self.options.before_dial(before_dial);
            self
        }

        /// The transports, in order: the first one opens the session. Default polling, then WebSocket.
        pub fn transports(
            mut self,
            transports: impl ::std::iter::IntoIterator<Item = $crate::TransportKind>,
        ) -> Self {
            self.options.engine = self.options.engine.transports(transports);
            self
        }

        /// Whether a session that opened by polling moves to WebSocket. Default yes.
        pub fn upgrade(mut self, upgrade: bool) -> Self {
            self.options.engine.upgrade = upgrade;
            self
        }

        /// Whether the next session begins with a WebSocket once one has worked. Default no.
        pub fn remember_upgrade(mut self, remember: bool) -> Self {
            self.options.engine.remember_upgrade = remember;
            self
        }

        /// Whether the next transport is tried if a session cannot be opened with the first. Default no.
        pub fn try_all_transports(mut self, try_all: bool) -> Self {
            self.options.engine.try_all_transports = try_all;
            self
        }

        /// Whether polling requests carry a parameter that never repeats, against caches. Default yes, as `t`.
        pub fn timestamp_requests(mut self, stamp: bool) -> Self {
            self.options.engine.timestamp_requests = stamp;
            self
        }

        /// The name of that parameter.
        pub fn timestamp_param(mut self, name: impl ::std::convert::Into<::std::string::String>) -> Self {
            self.options.engine.timestamp_param = name.into();
            self
        }

        /// Whether a lost connection is made again, and `start` goes on trying. Default yes, with plain Engine.IO
        /// no.
        pub fn reconnection(mut self, reconnection: bool) -> Self {
            self.options.manager.reconnection = reconnection;
            self
        }

        /// How often in a row. Default for ever.
        pub fn reconnection_attempts(mut self, attempts: u32) -> Self {
            self.options.manager.reconnection_attempts = ::std::option::Option::Some(attempts);
            self
        }

        /// The delay before the first of these tries; it doubles with each. Default 1 s.
        pub fn reconnection_delay(mut self, delay: ::std::time::Duration) -> Self {
            self.options.manager.reconnection_delay = delay;
            self
        }

        /// The longest delay. Default 5 s.
        pub fn reconnection_delay_max(mut self, delay: ::std::time::Duration) -> Self {
            self.options.manager.reconnection_delay_max = delay;
            self
        }

        /// The part (0 to 1) by which a delay is moved up or down at random. Default 0.5.
        pub fn randomization_factor(mut self, factor: f64) -> Self {
            self.options.manager.randomization_factor = factor;
            self
        }

        /// How long a session may take to open: the reference's `timeout`. Default 20 s.
        pub fn timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.open_timeout = timeout;
            self
        }

        /// How long a POST may go unanswered. Default 60 s.
        pub fn request_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.request_timeout = timeout;
            self
        }

        /// How long writing what is queued may take once the client is closed or its last handle is gone; what is not
        /// written by then is lost. Default 2 s.
        pub fn close_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.close_timeout = timeout;
            self
        }

        /// The largest message, the largest body of a response, and the most that the attachments of a packet may be
        /// together, that is taken from the server, in bytes.
        /// Default 64 MiB.
        pub fn max_message(mut self, bytes: usize) -> Self {
            self.options.engine.max_message = bytes;
            self
        }

        /// Bytes that may wait for the server: those queued on the connection, and for each namespace by itself those
        /// that wait until it is connected. Default 16 MiB; above it, sending fails.
        pub fn send_budget(mut self, bytes: usize) -> Self {
            self.options.engine.send_budget = bytes;
            self
        }

        /// Bytes of received events or messages that may wait for their handlers. Default 16 MiB; above it, reading
        /// pauses, unless an acknowledgement is awaited, which may lie behind them: then it goes on up to twice as
        /// much, or twice `max_message`, if that is more.
        pub fn receive_budget(mut self, bytes: usize) -> Self {
            self.options.engine.receive_budget = bytes;
            self
        }

        /// Whether cookies that the server sets are sent back, as load balancers with sticky sessions want it.
        /// Default yes.
        pub fn cookies(mut self, cookies: bool) -> Self {
            self.options.cookies(cookies);
            self
        }

        /// A proxy that tunnels by CONNECT, as `http://host:port`, and what it is shown as
        /// `Proxy-Authorization`, if it wants that.
        pub fn proxy(mut self, address: &str, authorization: ::std::option::Option<&str>) -> Self {
            self.options.proxy(address, authorization);
            self
        }

        /// Is told what becomes of the connection: dialling, open, upgraded, lost, given up. It runs in the client's
        /// task, so it must not block.
        pub fn on_connection_event(
            mut self,
            hook: impl Fn(&$crate::ConnectionEvent) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_connection_event(hook);
            self
        }
    };
}

/// The methods of an adapter's builder of Socket.IO clients; it keeps its [`ClientOptions`](super::ClientOptions) in
/// `self.options`.
#[doc(hidden)]
#[macro_export]
macro_rules! client_builder_methods {
    () => {
        $crate::engine_client_builder_methods!();

        /// What the server is shown when the client joins: anything that serializes to an object. For one that
        /// changes, see [`auth_with`]($crate::ClientSocket::auth_with).
        pub fn auth<T: $crate::Serialize + ?::std::marker::Sized>(mut self, auth: &T) -> Self {
            self.options.auth(auth);
            self
        }

        /// How long the server may take to let the client into a namespace. Default 20 s.
        pub fn join_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.sockets.join_timeout = timeout;
            self
        }

        /// Sends every event (but volatile ones) until it is acknowledged: one after the other, again after
        /// `ack_timeout` and with each new connection, at most so many times after the first. Nothing is lost
        /// before that, and the server may see an event more than once. Default off.
        pub fn retries(mut self, retries: u32) -> Self {
            self.options.retries(retries);
            self
        }

        /// How long each try of `retries` may take. Default 10 s.
        pub fn ack_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.sockets.ack_timeout = timeout;
            self
        }

        /// How many acknowledgements may be awaited at once, in each namespace. Default 10,000.
        pub fn max_pending_acks(mut self, acks: usize) -> Self {
            self.options.sockets.max_pending_acks = acks;
            self
        }

        /// The parser of packets, and what they may hold. It replaces what
        /// [`max_attachments`](Self::max_attachments) has set. Default JSON.
        pub fn parser(mut self, parser: $crate::Parser) -> Self {
            self.options.sockets.parser = parser;
            self
        }

        /// How many attachments a received packet may have. Default 10.
        pub fn max_attachments(mut self, attachments: usize) -> Self {
            self.options.sockets.parser.max_attachments = attachments;
            self
        }

        /// A value that handlers get by `State<T>`, cloned: one of each type. An `Arc` makes that cheap.
        pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
            self.options.add_state(state);
            self
        }

        /// Is told what goes wrong in handlers: arguments that do not fit, errors they return, panics. Without it,
        /// and without a subscriber of `tracing` that hears debug messages, each is a line on stderr, up to 100.
        pub fn on_error(
            mut self,
            hook: impl Fn(&$crate::ClientSocket, &$crate::HandlerError) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_error(hook);
            self
        }
    };
}
