//! Extractors: the types that a handler's parameters may have.
//!
//! | extractor | value | where |
//! |---|---|---|
//! | [`Socket`](crate::Socket) | the client | a server's handlers |
//! | [`Namespace`](crate::Namespace), [`Server`](crate::Server) | where the client is connected | a server's handlers |
//! | [`Handshake`](crate::Handshake) | the request that opened the session: headers, query, address | a server's handlers |
//! | [`NameParts<T>`] | the parts of a dynamic namespace's name | a server's handlers |
//! | [`Auth<T>`] | the `auth` object that the client joined with | a server's handlers |
//! | [`Extension<T>`] | a value that the host's middleware put on the request | a server's handlers |
//! | [`PeerAddr`] | the address of the client | a server's handlers |
//! | [`ClientSocket`](crate::ClientSocket) | the client itself | a client's handlers |
//! | [`State<T>`] | a value that the builder was given | everywhere |
//! | [`Data<T>`] | the arguments, as a type of the application | events, event middleware |
//! | [`TryData<T>`] | the arguments, or the error if they do not fit | events, event middleware |
//! | [`Args`] | the arguments as they came | events, event middleware |
//! | [`EventName`] | the name of the event | events, event middleware |
//! | [`Ack`] | the acknowledgement, to be sent by hand | events |
//! | [`DisconnectReason`] | the reason of the end | `on_disconnecting`, `on_disconnect` |
//! | [`EmptiedRooms`] | the rooms that the socket was the last to leave | `on_disconnect` of a server |
//! | [`ConnectError`](crate::ConnectError) | the error of a failed connection | a client's `on_connect_error` |
//! | `Option<T>` of any of these | `None` if the extraction fails | where `T` may stand |
//!
//! Parameters are extracted from left to right. If one fails, the handler is not called and the error hook is told,
//! which may answer the event; before a client has joined, it is refused.
//!
//! ```
//! use sansocket_runtime::{Auth, Data, EventName, PeerAddr, Server, Socket, State, TryData};
//! use serde::Deserialize;
//!
//! #[derive(Clone)]
//! struct Motd(&'static str);
//!
//! #[derive(Deserialize)]
//! struct Login {
//!     token: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Move {
//!     x: i32,
//!     y: i32,
//! }
//!
//! fn register(io: &Server) {
//!     io.on_connect(async |socket: Socket, Auth(login): Auth<Login>, address: Option<PeerAddr>| {
//!         println!("{} with {} from {address:?}", socket.id(), login.token);
//!     })
//!     // One argument: socket.emit("move", { x: 1, y: 2 }).
//!     .on("move", async |Data(to): Data<Move>| println!("to {}, {}", to.x, to.y))
//!     // Several: socket.emit("say", "lobby", "hello").
//!     .on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
//!         let _ = socket.to(&room).emit("said", &text);
//!     })
//!     .on("motd", async |State(Motd(text)): State<Motd>| text)
//!     .on_fallback(async |EventName(name): EventName, TryData(number): TryData<u32>| match number {
//!         Ok(number) => println!("{name}: {number}"),
//!         Err(error) => println!("{name}: {error}"),
//!     });
//! }
//! ```
//!
//! # Extractors of your own
//!
//! A type becomes an extractor by [`FromContext`], for the [kinds](crate::handler::Kind) of handlers that it names in
//! the bound: `Kind<Peer = Socket>` for a server's, [`HasArgs`] for those of events.
//!
//! ```
//! use sansocket_runtime::extract::FromContext;
//! use sansocket_runtime::handler::{Context, Kind};
//! use sansocket_runtime::{HandlerError, Server, Socket};
//!
//! /// The user that `on_connect` has put into the socket.
//! #[derive(Clone)]
//! struct User(String);
//!
//! impl<K: Kind<Peer = Socket>> FromContext<K> for User {
//!     fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
//!         let user = context.peer().get::<User>();
//!         user.map(|user| User::clone(&user)).ok_or_else(|| HandlerError::failed("nobody is logged in"))
//!     }
//! }
//!
//! fn register(io: &Server) {
//!     io.on("who", async |User(name): User| name);
//! }
//! ```

use crate::base::error::HandlerError;
use crate::handler::ack::Ack;
pub use crate::handler::kind::{Acks, HasArgs};
use crate::handler::kind::{Context, Departure, HasReason, Kind};
use crate::handler::peer::sealed::HandlerPeer as _;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::socket::{Args, ArgsError};
use serde::de::DeserializeOwned;
use std::any::{TypeId, type_name};
use std::fmt::{self, Display, Write as _};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;

/// A type that a handler of kind `K` may have as a parameter. The [module](self#extractors-of-your-own) has an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be extracted in this kind of handler",
    label = "not an extractor here",
    note = "everywhere: `Socket`, `Server`, `Namespace`, `Handshake`, `Auth<T>`, `State<T>`, `Extension<T>`, \
            `PeerAddr`, and `Option` of each",
    note = "in event handlers and event middleware: `Data<T>`, `TryData<T>`, `Args`, `EventName`; in event handlers \
            also `Ack`; in disconnect handlers: `DisconnectReason`, and in a server's `on_disconnect` `EmptiedRooms`",
    note = "in a client's handlers: `ClientSocket`, `State<T>`, and what is for events; in its handlers of connect \
            errors: `ConnectError`",
    note = "a plain value from the client is extracted by `Data<T>`, for example `Data(text): Data<String>`"
)]
pub trait FromContext<K: Kind>: Sized {
    /// Extracts the value.
    ///
    /// # Errors
    /// [`HandlerError`] if there is no such value; the handler is then not called.
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError>;

    /// Says what the server must have before it serves, so that a lack of it shows when it starts and not at the first
    /// event. By default nothing.
    fn requires(_: &mut Requirements) {}

    /// Extracts the last parameter of a handler: it may take a value that [`from_context`](Self::from_context) has to
    /// copy for the parameters behind it.
    ///
    /// # Errors
    /// As for [`from_context`](Self::from_context).
    fn from_context_at_last(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Self::from_context(context)
    }
}

/// The needs of handlers before their server serves: the types of their [`State`].
#[derive(Debug, Default)]
pub struct Requirements(pub(crate) Vec<(TypeId, &'static str)>);

impl Requirements {
    /// Adds the state of that type.
    pub fn state<T: Send + Sync + 'static>(&mut self) {
        self.0.push((TypeId::of::<T>(), type_name::<T>()));
    }
}

macro_rules! wrapper {
    ($name:ident) => {
        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> DerefMut for $name<T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }
    };
}

/// The arguments of an event as a type of the application: a tuple takes several, any other type the first.
/// Binary arrives wherever the type asks for bytes (`Bytes`). If the arguments do not fit, the handler is not called
/// and the error hook is told.
///
/// As a return value, it acknowledges with any type that is `Serialize`.
///
/// ```
/// use sansocket_runtime::{Data, Server};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Order {
///     item: String,
///     count: u32,
/// }
///
/// #[derive(Serialize)]
/// struct Receipt {
///     total: u32,
/// }
///
/// fn register(io: &Server) {
///     io.on("order", async |Data(order): Data<Order>| Data(Receipt { total: order.count * 5 }));
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data<T>(pub T);

/// The arguments of an event as [`Data`] gives them, or the error if they do not fit: the handler runs either way.
///
/// ```
/// use sansocket_runtime::{Server, TryData};
///
/// fn register(io: &Server) {
///     io.on("age", async |TryData(age): TryData<u8>| match age {
///         Ok(age) => format!("{age} years"),
///         Err(error) => format!("not an age: {error}"),
///     });
/// }
/// ```
#[derive(Debug)]
pub struct TryData<T>(pub Result<T, ArgsError>);

/// The `auth` object that the client joined the namespace with; `{}` if it sent none.
///
/// ```
/// use sansocket_runtime::{Auth, Refusal, Server};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Login {
///     token: Option<String>,
/// }
///
/// fn register(io: &Server) {
///     // In JavaScript: io("/", { auth: { token: "abc" } })
///     io.on_connect(async |Auth(login): Auth<Login>| match login.token.as_deref() {
///         Some("abc") => Ok(()),
///         _ => Err(Refusal::new("not authorized")),
///     });
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<T>(pub T);

/// A clone of the value of that type that was given to the builder's `state`, or to
/// [`Server::provide`](crate::Server::provide): a pool, a sender, an `Arc` of anything. Without it the server does not start.
///
/// ```
/// use sansocket_runtime::{Server, State};
/// use std::sync::{Arc, Mutex};
///
/// type Scores = Arc<Mutex<Vec<u32>>>;
///
/// // With an adapter: Server::builder().state(Scores::default()).build()
/// fn register(io: &Server) {
///     io.on("best", async |State(scores): State<Scores>| scores.lock().unwrap().iter().copied().max());
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

/// A clone of the extension of that type on the request that opened the session: the host framework's middleware put
/// it there.
///
/// ```
/// use sansocket_runtime::{Extension, Server, Socket};
///
/// #[derive(Clone)]
/// struct User {
///     name: String,
/// }
///
/// // With axum: a middleware that calls `request.extensions_mut().insert(User { .. })`.
/// fn register(io: &Server) {
///     io.on_connect(async |socket: Socket, Extension(user): Extension<User>| {
///         let _ = socket.join(&format!("user:{}", user.name));
///     });
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<T>(pub T);

/// The name of the event: for handlers that get more than one, such as `on_any`.
///
/// ```
/// use sansocket_runtime::{EventName, Server, Socket};
///
/// fn register(io: &Server) {
///     io.on_any(async |socket: Socket, EventName(name): EventName| println!("{}: {name}", socket.id()));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub String);

/// The parts of a dynamic namespace's name that the stars of its pattern stand for: as a tuple with one type for each star,
/// or as a `Vec` of texts. Each star stands for as little as possible, and the last one for the rest.
///
/// If a part is not of its type, the extraction fails: in `on_connect` that refuses the client. So it does if the value is
/// shown (`Display`) in another way than the client has written it: `/game-7` is a game for a `u32`, and `/game-07` and
/// `/game-+7`, which are other namespaces, are none.
///
/// ```
/// use sansocket_runtime::{NameParts, Server, Socket};
///
/// fn register(io: &Server) {
///     let games = io.dynamic_namespace("/game-*/*");
///     games.on_connect(async |socket: Socket, NameParts((game, side)): NameParts<(u32, String)>| {
///         println!("{} is {side} in game {game}", socket.id());
///     });
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameParts<T>(pub T);

/// A type that [`NameParts`] makes of the parts of a name.
pub trait FromNameParts: Sized {
    /// The value; `None` if the parts do not fit.
    fn from_name_parts(parts: &[&str]) -> Option<Self>;
}

impl FromNameParts for Vec<String> {
    fn from_name_parts(parts: &[&str]) -> Option<Self> {
        Some(parts.iter().map(|part| (*part).to_owned()).collect())
    }
}

macro_rules! name_parts {
    ($($part:ident)*) => {
        impl<$($part: FromStr + Display),*> FromNameParts for ($($part,)*) {
            #[allow(non_snake_case)]
            fn from_name_parts(parts: &[&str]) -> Option<Self> {
                let [$($part),*] = parts else { return None };
                Some(($(from_part($part)?,)*))
            }
        }
    };
}

/// The value of a part. One that is shown in another way than it was written does not count: a value has one name.
fn from_part<T: FromStr + Display>(part: &str) -> Option<T> {
    let value: T = part.parse().ok()?;
    let mut rest = Rest(part);
    let is_shown = write!(rest, "{value}").is_ok();
    (is_shown && rest.0.is_empty()).then_some(value)
}

/// The rest of a text, from whose beginning all that is written is taken.
struct Rest<'a>(&'a str);

impl fmt::Write for Rest<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
        Ok(())
    }
}

name_parts!(A);
name_parts!(A B);
name_parts!(A B C);
name_parts!(A B C D);

/// The address at the other end of the connection: see [`Handshake::peer_addr`](crate::Handshake::peer_addr).
///
/// An adapter's own listener knows the address. A host framework tells it by a `SocketAddr` among the request's
/// extensions. axum has the address in a type of its own, so one line has to hand it on (see the example `axum` of
/// `sansocket-tokio`):
/// `map_request(async |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request| { .. })`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The reason for which a socket ended.
///
/// ```
/// use sansocket_runtime::{DisconnectReason, Server};
///
/// fn register(io: &Server) {
///     io.on_disconnect(async |reason: DisconnectReason| match reason {
///         DisconnectReason::ClientNamespaceDisconnect => println!("the client said goodbye"),
///         reason => println!("the connection ended: {reason}"),
///     });
/// }
/// ```
pub type DisconnectReason = CloseReason;

/// The rooms that a socket was the last to leave, as it was disconnected: each room that ends by disconnects is told to
/// exactly one `on_disconnect`, however many sockets leave at the same time. With a room for each user, it tells that a
/// user is gone.
///
/// ```
/// use sansocket_runtime::{EmptiedRooms, Server, Socket};
///
/// fn register(io: &Server) {
///     // In `on_connect`: socket.join("user:ada")
///     io.on_disconnect(async |socket: Socket, EmptiedRooms(rooms): EmptiedRooms| {
///         for user in rooms.iter().filter_map(|room| room.strip_prefix("user:")) {
///             let _ = socket.broadcast().emit("offline", user);
///         }
///     });
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmptiedRooms(pub Vec<Arc<str>>);

wrapper!(Data);
wrapper!(Auth);
wrapper!(State);
wrapper!(Extension);
wrapper!(NameParts);

impl<K: Kind, T: Clone + Send + Sync + 'static> FromContext<K> for State<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        context.peer.state::<T>().map(Self).ok_or(HandlerError::NoState(type_name::<T>()))
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}

/// `None` where the extraction fails.
impl<K: Kind, T: FromContext<K>> FromContext<K> for Option<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(T::from_context(context).ok())
    }

    fn from_context_at_last(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(T::from_context_at_last(context).ok())
    }
}

impl<K: HasArgs, T: DeserializeOwned> FromContext<K> for Data<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self(context.input.args.decode::<T>()?))
    }
}

impl<K: HasArgs, T: DeserializeOwned> FromContext<K> for TryData<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self(context.input.args.decode::<T>()))
    }
}

impl<K: HasArgs> FromContext<K> for Args {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.input.args.clone())
    }

    fn from_context_at_last(context: &mut Context<K>) -> Result<Self, HandlerError> {
        // Other handlers of the same event may still want them.
        if context.input.is_sole {
            Ok(std::mem::take(&mut context.input.args))
        } else {
            Self::from_context(context)
        }
    }
}

impl<K: HasArgs> FromContext<K> for EventName {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        // An event without a name comes to no handler.
        Ok(Self(context.input.args.event().unwrap_or_default().into_owned()))
    }
}

impl<K: Acks> FromContext<K> for Ack {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        let target = if context.input.wants_ack() { context.input.ack.clone() } else { None };
        context.input.is_ack_taken |= target.is_some();
        Ok(Self::new(target, &context.peer))
    }
}

impl<K: Kind<Input: HasReason>> FromContext<K> for CloseReason {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.input.reason())
    }
}

impl<K: Kind<Input = Departure>> FromContext<K> for EmptiedRooms {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self(context.input.emptied.clone()))
    }
}
