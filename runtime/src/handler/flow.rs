//! The decisions of event middleware.

use sansocket_protocol::socket::{Args, EncodeError, Parser, ToArgs};

/// The way on of an event, as event middleware decides it: by `event_middleware` of a namespace.
///
/// Middleware that returns `()` lets the event go on, and an error ends it and goes to the error hook. This is for the
/// rest: an event that ends without an error, one that is answered here, and one that another takes the place of.
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
