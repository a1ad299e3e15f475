//! Plays the stories of many seeds in clusters. A story that breaks a rule is made smaller, and shown with all that was
//! on the bus; `--from` and `--seeds 1` play one seed again.
//!
//!     cargo run --release -p sansocket-protocol --features sim,cluster --example simulate_cluster -- --seeds 10000
//!     ... -- --seeds 1 --from 1234 --trace 1
//!
//! With `--travel 1` the stories are those of sessions that move between nodes over a stream; these are not made smaller.

// A program, not the core: it may start threads, read its arguments and write to the terminal.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]

use sansocket_protocol::sim::cluster::{Report, Story, play, shrink, travel};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

struct Options {
    seeds: u64,
    from: u64,
    threads: u64,
    trace: bool,
    travel: bool,
}

fn options() -> Result<Options, String> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let mut options = Options { seeds: 10_000, from: 0, threads, trace: false, travel: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().and_then(|value| value.parse().ok());
        let value: u64 = value.ok_or_else(|| format!("{arg} wants a number"))?;
        match arg.as_str() {
            "--seeds" => options.seeds = value,
            "--from" => options.from = value,
            "--threads" => options.threads = value.max(1),
            "--trace" => options.trace = value > 0,
            "--travel" => options.travel = value > 0,
            _ => {
                return Err(format!(
                    "{arg}? There are --seeds N, --from N, --threads N, --trace 1, --travel 1"
                ));
            }
        }
    }
    Ok(options)
}

fn tell(story: &Story, keep: bool) -> Result<Report, String> {
    caught(|| play(story, keep))
}

/// The story of a seed.
fn tell_seed(options: &Options, seed: u64, keep: bool) -> Result<Report, String> {
    if options.travel { caught(|| travel(seed, keep)) } else { tell(&Story::generate(seed), keep) }
}

/// A panic is a bug like any other.
fn caught(play: impl FnOnce() -> Report) -> Result<Report, String> {
    let report = catch_unwind(AssertUnwindSafe(play));
    report.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// The rule that a story breaks.
fn broken(story: &Story) -> Option<String> {
    match tell(story, false) {
        Ok(report) => report.broken.map(|broken| broken.rule.to_string()),
        Err(_) => Some("no panic".to_string()),
    }
}

fn explain(options: &Options, seed: u64, rule: &str) {
    if options.travel {
        println!("seed {seed}: broken: {rule}");
        show(tell_seed(options, seed, true));
        return println!("Again: --seeds 1 --from {seed} --travel 1");
    }
    let story = Story::generate(seed);
    let small = shrink(&story, 500, |story| broken(story).as_deref() == Some(rule));
    println!("seed {seed}: broken: {rule}\n{} of {} steps are needed:", small.steps.len(), story.steps.len());
    print!("{small}");
    show(tell(&small, true));
    println!("Again: --seeds 1 --from {seed}");
}

fn show(told: Result<Report, String>) {
    match told {
        Ok(report) => {
            println!("{}", report.transcript);
            if let Some(broken) = report.broken {
                println!("at {:?}: {}: {}", broken.at, broken.rule, broken.detail);
            }
        }
        Err(panic) => println!("it panics: {panic}"),
    }
}

fn main() -> Result<(), String> {
    let options = options()?;
    set_hook(Box::new(|_| {}));
    if options.trace {
        println!("{}", tell_seed(&options, options.from, true)?.transcript);
    }
    let began = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let failures: Mutex<Vec<(u64, String)>> = Mutex::default();
    let sums: [AtomicU64; 5] = Default::default();
    let work = || {
        while failures.lock().map_or(0, |failures| failures.len()) < 20 {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let failed = match tell_seed(&options, seed, false) {
                Ok(report) => {
                    let figures = [report.deliveries, report.certain, report.published, report.requests];
                    for (sum, figure) in sums.iter().zip(figures) {
                        sum.fetch_add(figure, Ordering::Relaxed);
                    }
                    sums[4].fetch_xor(report.hash, Ordering::Relaxed);
                    report.broken.map(|broken| broken.rule.to_string())
                }
                Err(_) => Some("no panic".to_string()),
            };
            if let (Some(rule), Ok(mut failures)) = (failed, failures.lock()) {
                failures.push((seed, rule));
            }
        }
    };
    std::thread::scope(|scope| (0..options.threads).for_each(|_| drop(scope.spawn(work))));
    let took = began.elapsed().as_secs_f64();
    let [deliveries, certain, published, requests, hash] = sums.map(|sum| sum.load(Ordering::Relaxed));
    println!(
        "{} seeds from {} in {took:.1} s: {deliveries} deliveries, {certain} that had to be, {published} messages on the bus, {requests} {}, hash {hash:016x}",
        options.seeds,
        options.from,
        if options.travel { "sessions given back" } else { "requests" },
    );
    let mut failures = failures.into_inner().unwrap_or_default();
    failures.sort();
    for (seed, rule) in failures.iter().skip(1) {
        println!("seed {seed}: {rule}");
    }
    if let Some((seed, rule)) = failures.first() {
        explain(&options, *seed, rule);
        return Err(format!("{} seeds failed", failures.len()));
    }
    Ok(())
}
