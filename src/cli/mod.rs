//! What a person types: sub-commands and their arguments. No protocol lives here, and no sub-command does more than
//! call the floors below.

mod arguments;
mod bench;
mod check;
mod client;
mod completions;
mod doctor;
mod health;
#[cfg(test)]
mod man_tests;
mod serve;
mod token;
mod url;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::server::settings::Arguments;

/// Exit status where the server cannot start or had to stop.
const STATUS_FAILED: u8 = 1;
/// Exit status of wrong usage and wrong settings.
const STATUS_WRONG_SETTINGS: u8 = 2;

/// A stand-alone real-time WebSocket server.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    about,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Flags win over the environment (a .env file in the working directory counts as such), that \
                          over tidegate.toml, that over the defaults. Lists are separated by commas; sizes are such \
                          as 65536, 64k or 1MiB; times are such as 500ms, 30s or 2m.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Serve(ServeCommand),
    /// Talk to a WebSocket server: on a terminal, through a pipe, or with random numbers
    Client(Box<client::ClientCommand>),
    /// Print the effective settings with where each came from, and say what is wrong with them
    Check(CheckCommand),
    /// Look at the machine and its neighbours: limits, kernel settings, Redis, nginx, certificates, clock
    Doctor(doctor::DoctorCommand),
    /// Ask a server whether it is well: for containers and supervisors, not for people
    #[command(hide = true)]
    Health(health::HealthCommand),
    /// Mint a client token for trying things out
    Token(token::TokenCommand),
    /// Measure a WebSocket server: load, latency, CPU time and memory
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Print what has a shell complete the commands and options of tidegate
    Completions(completions::CompletionsCommand),
}

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
struct ServeCommand {
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
struct CheckCommand {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs the command that `arguments` (program name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => match cli.command {
            None => serve::run(&cli.arguments),
            Some(Command::Serve(command)) => serve::run(&command.arguments),
            Some(Command::Check(command)) => check::run(&command.arguments, command.json),
            Some(Command::Doctor(command)) => doctor::run(&command),
            Some(Command::Health(command)) => health::run(&command),
            Some(Command::Token(command)) => token::run(&command),
            Some(Command::Bench(command)) => bench::run(&command),
            Some(Command::Client(command)) => client::run(&command),
            Some(Command::Completions(command)) => completions::run(&command, &mut Cli::command()),
        },
        Err(error) => {
            // Nobody is left to tell where not even this can be printed.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(STATUS_WRONG_SETTINGS))
        }
    }
}

/// Says on one line of stderr why the process ends, and with which status.
fn fail(status: u8, why: &impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "tidegate: {why}");
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::settings::table::SETTINGS;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_has_every_setting_under_its_theme() {
        let help = Cli::command().render_long_help().to_string();
        for setting in SETTINGS {
            assert!(
                help.contains(&format!("--{} ", setting.flag())),
                "{}",
                setting.flag()
            );
            assert!(help.contains(&format!("{}:\n", setting.theme.heading())));
        }
    }

    #[test]
    fn serve_is_the_default_and_takes_the_same_flags() {
        let bare = Cli::try_parse_from(["tidegate", "--port", "4000"]).expect("parses");
        assert!(bare.command.is_none());
        let named = Cli::try_parse_from(["tidegate", "serve", "--port", "4000"]).expect("parses");
        let Some(Command::Serve(command)) = named.command else {
            panic!("not serve")
        };
        assert_eq!(command.arguments, bare.arguments);
        assert_eq!(bare.arguments.flags.len(), 1);
    }

    #[test]
    fn usage_errors() {
        for (line, says) in [
            (
                &["tidegate", "--prot", "1"][..],
                "unexpected argument '--prot'",
            ),
            (&["tidegate", "serf"], "unrecognized subcommand 'serf'"),
            (
                &["tidegate", "--port", "1", "--port", "2"],
                "cannot be used multiple times",
            ),
            (&["tidegate", "--port", "1", "check"], "cannot be used with"),
            (&["tidegate", "--port"], "a value is required"),
        ] {
            let error = Cli::try_parse_from(line).expect_err("wrong usage");
            assert_eq!(
                error.exit_code(),
                i32::from(STATUS_WRONG_SETTINGS),
                "{line:?}"
            );
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
