//! The work of the server, or of a client, for one message, to be counted: `runtime-tokio/bench/instructions` runs this under callgrind.
//!
//! ```text
//! cargo run --profile interop -p sansocket-tokio --example instructions -- echo
//! ```
//!
//! Server and clients run on one thread, with their network and their clock in memory, so that a scenario runs the same
//! instructions each time. Only those of [`measured_rounds`] count, behind a few rounds that let buffers grow. What the
//! other ends do in them is little: they send bytes that are ready, and compare what comes back with bytes that are ready.
//!
//! It prints the messages of the measured rounds, their allocations, and what the processor can do. With `idle`, which is
//! not for callgrind, the server is on tokio and real sockets, and the figure is the bytes that an idle connection holds.

mod clients;
mod end;
mod idle;
mod scenarios;

use allocation_counter::measure;
use sansocket_tokio::testing::TestServer;
use sansocket_tokio::{Args, Data, HubError, Server, ServerBuilder, Socket};
use scenarios::{Round, SCENARIOS};
use std::process::ExitCode;
use std::time::Duration;

/// The rounds before the measured ones.
const WARM_UP: usize = 3;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "idle" {
        println!("bytes {}", idle::bytes_per_connection());
        return ExitCode::SUCCESS;
    }
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) else {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        eprintln!("instructions: no scenario is called {name:?}; there are {}, idle", names.join(", "));
        return ExitCode::FAILURE;
    };
    let test = TestServer::new(|runtime| server(Server::builder().runtime(runtime)).build());
    if name.ends_with("_at_once") {
        register_at_once(test.server());
    } else {
        register(test.server());
    }
    let mut round = (scenario.prepare)(&test);
    for _ in 0..WARM_UP {
        round();
    }
    let mut messages = 0;
    let allocated = measure(|| messages = measured_rounds(&mut round, scenario.rounds));
    println!("messages {messages}");
    println!("allocations {}", allocated.count_total);
    println!("processor {}", processor());
    ExitCode::SUCCESS
}

/// The function whose instructions are counted, by its name.
#[inline(never)]
fn measured_rounds(round: &mut Round<'_>, rounds: usize) -> usize {
    (0..rounds).map(|_| round()).sum()
}

/// The settings of both servers: no heartbeat comes between.
fn server(builder: ServerBuilder) -> ServerBuilder {
    builder.ping_interval(Duration::from_secs(3600))
}

/// The application, which does what `conformance` does.
fn register(io: &Server) {
    io.on("echo", async |socket: Socket, args: Args| {
        let _ = socket.emit("echo", &args);
    });
    io.on("ack", async |args: Args| args);
    io.on("join", async |socket: Socket, Data(room): Data<String>| -> Result<(), HubError> {
        socket.join(&room)?;
        Ok(())
    });
    io.on("bcast", async |socket: Socket, Data(room): Data<String>, args: Args| {
        let _ = socket.namespace().to(&room).emit("bcast", &args.skip(1));
    });
}

/// The same for two of the events, by handlers that are not async.
fn register_at_once(io: &Server) {
    io.on("echo", |socket: Socket, args: Args| {
        let _ = socket.emit("echo", &args);
    });
    io.on("ack", |args: Args| args);
}

/// The instructions among which libraries choose when the program runs. Under callgrind, those of its own processor.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
            ("avx", std::is_x86_feature_detected!("avx")),
            ("avx2", std::is_x86_feature_detected!("avx2")),
            ("bmi2", std::is_x86_feature_detected!("bmi2")),
            ("sha", std::is_x86_feature_detected!("sha")),
            ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ];
        let there: Vec<_> =
            features.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
        format!("x86_64 {}", there.join(" "))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_owned()
}
