//! The ground that everything else stands on: the async runtime's interface, clocks and timers, turns of tasks, waiting,
//! errors, logging. It imports nothing else of this crate.

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
