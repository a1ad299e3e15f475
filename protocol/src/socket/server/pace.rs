//! How fast the events of one socket may come, or are handed out.

use crate::error::PeerError;
use crate::rate::{Bucket, Rate};
use crate::socket::config::EventExcess;
use crate::time::Instant;

/// How many events a socket may still bring.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    bucket: Bucket,
    excess: EventExcess,
    /// Its events wait until then.
    pub(super) until: Option<Instant>,
}

/// What becomes of an event whose turn it is.
pub(super) enum Turn {
    Now,
    Later,
    Never,
}

impl Pace {
    pub(super) fn new(now: Instant, rate: Rate, excess: EventExcess) -> Self {
        Self { rate, bucket: Bucket::full(now, rate), excess, until: None }
    }

    /// An event has arrived: too many close the connection, if that is what they do.
    pub(super) fn arrives(&mut self, now: Instant) -> Result<(), PeerError> {
        match self.excess {
            EventExcess::Pace => Ok(()),
            EventExcess::Close => self.bucket.take(now, self.rate).map_err(|_| PeerError::TooManyEvents),
        }
    }

    /// Takes the token of an event that is to be handed out. Nobody waits for a turn once the socket `has_left`.
    pub(super) fn turn(&mut self, now: Instant, has_left: bool) -> Turn {
        if self.excess == EventExcess::Close {
            // It was judged when it came.
            return Turn::Now;
        }
        match self.bucket.take(now, self.rate) {
            Ok(()) => Turn::Now,
            Err(_) if has_left => Turn::Never,
            Err(wait) => {
                self.until = Some(now + wait);
                Turn::Later
            }
        }
    }
}
