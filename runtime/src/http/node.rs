//! The HTTP of a server that is a node of a cluster: requests that should have gone to another node.

use crate::cluster::Cluster;
use crate::http::gate::Gate;
use sansocket_protocol::engine::{RefusalCode, RequestHead, Response};
use std::sync::Arc;

impl Gate {
    /// The server is a node from now on: the ids of its sessions say which.
    pub(crate) fn join_cluster(&self, cluster: &Arc<Cluster>) {
        self.router().set_mark(cluster.mark());
        let _ = self.cluster.set(cluster.clone());
    }

    /// The other node whose session a refused request names, if it is known.
    pub(super) fn other_node(&self, head: &RequestHead<'_>, reply: &Response) -> Option<Arc<str>> {
        let cluster = self.cluster.get()?;
        reply.refused().filter(|refusal| refusal.code == RefusalCode::UnknownSession)?;
        cluster.owner_of(head.query().session.as_deref()?)
    }
}
