//! A raw HTTP/1.1 keep-alive client connection for the long-polling mode.
use crate::ws::{Target, err, write};
use std::io;
use tokio::net::TcpStream;

pub struct Http {
    s: TcpStream,
    buf: Vec<u8>,
    en: usize,
}

fn find(h: &[u8], n: &[u8]) -> Option<usize> {
    h.windows(n.len()).position(|w| w == n)
}

impl Http {
    pub async fn new(t: &Target) -> io::Result<Http> {
        Ok(Http { s: t.tcp(0).await?, buf: vec![0; 16 * 1024], en: 0 })
    }
    pub async fn send(&mut self, t: &Target, sid: &str, body: Option<&[u8]>) -> io::Result<()> {
        let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
        let mut h = match body {
            None => format!("GET {}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {}:{}\r\n\r\n", t.path, t.host, t.port),
            Some(b) => format!(
                "POST {}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
                t.path, t.host, t.port, b.len()
            ),
        }
        .into_bytes();
        h.extend_from_slice(body.unwrap_or(b""));
        write(&self.s, &h).await
    }
    async fn more(&mut self) -> io::Result<()> {
        if self.en == self.buf.len() {
            let n = self.buf.len() * 2;
            self.buf.resize(n, 0);
        }
        loop {
            match self.s.try_read(&mut self.buf[self.en..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.en += n;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.s.readable().await?,
                Err(e) => return Err(e),
            }
        }
    }
    /// The body of the next response; anything but 200 is an error.
    pub async fn recv(&mut self) -> io::Result<Vec<u8>> {
        let hd = loop {
            if let Some(i) = find(&self.buf[..self.en], b"\r\n\r\n") {
                break i + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buf[..hd]).to_ascii_lowercase();
        let ok = head.starts_with("http/1.1 200");
        let field = |k: &str| head.lines().find_map(|l| l.strip_prefix(k).map(|v| v.trim().to_string()));
        let body = if let Some(n) = field("content-length:").and_then(|v| v.parse::<usize>().ok()) {
            while self.en < hd + n {
                self.more().await?;
            }
            let b = self.buf[hd..hd + n].to_vec();
            self.take(hd + n);
            b
        } else if field("transfer-encoding:").as_deref() == Some("chunked") {
            self.take(hd);
            let mut b = vec![];
            loop {
                let i = loop {
                    if let Some(i) = find(&self.buf[..self.en], b"\r\n") {
                        break i;
                    }
                    self.more().await?;
                };
                let n = std::str::from_utf8(&self.buf[..i])
                    .ok()
                    .and_then(|v| usize::from_str_radix(v.trim(), 16).ok());
                let n = n.ok_or_else(|| err("bad chunk"))?;
                while self.en < i + 2 + n + 2 {
                    self.more().await?;
                }
                b.extend_from_slice(&self.buf[i + 2..i + 2 + n]);
                self.take(i + 2 + n + 2);
                if n == 0 {
                    break b;
                }
            }
        } else {
            return Err(err(format!("response without a length: {head}")));
        };
        if ok {
            Ok(body)
        } else {
            Err(err(format!(
                "HTTP error: {} {}",
                head.lines().next().unwrap_or(""),
                String::from_utf8_lossy(&body)
            )))
        }
    }
    fn take(&mut self, n: usize) {
        self.buf.copy_within(n..self.en, 0);
        self.en -= n;
    }
}
