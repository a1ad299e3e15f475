//! The floor: hand-written WebSocket framing and nothing else.
//!
//! One task per connection. One read fills a buffer that the worker thread lends, every complete frame in it is
//! unmasked in place and its answer appended to one output buffer, and each batch ends in one write. A broadcast
//! is framed once and shared; every member's task writes its own queue.
use bytes::Bytes;
use peer_raw::*;
use std::{
    collections::{HashMap, VecDeque},
    io::{self, IoSlice},
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

struct Peer {
    s: TcpStream,
    q: Mutex<VecDeque<Bytes>>,
    wake: Notify,
}
type Rooms = Arc<Mutex<HashMap<String, Vec<std::sync::Weak<Peer>>>>>;

#[tokio::main]
async fn main() {
    let l = TcpListener::bind(("127.0.0.1", port())).await.unwrap();
    let rooms = Rooms::default();
    loop {
        let (mut s, _) = l.accept().await.unwrap();
        s.set_nodelay(true).ok();
        let rooms = rooms.clone();
        tokio::spawn(async move {
            if accept(&mut s).await.is_some() {
                let p = Arc::new(Peer { s, q: Default::default(), wake: Notify::new() });
                conn(p, rooms).await;
            }
        });
    }
}

fn put_frame(out: &mut Vec<u8>, op: u8, parts: &[&[u8]]) {
    let n: usize = parts.iter().map(|p| p.len()).sum();
    out.push(0x80 | op);
    if n < 126 {
        out.push(n as u8);
    } else if n < 65536 {
        out.push(126);
        out.extend_from_slice(&(n as u16).to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(n as u64).to_be_bytes());
    }
    for p in parts {
        out.extend_from_slice(p);
    }
}

fn unmask(b: &mut [u8], k: [u8; 4]) {
    let k8 = u64::from_ne_bytes([k[0], k[1], k[2], k[3], k[0], k[1], k[2], k[3]]);
    let mut c = b.chunks_exact_mut(8);
    for w in &mut c {
        let v = u64::from_ne_bytes((&*w).try_into().unwrap()) ^ k8;
        w.copy_from_slice(&v.to_ne_bytes());
    }
    for (i, x) in c.into_remainder().iter_mut().enumerate() {
        *x ^= k[i & 3];
    }
}

/// Header of the frame at the front of `b`: opcode, header length, payload length, mask key.
fn head(b: &[u8]) -> Option<(u8, usize, usize, [u8; 4])> {
    let (&a, &l) = (b.first()?, b.get(1)?);
    let (n, h) = match l & 0x7f {
        126 => (u16::from_be_bytes(b.get(2..4)?.try_into().ok()?) as usize, 4),
        127 => (u64::from_be_bytes(b.get(2..10)?.try_into().ok()?) as usize, 10),
        n => (n as usize, 2),
    };
    let k: [u8; 4] = b.get(h..h + 4)?.try_into().ok()?;
    Some((a & 15, h + 4, n, k))
}

async fn write_all(s: &TcpStream, mut b: &[u8]) -> io::Result<()> {
    while !b.is_empty() {
        match s.try_write(b) {
            Ok(n) => b = &b[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => s.writable().await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Write out the queue with vectored writes; frames keep their order.
async fn drain(p: &Peer) -> io::Result<()> {
    loop {
        let r = {
            let mut q = p.q.lock().unwrap();
            if q.is_empty() {
                return Ok(());
            }
            let v: Vec<IoSlice<'_>> = q.iter().take(64).map(|b| IoSlice::new(b)).collect();
            let r = p.s.try_write_vectored(&v);
            drop(v);
            if let Ok(mut n) = r {
                while n > 0 {
                    let f = q.front_mut().unwrap();
                    if n >= f.len() {
                        n -= f.len();
                        q.pop_front();
                    } else {
                        *f = f.slice(n..);
                        n = 0;
                    }
                }
            }
            r
        };
        match r {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => p.s.writable().await?,
            Err(e) => return Err(e),
        }
    }
}

/// The reaction that a batch of input asks for, beyond the bytes in `out`.
#[derive(PartialEq)]
enum Then {
    Go,
    Close,
}

/// Handles every complete frame in `b`; returns how many bytes were used. Sync, so a scratch buffer can be lent.
fn process(p: &Arc<Peer>, rooms: &Rooms, b: &mut [u8], out: &mut Vec<u8>) -> Option<(usize, Then)> {
    let mut st = 0;
    while let Some((op, h, n, k)) = head(&b[st..]) {
        if b.len() - st < h + n {
            break;
        }
        let pl = &mut b[st + h..st + h + n];
        unmask(pl, k);
        st += h + n;
        match op {
            1 => {
                // A real server must check UTF-8; keep that cost in the ceiling.
                std::str::from_utf8(pl).ok()?;
                match classify(pl) {
                    Cmd::Echo => put_frame(out, 1, &[pl]),
                    Cmd::Connect => put_frame(out, 1, &[CONNECTED.as_bytes()]),
                    Cmd::Ack(id, a) => put_frame(out, 1, &[b"43", id, b"[", a, b"]"]),
                    Cmd::Join(id, room) => {
                        rooms.lock().unwrap().entry(room.to_string()).or_default().push(Arc::downgrade(p));
                        put_frame(out, 1, &[b"43", id, b"[]"]);
                    }
                    Cmd::Bcast(room, rest) => bcast(rooms, room, rest),
                    Cmd::Close => return Some((st, Then::Close)),
                    Cmd::Other => {}
                }
            }
            2 => put_frame(out, 2, &[pl]),
            8 => {
                put_frame(out, 8, &[pl]);
                return Some((st, Then::Close));
            }
            9 => put_frame(out, 10, &[pl]),
            _ => {}
        }
    }
    Some((st, Then::Go))
}

fn bcast(rooms: &Rooms, room: &str, rest: &[u8]) {
    let mut f = Vec::new();
    put_frame(&mut f, 1, &[b"42[\"bcast\",", rest]);
    let f = Bytes::from(f);
    if let Some(v) = rooms.lock().unwrap().get(room) {
        for m in v.iter().filter_map(|w| w.upgrade()) {
            m.q.lock().unwrap().push_back(f.clone());
            m.wake.notify_one();
        }
    }
}

thread_local! {
    /// One read buffer per worker thread: a connection owns buffer memory only while a frame is incomplete.
    static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; 64 * 1024]);
}

async fn conn(p: Arc<Peer>, rooms: Rooms) -> Option<()> {
    let mut out = Vec::new();
    put_frame(&mut out, 1, &[OPEN.as_bytes()]);
    // An incomplete frame carried over to the next read.
    let mut own = Vec::new();
    loop {
        // Frames already queued by others go first, then this batch's answers.
        if !out.is_empty() {
            if !p.q.lock().unwrap().is_empty() {
                drain(&p).await.ok()?;
            }
            write_all(&p.s, &out).await.ok()?;
            out = Vec::new(); // nothing is kept while idle
        }
        let r = SCRATCH.with_borrow_mut(|b| {
            let r = p.s.try_read(b);
            r.map(|n| {
                if n == 0 {
                    return None;
                }
                if own.is_empty() {
                    let (used, t) = process(&p, &rooms, &mut b[..n], &mut out)?;
                    own.extend_from_slice(&b[used..n]);
                    Some(t)
                } else {
                    own.extend_from_slice(&b[..n]);
                    let (used, t) = process(&p, &rooms, &mut own, &mut out)?;
                    if used == own.len() {
                        own = Vec::new();
                    } else {
                        own.drain(..used);
                    }
                    Some(t)
                }
            })
        });
        match r {
            Ok(Some(Then::Go)) => {}
            Ok(Some(Then::Close)) => {
                write_all(&p.s, &out).await.ok();
                return None;
            }
            Ok(None) => return None,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                r = p.s.readable() => r.ok()?,
                _ = p.wake.notified() => drain(&p).await.ok()?,
            },
            Err(_) => return None,
        }
    }
}
