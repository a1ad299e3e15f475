//! The socket that handlers run for, whichever end it is of.

use sealed::HandlerPeer;

/// The socket that a handler runs for: [`Socket`](crate::Socket) on a server, [`ClientSocket`](crate::ClientSocket) at
/// a client.
pub trait Peer: HandlerPeer {}

impl<P: HandlerPeer> Peer for P {}

pub(crate) mod sealed {
    use crate::base::error::HandlerError;
    use crate::handler::AnyHandler;
    use crate::handler::ack::AckTarget;
    use crate::handler::kind::{Acks, Context};
    use sansocket_protocol::error::SendError;
    use sansocket_protocol::message::Frame;
    use std::sync::Arc;

    /// The outcome of the attempt to run a listener in a task of its own.
    pub enum Apart {
        /// It has to run in line.
        Not,
        /// It runs.
        Begun,
        /// Its parameters could not be extracted; the error hook was told, and this is its answer.
        Failed(Option<Frame>),
    }

    /// The part of a socket that handlers, extractors and jobs need.
    pub trait HandlerPeer: Clone + Send + Sync + Unpin + 'static {
        /// The value of that type that was given to the builder.
        fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T>;

        /// Tells the error hook, with the event that the error is about. What comes back is the hook's answer to a client
        /// that awaits that acknowledgement.
        fn report(&self, event: Option<&str>, error: &HandlerError, ack: Option<&AckTarget>)
        -> Option<Frame>;

        /// Sends an acknowledgement that a handler has returned.
        fn acknowledge(&self, target: &AckTarget, frame: Frame);

        /// The part of the socket that an [`Ack`](crate::Ack) holds: of an allocation that is there already.
        fn ack_sender(&self) -> Arc<dyn SendAck>;

        /// Runs a listener in a task of its own. It takes the acknowledgement along, unless an earlier listener has
        /// `answered`.
        fn run_apart<K: Acks<Peer = Self>>(
            _: &mut Context<K>,
            _handler: &dyn AnyHandler<K>,
            _answered: bool,
        ) -> Apart {
            Apart::Not
        }
    }

    /// The part of a socket that an [`Ack`](crate::Ack) holds.
    pub trait SendAck: Send + Sync {
        /// Sends an acknowledgement. After the socket has left its namespace it is dropped.
        fn send_ack(&self, target: &AckTarget, frame: Frame) -> Result<(), SendError>;
    }
}
