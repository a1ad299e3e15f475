//! The module `testing` with this adapter: its `Server` on the runtime of a test, and its `Client` on a `Loopback`.

use sansocket_async_std::testing::{Loopback, TestServer};
use sansocket_async_std::{Client, Data, Server, TransportKind};

fn register(io: &Server) {
    io.on("echo", async |Data(text): Data<String>| {
        async_io::Timer::after(std::time::Duration::from_millis(1)).await;
        text
    });
    io.on("length", async |Data(text): Data<String>| text.len());
}

#[test]
fn an_ordinary_test_blocks() {
    let test = TestServer::new(|runtime| Server::builder().runtime(runtime).build());
    register(test.server());
    let ada = test.client("/");
    assert_eq!(ada.call::<usize>("length", &"hello"), 5);
    assert_eq!(ada.transport(), Some(TransportKind::WebSocket));
}

#[test]
fn a_client_on_a_loopback() {
    async_io::block_on(async {
        let io = Server::builder().build().expect("a server");
        register(&io);
        let ada = Client::builder("http://test").dial(Loopback::to(&io)).build().expect("a client");
        ada.connect().await.expect("connected");
        assert_eq!(ada.call::<_, String>("echo", "hello").await.expect("an answer"), "hello");
    });
}
