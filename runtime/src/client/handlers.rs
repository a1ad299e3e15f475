//! The jobs of a client: its handlers at work.

use super::error::ConnectError;
use super::socket::ClientSocket;
use super::table::ClientTable;
use crate::base::error::{Causes, HandlerError, HandlerFailure};
use crate::base::job::{Job, Jobs};
use crate::base::timing::Since;
use crate::base::trace::{Span, debug, error, is_heard, span, within};
use crate::client::task::shared::Shared;
use crate::handler::ack::AckTarget;
use crate::handler::job::{EventLabel, Work, begin_sole, run_any, run_each, run_listeners};
use crate::handler::table::{Listener, Runs};
use crate::handler::{
    Context, EventInput, Kind, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent,
    SharedHandler,
};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, SocketKey};
use std::task;

/// The jobs of a client.
pub(crate) type ClientJob = Job<Work<OnClientEvent>>;
pub(crate) type ClientJobs = Jobs<Work<OnClientEvent>>;

/// Begins the handlers of an event, and polls them once. They come back if they are not done.
///
/// `connection` is the one that it came on.
pub(crate) fn event(
    key: SocketKey,
    socket: ClientSocket,
    table: &ClientTable,
    args: Args,
    ack: Option<u64>,
    connection: u64,
    task: &mut task::Context<'_>,
) -> Option<ClientJob> {
    let namespace = socket.namespace_inner();
    let ack = ack.map(|id| AckTarget { encoder: namespace.encoder.clone(), id, socket: key, connection });
    let name = args.event_bytes()?;
    let (event, listeners) = table.events.entry(&name);
    if let ([Listener { handler, runs: Runs::InLine }], true) = (listeners, table.events.any.is_empty()) {
        drop(name);
        let span = event_span(&socket, || Some(event));
        let input = EventInput { args, ack, is_sole: true, is_ack_taken: false };
        let work = begin_sole(&**handler, socket, event, input, span, task)?;
        return Some(Job { socket: Some(key), work, since: Since::default() });
    }
    drop(name);
    any_event(key, socket, args, ack, task)
}

/// The general way of an event: those who see everything, and any listeners.
fn any_event(
    key: SocketKey,
    socket: ClientSocket,
    args: Args,
    ack: Option<AckTarget>,
    task: &mut task::Context<'_>,
) -> Option<ClientJob> {
    let name = args.event_bytes()?;
    let table = socket.namespace_inner().begin_event(&name);
    let listeners = table.listeners(&name);
    if let ([Listener { handler, .. }], true) = (listeners, table.events.any.is_empty()) {
        let label = EventLabel::new(&name);
        drop(name);
        let span = event_span(&socket, || label.as_str());
        let event = label.as_str().unwrap_or_default();
        let input = EventInput { args, ack, is_sole: true, is_ack_taken: false };
        let work = begin_sole(&**handler, socket, event, input, span, task)?;
        return Some(Job { socket: Some(key), work, since: Since::default() });
    }
    if listeners.is_empty() && table.events.any.is_empty() {
        return None;
    }
    let listeners = listeners.to_vec();
    let label = EventLabel::new(&name);
    drop(name);
    let span = event_span(&socket, || label.as_str());
    let mut context =
        Context::<OnClientEvent>::new(socket, EventInput { args, ack, is_sole: false, is_ack_taken: false });
    let work = async move {
        run_any(&mut context, &table.events.any).await;
        run_listeners(context, &listeners).await;
    };
    Job::of_event(Some(key), label, within(span, work)).begun(task)
}

/// The span of an event's handlers.
fn event_span<'a>(socket: &ClientSocket, name: impl FnOnce() -> Option<&'a str>) -> Option<Span> {
    // The name is read only if somebody listens.
    span!("event", namespace = socket.name(), event = name())
}

/// Begins the handlers of a socket that has joined.
pub(crate) fn connected(socket: ClientSocket) -> Option<ClientJob> {
    each::<OnClientConnect>(socket, (), |table| &table.connect)
}

/// Begins the handlers of a socket that could not join.
pub(crate) fn not_connected(socket: ClientSocket, error: ConnectError) -> Option<ClientJob> {
    each::<OnClientConnectError>(socket, error, |table| &table.connect_error)
}

/// Begins the handlers of a socket that is not connected any more.
pub(crate) fn disconnected(socket: ClientSocket, reason: CloseReason) -> Option<ClientJob> {
    each::<OnClientDisconnect>(socket, reason, |table| &table.disconnect)
}

fn each<K>(
    socket: ClientSocket,
    input: K::Input,
    which: fn(&ClientTable) -> &Vec<SharedHandler<K>>,
) -> Option<ClientJob>
where
    K: Kind<Peer = ClientSocket, Outcome = Result<(), HandlerError>>,
{
    let table = socket.namespace_inner().table();
    if which(&table).is_empty() {
        return None;
    }
    let key = socket.namespace_inner().key;
    let mut context = Context::<K>::new(socket, input);
    Some(Job::new(key, async move { run_each(&mut context, which(&table)).await }))
}

impl Shared {
    /// Tells the error hook.
    pub(crate) fn report(&self, socket: &ClientSocket, error: &HandlerError) {
        self.report_about(socket, None, error, None);
    }

    /// As [`Shared::report`], with the event that it was about, and the acknowledgement that the server awaits. The hook
    /// may have an answer to that.
    pub(crate) fn report_about(
        &self,
        socket: &ClientSocket,
        event: Option<&str>,
        error: &HandlerError,
        ack: Option<&AckTarget>,
    ) -> Option<Frame> {
        match &self.settings.on_error {
            Some(hook) => {
                debug!(namespace = socket.name(), event, %error, "a handler failed");
                // A hook that panics must not take the client along.
                return hook.tell(socket, &HandlerFailure::new(event, error), ack).unwrap_or_default();
            }
            None if is_heard() => {
                error!(namespace = socket.name(), event, error = %Causes(error), "a handler failed");
            }
            None => self.default_error_hook.show(socket.name(), event, error),
        }
        None
    }
}
