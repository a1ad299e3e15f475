//! The client without async, for the adapters that have one: each test drives it from a thread of its own.

use crate::sansocket::{
    AckError, ClientSocket, ConnectError, Data, ReceiveError, Refusal, Server, Socket, TypedEvent, blocking,
};
use crate::suite::support::{serve, soon, until};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

struct Double;

impl TypedEvent for Double {
    const NAME: &'static str = "double";
    type Payload = u32;
    type Answer = u32;
}

async fn stage() -> (Server, String) {
    let io = crate::server().build().expect("a server");
    io.on("add", async |Data((a, b)): Data<(u32, u32)>| a + b)
        .on_typed(Double, async |number: u32| number * 2)
        .on("echo", async |socket: Socket, Data(text): Data<String>| socket.emit("echoed", &text))
        .on("ask me", async |socket: Socket| socket.call::<_, String>("name?", &()).await)
        .on("silence", async |ack: crate::sansocket::Ack| drop(ack));
    io.namespace("/closed").on_connect(async || Err::<(), _>(Refusal::new("not you")));
    io.namespace("/open");
    let addr = serve(&io).await;
    (io, format!("http://{addr}"))
}

/// Runs a program without async in a thread, and waits for its end.
async fn run(program: impl FnOnce() + Send + 'static) {
    let program = tokio::task::spawn_blocking(program);
    soon(program).await.expect("it does not panic");
}

#[tokio::test]
async fn a_program_without_async_emits_calls_and_receives() {
    let (io, address) = stage().await;
    run(move || {
        let client = blocking::client(&address, |builder| builder).expect("an address");
        let mut events = client.events();
        client.connect().expect("it is let in");
        assert!(client.is_connected() && client.id().is_some());
        assert_eq!(client.call::<_, u32>("add", &(1, 2)).expect("an answer"), 3);
        assert_eq!(client.call_typed(Double, &21).expect("an answer"), 42);
        client.emit("echo", &"hello").expect("it is sent");
        client.emit("echo", &"again").expect("it is sent");
        assert_eq!(events.receive(LONG).expect("an event").decode::<String>().expect("a text"), "hello");
        assert_eq!(events.next().expect("an event").decode::<String>().expect("a text"), "again");
        let nothing = events.receive(Duration::from_millis(10));
        assert!(matches!(nothing, Err(ReceiveError::Timeout)));
        let late = client.call_within::<_, u32>(Duration::from_millis(10), "silence", &());
        assert!(matches!(late, Err(AckError::Timeout)), "{late:?}");
        client.close();
        assert!(!client.is_connected() && events.next().is_none());
    })
    .await;
    until("the client has gone", || io.clients_count() == 0).await;
}

#[tokio::test]
async fn handlers_run_while_the_program_does_something_else() {
    let (_io, address) = stage().await;
    run(move || {
        let client = blocking::connect(&address).expect("it is let in");
        let (heard, hears) = mpsc::channel();
        client.on("name?", async |socket: ClientSocket| format!("{:?}", socket.is_connected()));
        client.on("echoed", move |Data(text): Data<String>| {
            let _ = heard.send((text, thread::current().id()));
            std::future::ready(())
        });
        // The server asks this client while it waits for the server.
        assert_eq!(client.call::<_, String>("ask me", &()).expect("an answer"), "true");
        client.emit("echo", &"hello").expect("it is sent");
        let (text, thread) = hears.recv_timeout(LONG).expect("an event");
        assert_eq!(text, "hello");
        assert_ne!(thread, thread::current().id());
        // Several threads, one client.
        thread::scope(|scope| {
            for number in 0..8_u32 {
                let client = client.clone();
                scope.spawn(move || {
                    let answer = client.call::<_, u32>("add", &(number, 1)).expect("an answer");
                    assert_eq!(answer, number + 1);
                });
            }
        });
    })
    .await;
}

#[tokio::test]
async fn namespaces_and_errors_are_those_of_the_client_with_async() {
    let (io, address) = stage().await;
    let server = io.clone();
    run(move || {
        let nobody = blocking::connect("http://127.0.0.1:1");
        assert!(matches!(nobody, Err(ConnectError::Session { .. })), "{nobody:?}");
        assert!(blocking::client("not an address", |builder| builder).is_err());
        let client = blocking::connect(&address).expect("it is let in");
        let refused = client.namespace("/closed").connect();
        assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.message() == "not you"));
        let open = client.namespace("/open");
        open.connect().expect("it is let in");
        assert_eq!(server.namespace("/open").len(), 1);
        // Without `close`, the connection ends with the last handle.
        drop(client);
        assert!(open.is_connected());
        drop(open);
    })
    .await;
    until("the client has gone", || io.clients_count() == 0).await;
}
