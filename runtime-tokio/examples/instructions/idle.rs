//! The memory of an idle connection: the server is on a thread of its own, and what that thread allocates is counted.

use crate::{end, register, server};
use allocation_counter::measure;
use sansocket_tokio::Server;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Few enough for the limit of open files that a shell has.
const CONNECTIONS: usize = 200;
/// Those before, which are not counted: tables and lists grow by doubling.
const BEFORE: usize = 56;

/// The bytes that were asked for and are held for a client in one namespace, on a WebSocket.
pub(crate) fn bytes_per_connection() -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let io = server(Server::builder()).build().expect("a server");
    register(&io);
    let listening = runtime.block_on(io.listen("127.0.0.1:0")).expect("a port");
    let address = listening.local_addr();
    let mut clients = Vec::new();
    let mut join = |count: usize| {
        let (done, joined) = oneshot::channel();
        let opening = thread::spawn(move || {
            let opened: Vec<_> = (0..count).map(|_| joined_client(address)).collect();
            let _ = done.send(());
            opened
        });
        runtime.block_on(joined).expect("clients that are let in");
        // The sessions fall asleep.
        let total = clients.len() + count;
        while io.clients_count() < total {
            runtime.block_on(tokio::task::yield_now());
        }
        clients.extend(opening.join().expect("clients that are let in"));
    };
    join(BEFORE);
    let held = measure(|| join(CONNECTIONS));
    u64::try_from(held.bytes_current).unwrap_or_default() / u64::try_from(CONNECTIONS).unwrap_or(u64::MAX)
}

fn joined_client(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    for (sends, gets) in [(end::upgrade(), "0{\"sid\""), (end::text("40"), "40{\"sid\"")] {
        stream.write_all(&sends).expect("the server reads");
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains(gets) {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).expect("the server writes");
            assert!(count > 0, "the server has closed the connection");
            received.extend(&piece[..count]);
        }
    }
    stream
}
