//! The handle of one listener, by which it is removed.

use crate::handler::kind::Kind;
use crate::handler::table::{EventTable, Listener};
use crate::handler::{AnyHandler, SharedHandler};
use std::fmt;
use std::sync::{Arc, Weak};

/// One registered handler of an event, to be removed without the others: what `add_listener` and `prepend_listener`
/// return. Dropping it leaves the handler where it is.
///
/// ```
/// use sansocket_runtime::{Data, ListenerHandle, Server};
///
/// /// A plugin, which takes away what it has brought.
/// struct Spy(ListenerHandle);
///
/// impl Spy {
///     fn new(io: &Server) -> Self {
///         // Before the handlers that are registered already.
///         Self(io.prepend_listener("say", async |Data(text): Data<String>| println!("{text}")))
///     }
///
///     fn stop(self) {
///         self.0.remove();
///     }
/// }
/// ```
pub struct ListenerHandle(Box<dyn FnOnce() -> bool + Send + Sync>);

impl ListenerHandle {
    pub(crate) fn new(remove: impl FnOnce() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(remove))
    }

    /// Removes the handler. If it is running, it runs to its end. Returns false if it was gone before: removed with all
    /// handlers of its event, run once, or dropped with its socket or server.
    pub fn remove(self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for ListenerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenerHandle(..)")
    }
}

/// Which handler it is, without keeping what it has captured.
pub(crate) struct HandlerId<K: Kind>(Weak<dyn AnyHandler<K>>);

impl<K: Kind> HandlerId<K> {
    pub(crate) fn of(handler: &SharedHandler<K>) -> Self {
        Self(Arc::downgrade(handler))
    }

    pub(crate) fn is(&self, handler: &SharedHandler<K>) -> bool {
        Arc::as_ptr(handler).cast::<()>() == self.0.as_ptr().cast()
    }
}

/// A change of a table of handlers.
pub(crate) type Change<'a, K> = dyn FnMut(&mut EventTable<K>) + 'a;

/// Adds a handler of an event to the table that `owner` has, behind the others or before them. `change` lets a function
/// change that table.
pub(crate) fn add_listener<O: Send + Sync + 'static, K: Kind>(
    owner: &Arc<O>,
    event: &str,
    handler: SharedHandler<K>,
    first: bool,
    change: fn(&O, &mut Change<'_, K>),
) -> ListenerHandle {
    let (id, event) = (HandlerId::of(&handler), event.to_owned());
    change(owner, &mut |table| {
        let listener = Listener::in_line(handler.clone());
        if first {
            table.prepend(&event, listener);
        } else {
            table.add(&event, listener);
        }
    });
    let owner = Arc::downgrade(owner);
    ListenerHandle::new(move || {
        let mut removed = false;
        if let Some(owner) = owner.upgrade() {
            change(&owner, &mut |table| removed = table.take_one(&event, &id).is_some());
        }
        removed
    })
}
