//! The revisions of the protocol.

/// A revision of the Engine.IO protocol, as the parameter `EIO` of each request names it. The revision of a session's
/// first request is that of the session.
///
/// ```
/// use sansocket_protocol::engine::Revision;
///
/// assert_eq!(Revision::parse("4"), Some(Revision::V4));
/// assert_eq!(Revision::parse("5"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revision {
    /// Revision 4, which Socket.IO 3 and 4 use.
    V4,
}

impl Revision {
    /// Returns the revision's number in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "4",
        }
    }

    /// The revision of that number, if it is spoken here.
    pub fn parse(number: &str) -> Option<Self> {
        (number == Self::V4.as_str()).then_some(Self::V4)
    }
}
