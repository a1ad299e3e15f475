//! The encoder of a namespace, on the server or at a client.

use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{EncodeError, Parser, ToArgs};
use std::sync::Arc;

/// The parser of a namespace together with its name: every event and acknowledgement of the namespace is made here.
///
/// It is shared, and not copied: each event that asks for an acknowledgement takes one along.
#[derive(Debug)]
pub(crate) struct Encoder {
    namespace: Arc<str>,
    parser: Parser,
    /// A handler that returns `()` acknowledges.
    unit_acknowledges: bool,
}

impl Encoder {
    pub(crate) fn new(namespace: Arc<str>, parser: Parser, unit_acknowledges: bool) -> Arc<Self> {
        Arc::new(Self { namespace, parser, unit_acknowledges })
    }

    pub(crate) fn unit_acknowledges(&self) -> bool {
        self.unit_acknowledges
    }

    pub(crate) fn parser(&self) -> &Parser {
        &self.parser
    }

    /// An event. With an `ack` id the peer is asked to answer.
    #[inline(always)]
    pub(crate) fn event<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        ack: Option<u64>,
        args: &T,
    ) -> Result<Frame, EncodeError> {
        self.parser.event(&self.namespace, event, ack, args)
    }

    /// The answer to the event that came with this `id`.
    pub(crate) fn ack<T: ToArgs + ?Sized>(&self, id: u64, args: &T) -> Result<Frame, EncodeError> {
        self.parser.ack(&self.namespace, id, args)
    }
}
