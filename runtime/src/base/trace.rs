//! Messages for logs, which cost nothing without the feature `tracing`. They never name a session id, which is a
//! secret; sockets are named by their public ids.

#[cfg(feature = "tracing")]
macro_rules! debug {
    ($($message:tt)*) => { tracing::debug!($($message)*) };
}

#[cfg(feature = "tracing")]
macro_rules! info {
    ($($message:tt)*) => { tracing::info!($($message)*) };
}

#[cfg(feature = "tracing")]
macro_rules! warning {
    ($($message:tt)*) => { tracing::warn!($($message)*) };
}

#[cfg(feature = "tracing")]
macro_rules! error {
    ($($message:tt)*) => { tracing::error!($($message)*) };
}

// Nothing is logged, but the compiler sees the values, so that a variable which only a message uses is not unused.
#[cfg(not(feature = "tracing"))]
macro_rules! debug {
    ($($message:tt)*) => { if false { $crate::base::trace::see!($($message)*); } };
}

#[cfg(not(feature = "tracing"))]
macro_rules! info {
    ($($message:tt)*) => { $crate::base::trace::debug!($($message)*) };
}

#[cfg(not(feature = "tracing"))]
macro_rules! warning {
    ($($message:tt)*) => { $crate::base::trace::debug!($($message)*) };
}

#[cfg(not(feature = "tracing"))]
macro_rules! error {
    ($($message:tt)*) => { $crate::base::trace::debug!($($message)*) };
}

#[cfg(not(feature = "tracing"))]
macro_rules! see {
    () => {};
    ($name:ident = % $value:expr $(, $($rest:tt)*)?) => { $crate::base::trace::see!($value $(, $($rest)*)?) };
    ($name:ident = ? $value:expr $(, $($rest:tt)*)?) => { $crate::base::trace::see!($value $(, $($rest)*)?) };
    ($name:ident = $value:expr $(, $($rest:tt)*)?) => { $crate::base::trace::see!($value $(, $($rest)*)?) };
    (% $value:expr $(, $($rest:tt)*)?) => { $crate::base::trace::see!($value $(, $($rest)*)?) };
    (? $value:expr $(, $($rest:tt)*)?) => { $crate::base::trace::see!($value $(, $($rest)*)?) };
    ($value:expr $(, $($rest:tt)*)?) => {{
        let _ = &$value;
        $($crate::base::trace::see!($($rest)*);)?
    }};
}

/// Returns whether messages about errors are recorded.
#[cfg(feature = "tracing")]
pub(crate) fn is_heard() -> bool {
    tracing::enabled!(tracing::Level::ERROR)
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn is_heard() -> bool {
    false
}

#[cfg(not(feature = "tracing"))]
pub(crate) use see;
pub(crate) use {debug, error, info, warning};
