//! draft
pub use self::coverage::{Coverage, Situation};
pub use self::dice::Dice;
pub use self::link::{Cut, Link, When};
pub use self::play::{Outcome, run};
pub use self::scenario::{Act, Emit, Player, Raw, Scenario, Settings, Step, To};
pub use self::server::Server;
pub use self::shrink::shrink;
pub use self::trace::Trace;
pub use self::world::{Broken, Heard, World};
use crate::client;
use crate::server::Event;
use crate::time::Instant;

mod coverage;
mod dice;
mod ends;
mod faults;
mod link;
mod model;
mod play;
mod raw;
mod scenario;
mod server;
mod shrink;
mod trace;
mod world;

/// A client of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub usize);

/// A session at the server of a [`World`]. Never reused, not even after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The application at both ends: whoever plays in a [`World`].
pub trait App {
    /// A client tells something. Commands may be given to anybody.
    fn client_event(&mut self, world: &mut World, client: ClientId, event: client::Event);

    /// The server tells something of a session. A socket whose end is told leaves the hub after this.
    fn server_event(&mut self, world: &mut World, session: SessionId, event: Event);

    /// When it wants to be woken next.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// That time has come. It must have another one, or none, after this.
    fn wake(&mut self, world: &mut World) {
        let _ = world;
    }

    /// Something happened, and all that came of it at once was done: the place to look whether all is well.
    fn inspect(&mut self, world: &mut World) {
        let _ = world;
    }
}
