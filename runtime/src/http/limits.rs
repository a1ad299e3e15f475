//! All limits of a server in one place, and profiles of them.

use crate::http::options::HttpOptions;
use sansocket_protocol::rate::Rate;
use std::fmt;
use std::time::Duration;

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// All limits of a server, each with the meaning and the default of the builder's method of its name.
        ///
        /// A profile is a beginning: change its fields, or set single limits on the builder afterwards. Limits of the parser,
        /// of connection state recovery and of a cluster are part of their own options.
        ///
        /// ```
        /// use sansocket_runtime::{Limits, adapter};
        /// # type Server = sansocket_runtime::Server;
        /// # type ServerBuilder = sansocket_runtime::ServerBuilder<Server, adapter::ServerOptions>;
        /// # fn run(builder: ServerBuilder) -> Result<(), sansocket_runtime::BuildError> {
        ///
        /// let mut limits = Limits::internet();
        /// limits.max_payload = 1_000_000; // pictures
        /// println!("a stranger costs at most {} bytes", limits.bytes_per_stranger());
        /// let io = builder.limits(&limits).build()?;
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Limits {
            /// The limits with their names, in the order of their definition, and values as a reader would write them.
            pub fn table(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), self.$field.describe(stringify!($field)))),*]
            }
        }
    };
}

limits! {
    /// The largest POST body and WebSocket message, in bytes.
    max_payload: usize,
    /// The attachments of a packet.
    max_attachments: usize,
    /// The namespaces of a connection.
    max_namespaces: usize,
    /// The longest name of a namespace, in bytes.
    max_namespace_name: usize,
    /// The largest `auth` of a CONNECT, in bytes.
    max_auth: usize,
    /// The time that each attachment may take.
    attachment_timeout: Duration,
    /// The rate of CONNECT packets of a connection.
    connect_rate: Option<Rate>,
    /// The refused CONNECT packets of a connection.
    max_refused_connects: usize,
    /// The acknowledgements that are awaited from a client in a namespace.
    max_pending_acks: usize,
    /// The bytes of the answers to one broadcast.
    max_broadcast_answers: usize,
    /// The rooms of a socket.
    max_rooms: usize,
    /// The longest name of a room, in bytes.
    max_room_name: usize,
    /// The dynamic namespaces.
    max_dynamic_namespaces: usize,
    /// The dynamic namespaces of a session.
    max_dynamic_namespaces_per_session: usize,
    /// The sessions.
    max_sessions: usize,
    /// The sessions of an address.
    max_sessions_per_address: Option<usize>,
    /// The rate of handshakes.
    handshake_rate: Option<Rate>,
    /// The rate of handshakes of an address.
    handshake_rate_per_address: Option<Rate>,
    /// The TCP connections of the own listener.
    max_connections: usize,
    /// The TCP connections of an address.
    max_connections_per_address: Option<usize>,
    /// The rate of events of a client in a namespace.
    event_rate: Option<Rate>,
    /// The rate of messages of a session of plain Engine.IO.
    message_rate: Option<Rate>,
    /// The handlers of `on_concurrent` that run at once.
    max_concurrent: usize,
    /// The bytes that may wait for a client.
    send_budget: usize,
    /// The bytes of a client that may wait for handlers.
    receive_budget: usize,
    /// The time for which reading may pause.
    pause_timeout: Duration,
    /// The time from a pong to the next ping.
    ping_interval: Duration,
    /// The time that a pong may take.
    ping_timeout: Duration,
    /// The time to join a first namespace.
    connect_timeout: Duration,
    /// The time that an upgrade, or the opening of a session, may take.
    upgrade_timeout: Duration,
    /// The time that a client has to fetch the rest.
    close_timeout: Duration,
    /// The largest head of a request, in bytes.
    max_head: usize,
    /// The time for the first head of a connection.
    first_head_timeout: Duration,
    /// The time for a later head.
    head_timeout: Duration,
    /// The time between two requests.
    keep_alive_timeout: Duration,
    /// The time for the body of a POST.
    body_timeout: Duration,
    /// The time in which a client must take something of a response.
    write_timeout: Duration,
    /// The time for a TLS handshake.
    tls_timeout: Duration,
}

impl Limits {
    /// Limits for a server that anybody reaches, directly or through a proxy that `client_address` knows: less for each
    /// client, and for each address as much as a large household or a small office needs. Behind a proxy that the server
    /// does not know of, all clients have one address, and most of them would be refused.
    pub fn internet() -> Self {
        let seconds = Duration::from_secs;
        Self {
            max_payload: 100_000,
            max_namespaces: 10,
            max_namespace_name: 128,
            max_auth: 4 << 10,
            attachment_timeout: seconds(10),
            connect_rate: Some(Rate::per_second(2).burst(20)),
            max_refused_connects: 10,
            max_pending_acks: 1000,
            max_broadcast_answers: 16 << 20,
            max_rooms: 100,
            max_room_name: 128,
            max_dynamic_namespaces: 10_000,
            max_dynamic_namespaces_per_session: 10,
            max_sessions: 100_000,
            max_sessions_per_address: Some(200),
            handshake_rate_per_address: Some(Rate::per_second(20).burst(200)),
            max_connections: 100_000,
            max_connections_per_address: Some(400),
            event_rate: Some(Rate::per_second(100).burst(500)),
            message_rate: Some(Rate::per_second(100).burst(500)),
            send_budget: 1 << 20,
            receive_budget: 128 << 10,
            pause_timeout: seconds(30),
            connect_timeout: seconds(10),
            close_timeout: seconds(10),
            max_head: 8 << 10,
            first_head_timeout: seconds(5),
            head_timeout: seconds(5),
            body_timeout: seconds(15),
            write_timeout: seconds(15),
            tls_timeout: seconds(5),
            ..Self::default()
        }
    }

    /// Limits for a server that only programs of one's own reach: large messages, many rooms and namespaces for each of
    /// them, and no rate. The deadlines stay, because a program may hang, too.
    pub fn trusted() -> Self {
        Self {
            max_payload: 16 << 20,
            max_namespaces: 1000,
            max_auth: 64 << 10,
            connect_rate: None,
            max_refused_connects: 1_000_000,
            max_pending_acks: 100_000,
            max_broadcast_answers: 1 << 30,
            max_rooms: 100_000,
            max_dynamic_namespaces: 1_000_000,
            max_dynamic_namespaces_per_session: 1000,
            max_concurrent: 10_000,
            send_budget: 64 << 20,
            receive_budget: 16 << 20,
            max_head: 64 << 10,
            ..Self::default()
        }
    }

    /// The most bytes that a client can make the server hold before it is let into a namespace: a POST and the message of a
    /// WebSocket that it is moving to, both unfinished, the head of its first request and one on the way, and
    /// `max_namespaces` CONNECT packets that handlers are deciding about, each with its `auth`: `connect_rate` bounds how fast
    /// they come, and not how many wait. Together with about 16 KiB for the connection and the session itself, and 2 KiB for
    /// each undecided socket. Each thread holds up to `max_payload` bytes more for a moment, when it moves an unfinished
    /// message to a larger place.
    pub fn bytes_per_stranger(&self) -> u64 {
        let socket = sum([self.max_auth, self.max_namespace_name, 2 << 10]);
        sum([
            16 << 10,
            times(2, self.max_payload),
            times(2, self.max_head),
            times(self.max_namespaces, socket),
        ]) as u64
    }

    /// The most bytes that a client can make the server hold once it was let in, beside those of
    /// [`bytes_per_stranger`](Self::bytes_per_stranger): what waits for it, or a larger single message; what it has sent and
    /// waits for handlers, twice while an acknowledgement is awaited; a packet that waits for its attachments; its rooms.
    /// Its acknowledgements cost about 200 bytes each. What the application keeps for it is not counted.
    pub fn bytes_per_client(&self) -> u64 {
        let packet = times(self.max_attachments.saturating_add(1), self.max_payload);
        let out = self.send_budget.max(self.max_payload).max(packet).max(11_000_000);
        let waiting = times(2, self.receive_budget.max(packet));
        let rooms = times(self.max_rooms, sum([self.max_room_name, 250]));
        sum([out, waiting, packet, rooms, times(self.max_pending_acks, 200)]) as u64
    }

    /// Sets what concerns Engine.IO and HTTP.
    pub(crate) fn set_http(&self, http: &mut HttpOptions) {
        let engine = &mut http.engine;
        engine.max_payload = self.max_payload;
        engine.max_sessions = self.max_sessions;
        engine.max_sessions_per_address = self.max_sessions_per_address;
        engine.handshake_rate = self.handshake_rate;
        engine.handshake_rate_per_address = self.handshake_rate_per_address;
        engine.message_rate = self.message_rate;
        engine.send_budget = self.send_budget;
        engine.receive_budget = self.receive_budget;
        engine.pause_timeout = self.pause_timeout;
        engine.ping_interval = self.ping_interval;
        engine.ping_timeout = self.ping_timeout;
        engine.upgrade_timeout = self.upgrade_timeout;
        engine.close_timeout = self.close_timeout;
        http.connections.in_all = self.max_connections;
        http.connections.per_address = self.max_connections_per_address;
        http.max_head = self.max_head;
        http.deadlines.first_head = self.first_head_timeout;
        http.deadlines.head = self.head_timeout;
        http.deadlines.keep_alive = self.keep_alive_timeout;
        http.deadlines.body = self.body_timeout;
        http.deadlines.write = self.write_timeout;
        http.deadlines.tls = self.tls_timeout;
    }
}

fn sum<const N: usize>(parts: [usize; N]) -> usize {
    parts.into_iter().fold(0, usize::saturating_add)
}

fn times(count: usize, bytes: usize) -> usize {
    count.saturating_mul(bytes)
}

/// A value as a reader would write it.
trait Describe {
    fn describe(&self, name: &str) -> String;
}

impl Describe for usize {
    fn describe(&self, name: &str) -> String {
        let is_bytes = name.contains("budget")
            || name.ends_with("_name")
            || ["max_payload", "max_auth", "max_head", "max_broadcast_answers"].contains(&name);
        match *self {
            bytes if is_bytes && bytes >= 1 << 30 && bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
            bytes if is_bytes && bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
            bytes if is_bytes && bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
            bytes if is_bytes => format!("{} bytes", Grouped(bytes)),
            number => Grouped(number).to_string(),
        }
    }
}

impl Describe for Duration {
    fn describe(&self, _: &str) -> String {
        format!("{} s", self.as_secs_f64())
    }
}

impl Describe for Rate {
    fn describe(&self, _: &str) -> String {
        format!("{} a second, {} at once", self.tokens_per_second(), self.tokens_at_once())
    }
}

impl<T: Describe> Describe for Option<T> {
    fn describe(&self, name: &str) -> String {
        self.as_ref().map_or_else(|| "no limit".to_owned(), |limit| limit.describe(name))
    }
}

/// A number with a comma between thousands, from 10,000 on.
struct Grouped(usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        if digits.len() < 5 {
            return f.write_str(&digits);
        }
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at) % 3 == 0 {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
