//! What goes wrong, as scripts see it: an exit code, and one line.

use crate::output::{Line, Output};
use sansocket_tokio::{AckError, ClientBuildError, ConnectError, EmitError};
use serde_json::value::RawValue;
use std::future::Future;
use std::process::ExitCode;
use tokio::sync::Notify;

/// Why the tool ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments make no sense: exit code 2.
    Usage(String),
    /// The server refused, could not be reached, or did not answer in time: exit code 1.
    Failed {
        message: String,
        /// What the server sent beside its refusal, as JSON.
        data: Option<Box<RawValue>>,
    },
    /// Ctrl-C: exit code 130, as shells have it.
    Interrupted,
}

impl Failure {
    pub(crate) fn failed(message: impl ToString) -> Self {
        // It is one line, whatever is quoted in it.
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

    /// Tells it: to people on stderr, and with `--json` also as a line on stdout.
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

/// Runs a subcommand to its exit code. With `parallel` on all cores.
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
            // One task from the beginning to the end: between two waits for it no signal is lost.
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

/// Whether the user has pressed Ctrl-C; once and for all.
static PRESSED: Notify = Notify::const_new();

/// Comes when the user presses Ctrl-C, or has pressed it.
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
