use super::*;
use crate::hub::{Hub, HubLimits, Journal, MemberKey};
use crate::random::Random;
use alloc::format;
use alloc::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const ENOUGH: usize = 10_000_000;
const ROOMS: [&str; 4] = ["a", "b", "c", "p0"];

/// A store with a hub, and what a perfect one would remember of each socket: everything that was for it.
struct World {
    now: Instant,
    store: MemoryStore,
    hub: Hub<usize>,
    namespace: Arc<str>,
    people: Vec<Person>,
    said: u64,
    sessions: u64,
}

struct Person {
    id: Arc<str>,
    /// `None` while it is away.
    here: Option<(MemberKey, LiveSession)>,
    pid: Arc<str>,
    /// Its rooms when it went away.
    rooms: Vec<Arc<str>>,
    /// The events for it in this session, in order, as on the wire.
    sent: Vec<Appended>,
    /// The number of these that its client has seen.
    seen: usize,
}

impl World {
    fn new(config: RecoveryConfig) -> Self {
        Self {
            now: Instant::ZERO,
            store: MemoryStore::new(config, Random::new([1; 32])),
            hub: Hub::new(HubLimits::default()),
            namespace: "/".into(),
            people: Vec::new(),
            said: 0,
            sessions: 0,
        }
    }

    fn with(people: usize) -> Self {
        Self::with_config(RecoveryConfig::default(), people)
    }

    fn with_config(config: RecoveryConfig, people: usize) -> Self {
        let mut world = Self::new(config);
        (0..people).for_each(|_| world.add());
        world
    }

    fn add(&mut self) {
        let id: Arc<str> = format!("p{}", self.people.len()).into();
        let (sent, rooms) = Default::default();
        self.people.push(Person { pid: id.clone(), id, here: None, rooms, sent, seen: 0 });
        self.begin(self.people.len() - 1);
    }

    /// A new session.
    fn begin(&mut self, person: usize) {
        self.sessions += 1;
        let found = &mut self.people[person];
        let key = self.hub.insert(found.id.clone(), person).unwrap();
        self.hub.record(key, Journal::new(64));
        found.pid = format!("secret {}", self.sessions).into();
        found.here =
            Some((key, LiveSession::new(found.pid.clone(), self.store.next(), &RecoveryConfig::default())));
        (found.sent, found.seen) = (Vec::new(), 0);
    }

    fn append(&mut self, namespace: &Arc<str>, audience: Audience) -> Appended {
        self.said += 1;
        let parser = Parser::json();
        let frame = parser.event(namespace, "said", None, &self.said).unwrap();
        self.store
            .append(self.now, NewEvent { namespace, audience, frame: &frame, parser: &parser, offset: None })
    }

    fn say(&mut self, target: &Target) -> Appended {
        let appended = self.append(&"/".into(), Audience::of(target));
        self.hub.passed(self.store.next(), self.store.oldest());
        let mut reached = Vec::new();
        self.hub.select(target, |_, person| reached.push(*person));
        for person in &mut self.people {
            let Some((_, live)) = &mut person.here else {
                let is_in = |name: &Arc<str>| *name == person.id || person.rooms.contains(name);
                let among = target.rooms.is_empty() || target.rooms.iter().any(is_in);
                if among && !target.except.iter().any(is_in) {
                    person.sent.push(appended.clone());
                }
                continue;
            };
            if reached.iter().any(|reached| *reached == person.id[1..].parse::<usize>().unwrap()) {
                live.sent(self.now, appended.number);
                person.sent.push(appended.clone());
            }
        }
        appended
    }

    fn whisper(&mut self, person: usize) -> Appended {
        let appended = self.append(&"/".into(), Audience::Socket(self.people[person].id.clone()));
        let found = &mut self.people[person];
        if let Some((_, live)) = &mut found.here {
            live.sent(self.now, appended.number);
        }
        found.sent.push(appended.clone());
        appended
    }

    fn join(&mut self, person: usize, room: &str) {
        let key = self.people[person].here.as_ref().unwrap().0;
        self.hub.join(key, room).unwrap();
    }

    fn leave(&mut self, person: usize, room: &str) {
        let key = self.people[person].here.as_ref().unwrap().0;
        self.hub.leave(key, room);
    }

    /// Its connection is lost.
    fn lose(&mut self, person: usize) {
        let found = &mut self.people[person];
        let Some((key, live)) = found.here.take() else { return };
        let membership = self.hub.detach(key).unwrap().1.unwrap();
        found.rooms = membership.rooms.clone();
        let kept = live.keep(found.id.clone(), self.namespace.clone(), membership, self.store.next(), None);
        self.store.save(self.now, kept);
    }

    fn offset(&self, person: usize) -> Option<Arc<str>> {
        let found = &self.people[person];
        Some(found.sent.get(found.seen.checked_sub(1)?)?.offset.clone())
    }

    /// It comes back, and what it is then told is judged.
    fn back(&mut self, person: usize) -> Result<(), NotRecovered> {
        let (pid, offset) = (self.people[person].pid.clone(), self.offset(person));
        let restored = self.store.restore(self.now, "/", &pid, offset.as_deref(), ENOUGH);
        let found = &mut self.people[person];
        match restored {
            Ok(Recovered { session, missed }) => {
                let expected: Vec<Frame> =
                    found.sent[found.seen..].iter().map(|appended| appended.frame.clone()).collect();
                assert_eq!(missed, expected, "{} with {offset:?}", found.id);
                assert_eq!(session.sid, found.id);
                assert_eq!(session.membership.rooms, found.rooms);
                let key = self.hub.insert(session.sid, person).unwrap();
                self.hub.restore(key, session.membership);
                found.here = Some((key, session.live));
                Ok(())
            }
            Err(error) => {
                self.begin(person);
                Err(error)
            }
        }
    }

    fn ended(&mut self) -> Vec<Ended> {
        core::iter::from_fn(|| self.store.poll_ended()).map(|(_, why)| why).collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.store.handle_timeout(self.now);
    }
}

/// One byte each for the act, its actor, and the room or the number.
fn act(world: &mut World, (what, who, which): (u8, u8, u8)) {
    let person = usize::from(who) % world.people.len();
    let room = ROOMS[usize::from(which) % ROOMS.len()];
    let other = ROOMS[usize::from(which / 4) % ROOMS.len()];
    let is_here = world.people[person].here.is_some();
    match what % 12 {
        0 | 1 => drop(world.say(&Target::all().to(room))),
        2 => drop(world.say(&Target::all())),
        3 => drop(world.say(&Target::all().to(room).to(other))),
        4 => drop(world.say(&Target::all().to(room).except(other))),
        5 => drop(world.whisper(person)),
        6 if is_here => world.join(person, room),
        7 if is_here => world.leave(person, room),
        8 if is_here => {
            let found = &mut world.people[person];
            found.seen = found.sent.len().min(found.seen + usize::from(which % 5));
        }
        9 => world.lose(person),
        10 if !is_here => {
            world.back(person).unwrap();
        }
        11 => {
            // Another namespace has rooms of the same names.
            world.append(&"/other".into(), Audience::of(&Target::all().to(room)));
            world.wait(Duration::from_millis(which.into()));
        }
        _ => {}
    }
}

#[test]
fn inside_the_window_nothing_is_lost_and_nothing_is_twice() {
    let stories = proptest::collection::vec(any::<(u8, u8, u8)>(), 1..120);
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&stories, |story| {
            let mut world = World::with(3);
            story.into_iter().for_each(|step| act(&mut world, step));
            for person in 0..3 {
                world.lose(person);
                world.back(person).unwrap();
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_client_that_has_heard_nothing_for_an_hour_misses_nothing() {
    let mut world = World::with(2);
    world.join(0, "a");
    world.say(&Target::all().to("a"));
    world.people[0].seen = 1;
    world.wait(Duration::from_secs(3600));
    world.say(&Target::all().to("b"));
    assert_eq!(world.store.stats().events, 1, "what is old is forgotten");
    world.lose(0);
    world.say(&Target::all().to("a"));
    world.back(0).unwrap();
    // Nor does one that has heard nothing at all.
    world.lose(1);
    world.whisper(1);
    world.back(1).unwrap();
}

#[test]
fn what_others_heard_long_ago_is_no_gap_for_a_client_that_has_missed_one_event() {
    for quiet in [83, 100, 164, 165, 200, 400] {
        let mut world = World::with(2);
        world.whisper(0);
        world.people[0].seen = 1;
        for _ in 0..quiet {
            world.wait(Duration::from_secs(1));
            world.whisper(1);
        }
        world.whisper(0);
        world.wait(Duration::from_secs(44));
        world.lose(0);
        world.wait(Duration::from_secs(119));
        assert_eq!(world.back(0), Ok(()), "after {quiet} s");
    }
}

#[test]
fn a_client_that_reconnects_again_and_again_has_a_bounded_number_of_events_searched() {
    let mut world = World::with_config(RecoveryConfig::default().max_searched(30), 3);
    world.join(0, "a");
    // These are for none of its rooms, though for several: they are not among those that are searched.
    (0..100).for_each(|_| drop(world.say(&Target::all().to("b").to("c").to("b"))));
    // These are for a room that it has left: they are, and one is that would be for it by another room.
    world.leave(0, "a");
    (0..28).for_each(|_| drop(world.say(&Target::all().to("a"))));
    world.say(&Target::all().to("c").to("p0").to("p0").to("a"));
    for _ in 0..5 {
        world.lose(0);
        world.back(0).unwrap();
    }
    world.say(&Target::all());
    world.lose(0);
    assert_eq!(world.back(0), Err(NotRecovered::TooMany));
    assert_eq!(world.ended(), [Ended::NotRecovered(NotRecovered::TooMany)]);
    // A new session begins behind all that.
    world.lose(0);
    world.back(0).unwrap();
}

#[test]
fn what_a_client_has_told_to_have_seen_is_not_searched_or_sent_again() {
    let mut world = World::with_config(RecoveryConfig::default().max_searched(2), 1);
    let [_, second, third] = [0; 3].map(|_| world.whisper(0));
    world.people[0].seen = 2;
    world.lose(0);
    world.back(0).unwrap();
    for offset in [None, Some(&*second.offset)] {
        world.lose(0);
        let pid = world.people[0].pid.clone();
        let back = world.store.restore(world.now, "/", &pid, offset, ENOUGH).unwrap();
        assert_eq!(back.missed, core::slice::from_ref(&third.frame), "{offset:?}");
        let key = world.hub.insert(back.session.sid, 0).unwrap();
        world.hub.restore(key, back.session.membership);
        world.people[0].here = Some((key, back.session.live));
    }
}

#[test]
fn a_session_ends_with_its_window_and_is_told_once() {
    let mut world = World::with(1);
    world.whisper(0);
    world.lose(0);
    assert_eq!(world.store.poll_timeout(), Some(Instant::from_millis(120_000)));
    world.wait(Duration::from_millis(119_999));
    assert!(world.ended().is_empty());
    world.wait(Duration::from_millis(1));
    assert_eq!(world.ended(), [Ended::Expired]);
    assert_eq!(world.back(0), Err(NotRecovered::Unknown));
    assert!(world.ended().is_empty());
    // The events go, too.
    assert_eq!(world.store.poll_timeout(), Some(Instant::from_millis(247_500)));
    world.wait(Duration::from_millis(127_500));
    assert_eq!(world.store.stats(), StoreStats::default());
    assert_eq!(world.store.poll_timeout(), None);
}

#[test]
fn a_window_that_is_over_is_over_whether_or_not_the_timer_has_run() {
    let mut world = World::with(1);
    world.lose(0);
    world.now = Instant::from_millis(120_000);
    assert_eq!(world.back(0), Err(NotRecovered::Unknown));
    assert_eq!(world.ended(), [Ended::Expired]);
}

#[test]
fn beyond_a_limit_the_oldest_goes_and_who_needs_it_is_told() {
    let mut world = World::new(RecoveryConfig::default().max_sessions(2));
    (0..3).for_each(|_| world.add());
    (0..3).for_each(|person| world.lose(person));
    assert_eq!((world.store.stats().sessions, world.ended()), (2, vec![Ended::Evicted]));
    assert_eq!(world.back(0), Err(NotRecovered::Unknown));
    world.back(1).unwrap();

    let mut world = World::new(RecoveryConfig::default().max_bytes(3000));
    (0..2).for_each(|_| world.add());
    world.join(0, "a");
    world.whisper(0);
    world.whisper(1);
    world.lose(0);
    world.people[1].seen = 1;
    world.lose(1);
    (0..40).for_each(|_| drop(world.append(&"/other".into(), Audience::of(&Target::all()))));
    assert!(world.store.stats().bytes <= 3000);
    // One has missed an event that is gone; the other one's were seen, so that it needs none from before it left.
    assert_eq!(world.back(0), Err(NotRecovered::Gap));
    assert_eq!(world.back(1), Err(NotRecovered::Gap), "what passed since is gone as well");
    assert_eq!(world.ended(), [Ended::NotRecovered(NotRecovered::Gap); 2]);
    // If sessions alone are too much, they go.
    let mut world = World::new(RecoveryConfig::default().max_bytes(1700));
    (0..3).for_each(|_| world.add());
    (0..3).for_each(|person| world.lose(person));
    assert_eq!((world.store.stats().sessions, world.ended()), (2, vec![Ended::Evicted]));
}

#[test]
fn more_changes_of_rooms_than_are_kept_are_a_gap_only_for_events_before_them() {
    let mut world = World::with(2);
    world.say(&Target::all());
    for person in 0..2 {
        for _ in 0..33 {
            world.join(person, "a");
            world.leave(person, "a");
        }
    }
    world.say(&Target::all());
    world.people[0].seen = 1;
    (0..2).for_each(|person| world.lose(person));
    world.back(0).unwrap();
    // It saw nothing, and of the first event it is not known any more whether it was for it.
    assert_eq!(world.back(1), Err(NotRecovered::Gap));
}

#[test]
fn an_offset_of_an_earlier_session_means_the_beginning_of_this_one() {
    let mut world = World::with(1);
    let old = world.whisper(0).offset;
    world.lose(0);
    world.wait(Duration::from_secs(120));
    assert_eq!(world.back(0), Err(NotRecovered::Unknown));
    let missed = world.whisper(0);
    world.lose(0);
    let pid = world.people[0].pid.clone();
    let back = world.store.restore(world.now, "/", &pid, Some(&old), ENOUGH).unwrap();
    assert_eq!(back.missed, [missed.frame]);
}

#[test]
fn a_text_that_is_no_offset_is_told_apart_unless_nothing_was_sent() {
    let mut world = World::with(2);
    world.whisper(0);
    (0..2).for_each(|person| world.lose(person));
    world.whisper(1);
    let [first, second] = [0, 1].map(|person| world.people[person].pid.clone());
    let garbage = Some("of a volatile event");
    assert_eq!(
        world.store.restore(world.now, "/", &first, garbage, ENOUGH).unwrap_err(),
        NotRecovered::Offset
    );
    assert_eq!(world.store.restore(world.now, "/", &second, garbage, ENOUGH).unwrap().missed.len(), 1);
}

#[test]
fn a_session_is_given_back_once_and_in_its_namespace_only() {
    let mut world = World::with(1);
    world.lose(0);
    let pid = world.people[0].pid.clone();
    let mut restore =
        |namespace, pid: &str| world.store.restore(Instant::ZERO, namespace, pid, None, ENOUGH).map(drop);
    assert_eq!(restore("/other", &pid), Err(NotRecovered::Unknown));
    assert_eq!(restore("/", "guessed"), Err(NotRecovered::Unknown));
    assert_eq!(restore("/", &pid), Ok(()));
    assert_eq!(restore("/", &pid), Err(NotRecovered::Unknown));
}

#[test]
fn more_than_fits_into_a_send_buffer_is_not_given_back() {
    let mut world = World::with(1);
    world.lose(0);
    let bytes = (0..10).fold(0, |sum, _| sum + world.whisper(0).frame.queued_len());
    let (pid, now) = (world.people[0].pid.clone(), world.now);
    let mut copy = |capacity| {
        let restored = world.store.restore(now, "/", &pid, None, capacity);
        let sessions = world.store.stats().sessions;
        (restored.map(|back| (back.missed.len(), world.store.save(now, back.session))), sessions)
    };
    assert_eq!(copy(bytes), (Ok((10, ())), 0));
    assert_eq!(copy(bytes - 1), (Err(NotRecovered::TooMuch), 0));
}

#[test]
fn what_was_taken_back_is_not_sent_again() {
    let mut world = World::with(1);
    world.lose(0);
    world.whisper(0);
    let taken_back = world.whisper(0).number;
    let bytes = world.store.stats().bytes;
    world.store.retract(taken_back);
    world.store.retract(taken_back);
    world.store.retract(99);
    assert!(world.store.stats().bytes < bytes);
    world.people[0].sent.remove(1);
    world.back(0).unwrap();
}

#[test]
fn a_session_that_is_saved_over_another_ends_that_one() {
    let mut world = World::with(2);
    world.people[0].here.as_mut().unwrap().1 = world.people[1].here.as_ref().unwrap().1.clone();
    (0..2).for_each(|person| world.lose(person));
    assert_eq!(world.ended(), [Ended::Replaced]);
    assert_eq!(world.store.stats().sessions, 1);
}

#[test]
fn a_store_that_is_drained_is_empty_and_tells_nothing() {
    let mut world = World::with(3);
    (0..3).for_each(|person| world.lose(person));
    let drained: Vec<_> = world.store.drain().into_iter().map(|session| session.sid).collect();
    assert_eq!(drained, ["p0".into(), "p1".into(), "p2".into()]);
    assert_eq!(world.store.stats(), StoreStats::default());
    assert!(world.ended().is_empty());
}

#[test]
fn a_room_leaves_nothing_once_its_events_are_forgotten() {
    let mut store = MemoryStore::new(RecoveryConfig::default().max_bytes(20_000), Random::new([1; 32]));
    let (namespace, parser): (Arc<str>, _) = ("/".into(), Parser::json());
    let frame = parser.event("/", "message", None, &1).unwrap();
    for room in 0..1000 {
        let rooms = Target::all().to(format!("{room}")).to(format!("{room} as well"));
        let audience = Audience::of(&rooms);
        store.append(
            Instant::ZERO,
            NewEvent { namespace: &namespace, audience, frame: &frame, parser: &parser, offset: None },
        );
    }
    let events = (store.next() - store.oldest()) as usize;
    assert!(events < 200, "{events} are kept");
    assert_eq!(store.rooms(), 2 * events);
}

/// The figures of docs/recovery.md: `cargo test -p sansocket-protocol --lib memory -- --nocapture`.
#[test]
#[allow(clippy::disallowed_macros, reason = "it prints figures")]
fn the_memory_of_an_event_and_of_a_session_is_within_its_price() {
    const MANY: usize = 10_000;
    let names: Vec<Arc<str>> = (0..MANY).map(|at| format!("{at:020}").into()).collect();
    let parser = Parser::json();
    let frames: Vec<Frame> =
        (0..MANY).map(|at| parser.event("/", "message", None, &format!("{at:064}")).unwrap()).collect();
    let config = RecoveryConfig::default();
    let namespace: Arc<str> = "/".into();
    let each = |kept: u64| kept as usize / MANY;

    for (name, limit) in [("a broadcast to one room", 0), ("an event to one socket each", 1)] {
        let mut store = MemoryStore::new(config, Random::new([1; 32]));
        let room: Arc<str> = "room".into();
        let held = allocation_counter::measure(|| {
            for (frame, socket) in frames.iter().zip(&names) {
                let audience = match limit {
                    0 => Audience::of(&Target::all().to(room.clone())),
                    _ => Audience::Socket(socket.clone()),
                };
                let event =
                    NewEvent { namespace: &namespace, audience, frame, parser: &parser, offset: None };
                store.append(Instant::ZERO, event);
            }
        });
        let (text, counted) = (frames[0].wire_len() + 10, store.stats().bytes / MANY);
        let held = each(held.bytes_current.unsigned_abs());
        std::println!("{name}: {held} bytes with its text of {text}; {counted} are counted");
        assert!(held <= counted, "{name}: {held} bytes, of which {counted} are counted");
    }

    let mut store = MemoryStore::new(config, Random::new([1; 32]));
    let room: Arc<str> = "room".into();
    let held = allocation_counter::measure(|| {
        for sid in &names {
            let live = LiveSession::new(format!("{sid}").into(), 0, &config);
            let membership =
                crate::hub::Membership { rooms: vec![room.clone(); 3], journal: Journal::new(64) };
            store.save(Instant::ZERO, live.keep(sid.clone(), namespace.clone(), membership, 0, None));
        }
    });
    let (held, counted) = (each(held.bytes_current.unsigned_abs()), store.stats().bytes / MANY);
    std::println!("a session in three rooms: {held} bytes; {counted} are counted");
    assert!(held <= counted, "a session: {held} bytes, of which {counted} are counted");
}
