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

/// A span at debug level, if somebody listens to it: `None` costs one look at a flag.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($($fields:tt)*) => {
        if tracing::span_enabled!(tracing::Level::DEBUG) { Some(tracing::debug_span!($($fields)*)) } else { None }
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($name:literal, $($fields:tt)*) => {{
        if false { $crate::base::trace::see!($($fields)*); }
        None
    }};
}

#[cfg(feature = "tracing")]
pub(crate) use tracing::Span;

/// There are none without the feature.
#[cfg(not(feature = "tracing"))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span {}

/// Runs the future within that span.
#[cfg(feature = "tracing")]
pub(crate) async fn within<T>(span: Option<Span>, future: impl Future<Output = T>) -> T {
    match span {
        None => future.await,
        Some(span) => tracing::Instrument::instrument(future, span).await,
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn within<F>(_: Option<Span>, future: F) -> F {
    future
}

/// Calls the function within that span.
#[cfg(feature = "tracing")]
pub(crate) fn in_scope<T>(span: &Span, call: impl FnOnce() -> T) -> T {
    span.in_scope(call)
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn in_scope<T>(span: &Span, _: impl FnOnce() -> T) -> T {
    match *span {}
}

/// The span that the caller is in, if somebody listens to spans: for work that goes on in another task.
#[cfg(feature = "tracing")]
pub(crate) fn current() -> Option<Span> {
    if tracing::span_enabled!(tracing::Level::DEBUG) { Some(Span::current()) } else { None }
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn current() -> Option<Span> {
    None
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
pub(crate) use {debug, error, info, span, warning};
