//! Socket.IO inside an actix-web application, beside ordinary routes and on the same port.
//!
//! ```text
//! cd hosts/actix-web && cargo run --example actix
//! ```
//!
//! Then open <http://127.0.0.1:3000> in two windows.

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use sansocket_tokio::{Data, EmitError, Server, Socket};
use std::time::Duration;

const PAGE: &str = r#"<!doctype html>
<title>actix-web</title>
<script src="/socket.io/socket.io.js"></script>
<input id="text" placeholder="say something"><ul id="said"></ul>
<script>
  const socket = io();
  text.onchange = () => { socket.emit("say", text.value); text.value = ""; };
  socket.on("said", (words) => said.append(Object.assign(document.createElement("li"), { textContent: words })));
</script>"#;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let io = Server::builder().serve_client_bundle().build().map_err(std::io::Error::other)?;
    io.on("say", async |socket: Socket, Data(text): Data<String>| {
        socket.namespace().emit("said", &text)?;
        Ok::<_, EmitError>(text.len())
    });

    let served = io.clone();
    let server = HttpServer::new(move || {
        let page = async || HttpResponse::Ok().content_type(ContentType::html()).body(PAGE);
        App::new().service(sansocket_actix_web::mount(&served)).route("/", web::get().to(page))
    });
    let server = server.bind("127.0.0.1:3000")?.disable_signals().run();
    println!("open http://127.0.0.1:3000 in two windows");
    let handle = server.handle();
    tokio::spawn(async move {
        io.shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(5)).await;
        handle.stop(true).await;
    });
    server.await
}
