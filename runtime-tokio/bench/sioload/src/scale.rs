//! The modes of `scale`: echoes at a fixed rate, a storm of connections, sockets in very many rooms.
use crate::{
    Phase, Sh, W, digits, echo_text, guard, measure, open_many, procfs, reply_slot,
    ws::{self, Conn, TEXT, Template, control, put, write},
};
use std::{
    cell::Cell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    task::spawn_local,
    time::{sleep, sleep_until, timeout},
};

/// The longest that anything but a storm may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Echoes on each connection at a fixed rate, whether the server answers or not: the latency counts from the time at
/// which the echo was due, so a server that stops for a while delays all that were due meanwhile.
pub async fn paced(sh: &Rc<Sh>) -> io::Result<()> {
    let cs = open_many(sh, sh.cfg.conns).await?;
    let every = Duration::from_secs_f64(1.0 / sh.cfg.rate);
    let tpl = Rc::new(Template::new(&[(TEXT, echo_text("echo", sh.cfg.size))], (0, 11, W)));
    let begin = Instant::now();
    let count = cs.len() as u32;
    let hs = (0..)
        .zip(cs)
        .map(|(i, c)| {
            let due = begin + every * i / count;
            spawn_local(guard(sh.clone(), paced_echo(sh.clone(), c, tpl.clone(), due, every)))
        })
        .collect();
    measure(sh, hs).await;
    Ok(())
}

async fn paced_echo(
    sh: Rc<Sh>,
    mut c: Conn,
    tpl: Rc<Template>,
    first: Instant,
    every: Duration,
) -> io::Result<()> {
    // The number of an echo tells when it was due.
    let due = |n: u64| first + every * n as u32;
    let (mut sent, mut out) = (0, Vec::new());
    while !sh.stopped() {
        out.clear();
        tokio::select! {
            filled = c.r.fill(&c.s) => {
                filled?;
                let now = Instant::now();
                while let Some((op, r)) = c.r.next()? {
                    let p = c.r.get(r);
                    match reply_slot("echo", op, p) {
                        Some(n) if n < sent => {
                            sh.lat(now.saturating_duration_since(due(n)));
                            sh.hit(1);
                        }
                        Some(_) => return Err(ws::err("an echo that was not sent")),
                        None => drop(control(op, p, &mut out)?),
                    }
                }
            }
            () = sleep_until(due(sent).into()) => {
                while due(sent) <= Instant::now() {
                    tpl.append(&mut out, sent);
                    sent += 1;
                }
            }
        }
        if !out.is_empty() {
            write(&c.s, &out).await?;
        }
    }
    c.bye().await;
    Ok(())
}

/// All connections at once: until the last has joined, or was refused.
pub async fn storm(sh: &Rc<Sh>) -> io::Result<()> {
    let c = &sh.cfg;
    let pid = c.pid.ok_or_else(|| ws::err("storm needs --pid"))?;
    let (r0, _) = procfs::rss_kib(pid).ok_or_else(|| ws::err("no such pid"))?;
    let (t0, c0) = (Instant::now(), procfs::cpu_secs(pid).unwrap_or(0.0));
    sh.phase.set(Phase::Run);
    let (refused, failed) = (Rc::new(Cell::new(0u64)), Rc::new(Cell::new(0u64)));
    let hs: Vec<_> = (0..c.conns)
        .map(|i| {
            let (sh, refused, failed) = (sh.clone(), refused.clone(), failed.clone());
            spawn_local(async move {
                let opened =
                    timeout(Duration::from_secs_f64(sh.cfg.secs), Conn::open(&sh.cfg.t, i, 256)).await;
                match opened {
                    Ok(Ok(conn)) => {
                        sh.lat(t0.elapsed());
                        sh.hit(1);
                        Some(conn)
                    }
                    // It was answered, but not let in.
                    Ok(Err(e)) if e.kind() == io::ErrorKind::Other => {
                        refused.set(refused.get() + 1);
                        None
                    }
                    Ok(Err(e)) => {
                        failed.set(failed.get() + 1);
                        sh.fail(e);
                        None
                    }
                    Err(_) => {
                        failed.set(failed.get() + 1);
                        sh.fail(ws::err("not joined in time"));
                        None
                    }
                }
            })
        })
        .collect();
    let mut open = vec![];
    for h in hs {
        open.extend(h.await.map_err(io::Error::other)?);
    }
    let took = t0.elapsed().as_secs_f64();
    let cpu = procfs::cpu_secs(pid).unwrap_or(0.0) - c0;
    sleep(Duration::from_secs(2)).await;
    let (r1, hwm) = procfs::rss_kib(pid).unwrap_or((0, 0));
    let h = sh.hist.borrow();
    println!(
        "{{\"label\":\"{}\",\"mode\":\"storm\",\"conns\":{},\"joined\":{},\"refused\":{},\"failed\":{},\"all_s\":{:.3},\
         \"p50_ms\":{:.1},\"p99_ms\":{:.1},\"cpu_us_per_conn\":{:.1},\"rss0_kib\":{},\"rss_kib\":{},\"hwm_kib\":{},\"errors\":{}}}",
        c.label,
        c.conns,
        open.len(),
        refused.get(),
        failed.get(),
        took,
        h.q(0.5) as f64 / 1e6,
        h.q(0.99) as f64 / 1e6,
        cpu * 1e6 / c.conns as f64,
        r0,
        r1,
        hwm,
        sh.errors.get(),
    );
    Ok(())
}

/// Sends to each connection in turn, 64 ahead, and awaits the acknowledgement of each. `text` makes the event of a
/// connection and a round.
async fn acked(cs: &mut [Conn], rounds: usize, text: impl Fn(usize, usize) -> String) -> io::Result<()> {
    let mut w = vec![];
    for first in (0..rounds).step_by(64) {
        let last = rounds.min(first + 64);
        for (i, c) in cs.iter_mut().enumerate() {
            w.clear();
            for round in first..last {
                put(&mut w, TEXT, text(i, round).as_bytes());
            }
            write(&c.s, &w).await?;
        }
        for c in cs.iter_mut() {
            for _ in first..last {
                let answered = c.expect(|op, p| op == TEXT && p.starts_with(b"43"));
                timeout(PATIENCE, answered).await??;
            }
        }
    }
    Ok(())
}

/// `--depth` rooms for each of `--conns` sockets: what joining, a broadcast to one of the rooms, leaving, and the
/// end of such a socket cost the server.
pub async fn rooms(sh: &Rc<Sh>) -> io::Result<()> {
    let c = &sh.cfg;
    let pid = c.pid.ok_or_else(|| ws::err("rooms needs --pid"))?;
    let cpu = || procfs::cpu_secs(pid).unwrap_or(0.0);
    let mut cs = open_many(sh, c.conns).await?;
    let memberships = (c.conns * c.depth) as f64;
    // An acknowledged event that does nothing costs this much of it.
    let c0 = cpu();
    acked(&mut cs, c.depth, |_, _| "420[\"ack\",\"room00000\"]".into()).await?;
    let (r0, _) = procfs::rss_kib(pid).unwrap_or((0, 0));
    let c1 = cpu();
    acked(&mut cs, c.depth, |_, room| format!("420[\"join\",\"room{room:05}\"]")).await?;
    let c2 = cpu();
    let (r1, _) = procfs::rss_kib(pid).unwrap_or((0, 0));
    let bcasts = 200.min(c.depth);
    for room in 0..bcasts {
        let mut w = vec![];
        put(&mut w, TEXT, format!("42[\"bcast\",\"room{room:05}\",\"00000000\"]").as_bytes());
        write(&cs[0].s, &w).await?;
        for k in &mut cs {
            let heard =
                k.expect(|op, p| op == TEXT && p.starts_with(b"42[\"bcast\",") && digits(&p[12..]).is_some());
            timeout(PATIENCE, heard).await??;
        }
    }
    let c3 = cpu();
    acked(&mut cs, c.depth / 2, |_, room| format!("420[\"leave\",\"room{room:05}\"]")).await?;
    let c4 = cpu();
    let count = cs.len() as f64;
    let t = Instant::now();
    all_bye(cs).await;
    sleep(Duration::from_millis(300)).await;
    let c5 = cpu();
    let us = |secs: f64, n: f64| secs * 1e6 / n;
    println!(
        "{{\"label\":\"{}\",\"mode\":\"rooms\",\"conns\":{},\"rooms\":{},\"ack_us\":{:.3},\"join_us\":{:.3},\"bcast_us\":{:.3},\
         \"leave_us\":{:.3},\"end_us\":{:.1},\"end_s\":{:.2},\"bytes_per_membership\":{:.1},\"errors\":{}}}",
        c.label,
        c.conns,
        c.depth,
        us(c1 - c0, memberships),
        us(c2 - c1, memberships),
        us(c3 - c2, bcasts as f64 * count),
        us(c4 - c3, (c.depth / 2) as f64 * count),
        us(c5 - c4, count),
        t.elapsed().as_secs_f64(),
        (r1 as f64 - r0 as f64) * 1024.0 / memberships,
        sh.errors.get(),
    );
    Ok(())
}

/// All connections say goodbye at once.
async fn all_bye(cs: Vec<Conn>) {
    let hs: Vec<_> = cs.into_iter().map(|c| spawn_local(c.bye())).collect();
    for h in hs {
        let _ = h.await;
    }
}
