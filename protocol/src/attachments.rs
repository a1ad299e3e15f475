//! The attachments of a message: those that came with arguments, and those that leave with a frame.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem;

/// A list of attachments. Mostly there is one, which needs no vector.
#[derive(Clone, Debug)]
pub(crate) enum Attachments {
    One(Bytes),
    Many(Vec<Bytes>),
}

/// The parts that few messages have beside their text, behind one pointer: arguments and frames are moved often. Arguments that
/// are passed on as they came share it with their frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    pub(crate) attachments: Attachments,
    /// The text to decode arguments from, if that is not the text as it came.
    pub(crate) mended: Option<Box<[u8]>>,
}

impl Attachments {
    pub(crate) fn as_slice(&self) -> &[Bytes] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn push(&mut self, attachment: Bytes) {
        match self {
            Self::Many(many) if many.is_empty() => *self = Self::One(attachment),
            Self::Many(many) => many.push(attachment),
            Self::One(one) => {
                let first = mem::take(one);
                *self = Self::Many([first, attachment].into());
            }
        }
    }
}

impl Default for Attachments {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<Vec<Bytes>> for Attachments {
    fn from(many: Vec<Bytes>) -> Self {
        Self::Many(many)
    }
}

impl Beside {
    pub(crate) fn of(attachments: Attachments) -> Self {
        Self { attachments, mended: None }
    }

    /// The first attachment: the last owner gets it without a share.
    pub(crate) fn into_first(this: Arc<Self>) -> Bytes {
        match Arc::try_unwrap(this) {
            Ok(Self { attachments: Attachments::One(one), .. }) => one,
            Ok(Self { attachments: Attachments::Many(many), .. }) => {
                many.into_iter().next().unwrap_or_default()
            }
            Err(shared) => shared.attachments.as_slice().first().cloned().unwrap_or_default(),
        }
    }
}
