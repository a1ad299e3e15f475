//! The extension as all connections of a server, or of a client, have it.

use super::PerMessageDeflate;
use super::compress::{Kind, Wrapping, compress_message, with_compressor};
use bytes::Bytes;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The most messages to several connections that are remembered in their compressed form.
const MAX_REMEMBERED: usize = 32;
/// The most bytes of them, as they were before.
const MAX_REMEMBERED_BYTES: usize = 16 << 20;

/// The settings of the extension, and the broadcasts that are on their way.
///
/// A broadcast is one piece of memory that waits in the queue of each of its connections. Where they agree on the
/// window, and no message refers to an earlier one, all of them can send the same compressed bytes. These are found by
/// the place of the memory, which nobody else can get as long as it is remembered here. A message that only one
/// connection holds never comes here, and one that the last connection has let go of is forgotten.
#[derive(Debug)]
pub(crate) struct SharedDeflate {
    pub(super) settings: PerMessageDeflate,
    remembered: Mutex<Vec<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    message: Bytes,
    /// Its forms, by their window.
    forms: Vec<(u8, Form)>,
}

/// A message in its compressed form; `None` if that would be no smaller. Empty while one connection is at work: the
/// others wait for it, and for it alone.
type Form = Arc<OnceLock<Option<Bytes>>>;

impl SharedDeflate {
    pub(crate) fn new(settings: PerMessageDeflate) -> Arc<Self> {
        Arc::new(Self { settings, remembered: Mutex::default() })
    }

    pub(crate) fn settings(&self) -> &PerMessageDeflate {
        &self.settings
    }

    pub(super) fn kind(&self, window_bits: u8) -> Kind {
        let PerMessageDeflate { level, memory_level, .. } = self.settings;
        Kind { level, memory_level, window_bits, wrapping: Wrapping::Raw }
    }

    /// Compresses a message by itself. `None` if that does not make it smaller.
    pub(super) fn compress(&self, message: &[u8], window_bits: u8) -> Option<Vec<u8>> {
        let mut compressed = Vec::new();
        let done = with_compressor(self.kind(window_bits), |compressor| {
            compress_message(compressor, message, &mut compressed)
        });
        (done.is_ok() && compressed.len() < message.len()).then_some(compressed)
    }

    /// The same for a message that other connections hold as well, once for all of them.
    pub(super) fn compress_once(&self, message: &Bytes, window_bits: u8) -> Option<Bytes> {
        let form = self.form(message, window_bits);
        form.get_or_init(|| self.compress(message, window_bits).map(Bytes::from)).clone()
    }

    fn form(&self, message: &Bytes, window_bits: u8) -> Form {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |message: &Bytes| (message.as_ptr(), message.len());
        let forms = match remembered.iter().position(|one| place(&one.message) == place(message)) {
            Some(at) => &mut remembered[at].forms,
            None => {
                make_room(&mut remembered, message.len());
                remembered.push(Remembered { message: message.clone(), forms: Vec::new() });
                match remembered.last_mut() {
                    Some(last) => &mut last.forms,
                    None => return Form::default(),
                }
            }
        };
        if let Some((_, form)) = forms.iter().find(|(bits, _)| *bits == window_bits) {
            return form.clone();
        }
        let form = Form::default();
        forms.push((window_bits, form.clone()));
        form
    }

    /// A connection has let go of a message to several.
    pub(super) fn forget(&self) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|one| !one.message.is_unique());
        if remembered.is_empty() {
            *remembered = Vec::new();
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Lets the oldest go, so that one more of that many bytes fits.
fn make_room(remembered: &mut Vec<Remembered>, mut bytes: usize) {
    let mut kept = 0;
    for one in remembered.iter().rev() {
        bytes = bytes.saturating_add(one.message.len());
        if bytes > MAX_REMEMBERED_BYTES || kept + 1 >= MAX_REMEMBERED {
            break;
        }
        kept += 1;
    }
    remembered.drain(..remembered.len() - kept);
}
