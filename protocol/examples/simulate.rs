//! Plays the scenarios of many seeds, and prints their coverage. A failure is made smaller, and shown as a diagram;
//! `--from` and `--seeds 1` play one seed again.
//!
//!     cargo run --release -p sansocket-protocol --features sim --example simulate -- --seeds 10000
//!     ... -- --seeds 1 --from 1234 --trace
//!     ... -- --mixed --seeds 10000
//!     ... -- --recovery --seeds 100000
//!
//! With `--record FILE` the sessions of the story that failed, or of the only seed, are written as recordings, for
//! `sansocket replay`; with `--fuzzed TARGET INPUT --record FILE` those of a fuzzer's input of `server` or `pair`. Both need
//! `--features sim,fuzzing`.
//!
//! With `--mixed` there are clients of Engine.IO 3 in each scenario, and every other one is in MessagePack.
//! With `--recovery` it plays conversations at a server that recovers connections, in place of scenarios.

// A program, not the core: it may start threads, read its arguments and write to the terminal.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]

use sansocket_protocol::sim::{Coverage, Outcome, Recoveries, Scenario, Situation, recover, run, shrink};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

struct Options {
    seeds: u64,
    from: u64,
    threads: u64,
    trace: bool,
    shrink: usize,
    recovery: bool,
    mixed: bool,
    record: Option<PathBuf>,
    /// A target, and the file with its input.
    fuzzed: Option<(String, PathBuf)>,
}

/// The situations that occur only where there are clients of Engine.IO 3.
const OF_MIXED: [Situation; 3] = [Situation::OldJoined, Situation::OldEmit, Situation::OldHeard];

impl Options {
    fn scenario(&self, seed: u64) -> Scenario {
        if self.mixed { Scenario::mixed(seed) } else { Scenario::generate(seed) }
    }

    /// The situations that should have occurred, and have not.
    fn missing(&self, coverage: &Coverage) -> Vec<Situation> {
        let missing = coverage.missing();
        missing.filter(|situation| self.mixed || !OF_MIXED.contains(situation)).collect()
    }
}

fn options() -> Result<Options, String> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let mut options = Options {
        seeds: 10_000,
        from: 0,
        threads,
        trace: false,
        shrink: 2000,
        recovery: false,
        mixed: false,
        record: None,
        fuzzed: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--trace" {
            options.trace = true;
            continue;
        }
        if arg == "--mixed" {
            options.mixed = true;
            continue;
        }
        if arg == "--recovery" {
            options.recovery = true;
            continue;
        }
        if arg == "--record" {
            options.record = Some(args.next().ok_or("--record wants a file")?.into());
            continue;
        }
        if arg == "--fuzzed" {
            let (target, input) = (args.next(), args.next());
            options.fuzzed =
                Some(target.zip(input.map(PathBuf::from)).ok_or("--fuzzed wants a target and a file")?);
            continue;
        }
        let value = args.next().and_then(|value| value.parse().ok());
        let value = value.ok_or_else(|| format!("{arg} wants a number"))?;
        match arg.as_str() {
            "--seeds" => options.seeds = value,
            "--from" => options.from = value,
            "--threads" => options.threads = value.max(1),
            "--shrink" => options.shrink = usize::try_from(value).unwrap_or(0),
            _ => {
                return Err(format!(
                    "{arg}? There are --seeds N, --from N, --threads N, --shrink N, --trace, --mixed, --recovery, \
                     --record FILE, --fuzzed TARGET INPUT"
                ));
            }
        }
    }
    Ok(options)
}

/// A panic is a bug like any other.
fn play(scenario: &Scenario, trace: bool) -> Result<Outcome, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(scenario, trace)));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Writes the recordings of a scenario's sessions: FILE for the one that was at work when it failed, or for the only one;
/// FILE with a number for each of the others.
#[cfg(feature = "record")]
fn record(scenario: &Scenario, file: &std::path::Path) -> Result<(), String> {
    let mut recordings = Vec::new();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        sansocket_protocol::sim::run_recorded(scenario, false, &mut recordings);
    }));
    let first = recordings.iter().position(|recorded| recorded.failed).unwrap_or(0);
    let files = recordings.iter().enumerate().map(|(at, recorded)| {
        let number = (at != first).then_some(recorded.session.0);
        (number, recorded.recording.as_slice())
    });
    write(files, file)
}

#[cfg(not(feature = "record"))]
fn record(_: &Scenario, _: &std::path::Path) -> Result<(), String> {
    Err("--record needs --features sim,record".to_string())
}

/// Writes the recordings of a fuzzer's input.
#[cfg(feature = "fuzzing")]
fn fuzzed(target: &str, input: &std::path::Path, file: &std::path::Path) -> Result<(), String> {
    let data = std::fs::read(input).map_err(|error| format!("{}: {error}", input.display()))?;
    let mut recordings = Vec::new();
    let known = catch_unwind(AssertUnwindSafe(|| {
        sansocket_protocol::fuzzing::replay::recordings(target, &data, &mut recordings)
    }));
    match known {
        Ok(false) => {
            return Err(format!("inputs of {target} have no sessions; those of server, pair and replay do"));
        }
        Ok(true) => {}
        Err(_) => println!("it panics"),
    }
    let files =
        recordings.iter().zip(0..).map(|(recording, at)| ((at > 0).then_some(at), recording.as_slice()));
    write(files, file)
}

#[cfg(not(feature = "fuzzing"))]
fn fuzzed(_: &str, _: &std::path::Path, _: &std::path::Path) -> Result<(), String> {
    Err("--fuzzed needs --features sim,fuzzing".to_string())
}

#[cfg(feature = "record")]
fn write<'a>(
    recordings: impl Iterator<Item = (Option<u64>, &'a [u8])>,
    file: &std::path::Path,
) -> Result<(), String> {
    for (number, recording) in recordings {
        let file =
            number.map_or_else(|| file.to_owned(), |number| file.with_extension(format!("{number}.ssrec")));
        std::fs::write(&file, recording).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{} bytes: sansocket replay {}", recording.len(), file.display());
    }
    Ok(())
}

/// The rule that a scenario breaks.
fn broken(scenario: &Scenario) -> Option<String> {
    match play(scenario, false) {
        Ok(outcome) => outcome.broken.map(|broken| broken.rule.to_string()),
        Err(_) => Some("no panic".to_string()),
    }
}

fn report(seed: u64, rule: &str, options: &Options) {
    let scenario = options.scenario(seed);
    let small = shrink(&scenario, options.shrink, |scenario| broken(scenario).as_deref() == Some(rule));
    let steps = (scenario.steps.len(), small.steps.len());
    println!("seed {seed}: broken: {rule}\n{} of {} steps are needed:", steps.1, steps.0);
    print!("{small}");
    match play(&small, true) {
        Ok(outcome) => {
            println!("{}", outcome.transcript);
            if let Some(broken) = outcome.broken {
                println!("at {:?}: {}: {}", broken.at, broken.rule, broken.detail);
            }
        }
        Err(panic) => println!("it panics: {panic}"),
    }
    if let Some(Err(error)) = options.record.as_ref().map(|file| record(&small, file)) {
        println!("{error}");
    }
    println!("Again: --seeds 1 --from {seed}{}", if options.mixed { " --mixed" } else { "" });
}

/// Plays conversations at a server that recovers connections.
fn recoveries(options: &Options) -> Result<(), String> {
    let began = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let work = || {
        let mut told = Recoveries::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Ok(told);
            }
            match recover(seed, false) {
                Ok(one) => told.add(&one),
                Err(_) => return Err(seed),
            }
        }
    };
    let mut told = Recoveries::default();
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join().expect("a rule that is broken is an error") {
                Ok(one) => told.add(&one),
                Err(seed) => failures.push(seed),
            }
        }
    });
    if let Some(seed) = failures.first() {
        let broken = recover(*seed, true).expect_err("the same seed gives the same run");
        return Err(format!("seed {seed}: {broken}"));
    }
    println!("{} seeds in {:.0} s: {told}", options.seeds, began.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> Result<(), String> {
    let options = options()?;
    if options.recovery {
        return recoveries(&options);
    }
    if let Some((target, input)) = &options.fuzzed {
        return fuzzed(target, input, options.record.as_deref().ok_or("--fuzzed wants --record FILE")?);
    }
    set_hook(Box::new(|_| {}));
    if options.trace {
        let outcome = play(&options.scenario(options.from), true)?;
        println!("{}", outcome.transcript);
    }
    let began = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let stop = AtomicBool::new(false);
    let work = || {
        let (mut coverage, mut events, mut hash) = (Coverage::default(), 0, 0_u64);
        let (mut operations, mut failures) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let scenario = options.scenario(seed);
            operations += scenario.steps.len() as u64;
            match play(&scenario, false) {
                Ok(outcome) => {
                    coverage.add(&outcome.coverage);
                    events += outcome.events;
                    hash ^= outcome.hash;
                    failures.extend(outcome.broken.map(|broken| (seed, broken.rule.to_string())));
                }
                Err(_) => failures.push((seed, "no panic".to_string())),
            }
            if failures.len() > 20 {
                stop.store(true, Ordering::Relaxed);
            }
        }
        (coverage, events, hash, operations, failures)
    };
    let (mut coverage, mut events, mut hash, mut operations) = (Coverage::default(), 0, 0, 0);
    let mut failures: Vec<(u64, String)> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let done = worker.join().expect("a worker catches what it plays");
            coverage.add(&done.0);
            events += done.1;
            hash ^= done.2;
            operations += done.3;
            failures.extend(done.4);
        }
    });
    let took = began.elapsed().as_secs_f64();
    failures.sort();
    #[allow(clippy::cast_precision_loss)]
    let (played, per_seed) = (options.seeds as f64, |count: u64| count as f64 / options.seeds as f64);
    println!("{coverage}");
    println!(
        "{played} seeds from {} in {took:.1} s ({:.0} a second on {} threads): {:.0} events and {:.1} steps each, hash {hash:016x}",
        options.from,
        played / took,
        options.threads,
        per_seed(events),
        per_seed(operations),
    );
    if options.seeds >= 2000 {
        for situation in options.missing(&coverage) {
            println!("never occurred: {}", situation.as_str());
        }
    }
    for (seed, rule) in failures.iter().skip(1) {
        println!("seed {seed}: {rule}");
    }
    if let Some((seed, rule)) = failures.first() {
        report(*seed, rule, &options);
        return Err(format!("{} seeds failed", failures.len()));
    }
    if let Some(file) = options.record.as_ref().filter(|_| options.seeds == 1) {
        record(&options.scenario(options.from), file)?;
    }
    if options.seeds >= 2000 && !options.missing(&coverage).is_empty() {
        return Err("some situations never occurred".to_string());
    }
    Ok(())
}
