//! A WebSocket by bytes, for clients that a proper one would not be.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest wait for the server's answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}

/// Sends bytes, and returns what comes until the connection ends, or until the server has nothing more to say for that
/// long. How it ends is the server's choice.
pub(crate) async fn exchange(port: u16, bytes: &[u8], wait: Duration) -> io::Result<Vec<u8>> {
    let mut stream = connect(port).await?;
    let mut answer = Vec::new();
    if stream.write_all(bytes).await.is_ok() {
        let _ = timeout(wait, stream.read_to_end(&mut answer)).await;
    }
    Ok(answer)
}

/// A request of polling.
pub(crate) fn request(method: &str, query: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A WebSocket of one session.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Opens a session and joins the main namespace.
    pub(crate) async fn join(port: u16) -> io::Result<Self> {
        let mut raw = Self::open(port).await?;
        raw.text().await?;
        raw.send("40").await?;
        // Its answer: a ping may come before.
        while !raw.text().await?.starts_with("40") {}
        Ok(raw)
    }

    /// Opens a WebSocket, whose first message is the session's.
    pub(crate) async fn open(port: u16) -> io::Result<Self> {
        let mut stream = connect(port).await?;
        let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: soak\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, stream.read_u8()).await??);
        }
        if !answer.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        Ok(Self(stream))
    }

    /// Sends a message of less than 64 KiB.
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        let mut frame = vec![0x81];
        match u8::try_from(text.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                let length = u16::try_from(text.len()).map_err(io::Error::other)?;
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        // A mask of zeros changes nothing.
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.bytes(&frame).await
    }

    /// Sends bytes that may be no frame.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// The next message.
    pub(crate) async fn text(&mut self) -> io::Result<String> {
        timeout(PATIENCE, self.frame()).await?
    }

    async fn frame(&mut self) -> io::Result<String> {
        loop {
            let (kind, length) = (self.0.read_u8().await?, self.0.read_u8().await?);
            let length = match length {
                126 => u64::from(self.0.read_u16().await?),
                127 => self.0.read_u64().await?,
                short => u64::from(short),
            };
            let mut payload = Vec::new();
            (&mut self.0).take(length).read_to_end(&mut payload).await?;
            match kind & 0xf {
                1 => return String::from_utf8(payload).map_err(io::Error::other),
                8 => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    /// Answers pings until the connection ends, or the future is dropped.
    pub(crate) async fn stay(mut self) -> io::Result<()> {
        loop {
            // However long that takes.
            if self.frame().await? == "2" {
                self.send("3").await?;
            }
        }
    }

    /// Reads nothing, and says nothing.
    pub(crate) async fn sleep(self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Ends the connection without a word, by a reset.
    pub(crate) fn vanish(self) {
        let _ = self.0.set_zero_linger();
    }
}
