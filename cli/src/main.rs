//! The command-line tool `sansocket`: see `sansocket help`.
//!
//! Each subcommand has a file of its own, with a type `Options` (its arguments, by clap's derive) and a function `run`
//! that takes them and returns an [`ExitCode`]: 0, 1 if the work failed, 2 for wrong usage (most of which clap finds
//! before), 130 after an interrupt.
#![forbid(unsafe_code)]

mod bench;
#[cfg(feature = "bus")]
mod bus;
mod connect;
mod decode;
mod emit;
mod failure;
mod listen;
mod output;
mod replay;
mod show;
mod target;
mod values;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Socket.IO and Engine.IO from the command line.
#[derive(Debug, Parser)]
#[command(name = "sansocket", version, arg_required_else_help = true)]
struct Sansocket {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Options),
    Connect(connect::Options),
    Decode(decode::Options),
    Emit(emit::Options),
    Listen(listen::Options),
    Replay(replay::Options),
}

fn main() -> ExitCode {
    match Sansocket::parse().command {
        Command::Bench(options) => bench::run(&options),
        Command::Connect(options) => connect::run(&options),
        Command::Decode(options) => decode::run(&options),
        Command::Emit(options) => emit::run(&options),
        Command::Listen(options) => listen::run(&options),
        Command::Replay(options) => replay::run(&options),
    }
}
