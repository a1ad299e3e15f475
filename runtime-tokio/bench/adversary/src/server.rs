//! The server under attack: the library's defaults, with deadlines short enough for a program of a minute.
use sansocket_tokio::{Data, Listener, Server, Socket};
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The largest number of bytes that wait for one client.
pub const SEND_BUDGET: usize = 1 << 20;

pub async fn serve() {
    let io = Server::builder()
        .first_head_timeout(secs(2))
        .body_timeout(secs(2))
        .write_timeout(secs(2))
        .connect_timeout(secs(3))
        .upgrade_timeout(secs(2))
        .ping_interval(secs(5))
        .ping_timeout(secs(5))
        .pause_timeout(secs(3))
        .close_timeout(secs(2))
        .send_budget(SEND_BUDGET)
        .max_pending_acks(2000)
        .max_dynamic_namespaces(1000)
        .build()
        .expect("a server");
    // Refusals are what this is about: no line for each.
    io.on_error(|_, _| ());
    io.on("echo", async |Data(number): Data<u64>| number)
        .on("listen", async |socket: Socket| {
            socket.join("listeners").map(drop).map_err(|error| error.to_string())
        })
        .on("rooms", async |socket: Socket, Data(count): Data<u32>| {
            (0..count).filter(|room| socket.join(&format!("room-{room}")).is_ok()).count()
        })
        .on("ask", async |socket: Socket, Data(count): Data<u32>| {
            for _ in 0..count {
                // It is sent by the call; nobody waits for the answer.
                drop(socket.emit_with_ack("?", &(), secs(3)));
            }
        })
        .on("blast", async |socket: Socket, Data(count): Data<u32>| {
            let large = "x".repeat(32 << 10);
            for _ in 0..count {
                let _ = socket.namespace().to("blasted").emit("blast", &large);
            }
        })
        .on("stall", async |socket: Socket| {
            let _ = socket.join("blasted");
        });
    io.dynamic_namespace("/n-*");
    let ticker = io.clone();
    tokio::spawn(async move {
        let payload = "t".repeat(512);
        for number in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let _ = ticker.to("listeners").emit("tick", &(number, &payload));
        }
    });
    let stats = io.clone();
    let listening = Listener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .mount(&io)
        .fallback(move |_| {
            let stats = stats.stats();
            async move {
                let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
                let text = format!(
                    "{} {tasks} {}\n{:?} {:?}",
                    stats.sessions, stats.panics, stats.closed, stats.refused
                );
                http::Response::new(text.into())
            }
        })
        .spawn()
        .expect("an address");
    println!("{}", listening.local_addr().port());
    listening.wait().await;
}
