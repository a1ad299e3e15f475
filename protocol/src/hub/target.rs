//! The sockets that a message is for, and how it is to be sent: plain data that the application builds and
//! [`Hub::select`](super::Hub::select) resolves.

use alloc::sync::Arc;
use alloc::vec::Vec;

/// A set of sockets in one namespace: a union of rooms minus another union of rooms, and the flags of the message.
///
/// A socket's public id names a room that holds this one socket, so ids and rooms mix freely in both lists. No
/// room at all means every socket of the namespace. "Everyone in the room but me" is the room, except one's own
/// id.
///
/// ```
/// use sansocket_protocol::hub::Target;
///
/// let target = Target::all().to("news").to("sports").except("muted").volatile();
/// assert_eq!(target.rooms.len(), 2);
/// assert_eq!(&*target.except[0], "muted");
/// assert!(target.flags.volatile);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Rooms or socket ids to reach; empty means everyone. Naming one twice has no effect.
    pub rooms: Vec<Arc<str>>,
    /// Rooms or socket ids to leave out, even where `rooms` names them.
    pub except: Vec<Arc<str>>,
    /// The way in which the message is to be sent. Selecting does not look at it.
    pub flags: Flags,
}

impl Target {
    /// Every socket of the namespace, until [`to`](Self::to) narrows it.
    pub fn all() -> Self {
        Self::default()
    }

    /// Adds a room (or a socket id) to reach.
    #[must_use]
    pub fn to(mut self, room: impl Into<Arc<str>>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// Adds a room (or a socket id) to leave out.
    #[must_use]
    pub fn except(mut self, room: impl Into<Arc<str>>) -> Self {
        self.except.push(room.into());
        self
    }

    /// Sets [`Flags::local`].
    #[must_use]
    pub fn local(mut self) -> Self {
        self.flags.local = true;
        self
    }

    /// Sets [`Flags::volatile`].
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// Sets [`Flags::compress`].
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.flags.compress = Some(compress);
        self
    }
}

/// The flags of a broadcast, as in the reference: how its message is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flags {
    /// Only to the sockets of this process, where several share the rooms.
    pub local: bool,
    /// Drop the message, attachments included, for a recipient whose transport cannot take it at once.
    pub volatile: bool,
    /// Whether to compress, where the transport leaves a choice; `None` leaves it to the transport.
    pub compress: Option<bool>,
}
