//! Connections on which nothing happens cost no time of the processor. Each adapter includes this file in a program of
//! its own, so that nothing else is measured.

use crate::sansocket::{Server, ServerBuilder};
use crate::support::{Client, Poller, send_request, serve};
use std::time::Duration;
use tokio::net::TcpStream;

/// The processor's time of this process so far, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the process's figures");
    // After the name, which may contain blanks, the fields from the third on: user and system time are 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

/// Holds a hundred idle connections of each kind, and looks at the clock of the process.
pub(crate) async fn nothing_happens_and_nothing_runs(builder: ServerBuilder) {
    let io: Server = builder.ping_interval(Duration::from_secs(600)).build().expect("a server");
    io.namespace("/").on("echo", async |crate::sansocket::Data(number): crate::sansocket::Data<u32>| number);
    let addr = serve(&io).await;
    let (mut clients, mut polls, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..100 {
        let mut client = Client::joined(addr).await;
        assert_eq!(client.ask(&format!(r#"["echo",{number}]"#)).await, format!("[{number}]"));
        clients.push(client);
        let poller = Poller::joined(addr).await;
        let mut poll = TcpStream::connect(addr).await.expect("a connection");
        send_request(&mut poll, "GET", &poller.target, "", "").await;
        polls.push(poll);
        // Connections that have sent no request yet.
        silent.push(TcpStream::connect(addr).await.expect("a connection"));
    }
    // What a busy machine has left to do of the above is not what is measured.
    let mut before = ticks();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if ticks() == before {
            break;
        }
        before = ticks();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = ticks() - before;
    assert!(spent <= 5, "{spent} ticks in a second in which nothing happened");
    assert_eq!(io.clients_count(), 200);
    // They are all alive.
    for client in &mut clients {
        assert_eq!(client.ask(r#"["echo",1]"#).await, "[1]");
    }
}
