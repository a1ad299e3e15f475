//! Attackers among good clients. A thousand good ones ask and listen all the time, while one attack after the other runs.
//! It measures what the attack costs them and the server, and whether the server is afterwards as it was.
//!
//! Prints a table. Exit status: 0 when every bound holds, 1 when one does not, 2 when nothing could be measured.
mod attack;
mod server;
#[allow(dead_code)]
#[path = "../../sioload/src/ws.rs"]
mod ws;

use attack::{ATTACKS, Field};
use std::{
    cell::{Cell, RefCell},
    io,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    task::{LocalSet, spawn_local},
    time::{sleep, sleep_until, timeout},
};
use ws::{Conn, TEXT, Target, control, err, put, write};

/// The bounds. A factor alone would judge microseconds, so each has a floor under which it does not count.
const P50_FACTOR: f64 = 10.0;
const P99_FACTOR: f64 = 10.0;
const P50_FLOOR_MS: f64 = 25.0;
const P99_FLOOR_MS: f64 = 150.0;
/// The number of times that an attack is measured whose latencies are above their bounds.
const TRIES: u32 = 3;
/// The memory that the worst attack may add: stalled readers have a megabyte each, and so on.
const PEAK_MIB: f64 = 192.0;
/// The memory that may stay in the allocator afterwards.
const LEFT_MIB: f64 = 64.0;

const HELP: &str = "adversary [--good N] [--secs S] [--only WORD]   (1000 good clients, 4 s for each attack)";

struct World {
    target: Target,
    stop: Cell<bool>,
    /// Latencies of the phase, in microseconds.
    latencies: RefCell<Vec<u32>>,
    sent: Cell<u64>,
    answered: Cell<u64>,
    ticks: Cell<u64>,
    gaps: Cell<u64>,
    cut: Cell<u64>,
    last_error: RefCell<String>,
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// One request on a connection of its own; the body of a 200.
async fn request(target: &Target, method: &str, query: &str, body: &str) -> io::Result<String> {
    let mut stream = target.tcp(0).await?;
    let path = if query.starts_with('/') { "" } else { &target.path };
    let head = format!(
        "{method} {path}{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_string()),
        _ => Err(err(answer.lines().next().unwrap_or("no answer"))),
    }
}

/// Asks twice a second, and listens to every tick.
async fn good(world: Rc<World>, number: usize) -> io::Result<()> {
    let mut conn = Conn::open(&world.target, 0, 4096).await?;
    let mut out = vec![];
    put(&mut out, TEXT, br#"42["listen"]"#);
    write(&conn.s, &out).await?;
    let mut next = tokio::time::Instant::now() + Duration::from_millis(number as u64 % 500);
    let mut waiting: Option<(u64, Instant)> = None;
    let mut last_tick = None;
    let mut id = 0;
    loop {
        if world.stop.get() && waiting.is_none() {
            conn.bye().await;
            return Ok(());
        }
        while let Some((op, range)) = conn.r.next()? {
            let payload = conn.r.get(range);
            if let Some(rest) = payload.strip_prefix(b"43") {
                let answer = rest.split(|byte| *byte == b'[').next().unwrap_or_default();
                match waiting.take() {
                    Some((id, since)) if answer == id.to_string().as_bytes() => {
                        bump(&world.answered);
                        world.latencies.borrow_mut().push(since.elapsed().as_micros() as u32);
                    }
                    _ => return Err(err("an answer to another question")),
                }
            } else if let Some(rest) = payload.strip_prefix(br#"42["tick","#) {
                let digits = rest.split(|byte| *byte == b',').next().unwrap_or_default();
                let tick: u64 = String::from_utf8_lossy(digits).parse().map_err(io::Error::other)?;
                bump(&world.ticks);
                if last_tick.is_some_and(|last: u64| last + 1 != tick) {
                    bump(&world.gaps);
                }
                last_tick = Some(tick);
            } else {
                let mut out = vec![];
                if control(op, payload, &mut out)? {
                    write(&conn.s, &out).await?;
                }
            }
        }
        if waiting.is_none() && next <= tokio::time::Instant::now() && !world.stop.get() {
            id += 1;
            let mut out = vec![];
            put(&mut out, TEXT, format!(r#"42{id}["echo",{id}]"#).as_bytes());
            waiting = Some((id, Instant::now()));
            bump(&world.sent);
            write(&conn.s, &out).await?;
            next += Duration::from_millis(500);
        }
        let asleep =
            if waiting.is_some() { tokio::time::Instant::now() + Duration::from_secs(1) } else { next };
        tokio::select! {
            filled = conn.r.fill(&conn.s) => filled?,
            () = sleep_until(asleep) => {}
        }
    }
}

/// The system's figures about the server.
#[derive(Clone, Copy)]
struct Vitals {
    rss: f64,
    fds: usize,
    sessions: u64,
    tasks: u64,
    panics: u64,
}

fn rss_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

async fn vitals(world: &World, pid: u32) -> io::Result<(Vitals, String)> {
    let text = timeout(Duration::from_secs(10), request(&world.target, "GET", "/stats", "")).await??;
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut numbers = first.split(' ').map(|word| word.parse().unwrap_or(u64::MAX));
    let mut number = || numbers.next().unwrap_or(u64::MAX);
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let (sessions, tasks, panics) = (number(), number(), number());
    Ok((Vitals { rss: rss_mib(pid), fds, sessions, tasks, panics }, rest.to_string()))
}

/// Runs for that long; (p50, p99) in milliseconds, how many answers, and the peak of the memory.
async fn measure(world: &World, pid: u32, secs: f64) -> (f64, f64, usize, f64) {
    world.latencies.borrow_mut().clear();
    let end = Instant::now() + Duration::from_secs_f64(secs);
    let mut peak = 0.0_f64;
    while Instant::now() < end {
        peak = peak.max(rss_mib(pid));
        sleep(Duration::from_millis(20)).await;
    }
    let mut all = world.latencies.borrow().clone();
    all.sort_unstable();
    let at = |part: f64| {
        all.get((all.len() as f64 * part) as usize).map_or(f64::INFINITY, |us| f64::from(*us) / 1000.0)
    };
    (at(0.5), at(0.99), all.len(), peak)
}

/// One attacker: again and again, until it is dropped.
async fn attacker(
    field: Rc<Field>,
    run: fn(Rc<Field>, u64) -> std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>,
    number: u64,
) {
    for round in 0_u64.. {
        bump(&field.attempts);
        if run(field.clone(), number + round * 1000).await.is_err() {
            bump(&field.ended);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn options() -> Option<(usize, f64, String)> {
    let (mut good, mut secs, mut only) = (1000, 4.0, String::new());
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        let value = pair.get(1)?;
        match pair[0].as_str() {
            "--good" => good = value.parse().ok()?,
            "--secs" => secs = value.parse().ok()?,
            "--only" => only = value.clone(),
            _ => return None,
        }
    }
    Some((good, secs, only))
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("a runtime").block_on(server::serve());
    }
    let Some((good, secs, only)) = options() else {
        eprintln!("{HELP}");
        std::process::exit(2)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match LocalSet::new().block_on(&runtime, run(good, secs, &only)) {
        Ok(true) => println!("\nEvery bound holds."),
        Ok(false) => {
            println!("\nA bound does not hold.");
            std::process::exit(1);
        }
        Err(error) => {
            eprintln!("adversary: {error}");
            std::process::exit(2);
        }
    }
}

async fn run(good_clients: usize, secs: f64, only: &str) -> io::Result<bool> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().ok_or_else(|| err("the server did not start"))?;
    let mut lines = BufReader::new(child.stdout.take().ok_or_else(|| err("no output"))?).lines();
    let port = lines.next_line().await?.ok_or_else(|| err("the server told no port"))?;
    let target = || Target::parse(&format!("127.0.0.1:{port}")).ok_or_else(|| err("no port"));
    let world = Rc::new(World {
        target: target()?,
        stop: Cell::new(false),
        latencies: RefCell::default(),
        sent: Cell::new(0),
        answered: Cell::new(0),
        ticks: Cell::new(0),
        gaps: Cell::new(0),
        cut: Cell::new(0),
        last_error: RefCell::default(),
    });
    let mut bad = vec![];
    // A round for the allocator and the caches, then what the server is like at rest.
    for _ in 0..50 {
        Conn::open(&world.target, 0, 512).await?.bye().await;
    }
    sleep(Duration::from_millis(500)).await;
    let (before, _) = vitals(&world, pid).await?;
    println!("at rest: {:.1} MiB, {} descriptors, {} tasks", before.rss, before.fds, before.tasks);

    let mut clients = vec![];
    for number in 0..good_clients {
        let guarded = world.clone();
        clients.push(spawn_local(async move {
            if let Err(error) = good(guarded.clone(), number).await {
                bump(&guarded.cut);
                *guarded.last_error.borrow_mut() = error.to_string();
            }
        }));
        if number % 50 == 49 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    sleep(Duration::from_secs(2)).await;
    let (p50, p99, answers, with_good) = measure(&world, pid, secs).await;
    println!(
        "{good_clients} good clients alone: {answers} answers, p50 {p50:.2} ms, p99 {p99:.2} ms, {with_good:.1} MiB\n"
    );
    if answers == 0 {
        return Err(err("the good clients got no answer"));
    }
    println!(
        "| attack | attackers | attempts | ended by the server | answers | p50 ms | x | p99 ms | x | peak MiB | |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (name, count, attack) in ATTACKS {
        if !name.contains(only) {
            continue;
        }
        // Somebody else on the machine moves latencies too: only what is broken again and again counts.
        for attempt in 1..=TRIES {
            let field = Rc::new(Field { target: target()?, attempts: Cell::new(0), ended: Cell::new(0) });
            let lost_before = world.cut.get() + world.gaps.get();
            let attackers: Vec<_> = (0..count)
                .map(|number| spawn_local(attacker(field.clone(), attack, number as u64)))
                .collect();
            let (with50, with99, answers, peak) = measure(&world, pid, secs).await;
            for attacker in &attackers {
                attacker.abort();
            }
            let (mut slow, mut broken) = (vec![], vec![]);
            if with50 > P50_FLOOR_MS.max(p50 * P50_FACTOR) {
                slow.push("p50");
            }
            if with99 > P99_FLOOR_MS.max(p99 * P99_FACTOR) {
                slow.push("p99");
            }
            if peak > with_good + PEAK_MIB {
                broken.push("memory");
            }
            if world.cut.get() + world.gaps.get() > lost_before {
                broken.push("lost");
            }
            let again = broken.is_empty() && !slow.is_empty() && attempt < TRIES;
            broken.append(&mut slow);
            let verdict = if broken.is_empty() { "ok".to_string() } else { broken.join(", ") };
            println!(
                "| {name} | {count} | {} | {} | {answers} | {with50:.2} | {:.1} | {with99:.2} | {:.1} | {peak:.1} | {verdict}{} |",
                field.attempts.get(),
                field.ended.get(),
                with50 / p50,
                with99 / p99,
                if again { ": once more" } else { "" },
            );
            sleep(Duration::from_millis(500)).await;
            if again {
                continue;
            }
            if !broken.is_empty() {
                bad.push(format!("{name}: {verdict}"));
            }
            break;
        }
    }

    // The good ones go; the rest is gone, or goes by its deadlines.
    let (last, refusals) = vitals(&world, pid).await?;
    world.stop.set(true);
    for client in clients {
        let _ = timeout(Duration::from_secs(10), client).await;
    }
    let lost = world.sent.get() - world.answered.get();
    println!(
        "\ngood clients: {} questions, {} answers, {lost} lost; {} ticks heard, {} missed; {} cut off {}",
        world.sent.get(),
        world.answered.get(),
        world.ticks.get(),
        world.gaps.get(),
        world.cut.get(),
        world.last_error.borrow(),
    );
    if lost + world.gaps.get() + world.cut.get() > 0 {
        bad.push("a good client lost something".into());
    }
    let mut after = last;
    for _ in 0..150 {
        after = vitals(&world, pid).await?.0;
        // The connection that asks is a descriptor and a task of its own.
        if after.sessions == 0 && after.fds <= before.fds && after.tasks <= before.tasks {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    println!(
        "afterwards: {} sessions, {:.1} MiB ({:+.1}), {} descriptors ({} at rest), {} tasks ({} at rest), {} panics",
        after.sessions,
        after.rss,
        after.rss - before.rss,
        after.fds,
        before.fds,
        after.tasks,
        before.tasks,
        after.panics
    );
    println!("{refusals}");
    for (is_bad, what) in [
        (after.sessions != 0, "sessions are left"),
        (after.fds > before.fds, "descriptors are left"),
        (after.tasks > before.tasks, "tasks are left"),
        (after.rss > before.rss + LEFT_MIB, "memory is left"),
        (after.panics != 0, "the server panicked"),
    ] {
        if is_bad {
            bad.push(what.into());
        }
    }
    child.kill().await?;
    for what in &bad {
        println!("BROKEN: {what}");
    }
    Ok(bad.is_empty())
}
