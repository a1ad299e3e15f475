//! The clients: those that behave, whose events must come in order and none missing, and the others.

use super::raw;
use super::raw::{Raw, request};
use sansocket_tokio::{Client, ClientBuilder, Data, DisconnectReason, TransportKind};
use std::fmt;
use std::future::ready;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A moment for the server to answer, or to close.
const MOMENT: Duration = Duration::from_millis(200);
/// The longest wait of a client that behaves: a guard.
const GUARD: Duration = Duration::from_secs(60);
/// The connections of those who only stay that are opened at once.
const AT_ONCE: usize = 64;

/// The load of a run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) patient: u16,
    pub(crate) strict: u16,
    pub(crate) actors: usize,
    pub(crate) steady: usize,
    pub(crate) idle: usize,
}

/// The work of a run, counted while it is done.
#[derive(Default)]
struct Done {
    visits: AtomicU64,
    upgrades: AtomicU64,
    calls: AtomicU64,
    ticks: AtomicU64,
    vanished: AtomicU64,
    slow: AtomicU64,
    broken: AtomicU64,
    abandoned: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Done {
    fn fault(&self, fault: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        // The first few say enough.
        if faults.len() < 20 {
            faults.push(fault);
        }
    }
}

/// The work of a whole run.
pub(crate) struct Totals {
    done: Arc<Done>,
    pub(crate) faults: Vec<String>,
}

impl Totals {
    pub(crate) fn numbers(&self) -> [(&'static str, u64); 8] {
        let Done { visits, upgrades, calls, ticks, vanished, slow, broken, abandoned, .. } = &*self.done;
        [
            ("visits", visits),
            ("upgrades", upgrades),
            ("answered calls", calls),
            ("ticks of those who stay", ticks),
            ("clients that vanished", vanished),
            ("clients that did not read", slow),
            ("clients that broke rules", broken),
            ("abandoned sessions", abandoned),
        ]
        .map(|(what, number)| (what, number.load(Ordering::Relaxed)))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.numbers().iter().map(|(what, number)| format!("{number} {what}")).collect();
        f.write_str(&all.join(", "))
    }
}

/// A load at work.
pub(crate) struct Running {
    done: Arc<Done>,
    stop: watch::Sender<bool>,
    actors: JoinSet<()>,
    steady: Vec<Steady>,
    idle: JoinSet<io::Result<()>>,
}

impl Running {
    /// Lets each client finish its turn, and leave.
    pub(crate) async fn end(mut self) -> Totals {
        self.stop.send_replace(true);
        while let Some(ended) = self.actors.join_next().await {
            if let Err(error) = ended {
                self.done.fault(format!("a client's task has failed: {error}"));
            }
        }
        for steady in self.steady {
            steady.end(&self.done).await;
        }
        if let Some(ended) = self.idle.try_join_next() {
            self.done.fault(format!("a client that stays has lost its connection: {ended:?}"));
        }
        self.idle.shutdown().await;
        let faults = std::mem::take(&mut *self.done.faults.lock().unwrap_or_else(PoisonError::into_inner));
        Totals { done: self.done, faults }
    }
}

impl Load {
    /// Every kind of client once.
    pub(crate) async fn warm_up(self) -> io::Result<()> {
        let done = Arc::new(Done::default());
        for turn in 0..VISITS.len() as u64 {
            visit(self, turn, &done).await;
        }
        for turn in 0..BROKEN {
            broken(self, turn).await;
        }
        vanish(self, 0).await?;
        let faults = std::mem::take(&mut *done.faults.lock().unwrap_or_else(PoisonError::into_inner));
        if faults.is_empty() { Ok(()) } else { Err(io::Error::other(faults.join("; "))) }
    }

    /// Begins: those who stay are there when this returns.
    pub(crate) async fn begin(self) -> io::Result<Running> {
        let done = Arc::new(Done::default());
        let (stop, stopped) = watch::channel(false);
        let mut idle = JoinSet::new();
        let mut opened = 0;
        while opened < self.idle {
            let mut opening = JoinSet::new();
            for _ in 0..AT_ONCE.min(self.idle - opened) {
                opening.spawn(Raw::join(self.patient));
                opened += 1;
            }
            while let Some(raw) = opening.join_next().await {
                idle.spawn(raw??.stay());
            }
        }
        let mut steady = Vec::new();
        for number in 0..self.steady {
            steady.push(Steady::begin(self.patient, number, &done).await?);
        }
        let mut actors = JoinSet::new();
        for actor in 0..self.actors as u64 {
            let of_visit = done.clone();
            actors.spawn(repeat(stopped.clone(), actor, move |turn| {
                let done = of_visit.clone();
                async move { visit(self, turn, &done).await }
            }));
            actors.spawn(counted(
                stopped.clone(),
                actor,
                done.clone(),
                |done| &done.vanished,
                move |turn| vanish(self, turn),
            ));
            actors.spawn(counted(
                stopped.clone(),
                actor,
                done.clone(),
                |done| &done.slow,
                move |_| slow(self),
            ));
            actors.spawn(counted(
                stopped.clone(),
                actor,
                done.clone(),
                |done| &done.abandoned,
                move |turn| abandon(self, turn),
            ));
            let of_broken = done.clone();
            actors.spawn(repeat(stopped.clone(), actor, move |turn| {
                let done = of_broken.clone();
                async move {
                    broken(self, turn).await;
                    done.broken.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Ok(Running { done, stop, actors, steady, idle })
    }
}

/// Does something again and again; each actor begins at another turn.
async fn repeat<F: Future<Output = ()>>(stopped: watch::Receiver<bool>, actor: u64, act: impl Fn(u64) -> F) {
    for turn in actor.. {
        if *stopped.borrow() {
            return;
        }
        act(turn).await;
    }
}

/// The same, counted if it has worked: these clients are not owed anything.
async fn counted<F: Future<Output = io::Result<()>>>(
    stopped: watch::Receiver<bool>,
    actor: u64,
    done: Arc<Done>,
    count: fn(&Done) -> &AtomicU64,
    act: impl Fn(u64) -> F,
) {
    let done = &done;
    repeat(stopped, actor, |turn| {
        let acting = act(turn);
        async move {
            match acting.await {
                Ok(()) => drop(count(done).fetch_add(1, Ordering::Relaxed)),
                Err(_) => sleep(MOMENT).await,
            }
        }
    })
    .await;
}

// --- clients that behave ------------------------------------------------------------------------------------------

fn client(port: u16, path: &str) -> ClientBuilder {
    Client::builder(&format!("http://127.0.0.1:{port}{path}")).reconnection(false)
}

/// A client that stays, and hears a number ten times a second.
struct Steady {
    client: Client,
    is_ending: Arc<AtomicBool>,
}

impl Steady {
    async fn begin(port: u16, number: usize, done: &Arc<Done>) -> io::Result<Self> {
        let kinds = [TransportKind::Polling, TransportKind::WebSocket];
        let kinds = if number % 4 == 0 { &kinds[..1] } else { &kinds[..] };
        let client = client(port, "/").transports(kinds.iter().copied()).build().map_err(io::Error::other)?;
        let last = AtomicU64::new(u64::MAX);
        let heard = done.clone();
        client.on("tick", move |Data(tick): Data<u64>| {
            let before = last.swap(tick, Ordering::Relaxed);
            heard.ticks.fetch_add(1, Ordering::Relaxed);
            if before != u64::MAX && tick != before + 1 {
                heard.fault(format!("tick {tick} has come after {before}"));
            }
            ready(())
        });
        let is_ending = Arc::new(AtomicBool::new(false));
        let (lost, ending) = (done.clone(), is_ending.clone());
        client.on_disconnect(move |reason: DisconnectReason| {
            if !ending.load(Ordering::Relaxed) {
                lost.fault(format!("a client that behaves has lost its connection: {reason:?}"));
            }
            ready(())
        });
        client.connect().await.map_err(io::Error::other)?;
        client.call::<_, ()>("join", &"steady").await.map_err(io::Error::other)?;
        Ok(Self { client, is_ending })
    }

    async fn end(self, done: &Done) {
        self.is_ending.store(true, Ordering::Relaxed);
        match timeout(GUARD, self.client.call::<_, u8>("echo", &1_u8)).await {
            Ok(Ok(1)) => {}
            other => done.fault(format!("a client that has stayed gets no answer at the end: {other:?}")),
        }
        self.client.close();
        let _ = timeout(GUARD, self.client.closed()).await;
    }
}

/// The transports of a visit, and its namespace.
const VISITS: [(&[TransportKind], &str); 4] = [
    (&[TransportKind::Polling, TransportKind::WebSocket], "/"),
    (&[TransportKind::WebSocket], "/"),
    (&[TransportKind::Polling], "/"),
    (&[TransportKind::Polling, TransportKind::WebSocket], "/game-"),
];

/// A client that comes, talks a while, and goes.
async fn visit(load: Load, turn: u64, done: &Done) {
    let (kinds, namespace) = VISITS[turn as usize % VISITS.len()];
    let path = if namespace == "/" { "/".to_owned() } else { format!("{namespace}{}", turn % 500) };
    match timeout(GUARD, talk(load.patient, kinds, &path, turn, done)).await {
        Ok(Ok(())) => drop(done.visits.fetch_add(1, Ordering::Relaxed)),
        Ok(Err(error)) => done.fault(format!("a visit to {path} by {kinds:?} has failed: {error}")),
        Err(_) => done.fault(format!("a visit to {path} by {kinds:?} takes more than {GUARD:?}")),
    }
}

async fn talk(
    port: u16,
    kinds: &[TransportKind],
    path: &str,
    turn: u64,
    done: &Done,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let client = client(port, path).transports(kinds.iter().copied()).build()?;
    client.connect().await?;
    if path == "/" {
        client.call::<_, ()>("join", &format!("room-{}", turn % 50)).await?;
        client.emit("say", &(format!("room-{}", turn % 50), "hello"))?;
    }
    for number in 0..5_u64 {
        let text = format!("{turn} {number} {}", "é".repeat((turn * 97 % 3000) as usize));
        let answer: String = client.call("echo", &text).await?;
        if answer != text {
            done.fault(format!("sent {text:?}, and got {answer:?}"));
        }
        done.calls.fetch_add(1, Ordering::Relaxed);
    }
    if kinds.len() == 2 {
        while client.transport() == Some(TransportKind::Polling) {
            sleep(Duration::from_millis(5)).await;
        }
        done.upgrades.fetch_add(1, Ordering::Relaxed);
    }
    if turn % 3 == 0 {
        // Without a goodbye of its own: the last handle goes.
        drop(client);
    } else {
        client.close();
        client.closed().await;
    }
    Ok(())
}

// --- clients that do not ------------------------------------------------------------------------------------------

/// A client that is gone in the middle of something.
async fn vanish(load: Load, turn: u64) -> io::Result<()> {
    let port = if turn % 2 == 0 { load.patient } else { load.strict };
    let mut raw = Raw::join(port).await?;
    raw.send(r#"42["join","room-1"]"#).await?;
    match turn % 4 {
        // While it is asked, while it is answered, within a frame.
        0 => raw.send(r#"42["ask me"]"#).await?,
        1 => raw.send(r#"427["echo","x"]"#).await?,
        2 => raw.bytes(&[0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0, b'4']).await?,
        _ => {}
    }
    raw.vanish();
    Ok(())
}

/// A client that does not read what it has asked for, until it is cut off or gives up.
async fn slow(load: Load) -> io::Result<()> {
    let mut raw = Raw::join(load.strict).await?;
    raw.send(r#"42["flood"]"#).await?;
    raw.sleep(MOMENT * 10).await;
    Ok(())
}

/// A session that is opened and forgotten.
async fn abandon(load: Load, turn: u64) -> io::Result<()> {
    let answer = raw::exchange(load.strict, &request("GET", "transport=polling", ""), MOMENT * 10).await?;
    let text = String::from_utf8_lossy(&answer);
    let sid = text.split(r#""sid":""#).nth(1).and_then(|rest| rest.split('"').next());
    let sid = sid.ok_or_else(|| io::Error::other(text.clone().into_owned()))?.to_owned();
    let query = format!("transport=polling&sid={sid}");
    if turn % 2 == 0 {
        // It joins, and polls once without waiting for the answer.
        raw::exchange(load.strict, &request("POST", &query, "40"), MOMENT * 10).await?;
        raw::exchange(load.strict, &request("GET", &query, ""), Duration::ZERO).await?;
    }
    sleep(MOMENT).await;
    Ok(())
}

/// The ways to break rules.
const BROKEN: u64 = 12;

/// A client that breaks one. What the server answers is its choice: that it lives on, the others tell.
async fn broken(load: Load, turn: u64) {
    let port = load.strict;
    let whole = |bytes: Vec<u8>| async move { raw::exchange(port, &bytes, MOMENT * 10).await.map(drop) };
    let on_websocket = |bytes: &'static [u8]| async move {
        let mut raw = Raw::join(port).await?;
        raw.bytes(bytes).await?;
        // Until it is closed: the pings are not answered.
        while raw.text().await.is_ok() {}
        Ok::<_, io::Error>(())
    };
    let outcome = match turn % BROKEN {
        0 => whole(b"GARBAGE\r\n\r\n".to_vec()).await,
        1 => whole(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHo".to_vec()).await,
        2 => whole(request("GET", "transport=polling&sid=nobody", "")).await,
        3 => whole(request("POST", "transport=polling&sid=nobody", "4999")).await,
        4 => whole(request("GET", "transport=smoke", "")).await,
        5 => whole(b"POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n4".to_vec()).await,
        6 => on_websocket(&[0x81, 0x02, b'4', b'2']).await, // without a mask
        7 => on_websocket(&[0xf1, 0x80, 0, 0, 0, 0]).await, // with reserved bits
        8 => on_websocket(&[0x81, 0x83, 0, 0, 0, 0, b'4', b'9', b'9']).await, // no packet
        9 => on_websocket(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await, // huge
        10 => on_websocket(&[0x81, 0x84, 0, 0, 0, 0, b'4', 0xff, 0xfe, 0xfd]).await, // not UTF-8
        _ => on_websocket(&[0x82, 0x81, 0, 0, 0, 0, 1]).await, // bytes that no event has announced
    };
    if outcome.is_err() {
        sleep(MOMENT).await;
    }
}
