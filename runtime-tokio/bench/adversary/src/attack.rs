//! The attacks. Each is some connections that go on until they are stopped; an error is their server's defence, or their
//! end, and is counted and no more.
use crate::ws::{BIN, Conn, TEXT, Target, err, put, write};
use std::{cell::Cell, future::Future, io, pin::Pin, rc::Rc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

/// The state that all attackers share.
pub struct Field {
    pub target: Target,
    pub attempts: Cell<u64>,
    /// Attempts that the server ended or refused.
    pub ended: Cell<u64>,
}

type Attack = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// (name, connections, what one of them does once).
pub const ATTACKS: [(&str, usize, fn(Rc<Field>, u64) -> Attack); 13] = [
    ("slow heads", 200, |f, _| Box::pin(slow_head(f))),
    ("slow bodies", 200, |f, _| Box::pin(slow_body(f))),
    ("handshakes never finished", 200, |f, n| Box::pin(unfinished(f, n))),
    ("connections never joined", 300, |f, _| Box::pin(unjoined(f))),
    ("readers that stall", 50, |f, _| Box::pin(stalled(f))),
    ("flood of connects", 20, |f, _| Box::pin(connects(f))),
    ("flood of namespaces", 20, |f, n| Box::pin(namespaces(f, n))),
    ("flood of rooms", 20, |f, _| Box::pin(asks(f, r#"421["rooms",1500]"#))),
    ("acks never answered", 20, |f, _| Box::pin(unanswered(f))),
    ("one-byte fragments", 50, |f, _| Box::pin(fragments(f, 2000))),
    ("endless fragments", 20, |f, _| Box::pin(fragments(f, 100_000))),
    ("polls that overlap", 20, |f, _| Box::pin(overlap(f))),
    ("garbage", 100, |f, n| Box::pin(garbage(f, n))),
];

async fn trickle(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[byte]).await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn slow_head(field: Rc<Field>) -> io::Result<()> {
    let mut stream = field.target.tcp(0).await?;
    trickle(
        &mut stream,
        b"GET /socket.io/?EIO=4&transport=polling&".iter().copied().chain(std::iter::repeat(b'x')),
    )
    .await
}

/// Opens a polling session, joined to `/`.
async fn poller(field: &Field) -> io::Result<String> {
    let open = crate::request(&field.target, "GET", "?EIO=4&transport=polling", "").await?;
    let sid = open.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let query = format!("?EIO=4&transport=polling&sid={}", sid.ok_or_else(|| err("no session"))?);
    crate::request(&field.target, "POST", &query, "40").await?;
    Ok(query)
}

async fn slow_body(field: Rc<Field>) -> io::Result<()> {
    let query = poller(&field).await?;
    let mut stream = field.target.tcp(0).await?;
    let head =
        format!("POST {}{query} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n42[", field.target.path);
    stream.write_all(head.as_bytes()).await?;
    trickle(&mut stream, std::iter::repeat(b'1')).await
}

async fn unfinished(field: Rc<Field>, number: u64) -> io::Result<()> {
    let mut stream = field.target.tcp(0).await?;
    if number % 2 == 1 {
        let query = poller(&field).await?.replace("polling", "websocket");
        let head = format!(
            "GET {}{query} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            field.target.path
        );
        stream.write_all(head.as_bytes()).await?;
    }
    until_closed(&stream).await
}

async fn until_closed(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

async fn unjoined(field: Rc<Field>) -> io::Result<()> {
    let mut stream = field.target.tcp(0).await?;
    let head = format!(
        "GET {}?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        field.target.path
    );
    stream.write_all(head.as_bytes()).await?;
    until_closed(&stream).await
}

async fn send(conn: &Conn, packet: &str) -> io::Result<()> {
    let mut out = vec![];
    put(&mut out, TEXT, packet.as_bytes());
    write(&conn.s, &out).await
}

async fn stalled(field: Rc<Field>) -> io::Result<()> {
    let conn = Conn::open(&field.target, 0, 4096).await?;
    send(&conn, r#"42["stall"]"#).await?;
    // It never reads again, and asks for more and more.
    for _ in 0..1000 {
        send(&conn, r#"42["blast",1]"#).await?;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn connects(field: Rc<Field>) -> io::Result<()> {
    let conn = Conn::open(&field.target, 0, 512).await?;
    drop(conn);
    sleep(Duration::from_millis(20)).await;
    Ok(())
}

async fn namespaces(field: Rc<Field>, number: u64) -> io::Result<()> {
    let mut conn = Conn::open(&field.target, 0, 4096).await?;
    for name in 0..110 {
        send(&conn, &format!("40/n-{number}-{name}{},", "x".repeat(400))).await?;
    }
    sleep(Duration::from_millis(100)).await;
    conn.expect(|_, _| false).await
}

async fn asks(field: Rc<Field>, packet: &str) -> io::Result<()> {
    let mut conn = Conn::open(&field.target, 0, 1 << 16).await?;
    send(&conn, packet).await?;
    conn.expect(|_, payload| payload.starts_with(b"431")).await?;
    sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// Has the server ask, again and again, and answers nothing.
async fn unanswered(field: Rc<Field>) -> io::Result<()> {
    let mut conn = Conn::open(&field.target, 0, 1 << 16).await?;
    for _ in 0..1000 {
        send(&conn, r#"421["ask",500]"#).await?;
        conn.expect(|_, payload| payload.starts_with(b"431")).await?;
        sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

async fn fragments(field: Rc<Field>, count: usize) -> io::Result<()> {
    // Unpaced, it would show no more than who has the processor: the generator shares it with the server.
    sleep(Duration::from_millis(200)).await;
    let mut conn = Conn::open(&field.target, 0, 4096).await?;
    let mut message = br#"421["echo",1"#.to_vec();
    message.extend(std::iter::repeat_n(b' ', count));
    message.push(b']');
    let mut out = vec![];
    for (at, byte) in message.iter().enumerate() {
        let last = at + 1 == message.len();
        out.extend_from_slice(&[u8::from(last) << 7 | u8::from(at == 0), 0x81, 0, 0, 0, 0, *byte]);
    }
    write(&conn.s, &out).await?;
    conn.expect(|_, payload| payload.starts_with(b"431")).await?;
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

async fn overlap(field: Rc<Field>) -> io::Result<()> {
    let query = poller(&field).await?;
    let polls = [0; 4].map(|_| crate::request(&field.target, "GET", &query, ""));
    for poll in polls {
        tokio::time::timeout(Duration::from_millis(50), poll).await.ok().transpose()?;
    }
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

/// Noise, on every layer: bytes instead of HTTP, instead of frames, instead of packets, instead of a payload.
async fn garbage(field: Rc<Field>, number: u64) -> io::Result<()> {
    let mut seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut noise = |most: u64| -> Vec<u8> { (0..random() % most + 1).map(|_| random() as u8).collect() };
    sleep(Duration::from_millis(50)).await;
    match number % 5 {
        0 => {
            let mut stream = field.target.tcp(0).await?;
            stream.write_all(&noise(2000)).await?;
            until_closed(&stream).await
        }
        1 => {
            let conn = Conn::open(&field.target, 0, 4096).await?;
            write(&conn.s, &noise(5000)).await?;
            tokio::time::timeout(Duration::from_secs(1), until_closed(&conn.s)).await?
        }
        2 | 3 => {
            let mut conn = Conn::open(&field.target, 0, 4096).await?;
            // Half good, so that it gets somewhere: a packet of a known type with noise behind it, or a binary message.
            let tails = [
                "42",
                "420[",
                "451-[\"e\",{\"_placeholder\":true,\"num\":",
                "40/n-",
                "43",
                "41",
                "4",
                "2probe",
                "",
            ];
            let kind = noise(255).len();
            let mut packet = tails[kind % tails.len()].as_bytes().to_vec();
            packet.extend(noise(60).into_iter().map(|byte| byte & 0x7f));
            let mut out = vec![];
            put(&mut out, if kind % 7 == 0 { BIN } else { TEXT }, &packet);
            write(&conn.s, &out).await?;
            tokio::time::timeout(Duration::from_secs(1), conn.expect(|_, _| false)).await?
        }
        _ => {
            let query = poller(&field).await?;
            let body = String::from_utf8_lossy(&noise(2000)).into_owned();
            crate::request(&field.target, "POST", &query, &body).await.map(drop)
        }
    }
}
