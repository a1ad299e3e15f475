//! The part of a socket that can be recovered, while it is connected.

use crate::server::recovery::{Recovery, lock};
#[cfg(feature = "cluster")]
use sansocket_protocol::cluster::node::Certainty;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::hub::Membership;
use sansocket_protocol::recovery::{Appended, LiveSession};
use sansocket_protocol::time::Instant;
use std::sync::{Arc, Mutex};
#[cfg(feature = "cluster")]
use std::time::Duration;

/// The part of a socket that can be recovered.
pub(crate) struct Recoverable {
    pub(super) pid: Arc<str>,
    pub(crate) recovered: bool,
    state: Mutex<State>,
}

struct State {
    live: LiveSession,
    /// The client was let in.
    accepted: bool,
    /// The reason of its end keeps the session.
    keeps: bool,
    /// It was lost at a time at which it is not known what its client has got.
    is_unsure: bool,
    /// Its rooms, once it has left them, and the number of the first event after that.
    left: Option<(Membership, u64)>,
    /// Whether its client's offset says what it has got.
    #[cfg(feature = "cluster")]
    certainty: Certainty,
}

impl Recoverable {
    pub(super) fn new(live: LiveSession, recovered: bool) -> Self {
        let pid = live.pid().clone();
        let state = State {
            live,
            accepted: false,
            keeps: false,
            is_unsure: false,
            left: None,
            #[cfg(feature = "cluster")]
            certainty: Certainty::default(),
        };
        Self { pid, recovered, state: Mutex::new(state) }
    }

    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    pub(super) fn sent(&self, now: Instant, appended: &Appended) {
        lock(&self.state).live.sent(now, appended.number);
    }

    /// An event is sent to it that is in the log behind that of the ticket.
    #[cfg(feature = "cluster")]
    pub(super) fn placed(&self, now: Instant, ticket: u64, detection: Duration) {
        lock(&self.state).certainty.sent_with_offset(now, ticket, detection);
    }

    /// An event is sent to it without a place in the log. It may be there by that ticket; 0 if it is not.
    #[cfg(feature = "cluster")]
    pub(super) fn unplaced(&self, now: Instant, ticket: u64) {
        lock(&self.state).certainty.sent_without_offset(now, ticket);
    }

    /// Whether its session has begun, or gone on here, after the event of that number.
    #[cfg(feature = "cluster")]
    pub(super) fn came_after(&self, number: u64) -> bool {
        lock(&self.state).live.start() > number
    }

    /// The client was let in.
    pub(crate) fn accepted(&self) {
        lock(&self.state).accepted = true;
    }

    /// Its connection is lost, for that reason.
    pub(crate) fn lost(&self, reason: CloseReason, recovery: &Recovery) {
        let mut state = lock(&self.state);
        #[cfg(feature = "cluster")]
        {
            let (now, detection) = (recovery.clock.now(), recovery.config.detection);
            state.is_unsure |= !state.certainty.is_certain(now, detection);
        }
        #[cfg(not(feature = "cluster"))]
        let _ = recovery;
        // A client that was never let in knows no private id.
        state.keeps |= reason.is_recoverable() && (state.accepted || self.recovered);
    }

    /// Its connection is lost in a way after which its client may come back.
    pub(super) fn is_kept(&self) -> bool {
        lock(&self.state).keeps
    }

    /// Its client knows its private id.
    pub(super) fn may_be_kept(&self) -> bool {
        self.recovered || lock(&self.state).accepted
    }

    /// It has left its rooms, before the event of that number.
    pub(super) fn left(&self, membership: Membership, next: u64) {
        lock(&self.state).left = Some((membership, next));
    }

    /// The parts that are left of it at its end.
    pub(super) fn remains(&self) -> Remains {
        let mut state = lock(&self.state);
        Remains {
            live: state.live.clone(),
            left: state.left.take(),
            keeps: state.keeps,
            accepted: state.accepted,
            is_unsure: state.is_unsure,
        }
    }
}

/// The rest of a socket that has ended.
pub(super) struct Remains {
    pub(super) live: LiveSession,
    /// Its rooms, and the number of the first event after it had left them.
    pub(super) left: Option<(Membership, u64)>,
    pub(super) keeps: bool,
    pub(super) accepted: bool,
    pub(super) is_unsure: bool,
}
