//! The task of a client: it dials, reads, runs the handlers, and writes once for all that they sent.
//!
//! One task per client, from the first `connect` to the end. Requests, handshakes, the WebSocket, the one timer and
//! the futures of the handlers all live in it.

mod dispatch;
pub(crate) mod handle;
pub(crate) mod shared;
pub(crate) mod websocket;

use crate::base::error::HandlerError;
use crate::base::runtime::{BoxFuture, Timer};
use crate::base::trace::debug;
use crate::client::error::ConnectError;
use crate::client::handlers::{Job, Namespace};
use crate::client::net::cookies;
use crate::client::net::cookies::Cookies;
use crate::client::net::dial::Target;
use crate::client::net::http;
use crate::client::net::http::own_header;
use crate::client::net::http::{Answered, Failure, Handshake, Kept, Route};
use crate::client::options::ClientBuildError;
use crate::client::task::handle::ClientHandle;
use crate::client::task::handle::Rest;
use crate::client::task::shared::{Attempt, Shared};
use crate::client::task::websocket::{Read, State, WebSocket};
use crate::websocket::Incoming;
use crate::websocket::buffers::with_buffers;
use ::http::HeaderMap;
use sansocket_protocol::client::Manager;
use sansocket_protocol::client::ServerAddr;
use sansocket_protocol::engine;
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::engine::{ClientTransmit, Method};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::{AckOutcome, AuthSource, SocketKey};
use sansocket_protocol::time;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often a pass may go round before others have their turn.
const ROUNDS_PER_POLL: usize = 8;
/// How long a WebSocket that we have closed may take to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Servers close connections that were idle for 5 s: npm's by node's default, Python's by uvicorn's.
const KEEP_IDLE: Duration = Duration::from_secs(4);
/// Polling needs one connection for GET and one for POST.
const MAX_KEPT: usize = 2;
/// The present session, and those that still write their last words.
const MAX_ROUTES: usize = 8;

enum Exchange {
    Request(BoxFuture<Result<Answered, Failure>>),
    WebSocket(BoxFuture<Result<Handshake, Failure>>),
}

type Parameters = Vec<(String, String)>;
type AskedAuth = BoxFuture<Result<AuthSource, ConnectError>>;

/// The task of a client.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    random: Random,
    /// Where requests go: settled with each try.
    route: Option<Route>,
    cookies: Cookies,
    exchanges: Vec<(RequestId, Exchange)>,
    /// Where the sessions' requests go, by the sessions' numbers: last words are for the server that knows the session.
    routes: Vec<(u64, Route)>,
    /// Connections for the next requests: since when they are idle, and to which server.
    kept: Vec<(time::Instant, Target, Kept)>,
    websockets: Vec<WebSocket>,
    jobs: Vec<Job>,
    /// Those that had events, so that no lock is needed to find them again.
    namespaces: Vec<Arc<Namespace>>,
    /// The application is asked where to dial.
    asking: Option<BoxFuture<Result<Attempt, ConnectError>>>,
    /// The application is asked for auth.
    auths: Vec<(SocketKey, AskedAuth)>,
    /// What the network, or the application, said last: the core knows only that it failed.
    last_error: Option<Arc<io::Error>>,
    asked_in_vain: Option<ConnectError>,
    /// How many ends of sessions were told.
    ends: u64,
    /// Why there is no session, for those who await one and are not told yet.
    failure: Option<ConnectError>,
    timer: Option<Box<dyn Timer>>,
    armed: Option<time::Instant>,
    armed_for: Option<Waker>,
    now: time::Instant,
    /// It has let other tasks go first.
    yielded: bool,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, random: Random) -> Self {
        Self {
            shared,
            random,
            route: None,
            cookies: Cookies::default(),
            exchanges: Vec::new(),
            routes: Vec::new(),
            kept: Vec::new(),
            websockets: Vec::new(),
            jobs: Vec::new(),
            namespaces: Vec::new(),
            asking: None,
            auths: Vec::new(),
            last_error: None,
            asked_in_vain: None,
            ends: 0,
            failure: None,
            timer: None,
            armed: None,
            armed_for: None,
            now: time::Instant::ZERO,
            yielded: false,
        }
    }

    fn cell(&self) -> &ClientHandle {
        &self.shared.cell
    }

    // --- what comes in ------------------------------------------------------------------------------------------

    /// Requests and handshakes that are done. Returns whether any was.
    fn poll_exchanges(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        let mut at = 0;
        while let Some((id, exchange)) = self.exchanges.get_mut(at) {
            let id = *id;
            // It may be the application that dials.
            let polled = catch_unwind(AssertUnwindSafe(|| match exchange {
                Exchange::Request(future) => future.as_mut().poll(context).map(Done::Request),
                Exchange::WebSocket(future) => future.as_mut().poll(context).map(Done::WebSocket),
            }));
            let done = polled.unwrap_or_else(|panic| {
                let error = io::Error::other(HandlerError::panic(&*panic).to_string());
                Poll::Ready(Done::Request(Err(error.into())))
            });
            let Poll::Ready(done) = done else {
                at += 1;
                continue;
            };
            drop(self.exchanges.swap_remove(at));
            progress = true;
            self.exchanged(id, done);
        }
        // The other side may have ended those that wait: they must not be used, nor kept.
        self.kept.retain_mut(|(_, _, kept)| !kept.poll_ended(context));
        progress
    }

    fn exchanged(&mut self, id: RequestId, done: Done) {
        let now = self.now;
        let target = self.route_of(id).map(|route| route.target.clone());
        let failure = match done {
            Done::Request(Ok(answered)) => {
                self.take_cookies(&answered.headers, target.as_ref());
                if let (Some(target), Some(kept), true) = (target, answered.kept, self.kept.len() < MAX_KEPT)
                {
                    self.kept.push((now, target, kept));
                }
                let mut inner = self.shared.cell.lock();
                return inner.machine.handle_response(now, id, answered.status, answered.body);
            }
            Done::WebSocket(Ok(Handshake::Opened { stream, ahead, headers })) => {
                self.take_cookies(&headers, target.as_ref());
                let max_message = self.shared.settings.max_message;
                // There is one, and for the moment of an upgrade none: no room for four.
                self.websockets.reserve_exact(1);
                self.websockets.push(WebSocket::new(id, stream, ahead, max_message));
                return self.shared.cell.lock().machine.handle_websocket_opened(now, id);
            }
            Done::WebSocket(Ok(Handshake::Refused { status, body, headers })) => {
                self.take_cookies(&headers, target.as_ref());
                return self.shared.cell.lock().machine.handle_websocket_refused(now, id, status, &body);
            }
            Done::Request(Err(failure)) | Done::WebSocket(Err(failure)) => failure,
        };
        debug!(error = %failure.error, "a request failed");
        self.last_error = Some(Arc::new(failure.error));
        self.shared.cell.lock().machine.handle_request_failed(now, id, failure.peer);
    }

    /// What a response sets counts if it comes from the server that is dialled now.
    fn take_cookies(&mut self, headers: &HeaderMap, from: Option<&Target>) {
        let current = self.route.as_ref().map(|route| &route.target);
        if let (true, Some(target)) = (self.shared.settings.cookies && from == current, from) {
            self.cookies.take(headers, target.secure);
        }
    }

    /// What the application was asked.
    fn poll_asked(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Some(asking) = &mut self.asking {
            let answer = catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(context)));
            let answer = answer.unwrap_or_else(|panic| {
                let error = HandlerError::panic(&*panic);
                Poll::Ready(Err(ConnectError::Application(error.to_string())))
            });
            if let Poll::Ready(answer) = answer {
                self.asking = None;
                progress = true;
                self.dial(answer);
            }
        }
        let mut at = 0;
        while let Some((key, future)) = self.auths.get_mut(at) {
            let key = *key;
            let answer = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            let answer = answer.unwrap_or_else(|panic| {
                let error = HandlerError::panic(&*panic);
                Poll::Ready(Err(ConnectError::Application(error.to_string())))
            });
            let Poll::Ready(answer) = answer else {
                at += 1;
                continue;
            };
            drop(self.auths.swap_remove(at));
            progress = true;
            let now = self.now;
            match answer {
                Ok(auth) => {
                    let auth = match &auth {
                        AuthSource::Fixed(json) => Some(&**json),
                        AuthSource::None | AuthSource::Ask => None,
                    };
                    self.shared.cell.lock().machine.authenticate(now, key, auth);
                }
                Err(error) => {
                    // One that was asked for a connection that is lost by now says nothing about the next.
                    let (connection, asked) = {
                        let mut inner = self.shared.cell.lock();
                        (inner.machine.connection(key), inner.machine.auth_failed(now, key))
                    };
                    if asked {
                        self.not_connected(key, connection, &error, context);
                    }
                }
            }
        }
        progress
    }

    /// Dials where the application said.
    fn dial(&mut self, attempt: Result<Attempt, ConnectError>) {
        let now = self.now;
        let attempt = attempt.and_then(|attempt| self.judge(attempt).map_err(ConnectError::from));
        if self.cell().lock().machine.engine().is_some() {
            // It was asked for a try that is over.
            return;
        }
        match attempt {
            Ok((url, headers, query)) => {
                let route = self.route_to(&url, headers);
                if self.route.as_ref().is_some_and(|before| before.target != route.target) {
                    // They are the other server's.
                    self.cookies = Cookies::default();
                }
                self.route = Some(route);
                let path = self.shared.settings.path.clone();
                self.shared.cell.lock().machine.dial(now, Some((&path, query)));
            }
            Err(error) => {
                self.asked_in_vain = Some(error);
                self.shared.cell.lock().machine.dial_failed(now);
            }
        }
    }

    /// What the application said, if it can be dialled: as the options are judged before the first try.
    fn judge(&self, attempt: Attempt) -> Result<(ServerAddr, HeaderMap, Parameters), ClientBuildError> {
        let url = ServerAddr::parse(&attempt.url)?;
        if let Some(name) = own_header(&attempt.headers) {
            return Err(ClientBuildError::OwnHeader(name.clone()));
        }
        if url.secure {
            self.shared.dial.check_secure().map_err(ClientBuildError::Tls)?;
        }
        let query: Parameters = url.query.iter().chain(&self.shared.settings.query).cloned().collect();
        engine::EngineClientConfig::default()
            .path(&self.shared.settings.path)
            .query(query.clone())
            .check()?;
        Ok((url, attempt.headers, query))
    }

    fn route_to(&self, url: &ServerAddr, headers: HeaderMap) -> Route {
        Route {
            dial: self.shared.dial.clone(),
            target: Target { host: url.host.clone(), port: url.port, secure: url.secure },
            proxy: self.shared.settings.proxy.clone(),
            authority: url.authority(),
            headers,
        }
    }

    /// Reads one batch from each WebSocket. Returns whether anything came.
    fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        let Self { websockets, shared, random, now, .. } = self;
        for websocket in websockets.iter_mut().filter(|websocket| websocket.state != State::Dead) {
            {
                let inner = shared.cell.lock();
                if inner.machine.is_on(websocket.id) && !inner.machine.wants_read() {
                    continue;
                }
            }
            progress |= with_buffers(|buffers| {
                let inbox = &mut buffers.inbox;
                let read = websocket.poll_read(&mut buffers.read, inbox, *now, random, context);
                if matches!(read, Read::Nothing) {
                    return false;
                }
                let mut inner = shared.cell.lock();
                for item in inbox.drain(..) {
                    let message = match item {
                        Incoming::Text(text) => WireMessage::Text(text),
                        Incoming::Binary(data) => WireMessage::Binary(data),
                        Incoming::Ping(_) | Incoming::Pong | Incoming::Close(_) => continue,
                    };
                    inner.machine.handle_websocket(*now, websocket.id, message);
                }
                match read {
                    Read::Closed => inner.machine.handle_websocket_closed(*now, websocket.id, None),
                    Read::Failed(code) => {
                        inner.machine.handle_websocket_closed(*now, websocket.id, Some(code))
                    }
                    Read::Nothing | Read::Some => {}
                }
                true
            });
        }
        progress
    }

    // --- what goes out --------------------------------------------------------------------------------------------

    /// Does what the machine wants done. Returns whether there was anything new to wait for.
    fn transmit(&mut self, context: &mut Context<'_>) -> bool {
        let mut begun = false;
        loop {
            let mut inner = self.shared.cell.lock();
            let other = loop {
                match inner.machine.poll_transmit() {
                    Some(ClientTransmit::Write { websocket, message }) => {
                        if let Some(found) = self.websockets.iter_mut().find(|found| found.id == websocket) {
                            if found.state == State::Open {
                                found.write(&message, &mut self.random);
                            }
                        }
                    }
                    other => break other,
                }
            };
            drop(inner);
            let Some(transmit) = other else { break };
            match transmit {
                ClientTransmit::CloseWebSocket { websocket, code } => {
                    let until = self.now + LINGER;
                    if let Some(found) = self.websockets.iter_mut().find(|found| found.id == websocket) {
                        found.close(code, until, &mut self.random);
                    }
                }
                ClientTransmit::Abort { request } => {
                    self.exchanges.retain(|(id, _)| *id != request);
                }
                ClientTransmit::Request { request, method, target, body, limit } => {
                    let method = match method {
                        Method::Get => ::http::Method::GET,
                        Method::Post => ::http::Method::POST,
                    };
                    let Some(route) = self.dressed_route(request) else { continue };
                    let kept = self.kept(&route.target);
                    let future = http::request(route, kept, method, target, body, limit);
                    self.exchanges.push((request, Exchange::Request(Box::pin(future))));
                    begun = true;
                }
                ClientTransmit::OpenWebSocket { websocket, target } => {
                    let Some(route) = self.dressed_route(websocket) else { continue };
                    let mut nonce = [0; 16];
                    nonce[..8].copy_from_slice(&self.random.u64().to_le_bytes());
                    nonce[8..].copy_from_slice(&self.random.u64().to_le_bytes());
                    let future = http::websocket(route, target, nonce);
                    self.exchanges.push((websocket, Exchange::WebSocket(Box::pin(future))));
                    begun = true;
                }
                // The core may learn to say more; this crate is of its own version.
                _ => {}
            }
        }
        let now = self.now;
        for websocket in &mut self.websockets {
            if websocket.is_behind() {
                if let Read::Closed | Read::Failed(_) = websocket.poll_write(context) {
                    self.shared.cell.lock().machine.handle_websocket_closed(now, websocket.id, Some(1006));
                }
            }
        }
        self.websockets.retain(|websocket| websocket.state != State::Dead);
        let ready = {
            let mut inner = self.shared.cell.lock();
            for websocket in &self.websockets {
                inner.machine.handle_unwritten_on(websocket.id, websocket.unwritten());
            }
            inner.quiet = self.websockets.is_empty() && self.exchanges.is_empty();
            inner.take_ready()
        };
        ready.into_iter().for_each(Waker::wake);
        begun
    }

    /// A connection to that server that waits for a request. Those that wait for long the server may be closing just
    /// now: what is sent on them may be lost, and must not be sent twice.
    fn kept(&mut self, target: &Target) -> Option<Kept> {
        let fresh = |since: time::Instant| self.now < since + KEEP_IDLE;
        self.kept.retain(|(since, _, _)| fresh(*since));
        let at = self.kept.iter().rposition(|(_, to, _)| to == target)?;
        Some(self.kept.swap_remove(at).2)
    }

    fn route_of(&self, id: RequestId) -> Option<&Route> {
        let session = Manager::session(id);
        self.routes.iter().find(|(number, _)| *number == session).map(|(_, route)| route)
    }

    /// Where a request goes, with the cookies of now. The first one of a session decides for all.
    fn dressed_route(&mut self, id: RequestId) -> Option<Route> {
        if self.route_of(id).is_none() {
            let route = self.route.clone()?;
            if self.routes.len() >= MAX_ROUTES {
                self.routes.remove(0);
            }
            self.routes.push((Manager::session(id), route));
        }
        let mut route = self.route_of(id)?.clone();
        if self.route.as_ref().is_some_and(|current| current.target == route.target) {
            self.cookies.put(&mut route.headers);
        }
        cookies::join(&mut route.headers);
        Some(route)
    }

    /// Arms the timer. Returns whether a deadline is over already.
    fn poll_timer(&mut self, deadline: Option<time::Instant>, context: &mut Context<'_>) -> bool {
        let linger = self.websockets.iter().filter_map(|websocket| match websocket.state {
            State::Closing(deadline) => Some(deadline),
            State::Open | State::Dead => None,
        });
        let Some(deadline) = linger.chain(deadline).min() else { return false };
        let waits = |armed: time::Instant| armed <= deadline && self.now < armed;
        let same_task = self.armed_for.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if same_task && self.armed.is_some_and(waits) {
            return false;
        }
        self.armed_for = Some(context.waker().clone());
        let at = self.shared.cell.clock().instant(deadline);
        let timer = match &mut self.timer {
            Some(timer) => {
                if self.armed.is_none_or(|armed| deadline < armed) {
                    timer.reset(at);
                    self.armed = Some(deadline);
                }
                timer
            }
            none => {
                self.armed = Some(deadline);
                none.insert(self.shared.cell.clock().runtime().timer(at))
            }
        };
        if timer.poll_elapsed(context).is_pending() {
            return false;
        }
        self.armed = None;
        let now = self.cell().now();
        self.now = now;
        self.cell().lock().machine.handle_timeout(now);
        for websocket in &mut self.websockets {
            if matches!(websocket.state, State::Closing(deadline) if deadline <= now) {
                websocket.state = State::Dead;
            }
        }
        true
    }
}

enum Done {
    Request(Result<Answered, Failure>),
    WebSocket(Result<Handshake, Failure>),
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let has_company = this.cell().wake_up();
        if has_company && !this.yielded {
            // Their events and this one leave in one write.
            this.yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.yielded = false;
        this.now = this.cell().now();
        this.poll_exchanges(context);
        this.poll_asked(context);
        this.poll_read(context);
        for _ in 0..ROUNDS_PER_POLL {
            // What has arrived is handled, then all that this gave is written at once.
            this.dispatch(context);
            this.poll_jobs(context);
            this.tell_connected();
            let begun = this.transmit(context);
            let progress = begun | this.poll_exchanges(context) | this.poll_read(context);
            if progress {
                continue;
            }
            let busy = !this.jobs.is_empty();
            let may_end = this.jobs.is_empty() && this.websockets.is_empty() && this.exchanges.is_empty();
            match this.cell().fall_asleep(context.waker(), may_end, busy) {
                Rest::Over => return Poll::Ready(()),
                Rest::Asleep(deadline) if !this.poll_timer(deadline, context) => return Poll::Pending,
                Rest::Asleep(_) | Rest::Awake => {
                    let _ = this.cell().wake_up();
                    this.now = this.cell().now();
                    this.poll_exchanges(context);
                    this.poll_read(context);
                }
            }
        }
        // A server that never stops sending must not stop the clock.
        this.now = this.cell().now();
        this.cell().lock().machine.handle_timeout(this.now);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // With the runtime, or because all is over: whoever waits for anything is told.
        for job in self.jobs.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
        }
        let now = self.now;
        let (acks, waiters, wakers) = {
            let mut inner = self.shared.cell.lock();
            inner.ended = true;
            inner.machine.close(now);
            inner.machine.abort(now, CloseReason::TransportClose);
            let acks = std::mem::take(&mut inner.acks);
            let waiters = std::mem::take(&mut inner.waiters);
            let mut wakers = inner.take_ready();
            wakers.append(&mut inner.take_finals());
            (acks, waiters, wakers)
        };
        for sink in acks.into_values() {
            sink(AckOutcome::Disconnected);
        }
        for waiter in waiters {
            let _ = waiter.sender.send(Err(ConnectError::Disconnected));
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}
