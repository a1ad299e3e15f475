//! Debug messages that cost nothing without the feature `tracing`. They never name a session id, which is a
//! secret; sockets are named by their public ids.

#[cfg(feature = "tracing")]
macro_rules! debug {
    ($($message:tt)*) => { tracing::debug!($($message)*) };
}

// Nothing is logged, but the compiler sees the values, so that a variable which only a message uses is not unused.
#[cfg(not(feature = "tracing"))]
macro_rules! debug {
    ($($message:tt)*) => { if false { $crate::base::trace::see!($($message)*); } };
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

/// Whether debug messages are recorded.
#[cfg(feature = "tracing")]
pub(crate) fn is_heard() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn is_heard() -> bool {
    false
}

pub(crate) use debug;
#[cfg(not(feature = "tracing"))]
pub(crate) use see;
