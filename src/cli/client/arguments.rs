//! The command line of `tidegate client`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::server::settings::value::{Kind, Value};

const AFTER_HELP: &str = "On a terminal a line is a text message; /help shows the commands. In a pipe each line is one message, and what \
                          comes is one line each. WS_URL, RECONNECT_INTERVAL and MESSAGE_INTERVAL may stand in the environment, in .env or \
                          in tidegate.toml. Exit status: 0 closed with 1000 or 1001, 1 not connected or lost, 2 wrong usage, 12 to 25 close \
                          codes 1002 to 1015, 30 to 49 the first two digits of other close codes.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct ClientCommand {
    /// ws:// or wss:// URL of the server [env: WS_URL] [default: ws://localhost:3000/ws]
    pub(super) url: Option<String>,

    /// Send this message and leave when it is answered; may be given several times
    #[arg(short = 'x', long, value_name = "TEXT")]
    pub(super) execute: Vec<String>,
    /// Leave this long after the last message was sent, or `forever`: never. Without it, once nothing has come for a second
    #[arg(short, long, value_name = "SECONDS", value_parser = wait)]
    pub(super) wait: Option<Wait>,
    /// Send a random number every MESSAGE_INTERVAL
    #[arg(long, conflicts_with_all = ["execute", "wait", "binary"])]
    pub(super) random: bool,
    /// Time between random numbers; a plain number is milliseconds [env: MESSAGE_INTERVAL] [default: 1000]
    #[arg(long, value_name = "TIME", requires = "random")]
    pub(super) message_interval: Option<String>,
    /// What is executed, or comes through the pipe, is sent as binary messages
    #[arg(long)]
    pub(super) binary: bool,
    /// Write messages as they came: text with a line end behind it, binary with nothing; not to a terminal
    #[arg(long)]
    pub(super) raw: bool,

    /// A further header of the handshake; may be given several times
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME: VALUE",
        help_heading = "Handshake"
    )]
    pub(super) headers: Vec<String>,
    /// A subprotocol to ask for; may be given several times, the dearest first
    #[arg(
        short = 's',
        long = "subprotocol",
        value_name = "NAME",
        help_heading = "Handshake"
    )]
    pub(super) subprotocols: Vec<String>,
    /// The Origin to show, as a browser does
    #[arg(short, long, value_name = "ORIGIN", help_heading = "Handshake")]
    pub(super) origin: Option<String>,
    /// The token to show, as Authorization: Bearer
    #[arg(
        long,
        value_name = "TOKEN",
        conflicts_with = "auth",
        help_heading = "Handshake"
    )]
    pub(super) token: Option<String>,
    /// User and password to show, as Authorization: Basic
    #[arg(long, value_name = "USER:PASSWORD", help_heading = "Handshake")]
    pub(super) auth: Option<String>,
    /// Offer no compression
    #[arg(long, help_heading = "Handshake")]
    pub(super) no_compress: bool,
    /// Believe the certificates in this PEM file, instead of those that the system believes
    #[arg(long, value_name = "FILE", help_heading = "Handshake")]
    pub(super) ca: Option<PathBuf>,
    /// Believe any certificate: whoever sits on the way can read and change everything
    #[arg(short = 'k', long, conflicts_with = "ca", help_heading = "Handshake")]
    pub(super) insecure: bool,
    /// Time for name, TCP, TLS and handshake together
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = connect_timeout, help_heading = "Handshake")]
    pub(super) connect_timeout: Duration,

    /// Connect again after a loss, also in a pipe and with --execute
    #[arg(long, conflicts_with = "no_reconnect", help_heading = "Connection")]
    pub(super) reconnect: bool,
    /// Leave after a loss, also on a terminal and with --random
    #[arg(long, help_heading = "Connection")]
    pub(super) no_reconnect: bool,
    /// Time before the first attempt to connect again; it doubles up to a minute. A plain number is milliseconds
    /// [env: RECONNECT_INTERVAL] [default: 5000]
    #[arg(long, value_name = "TIME", help_heading = "Connection")]
    pub(super) reconnect_interval: Option<String>,
    /// Bytes of a message, either way
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = message_size, help_heading = "Connection")]
    pub(super) max_message_size: usize,

    /// Whether pings and pongs are shown; without it they are on a terminal
    #[arg(
        short = 'P',
        long,
        value_name = "on|off",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        value_parser = switch,
        action = ArgAction::Set,
        help_heading = "Output"
    )]
    pub(super) show_ping_pong: Option<bool>,
    /// Show when each line came (UTC)
    #[arg(long, help_heading = "Output")]
    pub(super) timestamps: bool,
    /// No colours, as with NO_COLOR in the environment
    #[arg(long, help_heading = "Output")]
    pub(super) no_color: bool,
    /// Say only what goes wrong
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,
    /// Neither read nor write the history of lines
    #[arg(long, help_heading = "Output")]
    pub(super) no_history: bool,
}

/// How long answers are waited for after the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    For(Duration),
    Forever,
}

fn wait(text: &str) -> Result<Wait, String> {
    match text {
        "forever" => Ok(Wait::Forever),
        text => duration(text, 0, 86_400_000).map(Wait::For),
    }
}

fn connect_timeout(text: &str) -> Result<Duration, String> {
    duration(text, 10, 3_600_000)
}

fn message_size(text: &str) -> Result<usize, String> {
    let kind = Kind::Size {
        least: 125,
        most: 1 << 30,
        zero_is_off: false,
    };
    match Value::parse(&kind, text)? {
        Value::Size(bytes) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        other => unreachable!("a size is a size: {other}"),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match Value::parse(&Kind::Switch, text)? {
        Value::Switch(on) => Ok(on),
        other => unreachable!("a switch is a switch: {other}"),
    }
}

/// A time, of which a plain number is seconds.
pub(super) fn duration(text: &str, least_ms: u64, most_ms: u64) -> Result<Duration, String> {
    let kind = Kind::Duration {
        least_ms,
        most_ms,
        zero_is_off: false,
    };
    match Value::parse(&kind, text)? {
        Value::Duration(time) => Ok(time),
        other => unreachable!("a time is a time: {other}"),
    }
}
