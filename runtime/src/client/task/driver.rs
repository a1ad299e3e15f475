//! The task of a client: it dials, reads, runs the handlers, and writes once for all that they sent.
//!
//! One task per client, from the first `connect` to the end. Requests, handshakes, the WebSocket, the one timer and
//! the futures of the handlers all live in it.

use crate::base::ahead;
use crate::base::alarm::Alarm;
use crate::base::error::HandlerError;
use crate::base::job::drop_caught;
use crate::base::runtime::BoxFuture;
use crate::base::trace::debug;
use crate::base::turn::{KeptBy, NextStep, Turn};
use crate::client::error::{ClientBuildError, ConnectError};
use crate::client::handlers::ClientJobs;
use crate::client::namespace::KnownNamespace;
use crate::client::net::cookies::Cookies;
use crate::client::net::dial::Target;
use crate::client::net::http::{Answered, Failure, Handshake, Kept, Route, own_header};
use crate::client::net::server;
use crate::client::net::{cookies, http};
use crate::client::task::handle::ClientHandle;
use crate::client::task::shared::{Attempt, Shared};
use crate::websocket::Role;
use crate::websocket::buffers::with_buffers;
use crate::websocket::wire::{Wire, WireLost, WireRead};
use ::http::HeaderMap;
use bytes::Bytes;
use sansocket_protocol::client::{Manager, ServerAddr};
use sansocket_protocol::engine;
use sansocket_protocol::engine::{ClientTransmit, Method, RequestId};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::{AckOutcome, AuthSource, Parser, SocketKey};
use sansocket_protocol::time;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The most rounds of one pass, however little time they take.
const ROUNDS_PER_PASS: usize = 8;
/// The time for which an idle connection is kept. Servers close theirs after 5 s: npm's by node's default, Python's by
/// uvicorn's.
const KEEP_IDLE: Duration = Duration::from_secs(4);
/// The number of connections that are kept: polling needs one for GET and one for POST.
const MAX_KEPT: usize = 2;
/// The present session, and those that still write their last words.
const MAX_ROUTES: usize = 8;

/// An HTTP exchange at work.
enum Exchange {
    Request(BoxFuture<Result<Answered, Failure>>),
    WebSocket(BoxFuture<Result<Handshake, Failure>>),
}

type Parameters = Vec<(String, String)>;
pub(super) type AskedAuth = BoxFuture<Result<AuthSource, ConnectError>>;

/// The task of a client.
pub(crate) struct Driver {
    pub(super) shared: Arc<Shared>,
    random: Random,
    /// The route of requests: settled with each try.
    pub(super) route: Option<Route>,
    cookies: Cookies,
    exchanges: Vec<(RequestId, Exchange)>,
    /// The routes of the sessions' requests, by the sessions' numbers: last words are for the server that knows the
    /// session.
    routes: Vec<(u64, Route)>,
    /// Connections for the next requests: since when they are idle, and to which server.
    pub(super) kept: Vec<(time::Instant, Target, Kept)>,
    websockets: Vec<(RequestId, Wire)>,
    pub(super) jobs: ClientJobs,
    /// Those that had events, so that no lock is needed to find them again.
    pub(super) namespaces: Vec<KnownNamespace>,
    /// The application is asked where to dial.
    pub(super) asking: Option<BoxFuture<Result<Attempt, ConnectError>>>,
    /// The application is asked for auth.
    pub(super) auths: Vec<(SocketKey, AskedAuth)>,
    /// The last error of the network. The core knows only that something failed.
    pub(super) last_error: Option<Arc<io::Error>>,
    /// The last error of the application's hook that is asked where to dial.
    pub(super) asked_in_vain: Option<ConnectError>,
    /// The number of ends of sessions that were told.
    pub(super) ends: u64,
    /// The reason why there is no session, for those who await one and are not told yet.
    pub(super) failure: Option<ConnectError>,
    alarm: Alarm,
    pub(super) now: time::Instant,
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
            jobs: ClientJobs::default(),
            namespaces: Vec::new(),
            asking: None,
            auths: Vec::new(),
            last_error: None,
            asked_in_vain: None,
            ends: 0,
            failure: None,
            alarm: Alarm::default(),
            now: time::Instant::ZERO,
            yielded: false,
        }
    }

    pub(super) fn handle(&self) -> &ClientHandle {
        &self.shared.handle
    }

    // --- what comes in ------------------------------------------------------------------------------------------

    /// Requests and handshakes that are done. Returns whether any was.
    fn poll_exchanges(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        let mut at = 0;
        while let Some((id, exchange)) = self.exchanges.get_mut(at) {
            let id = *id;
            // Dialling may run code of the application, which may panic.
            let polled = catch_unwind(AssertUnwindSafe(|| match exchange {
                Exchange::Request(future) => future.as_mut().poll(context).map(ExchangeOutcome::Request),
                Exchange::WebSocket(future) => future.as_mut().poll(context).map(ExchangeOutcome::WebSocket),
            }));
            let done = polled.unwrap_or_else(|panic| {
                let error = io::Error::other(HandlerError::panic(panic).to_string());
                Poll::Ready(ExchangeOutcome::Request(Err(error.into())))
            });
            let Poll::Ready(done) = done else {
                at += 1;
                continue;
            };
            let exchange = self.exchanges.swap_remove(at);
            self.let_go(None, exchange);
            progress = true;
            self.exchanged(id, done);
        }
        // Connections that their server has ended must not be used, nor kept.
        self.kept.retain_mut(|(_, _, kept)| !kept.poll_ended(context));
        progress
    }

    fn exchanged(&mut self, id: RequestId, done: ExchangeOutcome) {
        let now = self.now;
        let target = self.route_of(id).map(|route| route.target.clone());
        let failure = match done {
            ExchangeOutcome::Request(Ok(answered)) => {
                self.take_cookies(&answered.headers, target.as_ref());
                if let (Some(target), Some(kept), true) = (target, answered.kept, self.kept.len() < MAX_KEPT)
                {
                    self.kept.push((now, target, kept));
                }
                return self.responded(id, answered.status, answered.body);
            }
            ExchangeOutcome::WebSocket(Ok(Handshake::Opened { stream, ahead, headers, deflate })) => {
                self.take_cookies(&headers, target.as_ref());
                let max_message = self.shared.settings.max_message;
                // Mostly there is one WebSocket: a vector's first growth would allocate four.
                self.websockets.reserve_exact(1);
                let wire = Wire::new(Role::Client, stream, ahead, max_message).with_deflate(deflate);
                self.websockets.push((id, wire));
                return self.shared.handle.lock().machine.handle_websocket_opened(now, id);
            }
            ExchangeOutcome::WebSocket(Ok(Handshake::Refused { status, body, headers })) => {
                self.take_cookies(&headers, target.as_ref());
                return self.shared.handle.lock().machine.handle_websocket_refused(now, id, status, &body);
            }
            ExchangeOutcome::Request(Err(failure)) | ExchangeOutcome::WebSocket(Err(failure)) => failure,
        };
        debug!(error = %failure.error, "a request failed");
        self.last_error = Some(Arc::new(failure.error));
        self.shared.handle.lock().machine.handle_request_failed(now, id, failure.peer);
    }

    /// A request was answered.
    fn responded(&self, id: RequestId, status: u16, body: Bytes) {
        let mut inner = self.shared.handle.lock();
        let Some(reader) = inner.machine.ahead_reader() else {
            return inner.machine.handle_response(self.now, id, status, body);
        };
        drop(inner);
        let ahead = reader.read_body(&body, |parser, packet| ahead::decode(parser, packet, || {}));
        self.shared.handle.lock().machine.handle_response_ahead(self.now, id, status, body, ahead);
    }

    /// Takes the cookies of a response, if it comes from the server that is dialled now.
    fn take_cookies(&mut self, headers: &HeaderMap, from: Option<&Target>) {
        let current = self.route.as_ref().map(|route| &route.target);
        if let (true, Some(target)) = (self.shared.settings.cookies && from == current, from) {
            self.cookies.take(headers, target.secure);
        }
    }

    /// Takes the application's answers to what it was asked.
    pub(super) fn poll_asked(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Some(asking) = &mut self.asking {
            let answer = catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(context)));
            let answer = answer.unwrap_or_else(|panic| {
                let error = HandlerError::panic(panic);
                Poll::Ready(Err(ConnectError::application(error)))
            });
            if let Poll::Ready(answer) = answer {
                let asking = self.asking.take();
                self.let_go(None, asking);
                progress = true;
                self.dial(answer);
            }
        }
        let mut at = 0;
        while let Some((key, future)) = self.auths.get_mut(at) {
            let key = *key;
            let answer = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            let answer = answer.unwrap_or_else(|panic| {
                let error = HandlerError::panic(panic);
                Poll::Ready(Err(ConnectError::application(error)))
            });
            let Poll::Ready(answer) = answer else {
                at += 1;
                continue;
            };
            let asked = self.auths.swap_remove(at);
            self.let_go(Some(key), asked);
            progress = true;
            let now = self.now;
            match answer {
                Ok(auth) => {
                    let auth = match &auth {
                        AuthSource::Fixed(auth) => Some(auth),
                        AuthSource::None | AuthSource::Ask | AuthSource::AskAgain => None,
                    };
                    self.shared.handle.lock().machine.authenticate(now, key, auth);
                }
                Err(error) => {
                    // An answer that was asked for a connection which is lost by now does not count for the next.
                    let (connection, asked) = {
                        let mut inner = self.shared.handle.lock();
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
        if self.handle().lock().machine.has_session() {
            // The answer is for a try that is over.
            return;
        }
        match attempt {
            Ok((url, headers, query)) => {
                let route = self.route_to(&url, headers);
                if self.route.as_ref().is_some_and(|before| before.target != route.target) {
                    // The cookies are those of the other server.
                    self.cookies = Cookies::default();
                }
                self.route = Some(route);
                let path = self.shared.settings.path.clone();
                self.shared.handle.lock().machine.dial(now, Some((&path, query)));
            }
            Err(error) => {
                self.asked_in_vain = Some(error);
                self.shared.handle.lock().machine.dial_failed(now);
            }
        }
    }

    /// Judges the application's address, as the options are judged before the first try.
    fn judge(&self, attempt: Attempt) -> Result<(ServerAddr, HeaderMap, Parameters), ClientBuildError> {
        let url = server::parse(&attempt.url)?;
        if let Some(name) = own_header(&attempt.headers) {
            return Err(ClientBuildError::OwnHeader(name.clone()));
        }
        if url.secure {
            self.shared.dial.check_secure().map_err(ClientBuildError::Tls)?;
        }
        let query: Parameters = url.query.iter().chain(&self.shared.settings.query).cloned().collect();
        engine::EngineClientConfig::default()
            .exact_path(&self.shared.settings.path)
            .query(query.clone())
            .check()?;
        Ok((url, attempt.headers, query))
    }

    pub(super) fn route_to(&self, url: &ServerAddr, headers: HeaderMap) -> Route {
        let target = Target { host: url.host.clone(), port: url.port, secure: url.secure };
        Route {
            dial: self.shared.dial.clone(),
            proxy: self.shared.settings.proxies.of(&target).cloned(),
            target,
            authority: url.authority(),
            subprotocols: self.shared.settings.subprotocols.clone(),
            deflate: self.shared.settings.deflate.clone(),
            headers,
        }
    }

    /// Reads one batch from each WebSocket. Returns whether anything came.
    fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        let Self { websockets, shared, random, now, .. } = self;
        let (handle, now) = (&shared.handle, *now);
        for (id, wire) in websockets.iter_mut().filter(|(_, wire)| !wire.is_dead()) {
            {
                let inner = handle.lock();
                if wire.is_open() && inner.machine.is_on(*id) && !inner.machine.wants_read() {
                    continue;
                }
                // What came before the mistake is handled and answered first, even if that takes another turn.
                if wire.is_failing() && inner.machine.has_output() {
                    continue;
                }
            }
            progress |= with_buffers(|buffers| {
                let read = wire.poll_read(buffers, now, Some(random), context);
                if read == WireRead::Nothing {
                    return false;
                }
                let mut inner = handle.lock();
                match inner.machine.ahead_reader() {
                    None => {
                        for message in buffers.inbox.drain(..) {
                            inner.machine.handle_websocket(now, *id, message);
                        }
                    }
                    Some(reader) => {
                        drop(inner);
                        for message in std::mem::take(&mut buffers.inbox) {
                            let decode = |parser: &Parser, packet| ahead::decode(parser, packet, || {});
                            let read = reader.read_message(&message, decode);
                            handle.lock().machine.handle_websocket_ahead(now, *id, message, read);
                        }
                        inner = handle.lock();
                    }
                }
                match read {
                    WireRead::Nothing | WireRead::Received => {}
                    WireRead::Closed => inner.machine.handle_websocket_closed(now, *id, None),
                    WireRead::Failed(code) => inner.machine.handle_websocket_closed(now, *id, Some(code)),
                }
                true
            });
        }
        progress
    }

    // --- what goes out --------------------------------------------------------------------------------------------

    /// Does what the machine wants done. Returns whether there was anything new to wait for.
    fn transmit(&mut self, context: &mut Context<'_>) -> bool {
        let has_begun = with_buffers(|buffers| {
            // The first WebSocket writes from the thread's buffer, and takes over only what is left.
            if let Some((_, first)) = self.websockets.first_mut() {
                first.lend(&mut buffers.write);
            }
            let has_begun = self.take_transmits();
            for (id, wire) in self.websockets.iter_mut() {
                if let Err(WireLost) = wire.poll_write(context) {
                    self.shared.handle.lock().machine.handle_websocket_closed(self.now, *id, Some(1006));
                }
                wire.give_back(&mut buffers.write);
            }
            has_begun
        });
        self.websockets.retain(|(_, wire)| !wire.is_dead());
        let ready = {
            let mut inner = self.shared.handle.lock();
            for (id, wire) in &self.websockets {
                inner.machine.handle_unwritten_on(*id, wire.unwritten());
            }
            inner.quiet = self.websockets.is_empty() && self.exchanges.is_empty();
            inner.take_ready()
        };
        ready.into_iter().for_each(Waker::wake);
        has_begun
    }

    /// Takes all that the machine gives out. Returns whether there is something new to wait for.
    fn take_transmits(&mut self) -> bool {
        let mut has_begun = false;
        loop {
            let mut inner = self.shared.handle.lock();
            let other = loop {
                match inner.machine.poll_transmit() {
                    Some(ClientTransmit::Write { websocket, message, compress }) => {
                        if let Some(wire) = find_open(&mut self.websockets, websocket) {
                            wire.write(&message, compress, Some(&mut self.random));
                        }
                    }
                    other => break other,
                }
            };
            drop(inner);
            let Some(transmit) = other else { return has_begun };
            has_begun |= self.begin_exchange(transmit);
        }
    }

    /// Begins a request or a handshake, or ends one. Returns whether there is something new to wait for.
    fn begin_exchange(&mut self, transmit: ClientTransmit) -> bool {
        match transmit {
            ClientTransmit::Request { request, method, target, body, limit } => {
                let method = match method {
                    Method::Get => ::http::Method::GET,
                    Method::Post => ::http::Method::POST,
                };
                let Some(route) = self.dressed_route(request) else { return false };
                let kept = self.kept(&route.target);
                let future = http::request(route, kept, method, target, body, limit);
                self.exchanges.push((request, Exchange::Request(Box::pin(future))));
                true
            }
            ClientTransmit::OpenWebSocket { websocket, target } => {
                let Some(route) = self.dressed_route(websocket) else { return false };
                let mut nonce = [0; 16];
                nonce[..8].copy_from_slice(&self.random.u64().to_le_bytes());
                nonce[8..].copy_from_slice(&self.random.u64().to_le_bytes());
                let future = http::websocket(route, target, nonce);
                self.exchanges.push((websocket, Exchange::WebSocket(Box::pin(future))));
                true
            }
            ClientTransmit::CloseWebSocket { websocket, code } => {
                if let Some(wire) = find_open(&mut self.websockets, websocket) {
                    wire.close(code, self.now, Some(&mut self.random));
                }
                false
            }
            ClientTransmit::Abort { request } => {
                let at = self.exchanges.iter().position(|(id, _)| *id == request);
                let aborted = at.map(|at| self.exchanges.swap_remove(at));
                self.let_go(None, aborted);
                false
            }
            // The core may learn to say more; this crate is of its own version.
            _ => false,
        }
    }

    /// A connection to that server that waits for a request. One that has waited for long may be closed by the server
    /// at this moment: a request on it may be lost, and must not be sent twice.
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

    /// Returns the route of a request, with the cookies of now. The first request of a session decides for all.
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

    /// Sleeps until something wakes it, if there is nothing to do.
    fn fall_asleep(&mut self, context: &mut Context<'_>) -> NextStep {
        let is_connected = !self.websockets.is_empty() || !self.exchanges.is_empty();
        let kept_by = match (self.jobs.is_empty(), is_connected) {
            (false, _) => KeptBy::Handlers,
            (true, true) => KeptBy::Connections,
            (true, false) => KeptBy::Nothing,
        };
        let next = self.handle().fall_asleep(context.waker(), kept_by);
        let NextStep::Sleep(deadline) = next else { return next };
        let lingering = self.websockets.iter().filter_map(|(_, wire)| wire.lingers_until());
        let deadline = lingering.chain(deadline).min();
        let clock = self.shared.handle.clock();
        let is_over = |deadline| self.alarm.poll(deadline, self.now, clock, context).is_ready();
        if !deadline.is_some_and(is_over) {
            return NextStep::Sleep(deadline);
        }
        self.judge_deadlines();
        NextStep::GoOn
    }

    /// Judges the deadlines by the clock: a server that never stops sending must not stop it.
    fn judge_deadlines(&mut self) {
        self.now = self.handle().now();
        self.handle().judge_deadlines(self.now);
        for (_, wire) in &mut self.websockets {
            wire.end_lingering(self.now);
        }
    }
}

/// The outcome of an exchange.
enum ExchangeOutcome {
    Request(Result<Answered, Failure>),
    WebSocket(Result<Handshake, Failure>),
}

fn find_open(websockets: &mut [(RequestId, Wire)], id: RequestId) -> Option<&mut Wire> {
    let found = websockets.iter_mut().find(|(found, wire)| *found == id && wire.is_open());
    found.map(|(_, wire)| wire)
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let has_company = this.handle().wake_up();
        if has_company && !this.yielded {
            // Their events and this one leave in one write.
            this.yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.yielded = false;
        this.now = this.handle().now();
        this.poll_exchanges(context);
        this.poll_asked(context);
        this.poll_read(context);
        let turn = &mut Turn::begin(this.now);
        for _ in 0..ROUNDS_PER_PASS {
            // What has arrived is handled, then all that this gave is written at once.
            this.dispatch(turn, context);
            this.poll_jobs(turn, context);
            this.tell_connected();
            let has_begun = this.transmit(context);
            if turn.has_ended() {
                break;
            }
            let progress = has_begun | this.poll_exchanges(context) | this.poll_read(context);
            if progress {
                this.now = this.handle().now();
                if turn.has_ended_at(this.now) {
                    break;
                }
                continue;
            }
            match this.fall_asleep(context) {
                NextStep::End => return Poll::Ready(()),
                NextStep::Sleep(_) => return Poll::Pending,
                NextStep::GoOn => {
                    let _ = this.handle().wake_up();
                    this.now = this.handle().now();
                    this.poll_exchanges(context);
                    this.poll_read(context);
                }
            }
        }
        this.judge_deadlines();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // With the runtime, or because all is over: everybody who waits is told, whatever of the application panics as it
        // is dropped.
        self.jobs.drop_caught();
        let _ = drop_caught(self.asking.take());
        for asked in self.auths.drain(..) {
            let _ = drop_caught(asked);
        }
        for (_, exchange) in self.exchanges.drain(..) {
            let _ = drop_caught(exchange);
        }
        for known in self.namespaces.drain(..) {
            let _ = drop_caught(known);
        }
        let now = self.now;
        let (acks, waiters, wakers) = {
            let mut inner = self.shared.handle.lock();
            inner.ended = true;
            inner.machine.close(now);
            inner.machine.abort(now, CloseReason::TransportClose);
            let acks = std::mem::take(&mut inner.acks);
            let waiters = std::mem::take(&mut inner.waiters);
            let mut wakers = inner.take_ready();
            wakers.append(&mut inner.take_finals());
            (acks, waiters, wakers)
        };
        for (_, sender) in acks.into_entries() {
            let _ = sender.send(AckOutcome::Disconnected);
        }
        for waiter in waiters {
            let _ = waiter.sender.send(Err(ConnectError::Disconnected));
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}
