//! The task of a session in memory: a stream and a clock that the test holds, a plain Engine.IO session, and handlers
//! that take as long as the test says.

use crate::base::clock::Clock;
use crate::base::in_memory::{self, FarEnd, InMemory, NearEnd, Task};
use crate::base::job::Job;
use crate::base::runtime::Stream;
use crate::base::timing::Since;
use crate::base::upgrade::Switching;
use crate::base::wakers::AckSink;
use crate::session::handle::{ConnectionPlace, SessionHandle, Upgrade};
use crate::session::stats::Counters;
use crate::session::task::{Application, Session};
use crate::websocket::wire::PONGS_BELOW;
use crate::websocket::{Incoming, Reader, Role, write_close, write_ping, write_text};
use bytes::Bytes;
use futures_channel::oneshot;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sansocket_protocol::engine::{EngineServerConfig, RequestHead, RequestId};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::{Frame, WireMessage};
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{AckOutcome, ServerSocketEvent, SocketKey};
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MILLISECOND: Duration = Duration::from_millis(1);
const LINGER: Duration = Duration::from_secs(2);

/// An application that counts messages, each of which takes its time, and answers `ask` and `ask much`.
struct Counting {
    runtime: InMemory,
    takes: Duration,
    handled: Arc<AtomicUsize>,
}

impl Application for Counting {
    type Work = crate::base::runtime::BoxFuture<()>;

    fn open(&mut self, _: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        None
    }

    fn handle(
        &mut self,
        event: ServerEvent,
        handle: &Arc<SessionHandle>,
        _: &mut std::task::Context<'_>,
    ) -> Option<Job<Self::Work>> {
        if let ServerEvent::Message(message) = event {
            self.runtime.advance(self.takes);
            self.handled.fetch_add(1, Ordering::Relaxed);
            let answer = match &message {
                WireMessage::Text(text) if text == "ask" => "answer",
                WireMessage::Text(text) if text == "ask much" => MUCH,
                _ => return None,
            };
            let _ = handle.with(|machine| machine.send(Frame::text_message(answer)));
        }
        None
    }

    fn panicked(&mut self, _: Option<SocketKey>, _: Box<dyn Any + Send>, _: &Arc<SessionHandle>) {}

    fn ended(&mut self, _: &Arc<SessionHandle>) {}
}

/// More than half of what may wait for a socket to take it.
const MUCH: &str = match std::str::from_utf8(&[b'x'; 40_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// A session with the task that runs it.
struct Story {
    runtime: InMemory,
    began: Instant,
    handle: Arc<SessionHandle>,
    task: Task<Session<Counting>>,
    handled: Arc<AtomicUsize>,
    next_request: u64,
}

impl Story {
    /// A session whose handlers take that long.
    fn new(takes: Duration) -> Self {
        let runtime = InMemory::new();
        let clock = Clock::new(Arc::new(runtime.clone()));
        let config = EngineServerConfig::default()
            .ping_interval(Duration::from_millis(300))
            .ping_timeout(Duration::from_millis(200))
            .close_timeout(Duration::from_secs(1));
        let machine = Connection::new(
            clock.now(),
            sansocket_protocol::engine::Revision::V4,
            Arc::new(config),
            "an id".into(),
            None,
        );
        let handle = SessionHandle::new(machine, clock);
        let handled = Arc::default();
        let application = Counting { runtime: runtime.clone(), takes, handled: Arc::clone(&handled) };
        let session =
            Session::new(handle.clone(), application, Arc::new(Counters::default()), Box::new(|| {}));
        let began = crate::base::runtime::Runtime::now(&runtime);
        Self { runtime, began, handle, task: Task::new(session), handled, next_request: 0 }
    }

    /// One that a WebSocket has opened.
    fn on_websocket(takes: Duration) -> (Self, FarEnd) {
        let mut story = Self::new(takes);
        let (_, far) = story.open_websocket("", None);
        assert!(texts(&far).iter().any(|text| text.starts_with('0')), "it has opened");
        (story, far)
    }

    /// One that a first poll has opened, and that waits for the next.
    fn on_polling() -> Self {
        let mut story = Self::new(Duration::ZERO);
        story.request("polling", "");
        story.task.settle();
        story.request("polling", "&sid=an+id");
        story.task.settle();
        story
    }

    fn elapsed(&self) -> Duration {
        crate::base::runtime::Runtime::now(&self.runtime) - self.began
    }

    fn handled(&self) -> usize {
        self.handled.load(Ordering::Relaxed)
    }

    fn request(&mut self, transport: &str, rest: &str) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let websocket = [("connection", "upgrade"), ("upgrade", "websocket")];
        let target = format!("/engine.io/?EIO=4&transport={transport}{rest}");
        let (sender, _) = oneshot::channel();
        self.handle.with_inner(|inner| {
            inner.waiting_mut().requests.push((id, sender));
            let headers = if transport == "websocket" { &websocket[..] } else { &[] };
            let head = RequestHead { method: "GET", target: &target, headers: &headers };
            let _ = inner.machine.handle_request(self.handle.now(), id, &head);
        });
        id
    }

    /// Opens a WebSocket, of a new session or for one that polls.
    fn open_websocket(&mut self, rest: &str, place: Option<ConnectionPlace>) -> (RequestId, FarEnd) {
        let id = self.request("websocket", rest);
        self.task.settle();
        let (near, far) = in_memory::stream();
        self.task.future().add_websocket(id, Box::new(near), Bytes::new(), place, None);
        // As the stream of the upgrade does, once it is there.
        self.task.wake();
        self.task.settle();
        (id, far)
    }

    /// A WebSocket that was accepted, and that HTTP has not let go of.
    fn begin_upgrade(&mut self) -> (OnItsWay, FarEnd) {
        let id = self.request("websocket", "&sid=an+id");
        let (near, far) = in_memory::stream();
        let (http, stream) = oneshot::channel::<Box<dyn Stream>>();
        let upgrade = Upgrade { stream: Switching::Later(stream), held: None, place: None, deflate: None };
        self.handle.with_inner(|inner| inner.waiting_mut().upgrades.push((id, upgrade)));
        (OnItsWay { http, near }, far)
    }

    /// Gives the task its turns while it asks for them, and moves the clock when it sleeps, for that long.
    fn run_for(&mut self, time: Duration, mut between: impl FnMut()) {
        let end = self.elapsed() + time;
        while !self.task.is_over() && self.elapsed() < end {
            if !self.task.turn() && !self.runtime.advance_to_next_deadline() {
                return;
            }
            between();
        }
    }
}

/// The stream of an upgrade that HTTP has not let go of.
struct OnItsWay {
    http: oneshot::Sender<Box<dyn Stream>>,
    near: NearEnd,
}

impl OnItsWay {
    fn let_go(self) {
        assert!(self.http.send(Box::new(self.near)).is_ok(), "the session awaits it");
    }

    fn is_awaited(&self) -> bool {
        !self.http.is_canceled()
    }
}

/// A message as a client sends it.
fn text(content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_text(&mut out, Some([1, 2, 3, 4]), content.as_bytes());
    out
}

/// An empty WebSocket ping, as a client sends it.
fn ping() -> Vec<u8> {
    let mut out = Vec::new();
    write_ping(&mut out, Some([1, 2, 3, 4]), b"");
    out
}

/// Takes the messages that the server has sent since the last call; the close frame is `close`.
fn texts(far: &FarEnd) -> Vec<String> {
    let mut seen = Vec::new();
    let mut reader = Reader::new(Role::Client, usize::MAX);
    let fed = reader.feed(&mut far.take(), &mut |item| match item {
        Incoming::Text(text) => seen.push(String::from_utf8(text.into()).expect("text")),
        Incoming::Close(_) => seen.push("close".to_owned()),
        Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Pong => {}
    });
    fed.expect("whole frames");
    seen
}

#[test]
fn a_turn_ends_after_about_a_millisecond_of_handlers() {
    for (takes, most) in [(10, 130), (100, 12), (1000, 3), (5000, 3)] {
        let (mut story, far) = Story::on_websocket(Duration::from_micros(takes));
        far.send(&text("4hello").repeat(1000));
        let mut turns = 0;
        while story.handled() < 1000 {
            let before = story.handled();
            assert!(story.task.turn(), "it wakes itself while there is more to do");
            let handled = story.handled() - before;
            assert!((1..=most).contains(&handled), "{handled} messages of {takes} us in one turn");
            turns += 1;
        }
        assert!(turns >= 1000 / most);
    }
}

#[test]
fn messages_before_a_broken_frame_are_answered_even_if_the_turn_ends_before() {
    for (asked, takes, event, answer) in [
        (1, MILLISECOND * 2 / 3, "4ask", "answer"),
        (2, MILLISECOND * 2 / 3, "4ask", "answer"),
        (5, MILLISECOND * 2 / 3, "4ask", "answer"),
        (5, Duration::ZERO, "4ask much", MUCH),
    ] {
        for is_apart in [false, true] {
            let (mut story, far) = Story::on_websocket(takes);
            let mut sent = text(event).repeat(asked);
            if is_apart {
                far.send(&std::mem::take(&mut sent));
                assert!(story.task.turn(), "it is not done");
            }
            // An opcode without a meaning.
            sent.extend([0x83, 0x80, 0, 0, 0, 0]);
            far.send(&sent);
            story.task.settle();
            let mut answers = vec![format!("4{answer}"); asked];
            answers.push("close".to_owned());
            let seen = texts(&far);
            assert!(seen == answers, "{} answers to {asked} of {event:?}", seen.len() - 1);
        }
    }
}

#[test]
fn many_short_handlers_run_in_one_turn() {
    let (mut story, far) = Story::on_websocket(Duration::ZERO);
    far.send(&text("4hello").repeat(1000));
    assert!(story.task.turn());
    assert_eq!(story.handled(), 1000);
}

#[test]
fn reading_what_asks_for_nothing_ends_the_turn_too() {
    let (mut story, far) = Story::on_websocket(Duration::ZERO);
    far.flood(ping(), MILLISECOND / 4, &story.runtime);
    let before = story.elapsed();
    assert!(story.task.turn());
    assert!(story.elapsed() - before <= MILLISECOND * 2, "{:?}", story.elapsed() - before);
    assert!(story.task.turn(), "it has woken itself");
}

#[test]
fn a_client_that_is_always_readable_gets_its_heartbeats() {
    let (mut story, far) = Story::on_websocket(MILLISECOND);
    far.flood(text("4work"), Duration::from_micros(10), &story.runtime);
    let mut heartbeats = 0;
    story.run_for(Duration::from_secs(9), || {
        if texts(&far).iter().any(|text| text == "2") {
            heartbeats += 1;
            far.send(&text("3"));
        }
    });
    assert!((28..=30).contains(&heartbeats), "{heartbeats} heartbeats in nine seconds");
    assert!(story.handled() > 8000, "{} messages", story.handled());
    assert!(story.handle.lock().machine.is_open());
}

#[test]
fn a_flood_without_a_pong_is_closed_in_time() {
    for piece in [text("4hello"), text("4"), ping()] {
        let (mut story, far) = Story::on_websocket(Duration::ZERO);
        far.flood(piece, MILLISECOND / 10, &story.runtime);
        let mut seen = Vec::new();
        story.run_for(Duration::from_secs(60), || seen.extend(texts(&far)));
        assert_eq!(seen, ["2", "close"]);
        let ended = Duration::from_millis(500) + LINGER;
        assert!(story.task.is_over(), "it ends although the client goes on");
        assert!((ended..ended + MILLISECOND * 5).contains(&story.elapsed()), "{:?}", story.elapsed());
    }
}

#[test]
fn one_who_floods_after_our_close_frame_is_cut_off() {
    let (mut story, far) = Story::on_websocket(Duration::ZERO);
    far.flood(text("4hello").repeat(1000), MILLISECOND / 10, &story.runtime);
    story.run_for(Duration::from_millis(50), || ());
    story.handle.with(|machine| machine.close(CloseReason::ServerShuttingDown));
    let before = story.elapsed();
    story.run_for(Duration::from_secs(60), || ());
    assert!(story.task.is_over() && far.is_closed());
    let lingered = story.elapsed() - before;
    assert!((LINGER..LINGER + MILLISECOND * 5).contains(&lingered), "{lingered:?}");
}

#[test]
fn candidates_that_were_refused_do_not_pile_up() {
    let mut story = Story::on_polling();
    let mut candidates = Vec::new();
    for _ in 0..10 {
        let (_, far) = story.open_websocket("&sid=an+id", None);
        // Only a probe and an upgrade belong on a candidate.
        far.send(&text("4hello"));
        story.task.settle();
        assert_eq!(texts(&far), ["close"]);
        candidates.push(far);
        let open = candidates.iter().filter(|far| !far.is_closed()).count();
        assert!(open <= 2, "{open} of {} candidates are open", candidates.len());
    }
    // The last ones have had their time by then.
    story.run_for(LINGER + MILLISECOND, || ());
    assert!(candidates.iter().all(FarEnd::is_closed));
}

#[test]
fn candidates_that_come_at_once_do_not_pile_up() {
    let mut story = Story::on_polling();
    let mut candidates = Vec::new();
    for _ in 0..10 {
        let (on_its_way, far) = story.begin_upgrade();
        on_its_way.let_go();
        candidates.push(far);
    }
    story.task.settle();
    let open = candidates.iter().filter(|far| !far.is_closed()).count();
    assert!(open <= 2, "{open} candidates are open");
    // The first is none of those that are refused.
    candidates[0].send(&text("2probe"));
    story.task.settle();
    assert_eq!(texts(&candidates[0]), ["3probe"]);
}

#[test]
fn an_upgrade_wakes_its_session_even_if_another_was_given_up_in_the_turn_that_it_came_in() {
    let mut story = Story::on_polling();
    let (_given_up, _) = story.begin_upgrade();
    for _ in 0..2 {
        let (on_its_way, _far) = story.begin_upgrade();
        on_its_way.let_go();
        story.task.settle();
    }
    let (on_its_way, _far) = story.begin_upgrade();
    let (later, _far_of_that) = story.begin_upgrade();
    on_its_way.let_go();
    // It gives the first one up, which comes before the others.
    story.handle.with(|machine| machine.close(CloseReason::ForcedClose));
    story.task.settle();
    later.let_go();
    assert!(story.task.turn(), "nothing has woken it");
}

#[test]
fn a_candidate_keeps_its_place_until_the_session_uses_it() {
    let mut story = Story::on_polling();
    let place: ConnectionPlace = Arc::new(());
    let (_, refused) = story.open_websocket("&sid=an+id", Some(place.clone()));
    refused.send(&text("4hello"));
    story.task.settle();
    assert_eq!(Arc::strong_count(&place), 2, "it lingers");

    let (_, far) = story.open_websocket("&sid=an+id", Some(place.clone()));
    far.send(&text("2probe"));
    story.task.settle();
    assert_eq!(texts(&far), ["3probe"]);
    assert_eq!(Arc::strong_count(&place), 3, "it is a candidate");
    far.send(&text("5"));
    story.task.settle();
    assert_eq!(Arc::strong_count(&place), 2, "it is in use");
    // The one that was refused gives its place back at its end.
    story.run_for(LINGER + MILLISECOND, || ());
    assert_eq!(Arc::strong_count(&place), 1);
}

#[test]
fn requests_that_were_answered_are_forgotten() {
    let mut story = Story::on_polling();
    let waiting = |story: &Story| story.handle.lock().waiting().map_or(0, |waiting| waiting.requests.len());
    assert_eq!(waiting(&story), 1, "the poll that waits");
    story.handle.with(|machine| machine.close(CloseReason::ServerShuttingDown));
    story.task.settle();
    assert_eq!(waiting(&story), 0);
}

#[test]
fn an_upgrade_that_is_given_up_is_dropped_before_http_has_let_go_of_it() {
    let mut story = Story::on_polling();
    // The task lives on for one that lingers.
    let (_, refused) = story.open_websocket("&sid=an+id", None);
    refused.send(&text("4hello"));
    story.task.settle();
    let (on_its_way, _far) = story.begin_upgrade();
    story.task.settle();
    assert!(on_its_way.is_awaited());
    story.handle.with(|machine| machine.close(CloseReason::ForcedClose));
    story.task.settle();
    assert!(!story.task.is_over());
    assert!(!on_its_way.is_awaited(), "nothing but time ends it");
}

#[test]
fn an_upgrade_whose_handshake_fails_makes_room_for_the_next() {
    let mut story = Story::on_polling();
    let (on_its_way, _) = story.begin_upgrade();
    story.task.settle();
    drop(on_its_way);
    story.task.settle();
    let (_, far) = story.open_websocket("&sid=an+id", None);
    far.send(&text("2probe"));
    story.task.settle();
    assert_eq!(texts(&far), ["3probe"]);
}

#[test]
fn one_who_pings_without_reading_gets_no_more_pongs_than_fit() {
    const PAYLOAD: usize = 125;
    let mut ping = Vec::new();
    write_ping(&mut ping, Some([1, 2, 3, 4]), &[0; PAYLOAD]);
    let (mut story, far) = Story::on_websocket(Duration::ZERO);
    far.stop_reading();
    for _ in 0..5 {
        far.send(&ping.repeat(1000));
        story.task.settle();
    }
    assert_eq!(far.unread(), 0);
    let unwritten = story.handle.lock().unwritten;
    assert!((PONGS_BELOW..PONGS_BELOW + 2 + PAYLOAD).contains(&unwritten), "{unwritten} bytes wait");
    // One who reads on is answered again.
    far.read_on();
    story.task.settle();
    far.take();
    far.send(&ping);
    story.task.settle();
    assert_eq!(far.take().len(), 2 + PAYLOAD);
}

/// The key of a socket, as machines give them out.
fn a_socket() -> SocketKey {
    let (now, id) = (sansocket_protocol::time::Instant::ZERO, RequestId(0));
    let revision = sansocket_protocol::engine::Revision::V4;
    let mut machine = Connection::new(now, revision, Arc::default(), "an id".into(), Some(Arc::default()));
    let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
    let target = "/engine.io/?EIO=4&transport=websocket";
    let _ = machine.handle_request(now, id, &RequestHead { method: "GET", target, headers: &headers });
    machine.handle_websocket_opened(now, id);
    machine.handle_websocket(now, id, WireMessage::Text("40".into()));
    match machine.poll_event() {
        Some(ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. })) => socket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_waits_for_a_session_is_told_when_its_task_is_dropped() {
    let (mut story, far) = Story::on_websocket(Duration::ZERO);
    far.stop_reading();
    while story.handle.lock().machine.has_capacity() {
        let frame = Frame::binary_message(vec![0; 50_000].into());
        story.handle.with(|machine| machine.send(frame)).expect("it has capacity");
        story.task.settle();
    }
    let handle = story.handle.clone();
    let mut capacity = Task::new(async move { handle.ready().await });
    capacity.settle();
    let handle = story.handle.clone();
    let mut written = Task::new(async move { assert!(handle.flushed().await.is_err(), "it is not written") });
    written.settle();
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let told = outcomes.clone();
    let sink: AckSink = Box::new(move |outcome| told.lock().expect("nobody panics").push(outcome));
    let (request, mut answer) = oneshot::channel();
    story.handle.with_inner(|inner| {
        let waiting = inner.waiting_mut();
        waiting.acks.insert((0, a_socket()), (sink, Since::default()));
        waiting.requests.push((RequestId(100), request));
    });
    assert!(!capacity.is_over() && !written.is_over() && matches!(answer.try_recv(), Ok(None)));

    drop(story.task);
    capacity.settle();
    written.settle();
    assert!(capacity.is_over() && written.is_over());
    assert!(matches!(outcomes.lock().expect("nobody panics")[..], [AckOutcome::Disconnected]));
    assert!(answer.try_recv().is_err(), "HTTP answers a request whose session is gone by itself");
    assert!(far.is_closed());
}

/// Something that happens to a session.
#[derive(Clone, Debug)]
enum Incident {
    Arrives(Vec<u8>),
    Floods(Vec<u8>),
    StopsFlooding,
    StopsReading,
    ReadsOn,
    Ends,
    TimePasses(u64),
    IsSent(usize),
    IsClosed,
}

fn incident() -> impl Strategy<Value = Incident> {
    let mut close = Vec::new();
    write_close(&mut close, Some([1, 2, 3, 4]), Some(1000), "");
    let bytes = prop::sample::select(vec![
        text("4hello"),
        text("4hello").repeat(30),
        text("3"),
        text("1"),
        text("nonsense"),
        ping(),
        ping().repeat(100),
        close,
        // Half a frame, and a broken one.
        text("4hello")[..5].to_vec(),
        vec![0xff; 10],
    ]);
    prop_oneof![
        6 => bytes.clone().prop_map(Incident::Arrives),
        2 => bytes.prop_map(Incident::Floods),
        1 => Just(Incident::StopsFlooding),
        1 => Just(Incident::StopsReading),
        2 => Just(Incident::ReadsOn),
        1 => Just(Incident::Ends),
        3 => (1..600u64).prop_map(Incident::TimePasses),
        2 => (1..100_000usize).prop_map(Incident::IsSent),
        1 => Just(Incident::IsClosed),
    ]
}

#[test]
fn whatever_happens_turns_are_short_and_a_session_that_is_closed_ends() {
    const TAKES: Duration = Duration::from_micros(50);
    let incidents = prop::collection::vec(incident(), 1..20);
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(32), random);
    let told = runner.run(&incidents, |incidents| {
        let (mut story, far) = Story::on_websocket(TAKES);
        for incident in incidents {
            match incident {
                Incident::Arrives(bytes) => far.send(&bytes),
                Incident::Floods(bytes) => far.flood(bytes, MILLISECOND / 2, &story.runtime),
                Incident::StopsFlooding => far.stop_flood(),
                Incident::StopsReading => far.stop_reading(),
                Incident::ReadsOn => far.read_on(),
                Incident::Ends => far.end(),
                Incident::TimePasses(time) => story.runtime.advance(MILLISECOND * time as u32),
                Incident::IsSent(bytes) => {
                    let frame = Frame::binary_message(vec![0; bytes].into());
                    // It may be closed, or full.
                    let _ = story.handle.with(|machine| machine.send(frame));
                }
                Incident::IsClosed => story.handle.with(|machine| machine.close(CloseReason::ForcedClose)),
            }
            for _ in 0..100 {
                let before = story.elapsed();
                if !story.task.turn() {
                    break;
                }
                let took = story.elapsed() - before;
                prop_assert!(took <= MILLISECOND * 2, "a turn took {:?}", took);
            }
        }
        story.handle.with(|machine| machine.close(CloseReason::ServerShuttingDown));
        // Its own time to write all that is left, and then the client's to close.
        story.run_for(Duration::from_secs(1) + LINGER + MILLISECOND * 5, || ());
        prop_assert!(story.task.is_over(), "it goes on after {:?}", story.elapsed());
        prop_assert!(far.is_closed());
        Ok(())
    });
    told.unwrap();
}
