//! Benchmark client: rust_socketio. `--flavor blocking` takes its blocking client, otherwise it is the asynchronous
//! one; the other options are those of `measure`.
mod asynchronous;
mod blocking;

use measure::Options;
use rust_socketio::{Payload, TransportType};
use serde_json::json;
use std::time::Duration;

/// For acknowledgements, and for the namespace.
const PATIENCE: Duration = Duration::from_secs(5);

fn transport(options: &Options) -> TransportType {
    if options.polling { TransportType::Polling } else { TransportType::Websocket }
}

fn text(options: &Options) -> Payload {
    Payload::Text(vec![json!(options.text())])
}

fn burst(options: &Options) -> Payload {
    Payload::Text(vec![json!(measure::BURST), json!(options.text())])
}

fn main() {
    let options = Options::from_args();
    if options.flavor == "blocking" {
        blocking::run(&options);
    } else {
        asynchronous::run(&options);
    }
    std::process::exit(0)
}
