//! `tidegate doctor`: looks at what the server will meet on this machine and beyond, and says what to do about it. It leaves
//! nothing behind, and shows no secret.

mod backend;
mod clock;
mod finding;
mod kernel;
mod nginx;
mod places;
mod redis;
mod tls;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{AFTER_HELP, STATUS_FAILED};
use crate::server::open_files::raise_open_file_limit;
use crate::server::settings::{Arguments, Settings};
use crate::server::token_keys;
use finding::{Finding, State};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DoctorCommand {
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
    /// Configuration of nginx, instead of the usual one where there is one
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    #[command(flatten)]
    arguments: Arguments,
}

pub(super) fn run(command: &DoctorCommand) -> ExitCode {
    // As serve does it, so that the limits are those of serve.
    let open_files_max = raise_open_file_limit();
    let findings = look(command, open_files_max);
    let text = if command.json {
        finding::json(&findings)
    } else {
        finding::lines(&findings)
    };
    // A reader that went away changes nothing about the machine.
    let _ = io::stdout().write_all(text.as_bytes());
    if findings
        .iter()
        .any(|finding| finding.state == State::Problem)
    {
        return ExitCode::from(STATUS_FAILED);
    }
    ExitCode::SUCCESS
}

fn look(command: &DoctorCommand, open_files_max: u64) -> Vec<Finding> {
    let loaded = match Settings::load(&command.arguments) {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "Mend it; whatever depends on the settings is looked at then.";
            let wrong = Finding::problem("settings", error.to_string(), advice);
            return vec![wrong, clock::look(false)];
        }
    };
    let settings = &loaded.settings;
    let mut findings = vec![settings_are_good(settings)];
    findings.extend(kernel::look(settings, open_files_max));
    findings.extend(places::look(settings));
    findings.extend(tls::look(settings));
    let has_tokens = settings.tokens.secret.is_some() || settings.tokens.public_key_file.is_some();
    findings.push(clock::look(has_tokens));
    findings.extend(redis::look(settings));
    findings.extend(backend::look(settings));
    findings.extend(nginx::look(settings, command.nginx.as_deref()));
    findings
}

fn settings_are_good(settings: &Settings) -> Finding {
    match token_keys::load(&settings.tokens) {
        Ok(_) => Finding::ok("settings", "every value is allowed"),
        Err(error) => Finding::problem(
            "settings",
            error.to_string(),
            "Give it a key that is one, and that this user may read.",
        ),
    }
}
