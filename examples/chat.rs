//! The well-known Socket.IO chat, for every runtime: each adapter's example includes this file and provides the adapter as
//! `crate::sansocket`. On several nodes of a cluster it is one chat.

use crate::sansocket::{Data, EmitError, Incomplete, Listener, Server, ServerBuilder, Socket};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde::Serialize;

/// The room of those who have given their name.
const PEOPLE: &str = "people";

/// The name that somebody has given, kept with the socket.
struct Name(String);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    num_users: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Somebody<'a> {
    username: &'a str,
    num_users: usize,
}

#[derive(Serialize)]
struct Typist<'a> {
    username: &'a str,
}

#[derive(Serialize)]
struct Said<'a> {
    username: &'a str,
    message: &'a str,
}

/// The number of people, on all nodes if there are several. Without one that does not answer, the others count.
async fn people(io: &Server) -> usize {
    io.to(PEOPLE).fetch_sockets().await.unwrap_or_else(|Incomplete { came, .. }| came).len()
}

async fn add_user(
    io: Server,
    socket: Socket,
    Data(username): Data<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if socket.get::<Name>().is_some() {
        return Ok(());
    }
    socket.insert(Name(username.clone()));
    socket.join(PEOPLE)?;
    let num_users = people(&io).await;
    socket.emit("login", &Count { num_users })?;
    socket.broadcast().emit("user joined", &Somebody { username: &username, num_users })?;
    Ok(())
}

async fn new_message(socket: Socket, Data(message): Data<String>) -> Result<(), EmitError> {
    let Some(name) = socket.get::<Name>() else { return Ok(()) };
    socket.broadcast().emit("new message", &Said { username: &name.0, message: &message })
}

async fn typing(socket: Socket) -> Result<(), EmitError> {
    let Some(name) = socket.get::<Name>() else { return Ok(()) };
    socket.broadcast().emit("typing", &Typist { username: &name.0 })
}

async fn stop_typing(socket: Socket) -> Result<(), EmitError> {
    let Some(name) = socket.get::<Name>() else { return Ok(()) };
    socket.broadcast().emit("stop typing", &Typist { username: &name.0 })
}

async fn left(io: Server, socket: Socket) -> Result<(), EmitError> {
    let Some(name) = socket.remove::<Name>() else { return Ok(()) };
    let num_users = people(&io).await;
    socket.broadcast().emit("user left", &Somebody { username: &name.0, num_users })
}

/// The page, and nothing else.
async fn page(request: Request<hyper::body::Incoming>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(include_bytes!("chat.html")));
    if request.uri().path() == "/" {
        let html = header::HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
    } else {
        *response.body_mut() = Bytes::from_static(b"not found");
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

/// Serves the chat until the process ends. `also` adds what an example has besides.
pub(crate) async fn run(
    mut builder: ServerBuilder,
    also: impl FnOnce(&Server),
) -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 =
        flag("--port").or_else(|| std::env::var("PORT").ok()).map_or(Ok(3000), |port| port.parse())?;
    let host = flag("--host").unwrap_or_else(|| "127.0.0.1".to_owned());

    builder = match flag("--client-dist") {
        Some(directory) => builder.serve_client(directory),
        None => builder.serve_client_bundle(),
    };
    let io = builder.build()?;
    io.namespace("/")
        .on("add user", add_user)
        .on("new message", new_message)
        .on("typing", typing)
        .on("stop typing", stop_typing)
        .on_disconnect(left);
    also(&io);

    let listening = Listener::bind((host, port)).await?.mount(&io).fallback(page).spawn()?;
    println!("open http://{} in two windows", listening.local_addr());
    listening.wait().await;
    Ok(())
}
