//! `sansocket emit`: one event.

#[cfg(feature = "bus")]
use crate::bus::BusOptions;
use crate::failure::{Failure, block_on, or_interrupt};
use crate::output::{Line, Output};
use crate::show;
use crate::target::{Target, leave};
use crate::values::Values;
use clap::Args;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Emits one event, and exits once the server has it.
///
/// Each ARG is JSON, or else a string: `1`, `true`, `{"a":[1]}`, `hello`. `@FILE` sends the file as binary, and `@@text`
/// the string `@text`. Arguments that look like options go after `--`.
///
/// With --ack, awaits the acknowledgement and prints each of its arguments as a line of JSON, binary as
/// `{"base64":"..."}`. Exits with 1 if the server refuses, cannot be reached, or does not acknowledge in time.
///
/// With --bus, the event goes to the clients of a whole cluster by its bus, and no server is needed:
/// `sansocket emit --bus redis://localhost/ ROOM EVENT ARG...`. Exits once the bus has it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[cfg(feature = "bus")]
    #[command(flatten)]
    bus: BusOptions,
    /// Name of the event
    event: String,
    /// Arguments of the event
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    args: Vec<String>,
    /// Await the acknowledgement and print it
    #[arg(long)]
    ack: bool,
    /// Send all arguments as strings
    #[arg(long)]
    raw: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let output = Arc::new(Output::new("emit", options.target.json));
    block_on(&output, false, or_interrupt(emit(options, &output)))
}

async fn emit(options: &Options, output: &Arc<Output>) -> Result<(), Failure> {
    let Options { target, event, .. } = options;
    let args = Values::parse(&options.args, options.raw).map_err(Failure::Usage)?;
    #[cfg(feature = "bus")]
    if options.bus.is_given() {
        return emit_by_bus(options, &args).await;
    }
    let (client, socket) = target.only(output)?;
    socket.connect().await.map_err(|error| Failure::connect(socket.name(), &error))?;
    if options.ack {
        let begun = Instant::now();
        let answer = socket.emit_with_ack(event, &args, target.timeout).await?;
        let took = begun.elapsed();
        if output.is_json() {
            let line = Line::new("ack").string("namespace", socket.name()).string("event", event);
            let line = line.raw("args", show::json(&answer));
            output.line(line.raw("ms", format_args!("{:.3}", took.as_secs_f64() * 1e3)).end());
        } else {
            show::each(&answer).for_each(|line| output.line(line));
        }
    } else {
        socket.emit(event, &args)?;
    }
    leave(&client, target.timeout).await
}

/// Emits to the clients of a cluster.
#[cfg(feature = "bus")]
async fn emit_by_bus(options: &Options, args: &Values) -> Result<(), Failure> {
    use sansocket_tokio::Tokio;
    use sansocket_tokio::cluster::{Emitter, EmitterError};

    if options.ack {
        return Err(Failure::Usage(
            "a process that only writes to the bus gets no acknowledgement: leave --ack out".to_owned(),
        ));
    }
    let failed = |error: EmitterError| match error {
        EmitterError::Encode(error) => Failure::Usage(error.to_string()),
        error => Failure::failed(error),
    };
    let Target { url: room, timeout, .. } = &options.target;
    let opened = Emitter::open(Tokio, options.bus.open(*timeout)?).await.map_err(failed)?;
    let emitter = opened.namespace(options.target.namespace()?);
    let target = if room.is_empty() { emitter.broadcast() } else { emitter.to(room) };
    target.emit(&options.event, args).map_err(failed)?;
    emitter.close(*timeout).await.map_err(failed)
}
