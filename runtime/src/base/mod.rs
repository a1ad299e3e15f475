//! The ground that everything else stands on: what an async runtime gives, signals, errors, logging. It imports nothing
//! else of this crate.

pub(crate) mod alarm;
pub(crate) mod clock;
pub(crate) mod error;
#[cfg(test)]
pub(crate) mod in_memory;
pub mod runtime;
pub(crate) mod signal;
pub(crate) mod trace;
pub(crate) mod turn;
pub(crate) mod typemap;
pub(crate) mod wakers;
