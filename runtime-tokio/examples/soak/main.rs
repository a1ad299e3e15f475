//! A long run against a server: clients that come and go on each transport, rooms, namespaces that come to be, clients
//! that do not read, that break rules, and that vanish. At the end nothing of them may be left.
//!
//! ```text
//! cargo run --release -p sansocket-tokio --example soak -- --seconds 3600
//! ulimit -n 40000; cargo run --release -p sansocket-tokio --example soak -- --seconds 300 --idle 15000
//! ```
//!
//! It fails if a session, a socket, a room, a task or a descriptor is left, if a client that behaves has lost an event or
//! its connection, if the server has panicked, and, in a run of at least ten minutes, if its memory grows by more than
//! `--slope` MiB an hour (1) after a quarter of the time. None of these depends on the speed of the machine. Flags:
//! `--seconds` (15), `--actors`, the clients of each kind that act at once (4), `--steady`, those that stay and listen (20),
//! `--idle`, those that only stay (0). The server is a process of its own.

mod load;
mod raw;
mod server;

use load::{Load, Totals};
use serde_json::Value;
use std::io;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The flag by which the program starts itself as the server.
const SERVE: &str = "--serve";
/// The time that the server has to forget everybody: longer than each of its own.
const PATIENCE: Duration = Duration::from_secs(120);
/// A run that is shorter says nothing about the slope of the memory.
const LEAST_FOR_SLOPE: Duration = Duration::from_secs(600);

fn option<T: std::str::FromStr>(name: &str, default: T) -> T {
    let mut args = std::env::args().skip_while(|arg| arg != name);
    match args.nth(1) {
        Some(value) => value.parse().unwrap_or_else(|_| panic!("{name} does not take {value:?}")),
        None => default,
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime");
    let outcome = if std::env::args().any(|arg| arg == SERVE) {
        runtime.block_on(server::run()).map(|()| Vec::new())
    } else {
        runtime.block_on(soak())
    };
    match outcome {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("soak: {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The server's process, which ends with this.
struct Server {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it, and returns the ports of its two servers.
    fn start() -> io::Result<(Self, u16, u16)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the server has no pipes"));
        };
        let mut server = Self { child, ask, answers: BufReader::new(answers) };
        let ports = server.answer()?;
        let port = |name: &str| ports[name].as_u64().and_then(|port| u16::try_from(port).ok());
        let (Some(patient), Some(strict)) = (port("patient"), port("strict")) else {
            return Err(io::Error::other(format!("the server has said {ports}")));
        };
        Ok((server, patient, strict))
    }

    fn answer(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("the server has ended")),
            _ => serde_json::from_str(&line).map_err(io::Error::other),
        }
    }

    /// The server's figures now. It answers at once, so this thread may wait.
    fn figures(&mut self) -> io::Result<Value> {
        tokio::task::block_in_place(|| {
            self.ask.write_all(b"figures\n")?;
            self.answer()
        })
    }
}

async fn soak() -> io::Result<Vec<String>> {
    let (mut server, patient, strict) = Server::start()?;
    let time = Duration::from_secs(option("--seconds", 15));
    let load = Load {
        patient,
        strict,
        actors: option("--actors", 4),
        steady: option("--steady", 20),
        idle: option("--idle", 0),
    };
    // Once around, so that what is made once is there.
    load.warm_up().await?;
    let before = at_rest(&mut server, None).await?;
    println!("at rest: {before}");
    let began = Instant::now();
    let running = load.begin().await?;
    let mut samples = Vec::new();
    while began.elapsed() < time {
        sleep(Duration::from_secs(1).min(time.saturating_sub(began.elapsed()))).await;
        let figures = server.figures()?;
        if began.elapsed() * 4 > time {
            samples.push((began.elapsed().as_secs_f64(), figures["rss"].as_f64().unwrap_or_default()));
        }
        if began.elapsed().as_secs() % 60 == 0 {
            println!("after {} s: {figures}", began.elapsed().as_secs());
        }
    }
    let peak = server.figures()?;
    let totals = running.end().await;
    let after = at_rest(&mut server, Some(&before)).await?;
    println!("under load: {peak}\nafter it:   {after}\n{totals}");
    let slope = slope(&samples) * 3600.0 / f64::from(1 << 20);
    println!(
        "memory: {:.1} MiB, {slope:+.2} MiB an hour",
        after["rss"].as_f64().unwrap_or_default() / f64::from(1 << 20)
    );
    let mut faults = judge(&before, &after, &totals);
    let most: f64 = option("--slope", 1.0);
    if time >= LEAST_FOR_SLOPE && slope > most {
        faults.push(format!("the memory grows by {slope:.2} MiB an hour, and {most} are allowed"));
    }
    Ok(faults)
}

/// The numbers that must be again what they were.
const KEPT: [&str; 5] = ["sessions", "sockets", "rooms", "tasks", "descriptors"];

/// The figures once nobody is there any more: as they were, or after the server's patience as they are.
async fn at_rest(server: &mut Server, before: Option<&Value>) -> io::Result<Value> {
    let began = Instant::now();
    let (mut last, mut since) = (Value::Null, Instant::now());
    loop {
        let figures = server.figures()?;
        let kept: Value = KEPT.iter().map(|name| figures[*name].clone()).collect();
        if kept != last {
            (last, since) = (kept, Instant::now());
        }
        let is_empty = KEPT[..3].iter().all(|name| figures[*name] == 0);
        let is_as_before =
            before.is_none_or(|before| KEPT.iter().all(|name| before[*name] == figures[*name]));
        // Without anything to compare with, what has ended is closed a moment later: nothing changes any more.
        let has_settled = before.is_some() || since.elapsed() > Duration::from_secs(2);
        if (is_empty && is_as_before && has_settled) || began.elapsed() > PATIENCE {
            return Ok(figures);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The faults of a run.
fn judge(before: &Value, after: &Value, totals: &Totals) -> Vec<String> {
    let mut faults = totals.faults.clone();
    for name in KEPT {
        if before[name] != after[name] {
            faults.push(format!("{name}: {} before, {} after everybody has gone", before[name], after[name]));
        }
    }
    if after["panics"] != 0 {
        faults.push(format!("the server has panicked {} times", after["panics"]));
    }
    if after["opened"] != after["closed"] {
        faults.push(format!("{} sessions were opened, {} have ended", after["opened"], after["closed"]));
    }
    for (what, number) in totals.numbers() {
        if number == 0 {
            faults.push(format!("no {what}: the run says nothing about it"));
        }
    }
    faults
}

/// The slope of the line through the samples that is nearest to them.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let (mut above, mut below) = (0.0, 0.0);
    for sample in samples {
        above += (sample.0 - x) * (sample.1 - y);
        below += (sample.0 - x).powi(2);
    }
    if below > 0.0 { above / below } else { 0.0 }
}
