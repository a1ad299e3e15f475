//! Socket.IO's example of private messaging: the same events with the same names and payloads, so that its page works with
//! this server. Each adapter's example includes this file and provides the adapter as `crate::sansocket`.
//!
//! A user is known by a session that the page keeps, and may have several tabs: each is a socket in the room of the user.

use crate::sansocket::{Auth, Data, EmptiedRooms, Error, Refusal, Server, Socket, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The messages that are kept for users who are away or reload the page.
const KEPT_MESSAGES: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    #[serde(rename = "sessionID")]
    session_id: Option<String>,
    username: Option<String>,
}

/// A user as the page knows one. The names of ids are JavaScript's.
#[derive(Clone, Serialize)]
struct User {
    #[serde(rename = "userID")]
    id: String,
    username: String,
    connected: bool,
}

#[derive(Serialize)]
struct Conversation {
    #[serde(flatten)]
    user: User,
    messages: Vec<Message>,
}

#[derive(Clone, Serialize)]
struct Message {
    content: String,
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct Outgoing {
    content: String,
    to: String,
}

#[derive(Serialize)]
struct SessionIds<'a> {
    #[serde(rename = "sessionID")]
    session: &'a str,
    #[serde(rename = "userID")]
    user: &'a str,
}

/// The session of a socket: its id, which is the user's secret, and the user's id.
struct Session {
    id: String,
    user: String,
}

/// The sessions and the messages, in memory: a database in a real application.
#[derive(Default)]
struct Stored {
    /// By the session's id.
    users: BTreeMap<String, User>,
    messages: Vec<Message>,
}

#[derive(Clone, Default)]
pub(crate) struct Store(Arc<Mutex<Stored>>);

impl Store {
    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that cannot be guessed.
fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::new("no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Finds the user of the page's session, or makes one.
async fn log_in(socket: Socket, Auth(login): Auth<Login>, State(store): State<Store>) -> Result<(), Error> {
    let known = login.session_id.and_then(|id| Some((store.lock().users.get(&id)?.id.clone(), id)));
    let (user, id) = match (known, login.username) {
        (Some(known), _) => known,
        (None, Some(username)) if !username.is_empty() => {
            let (user, session) = (random_id()?, random_id()?);
            let new = User { id: user.clone(), username, connected: true };
            store.lock().users.insert(session.clone(), new);
            (user, session)
        }
        _ => return Err(Refusal::new("invalid username").into()),
    };
    socket.insert(Session { id, user });
    Ok(())
}

async fn connect(socket: Socket, State(store): State<Store>) -> Result<(), Error> {
    let Some(session) = socket.get::<Session>() else { return Ok(()) };
    socket.join(&session.user)?;
    let (me, others) = {
        let mut stored = store.lock();
        let Some(me) = stored.users.get_mut(&session.id) else { return Ok(()) };
        me.connected = true;
        (me.clone(), conversations(&stored, &session.user))
    };
    socket.emit("session", &SessionIds { session: &session.id, user: &session.user })?;
    socket.emit("users", &(others,))?;
    socket.broadcast().emit("user connected", &Conversation { user: me, messages: Vec::new() })?;
    Ok(())
}

/// All users, each with what was said between that user and `me`.
fn conversations(stored: &Stored, me: &str) -> Vec<Conversation> {
    let between = |other: &str| {
        let is_theirs = |message: &&Message| {
            [(me, other), (other, me)].contains(&(message.from.as_str(), message.to.as_str()))
        };
        stored.messages.iter().filter(is_theirs).cloned().collect()
    };
    stored
        .users
        .values()
        .map(|user| Conversation { user: user.clone(), messages: between(&user.id) })
        .collect()
}

async fn private_message(
    socket: Socket,
    Data(Outgoing { content, to }): Data<Outgoing>,
    State(store): State<Store>,
) -> Result<(), Error> {
    let Some(session) = socket.get::<Session>() else { return Ok(()) };
    let message = Message { content, from: session.user.clone(), to };
    {
        let mut stored = store.lock();
        // A room that is no user's may be anything: another socket's id, say.
        if !stored.users.values().any(|user| user.id == message.to) {
            return Ok(());
        }
        if stored.messages.len() == KEPT_MESSAGES {
            stored.messages.remove(0);
        }
        stored.messages.push(message.clone());
    }
    // To all tabs of the receiver, and to the other ones of the sender.
    socket.to([&message.to, &session.user]).emit("private message", &message)?;
    Ok(())
}

/// With the last tab of a user, everybody is told.
async fn disconnect(
    socket: Socket,
    EmptiedRooms(rooms): EmptiedRooms,
    State(store): State<Store>,
) -> Result<(), Error> {
    let Some(session) = socket.get::<Session>() else { return Ok(()) };
    if rooms.iter().any(|room| **room == *session.user) {
        if let Some(user) = store.lock().users.get_mut(&session.id) {
            user.connected = false;
        }
        socket.broadcast().emit("user disconnected", &session.user)?;
    }
    Ok(())
}

pub(crate) fn register(io: &Server) {
    io.provide(Store::default());
    io.middleware(log_in)
        .on_connected(connect)
        .on("private message", private_message)
        .on_disconnect(disconnect);
}
