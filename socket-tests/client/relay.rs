//! Between a client and a server: a relay that can cut them off from each other.
#![allow(dead_code, unreachable_pub)]

use crate::sansocket::{ClientBuilder, TransportKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub const POLLING: &[TransportKind] = &[TransportKind::Polling];
pub const WEBSOCKET: &[TransportKind] = &[TransportKind::WebSocket];
pub const UPGRADE: &[TransportKind] = &[TransportKind::Polling, TransportKind::WebSocket];
pub const TRANSPORTS: [&[TransportKind]; 3] = [POLLING, WEBSOCKET, UPGRADE];

/// A client that dials again soon.
pub fn quick(addr: SocketAddr, transports: &[TransportKind]) -> ClientBuilder {
    crate::client(&format!("http://{addr}"))
        .transports(transports.iter().copied())
        .reconnection_delay(Duration::from_millis(10))
        .reconnection_delay_max(Duration::from_millis(50))
}

/// Forwards connections, until it is told otherwise.
#[derive(Clone)]
pub struct Relay {
    pub addr: SocketAddr,
    state: Arc<State>,
}

struct State {
    open: AtomicBool,
    hushed: AtomicBool,
    accepted: AtomicUsize,
    links: Mutex<Vec<AbortHandle>>,
}

impl Relay {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            open: AtomicBool::new(true),
            hushed: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            links: Mutex::default(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { return };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                if !shared.open.load(Ordering::Relaxed) {
                    continue;
                }
                let state = shared.clone();
                let link = tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(target).await {
                        link(near, far, &state).await;
                    }
                });
                shared.links.lock().unwrap().push(link.abort_handle());
            }
        });
        Self { addr, state }
    }

    /// Returns the number of connections that it was asked for so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// Cuts all connections. New ones pass: a client that polls does not lose its session if that happens between two
    /// polls, so tests that want it lost close the relay until it is.
    pub fn cut(&self) {
        for link in self.state.links.lock().unwrap().drain(..) {
            link.abort();
        }
    }

    /// Cuts all connections, and lets none pass until [`Relay::open`].
    pub fn close(&self) {
        self.state.open.store(false, Ordering::Relaxed);
        self.cut();
    }

    pub fn open(&self) {
        self.state.open.store(true, Ordering::Relaxed);
    }

    /// From now on the client hears nothing from the server, not even its end.
    pub fn hush(&self) {
        self.state.hushed.store(true, Ordering::Relaxed);
    }
}

/// Forwards both ways, until both have ended.
async fn link(near: TcpStream, far: TcpStream, state: &State) {
    let (mut from_client, mut to_client) = near.into_split();
    let (mut from_server, mut to_server) = far.into_split();
    let up = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let mut buffer = [0; 8192];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            if state.hushed.load(Ordering::Relaxed) {
                if read == 0 {
                    return std::future::pending().await;
                }
            } else if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                let _ = to_client.shutdown().await;
                return;
            }
        }
    };
    tokio::join!(up, down);
}
