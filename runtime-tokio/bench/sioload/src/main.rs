//! Load generator for Socket.IO v5 servers that keep the benchmark contract (see the README).
//!
//! Single-threaded, with its own HTTP and WebSocket framing so that it costs less than the servers it measures.
//! Prints one JSON line per run.
mod hist;
mod http;
mod procfs;
mod scale;
mod ws;

use hist::Hist;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    sync::Notify,
    task::{JoinHandle, LocalSet, spawn_local},
    time::{sleep, timeout},
};
use ws::{BIN, Conn, TEXT, Target, Template, control, put, write};

const HELP: &str = "sioload --url http://127.0.0.1:PORT[/path/] --mode MODE [--pid SERVER_PID] [options]
modes: echo | echo-bin | ack | bcast | connect | idle | polling | paced | storm | rooms
  --conns N   connections (50)         --depth P  messages in flight per connection (1)
  --size S    payload bytes (64)       --secs D   measured seconds (3)   --warmup W  seconds (0.5)
  --label L   copied to the output     --touch 1  idle: one echo per connection first
  bcast: --conns members, --depth broadcasts in flight; with --from URL [--from-pid PID] they are emitted by a
         connection to another node of a cluster, which is no member
         --event NAME that makes the server emit (bcast), --gap D seconds from one's end to the next (0),
         --ready 1: says `ready` on stderr once all are there
  connect: --conns concurrent, idle: --secs hold
  paced: --rate N echoes a second on each connection (50); storm: --secs patience; rooms: --depth rooms of each
  --sources N  source addresses, 127.0.0.2 and on; 0: that of the system (0)";

struct Cfg {
    t: Target,
    mode: String,
    label: String,
    pid: Option<u32>,
    /// bcast: the node that emits, and its process.
    from: Option<Target>,
    from_pid: Option<u32>,
    conns: usize,
    depth: usize,
    size: usize,
    secs: f64,
    warmup: f64,
    touch: bool,
    event: String,
    gap: f64,
    rate: f64,
    ready: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Warm,
    Run,
    Stop,
}

/// State shared by every task of a run.
struct Sh {
    cfg: Cfg,
    phase: Cell<Phase>,
    hist: RefCell<Hist>,
    /// Messages (bcast: deliveries) completed in the measured window.
    msgs: Cell<u64>,
    errors: Cell<u64>,
    /// Replies that overtook an earlier request of the same connection.
    reordered: Cell<u64>,
    last_err: RefCell<String>,
}

impl Sh {
    fn hit(&self, n: u64) {
        if self.phase.get() == Phase::Run {
            self.msgs.set(self.msgs.get() + n);
        }
    }
    fn lat(&self, d: Duration) {
        if self.phase.get() == Phase::Run {
            self.hist.borrow_mut().add(d.as_nanos() as u64);
        }
    }
    fn fail(&self, e: io::Error) {
        self.errors.set(self.errors.get() + 1);
        // Goes into JSON as it is, so only what needs no escape.
        let plain = |c: char| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '_' };
        *self.last_err.borrow_mut() = e.to_string().chars().map(plain).collect();
    }
    fn stopped(&self) -> bool {
        self.phase.get() == Phase::Stop
    }
}

fn parse() -> Option<Cfg> {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let mut m: HashMap<&str, &str> = HashMap::new();
    for kv in a.chunks(2) {
        m.insert(kv[0].strip_prefix("--")?, kv.get(1)?);
    }
    let num = |k: &str, d: f64| m.get(k).map_or(Some(d), |v| v.parse::<f64>().ok());
    Some(Cfg {
        t: Target::parse(m.get("url")?)?.from_sources(num("sources", 0.0)? as usize),
        mode: m.get("mode")?.to_string(),
        label: m.get("label").unwrap_or(&"").to_string(),
        pid: m.get("pid").and_then(|p| p.parse().ok()),
        from: match m.get("from") {
            Some(url) => Some(Target::parse(url)?),
            None => None,
        },
        from_pid: m.get("from-pid").and_then(|p| p.parse().ok()),
        conns: num("conns", 50.0)? as usize,
        depth: num("depth", 1.0)? as usize,
        size: num("size", 64.0)? as usize,
        secs: num("secs", 3.0)?.min(120.0),
        warmup: num("warmup", 0.5)?.min(30.0),
        touch: num("touch", 0.0)? != 0.0,
        event: m.get("event").unwrap_or(&"bcast").to_string(),
        gap: num("gap", 0.0)?,
        ready: num("ready", 0.0)? != 0.0,
        rate: num("rate", 50.0)?.clamp(0.1, 10_000.0),
    })
}

fn main() {
    let Some(cfg) = parse() else {
        eprintln!("{HELP}");
        std::process::exit(2)
    };
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let r = LocalSet::new().block_on(&rt, run(cfg));
    if let Err(e) = r {
        eprintln!("sioload: {e}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

async fn run(cfg: Cfg) -> io::Result<()> {
    let sh = Rc::new(Sh {
        cfg,
        phase: Cell::new(Phase::Warm),
        hist: Default::default(),
        msgs: Cell::new(0),
        errors: Cell::new(0),
        reordered: Cell::new(0),
        last_err: Default::default(),
    });
    match sh.cfg.mode.as_str() {
        "echo" | "echo-bin" | "ack" => {
            let cs = open_many(&sh, sh.cfg.conns).await?;
            let tpl = Rc::new(template(&sh.cfg));
            let hs = cs
                .into_iter()
                .map(|c| spawn_local(guard(sh.clone(), echo(sh.clone(), c, tpl.clone()))))
                .collect();
            measure(&sh, hs).await;
        }
        "bcast" => bcast(&sh).await?,
        "polling" => {
            let hs = (0..sh.cfg.conns).map(|_| spawn_local(guard(sh.clone(), polling(sh.clone())))).collect();
            measure(&sh, hs).await;
        }
        "connect" => {
            let hs = (0..sh.cfg.conns).map(|_| spawn_local(guard(sh.clone(), churn(sh.clone())))).collect();
            measure(&sh, hs).await;
        }
        "idle" => idle(&sh).await?,
        "paced" => scale::paced(&sh).await?,
        "storm" => scale::storm(&sh).await?,
        "rooms" => scale::rooms(&sh).await?,
        m => return Err(ws::err(format!("unknown mode {m}"))),
    }
    Ok(())
}

async fn guard(sh: Rc<Sh>, f: impl std::future::Future<Output = io::Result<()>>) {
    match f.await {
        Err(e) if !sh.stopped() => sh.fail(e),
        _ => {}
    }
}

/// Opens `n` connections, at most 32 at a time.
async fn open_many(sh: &Rc<Sh>, n: usize) -> io::Result<Vec<Conn>> {
    let left = Rc::new(Cell::new(n));
    let mut hs: Vec<JoinHandle<io::Result<Vec<Conn>>>> = vec![];
    for _ in 0..n.min(32) {
        let (sh, left) = (sh.clone(), left.clone());
        hs.push(spawn_local(async move {
            let mut v = vec![];
            while left.get() > 0 {
                left.set(left.get() - 1);
                v.push(timeout(Duration::from_secs(20), Conn::open(&sh.cfg.t, left.get(), 4096)).await??);
            }
            Ok(v)
        }));
    }
    let mut v = vec![];
    for h in hs {
        v.extend(h.await.map_err(io::Error::other)??);
    }
    Ok(v)
}

/// Warm up, measure, stop, print the result.
async fn measure(sh: &Rc<Sh>, hs: Vec<JoinHandle<()>>) {
    let c = &sh.cfg;
    let cpu = || c.pid.and_then(procfs::cpu_secs);
    let from = || c.from_pid.and_then(procfs::cpu_secs);
    let own = || procfs::cpu_secs(std::process::id()).unwrap_or(0.0);
    sleep(Duration::from_secs_f64(c.warmup)).await;
    let (s0, f0, o0, t0) = (cpu(), from(), own(), Instant::now());
    sh.phase.set(Phase::Run);
    sleep(Duration::from_secs_f64(c.secs)).await;
    sh.phase.set(Phase::Stop);
    let (s1, f1, o1, dt) = (cpu(), from(), own(), t0.elapsed().as_secs_f64());
    let spent = |before: Option<f64>, after: Option<f64>| before.zip(after).map(|(a, b)| b - a);
    print_result(sh, dt, spent(s0, s1), spent(f0, f1), o1 - o0);
    // Let the tasks wind down for a moment so that the server sees clean closes where possible.
    let _ = timeout(Duration::from_millis(300), async {
        for h in hs {
            let _ = h.await;
        }
    })
    .await;
}

/// `dt`: measured seconds; `cpu_s`, `from_s` and `own_s`: CPU seconds in them of the server, of the node that emits, and
/// of this process.
fn print_result(sh: &Sh, dt: f64, cpu_s: Option<f64>, from_s: Option<f64>, own_s: f64) {
    let c = &sh.cfg;
    let n = sh.msgs.get();
    let h = sh.hist.borrow();
    let us = |q: f64| h.q(q) as f64 / 1e3;
    let rss = c.pid.and_then(procfs::rss_kib).map_or(0, |r| r.0);
    println!(
        "{{\"label\":\"{}\",\"mode\":\"{}\",\"conns\":{},\"depth\":{},\"size\":{},\"secs\":{:.3},\"msgs\":{},\"per_s\":{:.1},\
         \"lat_n\":{},\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1},\"server_cpu_s\":{},\"server_us_per_msg\":{},\
         \"from_cpu_s\":{},\"server_util\":{},\"client_cpu_s\":{:.3},\"client_us_per_msg\":{:.3},\"server_rss_kib\":{},\"reordered\":{},\"errors\":{}{}}}",
        c.label,
        c.mode,
        c.conns,
        c.depth,
        c.size,
        dt,
        n,
        n as f64 / dt,
        h.count(),
        us(0.5),
        us(0.99),
        us(0.999),
        h.max() as f64 / 1e3,
        cpu_s.map_or("null".into(), |v| format!("{v:.4}")),
        cpu_s.filter(|_| n > 0).map_or("null".into(), |v| format!("{:.3}", v * 1e6 / n as f64)),
        from_s.map_or("null".into(), |v| format!("{v:.4}")),
        cpu_s.map_or("null".into(), |v| format!("{:.3}", v / dt)),
        own_s,
        own_s * 1e6 / n.max(1) as f64,
        rss,
        sh.reordered.get(),
        sh.errors.get(),
        if sh.errors.get() > 0 {
            format!(",\"last_error\":\"{}\"", sh.last_err.borrow())
        } else {
            String::new()
        },
    );
}

/// Payload of `size` bytes that starts with `lead` digits to be patched.
fn filler(size: usize, lead: usize) -> Vec<u8> {
    (0..size.max(lead)).map(|i| if i < lead { b'0' } else { b'a' + (i % 23) as u8 }).collect()
}

const W: usize = 8;

fn template(c: &Cfg) -> Template {
    match c.mode.as_str() {
        "echo-bin" => {
            let head = b"451-[\"echo\",{\"_placeholder\":true,\"num\":0}]".to_vec();
            Template::new(&[(TEXT, head), (BIN, filler(c.size, W))], (1, 0, W))
        }
        "ack" => {
            // The id carries the slot; a leading 1 keeps its width fixed.
            let mut p = b"42100000000[\"ack\",\"".to_vec();
            p.extend(filler(c.size, 0));
            p.extend_from_slice(b"\"]");
            Template::new(&[(TEXT, p)], (0, 3, W))
        }
        _ => Template::new(&[(TEXT, echo_text("echo", c.size))], (0, 11, W)),
    }
}

/// `42["<ev>","00000000..."]`; the digits start at 4 + ev.len() + 3.
fn echo_text(ev: &str, size: usize) -> Vec<u8> {
    let mut p = format!("42[\"{ev}\",\"").into_bytes();
    p.extend(filler(size, W));
    p.extend_from_slice(b"\"]");
    p
}

fn digits(b: &[u8]) -> Option<u64> {
    let mut v = 0;
    for c in b.get(..W)? {
        v = v * 10 + c.checked_sub(b'0').filter(|d| *d < 10)? as u64;
    }
    Some(v)
}

/// The slot a reply belongs to, None when the frame is no reply.
fn reply_slot(mode: &str, op: u8, p: &[u8]) -> Option<u64> {
    match mode {
        "echo-bin" => digits(p).filter(|_| op == BIN),
        "ack" => digits(p.strip_prefix(b"431")?),
        // Tolerates a space after the comma.
        _ => {
            let r = p.strip_prefix(b"42[\"echo\",")?;
            digits(r.strip_prefix(b"\"").or_else(|| r.strip_prefix(b" \""))?)
        }
    }
}

async fn echo(sh: Rc<Sh>, mut c: Conn, tpl: Rc<Template>) -> io::Result<()> {
    let depth = sh.cfg.depth;
    let mut sent = vec![Instant::now(); depth];
    let mut out = Vec::new();
    for i in 0..depth {
        tpl.append(&mut out, i as u64);
    }
    write(&c.s, &out).await?;
    let mut inflight = depth;
    let mut order: std::collections::VecDeque<u64> = (0..depth as u64).collect();
    loop {
        c.r.fill(&c.s).await?;
        out.clear();
        let now = Instant::now();
        while let Some((op, r)) = c.r.next()? {
            let p = c.r.get(r);
            match reply_slot(&sh.cfg.mode, op, p) {
                Some(slot) => {
                    let st = sent.get_mut(slot as usize).ok_or_else(|| ws::err("bad slot echoed"))?;
                    sh.lat(now - *st);
                    sh.hit(1);
                    *st = now;
                    if order.front() == Some(&slot) {
                        order.pop_front();
                    } else {
                        sh.reordered.set(sh.reordered.get() + 1);
                        order.retain(|s| *s != slot);
                    }
                    if sh.stopped() {
                        inflight -= 1;
                    } else {
                        order.push_back(slot);
                        tpl.append(&mut out, slot);
                    }
                }
                None => {
                    control(op, p, &mut out)?;
                }
            }
        }
        if !out.is_empty() {
            write(&c.s, &out).await?;
        }
        if inflight == 0 {
            c.bye().await;
            return Ok(());
        }
    }
}

/// Emits at one node until a member on another hears it: before that, what is emitted may be lost.
async fn until_heard(from: Conn, member: &mut Conn) -> io::Result<Conn> {
    let mut probe = vec![];
    put(&mut probe, TEXT, b"42[\"bcast\",\"room1\",\"probe\"]");
    for _ in 0..100 {
        write(&from.s, &probe).await?;
        let heard =
            member.expect(|op, p| op == TEXT && p.starts_with(b"42[\"bcast\",") && p.ends_with(b"probe\"]"));
        if let Ok(heard) = timeout(Duration::from_millis(200), heard).await {
            return heard.map(|()| from);
        }
    }
    Err(ws::err("the members never heard the other node"))
}

#[allow(clippy::await_holding_refcell_ref)]
async fn answer_pings(c: Rc<(tokio::net::TcpStream, RefCell<ws::Reader>)>) -> io::Result<()> {
    let mut rd = c.1.borrow_mut();
    let mut out = vec![];
    loop {
        rd.fill(&c.0).await?;
        while let Some((op, r)) = rd.next()? {
            control(op, rd.get(r), &mut out)?;
        }
        if !out.is_empty() {
            write(&c.0, &out).await?;
            out.clear();
        }
    }
}

#[allow(clippy::await_holding_refcell_ref)]
async fn bcast(sh: &Rc<Sh>) -> io::Result<()> {
    struct Slot {
        t: Instant,
        left: usize,
    }
    let n = sh.cfg.conns;
    let mut cs = open_many(sh, n).await?;
    let mut w = vec![];
    put(&mut w, TEXT, b"420[\"join\",\"room1\"]");
    for c in &mut cs {
        write(&c.s, &w).await?;
        timeout(Duration::from_secs(10), c.expect(|op, p| op == TEXT && p.starts_with(b"430["))).await??;
    }
    let from = match &sh.cfg.from {
        None => None,
        Some(target) => Some(until_heard(Conn::open(target, 0, 4096).await?, &mut cs[0]).await?),
    };
    let mut p = format!("42[\"{}\",\"room1\",\"", sh.cfg.event).into_bytes();
    let at = p.len();
    p.extend(filler(sh.cfg.size, W));
    p.extend_from_slice(b"\"]");
    let tpl = Template::new(&[(TEXT, p)], (0, at, W));

    let now = Instant::now();
    let slots: Rc<RefCell<Vec<Slot>>> =
        Rc::new(RefCell::new((0..sh.cfg.depth).map(|_| Slot { t: now, left: n }).collect()));
    let again: Rc<RefCell<Vec<u64>>> = Rc::new(RefCell::new((0..sh.cfg.depth as u64).collect()));
    let wake = Rc::new(Notify::new());
    wake.notify_one();
    let done = Rc::new(RefCell::new(0u64)); // completed broadcasts in the window
    let cs: Vec<Rc<(tokio::net::TcpStream, RefCell<ws::Reader>)>> =
        cs.into_iter().map(|c| Rc::new((c.s, RefCell::new(c.r)))).collect();
    let mut hs = vec![];
    for c in &cs {
        let (c, sh2, slots, again, wake, done) =
            (c.clone(), sh.clone(), slots.clone(), again.clone(), wake.clone(), done.clone());
        hs.push(spawn_local(guard(sh.clone(), async move {
            let mut out = vec![];
            // Held across awaits: this task is the only user of the reader.
            let mut rd = c.1.borrow_mut();
            loop {
                rd.fill(&c.0).await?;
                let now = Instant::now();
                while let Some((op, r)) = rd.next()? {
                    let p = rd.get(r);
                    let slot = p
                        .strip_prefix(b"42[\"bcast\",")
                        .and_then(|r| digits(r.strip_prefix(b"\"").or_else(|| r.strip_prefix(b" \""))?));
                    let Some(slot) = slot else {
                        control(op, p, &mut out)?;
                        continue;
                    };
                    let mut sl = slots.borrow_mut();
                    let s = sl.get_mut(slot as usize).ok_or_else(|| ws::err("bad slot"))?;
                    s.left = s.left.checked_sub(1).ok_or_else(|| ws::err("more deliveries than members"))?;
                    sh2.hit(1);
                    if s.left == 0 {
                        sh2.lat(now - s.t);
                        if sh2.phase.get() == Phase::Run {
                            *done.borrow_mut() += 1;
                        }
                        again.borrow_mut().push(slot);
                        wake.notify_one();
                    }
                }
                if !out.is_empty() {
                    write(&c.0, &out).await?;
                    out.clear();
                }
            }
        })));
    }
    let sender = match from {
        None => cs[0].clone(),
        Some(from) => {
            let from = Rc::new((from.s, RefCell::new(from.r)));
            hs.push(spawn_local(guard(sh.clone(), answer_pings(from.clone()))));
            from
        }
    };
    hs.push(spawn_local(guard(sh.clone(), {
        let sh = sh.clone();
        async move {
            let mut out = vec![];
            loop {
                wake.notified().await;
                if sh.cfg.gap > 0.0 {
                    sleep(Duration::from_secs_f64(sh.cfg.gap)).await;
                }
                if sh.stopped() {
                    return Ok(());
                }
                let v: Vec<u64> = again.borrow_mut().drain(..).collect();
                out.clear();
                let now = Instant::now();
                for s in v {
                    slots.borrow_mut()[s as usize] = Slot { t: now, left: n };
                    tpl.append(&mut out, s);
                }
                write(&sender.0, &out).await?;
            }
        }
    })));
    if sh.cfg.ready {
        eprintln!("ready");
    }
    measure(sh, hs).await;
    Ok(())
}

async fn churn(sh: Rc<Sh>) -> io::Result<()> {
    while !sh.stopped() {
        let t = Instant::now();
        let c = timeout(Duration::from_secs(10), Conn::open(&sh.cfg.t, 0, 1024)).await??;
        sh.lat(t.elapsed());
        c.bye().await;
        sh.hit(1);
    }
    Ok(())
}

async fn polling(sh: Rc<Sh>) -> io::Result<()> {
    let t = &sh.cfg.t;
    let depth = sh.cfg.depth;
    let (mut a, mut b) = (http::Http::new(t).await?, http::Http::new(t).await?);
    a.send(t, "", None).await?;
    let open = String::from_utf8_lossy(&a.recv().await?).into_owned();
    let sid = open
        .split("\"sid\":")
        .nth(1)
        .and_then(|r| r.split('"').nth(1))
        .ok_or_else(|| ws::err(format!("no sid in {open}")))?
        .to_string();
    b.send(t, &sid, Some(b"40")).await?;
    b.recv().await?;
    loop {
        a.send(t, &sid, None).await?;
        if a.recv().await?.split(|c| *c == 0x1e).any(|p| p.starts_with(b"40")) {
            break;
        }
    }
    let text = echo_text("echo", sh.cfg.size);
    let mut sent = vec![Instant::now(); depth];
    let mut todo: Vec<u64> = (0..depth as u64).collect();
    let mut pong = false;
    loop {
        a.send(t, &sid, None).await?;
        if !todo.is_empty() || pong {
            let mut body = vec![];
            if std::mem::take(&mut pong) {
                body.push(b'3');
            }
            let now = Instant::now();
            for s in todo.drain(..) {
                if !body.is_empty() {
                    body.push(0x1e);
                }
                let at = body.len() + 11;
                body.extend_from_slice(&text);
                body[at..at + W].copy_from_slice(format!("{s:0w$}", w = W).as_bytes());
                sent[s as usize] = now;
            }
            b.send(t, &sid, Some(&body)).await?;
            b.recv().await?;
        }
        let body = a.recv().await?;
        let now = Instant::now();
        for p in body.split(|c| *c == 0x1e) {
            if p == b"2" {
                pong = true;
            } else if let Some(s) = reply_slot("echo", TEXT, p) {
                sh.lat(now - *sent.get(s as usize).ok_or_else(|| ws::err("bad slot"))?);
                sh.hit(1);
                todo.push(s);
            } else if p.starts_with(b"1") || p.starts_with(b"44") {
                return Err(ws::err(format!("server said {:?}", String::from_utf8_lossy(p))));
            }
        }
        if sh.stopped() {
            let _ = b.send(t, &sid, Some(b"1")).await;
            return Ok(());
        }
    }
}

async fn idle(sh: &Rc<Sh>) -> io::Result<()> {
    let c = &sh.cfg;
    let pid = c.pid.ok_or_else(|| ws::err("idle needs --pid"))?;
    let (r0, _) = procfs::rss_kib(pid).ok_or_else(|| ws::err("no such pid"))?;
    let (t0, c0) = (Instant::now(), procfs::cpu_secs(pid).unwrap_or(0.0));
    let mut cs = open_many(sh, c.conns).await?;
    let open_s = t0.elapsed().as_secs_f64();
    let open_cpu = procfs::cpu_secs(pid).unwrap_or(0.0) - c0;
    if c.touch {
        let tpl = Template::new(&[(TEXT, echo_text("echo", c.size))], (0, 11, W));
        for k in &mut cs {
            let mut w = vec![];
            tpl.append(&mut w, 0);
            write(&k.s, &w).await?;
            timeout(Duration::from_secs(10), k.expect(|op, p| reply_slot("echo", op, p).is_some())).await??;
        }
    }
    for k in cs {
        let sh2 = sh.clone();
        spawn_local(guard(sh2, async move {
            let mut k = k;
            k.expect(|_, _| false).await
        }));
    }
    sleep(Duration::from_secs(2)).await;
    let (r1, _) = procfs::rss_kib(pid).unwrap_or((0, 0));
    let (t1, c1) = (Instant::now(), procfs::cpu_secs(pid).unwrap_or(0.0));
    sleep(Duration::from_secs_f64(c.secs)).await;
    let cpu = procfs::cpu_secs(pid).unwrap_or(0.0) - c1;
    let (r2, hwm) = procfs::rss_kib(pid).unwrap_or((0, 0));
    sh.phase.set(Phase::Stop);
    println!(
        "{{\"label\":\"{}\",\"mode\":\"idle\",\"conns\":{},\"touch\":{},\"size\":{},\"rss0_kib\":{},\"rss_kib\":{},\"rss_end_kib\":{},\"hwm_kib\":{},\
         \"bytes_per_conn\":{:.0},\"open_s\":{:.2},\"open_cpu_us_per_conn\":{:.1},\"hold_s\":{:.1},\"hold_cpu_s\":{:.4},\"cpu_us_per_conn_per_s\":{:.3},\"errors\":{}}}",
        c.label,
        c.conns,
        c.touch,
        c.size,
        r0,
        r1,
        r2,
        hwm,
        (r1 as f64 - r0 as f64) * 1024.0 / c.conns as f64,
        open_s,
        open_cpu * 1e6 / c.conns as f64,
        t1.elapsed().as_secs_f64(),
        cpu,
        cpu * 1e6 / c.conns as f64 / t1.elapsed().as_secs_f64(),
        sh.errors.get()
    );
    Ok(())
}
