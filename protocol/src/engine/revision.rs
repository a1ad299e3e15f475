//! The revisions of the protocol.

/// A revision of the Engine.IO protocol, as the parameter `EIO` of each request names it. The revision of a session's
/// first request is that of the session.
///
/// ```
/// use sansocket_protocol::engine::Revision;
///
/// assert_eq!(Revision::of(Some("4")), Revision::V4);
/// assert_eq!(Revision::of(None), Revision::V3);
/// assert!(Revision::V3 < Revision::V4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Revision {
    /// Revision 3, which Socket.IO 1.x and 2.x use. A server speaks it where
    /// [`EngineServerConfig::allow_eio3`](super::EngineServerConfig::allow_eio3) says so.
    V3,
    /// Revision 4, which Socket.IO 3 and 4 use.
    V4,
}

impl Revision {
    /// Returns the revision's number in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4 => "4",
        }
    }

    /// The revision that a request speaks whose parameter `EIO` has that value. Only `4` names revision 4: the first
    /// clients of revision 3 did not name theirs at all, and the reference takes everything else for it.
    pub fn of(parameter: Option<&str>) -> Self {
        if parameter == Some(Self::V4.as_str()) { Self::V4 } else { Self::V3 }
    }
}
