//! Recovery of connections under faults: made-up conversations at a server that keeps sessions, and an oracle which says
//! what each session must hear.

use super::{App, ClientId, Cut, Dice, Link, SessionId, When, World};
use crate::client::{ClientEvent, Manager};
use crate::engine::{EngineClientConfig, EngineServerConfig, TransportKind};
use crate::error::CloseReason;
use crate::hub::{Hub, HubLimits, Journal, MemberKey, Target};
use crate::message::Frame;
use crate::random::Random;
use crate::recovery::{
    Appended, Audience, Ended, KeptSession, LiveSession, MemoryStore, NewEvent, RecoveryConfig, RecoveryStore,
};
use crate::server::ServerEvent;
use crate::socket::{AuthSource, ClientSocketEvent, PacketData, Parser, ServerSocketEvent, SocketKey};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

const WINDOW: Duration = Duration::from_secs(10);
/// Ping interval and ping timeout.
const DETECTION: Duration = Duration::from_secs(3);
const ROOMS: [&str; 3] = ["a", "b", "c"];
/// The time during which everybody talks and faults happen.
const TALK: Duration = Duration::from_secs(25);
/// The time until everybody is back and has heard everything.
const QUIET: Duration = Duration::from_secs(20);

/// The result of [`recover`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recoveries {
    /// Events that were emitted.
    pub events: u64,
    /// Connections that were lost with a session that was kept.
    pub lost: u64,
    /// Sessions that were given back.
    pub recovered: u64,
    /// Of these, those whose clients were back before their loss was noticed.
    pub early: u64,
    /// Events that were sent again.
    pub replayed: u64,
    /// Clients that asked for a session and had to begin anew.
    pub anew: u64,
}

impl Recoveries {
    /// Adds those of another conversation.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.lost += other.lost;
        self.recovered += other.recovered;
        self.early += other.early;
        self.replayed += other.replayed;
        self.anew += other.anew;
    }
}

impl fmt::Display for Recoveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, lost, recovered, early, replayed, anew } = self;
        write!(
            f,
            "{events} events, {lost} sessions lost, {recovered} recovered ({early} before the loss was noticed), \
             {replayed} events sent again, {anew} began anew"
        )
    }
}

/// Plays a conversation of a few clients at a server that recovers connections, with faults at random bytes.
///
/// The rule: in each session, a client hears every event that was for it once and in order, whatever connections it
/// took. Inside the window its session is given back; when it is not, both ends say so.
///
/// # Errors
/// The rule that was broken, with a transcript if one was asked for.
pub fn recover(seed: u64, transcript: bool) -> Result<Recoveries, String> {
    let mut dice = Dice::new(seed ^ 0x7ec0_7e12);
    let server = EngineServerConfig::default()
        .path("/socket.io")
        .ping_interval(Duration::from_secs(2))
        .ping_timeout(Duration::from_secs(1));
    let mut world = World::new(seed, Arc::new(server), Arc::default(), transcript);
    // A store that is too small for what is said: sessions are not given back, but never wrongly.
    let is_tight = dice.percent(20);
    let config = RecoveryConfig::default()
        .window(WINDOW)
        .detection(DETECTION)
        .max_room_changes(if is_tight { 3 } else { 64 })
        .max_bytes(if is_tight { 6000 } else { 1 << 24 });
    let mut talk = Talk::new(config, is_tight, dice);
    for _ in 0..talk.dice.between(1, 3) {
        talk.add(&mut world);
    }
    world.run_until(Instant::ZERO + TALK, &mut talk);
    world.heal();
    world.remark("everything is to be heard");
    world.run_until(Instant::ZERO + TALK + QUIET, &mut talk);
    talk.judge_end(&mut world);
    match world.broken() {
        None => Ok(talk.told),
        Some(broken) => Err(format!("{}: {}\n{}", broken.rule, broken.detail, world.trace().transcript())),
    }
}

/// A socket at the server.
struct Member {
    key: MemberKey,
    sid: Arc<str>,
    live: LiveSession,
}

/// A client, as the oracle sees it.
struct Listener {
    client: ClientId,
    socket: SocketKey,
    /// The session that it believes to be in.
    sid: Option<Arc<str>>,
    heard: usize,
}

/// A session, as the oracle sees it.
#[derive(Default)]
struct Session {
    /// The events that were for it.
    events: Vec<(u64, Instant)>,
    /// Its rooms while its client is away, and since when that is.
    away: Option<(Vec<Arc<str>>, Instant)>,
}

type Place = (SessionId, SocketKey);

struct Talk {
    dice: Dice,
    parser: Parser,
    namespace: Arc<str>,
    store: MemoryStore,
    is_tight: bool,
    config: RecoveryConfig,
    hub: Hub<Place>,
    members: BTreeMap<Place, Member>,
    /// CONNECTs that wait for the end of the connection which has their session.
    waiting: Vec<(Place, Place, Option<PacketData>)>,
    listeners: Vec<Listener>,
    sessions: BTreeMap<Arc<str>, Session>,
    ids: u64,
    said: u64,
    due: Instant,
    told: Recoveries,
}

impl Talk {
    fn new(config: RecoveryConfig, is_tight: bool, mut dice: Dice) -> Self {
        Self {
            store: MemoryStore::new(config, Random::new(dice.key())),
            dice,
            parser: Parser::json(),
            namespace: "/".into(),
            is_tight,
            config,
            hub: Hub::new(HubLimits::default()),
            members: BTreeMap::new(),
            waiting: Vec::new(),
            listeners: Vec::new(),
            sessions: BTreeMap::new(),
            ids: 0,
            said: 0,
            due: Instant::from_millis(100),
            told: Recoveries::default(),
        }
    }

    fn add(&mut self, world: &mut World) {
        use TransportKind::{Polling, WebSocket};
        let ways: [&[TransportKind]; 3] = [&[Polling], &[WebSocket], &[Polling, WebSocket]];
        let transports = *self.dice.pick(&ways);
        let engine = EngineClientConfig::default()
            .path("/socket.io")
            .transports(transports.iter().copied())
            .open_timeout(Duration::from_secs(3));
        let mut manager = Manager::new(
            Arc::default(),
            Arc::new(engine),
            Random::new(self.dice.key()),
            Some(Arc::default()),
        );
        let auth = match self.dice.percent(50) {
            true => AuthSource::Fixed(PacketData::from_json(r#"{"token":"x"}"#).expect("an object")),
            false => AuthSource::None,
        };
        let socket = manager.add("/", auth).expect("a namespace");
        manager.connect(Instant::ZERO, socket);
        let client = world.add_client(manager, Link::default());
        self.listeners.push(Listener { client, socket, sid: None, heard: 0 });
    }

    // --- the server --------------------------------------------------------------------------------------------

    fn connect(&mut self, world: &mut World, place: Place, auth: Option<PacketData>) {
        let asked = auth.as_ref().and_then(PacketData::recovery);
        if let Some((pid, _)) = &asked {
            let old = self.members.iter().find(|(_, member)| **member.live.pid() == **pid);
            if let Some(old) = old.map(|(old, _)| *old) {
                self.told.early += 1;
                self.waiting.push((old, place, auth));
                if let Some(connection) = world.server().connection(old.0) {
                    connection.abort(CloseReason::TransportClose);
                }
                return;
            }
        }
        let Some(capacity) = world.server().connection(place.0).map(|connection| connection.capacity())
        else {
            return;
        };
        let now = world.now();
        let back = asked.and_then(|(pid, offset)| {
            let is_inside = self.is_inside(&pid, now);
            match self.store.restore(now, "/", &pid, offset.as_deref(), capacity) {
                Ok(back) => Some(back),
                Err(error) => {
                    self.told.anew += 1;
                    if is_inside && !self.is_tight {
                        world.fail("a session is given back inside its window", error.to_string());
                    }
                    None
                }
            }
        });
        self.ended(world);
        let (member, missed) = match back {
            Some(back) => {
                let KeptSession { live, sid, membership, .. } = back.session;
                let Ok(key) = self.hub.insert(sid.clone(), place) else {
                    return world.fail("a session is at one place", sid.to_string());
                };
                self.hub.restore(key, membership);
                self.told.recovered += 1;
                self.told.replayed += back.missed.len() as u64;
                if let Some(session) = self.sessions.get_mut(&sid) {
                    session.away = None;
                }
                (Member { key, sid, live }, back.missed)
            }
            None => {
                self.ids += 1;
                let sid: Arc<str> = format!("S{}", self.ids).into();
                let pid: Arc<str> = format!("secret of {}", self.ids).into();
                let key = self.hub.insert(sid.clone(), place).expect("a new id");
                self.hub.record(key, Journal::new(self.config.max_room_changes));
                self.sessions.insert(sid.clone(), Session::default());
                (
                    Member { key, sid, live: LiveSession::new(pid, self.store.next(), &self.config) },
                    Vec::new(),
                )
            }
        };
        self.let_in(world, place, &member, missed);
        self.members.insert(place, member);
    }

    fn let_in(&mut self, world: &mut World, place: Place, member: &Member, missed: Vec<Frame>) {
        let Some(connection) = world.server().connection(place.0) else { return };
        let mut sent = Ok(());
        for frame in missed {
            sent = sent.and(connection.emit(place.1, frame).map(drop));
        }
        // If the client is gone by now, its end is told.
        let _ = connection.accept_recoverable(place.1, &member.sid, member.live.pid());
        if sent.is_err() && world.server().connection(place.0).is_some_and(|connection| connection.is_open())
        {
            world.fail("what was missed fits", format!("{sent:?}"));
        }
    }

    /// Whether a session must be given back, by its private id: it waits, and the first event that its client has not
    /// heard is not too old. A client that is back for a moment and hears nothing begins no new window for that.
    fn is_inside(&self, pid: &str, now: Instant) -> bool {
        let sid = format!("S{}", pid.strip_prefix("secret of ").unwrap_or_default());
        let Some(session) = self.sessions.get(&*sid) else { return false };
        let heard = self.listeners.iter().find(|listener| listener.sid.as_deref() == Some(&*sid));
        let unheard = session.events.get(heard.map_or(0, |listener| listener.heard));
        session.away.as_ref().is_some_and(|(_, since)| *since + WINDOW > now)
            && unheard.is_none_or(|(_, at)| *at + WINDOW + DETECTION > now)
    }

    fn lost(&mut self, world: &mut World, place: Place, reason: CloseReason) {
        if let Some(member) = self.members.remove(&place) {
            let (_, membership) = self.hub.detach(member.key).expect("it is in the hub");
            let membership = membership.expect("it has a journal");
            if reason.is_recoverable() {
                self.told.lost += 1;
                let session = self.sessions.entry(member.sid.clone()).or_default();
                session.away = Some((membership.rooms.clone(), world.now()));
                let (namespace, next) = (self.namespace.clone(), self.store.next());
                let kept = member.live.keep(member.sid, namespace, membership, next, None);
                self.store.save(world.now(), kept);
                self.ended(world);
            }
        }
        let waiting = core::mem::take(&mut self.waiting);
        for (old, place, auth) in waiting {
            if !self.members.contains_key(&old) {
                if let Some(connection) = world.server().connection(place.0) {
                    let _ = connection.ask_again(place.1, auth);
                }
            } else {
                self.waiting.push((old, place, auth));
            }
        }
    }

    fn ended(&mut self, world: &mut World) {
        let now = world.now();
        while let Some((session, why)) = self.store.poll_ended() {
            let since = self.sessions.get(&session.sid).and_then(|session| session.away.as_ref());
            let since = since.map(|(_, since)| *since);
            let is_over = since.is_some_and(|since| since + WINDOW <= now);
            // The others are judged where they occur.
            let is_early = matches!(why, Ended::Expired | Ended::Evicted) && !is_over;
            if is_early && !self.is_tight {
                world.fail("a session waits for its window", format!("{why:?} after {since:?}"));
            }
            if why == Ended::Expired && !is_over {
                world.fail("a session expires when its window ends", format!("since {since:?}"));
            }
        }
    }

    // --- what is said -------------------------------------------------------------------------------------------

    fn append(&mut self, now: Instant, audience: Audience, frame: &Frame) -> Appended {
        let (namespace, parser) = (&self.namespace, &self.parser);
        self.told.events += 1;
        self.store.append(now, NewEvent { namespace, audience, frame, parser, offset: None })
    }

    fn frame(&mut self) -> Frame {
        self.said += 1;
        // Of any length, so that cuts at a byte hit some part of some event.
        let text = "x".repeat(usize::try_from(self.dice.below(200)).unwrap_or(0));
        self.parser.event("/", "said", None, &(self.said, text, 0)).expect("an event")
    }

    fn say(&mut self, world: &mut World, target: &Target) {
        let frame = self.frame();
        if target.flags.volatile {
            return self.hub.select(target, |_, (session, socket)| {
                if let Some(connection) = world.server().connection(*session) {
                    let _ = connection.emit_volatile(*socket, &frame);
                }
            });
        }
        let now = world.now();
        let appended = self.append(now, Audience::of(target), &frame);
        self.hub.passed(self.store.next(), self.store.oldest());
        for place in self.hub.reached(target) {
            self.send(world, place, &appended);
        }
        for (sid, session) in &mut self.sessions {
            let Some((rooms, _)) = &session.away else { continue };
            let is_in = |name: &Arc<str>| name == sid || rooms.contains(name);
            let among = target.rooms.is_empty() || target.rooms.iter().any(is_in);
            if among && !target.except.iter().any(is_in) {
                session.events.push((self.said, now));
            }
        }
    }

    fn whisper(&mut self, world: &mut World, sid: &Arc<str>) {
        let frame = self.frame();
        let now = world.now();
        let appended = self.append(now, Audience::Socket(sid.clone()), &frame);
        match self.hub.by_id(sid).map(|(_, place)| *place) {
            Some(place) => self.send(world, place, &appended),
            None => {
                if let Some(session) = self.sessions.get_mut(sid) {
                    session.events.push((self.said, now));
                }
            }
        }
    }

    fn send(&mut self, world: &mut World, place: Place, appended: &Appended) {
        let Some(member) = self.members.get_mut(&place) else { return };
        member.live.sent(world.now(), appended.number);
        self.sessions.entry(member.sid.clone()).or_default().events.push((self.said, world.now()));
        if let Some(connection) = world.server().connection(place.0) {
            // It may have ended; its session has the event.
            let _ = connection.emit(place.1, &appended.frame);
        }
    }

    fn act(&mut self, world: &mut World) {
        let room = *self.dice.pick(&ROOMS);
        let other = *self.dice.pick(&ROOMS);
        let sids: Vec<Arc<str>> = self.sessions.keys().rev().take(4).cloned().collect();
        let places: Vec<(Place, MemberKey)> =
            self.members.iter().map(|(place, member)| (*place, member.key)).collect();
        match self.dice.below(100) {
            0..20 => self.say(world, &Target::all().to(room)),
            20..30 => self.say(world, &Target::all()),
            30..36 => self.say(world, &Target::all().to(room).to(other)),
            36..42 => self.say(world, &Target::all().to(room).except(other)),
            42..46 => self.say(world, &Target::all().to(room).volatile()),
            46..60 if !sids.is_empty() => {
                let sid = self.dice.pick(&sids).clone();
                self.whisper(world, &sid);
            }
            60..80 if !places.is_empty() => {
                let (_, key) = *self.dice.pick(&places);
                match self.dice.percent(65) {
                    true => drop(self.hub.join(key, room)),
                    false => drop(self.hub.leave(key, room)),
                }
            }
            80..95 => self.fault(world),
            95..97 => self.leave(world),
            _ => {}
        }
    }

    /// A client leaves its namespace on purpose, or is made to, and joins again.
    fn leave(&mut self, world: &mut World) {
        let at = usize::try_from(self.dice.below(self.listeners.len() as u64)).unwrap_or(0);
        let Listener { client, socket, .. } = self.listeners[at];
        let now = world.local(client);
        if let Some(manager) = world.client(client) {
            manager.disconnect(now, socket);
            manager.connect(now, socket);
        }
    }

    fn fault(&mut self, world: &mut World) {
        let at = usize::try_from(self.dice.below(self.listeners.len() as u64)).unwrap_or(0);
        let client = self.listeners[at].client;
        let told = |dice: &mut Dice| match dice.below(3) {
            0 => None,
            _ => Some(Duration::from_millis(dice.below(400))),
        };
        let (client_told, server_told) = (told(&mut self.dice), told(&mut self.dice));
        let down = match self.dice.below(10) {
            0..6 => 0,
            6..9 => self.dice.below(6000),
            _ => self.dice.below(20_000),
        };
        let up = self.dice.percent(30);
        let when = match self.dice.below(10) {
            0..3 => When::Now,
            3 => When::Response,
            _ => When::Bytes { up, count: usize::try_from(self.dice.below(900)).unwrap_or(0) },
        };
        match self.dice.below(20) {
            0 => world.stall(client, Duration::from_millis(self.dice.below(5000))),
            1 => world.sleep(client, Duration::from_millis(self.dice.below(8000)), self.dice.percent(50)),
            _ => world.cut(
                client,
                Cut {
                    when,
                    client_told,
                    server_told,
                    down: Duration::from_millis(down),
                    refuses: self.dice.percent(50),
                    ..Cut::now()
                },
            ),
        }
    }

    // --- what is heard ------------------------------------------------------------------------------------------

    fn heard(&mut self, world: &mut World, client: ClientId, event: ClientSocketEvent) {
        let Some(listener) = self.listeners.iter_mut().find(|listener| listener.client == client) else {
            return;
        };
        match event {
            ClientSocketEvent::Connected { id, recovered, .. } => {
                if recovered != (listener.sid.as_ref() == Some(&id)) {
                    return world.fail("both ends say the same of a recovery", format!("{recovered}: {id}"));
                }
                if !recovered {
                    (listener.sid, listener.heard) = (Some(id), 0);
                }
            }
            // A volatile event ends with a number, and has no offset.
            ClientSocketEvent::Event { args, .. } if args.len() == 4 => {
                let number: u64 = args.get(0).unwrap_or(0);
                let Some(session) = listener.sid.as_ref().and_then(|sid| self.sessions.get(sid)) else {
                    return world.fail("an event belongs to a session", number.to_string());
                };
                let expected = session.events.get(listener.heard).map(|(event, _)| *event);
                if expected != Some(number) {
                    let detail = format!("c{}: {number} in place of {expected:?}", client.0);
                    return world.fail("each event is heard once, in order and without gaps", detail);
                }
                listener.heard += 1;
            }
            _ => {}
        }
    }

    fn judge_end(&mut self, world: &mut World) {
        for listener in &self.listeners {
            let connected =
                world.client(listener.client).is_some_and(|manager| manager.is_connected(listener.socket));
            let session = listener.sid.as_ref().and_then(|sid| self.sessions.get(sid));
            let events = session.map_or(0, |session| session.events.len());
            if !connected || listener.heard != events {
                let heard = listener.heard;
                let detail = format!("c{}: connected {connected}, {heard} of {events}", listener.client.0);
                return world.fail("in the end everybody has heard everything", detail);
            }
        }
        self.store.handle_timeout(world.now() + WINDOW * 2);
        let stats = self.store.stats();
        if stats.sessions + stats.events + stats.bytes > 0 {
            world.fail("nothing is kept for ever", format!("{stats:?}"));
        }
    }
}

impl App for Talk {
    fn client_event(&mut self, world: &mut World, client: ClientId, event: ClientEvent) {
        if let ClientEvent::Socket(event) = event {
            self.heard(world, client, event);
        }
    }

    fn server_event(&mut self, world: &mut World, session: SessionId, event: ServerEvent) {
        match event {
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, auth, .. }) => {
                self.connect(world, (session, socket), auth);
            }
            ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, reason }) => {
                self.lost(world, (session, socket), reason);
            }
            _ => {}
        }
    }

    fn due(&self) -> Option<Instant> {
        let act = Some(self.due).filter(|due| *due < Instant::ZERO + TALK);
        [act, self.store.poll_timeout()].into_iter().flatten().min()
    }

    fn wake(&mut self, world: &mut World) {
        let now = world.now();
        self.store.handle_timeout(now);
        self.ended(world);
        if self.due <= now && now < Instant::ZERO + TALK {
            self.due = now + Duration::from_millis(1 + self.dice.below(250));
            self.act(world);
        }
    }
}
