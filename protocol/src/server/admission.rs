//! Admission of new sessions: limits on how many there are and how often they come, in all and for each address.

use crate::engine::config::EngineServerConfig;
use crate::engine::request::{RefusalCode, Response};
use crate::engine::{Revision, Source, TransportKind};
use crate::rate::Bucket;
use crate::time::Instant;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;
use thiserror::Error;

/// The most addresses without a session that are remembered for their rate.
const REMEMBERED: usize = 8192;

/// The permission to open a session, if the application agrees.
#[derive(Debug)]
#[non_exhaustive]
pub struct Grant {
    /// The transport with which the session begins.
    pub transport: TransportKind,
    /// The revision of the protocol that the client speaks.
    pub revision: Revision,
}

impl Grant {
    /// The answer to a client that the application does not let in, in its own words or the reference's
    /// (`Forbidden`). A WebSocket handshake gets the words alone.
    pub fn refuse(&self, message: Option<&str>) -> Response {
        let code = RefusalCode::Forbidden;
        let message = message.map_or(code.message().into(), |message| Cow::Owned(String::from(message)));
        match self.transport {
            TransportKind::WebSocket => Response::upgrade_refusal_with(code, message),
            TransportKind::Polling => Response::refusal_with(code, message),
        }
    }
}

/// The reason why a session was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The application's id generator gave an id that is in use, or empty, or that cannot stand in a URL and a
    /// cookie as it is.
    #[error(
        "the session id is in use already, empty, or has characters other than letters, digits and -._~: ids must be \
         unique and unguessable"
    )]
    BadId,
    /// `max_sessions` is reached.
    #[error("the server holds `max_sessions` sessions already")]
    TooManySessions,
    /// `max_sessions_per_address` is reached.
    #[error("this address holds `max_sessions_per_address` sessions already")]
    TooManySessionsFromAddress,
    /// Sessions are being opened faster than `handshake_rate`.
    #[error("more handshakes than `handshake_rate` allows")]
    TooManyHandshakes {
        /// The time until one is allowed.
        retry_after: Duration,
    },
    /// This address opens sessions faster than `handshake_rate_per_address`.
    #[error("more handshakes from this address than `handshake_rate_per_address` allows")]
    TooManyHandshakesFromAddress {
        /// The time until one is allowed.
        retry_after: Duration,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl RegisterError {
    /// The answer to the client: 503 if the server is full or shutting down, 429 if this client asks too often. Both
    /// carry Engine.IO's JSON on either transport; 400 is kept for handshakes that can never succeed.
    pub fn response(self, grant: &Grant) -> Response {
        let is_websocket = grant.transport == TransportKind::WebSocket;
        let (status, message, retry_after) = match self {
            Self::BadId if is_websocket => return Response::upgrade_refusal(RefusalCode::BadRequest),
            Self::BadId => return Response::refusal(RefusalCode::BadRequest),
            Self::TooManySessions => (503, "Too many sessions", None),
            Self::ShuttingDown => (503, "Server shutting down", None),
            Self::TooManySessionsFromAddress => (429, "Too many sessions from this address", None),
            Self::TooManyHandshakes { retry_after } => (503, "Too many handshakes", Some(retry_after)),
            Self::TooManyHandshakesFromAddress { retry_after } => {
                (429, "Too many handshakes from this address", Some(retry_after))
            }
        };
        let mut response = Response::refusal_with(RefusalCode::Forbidden, message);
        response.status = status;
        if is_websocket {
            response = response.header("connection", "close");
        }
        match retry_after {
            // In whole seconds (RFC 9110, 10.2.3), rounded up.
            Some(wait) => {
                let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
                response.header("retry-after", alloc::format!("{seconds}"))
            }
            None => response,
        }
    }
}

/// The number of handshakes that were refused, by the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedHandshakes {
    /// [`EngineServerConfig::max_sessions`].
    pub sessions: u64,
    /// [`EngineServerConfig::max_sessions_per_address`].
    pub sessions_per_address: u64,
    /// [`EngineServerConfig::handshake_rate`].
    pub handshakes: u64,
    /// [`EngineServerConfig::handshake_rate_per_address`].
    pub handshakes_per_address: u64,
    /// The server was shutting down.
    pub shutting_down: u64,
    /// The application's generator made an id that cannot be one.
    pub bad_id: u64,
}

impl RefusedHandshakes {
    pub(super) fn count(&mut self, error: RegisterError) {
        let counter = match error {
            RegisterError::TooManySessions => &mut self.sessions,
            RegisterError::TooManySessionsFromAddress => &mut self.sessions_per_address,
            RegisterError::TooManyHandshakes { .. } => &mut self.handshakes,
            RegisterError::TooManyHandshakesFromAddress { .. } => &mut self.handshakes_per_address,
            RegisterError::ShuttingDown => &mut self.shutting_down,
            RegisterError::BadId => &mut self.bad_id,
        };
        *counter = counter.saturating_add(1);
    }
}

#[derive(Debug)]
struct Known {
    sessions: usize,
    /// `None` without [`EngineServerConfig::handshake_rate_per_address`].
    handshakes: Option<Bucket>,
}

/// The counts behind the limits.
#[derive(Debug, Default)]
pub(super) struct Admission {
    handshakes: Option<Bucket>,
    known: BTreeMap<Source, Known>,
    /// The number of those that have no session.
    idle: usize,
    /// The latest time told.
    now: Instant,
}

impl Admission {
    /// Asks the rates for one handshake, and takes it if both grant it.
    pub(super) fn handshake(
        &mut self,
        config: &EngineServerConfig,
        now: Instant,
        source: Option<Source>,
    ) -> Result<(), RegisterError> {
        self.now = self.now.max(now);
        let now = self.now;
        self.session(config, source)?;
        // The address first: one that is too eager must not use up what there is for all.
        let of_address = config.handshake_rate_per_address.zip(source);
        if let Some((rate, source)) = of_address {
            let known = self.known.get_mut(&source).and_then(|known| known.handshakes.as_mut());
            if let Some(Err(retry_after)) = known.map(|bucket| bucket.wait(now, rate)) {
                return Err(RegisterError::TooManyHandshakesFromAddress { retry_after });
            }
        }
        if let Some(rate) = config.handshake_rate {
            let bucket = self.handshakes.get_or_insert_with(|| Bucket::full(now, rate));
            bucket.take(now, rate).map_err(|retry_after| RegisterError::TooManyHandshakes { retry_after })?;
        }
        if let Some((rate, source)) = of_address {
            let bucket = self.entry(config, source).handshakes.get_or_insert_with(|| Bucket::full(now, rate));
            // The bucket had a token when it was asked above, at the same time.
            let _ = bucket.take(now, rate);
        }
        Ok(())
    }

    /// Returns whether the address may have one session more.
    pub(super) fn session(
        &self,
        config: &EngineServerConfig,
        source: Option<Source>,
    ) -> Result<(), RegisterError> {
        let limit = config.max_sessions_per_address;
        let held = source.and_then(|source| self.known.get(&source)).map_or(0, |known| known.sessions);
        match limit {
            Some(limit) if source.is_some() && held >= limit => {
                Err(RegisterError::TooManySessionsFromAddress)
            }
            _ => Ok(()),
        }
    }

    /// The address has one session more.
    pub(super) fn opened(&mut self, config: &EngineServerConfig, source: Source) {
        let known = self.entry(config, source);
        known.sessions = known.sessions.saturating_add(1);
        if known.sessions == 1 {
            self.idle = self.idle.saturating_sub(1);
        }
    }

    /// The address has one session less.
    pub(super) fn closed(&mut self, config: &EngineServerConfig, source: Source) {
        let Some(known) = self.known.get_mut(&source) else { return };
        known.sessions = known.sessions.saturating_sub(1);
        if known.sessions > 0 {
            return;
        }
        if known.is_as_new(config, self.now) {
            self.known.remove(&source);
        } else {
            self.idle = self.idle.saturating_add(1);
        }
    }

    /// The number of addresses that are remembered.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.known.len()
    }

    /// The entry of an address. When there are many, those that are as good as new go.
    fn entry(&mut self, config: &EngineServerConfig, source: Source) -> &mut Known {
        if !self.known.contains_key(&source) {
            if self.idle >= REMEMBERED {
                let now = self.now;
                self.known.retain(|_, known| known.sessions > 0 || !known.is_as_new(config, now));
                self.idle = self.known.values().filter(|known| known.sessions == 0).count();
                // A flood from so many addresses is held by the rate for all: the others start anew.
                if self.idle >= REMEMBERED / 2 {
                    self.known.retain(|_, known| known.sessions > 0);
                    self.idle = 0;
                }
            }
            self.idle = self.idle.saturating_add(1);
        }
        self.known.entry(source).or_insert(Known { sessions: 0, handshakes: None })
    }
}

impl Known {
    fn is_as_new(&mut self, config: &EngineServerConfig, now: Instant) -> bool {
        match (&mut self.handshakes, config.handshake_rate_per_address) {
            (Some(bucket), Some(rate)) => bucket.is_full(now, rate),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;
    use core::time::Duration;

    fn v4(last: u32) -> Option<Source> {
        Some(Source::V4((0x0a00_0000 + last).to_be_bytes()))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn an_address_that_is_too_eager_takes_nothing_from_the_others() {
        let config = EngineServerConfig::default()
            .handshake_rate(Some(Rate::per_second(10)))
            .handshake_rate_per_address(Some(Rate::per_second(2)));
        let mut admission = Admission::default();
        let mut granted = 0;
        for _ in 0..100 {
            granted += u32::from(admission.handshake(&config, at(0), v4(1)).is_ok());
        }
        assert_eq!(granted, 2);
        for other in 2..6 {
            for _ in 0..2 {
                assert_eq!(admission.handshake(&config, at(0), v4(other)), Ok(()));
            }
        }
        let refusal = admission.handshake(&config, at(0), v4(7));
        assert_eq!(
            refusal,
            Err(RegisterError::TooManyHandshakes { retry_after: Duration::from_millis(100) })
        );
        assert_eq!(admission.handshake(&config, at(100), v4(7)), Ok(()));
        let refusal = admission.handshake(&config, at(100), v4(1));
        let retry_after = Duration::from_millis(400);
        assert_eq!(refusal, Err(RegisterError::TooManyHandshakesFromAddress { retry_after }));
    }

    #[test]
    fn a_handshake_that_all_refuse_uses_up_nothing_of_its_address() {
        let config = EngineServerConfig::default()
            .handshake_rate(Some(Rate::per_second(1)))
            .handshake_rate_per_address(Some(Rate::per_second(1)));
        let mut admission = Admission::default();
        assert_eq!(admission.handshake(&config, at(0), v4(1)), Ok(()));
        assert!(admission.handshake(&config, at(0), v4(2)).is_err());
        assert_eq!(admission.handshake(&config, at(1000), v4(2)), Ok(()));
    }

    #[test]
    fn sessions_are_counted_up_and_down_for_each_address() {
        let config = EngineServerConfig::default().max_sessions_per_address(Some(2));
        let mut admission = Admission::default();
        let one = Source::V4([1, 2, 3, 4]);
        admission.opened(&config, one);
        admission.opened(&config, one);
        assert_eq!(admission.session(&config, Some(one)), Err(RegisterError::TooManySessionsFromAddress));
        assert_eq!(admission.session(&config, v4(1)), Ok(()));
        // A client without an address cannot be counted.
        assert_eq!(admission.session(&config, None), Ok(()));
        admission.closed(&config, one);
        assert_eq!(admission.session(&config, Some(one)), Ok(()));
        admission.closed(&config, one);
        assert_eq!(admission.remembered(), 0);
        admission.closed(&config, one);
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let config = EngineServerConfig::default().handshake_rate_per_address(Some(Rate::per_second(1)));
        let mut admission = Admission::default();
        let kept = Source::V4([9, 9, 9, 9]);
        admission.opened(&config, kept);
        for number in 0..100_000 {
            assert_eq!(admission.handshake(&config, at(0), v4(number)), Ok(()));
            assert!(admission.remembered() <= REMEMBERED + 1);
        }
        // A second later all of them may come again, so none is worth remembering.
        for number in 0..100_000 {
            assert_eq!(admission.handshake(&config, at(1000 + u64::from(number)), v4(number)), Ok(()));
        }
        assert!(admission.remembered() <= REMEMBERED + 1);
        assert!(admission.known.contains_key(&kept));
    }
}
