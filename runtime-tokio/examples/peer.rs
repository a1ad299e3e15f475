//! The server that clients are tested against: our own among the four peer servers in `interop/README.md`.
//!
//! ```text
//! cargo run -p sansocket-tokio --example peer -- --port 3000 --ticks
//! ```
//!
//! It prints `listening PORT`. Flags: `--port` (0, for any port), `--transports` (`polling,websocket`),
//! `--ping-interval` and `--ping-timeout` in milliseconds (25000 and 20000), `--path` (`/socket.io`), `--record`
//! FILE, `--ticks`.

use sansocket_tokio::{
    Args, Auth, Data, Listener, Namespace, Refusal, Server, Socket, TransportKind, Transports,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

#[derive(Deserialize)]
struct Login {
    token: String,
}

fn register(namespace: &Namespace, record: Option<String>) {
    namespace
        .on("echo", async |socket: Socket, args: Args| {
            let _ = socket.emit("echo", &args);
        })
        .on("ack", async |args: Args| args)
        .on("ask", async |socket: Socket, args: Args| {
            let answer = socket.emit_with_ack("question", &args, Duration::from_secs(60));
            tokio::spawn(async move {
                if let Ok(answer) = answer.await {
                    let _ = socket.emit("answered", &answer);
                }
            });
        })
        .on("burst", async |socket: Socket, Data(n): Data<u64>| {
            for i in 0..n {
                let _ = socket.emit("tick", &i);
            }
        })
        .on("kick", async |socket: Socket| socket.disconnect())
        .on("close", async |socket: Socket| socket.close())
        .on("log", move |Data((uid, payload)): Data<(Box<RawValue>, Box<RawValue>)>| {
            let logged = append(record.as_deref(), &uid, &payload).map(|()| Data(uid));
            async { logged }
        });
}

fn append(record: Option<&str>, uid: &RawValue, payload: &RawValue) -> std::io::Result<()> {
    let Some(record) = record else { return Ok(()) };
    // In one write, for programs that read the file meanwhile.
    let line = format!("{{\"uid\":{uid},\"payload\":{payload}}}\n");
    OpenOptions::new().create(true).append(true).open(record)?.write_all(line.as_bytes())
}

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

fn millis(name: &str, default: u64) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_millis(option(name).map_or(Ok(default), |value| value.parse())?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = option("--port").map_or(Ok(0), |port| port.parse())?;
    let transports = option("--transports").unwrap_or_else(|| "polling,websocket".to_owned());
    let both = [TransportKind::Polling, TransportKind::WebSocket];
    let served: Transports = both.into_iter().filter(|kind| transports.contains(kind.as_str())).collect();
    let record = option("--record");

    let io = Server::builder()
        .path(&option("--path").unwrap_or_else(|| "/socket.io".to_owned()))
        .transports(served)
        .ping_interval(millis("--ping-interval", 25_000)?)
        .ping_timeout(millis("--ping-timeout", 20_000)?)
        .build()?;
    for name in ["/", "/chat", "/auth", "/late"] {
        register(&io.namespace(name), record.clone());
    }
    io.namespace("/auth").on_connect(async |auth: Option<Auth<Login>>| match auth {
        Some(Auth(login)) if login.token == "secret" => Ok(()),
        _ => Err(Refusal::new("not authorized").data(&serde_json::json!({ "code": 401 }))),
    });
    // It goes out behind the reply: this server never emits before it.
    io.namespace("/late").on_connect(async |socket: Socket| {
        let _ = socket.emit("early", &1);
    });

    let listening = Listener::bind(("127.0.0.1", port)).await?.mount(&io).spawn()?;
    println!("listening {}", listening.local_addr().port());
    if std::env::args().any(|arg| arg == "--ticks") {
        let namespace = io.namespace("/");
        tokio::spawn(async move {
            for n in 0_u64.. {
                let _ = namespace.emit("tick", &n);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    listening.wait().await;
    Ok(())
}
