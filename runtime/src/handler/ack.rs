//! Acknowledgements: what a handler returns, and what it may send by itself.

use crate::base::error::{EmitError, HandlerError};
use crate::handler::Peer;
use crate::handler::extract::Data;
use bytes::Bytes;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::{Parser, ToArgs};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Which acknowledgement is asked for.
#[derive(Clone, Debug)]
pub struct AckTarget {
    pub(crate) parser: Parser,
    pub(crate) namespace: Arc<str>,
    pub(crate) id: u64,
    /// At a client: which connection asked. On another one the id may stand for another event.
    pub(crate) connection: u64,
}

/// What a handler made of an event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// Nothing to say: an acknowledgement without arguments, if one is asked for.
    Done,
    /// An acknowledgement with arguments.
    Value(Frame),
}

/// What an event handler may return: its acknowledgement.
///
/// `()` acknowledges without arguments, a tuple or an array with several, anything else with one. `Ok` stands
/// for its value; `Err` goes to the error hook, and nothing is acknowledged. Nothing is sent if the client did
/// not ask, or the handler took the [`Ack`] over.
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
            your own that is `Serialize`, or a `Result` of one of these with an error that is `Display`"
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
        Some(target) => Reply::Value(target.parser.ack(&target.namespace, target.id, args)?),
        None => Reply::Done,
    })
}

impl IntoAck for () {
    fn into_ack(self, _: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        Ok(Reply::Done)
    }
}

impl<T: IntoAck, E: fmt::Display> IntoAck for Result<T, E> {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        match self {
            Ok(value) => value.into_ack(target),
            Err(error) => Err(HandlerError::Failed(error.to_string())),
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

/// The acknowledgement of an event, in the handler's own hands: extracting it takes it over from the return
/// value, so that it can be sent earlier, later, from another task, or not at all.
#[derive(Debug)]
pub struct Ack {
    pub(crate) peer: Peer,
    pub(crate) target: Option<AckTarget>,
}

impl Ack {
    /// Whether the peer asked for it. If not, sending does nothing.
    pub fn is_wanted(&self) -> bool {
        self.target.is_some()
    }

    /// Sends it. After the socket has left its namespace it is dropped.
    ///
    /// # Errors
    /// [`EmitError`] if the value cannot be encoded, or nothing can be sent any more.
    pub fn send<T: ToArgs + ?Sized>(self, args: &T) -> Result<(), EmitError> {
        let Some(target) = self.target else { return Ok(()) };
        let frame = target.parser.ack(&target.namespace, target.id, args)?;
        match &self.peer {
            Peer::Server(socket) => socket.send_ack(frame)?,
            Peer::Client(socket) => socket.send_ack(&target, &frame)?,
        }
        Ok(())
    }
}
