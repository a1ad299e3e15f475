//! The namespace of the pages: letting them in, telling them what is there, and doing what they ask for.

use super::feed::Feed;
use super::login::{Login, Verdict};
use super::wire;
use crate::base::trace::{debug, info};
use crate::{Broadcast, Namespace, Refusal, Server, Socket};
use sansocket_protocol::socket::Args;
use serde_json::Value;
use std::future::ready;
use std::sync::Arc;

/// A session that is given to a page, once it has joined.
struct NewSession(Arc<str>);

/// The mark of a page that was let in here.
struct LetIn;

/// Registers the handlers of the pages.
pub(super) fn register(pages: &Namespace, feed: &Arc<Feed>, login: Arc<Login>, read_only: bool) {
    pages.middleware(move |socket: Socket, server: Server| {
        let login = login.clone();
        async move { let_in(&login, &socket, &server).await }
    });
    let detailed = feed.detailed;
    let feed = feed.clone();
    pages.on_connected(move |socket: Socket, server: Server| {
        let feed = feed.clone();
        async move {
            // It began to join before there was a login, or came back without one. The mark stays: a page whose connection is
            // recovered has it still.
            if socket.get::<LetIn>().is_none() {
                socket.disconnect();
                return Ok(());
            }
            feed.start();
            if let Some(session) = socket.remove::<NewSession>() {
                socket.emit("session", &*session.0)?;
            }
            socket.emit("config", &wire::config(read_only, detailed))?;
            if detailed {
                socket.emit("all_sockets", &Value::from(feed.all_sockets(&server).await))?;
            }
            Ok::<_, crate::EmitError>(())
        }
    });
    // These are the page's own matters: no handler for any namespace stands in.
    pages.on_connect(|| ready(())).on_disconnect(|| ready(())).on_disconnecting(|| ready(()));
    pages.on_fallback(|| ready(())).event_middleware(|| ready(())).on_any(|| ready(()));
    if !read_only {
        pages.on("emit", async |server: Server, args: Args| emit(&server, &args));
        pages.on("join", async |server: Server, args: Args| join(&server, &args));
        pages.on("leave", async |server: Server, args: Args| leave(&server, &args));
        pages.on("_disconnect", async |server: Server, args: Args| disconnect(&server, &args));
    }
}

async fn let_in(login: &Login, socket: &Socket, server: &Server) -> Result<(), Refusal> {
    let auth: Value = socket.auth().unwrap_or_default();
    let address = server.0.gate.address_of(socket.handshake());
    match login.judge(&auth, address).await {
        Verdict::Known => {}
        Verdict::New => {
            let id = server.0.fresh_id();
            login.save(&id).await;
            socket.insert(NewSession(id));
        }
        Verdict::Refused(words) => return Err(Refusal::new(words)),
    }
    socket.insert(LetIn);
    Ok(())
}

/// Ignores a malformed command of a page.
fn ignore(command: &str, args: &Args) {
    debug!(command, ?args, "the admin UI asks for what cannot be");
}

/// Does something with the sockets that a page names: those of a namespace, or those in a room of it, which a socket's
/// id is as well. A namespace that a client could not reach is not made.
fn with_sockets(server: &Server, command: &str, args: &Args, filter: usize, act: impl FnOnce(Broadcast)) {
    let filter: Option<String> = args.get::<Option<String>>(filter).unwrap_or_default();
    let name: Option<Arc<str>> = args.get::<String>(0).ok().map(Into::into);
    let found = name
        .and_then(|name| server.0.existing_namespace(&name).or_else(|| server.0.namespace_for(&name, None)));
    let Some(namespace) = found else { return ignore(command, args) };
    info!(command, namespace = &*namespace.name, room = filter, "the admin UI commands");
    let everybody = Namespace(namespace.clone()).broadcast();
    act(match filter.filter(|room| !room.is_empty()) {
        Some(room) => everybody.to(room),
        None => everybody,
    });
    server.0.namespace_left(&namespace);
}

/// `emit`: namespace, room or null, event, arguments.
fn emit(server: &Server, args: &Args) {
    let Ok(event) = args.get::<String>(2) else { return ignore("emit", args) };
    with_sockets(server, "emit", args, 1, |sockets| {
        if let Err(error) = sockets.emit(&event, &args.skip(3)) {
            debug!(%error, event, "the admin UI cannot emit this");
        }
    });
}

/// `join`: namespace, room to join, room or null.
fn join(server: &Server, args: &Args) {
    let Ok(room) = args.get::<String>(1) else { return ignore("join", args) };
    with_sockets(server, "join", args, 2, |sockets| {
        if let Err(error) = sockets.join(&room) {
            debug!(%error, "the admin UI lets sockets join a room that they may not");
        }
    });
}

/// `leave`: namespace, room to leave, room or null.
fn leave(server: &Server, args: &Args) {
    let Ok(room) = args.get::<String>(1) else { return ignore("leave", args) };
    with_sockets(server, "leave", args, 2, |sockets| sockets.leave(&room));
}

/// `_disconnect`: namespace, whether to close the connections, room or null.
fn disconnect(server: &Server, args: &Args) {
    let closes = args.get::<Option<bool>>(1).unwrap_or_default().unwrap_or_default();
    with_sockets(
        server,
        "_disconnect",
        args,
        2,
        |sockets| {
            if closes { sockets.close() } else { sockets.disconnect() }
        },
    );
}
