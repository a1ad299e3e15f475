//! A world in virtual time, to test protocols in: clients, a server, and links that fail in every way links do.
//!
//! Because the machines of this crate do nothing by themselves, a whole network of them fits into one thread without a
//! socket or a clock: hours pass in milliseconds, and the same seed gives the same run, byte for byte. This module is
//! behind the feature `sim`. It is for the tests of whoever builds on this crate, and it is how the crate tests itself.
//!
//! There are three ways to use it:
//!
//! * [`World`] is the place alone. Bring your own application (an [`App`], which hears what both ends are told and
//!   gives commands), let faults happen by the calls of `World`, and look whether your rules hold.
//! * [`recover`] plays conversations at a server that recovers connections, against an oracle of their own.
//! * [`Scenario::generate`] makes up an application and faults from a seed, and [`run`] plays them against a model of
//!   what a perfect Socket.IO would deliver. [`shrink`] makes one that fails smaller. The example `simulate` does that
//!   for as many seeds as you like. With the feature `record`, `run_recorded` also gives back what each session of the
//!   server was given, to be [replayed](crate::replay) without the scenario.
//!
//! # What can happen
//!
//! | | |
//! |---|---|
//! | links | latency, jitter, bandwidth; each connection in order, connections overtake each other ([`Link`]) |
//! | loss | at any byte, of one connection or of all, told to both ends, to one, or to none ([`Cut`]); what was cut in the middle does not arrive |
//! | silence | a link that stalls and goes on, opens nothing, or refuses ([`World::stall`], [`Cut::down`]) |
//! | ends | readers that stall, handlers that take long, programs that crash, servers that are killed or stand still |
//! | clocks | a client that sleeps, with a clock that goes on or stands still; a clock that is set back or ahead |
//! | proxies | polls that are repeated |
//! | peers | clients of Engine.IO 3 in the same rooms ([`Scenario::mixed`]); raw clients, which poll twice at once, upgrade and never finish, send garbage, never join |
//!
//! # What must hold
//!
//! * On each connection of a socket, what one side emits arrives at the other once, in order and without gaps; what is
//!   lost is lost at the end, and only if the connection was.
//! * Nothing is lost before a disconnect that either side wished for. Events emitted while away arrive in order.
//! * Each acknowledgement is decided once, in time, with the answer to its own event; what is answered was delivered.
//! * An event that must arrive is sent until it is acknowledged or given up, and is first seen in order.
//! * Queues stay within their budgets; no deadline stays in the past; work at one instant is bounded.
//! * A client comes back once it can; both sides say the same of who is connected, and so do the hubs.
//! * Every request is answered; no session outlives its client by more than its timeouts; a closed client is done.
//!
//! # A world of one's own
//!
//! ```
//! use core::time::Duration;
//! use sansocket_protocol::client::{self, Manager};
//! use sansocket_protocol::engine;
//! use sansocket_protocol::random::Random;
//! use sansocket_protocol::server::ServerEvent;
//! use sansocket_protocol::sim::{App, ClientId, Cut, Link, SessionId, World};
//! use sansocket_protocol::socket::AuthSource;
//! use sansocket_protocol::socket::{Parser, ServerSocketEvent};
//! use sansocket_protocol::time::Instant;
//! use std::sync::Arc;
//!
//! /// Lets everybody in, and remembers what was said.
//! #[derive(Default)]
//! struct Chat(Vec<u32>);
//!
//! impl App for Chat {
//!     fn client_event(&mut self, _world: &mut World, _client: ClientId, _event: client::ClientEvent) {}
//!
//!     fn server_event(&mut self, world: &mut World, session: SessionId, event: ServerEvent) {
//!         match event {
//!             ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, .. }) => {
//!                 world.server().accept(session, socket, &namespace).unwrap();
//!             }
//!             ServerEvent::Socket(ServerSocketEvent::Event { args, .. }) => self.0.push(args.get(0).unwrap()),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! let server = engine::EngineServerConfig::default().path("/socket.io");
//! let mut world = World::new(7, Arc::new(server), Arc::default(), true);
//! let engine = engine::EngineClientConfig::default().path("/socket.io");
//! let random = Random::new([1; 32]);
//! let mut manager = Manager::new(Arc::default(), Arc::new(engine), random, Some(Arc::default()));
//! let socket = manager.add("/", AuthSource::None).unwrap();
//! let ada = world.add_client(manager, Link::default());
//! let mut chat = Chat::default();
//!
//! let mut say = |world: &mut World, number: u32| {
//!     let now = world.local(ada);
//!     let frame = Parser::json().event("/", "say", None, &number).unwrap();
//!     world.client(ada).unwrap().emit(now, socket, &frame).unwrap();
//! };
//! world.client(ada).unwrap().connect(Instant::ZERO, socket);
//! say(&mut world, 1);
//! world.run_until(Instant::from_millis(2_000), &mut chat);
//!
//! // The connection breaks, and is down for a minute.
//! world.cut(ada, Cut { down: Duration::from_secs(60), ..Cut::now() });
//! world.run_until(Instant::from_millis(10_000), &mut chat);
//! say(&mut world, 2);
//! world.run_until(Instant::from_millis(80_000), &mut chat);
//! assert_eq!(chat.0, [1, 2]);
//! assert!(world.broken().is_none(), "{}", world.trace().transcript());
//! ```

mod acts;
mod app;
mod client_ends;
#[cfg(feature = "cluster")]
pub mod cluster;
mod coverage;
mod dice;
mod ends;
mod faults;
mod judge;
mod link;
mod model;
mod old;
mod play;
mod raw;
#[cfg(feature = "record")]
mod recordings;
mod recovery;
mod scenario;
mod server;
mod shrink;
mod trace;
mod world;

pub use self::coverage::{Coverage, Situation};
pub use self::dice::Dice;
pub use self::link::{Cut, Link, When};
#[cfg(feature = "record")]
pub use self::play::run_recorded;
pub use self::play::{Outcome, run};
#[cfg(feature = "record")]
pub use self::recordings::Recorded;
pub use self::recovery::{Recoveries, recover};
pub use self::scenario::{Act, Emit, Player, Raw, Scenario, Settings, Step, To};
pub use self::shrink::shrink;
pub use self::trace::Trace;
pub use self::world::{Broken, Heard, World};
pub use crate::sim::server::SimServer;

use crate::client;
use crate::server::ServerEvent;
use crate::time::Instant;

/// A client of a [`World`]: they are numbered from 0 in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub usize);

/// A session at the server of a [`World`]. Never reused, not even after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The application at both ends of a [`World`].
pub trait App {
    /// A client tells something. Commands may be given to anybody.
    fn client_event(&mut self, world: &mut World, client: ClientId, event: client::ClientEvent);

    /// The server tells something of a session. A socket whose end is told leaves its hub after this.
    fn server_event(&mut self, world: &mut World, session: SessionId, event: ServerEvent);

    /// When it wants to be woken next. By default it does not.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// That time has come. [`due`](Self::due) must say another one, or none, after this.
    fn wake(&mut self, world: &mut World) {
        let _ = world;
    }

    /// Something happened, and all that came of it at once was done: the place to look whether all is well.
    fn inspect(&mut self, world: &mut World) {
        let _ = world;
    }
}
