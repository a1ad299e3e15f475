//! Letting the pages of the admin UI in: passwords, and sessions in place of them.

use super::options::{Auth, Check};
use crate::base::hook::Hook;
use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::trace::{debug, info};
use futures_channel::oneshot;
use sansocket_protocol::server::Source;
use serde_json::Value;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most passwords that are checked at once.
const MAX_CHECKS: usize = 2;
/// The most that wait for their turn meanwhile.
const MAX_WAITING: usize = 16;
/// The longest id of a session that is looked for: ours have 20 characters.
const MAX_ID: usize = 64;
/// The most sessions that are kept in memory: the oldest makes room.
const MAX_SESSIONS: usize = 1000;
/// The time for which a session is kept in memory: the reference's, where it keeps them in Redis.
const SESSION_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// The words that make the page ask for a name and a password.
const INVALID: &str = "invalid credentials";

/// A store of the sessions of pages that have logged in: with one for all servers, a page logs in once.
///
/// An id is a secret, made of letters, digits, `-` and `_`.
pub trait AdminSessions: Send + Sync + 'static {
    /// Keeps a session, for as long as the store likes.
    fn save(&self, id: &str) -> BoxFuture<()>;

    /// Returns whether there is a session of that id. The id comes from the peer: at most 64 letters, digits, `-` and `_`,
    /// as other ids are not looked for.
    fn contains(&self, id: &str) -> BoxFuture<bool>;
}

/// The sessions of one server.
struct Memory {
    runtime: Arc<dyn Runtime>,
    /// In the order in which they began.
    sessions: Mutex<VecDeque<(Box<str>, Instant)>>,
}

impl AdminSessions for Memory {
    fn save(&self, id: &str) -> BoxFuture<()> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MAX_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((id.into(), self.runtime.now()));
        Box::pin(std::future::ready(()))
    }

    fn contains(&self, id: &str) -> BoxFuture<bool> {
        let now = self.runtime.now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        while sessions
            .front()
            .is_some_and(|(_, began)| now.saturating_duration_since(*began) >= SESSION_DURATION)
        {
            sessions.pop_front();
        }
        let is_known = sessions.iter().any(|(known, _)| **known == *id);
        Box::pin(std::future::ready(is_known))
    }
}

/// The judge of those who want to connect.
pub(super) struct Login {
    auth: Kind,
    sessions: Arc<dyn AdminSessions>,
    checks: Arc<Mutex<Checks>>,
}

enum Kind {
    Open,
    Basic { username: String, password: String },
    Check(Hook<Check>),
}

/// The judgement on one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may connect.
    Known,
    /// It may connect, and gets a session.
    New,
    /// It may not, and is told so.
    Refused(&'static str),
}

impl Login {
    pub(super) fn new(
        auth: Auth,
        sessions: Option<Arc<dyn AdminSessions>>,
        runtime: Arc<dyn Runtime>,
    ) -> Arc<Self> {
        let auth = match auth {
            Auth::Open => Kind::Open,
            Auth::Basic { username, password } => Kind::Basic { username, password },
            Auth::Check(check) => {
                let hook = Hook::default();
                hook.set(check);
                Kind::Check(hook)
            }
        };
        let sessions = sessions.unwrap_or_else(|| Arc::new(Memory { runtime, sessions: Mutex::default() }));
        Arc::new(Self { auth, sessions, checks: Arc::default() })
    }

    /// Keeps the session of a page that was let in.
    pub(super) async fn save(&self, id: &str) {
        self.sessions.save(id).await;
    }

    /// Judges what a page connects with.
    pub(super) async fn judge(&self, auth: &Value, address: Option<IpAddr>) -> Verdict {
        if matches!(self.auth, Kind::Open) {
            return Verdict::Known;
        }
        let text = |name| auth.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(id) = text("sessionId").filter(|id| may_be_session(id)) {
            if self.sessions.contains(id).await {
                return Verdict::Known;
            }
        }
        let is_let_in = match &self.auth {
            Kind::Open => true,
            Kind::Basic { username, password } => match text("password") {
                Some(given) if text("username") == Some(username) => {
                    match self.check(password, given, address).await {
                        Some(fits) => fits,
                        None => return Verdict::Refused("too many logins at once: try again"),
                    }
                }
                _ => false,
            },
            Kind::Check(hook) => hook
                .get()
                .is_some_and(|check| catch_unwind(AssertUnwindSafe(|| check(auth))).unwrap_or_default()),
        };
        if is_let_in {
            info!("a page of the admin UI has logged in");
            Verdict::New
        } else {
            debug!("a page of the admin UI has no valid credentials");
            Verdict::Refused(INVALID)
        }
    }

    /// Checks a password in a thread of its own, once it is its turn: it takes a while on purpose. `None` if too many wait,
    /// or one of the same address does.
    async fn check(&self, hash: &str, password: &str, address: Option<IpAddr>) -> Option<bool> {
        let turn = Checks::queue(&self.checks, address.map(Source::from))?;
        let permit = turn.await.ok()?;
        let (hash, password) = (hash.to_owned(), password.to_owned());
        let (answer, answered) = oneshot::channel();
        let check = move || {
            let fits = bcrypt::verify(password, &hash).unwrap_or(false);
            drop(permit);
            // The client may be gone.
            let _ = answer.send(fits);
        };
        thread::Builder::new().name("admin-login".into()).spawn(check).ok()?;
        answered.await.ok()
    }
}

/// Returns whether a session may have that id.
fn may_be_session(id: &str) -> bool {
    id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The checks that run, and those that wait. An address has one of them at a time, so that nobody who knows a name keeps
/// its owner out with guesses.
#[derive(Default)]
struct Checks {
    running: Vec<Option<Source>>,
    waiting: VecDeque<(Option<Source>, oneshot::Sender<Permit>)>,
}

impl Checks {
    /// Waits for a place. `None` if too many do, or the address has one.
    fn queue(this: &Arc<Mutex<Self>>, address: Option<Source>) -> Option<oneshot::Receiver<Permit>> {
        let mut checks = this.lock().unwrap_or_else(PoisonError::into_inner);
        // Their clients are gone.
        checks.waiting.retain(|(_, turn)| !turn.is_canceled());
        let waiting = checks.waiting.iter().map(|(address, _)| address);
        let has_one =
            address.is_some() && checks.running.iter().chain(waiting).any(|known| *known == address);
        if has_one || checks.waiting.len() >= MAX_WAITING {
            return None;
        }
        let (turn, permit) = oneshot::channel();
        checks.waiting.push_back((address, turn));
        drop(checks);
        Self::go_on(this);
        Some(permit)
    }

    /// Gives the free places to those that wait longest.
    fn go_on(this: &Arc<Mutex<Self>>) {
        loop {
            let mut checks = this.lock().unwrap_or_else(PoisonError::into_inner);
            if checks.running.len() >= MAX_CHECKS {
                return;
            }
            let Some((address, turn)) = checks.waiting.pop_front() else { return };
            checks.running.push(address);
            drop(checks);
            // If its client is gone, the place is given back at once.
            drop(turn.send(Permit { checks: this.clone(), address }));
        }
    }
}

/// A place among the checks that run.
struct Permit {
    checks: Arc<Mutex<Checks>>,
    address: Option<Source>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = checks.running.iter().position(|address| *address == self.address) {
            checks.running.swap_remove(at);
        }
        drop(checks);
        Checks::go_on(&self.checks);
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;

    type Turn = oneshot::Receiver<Permit>;

    fn queue(checks: &Arc<Mutex<Checks>>, address: u8) -> Option<Turn> {
        Checks::queue(checks, Some(Source::V4([10, 0, 0, address])))
    }

    /// The place, if it is given.
    fn place(turn: &mut Option<Turn>) -> Option<Permit> {
        turn.as_mut()?.try_recv().ok().flatten()
    }

    #[test]
    fn two_passwords_are_checked_at_once_and_the_others_wait_for_their_turn() {
        let checks = Arc::default();
        let mut turns: Vec<_> = (0..4).map(|address| queue(&checks, address)).collect();
        let (first, second) = (place(&mut turns[0]), place(&mut turns[1]));
        assert!(first.is_some() && second.is_some());
        assert!(place(&mut turns[2]).is_none());
        // The next one's client goes: the place is the next but one's.
        drop(turns.remove(2));
        drop(first);
        assert!(place(&mut turns[2]).is_some());
        drop(second);
        assert!(place(&mut queue(&checks, 9)).is_some());
    }

    #[test]
    fn an_address_that_guesses_keeps_nobody_else_out() {
        let checks = Arc::default();
        let guess = place(&mut queue(&checks, 1));
        assert!(guess.is_some());
        // While that one is checked, it has no other, and others have theirs.
        assert!(queue(&checks, 1).is_none());
        assert!(place(&mut queue(&checks, 2)).is_some());
        drop(guess);
        assert!(queue(&checks, 1).is_some(), "it may try again");
    }

    #[test]
    fn no_more_than_sixteen_wait() {
        let checks = Arc::default();
        let turns: Vec<_> = (0..=18).map(|address| queue(&checks, address)).collect();
        let taken = turns.iter().filter(|turn| turn.is_some()).count();
        assert_eq!(taken, MAX_CHECKS + MAX_WAITING);
        // Those whose clients are gone do not count.
        drop(turns);
        let turn = place(&mut queue(&checks, 1));
        assert!(turn.is_some());
    }

    #[test]
    fn a_text_that_can_be_no_id_is_not_looked_for() {
        assert!(may_be_session("aZ0-_"));
        assert!(may_be_session(&"a".repeat(MAX_ID)) && !may_be_session(&"a".repeat(MAX_ID + 1)));
        assert!(["a b", "a\n", "\u{e9}", "a'--", "*"].iter().all(|id| !may_be_session(id)));
    }

    #[test]
    fn the_oldest_of_too_many_sessions_goes() {
        let sessions = Memory { runtime: Arc::new(InMemory::new()), sessions: Mutex::default() };
        let contains = |id: usize| {
            let mut found = sessions.contains(&id.to_string());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            found.as_mut().poll(&mut context)
        };
        for id in 0..=MAX_SESSIONS {
            drop(sessions.save(&id.to_string()));
        }
        use std::task::Poll::Ready;
        assert_eq!(
            (contains(0), contains(1), contains(MAX_SESSIONS)),
            (Ready(false), Ready(true), Ready(true))
        );
    }
}
