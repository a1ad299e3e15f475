//! The verbs of a broadcast as data: operations on the sockets of a target.
//!
//! A command is a value, so that the node of a cluster that makes it can carry it out on its own hub and send it to the
//! others, which do the same.

use super::{Hub, HubError, Joined, Target};
use crate::message::Frame;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// An operation on every socket of a [`Target`].
///
/// ```
/// use sansocket_protocol::hub::{Command, Effect, Hub, HubLimits, Target};
/// use sansocket_protocol::socket::Parser;
///
/// let mut hub = Hub::new(HubLimits::default());
/// hub.insert("ada".into(), 'A')?;
/// hub.insert("bob".into(), 'B')?;
/// hub.apply(&Target::all().except("bob"), &Command::Join { rooms: vec!["chess".into()] })?;
///
/// let frame = Parser::json().event("/", "move", None, &"e4").unwrap();
/// let effect = hub.apply(&Target::all().to("chess"), &Command::Emit { frame, ack: None })?;
/// assert_eq!(effect, Effect::Reached(vec!['A']));
/// # Ok::<(), sansocket_protocol::hub::HubError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// An event is sent to it, as the target's flags say.
    Emit {
        /// The event, encoded once for all.
        frame: Frame,
        /// The id in it, if its acknowledgements are awaited: only connected sockets can give one.
        ack: Option<u64>,
    },
    /// It joins rooms.
    Join {
        /// The rooms.
        rooms: Vec<Arc<str>>,
    },
    /// It leaves rooms.
    Leave {
        /// The rooms.
        rooms: Vec<Arc<str>>,
    },
    /// It is disconnected from the namespace.
    Disconnect,
    /// Its connection is closed, whatever other namespaces that is in.
    Close,
    /// It is told to whoever asks for the sockets.
    Fetch,
}

impl Command {
    /// Returns whether it is about rooms alone, so that the hub carries it out itself.
    pub fn changes_rooms(&self) -> bool {
        match self {
            Self::Join { .. } | Self::Leave { .. } => true,
            Self::Emit { .. } | Self::Disconnect | Self::Close | Self::Fetch => false,
        }
    }
}

/// The result of [`Hub::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect<H> {
    /// The hub has let sockets join.
    Joined(Joined),
    /// The hub has let that many sockets leave, counted for each room.
    Left(usize),
    /// The handles of the sockets that the command is to be carried out on, which is the caller's to do: the hub holds
    /// no connections.
    Reached(Vec<H>),
}

impl<H: Clone> Hub<H> {
    /// Applies a command to a target: carries it out if it is about rooms, and else tells on which sockets it is to be.
    ///
    /// # Errors
    /// [`HubError::RoomNameTooLong`] for [`Command::Join`], and then nobody joined.
    pub fn apply(&mut self, target: &Target, command: &Command) -> Result<Effect<H>, HubError> {
        Ok(match command {
            Command::Join { rooms } => Effect::Joined(self.join_all(target, rooms)?),
            Command::Leave { rooms } => Effect::Left(self.leave_all_in(target, rooms)),
            Command::Emit { .. } | Command::Disconnect | Command::Close | Command::Fetch => {
                Effect::Reached(self.reached(target))
            }
        })
    }

    /// The handles of the sockets that a command which does not [change rooms](Command::changes_rooms) is to be carried
    /// out on: [`apply`](Self::apply) for a caller that has the hub for reading alone.
    pub fn reached(&self, target: &Target) -> Vec<H> {
        let mut reached = Vec::with_capacity(if target.rooms.is_empty() { self.len() } else { 16 });
        self.select(target, |_, handle| reached.push(handle.clone()));
        reached
    }
}
