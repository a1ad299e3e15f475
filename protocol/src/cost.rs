//! Prices: the bytes that one waiting thing counts for in a budget, beside its own.
//!
//! A budget of bytes alone would let a million empty messages wait for nothing, so each thing that waits has a price:
//! about the memory that it takes.
//!
//! | price | of | in which budget |
//! |---|---|---|
//! | [`SERVER_MESSAGE`] | a message that a server has queued for its client | `send_budget` |
//! | [`CLIENT_MESSAGE`] | a message that a client has queued on its session | `send_budget` of a client |
//! | [`CLIENT_FRAME`] | a frame that a client keeps until it is connected, or until it is acknowledged | the same |
//! | [`EVENT`] | an event, or a message of plain Engine.IO, that waits for the application | `receive_budget`, either end |
//!
//! The bounds on things outside the budgets stand here as well.

/// A message that a server has queued.
pub(crate) const SERVER_MESSAGE: usize = 192;
/// A message that a client has queued. A client has one session, so that its price may be lower.
pub(crate) const CLIENT_MESSAGE: usize = 32;
/// A frame that a client keeps.
pub(crate) const CLIENT_FRAME: usize = 64;
/// An event that waits for the application.
pub(crate) const EVENT: usize = 128;

/// The unused bytes that a queued text may hold: fewer are not worth an allocation of another size, and
/// [`SERVER_MESSAGE`] covers them.
pub(crate) const MOST_SPARE: usize = 128;
/// The bytes that the owner of a session may have been given and not yet written: it is given no more above this.
pub(crate) const WRITE_AHEAD: usize = 64 << 10;
/// A channel takes volatile messages while fewer bytes than this wait for it.
pub(crate) const WRITABLE_BELOW: usize = 64 << 10;
/// A queue that was longer than this is given back to the allocator once it is empty.
pub(crate) const SHRINK_ABOVE: usize = 32;
