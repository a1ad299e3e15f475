//! Lines of the log at `info` about mistakes in the setting up: a client with another parser than the server, a page whose
//! script is not served.
#![cfg(feature = "tracing")]

use sansocket_runtime::adapter::{ConnInfo, Mount as _, ServerOptions};
use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{Parser, Server, ServerBuilder, TransportKind};
use std::fmt::{Debug, Write};
use std::sync::{Arc, LazyLock, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Keeps what is said at `info` and above.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Has a subscriber told of all that its thread logs. While `tracing` knows of one dispatcher only, it asks that of the
/// thread that comes first to a place in the code: a test beside this one, which has none, would silence it for all.
fn listen<T>(subscriber: impl Subscriber + Send + Sync, run: impl FnOnce() -> T) -> T {
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
    LazyLock::force(&ANOTHER);
    tracing::subscriber::with_default(subscriber, run)
}

#[test]
fn the_log_says_that_a_client_has_another_parser() {
    for (servers, clients) in [(Parser::msgpack(), Parser::json()), (Parser::json(), Parser::msgpack())] {
        for transport in [TransportKind::Polling, TransportKind::WebSocket] {
            let lines = Lines::default();
            listen(lines.clone(), || {
                let server = TestServer::new(|runtime| {
                    ServerBuilder::<Server, ServerOptions>::new(runtime).parser(servers).build()
                });
                let client = server.try_client("/", |builder| {
                    builder.parser(clients).transports([transport]).reconnection(false)
                });
                assert!(client.is_err());
                server.settle();
            });
            let lines = lines.0.lock().unwrap();
            let said = lines.iter().any(|line| line.contains("another parser") && line.contains("mistake"));
            assert!(said, "{} at {} by {transport:?}: {lines:?}", clients.name(), servers.name());
        }
    }
}

#[test]
fn the_log_says_how_the_browsers_client_is_served() {
    for (target, is_explained) in [
        ("/socket.io/socket.io.js", true),
        ("/socket.io/socket.io.esm.min.js?v=1", true),
        ("/socket.io/?EIO=4&transport=pigeon", false),
        ("/socket.io/other.js", false),
    ] {
        let lines = Lines::default();
        listen(lines.clone(), || {
            let test = TestServer::default();
            let request = http::Request::get(target).body(http_body_util::Empty::<&[u8]>::new());
            let endpoint = test.server().mount_point();
            let answer = endpoint.respond(request.expect("a request"), ConnInfo::default());
            assert_eq!(test.block_on(answer).status(), 400, "as the reference answers");
        });
        let lines = lines.0.lock().unwrap();
        let said = lines.iter().filter(|line| line.contains("serve_client_bundle")).count();
        assert_eq!(said, usize::from(is_explained), "{target}: {lines:?}");
    }
}
