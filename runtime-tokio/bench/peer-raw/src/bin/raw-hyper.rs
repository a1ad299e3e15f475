//! The floor of long-polling: hyper, the two requests of a session that meet, and nothing else.
//!
//! A GET waits until there is something for its client, a POST puts there what it carries. Only the path to the session's id,
//! the separator of packets and their first two bytes are looked at; nothing is checked, limited, or timed.
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, body::Incoming, header::CONTENT_TYPE, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use peer_raw::{CONNECTED, OPEN, port};
use std::{
    collections::HashMap,
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};
use tokio::net::TcpListener;

const SEPARATOR: u8 = 0x1e;
/// As much as the server under test takes: hyper reads into a buffer of this size.
const MAX_HEAD: usize = 16 * 1024;

/// The packets that wait for a client, and the poll that waits for them.
#[derive(Default)]
struct Session(Mutex<(Vec<u8>, Option<Waker>)>);

impl Session {
    fn put(&self, packet: &[u8]) {
        let (out, _) = &mut *self.0.lock().unwrap();
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(packet);
    }

    fn wake(&self) {
        let waker = self.0.lock().unwrap().1.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn packets(&self) -> Vec<u8> {
        poll_fn(|context| {
            let (out, waker) = &mut *self.0.lock().unwrap();
            if out.is_empty() {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(out))
        })
        .await
    }
}

#[derive(Default)]
struct Sessions {
    by_id: Mutex<HashMap<String, Arc<Session>>>,
}

impl Sessions {
    /// Opens a session. Returns its open packet.
    fn open(&self) -> String {
        let mut by_id = self.by_id.lock().unwrap();
        let id = format!("{:020}", by_id.len());
        by_id.insert(id.clone(), Arc::default());
        OPEN.replace("AAAAAAAAAAAAAAAAAAAA", &id)
    }

    fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.by_id.lock().unwrap().get(id).cloned()
    }
}

/// The packets that those of a POST ask for go to the poll of its session, in one answer.
fn take_post(session: &Session, body: &[u8]) {
    // A real server must check UTF-8; keep that cost in the floor.
    if std::str::from_utf8(body).is_err() {
        return;
    }
    for packet in body.split(|byte| *byte == SEPARATOR) {
        match packet {
            [b'4', b'0', ..] => session.put(CONNECTED.as_bytes()),
            [b'4', b'2', ..] => session.put(packet),
            _ => {}
        }
    }
    session.wake();
}

async fn answer(request: Request<Incoming>, sessions: Arc<Sessions>) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request.uri().query().and_then(|query| query.split_once("&sid=")).map(|(_, id)| id);
    let body = match id.and_then(|id| sessions.get(id)) {
        None => sessions.open().into(),
        Some(session) if request.method() == Method::POST => {
            if let Ok(body) = request.into_body().collect().await {
                take_post(&session, &body.to_bytes());
            }
            Bytes::from_static(b"ok")
        }
        Some(session) => session.packets().await.into(),
    };
    let mut response = Response::new(Full::new(body));
    let text = hyper::header::HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}

#[tokio::main]
async fn main() {
    let listener = TcpListener::bind(("127.0.0.1", port())).await.unwrap();
    let sessions = Arc::<Sessions>::default();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).ok();
        let sessions = sessions.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, sessions.clone()));
            let connection = http1::Builder::new().max_buf_size(MAX_HEAD).serve_connection(TokioIo::new(stream), service);
            connection.await.ok();
        });
    }
}
