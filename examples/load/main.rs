//! The load that `benches/run` puts on a server: one thread, frames that were prepared before, every echo compared byte by
//! byte. It measures the server's side: CPU time and memory of the process under test. One JSON object on stdout.
//!
//! * `echo`: closed loop, any number of connections, a fixed number of messages under way on each.
//! * `pace`: messages at a steady rate over some connections, and how long each took: the neighbours of a flood.
//! * `idle`: connections that do nothing, and the memory that they cost.
//!
//! The same bytes go to the bare echo of `examples/tcp_echo.rs` with `--bare`: it sends them back as they are, without a
//! handshake.

mod echo;
mod idle;
mod pace;
mod process;
mod target;

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Load for a WebSocket echo server.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Closed loop: messages per second, and the server's CPU time for each
    Echo(echo::EchoCommand),
    /// A steady rate: latency percentiles
    Pace(pace::PaceCommand),
    /// Idle connections: the server's memory for each
    Idle(idle::IdleCommand),
}

/// What every command needs to know.
#[derive(Debug, Args)]
struct Common {
    /// Where the server listens
    address: SocketAddr,
    /// Path of the echo endpoint
    #[arg(long, default_value = "/ws")]
    path: String,
    /// No handshake, and frames come back as they were sent: the bare TCP echo
    #[arg(long)]
    bare: bool,
    /// Connections
    #[arg(long, short)]
    connections: usize,
    /// Payload bytes of a message
    #[arg(long, short, default_value_t = 128)]
    size: usize,
    /// Binary messages instead of text
    #[arg(long)]
    binary: bool,
}

fn main() -> Result<()> {
    let report: Value = match Cli::parse().command {
        Command::Echo(command) => echo::run(&command)?,
        Command::Pace(command) => pace::run(&command)?,
        Command::Idle(command) => idle::run(&command)?,
    };
    writeln!(io::stdout(), "{report}")?;
    Ok(())
}
