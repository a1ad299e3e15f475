//! permessage-deflate between a client and a server, as both see it by what they write.

use crate::sansocket::{Args, Bytes, Client, ClientBuilder, Data, PerMessageDeflate, Server, Socket, Stats};
use crate::suite::relay::{UPGRADE, WEBSOCKET, quick};
use crate::suite::support::{serve, soon};
use std::net::SocketAddr;
use std::time::Duration;

/// Text that becomes much shorter.
const TEXT: &str = "all work and no play ";
const MINUTE: Duration = Duration::from_secs(60);

fn all_messages() -> PerMessageDeflate {
    PerMessageDeflate::default().threshold(0)
}

async fn server(deflate: Option<PerMessageDeflate>) -> (Server, SocketAddr) {
    let builder = crate::server();
    let builder = match deflate {
        Some(deflate) => builder.per_message_deflate(deflate),
        None => builder,
    };
    let io = builder.build().expect("a server");
    io.root().on("echo", async |args: Args| args).on(
        "as it is",
        async |socket: Socket, Data(text): Data<String>| {
            let answer = socket.compress(false).emit_with_ack("as it is", &text, MINUTE).await;
            answer.is_ok()
        },
    );
    let addr = serve(&io).await;
    (io, addr)
}

fn client(addr: SocketAddr, deflate: Option<PerMessageDeflate>) -> ClientBuilder {
    let builder = quick(addr, WEBSOCKET);
    match deflate {
        Some(deflate) => builder.per_message_deflate(deflate),
        None => builder,
    }
}

/// The server's counts, of all that was written before.
async fn counted(io: &Server, client: &Client) -> Stats {
    // What it writes last, it counts before it reads on.
    soon(client.emit_with_ack("echo", &(), MINUTE)).await.expect("an answer");
    io.stats()
}

/// Echoes text and bytes; returns what the server has read and written for that.
async fn echoed(io: &Server, client: ClientBuilder) -> (u64, u64) {
    let client = client.build().expect("a client");
    soon(client.connect()).await.expect("a connection");
    let before = io.stats();
    for times in [1, 100, 1000] {
        let sent = (TEXT.repeat(times), Bytes::from(TEXT.repeat(times)));
        let answer = soon(client.emit_with_ack("echo", &sent, MINUTE)).await.expect("an answer");
        assert!(answer.decode::<(String, Bytes)>().expect("the same types") == sent);
    }
    let after = counted(io, &client).await;
    client.disconnect();
    (
        after.websocket_bytes_in - before.websocket_bytes_in,
        after.websocket_bytes_out - before.websocket_bytes_out,
    )
}

/// The bytes of the messages that are echoed, at least.
const ECHOED: u64 = 2 * 1101 * TEXT.len() as u64;

#[tokio::test]
async fn messages_are_compressed_where_both_ends_want_it() {
    let takeover = || all_messages().server_context_takeover(true).client_context_takeover(true);
    let small = || all_messages().server_window_bits(9).client_window_bits(10).memory_level(1).level(1);
    for (server_has, client_has, is_compressed) in [
        (Some(all_messages()), Some(all_messages()), true),
        (Some(takeover()), Some(takeover()), true),
        (Some(takeover()), Some(all_messages()), true),
        (Some(all_messages()), Some(takeover()), true),
        (Some(all_messages()), Some(small()), true),
        (Some(small()), Some(all_messages()), true),
        (Some(small()), Some(takeover()), true),
        (Some(all_messages()), None, false),
        (None, Some(all_messages()), false),
    ] {
        let (io, addr) = server(server_has.clone()).await;
        let (read, written) = echoed(&io, client(addr, client_has.clone())).await;
        let is_short = |bytes| bytes < ECHOED / 10;
        let what = format!("{server_has:?} {client_has:?}: {read} {written}");
        assert_eq!((is_short(read), is_short(written)), (is_compressed, is_compressed), "{what}");
        if !is_compressed {
            assert!(read > ECHOED && written > ECHOED, "{what}");
        }
    }
}

#[tokio::test]
async fn an_upgraded_session_is_compressed_as_well() {
    let (io, addr) = server(Some(all_messages())).await;
    let client = quick(addr, UPGRADE).per_message_deflate(all_messages()).build().expect("a client");
    soon(client.connect()).await.expect("a connection");
    for times in 1..100 {
        let sent = TEXT.repeat(times);
        let answer = soon(client.emit_with_ack("echo", &sent, MINUTE)).await.expect("an answer");
        assert!(answer.decode::<String>().expect("text") == sent);
    }
    assert_eq!(io.root().sockets().len(), 1);
}

#[tokio::test]
async fn a_broadcast_reaches_ends_of_all_kinds() {
    let (io, addr) = server(Some(all_messages())).await;
    let mut clients = Vec::new();
    for deflate in
        [None, Some(all_messages()), Some(all_messages().server_window_bits(9)), Some(all_messages())]
    {
        let client = client(addr, deflate).build().expect("a client");
        let events = client.events();
        soon(client.connect()).await.expect("a connection");
        clients.push((client, events));
    }
    let sent = (TEXT.repeat(500), Bytes::from(TEXT.repeat(500)));
    io.root().emit("news", &sent).expect("it is sent");
    io.root().broadcast().compress(false).emit("news", &sent).expect("it is sent");
    for (_, events) in &mut clients {
        for _ in 0..2 {
            let event = soon(events.next()).await.expect("an event");
            assert!(event.decode::<(String, Bytes)>().expect("the same types") == sent);
        }
    }
}

#[tokio::test]
async fn an_event_is_left_as_it_is_if_the_application_says_so() {
    let (io, addr) = server(Some(all_messages())).await;
    let client = client(addr, Some(all_messages())).build().expect("a client");
    client.on("as it is", async |_: Args| true);
    soon(client.connect()).await.expect("a connection");
    let sent = TEXT.repeat(1000);
    let before = io.stats();
    let answer = soon(client.emit_with_ack("as it is", &sent, MINUTE)).await.expect("an answer");
    assert!(answer.decode::<bool>().expect("a flag"));
    let after = counted(&io, &client).await;
    assert!(after.websocket_bytes_out - before.websocket_bytes_out > sent.len() as u64);
    assert!(after.websocket_bytes_in - before.websocket_bytes_in < sent.len() as u64 / 10);
}

#[test]
fn settings_out_of_their_range_build_nothing() {
    let wrong = all_messages().server_window_bits(8);
    let error = crate::server().per_message_deflate(wrong.clone()).build().expect_err("no server");
    assert!(error.to_string().contains("server_window_bits"), "{error}");
    let error = crate::client("http://localhost").per_message_deflate(wrong).build().expect_err("no client");
    assert!(error.to_string().contains("server_window_bits"), "{error}");
}
