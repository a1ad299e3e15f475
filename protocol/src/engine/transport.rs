//! The ways to carry a session.

/// A way to carry a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// HTTP long-polling: works wherever HTTP does.
    Polling,
    /// One WebSocket.
    WebSocket,
}

impl TransportKind {
    /// Returns the transport's name in URLs and handshakes: `polling` or `websocket`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }

    /// The transport of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Polling, Self::WebSocket].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The transports that a server takes.
///
/// ```
/// use sansocket_protocol::engine::{TransportKind, Transports};
///
/// assert_eq!(Transports::from_iter([TransportKind::Polling]), Transports::POLLING);
/// assert!(!Transports::WEBSOCKET.contains(TransportKind::Polling));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transports {
    /// HTTP long-polling.
    pub polling: bool,
    /// WebSocket.
    pub websocket: bool,
}

impl Transports {
    /// Both transports: the default.
    pub const ALL: Self = Self { polling: true, websocket: true };
    /// Long-polling alone.
    pub const POLLING: Self = Self { polling: true, websocket: false };
    /// WebSocket alone.
    pub const WEBSOCKET: Self = Self { polling: false, websocket: true };

    /// Returns whether that transport is one of them.
    pub const fn contains(self, kind: TransportKind) -> bool {
        match kind {
            TransportKind::Polling => self.polling,
            TransportKind::WebSocket => self.websocket,
        }
    }
}

impl FromIterator<TransportKind> for Transports {
    fn from_iter<I: IntoIterator<Item = TransportKind>>(kinds: I) -> Self {
        let mut transports = Self { polling: false, websocket: false };
        for kind in kinds {
            match kind {
                TransportKind::Polling => transports.polling = true,
                TransportKind::WebSocket => transports.websocket = true,
            }
        }
        transports
    }
}
