//! The few packets that the floor servers know, shared by both of them.

/// Engine.IO open packet; every connection gets the same session id.
pub const OPEN: &str = "0{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}";
/// Answer to a namespace connect.
pub const CONNECTED: &str = "40{\"sid\":\"BBBBBBBBBBBBBBBBBBBB\"}";

/// `PORT` from the environment, or 3000.
pub fn port() -> u16 {
    std::env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(3000)
}

/// The command in a text frame.
pub enum Cmd<'a> {
    Connect,
    Close,
    /// Send the frame back as it is.
    Echo,
    /// Acknowledgement id and the raw argument list (without brackets).
    Ack(&'a [u8], &'a [u8]),
    Join(&'a [u8], &'a str),
    /// Room and the raw remaining arguments, closing bracket included.
    Bcast(&'a str, &'a [u8]),
    Other,
}

/// Tells the contract's packets apart by their first bytes; nothing is parsed or checked beyond that.
pub fn classify(t: &[u8]) -> Cmd<'_> {
    match t {
        [b'4', b'0', ..] => Cmd::Connect,
        [b'4', b'1', ..] | [b'1'] => Cmd::Close,
        [b'4', b'5', ..] => Cmd::Echo, // header of a binary event; the attachment follows
        [b'4', b'2', rest @ ..] => {
            if rest.starts_with(b"[\"echo\"") {
                return Cmd::Echo;
            }
            let n = rest.iter().take_while(|c| c.is_ascii_digit()).count();
            let (id, rest) = rest.split_at(n);
            if let Some(a) = rest.strip_prefix(b"[\"ack\",") {
                Cmd::Ack(id, &a[..a.len() - 1])
            } else if let Some(a) = rest.strip_prefix(b"[\"join\",\"") {
                Cmd::Join(id, std::str::from_utf8(&a[..a.len() - 2]).unwrap_or(""))
            } else if let Some(a) = rest.strip_prefix(b"[\"bcast\",\"") {
                let q = memchr::memchr(b'"', a).unwrap_or(0);
                Cmd::Bcast(std::str::from_utf8(&a[..q]).unwrap_or(""), a.get(q + 2..).unwrap_or(b"]"))
            } else {
                Cmd::Other
            }
        }
        _ => Cmd::Other,
    }
}

/// The acknowledgement `id` with the raw argument list `args`.
pub fn ack_frame(id: &[u8], args: &[u8]) -> String {
    let mut v = Vec::with_capacity(args.len() + id.len() + 4);
    v.extend_from_slice(b"43");
    v.extend_from_slice(id);
    v.push(b'[');
    v.extend_from_slice(args);
    v.push(b']');
    String::from_utf8(v).unwrap_or_default()
}

/// The broadcast event with the raw remaining arguments of the request.
pub fn bcast_frame(rest: &[u8]) -> String {
    let mut v = Vec::with_capacity(rest.len() + 16);
    v.extend_from_slice(b"42[\"bcast\",");
    v.extend_from_slice(rest);
    String::from_utf8(v).unwrap_or_default()
}

/// RFC 6455 handshake, server side: reads the request head and answers 101.
pub async fn accept(s: &mut tokio::net::TcpStream) -> Option<()> {
    use base64::Engine;
    use sha1::Digest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut b = Vec::with_capacity(1024);
    while !b.ends_with(b"\r\n\r\n") {
        if b.len() > 16384 || s.read_buf(&mut b).await.ok()? == 0 {
            return None;
        }
    }
    let head = std::str::from_utf8(&b).ok()?;
    let key = head.lines().find_map(|l| {
        let (k, v) = l.split_once(':')?;
        k.eq_ignore_ascii_case("sec-websocket-key").then(|| v.trim())
    })?;
    let mut h = sha1::Sha1::new();
    h.update(key.as_bytes());
    h.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let acc = base64::engine::general_purpose::STANDARD.encode(h.finalize());
    let resp = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {acc}\r\n\r\n"
    );
    s.write_all(resp.as_bytes()).await.ok()
}
