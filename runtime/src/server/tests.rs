//! Joining and leaving, with sessions in memory: the client, the network and the handlers do what the test says, in the
//! order that it says.

use crate::base::clock::Clock;
use crate::base::in_memory::{self, FarEnd, InMemory, Task};
use crate::base::turn::give_way;
use crate::handler::extract::{Auth, EmptiedRooms};
use crate::http::builder::ServerBuilder;
use crate::http::handshake::{ConnInfo, Handshake};
use crate::server::dispatch::SocketDispatch;
use crate::server::options::ServerOptions;
use crate::server::server::Server;
use crate::server::socket::Socket;
use crate::session::handle::SessionHandle;
use crate::session::stats::Counters;
use crate::session::task::Session;
use crate::websocket::{write_close, write_text};
use crate::{HandlerError, Refusal};
use bytes::Bytes;
use futures_channel::oneshot;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sansocket_protocol::engine::{EngineServerConfig, RequestHead, RequestId, Revision};
use sansocket_protocol::server::Connection;
use sansocket_protocol::socket::SocketServerConfig;
use serde::Deserialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MASK: [u8; 4] = [1, 2, 3, 4];

/// A server in memory.
fn server() -> (Server, InMemory) {
    let runtime = InMemory::new();
    let builder = ServerBuilder::<Server, ServerOptions>::new(runtime.clone());
    (builder.build().unwrap(), runtime)
}

/// A client on a WebSocket, with the task of its session.
struct Client {
    task: Task<Session<SocketDispatch>>,
    far: FarEnd,
}

impl Client {
    /// A client that has joined nothing.
    fn new(io: &Server, runtime: &InMemory) -> Self {
        let clock = Clock::new(Arc::new(runtime.clone()));
        let sockets = Arc::new(SocketServerConfig::default());
        let config = Arc::new(EngineServerConfig::default());
        let now = clock.now();
        let machine = Connection::new(now, Revision::V4, config, "an id".into(), Some(sockets));
        let session = SessionHandle::new(machine, clock);
        let handshake = Handshake::new(&http::Request::new(()), ConnInfo::default());
        let dispatch = SocketDispatch::new(io.0.clone(), handshake);
        let task = Session::new(session.clone(), dispatch, Arc::new(Counters::default()), Box::new(|| {}));
        let mut task = Task::new(task);
        let (sender, _) = oneshot::channel();
        session.with_inner(|inner| {
            inner.waiting_mut().requests.push((RequestId(1), sender));
            let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
            let target = "/socket.io/?EIO=4&transport=websocket";
            let head = RequestHead { method: "GET", target, headers: &&headers[..] };
            let _ = inner.machine.handle_request(now, RequestId(1), &head);
        });
        task.settle();
        let (near, far) = in_memory::stream();
        task.future().add_websocket(RequestId(1), Box::new(near), Bytes::new(), None, None);
        task.wake();
        task.settle();
        Self { task, far }
    }

    /// Sends Engine.IO packets in one piece.
    fn send(&self, packets: &[&str]) {
        let mut out = Vec::new();
        for packet in packets {
            write_text(&mut out, Some(MASK), packet.as_bytes());
        }
        self.far.send(&out);
    }
}

// --- presence -------------------------------------------------------------------------------------------------------

const USERS: usize = 1500;
const TABS: usize = 2;

#[derive(Deserialize)]
struct Login {
    user: String,
}

/// The number of times that each user was found to be gone.
type Gone = Arc<Mutex<BTreeMap<String, usize>>>;

fn note(gone: &Gone, user: &str) {
    *gone.lock().unwrap().entry(user.to_owned()).or_default() += 1;
}

/// A server that notes who is gone: by the rooms that were emptied, and by asking who is there after a while.
fn presence() -> (Server, InMemory, Gone, Gone) {
    let (io, runtime) = server();
    let (emptied, nobody) = (Gone::default(), Gone::default());
    io.on_connect(async |socket: Socket, Auth(login): Auth<Login>| -> Result<(), Refusal> {
        socket.join(&login.user).map(drop).map_err(|error| error.to_string().into())
    });
    io.on_disconnecting(async |socket: Socket, Auth(login): Auth<Login>| {
        assert!(socket.rooms().iter().any(|room| **room == *login.user), "its rooms are still there");
        give_way().await;
    });
    let (by_rooms, by_asking) = (emptied.clone(), nobody.clone());
    io.on_disconnect(move |socket: Socket, Auth(login): Auth<Login>, EmptiedRooms(rooms): EmptiedRooms| {
        let (by_rooms, by_asking) = (by_rooms.clone(), by_asking.clone());
        async move {
            assert!(socket.rooms().is_empty(), "it is in no room any more");
            assert!(socket.namespace().socket(socket.id()).is_none(), "and in no list");
            for room in rooms {
                note(&by_rooms, &room);
            }
            give_way().await;
            if socket.namespace().to(&login.user).sockets().is_empty() {
                note(&by_asking, &login.user);
            }
        }
    });
    (io, runtime, emptied, nobody)
}

fn everybody(io: &Server, runtime: &InMemory) -> Vec<Client> {
    (0..USERS * TABS)
        .map(|number| {
            let mut client = Client::new(io, runtime);
            client.send(&[&format!("40{{\"user\":\"user {}\"}}", number / TABS)]);
            client.task.settle();
            client
        })
        .collect()
}

fn each_is_gone_once(io: &Server, emptied: &Gone, nobody: &Gone) {
    assert!(io.root().is_empty() && io.root().0.is_vacant());
    let emptied = emptied.lock().unwrap();
    assert_eq!(emptied.len(), USERS);
    assert!(emptied.values().all(|&times| times == 1), "each user is gone exactly once");
    // Those who ask may both come too late, but nobody stays online for ever.
    let nobody = nobody.lock().unwrap();
    assert_eq!(nobody.len(), USERS);
    assert!(nobody.values().all(|times| (1..=TABS).contains(times)));
}

#[test]
fn of_thousands_that_leave_at_once_the_last_socket_of_each_user_finds_nobody_there() {
    let (io, runtime, emptied, nobody) = presence();
    let mut clients = everybody(&io, &runtime);
    assert_eq!(io.root().len(), USERS * TABS);
    clients.iter().for_each(|client| client.far.end());
    // One turn after the other, in an order that has nothing to do with that of the clients.
    let mut number = 1_u64;
    while !clients.is_empty() {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (number >> 33) as usize % clients.len();
        clients[at].task.turn();
        if clients[at].task.is_over() {
            clients.swap_remove(at);
        }
        if clients.iter().take(8).all(|client| !client.task.is_over()) && number % 1024 == 0 {
            runtime.advance(Duration::from_millis(1));
        }
    }
    each_is_gone_once(&io, &emptied, &nobody);
}

#[test]
fn it_is_so_on_several_threads() {
    let (io, runtime, emptied, nobody) = presence();
    let mut clients = everybody(&io, &runtime);
    let mut shares: Vec<Vec<Client>> = (0..4).map(|_| Vec::new()).collect();
    for number in 0..clients.len() {
        // The tabs of one user are on different threads.
        shares[number % 4].extend(clients.pop());
    }
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || {
                share.iter().for_each(|client| client.far.end());
                for mut client in share {
                    client.task.settle();
                    assert!(client.task.is_over());
                }
            });
        }
    });
    each_is_gone_once(&io, &emptied, &nobody);
}

// --- pairs ----------------------------------------------------------------------------------------------------------

/// The steps that the handlers of each socket have taken, and the handlers that wait.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    steps: BTreeMap<String, Vec<&'static str>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Book {
    /// Notes a step, and waits until the test lets it go on.
    async fn step(self, socket: Socket, step: &'static str) {
        let (sender, receiver) = oneshot::channel();
        {
            let mut pages = self.0.lock().unwrap();
            pages.steps.entry(socket.id().to_owned()).or_default().push(step);
            pages.waiting.push(sender);
        }
        let _ = receiver.await;
    }

    /// Lets one handler go on. Returns whether there was one.
    fn go_on(&self, number: usize) -> bool {
        let mut pages = self.0.lock().unwrap();
        if pages.waiting.is_empty() {
            return false;
        }
        let at = number % pages.waiting.len();
        let waiting = pages.waiting.swap_remove(at);
        drop(pages);
        let _ = waiting.send(());
        true
    }
}

#[derive(Deserialize)]
struct Wish {
    refuse: Option<String>,
}

/// Refuses a client that wishes it at this step, or panics.
fn refuse(socket: &Socket, step: &str) -> Result<(), HandlerError> {
    let wish: Wish = socket.auth().map_err(HandlerError::failed)?;
    match wish.refuse.as_deref().and_then(|wish| wish.strip_prefix(step)) {
        Some("") => Err(HandlerError::failed("as it wished")),
        Some(" by panic") => panic!("as it wished"),
        Some(" by disconnect") => {
            socket.disconnect();
            Ok(())
        }
        _ => Ok(()),
    }
}

fn register(io: &Server, book: &Book) {
    macro_rules! steps {
        ($($method:ident $step:literal $check:expr;)*) => {
            $(
                let its = book.clone();
                io.$method(move |socket: Socket| {
                    let book = its.clone();
                    async move {
                        let check: fn(&Socket) -> bool = $check;
                        assert!(check(&socket), "{}", $step);
                        book.step(socket.clone(), $step).await;
                        refuse(&socket, $step).map_err(|error| Refusal::new(error.to_string()))
                    }
                });
            )*
        };
    }
    // They are not asked about clients that are known to be gone.
    steps! {
        middleware "middleware 1" Socket::is_connecting;
        middleware "middleware 2" Socket::is_connecting;
        on_connect "connect 1" Socket::is_connecting;
        on_connect "connect 2" |socket| socket.join("room").is_ok();
        on_connected "connected" |socket| !socket.is_connecting();
        on_disconnecting "disconnecting" |socket| socket.rooms().len() == 2 && !socket.is_connected();
        on_disconnect "disconnect" |socket| socket.rooms().is_empty() && !socket.is_connected();
    }
    let its = book.clone();
    io.on("event", move |socket: Socket| {
        let book = its.clone();
        async move { book.step(socket, "event").await }
    });
    io.on("panic", async || {
        give_way().await;
        assert!(std::env::args().count() == 0, "on purpose");
    });
}

/// Something that happens to a client.
#[derive(Clone, Copy, Debug)]
enum Incident {
    Sends(&'static str),
    ClosesItsWebSocket,
    VanishesFromTheNetwork,
    IsDisconnectedFromOutside,
    /// And perhaps its task has a turn at once.
    LetsAHandlerGoOn(usize, bool),
    HasItsTurn,
    TimePasses(u64),
}

fn incidents() -> impl Strategy<Value = Vec<Incident>> {
    let packets = prop::sample::select(vec![
        "40",
        r#"42["event"]"#,
        r#"42["panic"]"#,
        "41",
        "1",
        "nonsense",
        r#"40{"refuse":"middleware 1"}"#,
        r#"40{"refuse":"middleware 2 by disconnect"}"#,
        r#"40{"refuse":"connect 1"}"#,
        r#"40{"refuse":"connect 1 by panic"}"#,
        r#"40{"refuse":"connect 2"}"#,
        r#"40{"refuse":"connect 2 by disconnect"}"#,
        r#"40{"refuse":"connected by panic"}"#,
        r#"40{"refuse":"disconnecting by panic"}"#,
        r#"40{"refuse":"disconnect by panic"}"#,
    ]);
    let incident = prop_oneof![
        2 => Just(Incident::Sends("40")),
        2 => packets.prop_map(Incident::Sends),
        1 => Just(Incident::ClosesItsWebSocket),
        1 => Just(Incident::VanishesFromTheNetwork),
        1 => Just(Incident::IsDisconnectedFromOutside),
        40 => (0..4_usize, prop::bool::weighted(0.8)).prop_map(|(at, turn)| Incident::LetsAHandlerGoOn(at, turn)),
        8 => Just(Incident::HasItsTurn),
        1 => (1..50_000_u64).prop_map(Incident::TimePasses),
    ];
    prop::collection::vec(incident, 1..100)
}

/// Returns whether these are the steps of a socket's whole life, or of one that was not let in.
fn is_a_life(steps: &[&str]) -> bool {
    let before = ["middleware 1", "middleware 2", "connect 1", "connect 2"];
    let Some(after) = steps.strip_prefix(&before[..]) else {
        // It went away, or was refused.
        return before.starts_with(steps);
    };
    match after {
        [] => true,
        ["connected", events @ .., "disconnecting", "disconnect"] => {
            events.iter().all(|step| *step == "event")
        }
        _ => false,
    }
}

#[test]
fn handlers_of_joining_and_leaving_come_in_pairs() {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(1000), random);
    let complete = Cell::new(0);
    let gone_in_between = Cell::new(0);
    let told = runner.run(&incidents(), |incidents| {
        let (io, runtime) = server();
        let book = Book::default();
        register(&io, &book);
        let unexpected = Arc::new(Mutex::new(Vec::new()));
        let errors = unexpected.clone();
        io.on_error(move |_, error| {
            let text = error.to_string();
            if !text.contains("as it wished") && !text.contains("on purpose") {
                errors.lock().unwrap().push(text);
            }
        });
        let mut client = Client::new(&io, &runtime);
        let was_refused = |incident: &Incident| {
            matches!(incident, Incident::Sends(packet) if packet.contains("refuse"))
                || matches!(incident, Incident::IsDisconnectedFromOutside)
        };
        let may_be_refused = incidents.iter().any(was_refused);
        for incident in incidents {
            match incident {
                Incident::Sends(packet) => client.send(&[packet]),
                Incident::ClosesItsWebSocket => {
                    let mut out = Vec::new();
                    write_close(&mut out, Some(MASK), Some(1000), "");
                    client.far.send(&out);
                }
                Incident::VanishesFromTheNetwork => client.far.end(),
                Incident::IsDisconnectedFromOutside => io.root().broadcast().disconnect(),
                Incident::LetsAHandlerGoOn(number, turn) => {
                    book.go_on(number);
                    if turn {
                        client.task.turn();
                    }
                }
                Incident::HasItsTurn => {
                    client.task.turn();
                }
                Incident::TimePasses(time) => runtime.advance(Duration::from_millis(time)),
            }
        }
        client.far.end();
        client.task.settle();
        while book.go_on(0) {
            client.task.settle();
        }
        while !client.task.is_over() && runtime.advance_to_next_deadline() {
            client.task.settle();
        }
        prop_assert!(client.task.is_over(), "the session ends");
        prop_assert!(io.root().is_empty() && io.root().0.is_vacant() && io.root().rooms().is_empty());
        prop_assert_eq!(&*unexpected.lock().unwrap(), &[""; 0]);
        let pages = book.0.lock().unwrap();
        for steps in pages.steps.values() {
            prop_assert!(is_a_life(steps), "{:?}", steps);
            let begun = steps.contains(&"connect 1");
            let whole = steps.contains(&"disconnect");
            prop_assert!(may_be_refused || begun == whole, "{:?}", steps);
            complete.set(complete.get() + usize::from(whole));
            let left_early = usize::from(steps.ends_with(&["middleware 1"]));
            gone_in_between.set(gone_in_between.get() + left_early);
        }
        Ok(())
    });
    told.unwrap();
    let (complete, gone_in_between) = (complete.get(), gone_in_between.get());
    assert!(complete > 200, "{complete} sockets joined and left");
    assert!(gone_in_between > 100, "{gone_in_between} clients went away while middleware waited");
}

// --- logs -----------------------------------------------------------------------------------------------------------

#[cfg(feature = "tracing")]
mod logs {
    use super::*;
    use std::fmt::{self, Write as _};
    use std::sync::LazyLock;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::NoSubscriber;
    use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

    /// A subscriber that notes the events of a level and above.
    #[derive(Clone)]
    struct Notes(Level, Arc<Mutex<Vec<String>>>);

    struct Fields(String);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() != "socket" {
                let _ = write!(self.0, "{}={value:?} ", field.name());
            }
        }
    }

    impl Subscriber for Notes {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("sansocket") && *metadata.level() <= self.0
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields(format!("{} ", event.metadata().level()));
            event.record(&mut fields);
            self.1.lock().unwrap().push(fields.0.trim_end().to_owned());
        }

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

    /// The messages about a client that sends this.
    fn told(level: Level, register: impl FnOnce(&Server), packets: &[&str]) -> Vec<String> {
        let notes = Notes(level, Arc::default());
        listen(notes.clone(), || {
            let (io, runtime) = server();
            register(&io);
            let mut client = Client::new(&io, &runtime);
            // An event before the answer to CONNECT would be a mistake.
            for packet in packets {
                client.send(&[packet]);
                client.task.settle();
            }
        });
        let notes = notes.1.lock().unwrap();
        notes.clone()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("nothing was saved")]
    struct Unsaved(#[source] std::io::Error);

    #[test]
    fn an_error_without_a_hook_is_told_once_with_its_event_and_its_cause() {
        let register = |io: &Server| {
            io.on("save", async || Err::<(), _>(Unsaved(std::io::Error::other("the disk is full"))));
        };
        let notes = told(Level::INFO, register, &["40", r#"421["save"]"#]);
        let line = r#"ERROR message=a handler failed namespace="/" event="save" error=nothing was saved: the disk is full"#;
        assert_eq!(notes, [line]);
    }

    #[test]
    fn an_error_with_a_hook_is_the_hooks_alone() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hook = heard.clone();
        let register = move |io: &Server| {
            io.namespace("/shop").on("save", async || Err::<(), _>("no"));
            io.on_error(move |socket, failure| {
                let namespace = socket.namespace().name().to_owned();
                hook.lock().unwrap().push((
                    namespace,
                    failure.event().map(str::to_owned),
                    failure.to_string(),
                ));
            });
        };
        let long = format!("{}[\"save\"]", "42/shop,");
        assert_eq!(told(Level::INFO, register, &["40/shop,", &long]), [""; 0]);
        let expected = ("/shop".to_owned(), Some("save".to_owned()), "no".to_owned());
        assert_eq!(*heard.lock().unwrap(), [expected]);
    }

    #[test]
    fn an_event_that_nobody_answers_is_told_to_those_who_look_for_it() {
        let packets = ["40", r#"421["unknown\n"]"#, r#"42["unknown"]"#];
        let register = |io: &Server| {
            io.on("known", async || ());
        };
        assert_eq!(told(Level::INFO, register, &packets), [""; 0]);
        let line = r#"DEBUG message=a client awaits the answer to an event without a handler namespace="/" event="unknown\n""#;
        assert_eq!(told(Level::DEBUG, register, &packets), [line]);
    }

    #[test]
    fn a_client_that_makes_a_mistake_is_told_of_at_the_level_of_information() {
        let notes = told(Level::INFO, |_| (), &["40", "4nonsense"]);
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].starts_with("INFO message=a session was closed: the client has made a mistake"),
            "{notes:?}"
        );
    }
}
