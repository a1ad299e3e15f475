//! Failures as scripts see them: an exit code and one line.

use crate::output::{Line, Output};
use sansocket_tokio::{AckError, ClientBuildError, ConnectError, EmitError};
use serde_json::value::RawValue;
use std::future::Future;
use std::process::ExitCode;
use tokio::sync::Notify;

/// The reason why the tool, or a command of a session, did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage: exit code 2.
    Usage(String),
    /// The server refused, could not be reached, or did not answer in time: exit code 1.
    Failed {
        message: String,
        /// The data of the server's refusal, as JSON.
        data: Option<Box<RawValue>>,
    },
    /// Ctrl-C: exit code 130, as shells have it.
    Interrupted,
}

impl Failure {
    pub(crate) fn failed(message: impl ToString) -> Self {
        // One line, whatever is quoted in it.
        let message = message.to_string().split(['\r', '\n']).collect::<Vec<_>>().join(" ");
        Self::Failed { message, data: None }
    }

    /// The refusal of a namespace.
    pub(crate) fn connect(namespace: &str, error: &ConnectError) -> Self {
        let mut failure = Self::failed(match error {
            ConnectError::Refused(_) | ConnectError::Dismissed | ConnectError::Timeout => {
                format!("{namespace}: {error}")
            }
            _ => error.to_string(),
        });
        if let (Self::Failed { data, .. }, ConnectError::Refused(refused)) = (&mut failure, error) {
            *data = refused.data().ok();
        }
        failure
    }

    /// Reports it on stderr, and with `--json` also as a line on stdout.
    pub(crate) fn tell(&self, output: &Output) {
        let (message, data) = match self {
            Self::Usage(message) => (message, None),
            Self::Failed { message, data } => (message, data.as_deref()),
            Self::Interrupted => return,
        };
        if output.is_json() {
            let mut line = Line::new("error").string("message", message);
            if let Some(data) = data {
                line = line.raw("data", crate::show::compact(data.get()));
            }
            output.line(line.end());
        }
        match data {
            Some(data) => output.complain(&format!("{message} {}", crate::show::compact(data.get()))),
            None => output.complain(message),
        }
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed { .. } => 1,
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
        })
    }
}

impl From<ClientBuildError> for Failure {
    fn from(error: ClientBuildError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<EmitError> for Failure {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::Encode(error) => Self::Usage(error.to_string()),
            error => Self::failed(error),
        }
    }
}

impl From<AckError> for Failure {
    fn from(error: AckError) -> Self {
        match error {
            AckError::Emit(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

/// Runs a subcommand and returns its exit code. With `parallel`, on all cores.
pub(crate) fn block_on(
    output: &Output,
    parallel: bool,
    work: impl Future<Output = Result<(), Failure>>,
) -> ExitCode {
    let mut builder = if parallel {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let outcome = match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            // One task listens from beginning to end, so no signal between two calls of `interrupt` is lost.
            tokio::spawn(async {
                if tokio::signal::ctrl_c().await.is_ok() {
                    PRESSED.notify_one();
                }
            });
            work.await
        }),
        Err(error) => Err(Failure::failed(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(output);
            failure.code()
        }
    }
}

/// The signal that the user has pressed Ctrl-C.
static PRESSED: Notify = Notify::const_new();

/// Returns once the user presses Ctrl-C, and at once if that has happened.
pub(crate) async fn interrupt() -> Failure {
    PRESSED.notified().await;
    PRESSED.notify_one();
    Failure::Interrupted
}

/// Does the work, unless the user interrupts it.
pub(crate) async fn or_interrupt<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        failure = interrupt() => Err(failure),
    }
}
