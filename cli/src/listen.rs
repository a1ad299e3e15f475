//! `sansocket listen`: prints events.

use crate::failure::{Failure, block_on, interrupt, or_interrupt};
use crate::output::{Colour, Line, Output};
use crate::show;
use crate::target::{Target, leave, seconds};
use crate::values::Values;
use clap::Args;
use sansocket_tokio::{Args as Arguments, ClientSocket, Received};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Prints the server's events until it is interrupted.
///
/// Binary is printed as `<12 bytes: 0102…>`, and with --json as `{"base64":"..."}`. When the connection is lost,
/// it reconnects.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Exit after this number of events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Exit after this time: with 0, or with 1 if there is a --count and it was not reached
    #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Print only events of this name; may be given several times
    #[arg(short, long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// Argument with which to acknowledge events that ask for it; may be given several times
    #[arg(long = "answer", value_name = "ARG", allow_negative_numbers = true)]
    answers: Vec<String>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let output = Arc::new(Output::new("listen", options.target.json));
    block_on(&output, false, listen(options, &output))
}

async fn listen(options: &Options, output: &Arc<Output>) -> Result<(), Failure> {
    let answer = Values::parse(&options.answers, false).map_err(Failure::Usage)?;
    let answer = (!options.answers.is_empty()).then_some(answer);
    let sockets = options.target.client(output)?;
    let client = &sockets.client;
    // These queues keep the events that come before all sockets are connected.
    let each: Vec<_> = sockets.all.iter().map(|socket| (socket.clone(), socket.events())).collect();
    or_interrupt(sockets.connect()).await?;
    let (sender, mut events) = mpsc::channel(1);
    for (socket, mut events) in each {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(received) = events.next().await {
                if sender.send((socket.clone(), received)).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut left = options.count;
    let over = async {
        match options.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let interrupted = interrupt();
    tokio::pin!(interrupted);
    let outcome = loop {
        let (socket, received) = tokio::select! {
            biased;
            failure = &mut interrupted => break Err(failure),
            () = &mut over => break match left {
                Some(left) => Err(Failure::failed(format_args!("{left} more events were to come"))),
                None => Ok(()),
            },
            received = events.recv() => match received {
                Some(received) => received,
                None => break Err(sockets.cause.failure()),
            },
        };
        let Received { event, args, ack, .. } = received;
        if !options.events.is_empty() && !options.events.contains(&event) {
            continue;
        }
        print(output, &socket, &event, &args, None);
        if let Some(answer) = answer.as_ref().filter(|_| ack.is_wanted()) {
            ack.send(answer)?;
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            break Ok(());
        }
    };
    // All is printed: whether the server learns of the end does not matter.
    let _ = leave(client, Duration::from_secs(2)).await;
    outcome
}

/// Prints an event, with the number by which it can be acknowledged.
pub(crate) fn print(
    output: &Output,
    socket: &ClientSocket,
    event: &str,
    args: &Arguments,
    number: Option<u64>,
) {
    output.either(
        || {
            let name = output.paint(Colour::Green, show::event(event));
            let mut line = format!("{} {name} {}", output.head(socket.name()), show::text(args));
            if let Some(number) = number {
                let hint = format!("(answer with: ack {number} ...)");
                line = format!("{line} {}", output.paint(Colour::Yellow, hint));
            }
            line.trim_end().to_owned()
        },
        || {
            let line = Line::new("event").string("namespace", socket.name()).string("event", event);
            let line = line.raw("args", show::json(args));
            if let Some(number) = number { line.raw("ack", number) } else { line }
        },
    );
}
