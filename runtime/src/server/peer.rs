//! The server's side of the handlers: its kinds, and the part of its socket that they need.

use crate::base::error::HandlerError;
use crate::base::job::{drop_caught, poll_caught};
use crate::base::trace::{current, within};
use crate::handler::ack::{AckTarget, Reply};
use crate::handler::flow::EventFlow;
use crate::handler::job::{Answering, EventLabel, Work, call_acking, take_panicked_event};
use crate::handler::peer::sealed::{Apart, HandlerPeer, SendAck};
use crate::handler::{
    Acks, AnyHandler, Context, Departure, EventInput, Kind, NotLetIn, OnConnect, OnConnected, OnDisconnect,
    OnDisconnecting, OnEvent, OnFilter,
};
use crate::server::socket::{Socket, SocketInner};
use crate::session::stats::count;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::Args;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

impl Kind for OnConnect {
    type Peer = Socket;
    type Input = ();
    type Outcome = Result<(), NotLetIn>;
}

impl Kind for OnConnected {
    type Peer = Socket;
    type Input = ();
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnFilter {
    type Peer = Socket;
    type Input = EventInput;
    type Outcome = Result<EventFlow, HandlerError>;

    fn event(input: &EventInput) -> Option<&EventInput> {
        Some(input)
    }
}

impl Kind for OnEvent {
    type Peer = Socket;
    type Input = EventInput;
    type Outcome = Result<Reply, HandlerError>;

    fn event(input: &EventInput) -> Option<&EventInput> {
        Some(input)
    }
}

impl Kind for OnDisconnecting {
    type Peer = Socket;
    type Input = CloseReason;
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnDisconnect {
    type Peer = Socket;
    type Input = Departure;
    type Outcome = Result<(), HandlerError>;
}

impl SendAck for SocketInner {
    fn send_ack(&self, _: &AckTarget, frame: Frame) -> Result<(), SendError> {
        self.session.with(|machine| machine.ack(self.key, frame))
    }
}

/// An event in the hands of a handler that runs apart: it counts in `receive_budget` until this is dropped.
struct InHand {
    socket: Socket,
    bytes: usize,
}

impl InHand {
    fn new(socket: &Socket, args: &Args) -> Self {
        let bytes = args.wire_len();
        socket.session().with(|machine| machine.begin_apart(bytes));
        Self { socket: socket.clone(), bytes }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.socket.session().with(|machine| machine.end_apart(self.bytes));
    }
}

impl HandlerPeer for Socket {
    fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.server()?.state::<T>()
    }

    fn report(&self, event: Option<&str>, error: &HandlerError, ack: Option<&AckTarget>) -> Option<Frame> {
        // The server is there as long as its sessions are.
        self.server()?.0.report_about(self, event, error, ack)
    }

    fn acknowledge(&self, target: &AckTarget, frame: Frame) {
        // The client may be gone meanwhile; nobody is left to be told.
        let _ = self.0.send_ack(target, frame);
    }

    fn ack_sender(&self) -> Arc<dyn SendAck> {
        self.0.clone()
    }

    fn run_apart<K: Acks<Peer = Self>>(
        context: &mut Context<K>,
        handler: &dyn AnyHandler<K>,
        answered: bool,
    ) -> Apart {
        let Some(server) = context.peer.server() else { return Apart::Not };
        let Some(permit) = server.0.concurrent_permit() else {
            count(&server.0.gate.counters.concurrent);
            return Apart::Not;
        };
        let event = EventLabel::of(&context.input.args);
        let future = match call_acking(context, handler) {
            Ok(begun) => begun.into_future(),
            // Other listeners may still answer: it is for want of theirs.
            Err(error) => return Apart::Failed(context.report(&error)),
        };
        // The first value acknowledges, and there was one already.
        let ack = if answered { None } else { context.input.ack.take() };
        let answering = Answering { peer: context.peer.clone(), event, ack };
        let counters = server.0.gate.counters.clone();
        let in_hand = InHand::new(&context.peer, &context.input.args);
        let since = counters.timing.sample_apart(|| context.peer.session().now());
        let job = async move {
            let mut work = Work::SoleListener { future, answering };
            let mut cut = Box::pin(permit.cut());
            let finished = std::future::poll_fn(|context| match poll_caught(&mut work, context) {
                Ok(Poll::Pending) => cut.as_mut().poll(context).map(|()| Ok(())),
                Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                Err(panic) => Poll::Ready(Err(panic)),
            });
            let result = finished.await;
            if let Work::SoleListener { answering, .. } = &work {
                counters.timing.handled(since, || answering.peer.session().now());
            }
            if let (Err(panic), Work::SoleListener { answering, .. }) = (result, &work) {
                count(&counters.panics);
                // It is known here, and must not be taken for that of a later panic.
                let _ = take_panicked_event();
                let socket = &answering.peer;
                socket.report(answering.event.as_str(), &HandlerError::panic(panic), None);
                socket.session().with(|machine| {
                    if machine.is_connected(socket.key()) {
                        machine.close(CloseReason::HandlerPanic);
                    }
                });
            }
            // The handler's captured values are dropped before the shutdown hears that it is done.
            let _ = drop_caught(work);
            drop(in_hand);
            drop(cut);
            drop(permit);
        };
        server.0.spawn(Box::pin(within(current(), job)));
        Apart::Begun
    }
}
