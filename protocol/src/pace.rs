//! The pace at which the events of one socket, or the messages of one session, may come or are handed out.

use crate::rate::{Bucket, EventExcess, Rate};
use crate::time::Instant;

/// A rate limit on events, with the tokens that are left.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    bucket: Bucket,
    excess: EventExcess,
    /// The time until which events wait.
    pub(crate) until: Option<Instant>,
}

/// The decision about an event whose turn it is.
pub(crate) enum Turn {
    Now,
    Later,
    Never,
}

impl Pace {
    pub(crate) fn new(now: Instant, rate: Rate, excess: EventExcess) -> Self {
        Self { rate, bucket: Bucket::full(now, rate), excess, until: None }
    }

    /// An event has arrived. False if it is one too many, and that is to close the connection.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.excess {
            EventExcess::Pace => true,
            EventExcess::Close => self.bucket.take(now, self.rate).is_ok(),
        }
    }

    /// Takes the token of an event that is to be handed out. No event waits for a turn once its sender `has_left`.
    pub(crate) fn turn(&mut self, now: Instant, has_left: bool) -> Turn {
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
