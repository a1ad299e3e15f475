//! Connection state recovery by a stream that is slow, loses what is appended, or goes away: on a bus that a test holds in
//! its hands.

use sansocket_runtime::adapter::{BoxFuture, Runtime, ServerOptions};
use sansocket_runtime::cluster::{
    Bus, BusLink, ClusterEvent, ClusterOptions, Dialect, EntryId, InProcessBus, LookupId, NodeTransmit,
    StreamEntry, Subscription, dialect,
};
use sansocket_runtime::recovery::{Ended, NotRecovered, RecoveryConfig};
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{Auth, Data, Server, ServerBuilder, Socket};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::future::{poll_fn, ready};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The engine, and the connection of each node to it.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stream: Vec<StreamEntry>,
    /// Entries that are cut off from the front.
    trimmed: usize,
    keys: BTreeMap<String, Vec<u8>>,
    nodes: Vec<Connection>,
    wakers: Vec<Waker>,
}

#[derive(Default)]
struct Connection {
    is_down: bool,
    /// The number of entries that it has read; `None` before it has ever read.
    read: Option<usize>,
    is_reading: bool,
    /// The entries that it appends wait here.
    holds_appends: bool,
    appends: VecDeque<Vec<(Vec<u8>, Vec<u8>)>>,
    /// The number of answers to what was asked for clients that may come; all, if there is none.
    answers_left: Option<usize>,
    answers: VecDeque<Answer>,
}

enum Answer {
    Taken(LookupId, Option<Vec<u8>>, bool),
    Page(LookupId, Vec<StreamEntry>),
}

fn id(number: usize) -> EntryId {
    EntryId::new(number as u64 + 1, 0)
}

impl State {
    fn append(&mut self, fields: Vec<(Vec<u8>, Vec<u8>)>) {
        let id = id(self.stream.len()).to_string();
        self.stream.push(StreamEntry { id, fields });
    }

    /// Carries out what a node wants.
    fn carry_out(&mut self, at: usize, transmit: NodeTransmit) -> Option<EntryId> {
        let (trimmed, end) = (self.trimmed, self.stream.len());
        match transmit {
            NodeTransmit::Subscribe(Subscription::Stream(_)) if !self.nodes[at].is_reading => {
                self.nodes[at].is_reading = true;
                let read = *self.nodes[at].read.get_or_insert(end);
                return Some(read.checked_sub(1).map_or(EntryId::default(), id));
            }
            NodeTransmit::Append { fields, .. } => {
                let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                match self.nodes[at].holds_appends {
                    true => self.nodes[at].appends.push_back(fields),
                    false => self.append(fields),
                }
            }
            NodeTransmit::Save { key, value, .. } => drop(self.keys.insert(key, value.into())),
            NodeTransmit::Take { key, offset, lookup, .. } => {
                let has_offset = self.stream[trimmed..].iter().any(|entry| entry.id == offset.to_string());
                let taken = Answer::Taken(lookup, self.keys.remove(&key), has_offset);
                self.nodes[at].answers.push_back(taken);
            }
            NodeTransmit::Page { from, count, lookup, .. } => {
                let entries = (trimmed..end).filter(|number| id(*number) >= from).take(count);
                let page = Answer::Page(lookup, entries.map(|number| self.stream[number].clone()).collect());
                self.nodes[at].answers.push_back(page);
            }
            _ => {}
        }
        None
    }
}

impl Hand {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes something, and wakes the buses.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, wakers) = {
            let mut state = self.state();
            (change(&mut state), std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        changed
    }

    fn seat(&self) -> Seat {
        let mut state = self.state();
        state.nodes.push(Connection::default());
        Seat { hand: self.clone(), at: state.nodes.len() - 1 }
    }

    /// The entries that a node appends wait until they are let go.
    fn hold(&self, at: usize) {
        self.change(|state| state.nodes[at].holds_appends = true);
    }

    fn let_go(&self, at: usize) {
        self.change(|state| {
            state.nodes[at].holds_appends = false;
            let waiting = std::mem::take(&mut state.nodes[at].appends);
            waiting.into_iter().for_each(|fields| state.append(fields));
        });
    }

    /// The entries that a node has appended are lost.
    fn lose(&self, at: usize) {
        self.change(|state| {
            state.nodes[at].holds_appends = false;
            state.nodes[at].appends.clear();
        });
    }

    /// Lets so many answers come to a node, or all.
    fn answers(&self, at: usize, left: impl Into<Option<usize>>) {
        self.change(|state| state.nodes[at].answers_left = left.into());
    }

    /// The connection of one node is there, or not.
    fn connect(&self, at: usize, is_up: bool) {
        self.change(|state| {
            let node = &mut state.nodes[at];
            node.is_down = !is_up;
            node.is_reading &= is_up;
            node.answers.clear();
        });
    }
}

struct Seat {
    hand: Hand,
    at: usize,
}

impl Seat {
    /// One round of work: false once the node is closed.
    fn work(&self, link: &mut BusLink, is_up: &mut bool, context: &mut std::task::Context<'_>) -> Poll<()> {
        loop {
            let at = self.at;
            self.hand.state().wakers.push(context.waker().clone());
            let is_down = self.hand.state().nodes[at].is_down;
            if is_down == *is_up {
                *is_up = !is_down;
                match is_down {
                    true => link.down("it was cut off"),
                    false => link.up(),
                }
            }
            if is_down {
                return if link.is_closed() { Poll::Ready(()) } else { Poll::Pending };
            }
            let mut is_at_rest = true;
            let entry = {
                let mut guard = self.hand.state();
                let State { nodes, stream, trimmed, .. } = &mut *guard;
                let node = &mut nodes[at];
                let read = node.read.as_mut().filter(|_| node.is_reading);
                read.and_then(|read| {
                    let has_gap = *read < *trimmed;
                    *read = (*read).max(*trimmed);
                    let entry = stream.get(*read)?.clone();
                    *read += 1;
                    Some((entry, has_gap))
                })
            };
            if let Some((entry, has_gap)) = entry {
                if has_gap {
                    link.stream_gap();
                }
                link.entry(&entry.id, entry.fields());
                is_at_rest = false;
            }
            let answer = {
                let node = &mut self.hand.state().nodes[at];
                let may_come = node.answers_left != Some(0);
                let answer = if may_come { node.answers.pop_front() } else { None };
                if let (Some(left), Some(_)) = (&mut node.answers_left, &answer) {
                    *left -= 1;
                }
                answer
            };
            if let Some(answer) = answer {
                match answer {
                    Answer::Taken(lookup, value, has_offset) => {
                        link.taken(lookup, value.as_deref(), has_offset);
                    }
                    Answer::Page(lookup, entries) => link.page(lookup, &entries),
                }
                is_at_rest = false;
            }
            match link.poll_next(context) {
                Poll::Ready(Some(transmit)) => {
                    let begins = self.hand.state().carry_out(at, transmit);
                    if let Some(read) = begins {
                        link.reads_from(read);
                    }
                    self.hand.change(|_| {});
                    is_at_rest = false;
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if is_at_rest {
                return Poll::Pending;
            }
        }
    }
}

impl Bus for Seat {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            let mut is_up = false;
            poll_fn(|context| self.work(&mut link, &mut is_up, context)).await;
        })
    }
}

/// The auth of the client that was let in last.
type LastAuth = Arc<Mutex<Value>>;

struct World {
    hand: Hand,
    auth: LastAuth,
    one: TestServer<Server>,
    two: TestServer<Server>,
    /// The ends of sessions at either node, and the gaps of the stream.
    ended: Arc<Mutex<Vec<Ended>>>,
    gaps: Arc<Mutex<usize>>,
}

impl World {
    fn new(config: RecoveryConfig) -> Self {
        let (hand, auth) = (Hand::default(), LastAuth::default());
        let (ended, gaps) = (Arc::<Mutex<Vec<Ended>>>::default(), Arc::<Mutex<usize>>::default());
        let node = || {
            let (seat, auth, ended, gaps) = (hand.seat(), auth.clone(), ended.clone(), gaps.clone());
            move |runtime| {
                let options =
                    ClusterOptions::new(seat).dialect(Dialect::Streams(dialect::Streams::default()));
                let io = ServerBuilder::<Server, ServerOptions>::new(runtime)
                    .cluster(options)
                    .connection_state_recovery(config)
                    .build()?;
                io.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop));
                io.on_connected(move |Auth(shown): Auth<Value>| {
                    *auth.lock().unwrap() = shown;
                    ready(())
                });
                io.on_unrecovered(move |session| ended.lock().unwrap().push(session.reason()));
                io.on_bus(move |event| {
                    if let ClusterEvent::StreamGap = event {
                        *gaps.lock().unwrap() += 1;
                    }
                });
                Ok(io)
            }
        };
        let one = TestServer::new(node());
        let two = one.beside(node());
        one.settle();
        Self { hand, auth, one, two, ended, gaps }
    }

    fn emit(&self, at: usize, number: i32) {
        [&self.one, &self.two][at].server().emit("number", &number).unwrap();
        self.one.settle();
    }

    /// The private id of a client of the first node, by a cut in which it misses nothing. It has heard 0.
    fn joined(&self) -> (TestClient, String) {
        let client = self.one.client("/");
        self.emit(0, 0);
        client.cut_network();
        client.restore_network();
        self.one.advance(SECOND * 6);
        assert!(client.is_connected() && client.socket().recovered());
        let pid = self.auth.lock().unwrap()["pid"].as_str().unwrap().to_owned();
        assert_eq!(numbers(&client), [0]);
        (client, pid)
    }

    /// A client of a node that shows those.
    fn comes(&self, at: usize, pid: &str, offset: &str) -> TestClient {
        let to = [&self.one, &self.two][at];
        let shown = json!({ "pid": pid, "offset": offset });
        let client = to.unconnected("/", |builder| builder.auth(&shown)).unwrap();
        let socket = client.socket().clone();
        to.runtime().spawn(Box::pin(async move { drop(socket.connect().await) }));
        to.settle();
        client
    }
}

impl World {
    /// Whether the socket of a client has the session that it has shown.
    fn has_recovered(&self, client: &TestClient) -> bool {
        let found = [&self.one, &self.two].into_iter().find_map(|at| at.server().socket(&client.id()));
        found.expect("it is there").recovered()
    }
}

fn numbers(client: &TestClient) -> Vec<i32> {
    client.received().into_iter().filter_map(|received| received.args.get(0).ok()).collect()
}

/// The numbers that a client has heard, and the last offset.
fn heard(client: &TestClient) -> (Vec<i32>, Option<String>) {
    let all = client.received();
    let offset = all.iter().filter_map(|received| received.args.get::<String>(1).ok()).next_back();
    (all.into_iter().filter_map(|received| received.args.get(0).ok()).collect(), offset)
}

#[test]
fn a_late_event_does_not_come_twice_to_a_client_that_moves() {
    // The client is lost while the event is not back, when it is just back, and when another one has followed: its node cannot
    // know then whether the client has got that.
    for lost_after in 0..3 {
        let world = World::new(RecoveryConfig::default());
        let (ada, pid) = world.joined();
        world.hand.hold(0);
        world.emit(0, 1);
        world.one.advance(SECOND);
        assert_eq!(heard(&ada), (vec![1], None), "it is late, and comes without an offset");
        world.emit(1, 2);
        let (numbers, offset) = heard(&ada);
        assert_eq!(numbers, [2]);
        if lost_after >= 1 {
            world.hand.let_go(0);
            world.one.settle();
        }
        if lost_after == 2 {
            // It may not have got this any more.
            world.emit(1, 3);
        }
        ada.cut_network();
        world.one.settle();
        world.hand.let_go(0);
        world.one.settle();
        let again = world.comes(1, &pid, &offset.unwrap());
        assert!(again.is_connected() && !world.has_recovered(&again));
        assert_eq!(heard(&again).0, Vec::<i32>::new());
        assert_eq!(*world.ended.lock().unwrap(), [Ended::BusAway]);
    }
}

#[test]
fn a_client_that_has_got_what_followed_a_late_event_comes_back() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.hand.hold(0);
    world.emit(0, 1);
    world.one.advance(SECOND);
    world.hand.let_go(0);
    // This one is behind it.
    world.emit(1, 2);
    let (numbers_so_far, offset) = heard(&ada);
    assert_eq!(numbers_so_far, [1, 2]);
    world.one.advance(SECOND * 60);
    assert!(ada.is_connected());
    ada.cut_network();
    world.emit(0, 3);
    let again = world.comes(1, &pid, &offset.unwrap());
    assert!(world.has_recovered(&again));
    assert_eq!(numbers(&again), [3]);
}

#[test]
fn late_events_that_never_come_back_keep_no_room() {
    let world = World::new(RecoveryConfig::default().max_bytes(2_000));
    let ada = world.one.client("/");
    world.hand.hold(0);
    for number in 0..5 {
        world.emit(0, number);
    }
    world.one.advance(SECOND * 2);
    assert_eq!(heard(&ada), ((0..5).collect(), None));
    world.hand.lose(0);
    for round in 0..20 {
        // With an offset: there was room to wait for it.
        world.emit(0, 100 + round);
        let (numbers, offset) = heard(&ada);
        assert_eq!(numbers, [100 + round]);
        assert!(offset.is_some(), "round {round}");
        world.hand.hold(0);
        world.emit(0, round);
        world.one.advance(SECOND * 2);
        assert_eq!(heard(&ada), (vec![round], None));
        world.hand.lose(0);
    }
}

#[test]
fn after_its_own_connection_broke_a_node_gives_its_clients_what_has_passed_each_once() {
    let world = World::new(RecoveryConfig::default());
    let (ada, bob) = (world.one.client("/"), world.two.client("/"));
    world.emit(0, 1);
    // On its way when the connection breaks, and is in the stream all the same.
    world.hand.hold(0);
    world.emit(0, 2);
    world.hand.connect(0, false);
    world.one.settle();
    world.hand.let_go(0);
    for number in 3..10 {
        world.emit(1, number);
    }
    assert_eq!(numbers(&ada), [1, 2]);
    world.hand.connect(0, true);
    world.one.settle();
    assert_eq!(numbers(&ada), (3..10).collect::<Vec<_>>());
    assert_eq!(numbers(&bob), (1..10).collect::<Vec<_>>());
    assert_eq!(*world.gaps.lock().unwrap(), 0);
    // What is cut off meanwhile is missed, and told.
    world.hand.connect(0, false);
    world.one.settle();
    for number in 10..20 {
        world.emit(1, number);
    }
    world.hand.change(|state| state.trimmed = state.stream.len() - 5);
    world.hand.connect(0, true);
    world.one.settle();
    assert_eq!(numbers(&ada), (15..20).collect::<Vec<_>>());
    assert_eq!(*world.gaps.lock().unwrap(), 1);
}

#[test]
fn the_bus_in_memory_goes_on_with_its_stream_where_a_node_was() {
    let bus = InProcessBus::new();
    let node = || {
        let options = ClusterOptions::new(bus.clone()).dialect(Dialect::Streams(dialect::Streams::default()));
        move |runtime| ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
    };
    let one = TestServer::new(node());
    let two = one.beside(node());
    one.settle();
    let bob = two.client("/");
    let mut number = 0;
    for _ in 0..20 {
        bus.cut_off_all();
        // One of them is back before the other.
        for _ in 0..20 {
            one.advance(SECOND / 100);
            if one.server().is_on_bus() {
                one.server().emit("number", &number).unwrap();
                one.settle();
                number += 1;
            }
        }
    }
    one.advance(SECOND);
    assert!(number > 100);
    assert_eq!(numbers(&bob), (0..number).collect::<Vec<_>>());
}

#[test]
fn of_two_clients_that_ask_for_one_session_neither_gets_the_answer_to_the_other() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.emit(0, 1);
    let (_, old) = heard(&ada);
    world.emit(0, 2);
    let (_, new) = heard(&ada);
    ada.cut_network();
    world.emit(0, 3);
    let (old, new) = (old.unwrap(), new.unwrap());
    world.hand.answers(1, 0);
    // One asks, and is gone before the answer; another one shows another offset.
    let first = world.comes(1, &pid, &old);
    let second = world.comes(1, &pid, &new);
    assert!(!first.is_connected());
    world.hand.answers(1, None);
    world.one.settle();
    assert!(first.is_connected() && second.is_connected());
    assert_eq!(numbers(&first), [2, 3], "what it has not seen, by what it shows");
    assert!(world.has_recovered(&first) && !world.has_recovered(&second));
    assert_eq!(numbers(&second), Vec::<i32>::new());
}

#[test]
fn a_client_that_asks_again_gets_its_session_from_the_question_that_is_under_way() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.emit(0, 1);
    let (_, offset) = heard(&ada);
    ada.cut_network();
    world.emit(0, 2);
    let offset = offset.unwrap();
    world.hand.answers(1, 0);
    let first = world.comes(1, &pid, &offset);
    first.cut_network();
    world.one.settle();
    // What passes while nobody waits is not lost.
    world.emit(1, 3);
    let second = world.comes(1, &pid, &offset);
    world.emit(1, 4);
    world.hand.answers(1, None);
    world.one.settle();
    assert!(second.is_connected() && world.has_recovered(&second));
    assert_eq!(numbers(&second), [2, 3, 4]);
    assert_eq!(*world.ended.lock().unwrap(), []);
}

#[test]
fn a_session_that_nobody_waits_for_any_more_waits_again() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.emit(0, 1);
    let (_, offset) = heard(&ada);
    ada.cut_network();
    world.emit(0, 2);
    let offset = offset.unwrap();
    world.hand.answers(1, 0);
    let first = world.comes(1, &pid, &offset);
    first.cut_network();
    world.one.settle();
    world.hand.answers(1, None);
    world.one.settle();
    let again = world.comes(0, &pid, &offset);
    assert!(world.has_recovered(&again));
    assert_eq!(numbers(&again), [2]);
}

#[test]
fn a_session_that_the_bus_takes_too_late_waits_again() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.emit(0, 1);
    let (_, offset) = heard(&ada);
    ada.cut_network();
    world.emit(0, 2);
    let offset = offset.unwrap();
    world.hand.answers(1, 0);
    let first = world.comes(1, &pid, &offset);
    assert!(!first.is_connected());
    world.one.advance(SECOND * 6);
    assert!(first.is_connected() && !world.has_recovered(&first), "it does not wait for ever");
    assert!(world.hand.state().keys.is_empty());
    world.hand.answers(1, None);
    world.one.settle();
    let again = world.comes(0, &pid, &offset);
    assert!(world.has_recovered(&again));
    assert_eq!(numbers(&again), [2]);
    assert_eq!(*world.ended.lock().unwrap(), []);
}

#[test]
fn a_session_whose_events_come_too_late_for_a_client_that_has_gone_waits_again() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.emit(0, 1);
    let (_, offset) = heard(&ada);
    ada.cut_network();
    world.emit(0, 2);
    let offset = offset.unwrap();
    world.hand.answers(1, 1);
    let first = world.comes(1, &pid, &offset);
    first.cut_network();
    world.one.advance(SECOND * 6);
    assert_eq!(*world.ended.lock().unwrap(), []);
    let again = world.comes(0, &pid, &offset);
    assert!(world.has_recovered(&again));
    assert_eq!(numbers(&again), [2]);
}

#[test]
fn an_event_without_room_to_wait_reaches_a_client_whose_session_is_just_found() {
    let world = World::new(RecoveryConfig::default().max_bytes(2_000));
    let (ada, pid) = world.joined();
    let bob = world.two.client("/");
    world.emit(0, 1);
    let (_, offset) = heard(&ada);
    ada.cut_network();
    world.emit(0, 2);
    let offset = offset.unwrap();
    // All is read for the client, and the answer is on its way.
    world.hand.answers(1, 0);
    let again = world.comes(1, &pid, &offset);
    // The session and the entries; the page that says that these are all waits.
    world.hand.answers(1, 2);
    world.one.settle();
    assert_eq!(world.hand.state().nodes[1].answers.len(), 1);
    assert!(!again.is_connected());
    // Those of another namespace take all the room there is.
    world.hand.hold(1);
    for number in 0..7 {
        world.two.server().namespace("/other").emit("number", &number).unwrap();
    }
    world.emit(1, 3);
    assert_eq!(numbers(&bob), [1, 2, 3], "it is sent without an offset");
    world.hand.let_go(1);
    world.one.settle();
    assert!(!again.is_connected());
    world.hand.answers(1, None);
    world.one.settle();
    assert!(again.is_connected() && world.has_recovered(&again));
    assert_eq!(numbers(&again), [2, 3]);
}

#[test]
fn a_session_whose_events_are_gone_is_over_and_told() {
    let world = World::new(RecoveryConfig::default());
    let (ada, pid) = world.joined();
    world.emit(0, 1);
    let (_, offset) = heard(&ada);
    ada.cut_network();
    world.emit(0, 2);
    world.hand.change(|state| state.trimmed = state.stream.len());
    let again = world.comes(1, &pid, &offset.unwrap());
    assert!(again.is_connected() && !world.has_recovered(&again));
    assert_eq!(*world.ended.lock().unwrap(), [Ended::NotRecovered(NotRecovered::Gap)]);
}

#[test]
fn the_bus_may_come_and_go_while_another_thread_emits_in_order() {
    let world = World::new(RecoveryConfig::default());
    let (ada, bob) = (world.one.client("/"), world.two.client("/"));
    let io = world.one.server().clone();
    let emitter = std::thread::spawn(move || {
        for number in 0..2_000 {
            io.emit("number", &number).unwrap();
            if number % 16 == 0 {
                std::thread::yield_now();
            }
        }
    });
    let mut of_ada = Vec::new();
    let mut is_up = true;
    while !emitter.is_finished() {
        is_up = !is_up;
        world.hand.connect(0, is_up);
        world.one.settle();
        of_ada.extend(numbers(&ada));
    }
    emitter.join().unwrap();
    world.hand.connect(0, true);
    world.one.settle();
    of_ada.extend(numbers(&ada));
    assert_eq!(of_ada, (0..2_000).collect::<Vec<_>>(), "each once, and in order");
    assert!(numbers(&bob).is_sorted());
}
