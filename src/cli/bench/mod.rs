//! `tidegate bench`: the load that a server is measured with.
//!
//! One thread, frames prepared before, edge-triggered events, one read and one write a turn and connection, and replies
//! that are compared with bytes that are known instead of decoded: it has to outrun the server under test. It knows no
//! server in particular; `tcp://` measures the bare socket that all of them stand on.
//!
//! | module | what lives there |
//! |---|---|
//! | [`arguments`], [`target`], [`failure`] | what was asked for, of whom, and why it cannot be |
//! | [`message`], [`pattern`], [`link`], [`opening`] | payloads; their bytes; a connection; how it comes to be |
//! | [`work`] | warm-up, window, silence |
//! | [`echo`], [`rate`], [`fanout`], [`connect`], [`idle`] | the commands; [`client`] is a connection of the first two and the last |
//! | [`latency`], [`process`], [`progress`], [`report`], [`plot`] | what is measured and how it is told |

mod arguments;
mod client;
mod connect;
mod echo;
mod failure;
mod fanout;
mod idle;
mod latency;
mod link;
mod message;
mod opening;
mod pattern;
mod plot;
mod process;
mod progress;
mod rate;
mod report;
mod target;
mod work;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

pub(super) use self::arguments::BenchCommand;
use self::arguments::Common;
use self::failure::{Failure, Result};
use self::progress::Progress;
use self::report::Report;
use super::{STATUS_FAILED, STATUS_WRONG_SETTINGS, fail};
use crate::server::open_files::raise_open_file_limit;

/// Measures, and tells what came out.
pub(super) fn run(command: &BenchCommand) -> ExitCode {
    raise_open_file_limit();
    let common = common(command);
    let mut progress = Progress::new(common.json);
    let result = measure(command, &mut progress);
    progress.end();
    match result.and_then(|report| tell(&report, common)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(sentence)) => fail(STATUS_WRONG_SETTINGS, &sentence),
        Err(Failure::Run(sentence)) => fail(STATUS_FAILED, &sentence),
    }
}

fn common(command: &BenchCommand) -> &Common {
    match command {
        BenchCommand::Echo(command) => &command.common,
        BenchCommand::Rate(command) => &command.common,
        BenchCommand::Fanout(command) => &command.common,
        BenchCommand::Connect(command) => &command.common,
        BenchCommand::Idle(command) => &command.common,
    }
}

fn measure(command: &BenchCommand, progress: &mut Progress) -> Result<Report> {
    match command {
        BenchCommand::Echo(command) => echo::run(command, progress),
        BenchCommand::Rate(command) => rate::run(command, progress),
        BenchCommand::Fanout(command) => fanout::run(command, progress),
        BenchCommand::Connect(command) => connect::run(command, progress),
        BenchCommand::Idle(command) => idle::run(command, progress),
    }
}

fn tell(report: &Report, common: &Common) -> Result<()> {
    if let Some(warning) = &report.warning {
        let _ = writeln!(io::stderr(), "tidegate: warning: {warning}");
    }
    let text = if common.json {
        report.json()
    } else {
        report.table()
    };
    // A reader that went away does not make the result wrong.
    let _ = io::stdout().write_all(text.as_bytes());
    if let (Some(path), Some(latency)) = (&common.plot, &report.latency) {
        let drawing = plot::draw(report.title(), latency);
        fs::write(path, drawing)
            .map_err(|error| Failure::run(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}
