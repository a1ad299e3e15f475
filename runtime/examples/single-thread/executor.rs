//! An executor on one thread, with its reactor: tasks, timers, and readiness of sockets. `std` and mio, nothing else.

use mio::event::Source;
use mio::{Events, Interest, Poll as Poller, Token};
use sansocket_runtime::adapter::BoxFuture;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

/// mio's waker has this token; sockets have later ones.
const BELL: Token = Token(0);

/// The state that the thread shares with everybody else.
pub(super) struct Executor {
    registry: mio::Registry,
    bell: mio::Waker,
    ready: Mutex<VecDeque<Arc<Task>>>,
    timers: Mutex<BTreeMap<(Instant, usize), Waker>>,
    sockets: Mutex<BTreeMap<Token, Waiting>>,
    next: AtomicUsize,
}

/// The wakers that wait for a socket.
#[derive(Default)]
struct Waiting {
    to_read: Option<Waker>,
    to_write: Option<Waker>,
}

/// In which direction somebody waits for a socket.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Read,
    Write,
}

/// A future, and whether it stands in the queue.
struct Task {
    future: Mutex<Option<BoxFuture<()>>>,
    queued: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let executor = Executor::get();
            lock(&executor.ready).push_back(self);
            // From another thread the loop may be asleep. A failed bell could only be rung again.
            let _ = executor.bell.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor {
    /// The one of this process. Its thread starts when it is first asked for.
    pub(super) fn get() -> &'static Self {
        static EXECUTOR: OnceLock<Executor> = OnceLock::new();
        EXECUTOR.get_or_init(|| {
            let poller = Poller::new().expect("the system has a way to wait for sockets");
            let executor = Self {
                registry: poller.registry().try_clone().expect("another handle"),
                bell: mio::Waker::new(poller.registry(), BELL).expect("a bell"),
                ready: Mutex::default(),
                timers: Mutex::default(),
                sockets: Mutex::default(),
                next: AtomicUsize::new(BELL.0 + 1),
            };
            std::thread::Builder::new()
                .name("single-thread".to_owned())
                .spawn(move || Self::get().run(poller))
                .expect("a thread");
            executor
        })
    }

    pub(super) fn spawn(&self, future: BoxFuture<()>) {
        let task = Task { future: Mutex::new(Some(future)), queued: AtomicBool::new(false) };
        Arc::new(task).wake();
    }

    fn run(&self, mut poller: Poller) {
        let mut events = Events::with_capacity(1024);
        loop {
            // Those that are ready now, and not those that become ready meanwhile: a task that wakes itself, to let
            // others have their turn, must not keep the sockets waiting.
            let batch = std::mem::take(&mut *lock(&self.ready));
            for task in batch {
                Self::poll(&task);
            }
            let idle = lock(&self.ready).is_empty();
            let now = Instant::now();
            let timeout = if idle {
                lock(&self.timers).first_key_value().map(|(at, _)| at.0.saturating_duration_since(now))
            } else {
                Some(std::time::Duration::ZERO)
            };
            if let Err(error) = poller.poll(&mut events, timeout) {
                assert!(error.kind() == io::ErrorKind::Interrupted, "waiting for sockets failed: {error}");
                continue;
            }
            // Wakers are called without a lock: they may be anybody's.
            let mut woken = Vec::new();
            let mut sockets = lock(&self.sockets);
            for event in &events {
                let Some(waiting) = sockets.get_mut(&event.token()) else { continue };
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    woken.extend(waiting.to_read.take());
                }
                if event.is_writable() || event.is_write_closed() || event.is_error() {
                    woken.extend(waiting.to_write.take());
                }
            }
            drop(sockets);
            let mut timers = lock(&self.timers);
            let later = timers.split_off(&(Instant::now(), usize::MAX));
            woken.extend(std::mem::replace(&mut *timers, later).into_values());
            drop(timers);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    fn poll(task: &Arc<Task>) {
        // Before it is polled: who wakes it from now on wants it polled again.
        task.queued.store(false, Ordering::Release);
        let mut place = lock(&task.future);
        let Some(mut future) = place.take() else { return };
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        // A task that panics is over, and no other one is.
        if let Ok(Poll::Pending) = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            *place = Some(future);
        }
    }

    /// A number that is nobody's.
    pub(super) fn fresh(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn set_timer(&self, at: Instant, id: usize, waker: &Waker) {
        let before = lock(&self.timers).insert((at, id), waker.clone());
        drop(before);
        // Somebody else's thread: the loop may sleep longer than this timer.
        if std::thread::current().name() != Some("single-thread") {
            let _ = self.bell.wake();
        }
    }

    pub(super) fn clear_timer(&self, at: Instant, id: usize) {
        let before = lock(&self.timers).remove(&(at, id));
        drop(before);
    }

    pub(super) fn register(&self, socket: &mut impl Source) -> io::Result<Token> {
        let token = Token(self.fresh());
        self.registry.register(socket, token, Interest::READABLE | Interest::WRITABLE)?;
        lock(&self.sockets).insert(token, Waiting::default());
        Ok(token)
    }

    pub(super) fn deregister(&self, socket: &mut impl Source, token: Token) {
        let before = lock(&self.sockets).remove(&token);
        drop(before);
        // The system forgets it when it is closed, if not now.
        let _ = self.registry.deregister(socket);
    }

    /// Tries something with a socket; if that would block, the task is woken when it may be tried again.
    pub(super) fn try_io<T>(
        &self,
        token: Token,
        direction: Direction,
        context: &mut Context<'_>,
        mut io: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        // The waker is left before the attempt: readiness is told once, and what came in between would be missed.
        let before = self.set_waiting(token, direction, Some(context.waker().clone()));
        drop(before);
        loop {
            match io() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                result => {
                    let nobody = self.set_waiting(token, direction, None);
                    drop(nobody);
                    return Poll::Ready(result);
                }
            }
        }
    }

    fn set_waiting(&self, token: Token, direction: Direction, waker: Option<Waker>) -> Option<Waker> {
        let mut sockets = lock(&self.sockets);
        let waiting = sockets.get_mut(&token)?;
        let place = match direction {
            Direction::Read => &mut waiting.to_read,
            Direction::Write => &mut waiting.to_write,
        };
        std::mem::replace(place, waker)
    }
}

/// Wakes a thread that waits in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on the thread of the caller, which is not the executor's.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}
