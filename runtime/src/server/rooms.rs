//! One room or several, as arguments of the methods that take rooms.

use std::borrow::Cow;
use std::sync::Arc;

/// One room, or a list of rooms: the argument of `to`, `except`, `join` and `leave`.
///
/// Implemented for strings, and for arrays, slices and `Vec`s of strings. A type of the application's own may stand for
/// rooms, too:
///
/// ```
/// use sansocket_runtime::{HubError, Rooms, Server, Socket};
///
/// /// The room of all devices of one user.
/// struct User(u64);
///
/// impl Rooms for User {
///     fn each(&self, visit: &mut dyn FnMut(&str)) {
///         visit(&format!("user:{}", self.0));
///     }
/// }
///
/// fn enter(io: &Server, socket: &Socket, channels: &[String]) -> Result<(), HubError> {
///     socket.join(User(7))?;
///     socket.join(channels)?;
///     let _ = io.to(channels).except(["muted", "away"]).emit("entered", socket.id());
///     Ok(())
/// }
/// ```
///
/// **An empty list is no room**: `io.to(rooms)` with an empty list reaches nobody. In JavaScript it reaches everybody.
pub trait Rooms {
    /// Calls `visit` with the name of each room.
    fn each(&self, visit: &mut dyn FnMut(&str));
}

macro_rules! one {
    ($($name:ty),* $(,)?) => {
        $(
            impl Rooms for $name {
                fn each(&self, visit: &mut dyn FnMut(&str)) {
                    visit(self);
                }
            }
        )*
    };
}

one!(str, String, Arc<str>, Box<str>, Cow<'_, str>);

impl<T: Rooms + ?Sized> Rooms for &T {
    fn each(&self, visit: &mut dyn FnMut(&str)) {
        (**self).each(visit);
    }
}

impl<T: Rooms> Rooms for [T] {
    fn each(&self, visit: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| room.each(visit));
    }
}

impl<T: Rooms, const N: usize> Rooms for [T; N] {
    fn each(&self, visit: &mut dyn FnMut(&str)) {
        self.as_slice().each(visit);
    }
}

impl<T: Rooms> Rooms for Vec<T> {
    fn each(&self, visit: &mut dyn FnMut(&str)) {
        self.as_slice().each(visit);
    }
}

/// The names of the rooms.
pub(crate) fn names(rooms: &impl Rooms) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    rooms.each(&mut |room| names.push(room.into()));
    names
}
