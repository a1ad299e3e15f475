//! The application's side of a client's task: events go to handlers, and those who wait for a connection are told.

use crate::base::error::HandlerError;
use crate::base::job::{Panic, drop_caught};
use crate::base::trace::debug;
use crate::base::turn::Turn;
use crate::client::error::{ConnectError, ServerRefusal};
use crate::client::handlers::ClientJob;
use crate::client::namespace::KnownNamespace;
use crate::client::socket::ClientSocket;
use crate::client::state::ConnectionEvent;
use crate::client::task::driver::Driver;
use crate::client::task::handle::Key;
use crate::client::task::shared::Attempt;
use crate::client::{engine, handlers};
use crate::handler::job::take_panicked_event;
use crate::handler::table::SeenTable;
use sansocket_protocol::client::{ClientEvent, ClientState, SessionEvent};
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::error::{Closed, PeerError, SendError};
use sansocket_protocol::socket::{AckOutcome, Args, ClientSocketEvent, SocketKey};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Duration;

/// The most events that are handled between two writes.
const EVENTS_PER_ROUND: usize = 1024;

impl Driver {
    /// Hands events to the handlers, until the turn is over.
    pub(super) fn dispatch(&mut self, turn: &mut Turn, context: &mut Context<'_>) {
        let mut has_more = true;
        for handled in 0..EVENTS_PER_ROUND {
            // Events that a handler causes after the last look are found before the task falls asleep.
            if !has_more && self.failure.is_none() || handled > 0 && turn.is_over(self.handle().clock()) {
                break;
            }
            let mut inner = self.shared.handle.lock();
            let Some(event) = inner.machine.poll_event() else {
                drop(inner);
                self.tell_failure();
                break;
            };
            has_more = inner.machine.has_event();
            match event {
                ClientEvent::Socket(ClientSocketEvent::Event { socket, args, ack }) => {
                    let connection = ack.map_or(0, |_| inner.machine.connection(socket));
                    drop(inner);
                    self.event(socket, args, ack, connection, context);
                }
                ClientEvent::Socket(ClientSocketEvent::Ack { socket, id, outcome }) => {
                    let sender = inner.acks.remove((id, socket));
                    inner.answered += usize::from(sender.is_some());
                    drop(inner);
                    if let Some(sender) = sender {
                        // Nobody listens if the future was dropped.
                        let _ = sender.send(outcome);
                    } else if let AckOutcome::Unsent(error) = outcome {
                        self.unsent(socket, error);
                    }
                }
                ClientEvent::Socket(event) => {
                    drop(inner);
                    self.socket_event(event, context);
                }
                ClientEvent::Session(event) => {
                    drop(inner);
                    self.session_event(event, context);
                }
                event => {
                    drop(inner);
                    self.connection_event(event, context);
                }
            }
        }
        self.let_tables_go();
    }

    /// Hands an event to its handlers, and polls what they begin for it. Most handlers finish at that.
    fn event(
        &mut self,
        key: SocketKey,
        args: Args,
        ack: Option<u64>,
        connection: u64,
        context: &mut Context<'_>,
    ) {
        let Some(at) = self.find(key) else { return };
        let KnownNamespace { namespace, table } = &mut self.namespaces[at];
        let socket = ClientSocket::new(self.shared.lease(), namespace.clone());
        // Extractors run the application's `Deserialize`, and handlers begin before they are futures.
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let table = table.get(&namespace.table);
            handlers::event(key, socket, table, args, ack, connection, context)
        }));
        match begun {
            Ok(None) => {}
            Ok(Some(job)) => self.keep(job),
            Err(panic) => self.panicked(Some(key), panic),
        }
    }

    /// Drops what was the application's, and so is the code that drops it.
    pub(super) fn let_go(&mut self, who: Key, value: impl Sized) {
        if let Err(panic) = drop_caught(value) {
            self.panicked(who, panic);
        }
    }

    /// Lets go of the handlers: those that were removed meanwhile are dropped, which is the application's code.
    fn let_tables_go(&mut self) {
        for at in 0..self.namespaces.len() {
            let known = &mut self.namespaces[at];
            if let Some(table) = known.table.take() {
                let key = known.namespace.key;
                self.let_go(key, table);
            }
        }
    }

    fn socket_event(&mut self, event: ClientSocketEvent, context: &mut Context<'_>) {
        let (ClientSocketEvent::Auth { socket: key, .. }
        | ClientSocketEvent::Connected { socket: key, .. }
        | ClientSocketEvent::Refused { socket: key, .. }
        | ClientSocketEvent::Unsent { socket: key, .. }
        | ClientSocketEvent::Disconnected { socket: key, .. }) = event
        else {
            return;
        };
        let Some(socket) = self.socket(key) else { return };
        let job = match event {
            ClientSocketEvent::Connected { connection, .. } => {
                self.tell_waiters(Some(key), connection, &Ok(()));
                handlers::connected(socket)
            }
            ClientSocketEvent::Refused { connection, error, .. } => {
                let error = ConnectError::from(error);
                return self.not_connected(key, connection, &error, context);
            }
            ClientSocketEvent::Disconnected { reason, .. } => {
                debug!(namespace = socket.name(), %reason, "disconnected");
                handlers::disconnected(socket, reason)
            }
            ClientSocketEvent::Unsent { error, .. } => {
                self.unsent(key, error);
                None
            }
            ClientSocketEvent::Auth { refused, .. } => {
                return self.ask_for_auth(&socket, key, refused.and_then(ServerRefusal::of), context);
            }
            // The core may learn to say more; this crate is of its own version.
            _ => None,
        };
        if let Some(job) = job {
            self.begin(job, context);
        }
    }

    /// Asks the application for the auth of a socket, after a refusal of the last one if there was any.
    fn ask_for_auth(
        &mut self,
        socket: &ClientSocket,
        key: SocketKey,
        refused: Option<ServerRefusal>,
        context: &mut Context<'_>,
    ) {
        let ask = socket.namespace_inner().ask.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(ask) = ask else { return };
        let asked = catch_unwind(AssertUnwindSafe(|| ask(refused)));
        let future = asked.unwrap_or_else(|panic| {
            let error = ConnectError::application(HandlerError::panic(panic));
            Box::pin(std::future::ready(Err(error)))
        });
        if let Some(at) = self.auths.iter().position(|(asked, _)| *asked == key) {
            let outdated = std::mem::replace(&mut self.auths[at], (key, future));
            self.let_go(Some(key), outdated);
        } else {
            self.auths.push((key, future));
        }
        // It may be ready at once.
        self.poll_asked(context);
    }

    /// An event that nobody awaits an answer of could not be sent.
    fn unsent(&mut self, key: SocketKey, error: SendError) {
        if let Some(socket) = self.socket(key) {
            self.shared.report(&socket, &HandlerError::UnsentEvent(error));
        }
    }

    /// The handle of a socket, for its handlers.
    fn socket(&mut self, key: SocketKey) -> Option<ClientSocket> {
        let at = self.find(key)?;
        Some(ClientSocket::new(self.shared.lease(), self.namespaces[at].namespace.clone()))
    }

    /// The place of a namespace among those that had events.
    fn find(&mut self, key: SocketKey) -> Option<usize> {
        let is_it = |known: &KnownNamespace| known.namespace.key == Some(key);
        self.namespaces.iter().position(is_it).or_else(|| {
            let namespace = self.shared.find(key)?;
            self.namespaces.push(KnownNamespace { namespace, table: SeenTable::default() });
            Some(self.namespaces.len() - 1)
        })
    }

    fn session_event(&mut self, event: SessionEvent, context: &mut Context<'_>) {
        // Handlers begin before they are futures.
        match catch_unwind(AssertUnwindSafe(|| engine::begin(&self.shared, event))) {
            Ok(Some(job)) => self.begin(job, context),
            Ok(None) => {}
            Err(panic) => self.panicked(None, panic),
        }
    }

    fn connection_event(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        let state = match event {
            ClientEvent::Dialing { attempt } => {
                // A new server, or a new address of it: nothing of the last try is of use.
                self.last_error = None;
                self.asked_in_vain = None;
                self.kept.clear();
                self.begin_dial(attempt, context);
                ConnectionEvent::Dialing { attempt }
            }
            ClientEvent::DialFailed { closed, retry_in } => {
                let error = self.asked_in_vain.take().unwrap_or_else(|| self.explain(closed));
                debug!(%error, "no session with the server");
                for key in self.no_session(&error, retry_in) {
                    let job =
                        self.socket(key).and_then(|socket| handlers::not_connected(socket, error.clone()));
                    if let Some(job) = job {
                        self.begin(job, context);
                    }
                }
                ConnectionEvent::Failed { error, retry_in }
            }
            ClientEvent::GaveUp => {
                self.gave_up();
                ConnectionEvent::GaveUp
            }
            ClientEvent::Opened { attempt } => {
                self.tell_waiters(None, self.ends, &Ok(()));
                ConnectionEvent::Open { attempt }
            }
            ClientEvent::Upgraded => {
                self.kept.clear();
                ConnectionEvent::Upgraded
            }
            ClientEvent::UpgradeFailed(error) => {
                debug!(%error, "the session stays on long-polling");
                ConnectionEvent::UpgradeFailed(error)
            }
            ClientEvent::Closed { closed, retry_in } => {
                let Closed { reason, detail, .. } = closed.clone();
                debug!(%reason, "the session was closed");
                // Sockets that were connected are told by an event of their own.
                let error = self.explain(closed);
                self.no_session(&error, retry_in);
                ConnectionEvent::Closed { reason, detail, retry_in }
            }
            // The core may learn to say more; this crate is of its own version.
            _ => return,
        };
        if let Some(hook) = &self.shared.settings.on_connection_event {
            // A hook that panics must not take the client along.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&state)));
        }
    }

    fn explain(&self, closed: Closed) -> ConnectError {
        let error = match closed.detail {
            Some(PeerError::Engine(EngineError::RequestFailed)) => self.last_error.clone(),
            _ => None,
        };
        ConnectError::Session { closed, error }
    }

    fn begin_dial(&mut self, attempt: u32, context: &mut Context<'_>) {
        let settings = &self.shared.settings;
        let Some(before_dial) = &settings.before_dial else {
            if self.route.is_none() {
                self.route = Some(self.route_to(&settings.url, settings.headers.clone()));
            }
            return;
        };
        let attempt =
            Attempt { number: attempt, url: settings.address.clone(), headers: settings.headers.clone() };
        let asked = catch_unwind(AssertUnwindSafe(|| before_dial(attempt)));
        let outdated = self.asking.replace(asked.unwrap_or_else(|panic| {
            let error = ConnectError::application(HandlerError::panic(panic));
            Box::pin(std::future::ready(Err(error)))
        }));
        self.let_go(None, outdated);
        self.poll_asked(context);
    }

    /// There is no session, and without `retry_in` there will be none: those who wait for the server will be told.
    /// Returns the sockets that wanted to join.
    fn no_session(&mut self, error: &ConnectError, retry_in: Option<Duration>) -> Vec<SocketKey> {
        let keys = self.shared.keys();
        self.ends += 1;
        self.failure = Some(error.clone());
        let mut inner = self.shared.handle.lock();
        let is_last = retry_in.is_none();
        if is_last && inner.machine.status() != ClientState::Idle {
            // That was the end, but the application has asked for a new beginning since, and waits for that.
            return Vec::new();
        }
        let wanting: Vec<_> = keys.into_iter().filter(|who| inner.is_wanted(*who)).collect();
        if is_last {
            // The patient ones are told once all is dealt with.
            wanting.iter().for_each(|who| inner.failed(*who, error));
        }
        wanting.into_iter().flatten().collect()
    }

    /// Tells those who wait for a first connection that there is none, after those whose sockets had been connected
    /// meanwhile.
    fn tell_failure(&mut self) {
        let Some(error) = self.failure.take() else { return };
        // Those who came later wait for the next try.
        let waiters = self.shared.handle.lock().take_disappointed(self.now, self.ends);
        for waiter in waiters {
            // Nobody listens if the future was dropped.
            let _ = waiter.sender.send(Err(error.clone()));
        }
    }

    fn gave_up(&self) {
        let keys = self.shared.keys();
        let mut inner = self.handle().lock();
        if inner.machine.status() == ClientState::Idle {
            for who in keys {
                if inner.is_wanted(who) {
                    inner.failed(who, &ConnectError::GaveUp);
                }
            }
        }
    }

    /// A socket could not join. Those who have asked for a later connection than that one wait on.
    pub(super) fn not_connected(
        &mut self,
        key: SocketKey,
        connection: u64,
        error: &ConnectError,
        context: &mut Context<'_>,
    ) {
        {
            let mut inner = self.handle().lock();
            if !inner.is_wanted(Some(key)) {
                inner.failed(Some(key), error);
            }
        }
        self.tell_waiters(Some(key), connection, &Err(error.clone()));
        if let Some(socket) = self.socket(key) {
            debug!(namespace = socket.name(), %error, "not connected");
            if let Some(job) = handlers::not_connected(socket, error.clone()) {
                self.begin(job, context);
            }
        }
    }

    /// Tells those who wait for a connection that there is one. A handler may be among them, and the event of the
    /// connection waits for that handler's end.
    pub(super) fn tell_connected(&self) {
        let waiters = self.handle().lock().take_connected();
        for waiter in waiters {
            // Nobody listens if the future was dropped.
            let _ = waiter.sender.send(Ok(()));
        }
    }

    /// Tells those who wait for that connection: not those who came when it had ended.
    fn tell_waiters(&self, who: Key, connection: u64, outcome: &Result<(), ConnectError>) {
        let waiters = {
            let mut inner = self.handle().lock();
            if outcome.is_ok() {
                inner.settled(who, connection);
            }
            inner.take_waiters(|waiter| waiter.who == who && waiter.before.connections <= connection)
        };
        for waiter in waiters {
            // Nobody listens if the future was dropped.
            let _ = waiter.sender.send(outcome.clone());
        }
    }

    fn begin(&mut self, mut job: ClientJob, context: &mut Context<'_>) {
        match job.poll_caught(context) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.keep(job),
            Err(panic) => {
                self.panicked(job.socket, panic);
                self.let_go(job.socket, job);
            }
        }
    }

    /// Later events of its socket wait for it.
    fn keep(&mut self, job: ClientJob) {
        self.shared.handle.lock().machine.hold(job.socket);
        self.jobs.push(job);
    }

    /// Goes on with the jobs that were not done at once, until the turn is over.
    pub(super) fn poll_jobs(&mut self, turn: &mut Turn, context: &mut Context<'_>) {
        let round = &mut self.jobs.begin_round();
        while let Some((job, panic)) = self.jobs.poll_done(round, turn, self.shared.handle.clock(), context) {
            let who = job.socket;
            if let Some(panic) = panic {
                self.panicked(who, panic);
            }
            self.let_go(who, job);
            // Another job of the same socket may still be at work: jobs of failures do not wait for each other.
            if !self.jobs.are_of(who) {
                self.shared.handle.lock().machine.release(who);
            }
        }
    }

    fn panicked(&mut self, who: Key, panic: Panic) {
        let error = HandlerError::panic(panic);
        let event = take_panicked_event();
        match who {
            Some(key) => {
                if let Some(socket) = self.socket(key) {
                    self.shared.report_about(&socket, event.as_deref(), &error, None);
                }
            }
            None => self.shared.report_session(&error),
        }
    }
}
