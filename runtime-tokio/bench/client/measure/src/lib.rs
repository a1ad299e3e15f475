//! The common part of the client programs in Rust: options, clocks, and the line of JSON that they print.
use rustix::time::{ClockId, clock_gettime};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Emits of a batch in `emit`, whose arrival one acknowledgement at the end confirms.
pub const BATCH: u64 = 1000;
/// Events that the server is asked for at once in `receive`.
pub const BURST: u64 = 500;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Echo,
    EchoBin,
    Emit,
    Receive,
    Ack,
    Connect,
    Idle,
}

/// The command line.
#[derive(Clone)]
pub struct Options {
    pub url: String,
    pub mode: Mode,
    pub polling: bool,
    /// Messages in flight.
    pub depth: usize,
    /// Bytes of a message's one argument.
    pub size: usize,
    /// Clients of `idle`.
    pub conns: usize,
    pub secs: f64,
    pub warmup: f64,
    /// For libraries that come in several kinds.
    pub flavor: String,
}

impl Options {
    pub fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let text = |name: &str, default: &str| {
            let at = args.iter().position(|arg| arg == name);
            at.and_then(|at| args.get(at + 1)).map_or(default, |value| value).to_owned()
        };
        fn number<T: FromStr>(name: &str, text: &str) -> T {
            text.parse().unwrap_or_else(|_| panic!("{name} does not take {text:?}"))
        }
        let mode = match text("--mode", "echo").as_str() {
            "echo" => Mode::Echo,
            "echo-bin" => Mode::EchoBin,
            "emit" => Mode::Emit,
            "receive" => Mode::Receive,
            "ack" => Mode::Ack,
            "connect" => Mode::Connect,
            "idle" => Mode::Idle,
            other => panic!("there is no mode {other}"),
        };
        Self {
            url: text("--url", "http://127.0.0.1:3000"),
            mode,
            polling: text("--transport", "websocket") == "polling",
            depth: number("--depth", &text("--depth", "1")),
            size: number("--size", &text("--size", "64")),
            conns: number("--conns", &text("--conns", "500")),
            secs: number("--secs", &text("--secs", "1.5")),
            warmup: number("--warmup", &text("--warmup", "0.5")),
            flavor: text("--flavor", ""),
        }
    }

    pub fn text(&self) -> String {
        "x".repeat(self.size)
    }

    pub fn bytes(&self) -> Vec<u8> {
        vec![7; self.size]
    }

    pub fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    pub fn secs(&self) -> Duration {
        Duration::from_secs_f64(self.secs)
    }
}

/// The number of messages that have come, and whether it is enough.
#[derive(Clone, Default)]
pub struct Counter(Arc<(AtomicU64, AtomicBool)>);

impl Counter {
    /// Counts one, and returns how many there are now.
    pub fn hit(&self) -> u64 {
        self.0.0.fetch_add(1, Relaxed) + 1
    }

    pub fn add(&self, messages: u64) {
        self.0.0.fetch_add(messages, Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.0.load(Relaxed)
    }

    pub fn stop(&self) {
        self.0.1.store(true, Relaxed);
    }

    pub fn goes_on(&self) -> bool {
        !self.0.1.load(Relaxed)
    }
}

/// The beginning of what is measured.
pub struct Mark {
    count: u64,
    cpu: f64,
    at: Instant,
}

impl Mark {
    pub fn new(counter: &Counter) -> Self {
        Self { count: counter.count(), cpu: cpu(), at: Instant::now() }
    }

    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// Prints what has happened since.
    pub fn report(&self, counter: &Counter) {
        let (seconds, cpu) = (self.at.elapsed().as_secs_f64(), cpu() - self.cpu);
        let messages = counter.count() - self.count;
        let each = cpu * 1e6 / messages.max(1) as f64;
        println!(
            "{{\"msgs\":{messages},\"per_s\":{:.1},\"us_per_msg\":{each:.3},\"util\":{:.3}}}",
            messages as f64 / seconds,
            cpu / seconds
        );
    }
}

/// CPU seconds of this process, user and system, ended threads included.
pub fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Resident memory in bytes.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Prints what `conns` clients have added to the resident memory.
pub fn report_idle(conns: usize, before: u64) {
    let bytes = resident().saturating_sub(before) as f64 / conns.max(1) as f64;
    println!("{{\"conns\":{conns},\"bytes_per_client\":{bytes:.0}}}");
}
