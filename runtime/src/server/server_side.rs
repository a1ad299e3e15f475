//! Events between the servers of a cluster, which no client sees.

use crate::base::runtime::BoxFuture;
use crate::cluster::Cluster;
use crate::server::namespace::{Namespace, NamespaceInner};
use crate::server::remote::{Incomplete, complete};
use sansocket_protocol::cluster::node::{Answer, Ask, ServingId};
use sansocket_protocol::cluster::{Event, Message, Values};
use sansocket_protocol::socket::{Args, EncodeError, ToArgs};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

type Handler = Arc<dyn Fn(Args) -> BoxFuture<Result<Values, EncodeError>> + Send + Sync>;

/// The handlers of a namespace for events of other nodes.
#[derive(Default)]
pub(crate) struct ServerSide(RwLock<BTreeMap<String, Handler>>);

impl ServerSide {
    /// Drops all handlers, with what they have captured.
    pub(super) fn clear(&self) {
        let handlers = std::mem::take(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner));
        drop(handlers);
    }
}

/// Why the answers of other nodes are not all there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerSideError {
    /// The event cannot be encoded, or its name is reserved. Nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Not all nodes have answered.
    #[error(transparent)]
    Incomplete(#[from] Incomplete<Args>),
}

impl Namespace {
    /// Emits an event to the servers of all other nodes, whose [`on_server_side`](Self::on_server_side) handlers get it.
    /// Without a cluster there are none.
    ///
    /// ```
    /// # use sansocket_runtime::{Args, EncodeError, Server};
    /// fn register(io: &Server) {
    ///     io.root().on_server_side("config", async |args: Args| println!("{args:?} is in force"));
    /// }
    ///
    /// fn reload(io: &Server) -> Result<(), EncodeError> {
    ///     io.root().server_side_emit("config", &("colour", "blue"))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn server_side_emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EncodeError> {
        let event = Event::new(event, args)?;
        if let Some(membership) = &self.0.membership {
            membership.send(Message::ServerSideEmit { event, request: None });
        }
        Ok(())
    }

    /// The same, and collects the answers: one of each other node, in the order in which they come. Resolves when all
    /// have answered, or after the cluster's `request_timeout`. The event is sent by the call, not by the first poll.
    ///
    /// A node without a handler for the event answers with nothing if it is one of ours, and not at all if it is a
    /// JavaScript one.
    pub fn server_side_emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<Vec<Args>, ServerSideError>> + Send + 'static + use<T> {
        let asked = Event::new(event, args).map(|event| {
            self.0.membership.as_ref().map(|membership| {
                let timeout = membership.cluster.request_timeout();
                membership.ask(Ask::ServerSide { event }, timeout)
            })
        });
        async move {
            let Some(asked) = asked? else { return Ok(Vec::new()) };
            let outcome = asked.await.unwrap_or_default();
            let answers = outcome.answers.iter().map(|values| values.args().clone()).collect();
            Ok(complete(answers, outcome.missing_nodes)?)
        }
    }

    /// Sets the handler for an event of other nodes; a later one replaces it. The value that it returns is the answer, of
    /// which the dialects of JavaScript nodes carry one value. Handlers of several events may run at the same time.
    pub fn on_server_side<F, Fut>(&self, event: &str, handler: F) -> &Self
    where
        F: Fn(Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: ToArgs + Send> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |args| {
            let answer = handler(args);
            Box::pin(async move { Values::new(&answer.await) })
        });
        let handlers = self.0.server_side.get_or_init(Box::default);
        let before =
            handlers.0.write().unwrap_or_else(PoisonError::into_inner).insert(event.to_owned(), handler);
        // What it has captured is dropped without the lock.
        drop(before);
        self
    }
}

/// Runs the handler of an event of another node.
pub(super) fn serve(
    cluster: &Arc<Cluster>,
    namespace: &NamespaceInner,
    event: &Event,
    serving: Option<ServingId>,
) {
    let handler = namespace.server_side.get().and_then(|handlers| {
        handlers.0.read().unwrap_or_else(PoisonError::into_inner).get(&*event.name()).cloned()
    });
    let Some(handler) = handler else {
        if let Some(serving) = serving {
            cluster.answer(serving, Answer::ServerSide(Values::nothing()));
        }
        return;
    };
    let (cluster, args) = (cluster.clone(), event.args().clone());
    cluster.clone().runtime().spawn(Box::pin(async move {
        let answered = handler(args).await;
        let Some(serving) = serving else { return };
        match answered {
            Ok(values) => cluster.answer(serving, Answer::ServerSide(values)),
            Err(error) => cluster.inexpressible("server-side answer", &error),
        }
    }));
}
