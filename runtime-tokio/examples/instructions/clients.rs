//! The scenarios of a client: its server is an end that knows bytes alone.

use crate::end::{End, text_back, text_unmasked};
use crate::scenarios::{Round, Test, small};
use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::Runtime;
use sansocket_tokio::{Args, BoxFuture, Client, ClientSocket, Dial, Stream, TransportKind};
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::duplex;

/// The bytes that a connection holds in each direction.
const CAPACITY: usize = 64 << 10;

/// A network that keeps the servers' ends of its connections.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<Vec<End>>>);

impl Dial for Network {
    fn dial(&self, _: String, _: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let (near, far) = duplex(CAPACITY);
        let far = End::new(Box::new(TokioIo::new(far)));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(far);
        let near: Box<dyn Stream> = Box::new(TokioIo::new(near));
        Box::pin(ready(Ok(near)))
    }

    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

/// A client in the main namespace on a WebSocket, and its server's end.
fn joined(test: &Test) -> (Client, End) {
    let network = Network::default();
    let client = Client::builder("http://test")
        .runtime(test.runtime())
        .transports([TransportKind::WebSocket])
        .dial(network.clone())
        .build()
        .expect("a client");
    client.start();
    test.settle();
    let mut server = network.0.lock().unwrap_or_else(PoisonError::into_inner).remove(0);
    // Until it is connected, the test's server answers in place of the one that knows bytes alone.
    let mut behind = End::connect(test);
    while !client.is_connected() {
        let asked = server.received();
        assert!(!asked.is_empty(), "the client has nothing to say, and is not connected");
        behind.send(asked);
        test.settle();
        server.send(behind.received());
        test.settle();
    }
    (client, server)
}

/// Events of 64 bytes that the client sends back, 64 at a time.
pub(crate) fn client_echo(test: &Test) -> Round<'_> {
    const DEPTH: usize = 64;
    let (client, mut server) = joined(test);
    let text = small();
    client.on("echo", move |socket: ClientSocket, _: Args| {
        let _ = socket.emit("echo", &text);
        ready(())
    });
    let event = format!(r#"42["echo","{}"]"#, small());
    let (sends, gets) = (text_back(&event).repeat(DEPTH), text_unmasked(&event).repeat(DEPTH));
    Box::new(move || {
        server.send(&sends);
        test.settle();
        assert!(server.received_unmasked() == gets, "something else has come back than an echo of each");
        assert!(client.is_connected());
        DEPTH
    })
}

/// Acknowledged events that the client sends, 16 at a time: each of as many tasks sends the next once it has its answer.
pub(crate) fn client_ack(test: &Test) -> Round<'_> {
    const DEPTH: usize = 16;
    /// More than are run.
    const ROUNDS: usize = 100;
    let (client, mut server) = joined(test);
    for _ in 0..DEPTH {
        let (client, text) = (client.clone(), small());
        test.runtime().spawn(Box::pin(async move {
            while let Ok(answer) = client.call::<_, String>("ack", &text).await {
                assert_eq!(answer, text);
            }
        }));
    }
    test.settle();
    let calls = |id| text_unmasked(&format!(r#"42{id}["ack","{}"]"#, small()));
    let answers = |id| text_back(&format!(r#"43{id}["{}"]"#, small()));
    let of_round = move |round| {
        let ids = round * DEPTH..(round + 1) * DEPTH;
        (ids.clone().flat_map(calls).collect::<Vec<u8>>(), ids.flat_map(answers).collect::<Vec<u8>>())
    };
    let mut rounds = (0..ROUNDS).map(of_round).collect::<Vec<_>>().into_iter();
    Box::new(move || {
        let (calls, answers) = rounds.next().expect("more rounds than are ready");
        assert!(server.received_unmasked() == calls, "something else has come than a call of each task");
        server.send(&answers);
        test.settle();
        DEPTH
    })
}
