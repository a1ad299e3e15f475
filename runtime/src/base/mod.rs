//! The ground that everything else stands on: the async runtime's interface, clocks and timers, turns of tasks, waiting,
//! errors, logging. It imports nothing else of this crate.

pub(crate) mod ahead;
pub(crate) mod alarm;
#[cfg(feature = "tls")]
pub(crate) mod alpn;
pub(crate) mod clock;
pub(crate) mod entropy;
pub(crate) mod error;
pub(crate) mod hook;
#[cfg(any(test, fuzzing, feature = "testing"))]
pub(crate) mod in_memory;
pub(crate) mod job;
#[cfg(feature = "metrics")]
pub mod metrics;
pub(crate) mod pattern;
pub(crate) mod runtime;
pub(crate) mod signal;
pub(crate) mod timing;
pub(crate) mod trace;
pub(crate) mod turn;
pub(crate) mod typemap;
pub(crate) mod upgrade;
pub(crate) mod wakers;
