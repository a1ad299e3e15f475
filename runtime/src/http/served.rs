//! Requests that a shutdown waits for.

use crate::http::gate::Gate;
use bytes::Bytes;
use std::sync::Arc;

/// A request to a session. A shutdown waits until it is dropped.
pub(crate) struct Served(Arc<Gate>);

impl Served {
    pub(crate) fn begin(host: &Arc<Gate>) -> Self {
        host.task_begun();
        Self(host.clone())
    }

    /// The body of its answer. During a shutdown it lasts until HTTP lets go of that: a process that ends once it has
    /// shut down has told its clients so.
    pub(crate) fn until_written(self, body: Bytes) -> Bytes {
        if body.is_empty() || !self.0.closing.is_given() {
            return body;
        }
        Bytes::from_owner(LastWords { body, _served: self })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.task_ended();
    }
}

/// An answer that is given during a shutdown.
struct LastWords {
    body: Bytes,
    _served: Served,
}

impl AsRef<[u8]> for LastWords {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
