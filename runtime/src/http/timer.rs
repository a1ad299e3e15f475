//! A runtime's timer as hyper wants it.

use crate::base::runtime::{Runtime, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Gives hyper the timers of a runtime.
pub(crate) struct HttpTimer(pub(crate) Arc<dyn Runtime>);

/// hyper shares its sleeps between threads, at least in name: the lock is never waited for.
struct Sleep(Mutex<Box<dyn Timer>>);

impl Sleep {
    fn timer(&mut self) -> &mut dyn Timer {
        &mut **self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.timer().poll_elapsed(context)
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for HttpTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.0.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(Mutex::new(self.0.timer(deadline))))
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(mut sleep) => sleep.timer().reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}
