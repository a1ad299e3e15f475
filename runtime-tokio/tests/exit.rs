//! A process that ends as soon as its server has shut down.

#[path = "../../socket-tests/support.rs"]
mod support;

use sansocket_tokio as sansocket;

use sansocket_tokio::Server;
use std::time::Duration;
use support::{Poller, Response, get, send_request, serve, soon};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

const POLLERS: usize = 100;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

#[test]
fn polls_that_wait_are_told_before_the_process_ends() {
    let clients = runtime();
    for server in [runtime(), Builder::new_current_thread().enable_all().build().expect("a runtime")] {
        let io = Server::builder().build().expect("a server");
        let addr = server.block_on(serve(&io));
        let polls = clients.spawn(async move {
            let mut polls = Vec::new();
            for _ in 0..POLLERS {
                let poller = Poller::joined(addr).await;
                let mut poll = TcpStream::connect(addr).await.expect("a connection");
                send_request(&mut poll, "GET", &poller.target, "", "").await;
                polls.push(poll);
            }
            // By the time another request is answered, the polls have too.
            get(addr, "/socket.io/?EIO=4&transport=polling&sid=unknown").await;
            polls
        });
        let polls = server.block_on(polls).expect("no panic");
        server.block_on(io.shutdown(Duration::from_secs(3600)));
        drop(server);
        let told = clients.block_on(async {
            let mut told = 0;
            for mut poll in polls {
                told +=
                    usize::from(soon(Response::read(&mut poll)).await.is_some_and(|told| told.body == "1"));
            }
            told
        });
        assert_eq!(told, POLLERS);
    }
}
