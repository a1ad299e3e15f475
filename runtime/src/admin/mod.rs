//! The admin UI: a server that the page of npm's `@socket.io/admin-ui` can show and command.
//!
//! ```
//! use sansocket_runtime::Server;
//! use sansocket_runtime::admin::{AdminError, AdminOptions};
//!
//! fn watch(io: &Server) -> Result<(), AdminError> {
//!     // Made by `htpasswd -nbB admin secret`, for example.
//!     let password = "$2y$04$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
//!     io.instrument(AdminOptions::basic("admin", password)?)
//! }
//! ```
//!
//! The page is a client of the namespace `/admin`: it is told of servers, namespaces, sockets, rooms and events, and
//! commands the server to emit, and to let sockets join, leave and disconnect. In a cluster, the page of any server shows
//! and commands all of them.

mod any;
mod commands;
mod feed;
mod login;
mod options;
mod statistics;
mod wire;

pub use login::AdminSessions;
pub use options::{AdminError, AdminOptions, Mode};

use crate::Server;
use feed::Feed;
use login::Login;

impl Server {
    /// Opens a namespace for the admin UI: what `instrument()` is in JavaScript and Python. See [`admin`](crate::admin).
    ///
    /// In [`Mode::Development`], which is the default there as here, each event of each socket is shown to every page
    /// that is connected: for a busy server, choose [`Mode::Production`]. While no page is connected, and in no
    /// cluster, nothing is encoded.
    ///
    /// Sockets that are in that namespace already have not logged in, and are disconnected.
    ///
    /// # Errors
    /// [`AdminError::Twice`] if it was called before.
    pub fn instrument(&self, options: AdminOptions) -> Result<(), AdminError> {
        let feed = Feed::new(self, &options);
        if !self.0.set_observer(feed.clone()) {
            return Err(AdminError::Twice);
        }
        let namespace = self.namespace(&options.namespace);
        let login = Login::new(options.auth, options.sessions, self.0.gate.runtime().clone());
        commands::register(&namespace, &feed, login, options.read_only);
        // Nobody who came before has logged in. Those who are about to join are found out as they do.
        namespace.sockets().iter().for_each(crate::Socket::disconnect);
        feed.attach(&namespace);
        // A node of a cluster is shown by the pages of others: it has a runtime that runs.
        #[cfg(feature = "cluster")]
        if self.0.cluster.get().is_some() {
            feed.start();
        }
        Ok(())
    }
}
