//! Heartbeats. In protocol v4 the server pings, and the client answers:
//!
//! ```text
//!                 ping_interval over: send 2
//!     Waiting ---------------------------------> Awaiting --- ping_timeout over: the peer is gone
//!        ^                                          |
//!        +----------------- 3 received -------------+
//! ```
//!
//! In protocol v3 the client pings. The server answers, and otherwise only watches: it is always `Awaiting`, the next ping
//! has `ping_interval` and `ping_timeout` together, and each one begins that anew.

use crate::time::Instant;
use core::time::Duration;

/// The server's side of the heartbeat of one session.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    state: State,
    suspended: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting { ping_at: Instant },
    Awaiting { deadline: Instant, refreshed: bool, pinged: Instant, excused: bool },
}

/// A deadline that is judged so much later was slept through.
const LATE: Duration = Duration::from_millis(100);
/// The time to read what has arrived meanwhile.
const TO_READ: Duration = Duration::from_secs(1);

/// The most timeouts that the bytes of an unfinished message grant to an awaited pong, in all.
const TIMEOUTS_FOR_BYTES: u32 = 8;

/// An action that a heartbeat asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send a ping.
    Ping,
    /// Give the peer up.
    Timeout,
}

impl Heartbeat {
    /// A heartbeat whose first ping is one interval away.
    pub(crate) fn new(now: Instant, interval: Duration, timeout: Duration) -> Self {
        // An answer takes some time, even if the settings grant it no time.
        let timeout = timeout.max(Duration::from_millis(1));
        Self { interval, timeout, state: State::Waiting { ping_at: now + interval }, suspended: false }
    }

    /// The heartbeat of a session whose client pings, once in each interval.
    pub(crate) fn watching(now: Instant, interval: Duration, timeout: Duration) -> Self {
        let mut heartbeat = Self::new(now, interval, interval.saturating_add(timeout));
        heartbeat.ping(now);
        heartbeat
    }

    /// A ping was sent, or came: its answer, or the next one, is awaited.
    pub(crate) fn ping(&mut self, now: Instant) {
        let deadline = now + self.timeout;
        self.state = State::Awaiting { deadline, refreshed: false, pinged: now, excused: false };
    }

    /// The time at which the next action is due.
    pub(crate) fn deadline(&self) -> Instant {
        match self.state {
            State::Waiting { ping_at } => ping_at,
            State::Awaiting { .. } if self.suspended => Instant::FAR_FUTURE,
            State::Awaiting { deadline, .. } => deadline,
        }
    }

    /// The time of the ping whose pong is awaited.
    pub(crate) fn awaited_since(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { .. } => None,
            State::Awaiting { pinged, .. } => Some(pinged),
        }
    }

    /// The action that is due at `now`, if any. After a ping it awaits the answer.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        match self.state {
            State::Waiting { .. } => {
                self.ping(now);
                Some(Due::Ping)
            }
            State::Awaiting { .. } => Some(Due::Timeout),
        }
    }

    /// A pong came. An unsolicited one puts the next ping off, as in the reference.
    pub(crate) fn pong(&mut self, now: Instant) {
        self.state = State::Waiting { ping_at: now + self.interval };
    }

    /// Another packet came. The first one while a pong is awaited grants that pong a whole timeout more, once:
    /// a client busy sending is alive, but one that never answers is still given up.
    #[inline]
    pub(crate) fn activity(&mut self, now: Instant) {
        if let State::Awaiting { deadline, refreshed, .. } = &mut self.state {
            if !*refreshed {
                *deadline = now + self.timeout;
                *refreshed = true;
            }
        }
    }

    /// Puts off a timeout that is judged much too late, once for each ping: this side stood still, as a paused virtual machine
    /// does, and the pong may have arrived in a request that nobody has read. False: the peer was silent.
    pub(crate) fn excuse(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Awaiting { deadline, excused, .. } if !*excused && now >= *deadline + LATE => {
                *deadline = now + TO_READ;
                *excused = true;
                true
            }
            _ => false,
        }
    }

    /// Bytes of an unfinished message came. A pong may wait behind them, so they grant it a timeout more, again and again,
    /// but not for ever: a client that trickles bytes is given up.
    pub(crate) fn bytes(&mut self, now: Instant) {
        if let State::Awaiting { deadline, pinged, .. } = &mut self.state {
            let last = *pinged + self.timeout.saturating_mul(TIMEOUTS_FOR_BYTES);
            *deadline = (*deadline).max((now + self.timeout).min(last));
        }
    }

    /// Reading paused: a pong may lie unread, so its absence proves nothing.
    pub(crate) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Reading goes on: the awaited pong has a whole timeout from here.
    pub(crate) fn resume(&mut self, now: Instant) {
        if core::mem::take(&mut self.suspended) {
            self.restart(now);
        }
    }

    /// The awaited pong, if one is, has a whole timeout from here.
    pub(crate) fn restart(&mut self, now: Instant) {
        if let State::Awaiting { deadline, .. } = &mut self.state {
            *deadline = now + self.timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn heartbeat() -> Heartbeat {
        Heartbeat::new(at(0), Duration::from_millis(300), Duration::from_millis(200))
    }

    #[test]
    fn a_ping_is_sent_after_the_interval_and_its_pong_rearms_it() {
        let mut beat = heartbeat();
        assert_eq!(beat.due(at(299)), None);
        assert_eq!(beat.due(at(300)), Some(Due::Ping));
        assert_eq!(beat.due(at(300)), None);
        beat.pong(at(350));
        assert_eq!(beat.deadline(), at(650));
    }

    #[test]
    fn silence_ends_after_the_timeout() {
        let mut beat = heartbeat();
        beat.due(at(300));
        assert_eq!(beat.due(at(499)), None);
        assert_eq!(beat.due(at(500)), Some(Due::Timeout));
    }

    #[test]
    fn other_packets_refresh_the_timeout_once_per_ping() {
        let mut beat = heartbeat();
        beat.due(at(300));
        beat.activity(at(400));
        assert_eq!(beat.deadline(), at(600));
        beat.activity(at(500));
        assert_eq!(beat.deadline(), at(600));
    }

    #[test]
    fn bytes_of_an_unfinished_message_grant_time_but_not_for_ever() {
        let mut beat = heartbeat();
        beat.bytes(at(100));
        assert_eq!(beat.due(at(300)), Some(Due::Ping));
        beat.bytes(at(499));
        assert_eq!(beat.deadline(), at(699));
        for ms in 500..3_000 {
            beat.bytes(at(ms));
        }
        assert_eq!(beat.deadline(), at(300 + 8 * 200));
        assert_eq!(beat.due(at(1_900)), Some(Due::Timeout));
    }

    #[test]
    fn a_timeout_that_was_slept_through_is_put_off_once() {
        let mut beat = heartbeat();
        beat.due(at(300));
        assert!(!beat.excuse(at(599)));
        assert!(beat.excuse(at(60_000)));
        assert_eq!(beat.deadline(), at(61_000));
        assert_eq!(beat.due(at(90_000)), Some(Due::Timeout));
        assert!(!beat.excuse(at(90_000)));
        beat.pong(at(90_000));
        beat.due(at(90_300));
        assert!(beat.excuse(at(99_000)));
    }

    #[test]
    fn a_client_that_pings_is_watched_and_never_pinged() {
        let mut beat = Heartbeat::watching(at(0), Duration::from_millis(300), Duration::from_millis(200));
        assert_eq!(beat.due(at(499)), None);
        beat.ping(at(300));
        assert_eq!(beat.deadline(), at(800));
        // Another packet is a sign of life as well, once for each ping.
        beat.activity(at(700));
        beat.activity(at(900));
        assert_eq!(beat.deadline(), at(1200));
        assert_eq!(beat.due(at(1200)), Some(Due::Timeout));
    }

    #[test]
    fn an_unsolicited_pong_puts_the_next_ping_off() {
        let mut beat = heartbeat();
        beat.pong(at(200));
        assert_eq!(beat.deadline(), at(500));
    }

    #[test]
    fn while_reading_is_paused_no_pong_is_missed() {
        let mut beat = heartbeat();
        beat.due(at(300));
        beat.suspend();
        assert_eq!(beat.due(at(10_000)), None);
        beat.resume(at(10_000));
        assert_eq!(beat.deadline(), at(10_200));
    }
}
