//! The counters of a server.

use crate::base::timing::Timing;
use crate::websocket::wire::Traffic;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::server::{Connection, Counts, Limit};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The counters of a server since it was built, for a metrics endpoint or an alarm.
///
/// Sessions count for themselves and are added up at their end, so counting costs no session anything; instead
/// [`Server::stats`](crate::Server::stats) visits every session that lives. That takes some milliseconds for a hundred
/// thousand of them: ask every few seconds, not for every message.
///
/// ```
/// # fn example(io: &sansocket_runtime::Server) {
/// let stats = io.stats();
/// println!("{} sessions, {} events received", stats.sessions, stats.events_in);
/// println!("{} handshakes refused: too many", stats.refused.handshakes);
/// for (reason, sessions) in &stats.closed {
///     println!("{sessions} ended with {reason}");
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions that live now, those included that are ending.
    pub sessions: u64,
    /// Sessions that were ever opened.
    pub opened: u64,
    /// Sessions that ended, by the reason. In the protocol's words: [`CloseReason::as_str`].
    pub closed: BTreeMap<CloseReason, u64>,
    /// The refusals, by limit.
    pub refused: LimitCounts,
    /// Events that the handlers were given, or messages of a plain Engine.IO server.
    pub events_in: u64,
    /// Events and acknowledgements, or messages, that were queued for clients. A broadcast counts once for each client.
    pub events_out: u64,
    /// The number of times that a client's events had to wait because of `event_rate`, or its messages because of
    /// `message_rate`.
    pub events_paced: u64,
    /// Bytes that WebSockets brought, frame headers included.
    pub websocket_bytes_in: u64,
    /// Bytes that were written to WebSockets, frame headers included.
    pub websocket_bytes_out: u64,
    /// Bytes of the bodies of POSTs.
    pub polling_bytes_in: u64,
    /// Bytes of the bodies of answers to the requests of polling clients.
    pub polling_bytes_out: u64,
    /// Errors of handlers that the error hook was told: arguments that do not fit, returned errors, panics.
    pub handler_errors: u64,
    /// Panics of the application's code that were caught: in handlers, hooks and conversions.
    pub panics: u64,
}

/// Counts of the limits: the number of times that each refused something, or closed a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitCounts {
    /// TCP connections beyond `max_connections`, at the listener of the first of its servers: 503.
    pub connections: u64,
    /// TCP connections beyond `max_connections_per_address`, as above: 429.
    pub connections_per_address: u64,
    /// Handshakes beyond `max_sessions`: 503.
    pub sessions: u64,
    /// Handshakes beyond `max_sessions_per_address`: 429.
    pub sessions_per_address: u64,
    /// Handshakes beyond `handshake_rate`: 503.
    pub handshakes: u64,
    /// Handshakes beyond `handshake_rate_per_address`: 429.
    pub handshakes_per_address: u64,
    /// Handshakes during a shutdown: 503.
    pub shutting_down: u64,
    /// Handshakes that `allow_request` refused.
    pub by_application: u64,
    /// Handshakes for which `generate_id` made no good id.
    pub bad_id: u64,
    /// Requests that were malformed, for an unknown session, or of an origin that is not listed.
    pub bad_requests: u64,
    /// Sessions that were closed for more namespaces than `max_namespaces`.
    pub namespaces: u64,
    /// Sessions that were closed for a name longer than `max_namespace_name`.
    pub namespace_names: u64,
    /// Sessions that were closed for an `auth` larger than `max_auth`.
    pub auth: u64,
    /// Sessions that were closed for an attachment that did not come within `attachment_timeout`.
    pub attachment_timeouts: u64,
    /// Sessions that were closed for more CONNECT packets than `connect_rate`.
    pub connects: u64,
    /// Sessions that were closed after `max_refused_connects` refused CONNECT packets.
    pub refused_connects: u64,
    /// Sessions that were closed for more events than `event_rate`.
    pub events: u64,
    /// Sessions of a plain Engine.IO server that were closed for more messages than `message_rate`.
    pub messages: u64,
    /// Sessions that joined nothing within `connect_timeout`.
    pub connect_timeouts: u64,
    /// Clients that were not let into a namespace because of `max_dynamic_namespaces`, or
    /// `max_dynamic_namespaces_per_session`.
    pub dynamic_namespaces: u64,
    /// Calls of `join` beyond `max_rooms` or `max_room_name`.
    pub rooms: u64,
    /// Emits that were not sent because of `max_pending_acks`.
    pub pending_acks: u64,
    /// Answers to broadcasts that were dropped because of `max_broadcast_answers`.
    pub broadcast_answers: u64,
    /// Events that ran in line because `max_concurrent` handlers ran already.
    pub concurrent: u64,
}

/// The sums over the sessions that have ended, and the counts that belong to no session.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    ended: Mutex<Stats>,
    pub(crate) by_application: AtomicU64,
    pub(crate) bad_requests: AtomicU64,
    pub(crate) dynamic_namespaces: AtomicU64,
    pub(crate) rooms: AtomicU64,
    pub(crate) broadcast_answers: AtomicU64,
    pub(crate) concurrent: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) handler_errors: AtomicU64,
    pub(crate) polling_bytes_in: AtomicU64,
    pub(crate) polling_bytes_out: AtomicU64,
    /// The durations that metrics are about.
    pub(crate) timing: Timing,
}

/// Counts something rare.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters of one session, copied out of its handle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    counts: Counts,
    ended: Option<(CloseReason, Option<Limit>)>,
    traffic: Traffic,
}

impl Passed {
    pub(crate) fn new(machine: &Connection, traffic: Traffic) -> Self {
        Self { counts: machine.counts(), ended: machine.ended(), traffic }
    }

    pub(crate) fn add_to(&self, stats: &mut Stats) {
        stats.events_in += self.counts.events_in;
        stats.events_out += self.counts.events_out;
        stats.events_paced += self.counts.events_paced;
        stats.refused.pending_acks += self.counts.acks_refused;
        stats.websocket_bytes_in += self.traffic.read;
        stats.websocket_bytes_out += self.traffic.written;
    }
}

impl Counters {
    pub(crate) fn new(timing: Timing) -> Self {
        Self { timing, ..Self::default() }
    }

    /// Adds the counters of a session that has ended.
    pub(crate) fn session_ended(&self, passed: &Passed) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        passed.add_to(&mut ended);
        // One whose task was dropped with its runtime has no reason.
        let (reason, limit) = passed.ended.unwrap_or((CloseReason::TransportError, None));
        *ended.closed.entry(reason).or_default() += 1;
        let refused = &mut ended.refused;
        match limit {
            Some(Limit::Namespaces) => refused.namespaces += 1,
            Some(Limit::NamespaceName) => refused.namespace_names += 1,
            Some(Limit::Auth) => refused.auth += 1,
            Some(Limit::AttachmentTimeout) => refused.attachment_timeouts += 1,
            Some(Limit::Connects) => refused.connects += 1,
            Some(Limit::RefusedConnects) => refused.refused_connects += 1,
            Some(Limit::Events) => refused.events += 1,
            Some(Limit::Messages) => refused.messages += 1,
            Some(Limit::ConnectTimeout) => refused.connect_timeouts += 1,
            _ => {}
        }
    }

    /// The sums so far.
    pub(crate) fn read(&self) -> Stats {
        let mut stats = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.refused.by_application = read(&self.by_application);
        stats.refused.bad_requests = read(&self.bad_requests);
        stats.refused.dynamic_namespaces = read(&self.dynamic_namespaces);
        stats.refused.rooms = read(&self.rooms);
        stats.refused.broadcast_answers = read(&self.broadcast_answers);
        stats.refused.concurrent = read(&self.concurrent);
        stats.panics = read(&self.panics);
        stats.handler_errors = read(&self.handler_errors);
        stats.polling_bytes_in = read(&self.polling_bytes_in);
        stats.polling_bytes_out = read(&self.polling_bytes_out);
        stats
    }
}
