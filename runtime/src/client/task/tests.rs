//! The task of a client in memory: a server that the test plays, on a stream and a clock that it holds.

use crate::base::error::AckError;
use crate::base::in_memory::{self, FarEnd, InMemory, NearEnd, Task};
use crate::base::runtime::{BoxFuture, Runtime, Stream};
use crate::client::net::dial::Dial;
use crate::client::{Client, ClientBuilder, ClientOptions, ClientSocket};
use crate::websocket::{Incoming, Reader, Role, accept_key, write_text};
use sansocket_protocol::engine::TransportKind;
use std::future::{Future, pending, ready};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const LINGER: Duration = Duration::from_secs(2);

/// A network of one server, whose end of the only connection the test holds.
struct Network(Mutex<Option<NearEnd>>);

impl Dial for Network {
    fn dial(&self, _: String, _: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let near = self.0.lock().unwrap().take();
        let dialled = near.ok_or_else(|| io::Error::other("there is one connection"));
        Box::pin(ready(dialled.map(|near| Box::new(near) as Box<dyn Stream>)))
    }

    fn secure(&self, _: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Ok(stream)))
    }
}

/// The texts that a client has sent since the last call.
fn texts(far: &mut FarEnd) -> Vec<String> {
    let mut texts = Vec::new();
    let fed = Reader::new(Role::Server, usize::MAX).feed(&mut far.take(), &mut |item| {
        if let Incoming::Text(text) = item {
            texts.push(String::from_utf8(text.into()).expect("text"));
        }
    });
    assert!(fed.is_ok());
    texts
}

/// A message as a server sends it.
fn text(content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_text(&mut out, None, content.as_bytes());
    out
}

type Options = ClientBuilder<Client, ClientOptions>;

/// A client that has joined the main namespace over a WebSocket.
struct Story {
    runtime: InMemory,
    client: Client,
    task: Task<BoxFuture<()>>,
    far: FarEnd,
    handled: Arc<AtomicUsize>,
}

impl Story {
    /// A client whose handlers take that long.
    fn joined(takes: Duration) -> Self {
        Self::joined_with(takes, |options| options)
    }

    /// The same with further options.
    fn joined_with(takes: Duration, options: fn(Options) -> Options) -> Self {
        let runtime = InMemory::new();
        let (near, far) = in_memory::stream();
        let no_dialer = |_| -> Arc<dyn Dial> { Arc::new(Network(Mutex::new(None))) };
        let client = options(Options::new("http://server", runtime.clone(), no_dialer))
            .transports([TransportKind::WebSocket])
            .dial(Network(Mutex::new(Some(near))))
            .build()
            .expect("a client");
        let handled = Arc::new(AtomicUsize::new(0));
        let (clock, count) = (runtime.clone(), handled.clone());
        client.on("work", move || {
            clock.advance(takes);
            count.fetch_add(1, Ordering::Relaxed);
            ready(())
        });
        client.start();
        let task = runtime.spawned().pop().expect("its task");
        let mut story = Self { runtime, client, task: Task::new(task), far, handled };
        story.task.settle();
        let request = String::from_utf8(story.far.take()).expect("a request");
        let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
        let accept = accept_key(key);
        story.far.send(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        );
        let open =
            r#"0{"sid":"an id","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;
        story.far.send(&text(open));
        story.task.settle();
        story.far.send(&text(r#"40{"sid":"public"}"#));
        story.task.settle();
        assert!(story.client.is_connected());
        story
    }

    fn handled(&self) -> usize {
        self.handled.load(Ordering::Relaxed)
    }
}

#[test]
fn a_turn_ends_after_about_a_millisecond_of_handlers() {
    for (takes, most) in [(10, 130), (100, 12), (5000, 3)] {
        let mut story = Story::joined(Duration::from_micros(takes));
        story.far.send(&text(r#"42["work"]"#).repeat(1000));
        while story.handled() < 1000 {
            let before = story.handled();
            assert!(story.task.turn(), "it wakes itself while there is more to do");
            let handled = story.handled() - before;
            assert!(handled <= most, "{handled} events of {takes} us in one turn");
        }
    }
}

#[test]
fn events_before_a_broken_frame_are_answered_even_if_the_turn_ends_before() {
    for asked in 1..5 {
        let mut story = Story::joined(Duration::ZERO);
        let clock = story.runtime.clone();
        story.client.on("ask", move |socket: ClientSocket| {
            clock.advance(MILLISECOND * 2 / 3);
            socket.emit("answer", &()).unwrap();
            ready(())
        });
        // What it sent to join.
        story.far.take();
        let mut sent = text(r#"42["ask"]"#).repeat(asked);
        // An opcode without a meaning.
        sent.extend([0x83, 0]);
        story.far.send(&sent);
        story.task.settle();
        let mut seen = Vec::new();
        let mut reader = Reader::new(Role::Server, usize::MAX);
        let fed = reader.feed(&mut story.far.take(), &mut |item| match item {
            Incoming::Text(text) => seen.push(String::from_utf8(text.into()).expect("text")),
            Incoming::Close(_) => seen.push("close".to_owned()),
            Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Pong => {}
        });
        fed.expect("whole frames");
        let mut answers = vec![r#"42["answer"]"#; asked];
        answers.push("close");
        assert_eq!(seen, answers);
    }
}

#[test]
fn the_events_of_a_turn_take_one_look_at_the_clock() {
    let mut story = Story::joined(Duration::ZERO);
    story.client.on("much", |socket: ClientSocket| {
        for number in 0..100 {
            socket.emit("work", &number).unwrap();
        }
        ready(())
    });
    let before = story.runtime.looks();
    story.far.send(&text(r#"42["much"]"#));
    story.task.settle();
    assert!(story.far.take().len() > 100 * r#"42["work",0]"#.len());
    let looks = story.runtime.looks() - before;
    assert!(looks <= 10, "{looks} looks at the clock");
}

#[test]
fn a_server_that_floods_does_not_stop_the_clock() {
    let mut story = Story::joined(Duration::ZERO);
    let before = story.runtime.now();
    // No heartbeat is among it.
    story.far.flood(text(r#"42["work"]"#), MILLISECOND / 10, &story.runtime);
    while story.client.is_connected() {
        assert!(story.task.turn());
    }
    let silent = story.runtime.now() - before;
    let limit = Duration::from_millis(500);
    assert!((limit..limit + MILLISECOND * 5).contains(&silent), "{silent:?}");
}

#[test]
fn a_client_that_has_slept_keeps_what_is_emitted_for_the_next_session() {
    let mut story = Story::joined(Duration::ZERO);
    story.client.emit("work", &1).unwrap();
    story.task.settle();
    assert!(!story.far.take().is_empty());
    // The connection is a black hole from here on: nothing says that it is gone.
    story.runtime.move_wall_clock(Duration::from_secs(3600));
    story.runtime.advance(MILLISECOND * 10);
    let answer = story.client.emit_with_ack("work", &2, Duration::from_secs(60));
    story.client.emit("work", &3).unwrap();
    assert!(!story.client.is_connected());
    assert!(story.client.unsent() > 0);
    story.task.settle();
    let unsent = story.client.unsent();
    // The time limit of an answer counts the sleep, as well.
    story.runtime.move_wall_clock(Duration::from_secs(61));
    assert!(story.runtime.advance_to_next_deadline(), "it is about to dial again");
    story.task.settle();
    let outcome = Box::pin(answer).as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(outcome, Poll::Ready(Err(AckError::Timeout))), "{outcome:?}");
    assert!((1..unsent).contains(&story.client.unsent()));
}

#[test]
fn a_client_that_is_closed_ends_although_its_server_floods() {
    let mut story = Story::joined(Duration::ZERO);
    // Engine.IO's packets for nothing.
    story.far.flood(text("6").repeat(1000), MILLISECOND / 10, &story.runtime);
    assert!(story.task.turn());
    story.client.close();
    let before = story.runtime.now();
    let mut closed = Task::new(async { story.client.closed().await });
    while !closed.is_over() {
        assert!(story.task.turn() | closed.turn(), "it has not ended");
        let lingers = story.runtime.now() - before;
        assert!(lingers < LINGER + MILLISECOND * 5, "{lingers:?}");
    }
    assert!(story.far.is_closed());
}

#[test]
fn those_who_are_answered_together_emit_their_next_events_in_one_write() {
    let mut story = Story::joined(Duration::ZERO);
    let mut callers: Vec<Task<BoxFuture<()>>> = (0..3)
        .map(|_| {
            let client = story.client.clone();
            Task::new(Box::pin(async move { while client.call::<_, ()>("ask", &()).await.is_ok() {} })
                as BoxFuture<()>)
        })
        .collect();
    // What it sent to join.
    story.far.take();
    callers.iter_mut().for_each(Task::settle);
    story.task.settle();
    for first_id in [0, 3, 6] {
        let asked = [0, 1, 2].map(|caller| format!(r#"42{}["ask"]"#, first_id + caller));
        assert_eq!(texts(&mut story.far), asked, "in one write");
        for id in first_id..first_id + 3 {
            story.far.send(&text(&format!("43{id}[null]")));
        }
        story.task.settle();
        // A runtime may let the task that was woken last run next, and then the one that this wakes.
        let (last, others) = callers.split_last_mut().expect("several");
        last.settle();
        assert!(story.task.turn());
        assert!(story.far.take().is_empty(), "the first event leaves before the others");
        others.iter_mut().for_each(Task::settle);
        assert!(story.task.turn());
    }
}

/// A value of the application that panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb")
    }
}

#[test]
fn values_that_panic_as_they_are_dropped_are_reported_and_the_client_goes_on() {
    static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut story = Story::joined_with(Duration::ZERO, |options| {
        options.on_error(|socket, failure| {
            let said = format!("{} {}", socket.name(), failure.error());
            REPORTED.lock().unwrap().push(said);
        })
    });
    let reported = || std::mem::take(&mut *REPORTED.lock().unwrap());
    story.client.on("removed", {
        let bomb = Bomb;
        move || {
            let _ = &bomb;
            ready(())
        }
    });
    story.client.on("remove", |socket: ClientSocket| {
        socket.off("removed");
        ready(())
    });
    story.far.send(&text(r#"42["remove"]"#));
    story.task.settle();
    assert_eq!(reported(), ["/ the handler panicked: a bomb"], "the last table with a removed handler");

    let other = story.client.namespace("/other");
    other.auth_with(|| {
        let bomb = Bomb;
        async move {
            let _bomb = &bomb;
            pending::<Result<(), io::Error>>().await
        }
    });
    for asked in 0..3 {
        other.start();
        story.task.settle();
        let expected: &[&str] = if asked == 0 { &[] } else { &["/other the handler panicked: a bomb"] };
        assert_eq!(reported(), expected, "an answer that nobody waits for any more");
        other.disconnect();
        story.task.settle();
    }

    story.far.send(&text(r#"42["work"]"#));
    story.task.settle();
    assert_eq!(story.handled(), 1);
    let Story { task, .. } = story;
    drop(task);
}
