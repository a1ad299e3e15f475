//! Clusters in virtual time: nodes, scripted peers of other implementations, and a bus with faults.
//!
//! A [`Story`] is made of a seed: who is on the bus and in which dialect, what everybody does, and what fails. [`play`]
//! plays it and judges it. The example `simulate_cluster` does that for as many seeds as you like.
//!
//! | | |
//! |---|---|
//! | nodes | one to four of this crate's, in each dialect, and as bridges |
//! | peers | python-socketio, the classic and the sharded Redis adapter, as scripts that act as those do: they apply what they hear, count subscribers and answers as strictly, and ignore the marks of bridges |
//! | the bus | one order for all, a delay for each way; or publishers whose messages overtake each other |
//! | faults | the bus or one node cut off, told or not; half-open connections; slow ones that are kicked; what arrives twice; programs that crash, and are counted as there for a while; programs that leave; bytes that are no message |
//!
//! # What must hold
//!
//! * Without a fault each broadcast reaches each of its sockets once, and messages of one node arrive in order.
//! * With one, nothing arrives twice but what the bus itself repeats and what bridges copy while they come and go.
//!   Nobody else gets anything.
//! * Each request ends once and by its deadline. Its answers are of sockets that were asked; without faults they are
//!   all there, and the request does not wait for its deadline. The same holds for the requests of peers.
//! * What changes rooms changes them everywhere.
//! * No message is on the bus more often than its bridges need: there are no loops.
//! * Five seconds after the last fault everybody hears everybody.
//! * In the end no request is open, and a node that leaves has unsubscribed from all that it had subscribed to.
//! * Bytes that are no message change nothing but a count, and peers can read all that is sent.
//!
//! Nodes of the default dialect have clients on long-polling besides, behind a balancer that sends each request to the next
//! node:
//!
//! * A request is answered at most once, by the node of its session, and by its deadline.
//! * As long as its session goes on, a client loses nothing and gets nothing twice, in either direction and in order.
//! * Without a fault no session ends.
//! * In the end no such request is open at any node.
//!
//! # Sessions that move
//!
//! [`travel`] plays other stories: two or three nodes on a stream, clients that lose their connections and come back to any of
//! them, and an engine that is slow, refuses, breaks off, repeats itself and cuts the stream off.
//!
//! * No client hears an event twice as long as its session goes on, and those of the stream come in its order.
//! * A session that goes on has heard every event of the stream that was for it, unless its node has told of a gap.
//! * Without faults of the engine, a client that is back in time gets its session back.
//! * In the end no ticket, no search and no deadline is left.

mod act;
mod balanced;
mod bus;
mod judge;
mod member;
mod peer;
mod play;
mod shrink;
mod story;
mod travel;

pub use self::play::{Report, play};
pub use self::shrink::shrink;
pub use self::story::{Act, Fault, Kind, Speech, Step, Story, To};
pub use self::travel::travel;
