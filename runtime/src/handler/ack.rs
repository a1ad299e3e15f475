//! Acknowledgements: the values that handlers return, and those that they send by themselves.

use crate::base::error::{BoxError, EmitError, HandlerError};
use crate::handler::encoder::Encoder;
use crate::handler::extract::Data;
use crate::handler::peer::Peer;
use crate::handler::peer::sealed::SendAck;
use bytes::Bytes;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, EncodeError, SocketKey, ToArgs};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The acknowledgement that a peer asks for.
#[derive(Clone, Debug)]
pub struct AckTarget {
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) id: u64,
    /// The socket that was asked.
    pub(crate) socket: SocketKey,
    /// The connection, at a client: on another one the id may stand for another event.
    pub(crate) connection: u64,
}

impl AckTarget {
    /// Encodes `args` as this acknowledgement.
    pub(crate) fn encode<T: ToArgs + ?Sized>(&self, args: &T) -> Result<Frame, EncodeError> {
        self.encoder.ack(self.id, args)
    }
}

/// The time that a `call` waits for its answer, unless it is told otherwise.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The event of `send` and `on_message`.
pub(crate) const MESSAGE: &str = "message";

/// The outcome of an event's handler: the acknowledgement that is sent if the peer asked for one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// An acknowledgement without arguments, or none with the builder's `acknowledge_unit(false)`.
    Empty,
    /// An acknowledgement with arguments, encoded.
    Value(Frame),
}

/// A value that an event handler may return: its acknowledgement.
///
/// `()` acknowledges without arguments, a tuple or an array with several, anything else with one. `Ok` stands
/// for its value; `Err` goes to the error hook, and nothing is acknowledged. Nothing is sent if the client did
/// not ask, or the handler took the [`Ack`] over. With the builder's `acknowledge_unit(false)`, `()` stands for no
/// acknowledgement, as it does in JavaScript.
///
/// ```
/// use sansocket_runtime::{Data, Server};
///
/// fn register(io: &Server) {
///     io.on("seen", async || ())
///         .on("length", async |Data(text): Data<String>| text.len())
///         .on("swap", async |Data((a, b)): Data<(i64, i64)>| (b, a))
///         .on("parse", async |Data(text): Data<String>| text.parse::<u32>());
/// }
/// ```
///
/// A type of your own goes inside [`Data`], or gets an implementation:
///
/// ```
/// use sansocket_runtime::ack::{AckTarget, IntoAck, Reply, reply};
/// use sansocket_runtime::HandlerError;
///
/// struct Celsius(f64);
///
/// impl IntoAck for Celsius {
///     fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
///         reply(target, &self.0)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from an event handler",
    label = "not an acknowledgement",
    note = "return `()`, a value of a standard type, a tuple (several arguments), `Data(value)` for a type of \
            your own that is `Serialize`, or a `Result` of one of these with an error type"
)]
pub trait IntoAck {
    /// Encodes the value if an acknowledgement is asked for.
    ///
    /// # Errors
    /// If the handler failed, or the value cannot be encoded.
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError>;
}

/// Encodes `args` as the acknowledgement, if one is asked for.
///
/// # Errors
/// [`HandlerError::Encode`].
pub fn reply<T: ToArgs + ?Sized>(target: Option<&AckTarget>, args: &T) -> Result<Reply, HandlerError> {
    Ok(match target {
        Some(target) => Reply::Value(target.encode(args)?),
        None => Reply::Empty,
    })
}

impl IntoAck for () {
    fn into_ack(self, _: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        Ok(Reply::Empty)
    }
}

impl<T: IntoAck, E: Into<BoxError>> IntoAck for Result<T, E> {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        match self {
            Ok(value) => value.into_ack(target),
            Err(error) => Err(HandlerError::failed(error)),
        }
    }
}

impl IntoAck for Args {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        reply(target, &self)
    }
}

impl<T: Serialize> IntoAck for Data<T> {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        reply(target, &self.0)
    }
}

macro_rules! values {
    ($($({$($param:ident),*})? $value:ty),* $(,)?) => {
        $(
            impl$(<$($param: Serialize),*>)? IntoAck for $value {
                fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
                    reply(target, &self)
                }
            }
        )*
    };
}

values! {
    bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64,
    String, &'static str, Cow<'static, str>, Bytes, serde_json::Value,
    {T} Vec<T>, {T} Option<T>, {T} Box<T>, {T} VecDeque<T>, {T} BTreeSet<T>, {K, V} BTreeMap<K, V>,
    {A} (A,), {A, B} (A, B), {A, B, C} (A, B, C), {A, B, C, D} (A, B, C, D), {A, B, C, D, E} (A, B, C, D, E),
    {A, B, C, D, E, F} (A, B, C, D, E, F),
}

impl<K: Serialize, V: Serialize, S> IntoAck for HashMap<K, V, S> {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        reply(target, &self)
    }
}

impl<T: Serialize, S> IntoAck for HashSet<T, S> {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        reply(target, &self)
    }
}

/// The acknowledgement of an event, to be sent by hand: extracting it takes it over from the return value, so that it
/// can be sent earlier, later, from another task, or not at all.
///
/// ```
/// use sansocket_runtime::{Ack, Data, Server};
///
/// fn register(io: &Server) {
///     io.on("transfer", async |Data(amount): Data<u32>, ack: Ack| {
///         // Acknowledged at once; the work goes on.
///         let _ = ack.send(&"accepted");
///         println!("moving {amount}");
///     });
/// }
/// ```
pub struct Ack(Option<(AckTarget, Arc<dyn SendAck>)>);

impl Ack {
    pub(crate) fn new(target: Option<AckTarget>, peer: &impl Peer) -> Self {
        Self(target.map(|target| (target, peer.ack_sender())))
    }

    /// Returns whether the peer asked for it. If not, sending does nothing.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Sends it. After the socket has left its namespace it is dropped.
    ///
    /// # Errors
    /// [`EmitError`] if the value cannot be encoded, or nothing can be sent any more.
    pub fn send<T: ToArgs + ?Sized>(self, args: &T) -> Result<(), EmitError> {
        let Some((target, sender)) = self.0 else { return Ok(()) };
        let frame = target.encode(args)?;
        Ok(sender.send_ack(&target, frame)?)
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ack").field(&self.0.as_ref().map(|(target, _)| target)).finish()
    }
}
