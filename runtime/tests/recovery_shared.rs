//! Connection state recovery with a store that several servers share, and that answers later than it is asked.

use sansocket_protocol::hub::{Journal, Membership};
use sansocket_protocol::message::Frame;
use sansocket_protocol::time::Instant;
use sansocket_runtime::adapter::{Runtime, ServerOptions};
use sansocket_runtime::recovery::{
    Appended, Audience, Ended, KeptSession, LiveSession, Lookup, NewEvent, NotRecovered, Notify, Recovered,
    RecoveryConfig, RecoveryStore, StoreStats,
};
use sansocket_runtime::testing::{TestClient, TestRuntime, TestServer};
use sansocket_runtime::{Auth, Data, Server, ServerBuilder, Socket};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The store that the servers share: a log of events, and the sessions whose clients are away.
#[derive(Debug, Default)]
struct Shared {
    log: Vec<(Arc<str>, Audience, Option<Frame>)>,
    sessions: BTreeMap<Arc<str>, Away>,
}

/// No more than other processes are told.
#[derive(Clone, Debug)]
struct Away {
    sid: Arc<str>,
    namespace: Arc<str>,
    rooms: Vec<Arc<str>>,
}

/// A server's place in it, and its driver.
#[derive(Default)]
struct Place {
    /// The questions that are not answered yet.
    asked: Vec<(Arc<str>, Option<String>)>,
    /// Sessions that were taken, with the first event that may have been missed.
    found: BTreeMap<Arc<str>, (Away, usize)>,
    told: VecDeque<Arc<str>>,
    notify: Option<Notify>,
    given_up: usize,
    /// Answers as soon as the store is free.
    at_once: Option<TestRuntime>,
}

#[derive(Clone, Default)]
struct Node {
    shared: Arc<Mutex<Shared>>,
    place: Arc<Mutex<Place>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

impl Node {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap()
    }

    fn beside(&self) -> Self {
        Self { shared: self.shared.clone(), place: Arc::default() }
    }

    /// The driver has the answers to what was asked.
    fn answer(&self) {
        let asked = std::mem::take(&mut self.place().asked);
        for (pid, offset) in asked {
            let taken = self.shared().sessions.remove(&pid);
            let from = offset.and_then(|offset| Some(offset.strip_prefix("at ")?.parse::<usize>().ok()? + 1));
            let mut place = self.place();
            if let Some(away) = taken {
                place.found.insert(pid.clone(), (away, from.unwrap_or(0)));
            }
            place.told.push_back(pid);
        }
        let notify = self.place().notify.clone().unwrap();
        notify();
    }
}

impl RecoveryStore for Node {
    fn next(&self) -> u64 {
        self.shared().log.len() as u64
    }

    fn oldest(&self) -> u64 {
        0
    }

    fn append(&mut self, _: Instant, event: NewEvent<'_>) -> Appended {
        let mut shared = self.shared();
        let number = shared.log.len() as u64;
        let offset: Arc<str> = format!("at {number}").into();
        let frame = event.parser.with_offset(event.frame, &offset);
        shared.log.push((event.namespace.clone(), event.audience, Some(frame.clone())));
        Appended { number, offset, frame }
    }

    fn retract(&mut self, number: u64) {
        self.shared().log[number as usize].2 = None;
    }

    fn save(&mut self, _: Instant, session: KeptSession) {
        let away = Away {
            sid: session.sid.clone(),
            namespace: session.namespace.clone(),
            rooms: session.membership.rooms.clone(),
        };
        self.shared().sessions.insert(session.live.pid().clone(), away);
    }

    fn holds(&self, pid: &str) -> bool {
        self.shared().sessions.contains_key(pid)
    }

    fn look_up(&mut self, _: Instant, _: &str, pid: &str, offset: Option<&str>) -> Lookup {
        let mut place = self.place();
        if place.found.contains_key(pid) {
            return Lookup::Ready;
        }
        place.asked.push((pid.into(), offset.map(Into::into)));
        if let Some(runtime) = &place.at_once {
            let node = self.clone();
            runtime.spawn(Box::pin(async move { node.answer() }));
        }
        Lookup::Pending
    }

    fn poll_looked_up(&mut self) -> Option<Arc<str>> {
        self.place().told.pop_front()
    }

    fn give_up(&mut self, pid: &str) {
        let mut place = self.place();
        place.given_up += 1;
        place.asked.retain(|(asked, _)| **asked != *pid);
        if let Some((away, _)) = place.found.remove(pid) {
            self.shared().sessions.insert(pid.into(), away);
        }
    }

    fn notify(&mut self, notify: Notify) {
        self.place().notify = Some(notify);
    }

    fn restore(
        &mut self,
        _: Instant,
        namespace: &str,
        pid: &str,
        _: Option<&str>,
        _: usize,
    ) -> Result<Recovered, NotRecovered> {
        let (away, from) = self.place().found.remove(pid).ok_or(NotRecovered::Unknown)?;
        let shared = self.shared();
        let missed = shared.log[from..].iter().filter(|(of, audience, _)| {
            **of == *namespace && audience.includes(&away.sid, |room| away.rooms.iter().any(|r| **r == *room))
        });
        let missed = missed.filter_map(|(_, _, frame)| frame.clone()).collect();
        let next = shared.log.len() as u64;
        let membership = Membership { rooms: away.rooms, journal: Journal::new(64) };
        let live = LiveSession::new(pid.into(), next, &RecoveryConfig::default());
        Ok(Recovered { session: live.keep(away.sid, away.namespace, membership, next, None), missed })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_ended(&mut self) -> Option<(KeptSession, Ended)> {
        None
    }

    fn drain(&mut self) -> Vec<KeptSession> {
        Vec::new()
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}

/// The auth of the client that joined last.
type LastAuth = Arc<Mutex<Value>>;

fn server(
    node: &Node,
    auth: &LastAuth,
) -> impl FnOnce(TestRuntime) -> Result<Server, sansocket_runtime::BuildError> {
    let (node, auth) = (node.clone(), auth.clone());
    move |runtime| {
        let io = ServerBuilder::<Server, ServerOptions>::new(runtime)
            .connection_state_recovery(RecoveryConfig::default())
            .recovery_store(node)
            .build()?;
        io.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop));
        io.on_connected(move |Auth(shown): Auth<Value>| {
            *auth.lock().unwrap() = shown;
            std::future::ready(())
        });
        Ok(io)
    }
}

fn heard(client: &TestClient) -> Vec<Value> {
    client.received().into_iter().map(|received| received.args.get(0).unwrap_or_default()).collect()
}

#[test]
fn a_client_comes_back_to_another_server_and_hears_what_passed_while_it_was_looked_for() {
    let (node, auth) = (Node::default(), LastAuth::default());
    let other = node.beside();
    let one = TestServer::new(server(&node, &auth));
    let two = one.beside(server(&other, &auth));
    node.place().at_once = Some(one.runtime());
    let ada = one.client("/");
    let () = ada.call("join", &"chess");
    one.server().to("chess").emit("move", &1).unwrap();
    let offset: String = ada.expect_event("move").args.get(1).unwrap();
    let id = ada.id();

    // Its private id, as its own client shows it.
    ada.cut_network();
    one.server().to("chess").emit("move", &2).unwrap();
    ada.restore_network();
    one.advance(SECOND * 6);
    assert!(ada.is_connected() && ada.socket().recovered());
    assert_eq!(heard(&ada), [json!(2)]);
    let pid = auth.lock().unwrap()["pid"].as_str().unwrap().to_owned();
    ada.cut_network();
    one.server().to("chess").emit("move", &3).unwrap();

    let shown = json!({ "pid": pid, "offset": offset });
    let again = two.unconnected("/", |builder| builder.auth(&shown)).unwrap();
    let socket = again.socket().clone();
    two.runtime().spawn(Box::pin(async move { drop(socket.connect().await) }));
    two.settle();
    assert!(!again.is_connected() && other.place().asked.len() == 1);
    one.server().to("chess").emit("move", &4).unwrap();
    other.answer();
    // Between the answer and the entrance.
    one.server().to("chess").emit("move", &5).unwrap();
    two.settle();
    assert_eq!(again.id(), id);
    assert!(two.server().socket(&id).unwrap().recovered());
    assert_eq!(heard(&again), [2, 3, 4, 5].map(Value::from));
    two.server().to("chess").emit("move", &6).unwrap();
    assert_eq!(heard(&again), [json!(6)]);
}

#[test]
fn a_client_does_not_wait_for_ever_for_what_the_store_looks_for() {
    let (node, auth) = (Node::default(), LastAuth::default());
    let test = TestServer::new(server(&node, &auth));
    let ada = test.client("/");
    let id = ada.id();
    ada.cut_network();
    ada.restore_network();
    test.advance(SECOND * 6);
    assert!(!ada.is_connected());
    test.advance(SECOND * 10);
    assert!(ada.is_connected());
    assert_eq!((ada.socket().recovered(), ada.id() == id), (false, false));
    // The store was told, and what it finds too late disturbs nobody.
    assert_eq!(node.place().given_up, 1);
    assert!(node.place().asked.is_empty());
    node.answer();
    test.settle();
    assert!(ada.is_connected());
}

#[test]
fn what_was_found_for_a_client_that_has_gone_waits_on() {
    let (node, auth) = (Node::default(), LastAuth::default());
    let test = TestServer::new(server(&node, &auth));
    let ada = test.client("/");
    let id = ada.id();
    ada.cut_network();
    ada.restore_network();
    test.advance(SECOND * 6);
    assert_eq!(node.place().asked.len(), 1);
    // Gone again while its session is looked for.
    ada.cut_network();
    node.answer();
    test.settle();
    assert_eq!(node.place().given_up, 1);
    node.place().at_once = Some(test.runtime());
    ada.restore_network();
    test.advance(SECOND * 6);
    assert_eq!((ada.id(), ada.socket().recovered()), (id, true));
}
