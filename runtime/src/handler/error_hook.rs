//! Error hooks, and their default: what happens to errors of handlers without `on_error` and without a subscriber of
//! tracing. Otherwise an event whose arguments do not fit its handler would vanish without a word.

use crate::base::error::{HandlerError, HandlerFailure};
use crate::base::trace::debug;
use crate::handler::ack::{AckTarget, IntoAck, Reply};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::ArgsError;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

type Hook<P> = dyn Fn(&P, &HandlerFailure, Option<&AckTarget>) -> Result<Reply, HandlerError> + Send + Sync;

/// The application's hook for errors of handlers, with a socket of type `P`.
pub(crate) struct ErrorHook<P>(Arc<Hook<P>>);

impl<P> ErrorHook<P> {
    pub(crate) fn new<R: IntoAck>(hook: impl Fn(&P, &HandlerFailure) -> R + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |peer, failure, target| hook(peer, failure).into_ack(target)))
    }

    /// Tells the hook. Its value is the acknowledgement, if one is asked for; `()` is none. A panic comes back as an error.
    pub(crate) fn tell(
        &self,
        peer: &P,
        failure: &HandlerFailure,
        target: Option<&AckTarget>,
    ) -> Result<Option<Frame>, ()> {
        match catch_unwind(AssertUnwindSafe(|| (self.0)(peer, failure, target))) {
            Ok(Ok(Reply::Value(frame))) => Ok(Some(frame)),
            Ok(Ok(Reply::Empty)) => Ok(None),
            Ok(Err(error)) => {
                debug!(%error, "the value of an error hook is no acknowledgement");
                Ok(None)
            }
            Err(_) => {
                debug!("the error hook panicked");
                Err(())
            }
        }
    }
}

impl<P> Clone for ErrorHook<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The number of errors that are shown: a client that sends nonsense all day must not fill a disk.
const SHOWN: u32 = 100;
/// The characters of an event's name that are shown: it may be the client's invention.
const NAME_CHARS: usize = 64;

/// The error hook of an application that has set none: it shows errors on stderr, up to a number of them.
#[derive(Debug, Default)]
pub(crate) struct DefaultErrorHook(AtomicU32);

impl DefaultErrorHook {
    pub(crate) fn show(&self, namespace: &str, event: Option<&str>, error: &HandlerError) {
        self.write("`on_error`", || line(namespace, event, error));
    }

    /// Of a session of plain Engine.IO.
    pub(crate) fn show_session(&self, error: &HandlerError) {
        self.write("the events of `tracing`", || format!("an Engine.IO handler: {error}"));
    }

    fn write(&self, see: &str, line: impl FnOnce() -> String) {
        let Ok(before) = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |shown| (shown < SHOWN).then_some(shown + 1))
        else {
            return;
        };
        let last = if before + 1 == SHOWN { "; no more of these are shown" } else { "" };
        // A process may have no stderr.
        let _ = writeln!(std::io::stderr(), "sansocket: {}{last} (see {see})", line());
    }
}

/// The place and the reason of an error, with nothing that a peer sent except names.
fn line(namespace: &str, event: Option<&str>, error: &HandlerError) -> String {
    let place = match event {
        Some(event) => format!("event {}", shortened(event)),
        None => "a handler".to_owned(),
    };
    let reason = match error {
        HandlerError::Args(misfit) => match &**misfit {
            ArgsError::Invalid { position, .. } => {
                format!("args[{position}] is not of the type that the handler asks for")
            }
            missing => missing.to_string(),
        },
        HandlerError::Auth { .. } => {
            "the client's auth is not of the type that the handler asks for".to_owned()
        }
        other => other.to_string(),
    };
    format!("{place} in namespace {}: {reason}", shortened(namespace))
}

/// In quotes, with escapes, so that it stays on its line.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansocket_protocol::socket::Parser;
    use sansocket_protocol::socket::{Args, PacketData};

    fn event(text: &'static str) -> Args {
        Parser::json().decode(text.into()).unwrap().into_args()
    }

    #[test]
    fn names_are_shown_and_what_a_client_sent_is_not() {
        let args = event(r#"2["transfer","secret"]"#);
        let misfit = args.decode::<u32>().unwrap_err().into();
        let shown = line("/bank", args.event().as_deref(), &misfit);
        assert!(misfit.to_string().contains("secret"));
        assert_eq!(
            shown,
            r#"event "transfer" in namespace "/bank": args[0] is not of the type that the handler asks for"#
        );
        let missing = args.decode::<(String, u32)>().unwrap_err().into();
        let shown = line("/", args.event().as_deref(), &missing);
        assert_eq!(shown, r#"event "transfer" in namespace "/": args[1] is missing, the peer sent 1"#);
        let source = PacketData::encode("secret").unwrap().decode::<u8>().unwrap_err();
        let auth = HandlerError::Auth { expected: "u8", source: source.into() };
        assert!(auth.to_string().contains("secret"));
        let shown = line("/", None, &auth);
        assert_eq!(
            shown,
            r#"a handler in namespace "/": the client's auth is not of the type that the handler asks for"#
        );
    }

    #[test]
    fn a_clients_invention_of_a_name_stays_on_its_line() {
        let args = event(r#"2["a\nb"]"#);
        let shown = line(&"/x".repeat(1000), args.event().as_deref(), &HandlerError::failed("no"));
        assert!(shown.starts_with(r#"event "a\nb" in namespace "/x/x"#) && shown.len() < 120, "{shown}");
    }

    #[test]
    fn no_more_than_a_hundred_are_shown() {
        let hook = DefaultErrorHook(AtomicU32::new(SHOWN - 1));
        for _ in 0..3 {
            hook.show("/", None, &HandlerError::failed("the last one"));
        }
        assert_eq!(hook.0.into_inner(), SHOWN);
    }
}
