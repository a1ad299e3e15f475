//! The decisions of event middleware.

use sansocket_protocol::socket::{Args, EncodeError, Parser, ToArgs};

/// The decision of event middleware about an event: the return value of a function that `event_middleware` registers.
///
/// Middleware that returns `()` lets the event go on; an error ends it and goes to the error hook. With an
/// `EventFlow` it may also end the event without an error, answer it, or replace it.
///
/// ```
/// use sansocket_runtime::{EncodeError, EventFlow, EventName, Server, Socket, TryData};
///
/// # struct Muted;
/// fn register(io: &Server) {
///     io.event_middleware(async |socket: Socket, EventName(event): EventName, TryData(text): TryData<String>| {
///         Ok::<_, EncodeError>(match (&*event, text) {
///             ("say", _) if socket.get::<Muted>().is_some() => EventFlow::Stop,
///             ("say", Ok(text)) => EventFlow::replace("say", text.trim())?,
///             ("version", _) => EventFlow::answer("1.2")?,
///             _ => EventFlow::Continue,
///         })
///     });
/// }
/// ```
///
/// An event that takes the place of another keeps the acknowledgement that the client asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventFlow {
    /// The event goes on.
    Continue,
    /// The event ends here, without an acknowledgement.
    Stop,
    /// The event ends here, with these arguments as its acknowledgement if the client asked for one.
    Answer(Args),
    /// This event goes on in its place: its name decides which handlers run.
    Replace(Args),
}

impl EventFlow {
    /// Acknowledges the event, and ends it.
    ///
    /// # Errors
    /// If the arguments cannot be encoded.
    pub fn answer<T: ToArgs + ?Sized>(args: &T) -> Result<Self, EncodeError> {
        Ok(event("answer", args)?.map_or(Self::Stop, Self::Answer))
    }

    /// Puts an event in the place of the one that came: another name, other arguments, or both.
    ///
    /// # Errors
    /// If the arguments cannot be encoded, or if no event has that name (`connect`, for example).
    pub fn replace<T: ToArgs + ?Sized>(name: &str, args: &T) -> Result<Self, EncodeError> {
        Ok(event(name, args)?.map_or(Self::Stop, Self::Replace))
    }
}

/// The event as its receiver gets it: an event's frame is always one. Handlers and acknowledgements take arguments of any
/// parser.
fn event<T: ToArgs + ?Sized>(name: &str, args: &T) -> Result<Option<Args>, EncodeError> {
    let parser = Parser::json();
    Ok(parser.event_of(&parser.event("/", name, None, args)?))
}
