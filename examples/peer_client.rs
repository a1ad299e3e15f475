//! Our client against one of the peer servers of `interop/README.md`, which it starts, kills and starts again, for every
//! runtime: each adapter's example includes this file and provides the adapter as `crate::sansocket`.
//!
//! The program around the client runs on tokio, as the tests of the adapters do: it needs a child process and a clock.

#[path = "member.rs"]
mod member;

use crate::sansocket::{
    Args, Client, ClientBuilder, ClientSocket, ConnectError, DisconnectReason, Parser, PerMessageDeflate,
    TransportKind,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;
type Build = fn(&str) -> ClientBuilder;

/// The number of times that the server is killed.
const ROUNDS: usize = 10;
const DELAY: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(1);
/// For what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! ensure {
    ($condition:expr, $($words:tt)*) => {
        if !$condition {
            return Err(format!($($words)*).into());
        }
    };
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Outcome<T> {
    tokio::time::timeout(PATIENCE, future).await.map_err(|_| format!("{what}: not in time").into())
}

async fn until(what: &str, condition: impl Fn() -> bool) -> Outcome {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(what, waiting).await
}

/// A peer server as a child.
struct Peer {
    command: Vec<String>,
    record: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Peer {
    fn start(&mut self) -> Outcome {
        // A port that was just left may be in use for a moment.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let (program, args) = self.command.split_first().ok_or("the server's command is missing")?;
            let mut child = Command::new(program)
                .args(args)
                .args(["--port", &self.port.to_string(), "--ticks", "--record"])
                .arg(&self.record)
                .args(["--ping-interval", "2000", "--ping-timeout", "4000"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
            if let Some(port) = line.trim().strip_prefix("listening ") {
                self.port = port.parse()?;
                self.child = Some(child);
                return Ok(());
            }
            let _ = child.kill();
            child.wait()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the server does not start".into())
    }

    /// Without a word (SIGKILL).
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn recorded(&self) -> Outcome<Vec<u64>> {
        let text = std::fs::read_to_string(&self.record).unwrap_or_default();
        text.lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line)?;
                line["uid"].as_u64().ok_or_else(|| format!("no uid: {line}").into())
            })
            .collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(&self.record);
    }
}

fn builder(build: Build, peer: &Peer, transports: &[TransportKind]) -> ClientBuilder {
    // As the server: its flag is part of its command.
    let is_packed = peer.command.windows(2).any(|pair| pair == ["--parser", "msgpack"]);
    let takeover =
        |settings: PerMessageDeflate| settings.server_context_takeover(true).client_context_takeover(true);
    let settings = PerMessageDeflate::default().threshold(0);
    let deflate = match std::env::var("PEER_CLIENT_DEFLATE").as_deref() {
        Ok("alone") => Some(settings),
        Ok("takeover") => Some(takeover(settings)),
        Ok("small") => Some(takeover(settings.server_window_bits(9).client_window_bits(10))),
        _ => None,
    };
    let build = |url: &str| match deflate.clone() {
        Some(settings) => build(url).per_message_deflate(settings),
        None => build(url),
    };
    build(&format!("http://127.0.0.1:{}", peer.port))
        .parser(if is_packed { Parser::msgpack() } else { Parser::json() })
        .transports(transports.iter().copied())
        .reconnection_delay(DELAY)
        .reconnection_delay_max(DELAY_MAX)
}

/// Returns what the socket tells: its connections, and the reasons of its ends.
fn ends(socket: &ClientSocket) -> (mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<DisconnectReason>) {
    let (up, ups) = mpsc::unbounded_channel();
    let (down, downs) = mpsc::unbounded_channel();
    socket.on_connect(move || {
        let _ = up.send(());
        async {}
    });
    socket.on_disconnect(move |reason: DisconnectReason| {
        let _ = down.send(reason);
        async {}
    });
    (ups, downs)
}

/// A turn in a socket's life; they come in the order in which its handlers run.
enum Turn {
    Connected { recovered: bool },
    Disconnected(DisconnectReason),
}

fn turns(socket: &ClientSocket) -> mpsc::UnboundedReceiver<Turn> {
    let (turn, turns) = mpsc::unbounded_channel();
    let up = turn.clone();
    socket.on_connect(move |socket: ClientSocket| {
        let _ = up.send(Turn::Connected { recovered: socket.recovered() });
        async {}
    });
    socket.on_disconnect(move |reason: DisconnectReason| {
        let _ = turn.send(Turn::Disconnected(reason));
        async {}
    });
    turns
}

/// Waits for the connection that follows an end for such a reason. Returns whether it has got its session back, and how
/// many before it had.
async fn connected_after(
    turns: &mut mpsc::UnboundedReceiver<Turn>,
    reason: impl Fn(DisconnectReason) -> bool,
) -> Outcome<(bool, u64)> {
    let (mut ended, mut before) = (false, 0);
    loop {
        match soon("a connection after an end", turns.recv()).await?.ok_or("no connection")? {
            Turn::Disconnected(why) => ended |= reason(why),
            Turn::Connected { recovered } if ended => return Ok((recovered, before)),
            Turn::Connected { recovered } => before += u64::from(recovered),
        }
    }
}

async fn basics(build: Build, peer: &Peer, transports: &[TransportKind]) -> Outcome {
    let token = Arc::new(());
    let client = builder(build, peer, transports).state(token.clone()).build()?;
    let (echo, mut echoes) = mpsc::unbounded_channel();
    let (answer, mut answers) = mpsc::unbounded_channel();
    let (tick, mut ticks) = mpsc::unbounded_channel();
    client
        .on("echo", move |args: Args| {
            let _ = echo.send(args);
            async {}
        })
        .on("question", async |args: Args| args)
        .on("answered", move |args: Args| {
            let _ = answer.send(args);
            async {}
        });
    soon("connect", client.connect()).await??;

    let bytes = Bytes::from_static(&[0, 1, 255]);
    let sent = (1, "zwölf", [bytes.clone()], Bytes::new());
    client.emit("echo", &sent)?;
    let echoed = soon("echo", echoes.recv()).await?.ok_or("no echo")?;
    let back: (u32, String, [Bytes; 1], Bytes) = echoed.decode()?;
    ensure!(back.1 == "zwölf" && back.2[0] == bytes && back.3.is_empty(), "the echo is {echoed:?}");
    let back: (u32, String, [Bytes; 1], Bytes) = soon("ack", client.call("ack", &sent)).await??;
    ensure!(back.2[0] == bytes, "the acknowledgement is {back:?}");
    let nothing = soon("ack", client.emit_with_ack("ack", &(), PATIENCE)).await??;
    ensure!(nothing.is_empty(), "the acknowledgement of nothing is {nothing:?}");
    client.emit("ask", &("really?", bytes.clone()))?;
    let answered = soon("answered", answers.recv()).await?.ok_or("no answer")?;
    let back: (String, Bytes) = answered.decode()?;
    ensure!(back == ("really?".to_owned(), bytes), "the answer is {answered:?}");
    let long = "x".repeat(500_000);
    let back: String = soon("ack", client.call("ack", &long)).await??;
    ensure!(back == long, "the long one came back as {} bytes", back.len());

    // Several namespaces on one connection.
    let chat = client.namespace("/chat");
    chat.on("tick", move |args: Args| {
        let _ = tick.send(args);
        async {}
    });
    soon("connect", chat.connect()).await??;
    chat.emit("burst", &300)?;
    for number in 0..300 {
        let args = soon("tick", ticks.recv()).await?.ok_or("no tick")?;
        ensure!(args.decode::<u32>()? == number, "tick {number} is {args:?}");
    }
    let auth = client.namespace("/auth");
    match soon("refusal", auth.connect()).await? {
        Err(ConnectError::Refused(refused)) => {
            ensure!(refused.message() == "not authorized", "the refusal says {}", refused.message());
            ensure!(refused.data::<Value>()? == json!({ "code": 401 }), "the refusal has other data");
        }
        other => return Err(format!("no refusal, but {other:?}").into()),
    }
    auth.auth(&json!({ "token": "secret" }))?;
    soon("connect", auth.connect()).await??;
    let missing = client.namespace("/missing");
    match soon("refusal", missing.connect()).await? {
        Err(ConnectError::Refused(_)) => {}
        other => return Err(format!("no refusal, but {other:?}").into()),
    }
    let late = client.namespace("/late");
    let mut early = late.events();
    soon("connect", late.connect()).await??;
    let event = soon("early", early.next()).await?.ok_or("no event")?;
    ensure!(event.event == "early" && event.decode::<u32>()? == 1, "early is {event:?}");

    // The server's word is final for one namespace, and concerns no other.
    let (_, mut downs) = ends(&chat);
    chat.emit("kick", &())?;
    let reason = soon("kick", downs.recv()).await?;
    ensure!(reason == Some(DisconnectReason::IoServerDisconnect), "kicked: {reason:?}");
    ensure!(client.is_connected() && !chat.is_connected(), "a kick concerns its namespace only");
    soon("connect", chat.connect()).await??;

    // A closed connection comes back, with all its namespaces.
    let (mut ups, mut downs) = ends(&auth);
    auth.emit("close", &())?;
    let reason = soon("close", downs.recv()).await?;
    if reason == Some(DisconnectReason::IoServerDisconnect) {
        for socket in [&client, &chat, &auth, &late] {
            soon("connect", socket.connect()).await??;
        }
    }
    soon("connect", ups.recv()).await?.ok_or("no connection")?;
    for socket in [client.socket(), &chat, &auth, &late] {
        soon("connect", socket.connected()).await??;
        let back: u32 = soon("ack", socket.call("ack", &1)).await??;
        ensure!(back == 1, "after closing: {back}");
    }
    drop((client, chat, auth, late, missing, early, event));
    until("the task ends", || Arc::strong_count(&token) == 1).await?;
    println!("basics passed");
    Ok(())
}

/// An event that was emitted.
#[derive(Default)]
struct Sent {
    /// For each uid whether it was emitted while away.
    away: Vec<bool>,
    acked: Vec<u64>,
    /// Acknowledgements that are still awaited.
    open: u64,
    failed: u64,
}

async fn restart(build: Build, peer: &mut Peer, transports: &[TransportKind], retries: bool) -> Outcome {
    let token = Arc::new(());
    let mut builder = builder(build, peer, transports).state(token.clone());
    if retries {
        builder = builder.retries(1_000_000).ack_timeout(Duration::from_secs(2));
    }
    let client = builder.build()?;
    let heard = Arc::new(AtomicU64::new(0));
    let counter = heard.clone();
    client.on("tick", move || {
        counter.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    let (mut ups, mut downs) = ends(&client);
    soon("connect", client.connect()).await??;
    soon("connect", ups.recv()).await?.ok_or("no connection")?;

    let sent = Arc::new(Mutex::new(Sent::default()));
    let stop = Arc::new(AtomicBool::new(false));
    // With retries each event waits for the one before, and what was kept is to be caught up with.
    let pause = Duration::from_millis(if retries { 10 } else { 3 });
    let emitter = tokio::spawn(emit(client.clone(), sent.clone(), stop.clone(), pause));
    let mut slowest = Duration::ZERO;
    let mut sum = Duration::ZERO;
    for round in 0..ROUNDS {
        // Both ways, for a while.
        let before = heard.load(Ordering::Relaxed);
        until("a tick", || heard.load(Ordering::Relaxed) > before).await?;
        tokio::time::sleep(Duration::from_millis(150)).await;
        peer.kill();
        soon("the end is seen", downs.recv()).await?.ok_or("no end")?;
        tokio::time::sleep(Duration::from_millis(50 * round as u64)).await;
        tokio::task::block_in_place(|| peer.start())?;
        let listens = Instant::now();
        soon("it comes back", ups.recv()).await?.ok_or("no connection")?;
        let took = listens.elapsed();
        // The longest delay with its jitter, and some seconds for a busy machine.
        ensure!(
            took < DELAY_MAX.mul_f64(1.5) + Duration::from_secs(5),
            "round {round}: {took:?} to come back"
        );
        slowest = slowest.max(took);
        sum += took;
        // What was kept is there before the next end.
        until("nothing waits", || client.buffered() < 10_000).await?;
        if !retries {
            soon("a log", client.emit_with_ack("ack", &(), PATIENCE)).await??;
        }
    }
    stop.store(true, Ordering::Relaxed);
    soon("the emitter", emitter).await???;
    until("all are decided", || sent.lock().unwrap().open == 0).await?;
    soon("the last", client.emit_with_ack("ack", &(), PATIENCE)).await??;
    ensure!(client.buffered() == 0, "{} bytes wait", client.buffered());

    let recorded = peer.recorded()?;
    let mut times = BTreeMap::<u64, u32>::new();
    let mut order = Vec::new();
    for uid in &recorded {
        let seen = times.entry(*uid).or_default();
        *seen += 1;
        if *seen == 1 {
            order.push(*uid);
        }
    }
    let repeated = recorded.len() - times.len();
    {
        let sent = sent.lock().unwrap();
        let total = sent.away.len();
        let away = sent.away.iter().filter(|away| **away).count();
        println!(
            "{ROUNDS} restarts: back after {:?} on average, {slowest:?} at most; {total} emitted, {away} of them while \
             away; {} acknowledged, {} acknowledgements failed; {} recorded, {} lost, {repeated} repeated; {} ticks",
            sum / ROUNDS as u32,
            sent.acked.len(),
            sent.failed,
            times.len(),
            total - times.len(),
            heard.load(Ordering::Relaxed),
        );
        ensure!(order.is_sorted(), "the order was not kept");
        if let Some(uid) = sent.acked.iter().find(|uid| !times.contains_key(uid)) {
            return Err(format!("{uid} was acknowledged, and never delivered").into());
        }
        let kept = (0..).zip(&sent.away).filter(|(_, away)| **away || retries);
        for (uid, _) in kept {
            ensure!(times.contains_key(&uid), "{uid} was emitted while away (or with retries), and is lost");
        }
        ensure!(retries || repeated == 0, "{repeated} were delivered twice");
        ensure!(away > 0 && !sent.acked.is_empty(), "nothing was tried");
    }
    drop(client);
    until("the task ends", || Arc::strong_count(&token) == 1).await?;
    Ok(())
}

/// Where the connections to a server are cut.
struct Cut {
    /// After so many bytes of the server. `None`: nowhere.
    left: Mutex<Option<u64>>,
    /// Behind the next request for a poll, before it is answered.
    at_poll: AtomicBool,
    told: mpsc::UnboundedSender<()>,
}

impl Cut {
    /// Returns how many of the server's next bytes pass. If not all of them do, this connection is the one that is cut.
    fn pass(&self, bytes: usize) -> usize {
        let mut left = self.left.lock().unwrap();
        let passed = left.map_or(bytes, |left| bytes.min(usize::try_from(left).unwrap_or(usize::MAX)));
        *left = if passed < bytes { None } else { left.map(|left| left - passed as u64) };
        passed
    }
}

/// Passes bytes on to a server, and cuts the connection where it is told to.
async fn proxy(listener: TcpListener, port: u16, cut: Arc<Cut>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let cut = cut.clone();
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let (mut up, mut down) = ([0; 4096], [0; 4096]);
            loop {
                let passed = tokio::select! {
                    read = near.read(&mut up) => {
                        let Ok(bytes @ 1..) = read else { return };
                        let written = far.write_all(&up[..bytes]).await;
                        if up.starts_with(b"GET ") && cut.at_poll.swap(false, Ordering::Relaxed) {
                            let _ = cut.told.send(());
                            return;
                        }
                        written
                    }
                    read = far.read(&mut down) => {
                        let Ok(bytes @ 1..) = read else { return };
                        let passed = cut.pass(bytes);
                        let written = near.write_all(&down[..passed]).await;
                        if passed < bytes {
                            let _ = cut.told.send(());
                            return;
                        }
                        written
                    }
                };
                if passed.is_err() {
                    return;
                }
            }
        });
    }
}

/// At a server that recovers connections, each tick comes once and in order, wherever the connection is cut, unless the
/// server has said that it does not give the session back: npm's does not while it has not noticed the loss, as for a poll
/// whose answer is cut. For a WebSocket, and for a poll that waits, it does.
async fn recovery(build: Build, peer: &Peer, transports: &[TransportKind]) -> Outcome {
    const CUTS: u64 = 40;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (told, mut cuts) = mpsc::unbounded_channel();
    let cut = Arc::new(Cut { left: Mutex::new(None), at_poll: AtomicBool::new(false), told });
    let proxy = tokio::spawn(proxy(listener, peer.port, cut.clone()));
    let client = build(&address)
        .transports(transports.iter().copied())
        .reconnection_delay(DELAY)
        .reconnection_delay_max(DELAY)
        .build()?;
    let ticks = heard(&client);
    let mut turns = turns(&client);
    soon("connect", client.connect()).await??;
    soon("connect", turns.recv()).await?;
    let first = ticks.lock().unwrap().len();
    until("a first tick", || ticks.lock().unwrap().len() > first).await?;
    let mut recovered = 0;
    for round in 0..CUTS {
        // Without an event of this session, its client has no offset to show, and no server gives it back.
        let seen = ticks.lock().unwrap().len();
        let has_one = || {
            let ticks = ticks.lock().unwrap();
            ticks.len() > seen && ticks.last().is_some_and(Option::is_some)
        };
        until("a tick of this session", has_one).await?;
        recovered += lose(&client, transports, round, &cut, (&mut cuts, &mut turns)).await?;
    }
    if transports == [TransportKind::Polling] {
        soon("a session comes back whose poll waited", lose_poll(&cut, &mut cuts, &mut turns)).await??;
        recovered += 1;
    }
    let seen = ticks.lock().unwrap().len();
    until("a last tick", || ticks.lock().unwrap().len() > seen + 2).await?;
    let ticks = ticks.lock().unwrap().clone();
    for pair in ticks.windows(2) {
        if let [Some(before), Some(tick)] = *pair {
            ensure!(tick == before + 1, "{tick} came behind {before}");
        }
    }
    println!("{} ticks in {CUTS} cuts, {recovered} of them recovered", ticks.len());
    proxy.abort();
    Ok(())
}

/// Has the connection cut, and waits until the client is back. Returns how many times it has got its session back; if it
/// moves to a WebSocket, every other cut is on that way, where it need not end the session.
async fn lose(
    client: &Client,
    transports: &[TransportKind],
    round: u64,
    cut: &Cut,
    (cuts, turns): (&mut mpsc::UnboundedReceiver<()>, &mut mpsc::UnboundedReceiver<Turn>),
) -> Outcome<u64> {
    let moves = transports.len() > 1;
    let on_the_way = moves && round % 2 == 1;
    if moves && !on_the_way {
        until("the upgrade", || client.transport() == Some(TransportKind::WebSocket)).await?;
        // The server has moved, too: a session that is cut before it has is not given back while it polls.
        soon("an answer over the WebSocket", client.emit_with_ack("ack", &(), PATIENCE)).await??;
    }
    *cut.left.lock().unwrap() = Some(1 + round * 7);
    soon("the cut", cuts.recv()).await?;
    if on_the_way {
        // What is answered now is behind whatever the cut has done.
        let answered = async {
            while client.emit_with_ack("ack", &(), PATIENCE).await.is_err() {
                tokio::time::sleep(DELAY / 20).await;
            }
        };
        soon("an answer after the cut", answered).await?;
        // A session whose way to the WebSocket was cut stays where it is: the next one moves.
        client.disconnect();
        soon("connect", client.connect()).await??;
        let ours = |reason| reason == DisconnectReason::IoClientDisconnect;
        let (_, recovered) = connected_after(turns, ours).await?;
        until("the upgrade", || client.transport() == Some(TransportKind::WebSocket)).await?;
        return Ok(recovered);
    }
    let (recovered, _) = connected_after(turns, |_| true).await?;
    let may_be_unnoticed = transports == [TransportKind::Polling];
    ensure!(recovered || may_be_unnoticed, "round {round}: the session was not given back");
    Ok(u64::from(recovered))
}

/// Cuts the connection of a poll that waits. A poll may have been answered just before, which is not noticed: then again.
async fn lose_poll(
    cut: &Cut,
    cuts: &mut mpsc::UnboundedReceiver<()>,
    turns: &mut mpsc::UnboundedReceiver<Turn>,
) -> Outcome {
    loop {
        cut.at_poll.store(true, Ordering::Relaxed);
        cuts.recv().await;
        if connected_after(turns, |_| true).await?.0 {
            return Ok(());
        }
    }
}

/// Returns the ticks that the client hears, with `None` for each session that it begins.
fn heard(client: &Client) -> Arc<Mutex<Vec<Option<u64>>>> {
    let ticks = Arc::new(Mutex::new(Vec::new()));
    let heard = ticks.clone();
    client.on("tick", move |args: Args| {
        heard.lock().unwrap().push(args.get::<u64>(0).ok());
        std::future::ready(())
    });
    let heard = ticks.clone();
    client.on_connect(move |socket: ClientSocket| {
        if !socket.recovered() {
            heard.lock().unwrap().push(None);
        }
        std::future::ready(())
    });
    ticks
}

/// Emits numbered events, every other one with an acknowledgement.
async fn emit(
    client: Client,
    sent: Arc<Mutex<Sent>>,
    stop: Arc<AtomicBool>,
    pause: Duration,
) -> Result<(), String> {
    for uid in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // What the client knows to be away before it emits is kept.
        let away = !client.is_connected();
        let payload = json!({ "n": uid });
        if uid % 2 == 0 {
            let answer = client.emit_with_ack("log", &(uid, payload), Duration::from_secs(60));
            sent.lock().unwrap().open += 1;
            let sent = sent.clone();
            tokio::spawn(async move {
                let answer = answer.await;
                let mut sent = sent.lock().unwrap();
                sent.open -= 1;
                match answer {
                    Ok(args) if args.decode::<u64>().is_ok_and(|back| back == uid) => sent.acked.push(uid),
                    _ => sent.failed += 1,
                }
            });
        } else {
            client.emit("log", &(uid, payload)).map_err(|error| error.to_string())?;
        }
        sent.lock().unwrap().away.push(away);
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn programs(build: Build) -> Outcome {
    let mut args = std::env::args().skip(1);
    let (program, transport) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let transports: &[TransportKind] = match &*transport {
        "polling" => &[TransportKind::Polling],
        "websocket" => &[TransportKind::WebSocket],
        "upgrade" => &[TransportKind::Polling, TransportKind::WebSocket],
        _ => {
            return Err(
                "usage: peer_client basics|restart|retries|recovery polling|websocket|upgrade COMMAND...\n       \
                 peer_client member polling|websocket|upgrade ADDRESS --parser json|msgpack"
                    .into(),
            );
        }
    };
    if program == "member" {
        return member::run(build, args, transports).await;
    }
    let record = std::env::temp_dir().join(format!("peer-client-{}", std::process::id()));
    let _ = std::fs::remove_file(&record);
    let mut peer = Peer { command: args.collect(), record, port: 0, child: None };
    tokio::task::block_in_place(|| peer.start())?;
    match &*program {
        "basics" => basics(build, &peer, transports).await,
        "restart" => restart(build, &mut peer, transports, false).await,
        "retries" => restart(build, &mut peer, transports, true).await,
        "recovery" => recovery(build, &peer, transports).await,
        _ => Err(format!("there is no program {program}").into()),
    }
}

/// Runs what the command line says, with clients of that making. Ends the process with status 1 if it fails.
pub(crate) fn run(build: Build) {
    let runtime = tokio::runtime::Runtime::new();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(programs(build)));
    if let Err(error) = outcome {
        eprintln!("failed: {error}");
        std::process::exit(1);
    }
}
