//! The ground that everything else stands on: what an async runtime gives, signals, errors, logging. It imports nothing
//! else of this crate.

#[cfg(feature = "tls")]
pub(crate) mod alpn;
pub(crate) mod entropy;
pub(crate) mod error;
pub(crate) mod runtime;
pub(crate) mod signal;
pub(crate) mod trace;
pub(crate) mod typemap;
