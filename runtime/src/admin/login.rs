//! Letting the pages of the admin UI in: passwords, and sessions in place of them.

use super::options::{Auth, Check};
use crate::base::hook::Hook;
use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::trace::{debug, info};
use futures_channel::oneshot;
use serde_json::Value;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most passwords that are checked at once.
const MAX_CHECKS: usize = 2;
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

    /// Returns whether there is a session of that id. The id comes from the peer, and may be anything.
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
    checks: Arc<AtomicUsize>,
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
    pub(super) async fn judge(&self, auth: &Value) -> Verdict {
        if matches!(self.auth, Kind::Open) {
            return Verdict::Known;
        }
        let text = |name| auth.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(id) = text("sessionId") {
            if self.sessions.contains(id).await {
                return Verdict::Known;
            }
        }
        let is_let_in = match &self.auth {
            Kind::Open => true,
            Kind::Basic { username, password } => match text("password") {
                Some(given) if text("username") == Some(username) => {
                    match self.check(password, given).await {
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

    /// Checks a password in a thread of its own: it takes a while on purpose. `None` if too many are checked already.
    async fn check(&self, hash: &str, password: &str) -> Option<bool> {
        let permit = Permit::take(&self.checks)?;
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

/// A place among the checks that run.
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(running: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |running| (running < MAX_CHECKS).then_some(running + 1);
        running.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(running.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;

    #[test]
    fn no_more_than_two_passwords_are_checked_at_once() {
        let running = Arc::default();
        let (first, second) = (Permit::take(&running), Permit::take(&running));
        assert!(first.is_some() && second.is_some() && Permit::take(&running).is_none());
        drop(first);
        assert!(Permit::take(&running).is_some());
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
