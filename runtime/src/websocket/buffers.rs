//! The large buffers of a thread, lent to one task at a time, so that an idle connection owns no buffer.

use sansocket_protocol::message::WireMessage;
use std::cell::Cell;

/// The size of the read buffer.
const READ_BYTES: usize = 64 << 10;
/// The largest write buffer that is kept.
const KEEP_WRITE_BYTES: usize = 256 << 10;

/// The buffers of a thread.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) read: Vec<u8>,
    pub(crate) write: Vec<u8>,
    pub(crate) inbox: Vec<WireMessage>,
}

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// Lends the thread's buffers to `work`. A nested call, by a handler that drives another task on its thread, gets fresh
/// ones.
pub(crate) fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    let mut buffers = BUFFERS.take().unwrap_or_default();
    if buffers.read.len() < READ_BYTES {
        buffers.read.resize(READ_BYTES, 0);
    }
    let result = work(&mut buffers);
    buffers.inbox.clear();
    buffers.write.clear();
    buffers.write.shrink_to(KEEP_WRITE_BYTES);
    if buffers.inbox.capacity() > 4096 {
        buffers.inbox = Vec::new();
    }
    BUFFERS.set(Some(buffers));
    result
}
