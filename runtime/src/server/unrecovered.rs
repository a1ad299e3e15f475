//! Sessions whose clients do not come back, as the application is told of them.

use crate::base::typemap::TypeMap;
use sansocket_protocol::recovery::{Ended, KeptSession};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The application's values, as they are kept with a session.
pub(crate) struct Values(pub(crate) TypeMap);

impl Values {
    pub(crate) fn of(values: TypeMap) -> Arc<dyn Any + Send + Sync> {
        Arc::new(Self(values))
    }
}

/// A session that cannot be recovered any more: its client did not come back in time, or could not be told what it has
/// missed. For [`Server::on_unrecovered`](crate::Server::on_unrecovered).
pub struct UnrecoveredSession {
    session: KeptSession,
    ended: Ended,
}

impl UnrecoveredSession {
    pub(crate) fn new(session: KeptSession, ended: Ended) -> Self {
        Self { session, ended }
    }

    /// The public id that its socket had.
    pub fn id(&self) -> &str {
        &self.session.sid
    }

    /// The name of its namespace.
    pub fn namespace(&self) -> &str {
        &self.session.namespace
    }

    /// The rooms that its socket was in, without its own id.
    pub fn rooms(&self) -> &[Arc<str>] {
        &self.session.membership.rooms
    }

    /// The value of that type that was kept with its socket.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        values(&self.session)?.0.get()
    }

    /// The reason.
    pub fn reason(&self) -> Ended {
        self.ended
    }
}

impl fmt::Debug for UnrecoveredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnrecoveredSession")
            .field("id", &self.id())
            .field("namespace", &self.namespace())
            .field("reason", &self.ended)
            .finish()
    }
}

pub(crate) fn values(session: &KeptSession) -> Option<&Values> {
    session.data.0.as_deref()?.downcast_ref()
}
