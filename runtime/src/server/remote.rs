//! A broadcast's messages to other nodes, and their answers about their sockets.

use crate::base::error::{AckError, EmitError, Missing};
use crate::cluster::Membership;
use crate::server::broadcast::Broadcast;
use crate::server::namespace::Namespace;
use crate::server::rooms::Rooms;
use crate::server::socket::Socket;
use sansocket_protocol::cluster::node::{Ask, Outcome};
use sansocket_protocol::cluster::{self, Event, Message};
use sansocket_protocol::hub::{Command, HubError, Target};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, ArgsError, EncodeError, ToArgs};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// An answer of the whole cluster that is not complete: not all nodes were heard in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: raise `request_timeout`, or work with the {} that came", Missing(.missing_nodes), .came.len())]
pub struct Incomplete<T: fmt::Debug> {
    /// The answers that came, with that of this node.
    pub came: Vec<T>,
    /// The number of nodes that did not answer; `None` if it is not known how many there are: the bus was away, or the
    /// dialect does not count nodes.
    pub missing_nodes: Option<u32>,
}

/// Returns the answers, if none is missing.
pub(super) fn complete<T: fmt::Debug>(
    came: Vec<T>,
    missing_nodes: Option<u32>,
) -> Result<Vec<T>, Incomplete<T>> {
    if missing_nodes == Some(0) { Ok(came) } else { Err(Incomplete { came, missing_nodes }) }
}

impl Broadcast {
    /// The namespace's part in the cluster, unless the broadcast is for this node alone.
    fn membership(&self) -> Option<&Membership> {
        let membership = self.namespace.membership.as_ref()?;
        (!self.target.flags.local && !self.is_to_nobody()).then_some(membership)
    }

    /// Tells the other nodes what has been done here.
    pub(super) fn tell(&self, message: impl FnOnce(Target) -> Message) {
        if let Some(membership) = self.membership() {
            membership.send(message(self.target.clone()));
        }
    }

    /// An event for other nodes: that of the frame that the clients here get, if its parser has the same form.
    fn event<T: ToArgs + ?Sized>(
        &self,
        frame: Option<&Frame>,
        event: &str,
        args: &T,
    ) -> Result<Event, EncodeError> {
        let parser = self.namespace.encoder.parser();
        let shared = frame.and_then(|frame| Event::of_frame(parser, frame));
        shared.map_or_else(|| Event::new(event, args), Ok)
    }

    /// Tells the other nodes of an event that has been sent here, as `frame`.
    pub(super) fn tell_event<T: ToArgs + ?Sized>(&self, frame: &Frame, event: &str, args: &T) {
        // The log tells them.
        if self.namespace.recorder().is_some_and(|recorder| recorder.logs(&self.target)) {
            return;
        }
        let Some(membership) = self.membership() else { return };
        match self.event(Some(frame), event, args) {
            Ok(event) => membership.send(Message::Emit { event, target: self.target.clone(), ack: None }),
            Err(error) => membership.cluster.inexpressible("emit", &error),
        }
    }

    /// Sends an event to the sockets of other nodes, and collects their acknowledgements. `None` if nobody else is meant.
    /// `frame` is the event as the clients here get it.
    pub(super) fn ask_event<T: ToArgs + ?Sized>(
        &self,
        frame: Option<&Frame>,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> Option<impl Future<Output = Outcome> + Send + 'static + use<T>> {
        self.ask_acks(frame, event, args, timeout, false)
    }

    fn ask_acks<T: ToArgs + ?Sized>(
        &self,
        frame: Option<&Frame>,
        event: &str,
        args: &T,
        timeout: Duration,
        single: bool,
    ) -> Option<impl Future<Output = Outcome> + Send + 'static + use<T>> {
        let membership = self.membership()?;
        let asked = match self.event(frame, event, args) {
            Ok(event) => {
                let max_bytes = self.namespace.server().map_or(0, |server| server.0.max_broadcast_answers());
                let target = self.target.clone();
                Some(membership.ask(Ask::Acks { event, target, single, max_bytes }, timeout))
            }
            Err(error) => {
                membership.cluster.inexpressible("emit", &error);
                None
            }
        };
        // Without a question nobody knows what the others would have said.
        Some(async move {
            match asked {
                Some(asked) => asked.await.unwrap_or_default(),
                None => Outcome::default(),
            }
        })
    }

    /// The selected sockets of all nodes, each as its node describes it. Resolves when all nodes have answered, or after
    /// the cluster's `request_timeout`. The question is asked by the call, not by the first poll.
    ///
    /// ```
    /// # use sansocket_runtime::Server;
    /// async fn move_everybody(io: &Server) {
    ///     let sockets = io.to("lobby").fetch_sockets().await.unwrap_or_else(|missing| missing.came);
    ///     for socket in sockets {
    ///         socket.join("hall");
    ///     }
    /// }
    /// ```
    pub fn fetch_sockets(
        &self,
    ) -> impl Future<Output = Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> + Send + 'static + use<>
    {
        let namespace = Namespace(self.namespace.clone());
        let here = self.apply(&Command::Fetch).unwrap_or_default();
        let asked = self.membership().map(|membership| {
            let timeout = membership.cluster.request_timeout();
            membership.ask(Ask::Sockets { target: self.target.clone() }, timeout)
        });
        async move {
            let described = here.iter().map(|socket| describe(socket, true));
            let mut sockets: Vec<RemoteSocket> =
                described.map(|details| RemoteSocket { namespace: namespace.clone(), details }).collect();
            let Some(asked) = asked else { return Ok(sockets) };
            let outcome = asked.await.unwrap_or_default();
            let others = outcome.sockets.into_iter();
            sockets.extend(others.map(|details| RemoteSocket { namespace: namespace.clone(), details }));
            complete(sockets, outcome.missing_nodes)
        }
    }
}

impl Namespace {
    /// The sockets of all nodes: [`Broadcast::fetch_sockets`] of everybody.
    pub fn fetch_sockets(
        &self,
    ) -> impl Future<Output = Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> + Send + 'static + use<>
    {
        self.broadcast().fetch_sockets()
    }

    /// The rooms of all nodes, in the order of their names, without those that are only a socket's id.
    pub async fn fetch_rooms(&self) -> Result<Vec<Arc<str>>, Incomplete<Arc<str>>> {
        let (sockets, missing_nodes) = match self.fetch_sockets().await {
            Ok(sockets) => (sockets, Some(0)),
            Err(Incomplete { came, missing_nodes }) => (came, missing_nodes),
        };
        let mut rooms: BTreeSet<Arc<str>> = BTreeSet::new();
        for socket in sockets {
            let RemoteSocket { details: cluster::RemoteSocket { id, rooms: of_it, .. }, .. } = socket;
            rooms.extend(of_it.into_iter().filter(|room| *room != id));
        }
        complete(rooms.into_iter().collect(), missing_nodes)
    }

    /// A handle of a socket on whatever node it is, by its id alone: nobody is asked whether there is one. Its rooms and
    /// its handshake are empty.
    pub fn anywhere(&self, id: &str) -> RemoteSocket {
        let nothing = cluster::Values::nothing();
        let details = cluster::RemoteSocket {
            id: id.into(),
            rooms: Vec::new(),
            handshake: nothing.clone(),
            data: nothing,
        };
        RemoteSocket { namespace: self.clone(), details }
    }
}

/// A socket of the cluster, here or on another node: what its node said of it when it was asked, and the verbs of a
/// broadcast to it alone.
///
/// A message to a socket that has gone reaches nobody.
#[derive(Clone)]
pub struct RemoteSocket {
    namespace: Namespace,
    details: cluster::RemoteSocket,
}

impl RemoteSocket {
    /// Its public id.
    pub fn id(&self) -> &str {
        &self.details.id
    }

    /// The rooms that it was in, its own id included.
    pub fn rooms(&self) -> &[Arc<str>] {
        &self.details.rooms
    }

    /// The request that opened its session, in the form of the JavaScript server: an object with `headers`, `query`,
    /// `address`, `time` and others.
    ///
    /// # Errors
    /// [`ArgsError`] if the node told none, or it does not have that type.
    pub fn handshake<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.details.handshake.args().get(0)
    }

    /// The data that the application attached to it, where its node is a JavaScript one. Our nodes keep values of Rust's
    /// types with a socket, which do not travel.
    ///
    /// # Errors
    /// [`ArgsError`] if there is none, or it does not have that type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.details.data.args().get(0)
    }

    /// The socket itself, if it is one of this process.
    pub fn local(&self) -> Option<Socket> {
        self.namespace.socket(self.id())
    }

    fn broadcast(&self) -> Broadcast {
        self.namespace.to(self.id())
    }

    /// Emits an event to it.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.broadcast().emit(event, args)
    }

    /// Emits an event to it, and awaits its acknowledgement. The event is sent by the call, not by the first poll.
    ///
    /// The dialects of JavaScript nodes carry one value of an acknowledgement, the first.
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        let here = self.local().map(|socket| socket.emit_with_ack(event, args, timeout));
        let elsewhere = match &here {
            Some(_) => None,
            None => self.broadcast().ask_acks(None, event, args, timeout, true),
        };
        async move {
            if let Some(here) = here {
                return here.await;
            }
            let Some(elsewhere) = elsewhere else { return Err(AckError::Disconnected) };
            let outcome = elsewhere.await;
            let is_gone = outcome.is_complete();
            let answer = outcome.answers.first().map(|values| values.args().clone());
            answer.ok_or(if is_gone { AckError::Disconnected } else { AckError::Timeout })
        }
    }

    /// Makes it join a room, or several. What its node refuses, nobody learns.
    pub fn join(&self, rooms: impl Rooms) {
        let _: Result<(), HubError> = self.broadcast().join(rooms);
    }

    /// Makes it leave a room, or several.
    pub fn leave(&self, rooms: impl Rooms) {
        self.broadcast().leave(rooms);
    }

    /// Disconnects it from the namespace.
    pub fn disconnect(&self) {
        self.broadcast().disconnect();
    }

    /// Closes its connection, whatever other namespaces that is in.
    pub fn close(&self) {
        self.broadcast().close();
    }
}

impl fmt::Debug for RemoteSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The handshake may hold secrets.
        f.debug_struct("RemoteSocket").field("id", &self.id()).field("rooms", &self.rooms()).finish()
    }
}

/// Returns the description of a socket that other nodes are told.
pub(super) fn describe(socket: &Socket, with_private: bool) -> cluster::RemoteSocket {
    let nothing = cluster::Values::nothing();
    let handshake = crate::server::describe::handshake_value(socket.handshake(), with_private);
    cluster::RemoteSocket {
        id: socket.id().into(),
        rooms: socket.rooms(),
        // JSON of our own making is always written.
        handshake: cluster::Values::new(&(handshake,)).unwrap_or_else(|_| nothing.clone()),
        data: cluster::Values::new(&(data_of(socket),)).unwrap_or(nothing),
    }
}

/// The data of a socket in the form of JavaScript: our values are of Rust's types, and stay here.
fn data_of(
    #[cfg_attr(not(feature = "admin"), expect(unused_variables))] socket: &Socket,
) -> serde_json::Value {
    #[cfg(feature = "admin")]
    if let Some(observer) = socket.server().as_ref().and_then(|server| server.0.observer.get()) {
        return observer.data_of(socket);
    }
    serde_json::Map::new().into()
}
