//! HTTP for sessions: each request is handed to the session it belongs to, and gets the answer that this gives.

use crate::base::clock::Clock;
use crate::base::runtime;
use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::signal::Signal;
use crate::base::trace::debug;
use crate::http::connections::{Connections, Place};
use crate::http::files::Files;
use crate::http::handshake::{ConnInfo, Handshake};
use crate::http::refused::RefusedRequest;
use crate::http::served::Served;
use crate::http::types::{HeaderView, ResponseBody, head, response, target};
use crate::server::socket::INTERNAL_ERROR;
use crate::session::handle::{Answer, SessionHandle, Upgrade};
use crate::session::stats::{Counters, Stats, count};
use crate::session::task;
use crate::session::task::MakeTask;
use crate::websocket::accept_upgrade;
use bytes::{Buf, Bytes, BytesMut};
use futures_channel::oneshot;
use http::header::HeaderMap;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use sansocket_protocol::engine;
use sansocket_protocol::engine::{Body, Wants};
use sansocket_protocol::engine::{RefusalCode, RequestId, Response as CoreResponse, TransportKind};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Connection, Grant, Route, Router};
use sansocket_protocol::socket;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// How long the sessions that a shutdown cuts off may take to go: one that is blocked by a handler cannot.
const CUT_OFF: Duration = Duration::from_secs(1);
/// How much of an unwanted body is read, so that its sender gets to hear so.
const THROW_AWAY: usize = 4 << 20;

/// What the application decides about a request that would open a session.
pub(crate) type AllowRequest =
    Box<dyn Fn(Handshake) -> BoxFuture<Result<(), crate::base::error::Refusal>> + Send + Sync>;
/// Makes session ids.
pub(crate) type MakeId = Box<dyn Fn(&Handshake) -> String + Send + Sync>;
/// Tells whose handshake it is.
pub(crate) type ClientAddress = Box<dyn Fn(&Handshake) -> Option<IpAddr> + Send + Sync>;
/// Changes the headers of responses.
pub(crate) type ChangeHeaders = Box<dyn Fn(&http::request::Parts, &mut HeaderMap) + Send + Sync>;
/// Hears of requests that were refused.
pub(crate) type OnRefused = Box<dyn Fn(&RefusedRequest) + Send + Sync>;
/// Makes the task of a session, with its application.
pub(crate) type MakeApplication = Box<dyn Fn(&Handshake) -> Option<MakeTask> + Send + Sync>;

/// What the application has to say about HTTP.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) allow_request: Option<AllowRequest>,
    pub(crate) make_id: Option<MakeId>,
    pub(crate) client_address: Option<ClientAddress>,
    pub(crate) initial_headers: Option<ChangeHeaders>,
    pub(crate) headers: Option<ChangeHeaders>,
    pub(crate) refused: Option<OnRefused>,
}

/// Deadlines against peers that are slow on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// How long the first head of a connection may take.
    pub(crate) first_head: Duration,
    /// How long a later head may take, idle time included.
    pub(crate) head: Duration,
    /// How long the body of a POST may take.
    pub(crate) body: Duration,
    /// How long a TLS handshake may take.
    pub(crate) tls: Duration,
    /// How long a client may take nothing of a response.
    pub(crate) write: Duration,
}

/// The sessions of a server, and its HTTP.
pub(crate) struct Gate {
    pub(crate) config: Arc<engine::EngineServerConfig>,
    pub(crate) sockets: Option<Arc<socket::SocketServerConfig>>,
    pub(crate) clock: Clock,
    pub(crate) hooks: Hooks,
    pub(crate) files: Files,
    pub(crate) deadlines: Deadlines,
    pub(crate) counters: Arc<Counters>,
    /// The connections of its listener.
    pub(crate) connections: Arc<Connections>,
    router: Mutex<Router<Arc<SessionHandle>>>,
    application: MakeApplication,
    next_request: AtomicU64,
    /// What a shutdown waits for: tasks of sessions and of concurrent handlers, and requests to sessions.
    tasks: AtomicUsize,
    /// Shutdown has begun.
    pub(crate) closing: Signal,
    /// The patience of a shutdown is over: what is left goes now.
    pub(crate) cut: Signal,
    /// Shutdown is done: no session is left.
    pub(crate) closed: Signal,
}

impl Gate {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        random: Random,
        config: Arc<engine::EngineServerConfig>,
        sockets: Option<Arc<socket::SocketServerConfig>>,
        hooks: Hooks,
        files: Files,
        deadlines: Deadlines,
        application: MakeApplication,
    ) -> Self {
        Self {
            router: Mutex::new(Router::new(config.clone(), random)),
            config,
            sockets,
            clock: Clock::new(runtime),
            hooks,
            files,
            deadlines,
            counters: Arc::default(),
            connections: Arc::default(),
            application,
            next_request: AtomicU64::new(0),
            tasks: AtomicUsize::new(0),
            closing: Signal::default(),
            cut: Signal::default(),
            closed: Signal::default(),
        }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        self.clock.runtime()
    }

    fn router(&self) -> MutexGuard<'_, Router<Arc<SessionHandle>>> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.router().len()
    }

    /// What happened so far.
    pub(crate) fn stats(&self) -> Stats {
        let (cells, opened, refused) = {
            let router = self.router();
            (router.sessions().cloned().collect::<Vec<_>>(), router.opened(), router.refused())
        };
        let mut stats = self.counters.read();
        for cell in &cells {
            let passed = {
                let inner = cell.lock();
                // One that has ended is among the sums already.
                (!inner.is_ended()).then(|| inner.passed())
            };
            if let Some(passed) = passed {
                passed.add_to(&mut stats);
            }
        }
        stats.sessions = cells.len() as u64;
        stats.opened = opened;
        stats.refused.sessions = refused.sessions;
        stats.refused.sessions_per_address = refused.sessions_per_address;
        stats.refused.handshakes = refused.handshakes;
        stats.refused.handshakes_per_address = refused.handshakes_per_address;
        stats.refused.shutting_down = refused.shutting_down;
        stats.refused.bad_id = refused.bad_id;
        let connections = self.connections.refused();
        stats.refused.connections = connections.in_all;
        stats.refused.connections_per_address = connections.from_address;
        stats
    }

    /// Closes all sessions: takes no new ones, tells the clients, writes what is queued, and after `timeout`
    /// ends what is left.
    pub(crate) async fn shutdown(self: &Arc<Self>, timeout: Duration) {
        self.closing.give();
        let cells: Vec<Arc<SessionHandle>> = {
            let mut router = self.router();
            router.drain();
            router.sessions().cloned().collect()
        };
        for cell in &cells {
            cell.with(|machine| machine.close(CloseReason::ServerShuttingDown));
        }
        drop(cells);
        if self.tasks.load(Ordering::Acquire) == 0 {
            self.closed.give();
        }
        if runtime::timeout(self.runtime(), timeout, self.closed.wait()).await.is_none() {
            self.cut.give();
            let cells: Vec<Arc<SessionHandle>> = self.router().sessions().cloned().collect();
            for cell in &cells {
                task::abort(cell, CloseReason::ServerShuttingDown);
            }
            runtime::timeout(self.runtime(), CUT_OFF, self.closed.wait()).await;
            // Whatever still blocks a thread, nothing more is accepted.
            self.closed.give();
        }
    }

    /// Answers a request, whatever its path.
    pub(crate) async fn respond<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: ConnInfo,
    ) -> Response<ResponseBody>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        let (mut parts, body) = request.into_parts();
        if let Some(file) = self.files.respond(&parts) {
            return self.finish(&parts, file);
        }
        let stream = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let place = parts.extensions.remove::<Arc<Place>>();
        let upgrade = stream.map(|stream| Upgrade { stream, place: place.map(|place| place as _) });
        let request = Request::from_parts(parts, ());
        let response = self.respond_to(&request, upgrade, body, peer).await;
        let (parts, ()) = request.into_parts();
        self.finish(&parts, response)
    }

    async fn respond_to<B>(
        self: &Arc<Self>,
        request: &Request<()>,
        upgrade: Option<Upgrade>,
        body: B,
        peer: ConnInfo,
    ) -> Response<ResponseBody>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        let answered = |reply| self.answer(request, peer, reply);
        let headers = HeaderView(request.headers());
        let target = target(request);
        let head = head(request, target, &headers);
        let route = self.router().route_any_path(&head);
        let found = match route {
            Route::Session(cell) => Ok(cell),
            Route::Open(grant) => Err(grant),
            Route::Reply(mut reply) => {
                debug!(status = reply.status, body = ?reply.body, "a request was refused");
                if reply.status >= 400 {
                    count(&self.counters.bad_requests);
                }
                self.config.decorate(&head, &mut reply);
                return answered(reply);
            }
            _ => return answered(CoreResponse::new(404)),
        };
        let switch = if head.is_websocket_upgrade() {
            match (accept_upgrade(request.method(), request.headers()), upgrade) {
                (Ok(accept), Some(upgrade)) => Some((accept, upgrade)),
                (Ok(_), None) => {
                    debug!("this host cannot switch protocols: its connections must be served with upgrades");
                    return answered(CoreResponse::upgrade_refusal(RefusalCode::BadRequest));
                }
                (Err(error), _) => {
                    debug!(%error, "a WebSocket handshake was refused");
                    return answered(CoreResponse::upgrade_refusal(RefusalCode::BadRequest));
                }
            }
        } else {
            None
        };
        let cell = match found {
            Ok(cell) => cell,
            // Only now: a handshake that was refused above must leave no session behind.
            Err(grant) => match self.open(request, peer, &grant).await {
                Ok(cell) => cell,
                Err(mut refusal) => {
                    self.config.decorate(&head, &mut refusal);
                    return answered(refusal);
                }
            },
        };
        // While the session is there: its task ends with the answer to this, which is not written by then.
        let served = Served::begin(self);
        let id = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let wants = cell.with_inner(|inner| {
            if inner.is_ended() {
                return None;
            }
            inner.requests.push((id, sender));
            Some(inner.machine.handle_request(cell.now(), id, &head))
        });
        let Some(wants) = wants else {
            let mut refusal = CoreResponse::refusal(RefusalCode::UnknownSession);
            self.config.decorate(&head, &mut refusal);
            return answered(refusal);
        };
        let mut pending = Pending { cell: &cell, id, answered: false };
        let mut receiver = receiver;
        let mut body = Box::pin(body);
        let mut early = None;
        if let Wants::Body { limit } = wants {
            // The session may end the request while its body is still on the way.
            let read = or_answer(&mut receiver, read_body(body.as_mut(), limit));
            match runtime::timeout(self.runtime(), self.deadlines.body, read).await {
                Some(Either::Body(Ok(body))) => {
                    cell.with(|machine| machine.handle_body(cell.now(), id, body))
                }
                Some(Either::Answer(answer)) => early = Some(answer),
                // Dropping `pending` tells the session.
                Some(Either::Body(Err(()))) => return answered(CoreResponse::new(400)),
                None => {
                    debug!("the body of a POST took too long");
                    return answered(CoreResponse::new(408).header("connection", "close"));
                }
            }
        }
        let answer = match early {
            Some(answer) => answer,
            None => receiver.await,
        };
        pending.answered = true;
        match (answer, switch) {
            (Ok(Answer::Respond(mut reply)), _) => {
                self.config.decorate(&head, &mut reply);
                if !body.is_end_stream() {
                    // A client that is cut off while it sends never reads the answer.
                    let (runtime, limit) = (self.runtime().clone(), self.deadlines.body);
                    self.runtime().spawn(Box::pin(async move {
                        runtime::timeout(&runtime, limit, throw_away(body)).await;
                    }));
                }
                reply.body = served.until_written(std::mem::take(&mut reply.body));
                answered(*reply)
            }
            (Ok(Answer::Switch), Some((accept, upgrade))) => {
                let left = cell.with_inner(|inner| {
                    if inner.is_ended() {
                        return Some(upgrade);
                    }
                    inner.upgrades.push((id, upgrade));
                    None
                });
                if left.is_some() {
                    return answered(CoreResponse::upgrade_refusal(RefusalCode::UnknownSession));
                }
                let mut reply = CoreResponse::new(101)
                    .header("connection", "Upgrade")
                    .header("upgrade", "websocket")
                    .header("sec-websocket-accept", accept);
                self.config.decorate(&head, &mut reply);
                answered(reply)
            }
            // The session is gone, or the request overlapped another: its connection ends.
            _ => answered(CoreResponse::new(400).header("connection", "close")),
        }
    }

    /// The answer to a request. Whoever wants to hear of refusals is told of one.
    fn answer(&self, request: &Request<()>, peer: ConnInfo, reply: CoreResponse) -> Response<ResponseBody> {
        if let (Some(hook), Some(refusal)) = (&self.hooks.refused, reply.refused()) {
            let refused = RefusedRequest::new(request, peer, &self.config, reply.status, refusal);
            let _ = self.caught(|| hook(&refused));
        }
        response(reply)
    }

    /// Opens a session, if the application lets the client in.
    async fn open(
        self: &Arc<Self>,
        request: &Request<()>,
        peer: ConnInfo,
        grant: &Grant,
    ) -> Result<Arc<SessionHandle>, CoreResponse> {
        let mut handshake = None;
        let mut address =
            peer.peer.or_else(|| request.extensions().get::<SocketAddr>().copied()).map(|at| at.ip());
        if let Some(tell) = &self.hooks.client_address {
            let seen = handshake.insert(Handshake::new(request, peer));
            let told = self.caught(|| tell(seen)).ok_or_else(|| internal_error(grant))?;
            address = told.or(address);
        }
        let admitted = self.router().admit(self.clock.now(), address);
        if let Err(error) = admitted {
            debug!(%error, "a handshake was refused");
            return Err(error.response(grant));
        }
        let handshake = handshake.unwrap_or_else(|| Handshake::new(request, peer));
        if let Some(allow) = &self.hooks.allow_request {
            let mut allowed =
                self.caught(|| allow(handshake.clone())).ok_or_else(|| internal_error(grant))?;
            let decided = poll_fn(|context| match self.caught(|| allowed.as_mut().poll(context)) {
                Some(Poll::Pending) => Poll::Pending,
                Some(Poll::Ready(decided)) => Poll::Ready(Some(decided)),
                None => Poll::Ready(None),
            })
            .await;
            // What it had captured goes here, and not while this future is dropped.
            let dropped = self.caught(|| drop(allowed));
            match decided.filter(|_| dropped.is_some()) {
                None => return Err(internal_error(grant)),
                Some(Ok(())) => {}
                Some(Err(refusal)) => {
                    debug!(message = refusal.message(), "the application refused a session");
                    count(&self.counters.by_application);
                    let message = Some(refusal.message()).filter(|message| !message.is_empty());
                    return Err(grant.refuse(message));
                }
            }
        }
        let id = match &self.hooks.make_id {
            None => None,
            Some(make) => Some(self.caught(|| make(&handshake)).ok_or_else(|| internal_error(grant))?),
        };
        let Some(make_task) = (self.application)(&handshake) else {
            return Err(grant.refuse(None));
        };
        // Counted before it can be found, so that a shutdown does not end without it.
        self.task_begun();
        let mut entered = None;
        let registered = self.router().register_from(address, id, |id| {
            let machine = Connection::new(
                self.clock.now(),
                grant.revision,
                self.config.clone(),
                id.clone(),
                self.sockets.clone(),
            );
            let cell = SessionHandle::new(machine, self.clock.clone());
            entered = Some(cell.clone());
            cell
        });
        let (id, cell) = match (registered, entered) {
            (Ok(id), Some(cell)) => (id, cell),
            (Err(error), _) => {
                debug!(%error, "a session could not be opened");
                self.task_ended();
                return Err(error.response(grant));
            }
            (Ok(_), None) => {
                self.task_ended();
                return Err(grant.refuse(None));
            }
        };
        let host = self.clone();
        let on_end = move || {
            drop(host.router().remove(&id));
            host.task_ended();
        };
        self.runtime().spawn(make_task(cell.clone(), self.counters.clone(), Box::new(on_end)));
        Ok(cell)
    }

    /// Runs a hook of the application. `None`: it panicked.
    fn caught<T>(&self, hook: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(hook)) {
            Ok(value) => Some(value),
            Err(panic) => {
                count(&self.counters.panics);
                debug!(error = %crate::HandlerError::panic(&*panic), "a hook panicked");
                None
            }
        }
    }

    /// Something begins that a shutdown waits for.
    pub(crate) fn task_begun(&self) {
        self.tasks.fetch_add(1, Ordering::AcqRel);
    }

    /// It has ended.
    pub(crate) fn task_ended(&self) {
        if self.tasks.fetch_sub(1, Ordering::AcqRel) == 1 && self.closing.is_given() {
            self.closed.give();
        }
    }

    /// The application's last word on the headers.
    fn finish(
        &self,
        parts: &http::request::Parts,
        mut response: Response<ResponseBody>,
    ) -> Response<ResponseBody> {
        if let Some(initial) = &self.hooks.initial_headers {
            let query = parts.uri.query().unwrap_or("");
            if engine::Query::parse(query).session.is_none() {
                // A panic must not cost the client its answer: of the session that is in it, it would never learn.
                let _ = self.caught(|| initial(parts, response.headers_mut()));
            }
        }
        if let Some(headers) = &self.hooks.headers {
            let _ = self.caught(|| headers(parts, response.headers_mut()));
        }
        response
    }
}

/// The answer to a client whose handshake made the application panic.
fn internal_error(grant: &Grant) -> CoreResponse {
    let mut response = CoreResponse::refusal_with(RefusalCode::Forbidden, INTERNAL_ERROR);
    response.status = 500;
    if grant.transport == TransportKind::WebSocket {
        response.header("connection", "close")
    } else {
        response
    }
}

/// Tells the session when its request goes away without an answer.
struct Pending<'a> {
    cell: &'a SessionHandle,
    id: RequestId,
    answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let now = self.cell.now();
            let sender = self.cell.with_inner(|inner| {
                inner.machine.handle_request_aborted(now, self.id);
                inner.take_request(self.id)
            });
            drop(sender);
        }
    }
}

/// What came first.
enum Either {
    Body(Result<Body, ()>),
    Answer(Result<Answer, oneshot::Canceled>),
}

/// Reads on until the session answers.
async fn or_answer(
    receiver: &mut oneshot::Receiver<Answer>,
    body: impl Future<Output = Result<Body, ()>>,
) -> Either {
    let mut body = pin!(body);
    poll_fn(|context| {
        if let Poll::Ready(body) = body.as_mut().poll(context) {
            return Poll::Ready(Either::Body(body));
        }
        Pin::new(&mut *receiver).poll(context).map(Either::Answer)
    })
    .await
}

/// Reads a body of at most `limit` bytes. `Err`: it broke off.
async fn read_body<B: HttpBody>(mut body: Pin<&mut B>, limit: usize) -> Result<Body, ()> {
    let mut first = None;
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.map_err(drop)?.into_data() else { continue };
        let bytes = data.remaining();
        let before = first.as_ref().map_or(0, Bytes::len) + whole.len();
        if before + bytes > limit {
            return Ok(Body::TooLarge);
        }
        let data = data.copy_to_bytes(bytes);
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(earlier) => {
                whole.extend_from_slice(&earlier);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(Body::Complete(match first {
        // A slice of the connection's read buffer would keep the whole of that alive.
        Some(only) => Bytes::copy_from_slice(&only),
        None => whole.freeze(),
    }))
}

/// Reads the rest of a body that nobody wants, up to a bound.
async fn throw_away<B: HttpBody>(mut body: Pin<Box<B>>) {
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Buf::remaining);
        if total > THROW_AWAY {
            return;
        }
    }
}
