//! The process that carries the messages of all.

use crate::frame::Frame;
use crate::wire::Wire;
use crate::{TURN, UnixBus};
use async_io::{Async, Timer};
use sansocket_runtime::cluster::{BusSeat, InProcessBus, Subscription};
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// The interval at which the hub looks whether it is still the one at the path. Two processes may have taken the place at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The nodes that are connected to this process, and what they have subscribed to.
pub(crate) struct Hub {
    listener: Async<UnixListener>,
    path: PathBuf,
    /// The number of its socket's file.
    file: u64,
    look: Timer,
    bus: InProcessBus,
    guests: Vec<Guest>,
    max_message_bytes: usize,
    /// The number of looks after which a guest that has said nothing is gone.
    patience: u32,
}

struct Guest {
    wire: Wire,
    seat: BusSeat,
    /// Looks since it has last said something. Each pings more often than the patience lasts.
    silent: u32,
}

impl Hub {
    /// Takes the place at the path, whoever had it.
    pub(crate) fn bind(bus: &UnixBus) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // The rename replaces whatever is there.
        match fs::symlink_metadata(&bus.path) {
            Ok(found) if !found.file_type().is_socket() => {
                let said = "a file that is no socket is at this path: remove it, or choose another path";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, said));
            }
            _ => {}
        }
        // Under another name first, and with its mode set: whoever finds it at the path can connect.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}-{number}", process::id());
        let mut made = bus.path.clone().into_os_string();
        made.push(name);
        let made = PathBuf::from(made);
        let _ = fs::remove_file(&made);
        let listener = Async::<UnixListener>::bind(&made)?;
        let moved = fs::set_permissions(&made, fs::Permissions::from_mode(0o600))
            .and_then(|()| file_number(&made))
            .and_then(|file| fs::rename(&made, &bus.path).map(|()| file));
        let file = moved.inspect_err(|_| drop(fs::remove_file(&made)))?;
        Ok(Self {
            listener,
            path: bus.path.clone(),
            file,
            look: Timer::after(LOOK_EVERY),
            bus: InProcessBus::new().max_waiting_bytes(bus.max_waiting_bytes),
            guests: Vec::new(),
            max_message_bytes: bus.max_message_bytes,
            patience: u32::try_from(bus.patience().div_duration_f64(LOOK_EVERY).ceil() as u64)
                .unwrap_or(u32::MAX),
        })
    }

    /// Ready once another process has the place.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while Pin::new(&mut self.look).poll(context).is_ready() {
            if file_number(&self.path).ok() != Some(self.file) {
                return Poll::Ready(());
            }
            // From now on, and not from when it was due: a process that was stopped has heard nobody meanwhile.
            self.look.set_after(LOOK_EVERY);
            self.guests.iter_mut().for_each(|guest| guest.silent = guest.silent.saturating_add(1));
        }
        while let Poll::Ready(Ok(())) = self.listener.poll_readable(context) {
            match self.listener.get_ref().accept() {
                Ok((stream, _)) => {
                    if let Ok(stream) = Async::new(stream) {
                        let wire = Wire::new(stream, self.max_message_bytes);
                        self.guests.push(Guest { wire, seat: self.bus.seat(), silent: 0 });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Too many open files, say: the next look tries again.
                Err(_) => break,
            }
        }
        let (bus, patience) = (&self.bus, self.patience);
        // What a guest has said meanwhile counts.
        self.guests.retain_mut(|guest| guest.poll(bus, context).is_pending() && guest.silent <= patience);
        Poll::Pending
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if file_number(&self.path).ok() == Some(self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_number(path: &Path) -> io::Result<u64> {
    Ok(fs::symlink_metadata(path)?.ino())
}

impl Guest {
    /// Ready once it is gone, or has to go.
    fn poll(&mut self, bus: &InProcessBus, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURN {
            let mut is_at_rest = true;
            let has_room = self.wire.has_room();
            // One that does not read its answers is not asked for more questions.
            if has_room {
                match self.wire.poll_read(context) {
                    Poll::Ready(Ok(Some(frame))) => {
                        is_at_rest = false;
                        self.silent = 0;
                        self.serve(bus, frame);
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
                match self.seat.poll_message(context) {
                    Poll::Ready(Some((channel, payload))) => {
                        is_at_rest = false;
                        self.wire.write(&Frame::Message { channel: channel.to_string(), payload });
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if is_at_rest || !self.wire.has_room() {
                match self.wire.poll_flush(context) {
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    // There is room again for what has not been polled.
                    Poll::Ready(Ok(())) if !is_at_rest || !has_room => {}
                    Poll::Pending if !is_at_rest => {}
                    _ => return Poll::Pending,
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn serve(&mut self, bus: &InProcessBus, frame: Frame) {
        match frame {
            Frame::Subscribe(channel) => self.seat.subscribe(Subscription::Channel(channel)),
            Frame::SubscribePattern(pattern) => self.seat.subscribe(Subscription::Pattern(pattern)),
            Frame::Unsubscribe(channel) => self.seat.unsubscribe(Subscription::Channel(channel)),
            Frame::UnsubscribePattern(pattern) => self.seat.unsubscribe(Subscription::Pattern(pattern)),
            Frame::Publish { channel, payload } => bus.publish(&channel, payload),
            Frame::Count { number, channel } => {
                self.wire.write(&Frame::Counted { number, nodes: bus.count(&channel) });
            }
            Frame::Ping => self.wire.write(&Frame::Pong),
            // What only the hub says.
            Frame::Message { .. } | Frame::Counted { .. } | Frame::Pong => {}
        }
    }
}
