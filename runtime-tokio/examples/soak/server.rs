//! The process of the server: two of them, one patient with clients and one that is not, and their figures.

use sansocket_tokio::{Args, Data, Listener, Listening, Server, ServerBuilder, Socket};
use serde_json::{Value, json};
use std::io;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// The size of the events that nobody reads, and their number: more than fits.
const FLOOD: (usize, usize) = (64 << 10, 100);
/// The time between two events for those who stay.
const TICK: Duration = Duration::from_millis(100);

fn register(io: &Server) {
    io.on("echo", async |args: Args| args)
        .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop))
        .on("say", async |socket: Socket, Data(room): Data<String>, args: Args| {
            let _ = socket.to(&room).emit("said", &args.skip(1));
        })
        .on("flood", async |socket: Socket| {
            let payload = "x".repeat(FLOOD.0);
            for _ in 0..FLOOD.1 {
                if socket.emit("wave", &payload).is_err() {
                    return;
                }
            }
        })
        .on_concurrent("ask me", async |socket: Socket| {
            let _ = socket.emit_with_ack("question", &(), Duration::from_millis(300)).await;
        });
    io.dynamic_namespace("/game-*").on("echo", async |args: Args| args);
}

async fn listen(builder: ServerBuilder) -> io::Result<(Server, Listening)> {
    let io = builder.build().map_err(io::Error::other)?;
    register(&io);
    let listening = Listener::bind("127.0.0.1:0").await?.mount(&io).spawn()?;
    Ok((io, listening))
}

/// Serves until its input ends; each line of it asks for the figures.
pub(crate) async fn run() -> io::Result<()> {
    let (patient, at) = listen(Server::builder()).await?;
    let strict = Server::builder()
        .ping_interval(Duration::from_millis(500))
        .ping_timeout(Duration::from_millis(500))
        .connect_timeout(Duration::from_secs(1))
        .upgrade_timeout(Duration::from_secs(1))
        .close_timeout(Duration::from_secs(1))
        .head_timeout(Duration::from_secs(1))
        .first_head_timeout(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .body_timeout(Duration::from_secs(1))
        .write_timeout(Duration::from_secs(1));
    let (strict, strict_at) = listen(strict).await?;
    println!("{}", json!({ "patient": at.local_addr().port(), "strict": strict_at.local_addr().port() }));
    let ticking = patient.clone();
    tokio::spawn(async move {
        for tick in 0_u64.. {
            tokio::time::sleep(TICK).await;
            let _ = ticking.to("steady").emit("tick", &tick);
        }
    });
    let (runtime, ended) = (Handle::current(), Arc::new(Notify::new()));
    let end = ended.clone();
    // A thread of its own, and not one of the runtime's: it waits for a pipe.
    std::thread::spawn(move || {
        for _ in io::stdin().lock().lines().map_while(Result::ok) {
            println!("{}", figures(&runtime, &[&patient, &strict]));
        }
        end.notify_one();
    });
    ended.notified().await;
    Ok(())
}

fn figures(runtime: &Handle, servers: &[&Server]) -> Value {
    let stats: Vec<_> = servers.iter().map(|server| server.stats()).collect();
    let namespaces: Vec<_> = servers.iter().flat_map(|server| server.namespaces()).collect();
    json!({
        "sessions": stats.iter().map(|stats| stats.sessions).sum::<u64>(),
        "sockets": namespaces.iter().map(|namespace| namespace.len()).sum::<usize>(),
        "rooms": namespaces.iter().map(|namespace| namespace.rooms().len()).sum::<usize>(),
        "tasks": runtime.metrics().num_alive_tasks(),
        "descriptors": descriptors(),
        "rss": resident(),
        "panics": stats.iter().map(|stats| stats.panics).sum::<u64>(),
        "opened": stats.iter().map(|stats| stats.opened).sum::<u64>(),
        "closed": stats.iter().flat_map(|stats| stats.closed.values()).sum::<u64>(),
    })
}

/// The open descriptors of this process; 0 where the system does not list them.
fn descriptors() -> usize {
    // The listing is one itself, each time.
    Path::new("/proc/self/fd").read_dir().map_or(0, Iterator::count)
}

/// The resident memory in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}
