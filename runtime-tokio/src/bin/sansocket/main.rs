//! The command-line tool `sansocket`: see `sansocket help`.
//!
//! One file for each subcommand. It has a type `Options` (its arguments, by clap's derive) and a function `run` that
//! takes them and says how it went by an [`ExitCode`]: 0, or 1 if what was asked for did not work. Wrong usage is 2,
//! which clap sees to.
#![forbid(unsafe_code)]

mod decode;

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
    Decode(decode::Options),
}

fn main() -> ExitCode {
    match Sansocket::parse().command {
        Command::Decode(options) => decode::run(&options),
    }
}
