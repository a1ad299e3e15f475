//! Debug messages that cost nothing without the feature `tracing`. They never name a session id, which is a
//! secret; sockets are named by their public ids.

#[cfg(feature = "tracing")]
macro_rules! debug {
    ($($message:tt)*) => { tracing::debug!($($message)*) };
}

#[cfg(not(feature = "tracing"))]
macro_rules! debug {
    ($($message:tt)*) => { if false { let _ = ::std::format_args!($($message)*); } };
}

pub(crate) use debug;
