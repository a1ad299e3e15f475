//! HTTP for sessions: each request is handed to the session it belongs to, and gets the answer that the session gives.

use crate::base::clock::Clock;
use crate::base::runtime;
use crate::base::runtime::Runtime;
use crate::base::trace::{debug, info};
use crate::base::upgrade::Switching;
#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
use crate::http::body::{First, hand_body, or_answer, read_body, throw_away};
use crate::http::connections::Connections;
use crate::http::convert::{HeaderView, ResponseBody, emptied, head, response, target};
use crate::http::files::Files;
use crate::http::handed::{Handed, OfConnection, Switch};
use crate::http::handshake::{ConnInfo, Handshake};
#[cfg(feature = "metrics")]
use crate::http::metrics::GateMetrics;
use crate::http::options::{BuildError, Deadlines, Hooks, HttpOptions};
#[cfg(feature = "record")]
use crate::http::recordings::FlightRecorder;
use crate::http::refused::RefusedRequest;
use crate::http::shutdown::{Running, Shutdown};
use crate::session::handle::{Answer, SessionHandle, Upgrade};
use crate::session::stats::{Counters, Stats, count};
use crate::session::task::MakeTask;
use crate::websocket::deflate::connection::Deflate;
use crate::websocket::deflate::shared::SharedDeflate;
use crate::websocket::{Role, accept_upgrade, offered_subprotocols};
use bytes::Bytes;
use futures_channel::oneshot;
use http::{HeaderMap, Request, Response};
use http_body::Body as HttpBody;
use sansocket_protocol::engine;
use sansocket_protocol::engine::{
    OriginDecision, ParsedHead, RefusalCode, RequestHead, RequestId, Response as CoreResponse, Wants,
};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Grant, Route, Router};
use sansocket_protocol::socket;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
#[cfg(feature = "cluster")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A maker of the tasks of sessions, each with its application.
pub(crate) type MakeApplication = Box<dyn Fn(&Handshake) -> Option<MakeTask> + Send + Sync>;

/// The sessions of a server, and its HTTP.
pub(crate) struct Gate {
    pub(crate) config: Arc<engine::EngineServerConfig>,
    pub(crate) sockets: Option<Arc<socket::SocketServerConfig>>,
    pub(crate) clock: Clock,
    pub(crate) hooks: Hooks,
    pub(crate) files: Files,
    /// The compression of WebSocket messages, if it is on.
    deflate: Option<Arc<SharedDeflate>>,
    /// The size from which answers to polls are compressed, if they are.
    pub(super) http_compression: Option<usize>,
    pub(crate) deadlines: Arc<Deadlines>,
    /// The largest head of a request.
    pub(crate) max_head: usize,
    pub(crate) counters: Arc<Counters>,
    /// The connections of its listener.
    pub(crate) connections: Arc<Connections>,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(super) application: MakeApplication,
    router: Mutex<Router<Arc<SessionHandle>>>,
    /// The latest request of each session, if they are kept.
    latest: Option<Mutex<BTreeMap<Arc<str>, Handshake>>>,
    next_request: AtomicU64,
    /// The recorder of sessions, if they are recorded.
    #[cfg(feature = "record")]
    pub(super) recorder: Option<Arc<FlightRecorder>>,
    /// The server as a node, if it is one.
    #[cfg(feature = "cluster")]
    pub(super) cluster: OnceLock<Arc<Cluster>>,
    /// The metrics, if they are recorded.
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<GateMetrics>,
}

impl Gate {
    /// The gate of a server; with `sockets` its sessions speak Socket.IO.
    pub(crate) fn new(
        options: HttpOptions,
        runtime: Arc<dyn Runtime>,
        sockets: Option<socket::SocketServerConfig>,
        random: Random,
        application: MakeApplication,
    ) -> Result<Self, BuildError> {
        options.check()?;
        let (files, deadlines) = (options.files()?, options.deadlines());
        // No less than hyper needs.
        let max_head = options.max_head.max(8 << 10);
        let timing = options.timing();
        let config = Arc::new(options.engine);
        Ok(Self {
            router: Mutex::new(Router::new(config.clone(), random)),
            config,
            sockets: sockets.map(Arc::new),
            clock: Clock::new(runtime),
            hooks: options.hooks,
            files,
            deflate: options.deflate.map(SharedDeflate::new),
            http_compression: options.http_compression,
            deadlines: Arc::new(deadlines),
            max_head,
            counters: Arc::new(Counters::new(timing)),
            connections: Arc::new(Connections::new(options.connections)),
            shutdown: Arc::default(),
            application,
            latest: options.keep_latest_request.then(Mutex::default),
            next_request: AtomicU64::new(0),
            #[cfg(feature = "record")]
            recorder: match options.recordings {
                Some(recordings) => {
                    Some(Arc::new(FlightRecorder::new(recordings).map_err(BuildError::Recordings)?))
                }
                None => None,
            },
            #[cfg(feature = "cluster")]
            cluster: OnceLock::new(),
            #[cfg(feature = "metrics")]
            metrics: options.metrics.map(GateMetrics::new),
        })
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        self.clock.runtime()
    }

    pub(super) fn router(&self) -> MutexGuard<'_, Router<Arc<SessionHandle>>> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of sessions.
    pub(crate) fn sessions(&self) -> usize {
        self.router().len()
    }

    /// The session of that id.
    pub(crate) fn session(&self, id: &str) -> Option<Arc<SessionHandle>> {
        self.router().session(id).cloned()
    }

    /// All sessions, in the order of their ids.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<SessionHandle>> {
        self.router().sessions().cloned().collect()
    }

    /// The latest request of a session, if they are kept.
    pub(crate) fn latest_request(&self, session: &SessionHandle) -> Option<Handshake> {
        let latest = self.latest.as_ref()?;
        let id = session.lock().machine.id().clone();
        latest.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Keeps a request as the latest of its session, if they are kept.
    fn note_request(&self, session: &SessionHandle, request: &Request<()>, peer: ConnInfo) {
        let Some(latest) = &self.latest else { return };
        let request = Handshake::new(request, peer);
        let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = session.lock();
        // The end of a session forgets it, and comes after this.
        let before = (!inner.is_ended()).then(|| latest.insert(inner.machine.id().clone(), request));
        drop((inner, latest));
        // What a host has put on it is dropped without a lock.
        drop(before);
    }

    /// A session has ended.
    pub(super) fn forget(&self, id: &Arc<str>) {
        drop(self.router().remove(id));
        if let Some(latest) = &self.latest {
            let last = latest.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            drop(last);
        }
    }

    /// The counters of all sessions so far.
    pub(crate) fn stats(&self) -> Stats {
        let (sessions, opened, refused) = {
            let router = self.router();
            (router.sessions().cloned().collect::<Vec<_>>(), router.opened(), router.refused())
        };
        let mut stats = self.counters.read();
        for session in &sessions {
            let passed = {
                let inner = session.lock();
                // One that has ended is among the sums already.
                (!inner.is_ended()).then(|| inner.passed())
            };
            if let Some(passed) = passed {
                passed.add_to(&mut stats);
            }
        }
        stats.sessions = sessions.len() as u64;
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
    pub(crate) async fn shutdown(&self, timeout: Duration) {
        let sessions = || self.router().sessions().cloned().collect::<Vec<_>>();
        let close = || {
            self.router().drain();
            for session in sessions() {
                session.with(|machine| machine.close(CloseReason::ServerShuttingDown));
            }
        };
        let abort = || {
            for session in sessions() {
                session.abort(CloseReason::ServerShuttingDown);
            }
        };
        self.shutdown.run(self.runtime(), timeout, close, abort).await;
    }

    /// Answers a request, whatever its path. Not an async function: its future would have room for the request twice.
    pub(crate) fn respond<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: ConnInfo,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + use<B>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        let (mut parts, body) = request.into_parts();
        let file = self.files.respond(&parts).map(Box::new);
        let stream = Switching::take(&mut parts.extensions);
        let (held, place) = match parts.extensions.remove::<OfConnection>() {
            Some(OfConnection { heads, place }) => (Some(heads as _), place.map(|place| place as _)),
            None => (None, None),
        };
        let upgrade = stream.map(|stream| Upgrade { stream, held, place, deflate: None });
        let mut request = Request::from_parts(parts, ());
        async move {
            let reply = match file {
                Some(file) => Err(*file),
                None => Ok(self.respond_to(&request, upgrade, body, peer).await),
            };
            // A hook looks at the request's headers once more.
            let is_seen = self.hooks.initial_headers.is_some() || self.hooks.headers.is_some();
            let headers =
                if is_seen { HeaderMap::new() } else { emptied(std::mem::take(request.headers_mut())) };
            let answer = reply.map_or_else(|file| file, |reply| response(reply, headers));
            Ok(if is_seen { self.finish(&request.into_parts().0, answer) } else { answer })
        }
    }

    /// Answers a request that is for no file, and tells the application if it is refused.
    async fn respond_to<B>(
        self: &Arc<Self>,
        request: &Request<()>,
        upgrade: Option<Upgrade>,
        body: B,
        peer: ConnInfo,
    ) -> CoreResponse
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        let headers = HeaderView::new(request, peer);
        let head = head(request, target(request), &headers);
        // A panic in a function of the application refuses what it was asked about.
        let origin = self
            .caught(|| self.config.judge(&head))
            .unwrap_or_else(|| OriginDecision::Refused(head.headers.header("origin").unwrap_or_default()));
        let mut reply = match self.exchange(request, &head, &origin, upgrade, body, peer).await {
            Ok(reply) | Err(reply) => reply,
        };
        self.config.decorate(&head, &origin, &mut reply);
        #[cfg(feature = "cluster")]
        let other_node = self.other_node(&head, &reply);
        if let (Some(hook), Some(refusal)) = (&self.hooks.refused, reply.refused()) {
            let refused = RefusedRequest::new(request, peer, &self.config, reply.status, refusal);
            #[cfg(feature = "cluster")]
            let refused = refused.with_other_node(other_node);
            let _ = self.caught(|| hook(&refused));
        }
        reply
    }

    /// The way of a request: to its session, which is opened if the application lets the client in, and back with the
    /// answer.
    ///
    /// # Errors
    /// The answer to a request that does not get to a session, or breaks off.
    async fn exchange<B>(
        self: &Arc<Self>,
        request: &Request<()>,
        head: &RequestHead<'_>,
        origin: &OriginDecision<'_>,
        upgrade: Option<Upgrade>,
        body: B,
        peer: ConnInfo,
    ) -> Result<CoreResponse, CoreResponse>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        let parsed = head.parse();
        let found = match self.route(&parsed, origin) {
            Ok(found) => found,
            #[cfg(feature = "cluster")]
            Err(refusal) if self.forwards(&refusal) => {
                return Box::pin(self.elsewhere(request, head, refusal, body, peer)).await;
            }
            Err(refusal) => return Err(self.refused(refusal)),
        };
        let switch = self.switch(request, &parsed, upgrade, peer)?;
        let (session, cookie) = match found {
            Found::Session(session) => (session, None),
            // Only now: a handshake that was refused above must leave no session behind.
            Found::Grant(grant) => self.open(request, peer, &grant).await?,
        };
        self.note_request(&session, request, peer);
        // While the session is there: its task ends with the answer to this, which is not written by then.
        let running = self.shutdown.start();
        let (mut handed, receiver, wants) = self.hand_over(&session, &parsed)?;
        let mut body = (!body.is_end_stream()).then(|| Box::pin(body));
        let answer = self.answer_to(&handed, receiver, wants, body.as_mut().map(Pin::as_mut)).await?;
        handed.answered = true;
        match (answer, switch) {
            (Ok(Answer::Respond(mut reply)), _) => {
                if let Some(cookie) = cookie {
                    let id = session.lock().machine.id().clone();
                    cookie.replace(&id, &mut reply);
                }
                let counted = |body: &mut Bytes| {
                    session.with_inner(|inner| inner.count_unread(&session, session.now(), body));
                };
                let reply = self.compressed(*reply, request.headers(), counted);
                self.counters.polling_bytes_out.fetch_add(reply.body.len() as u64, Ordering::Relaxed);
                Ok(self.reply(reply, body, running))
            }
            (Ok(Answer::Switch), Some(switch)) => handed.switch(switch),
            // The session is gone, or the request overlapped another: its connection ends.
            _ => Err(CoreResponse::new(400).header("connection", "close")),
        }
    }

    /// Checks a WebSocket handshake; `None` if the request is not one.
    fn switch(
        &self,
        request: &Request<()>,
        parsed: &ParsedHead<'_>,
        upgrade: Option<Upgrade>,
        peer: ConnInfo,
    ) -> Result<Option<Switch>, CoreResponse> {
        if !parsed.is_websocket_upgrade() {
            return Ok(None);
        }
        match (accept_upgrade(request.method(), request.headers()), upgrade) {
            (Ok(accept), Some(mut upgrade)) => {
                let subprotocol = self.subprotocol(request, peer);
                let mut extensions = None;
                if let Some(shared) = &self.deflate {
                    if let Some((agreed, answer)) = shared.settings().accept(request.headers()) {
                        upgrade.deflate = Some(Deflate::new(Role::Server, shared.clone(), agreed));
                        extensions = Some(answer);
                    }
                }
                Ok(Some(Switch { accept, subprotocol, extensions, upgrade }))
            }
            (Ok(_), None) => {
                debug!("this host cannot switch protocols: its connections must be served with upgrades");
                Err(CoreResponse::upgrade_refusal(RefusalCode::BadRequest))
            }
            (Err(error), _) => {
                debug!(%error, "a WebSocket handshake was refused");
                Err(CoreResponse::upgrade_refusal(RefusalCode::BadRequest))
            }
        }
    }

    /// The subprotocol that the answer to a WebSocket handshake names.
    fn subprotocol(&self, request: &Request<()>, peer: ConnInfo) -> Option<String> {
        let offered = offered_subprotocols(request.headers());
        let first = offered.first()?;
        let chosen = match &self.hooks.subprotocol {
            None => Some(*first),
            Some(choose) => self.caught(|| choose(&Handshake::new(request, peer), &offered))?,
        };
        // The hook may give a text of its own: clients refuse what they have not offered.
        chosen.filter(|chosen| offered.contains(chosen)).map(str::to_owned)
    }

    /// The session that a request is for, or the leave to open one.
    fn route(&self, parsed: &ParsedHead<'_>, origin: &OriginDecision<'_>) -> Result<Found, CoreResponse> {
        let route = self.router().route_judged(parsed, origin);
        if let OriginDecision::Refused(origin) = origin {
            // Escaped: it is the client's invention.
            info!(
                ?origin,
                "a request was refused because of its origin: to let it in, add it to the server's `origins`"
            );
        }
        match route {
            Route::Session(session) => Ok(Found::Session(session)),
            Route::Open(grant) => Ok(Found::Grant(grant)),
            Route::Reply(reply) => {
                self.files.explain_absence(parsed.head().target);
                Err(reply)
            }
            _ => Err(CoreResponse::new(404)),
        }
    }

    /// Counts a request that did not get to a session.
    pub(super) fn refused(&self, reply: CoreResponse) -> CoreResponse {
        debug!(status = reply.status, body = ?reply.body, "a request was refused");
        if reply.status >= 400 {
            count(&self.counters.bad_requests);
        }
        reply
    }

    /// Hands a request to its session.
    pub(super) fn hand_over<'a>(
        &self,
        session: &'a SessionHandle,
        head: &ParsedHead<'_>,
    ) -> Result<(Handed<'a>, oneshot::Receiver<Answer>, Wants), CoreResponse> {
        let id = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let wants = session.with_inner(|inner| {
            if inner.is_ended() {
                return None;
            }
            let requests = &mut inner.waiting_mut().requests;
            requests.reserve_exact(1);
            requests.push((id, sender));
            Some(inner.machine.handle_parsed_request(session.now(), id, head))
        });
        match wants {
            Some(wants) => Ok((Handed { session, id, answered: false }, receiver, wants)),
            None => Err(CoreResponse::refusal(RefusalCode::UnknownSession)),
        }
    }

    /// The session's answer, which may come while the body, if there is one, is still on the way.
    pub(super) async fn answer_to<B: HttpBody>(
        &self,
        handed: &Handed<'_>,
        mut receiver: oneshot::Receiver<Answer>,
        wants: Wants,
        body: Option<Pin<&mut B>>,
    ) -> Result<Result<Answer, oneshot::Canceled>, CoreResponse> {
        if let Wants::Body { limit } = wants {
            let (session, id) = (handed.session, handed.id);
            let alive = |before: usize, _: usize| {
                if before > 0 {
                    session.with(|machine| machine.handle_bytes(session.now(), id));
                }
                true
            };
            let first = {
                // Pinned here: a future that is passed by value has its place twice in the one that it is passed to.
                let read = pin!(async {
                    match body {
                        Some(body) => read_body(body, limit, alive).await,
                        None => Ok(engine::Body::Complete(Bytes::new())),
                    }
                });
                let read = pin!(or_answer(&mut receiver, read));
                runtime::timeout(self.runtime(), self.deadlines.body, read).await
            };
            match first {
                Some(First::Body(Ok(body))) => {
                    if let Some((sender, answer)) = hand_body(session, id, body, &self.counters) {
                        // First the receiver: a sender that goes wakes the task that waits, which is this one.
                        drop(receiver);
                        drop(sender);
                        return Ok(Ok(answer));
                    }
                }
                Some(First::Answer(answer)) => return Ok(answer),
                // The session hears of it as `handed` is dropped.
                Some(First::Body(Err(()))) => return Err(CoreResponse::new(400)),
                None => {
                    debug!("the body of a POST took too long");
                    return Err(CoreResponse::new(408).header("connection", "close"));
                }
            }
        }
        Ok(receiver.await)
    }

    /// The response that carries a session's answer.
    pub(super) fn reply<B>(
        &self,
        mut reply: CoreResponse,
        body: Option<Pin<Box<B>>>,
        running: Running,
    ) -> CoreResponse
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        if let Some(body) = body.filter(|body| !body.is_end_stream()) {
            // A client that is cut off while it sends never reads the answer.
            let (runtime, limit) = (self.runtime().clone(), self.deadlines.body);
            self.runtime().spawn(Box::pin(async move {
                runtime::timeout(&runtime, limit, throw_away(body)).await;
            }));
        }
        reply.body = running.until_written(std::mem::take(&mut reply.body));
        reply
    }

    /// Runs a hook of the application. `None`: it panicked.
    pub(super) fn caught<T>(&self, hook: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(hook)) {
            Ok(value) => Some(value),
            Err(panic) => {
                count(&self.counters.panics);
                let error = crate::HandlerError::panic(panic);
                debug!(%error, "a hook panicked");
                None
            }
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

/// The destination of a request.
enum Found {
    Session(Arc<SessionHandle>),
    /// A session that may be opened.
    Grant(Grant),
}
