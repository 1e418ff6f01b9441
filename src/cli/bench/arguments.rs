//! The arguments of `tidegate bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::failure::{Failure, Result};
use super::message::{Dialect, Payload, Wish};
use super::work::Plan;

/// Payload bytes of a message: as many as a server is likely to take.
const SIZE_MAX: u64 = 1 << 29;
/// Connections: all ports of all sources.
const CONNECTIONS_MAX: u64 = 1_000_000;
const DEPTH_MAX: u64 = 1 << 20;
/// Seconds of a stage: a day.
const SECONDS_MAX: f64 = 86_400.0;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BenchCommand {
    /// Closed loop: how many messages a second a server echoes, and what each costs it
    Echo(EchoCommand),
    /// Open loop: latency at a steady rate, counted from when each message was meant to be sent
    Rate(RateCommand),
    /// One publisher, many receivers: deliveries a second
    Fanout(FanoutCommand),
    /// Handshake and close, again and again
    Connect(ConnectCommand),
    /// Connections that do nothing, and the memory that each costs the server
    Idle(IdleCommand),
}

/// What every command wants to know.
#[derive(Debug, Args)]
pub(in crate::cli) struct Common {
    /// Of the server under test.
    #[arg(
        help = "ws://HOST[:PORT]/PATH; or tcp://HOST:PORT, a bare server without handshake that sends back what it is sent"
    )]
    pub(super) url: String,
    /// Payload bytes of a message
    #[arg(long, short, default_value_t = 128, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(..=SIZE_MAX))]
    pub(super) size: u64,
    /// Binary messages instead of text
    #[arg(long)]
    pub(super) binary: bool,
    /// How messages travel
    #[arg(long, value_enum, default_value_t = Dialect::Plain)]
    pub(super) dialect: Dialect,
    /// What the payload looks like
    #[arg(long, value_enum, default_value_t = Payload::Text)]
    pub(super) payload: Payload,
    /// Seconds measured
    #[arg(long, short = 't', default_value_t = 5.0, value_parser = seconds, allow_negative_numbers = true)]
    pub(super) seconds: f64,
    /// Seconds of the same load before that
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) warm_up: f64,
    /// Process under test, for its CPU time and memory; several are added up
    #[arg(long, value_delimiter = ',')]
    pub(super) pid: Vec<u32>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Draw the latency distribution
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
    /// Ask for permessage-deflate without context takeover on either side; the server has to accept it
    #[arg(long)]
    pub(super) compress: bool,
    /// Header of the handshake; may be given several times
    #[arg(long = "header", value_name = "'NAME: VALUE'")]
    pub(super) headers: Vec<String>,
    /// Origin of the handshake
    #[arg(long)]
    pub(super) origin: Option<String>,
}

impl Common {
    /// What to send.
    pub(super) fn wish(&self) -> Wish {
        Wish {
            payload: self.payload,
            is_binary: self.binary,
            size: self.size as usize,
            dialect: self.dialect,
        }
    }

    /// How long to run.
    pub(super) fn plan(&self) -> Result<Plan> {
        if self.seconds == 0.0 {
            return Err(Failure::usage("--seconds 0: nothing would be measured"));
        }
        Ok(Plan {
            warm_up: Duration::from_secs_f64(self.warm_up),
            window: Duration::from_secs_f64(self.seconds),
            count_max: u64::MAX,
            pids: self.pid.clone(),
        })
    }
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    if (0.0..=SECONDS_MAX).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("from 0 to {SECONDS_MAX} seconds"))
    }
}

fn count(text: &str, max: u64) -> std::result::Result<usize, String> {
    let wrong = || format!("a whole number from 1 to {max}");
    let count: u64 = text.parse().map_err(|_| wrong())?;
    if (1..=max).contains(&count) {
        Ok(count as usize)
    } else {
        Err(wrong())
    }
}

fn connections(text: &str) -> std::result::Result<usize, String> {
    count(text, CONNECTIONS_MAX)
}

fn depth(text: &str) -> std::result::Result<usize, String> {
    count(text, DEPTH_MAX)
}

fn write_bytes(text: &str) -> std::result::Result<usize, String> {
    count(text, u64::from(u32::MAX))
}

fn rate(text: &str) -> std::result::Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number".to_owned())?;
    if (0.001..=10_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("from 0.001 to 10000000 messages a second".to_owned())
    }
}

/// `tidegate bench echo`
#[derive(Debug, Args)]
pub(in crate::cli) struct EchoCommand {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections
    #[arg(long, short, default_value_t = 100, value_parser = connections)]
    pub(super) connections: usize,
    /// Messages under way on each connection
    #[arg(long, short, default_value_t = 1, value_parser = depth)]
    pub(super) depth: usize,
    /// Further connections that stay silent
    #[arg(long, default_value_t = 0, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u64).range(..=CONNECTIONS_MAX))]
    pub(super) idle: u64,
    /// End after so many messages, measured or not
    #[arg(long)]
    pub(super) messages: Option<u64>,
    /// Count what comes back by its length, without looking at it
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Bytes that one write sends at most
    #[arg(long, value_name = "BYTES", value_parser = write_bytes)]
    pub(super) write_bytes_max: Option<usize>,
}

/// `tidegate bench rate`
#[derive(Debug, Args)]
pub(in crate::cli) struct RateCommand {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections
    #[arg(long, short, default_value_t = 100, value_parser = connections)]
    pub(super) connections: usize,
    /// Messages a second over all connections
    #[arg(long, short, default_value_t = 1000.0, value_parser = rate)]
    pub(super) rate: f64,
}

/// `tidegate bench fanout`
#[derive(Debug, Args)]
pub(in crate::cli) struct FanoutCommand {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections that receive; the first of them also publishes
    #[arg(long, short = 'c', default_value_t = 1000, value_parser = connections)]
    pub(super) receivers: usize,
    /// Publications under way
    #[arg(long, short, default_value_t = 1, value_parser = depth)]
    pub(super) window: usize,
}

/// `tidegate bench connect`
#[derive(Debug, Args)]
pub(in crate::cli) struct ConnectCommand {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections under way at one time
    #[arg(long, short = 'c', default_value_t = 64, value_parser = connections)]
    pub(super) concurrency: usize,
}

/// `tidegate bench idle`
#[derive(Debug, Args)]
pub(in crate::cli) struct IdleCommand {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections
    #[arg(long, short, default_value_t = 1000, value_parser = connections)]
    pub(super) connections: usize,
    /// Seconds to keep the connections open at the end
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) hold: f64,
}
