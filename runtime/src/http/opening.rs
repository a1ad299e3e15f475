//! The opening of a session: what the limits and the application say to a handshake, and the session that follows.

use crate::base::trace::{debug, warning};
use crate::http::gate::Gate;
use crate::http::handshake::{ConnInfo, Handshake};
#[cfg(feature = "record")]
use crate::http::recordings::FlightRecorder;
use crate::session::handle::SessionHandle;
use crate::session::stats::count;
use crate::session::task::MakeTask;
use http::Request;
use sansocket_protocol::engine::{Cookie, RefusalCode, Response, TransportKind};
use sansocket_protocol::server::{Connection, Grant};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

impl Gate {
    /// The address that a session counts for: as the application tells it, or the other end of the connection.
    #[cfg(feature = "admin")]
    pub(crate) fn address_of(&self, handshake: &Handshake) -> Option<IpAddr> {
        let told =
            self.hooks.client_address.as_ref().and_then(|tell| self.caught(|| tell(handshake)).flatten());
        told.or_else(|| handshake.peer_addr().map(|peer| peer.ip()))
    }

    /// Opens a session, if the limits and the application let the client in.
    ///
    /// # Errors
    /// The answer to a client that is not let in.
    pub(super) async fn open(
        self: &Arc<Self>,
        request: &Request<()>,
        peer: ConnInfo,
        grant: &Grant,
    ) -> Result<(Arc<SessionHandle>, Option<ChosenCookie>), Response> {
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
        self.ask_application(&handshake, grant).await?;
        let id = match &self.hooks.make_id {
            None => None,
            Some(make) => Some(self.caught(|| make(&handshake)).ok_or_else(|| internal_error(grant))?),
        };
        let Some(make_task) = (self.application)(&handshake) else {
            return Err(grant.refuse(None));
        };
        let cookie = self.choose_cookie(&handshake, grant)?;
        #[cfg(feature = "record")]
        let recorder = self.recorder.clone().filter(|recorder| {
            // One that cannot be asked is not recorded.
            self.caught(|| recorder.chooses(&handshake)).unwrap_or(false)
        });
        let session = self.enter(
            address,
            id,
            make_task,
            grant,
            #[cfg(feature = "record")]
            recorder,
        )?;
        Ok((session, cookie))
    }

    /// Asks `cookie_for`, if it is set and the response will have a cookie.
    fn choose_cookie(&self, handshake: &Handshake, grant: &Grant) -> Result<Option<ChosenCookie>, Response> {
        let (Some(choose), Some(cookie)) = (&self.hooks.cookie, &self.config.cookie) else { return Ok(None) };
        if grant.transport != TransportKind::Polling {
            return Ok(None);
        }
        let chosen =
            self.caught(|| choose(handshake, cookie.clone())).ok_or_else(|| internal_error(grant))?;
        // The name is known elsewhere: logs of refused requests leave this cookie out.
        let chosen = chosen.map(|mut chosen| {
            chosen.name.clone_from(&cookie.name);
            chosen
        });
        match chosen.as_ref().map(Cookie::check) {
            Some(Err(error)) => {
                warning!(%error, "the cookie that `cookie_for` returned is left out");
                Ok(Some(ChosenCookie(None)))
            }
            Some(Ok(())) | None => Ok(Some(ChosenCookie(chosen))),
        }
    }

    /// Asks `allow_request`, if it is set.
    async fn ask_application(&self, handshake: &Handshake, grant: &Grant) -> Result<(), Response> {
        let Some(allow) = &self.hooks.allow_request else { return Ok(()) };
        let mut allowed = self.caught(|| allow(handshake.clone())).ok_or_else(|| internal_error(grant))?;
        let decided = poll_fn(|context| match self.caught(|| allowed.as_mut().poll(context)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(decided)) => Poll::Ready(Some(decided)),
            None => Poll::Ready(None),
        })
        .await;
        // What it had captured goes here, and not while this future is dropped.
        let dropped = self.caught(|| drop(allowed));
        match decided.filter(|_| dropped.is_some()) {
            None => Err(internal_error(grant)),
            Some(Ok(())) => Ok(()),
            Some(Err(refusal)) => {
                debug!(message = refusal.message(), "the application refused a session");
                count(&self.counters.by_application);
                let message = Some(refusal.message()).filter(|message| !message.is_empty());
                Err(grant.refuse(message))
            }
        }
    }

    /// Makes the session, and runs its task.
    fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        id: Option<String>,
        make_task: MakeTask,
        grant: &Grant,
        #[cfg(feature = "record")] recorder: Option<Arc<FlightRecorder>>,
    ) -> Result<Arc<SessionHandle>, Response> {
        #[cfg(feature = "metrics")]
        self.start_metrics();
        // Counted before it can be found, so that a shutdown does not end without it.
        self.shutdown.started();
        let mut entered = None;
        let registered = self.router().register_from(address, id, |id| {
            #[cfg_attr(not(feature = "record"), expect(unused_mut))]
            let mut machine = Connection::new(
                self.clock.now(),
                grant.revision,
                self.config.clone(),
                id.clone(),
                self.sockets.clone(),
            );
            #[cfg(feature = "record")]
            if let Some(recorder) = &recorder {
                recorder.begin(&mut machine);
            }
            let session = SessionHandle::new(machine, self.clock.clone());
            entered = Some(session.clone());
            session
        });
        let (id, session) = match (registered, entered) {
            (Ok(id), Some(session)) => (id, session),
            (registered, _) => {
                self.shutdown.ended();
                let Err(error) = registered else { return Err(grant.refuse(None)) };
                debug!(%error, "a session could not be opened");
                return Err(error.response(grant));
            }
        };
        let gate = self.clone();
        #[cfg(feature = "record")]
        let of_session = session.clone();
        let on_end = move || {
            #[cfg(feature = "record")]
            if let Some(recorder) = &recorder {
                let mut inner = of_session.lock();
                let (recording, ended) = (inner.machine.take_recording(), inner.machine.ended());
                let broke_a_rule = inner.machine.broke_a_rule();
                drop(inner);
                recorder.end(recording, ended.map(|(reason, _)| reason), broke_a_rule);
            }
            gate.forget(&id);
            gate.shutdown.ended();
        };
        self.runtime().spawn(make_task(session.clone(), self.counters.clone(), Box::new(on_end)));
        Ok(session)
    }
}

/// The choice of the application about the cookie of one session.
pub(super) struct ChosenCookie(Option<Cookie>);

impl ChosenCookie {
    /// Puts the cookie in the place of the one that the session has set.
    pub(super) fn replace(self, id: &str, response: &mut Response) {
        response.headers.retain(|(name, _)| name != "set-cookie");
        if let Some(cookie) = self.0 {
            response.headers.push(("set-cookie".into(), cookie.set(id).into()));
        }
    }
}

/// The answer to a client whose handshake made the application panic.
fn internal_error(grant: &Grant) -> Response {
    let mut response = Response::refusal_with(RefusalCode::Forbidden, crate::base::error::INTERNAL_ERROR);
    response.status = 500;
    if grant.transport == TransportKind::WebSocket {
        response.header("connection", "close")
    } else {
        response
    }
}
