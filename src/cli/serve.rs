//! `tidegate serve`: settings, log, then the server until it ends.

use std::process::ExitCode;

use super::{STATUS_FAILED, STATUS_WRONG_SETTINGS, fail};
use crate::server::open_files::raise_open_file_limit;
use crate::server::settings::{Arguments, Settings};
use crate::server::{self, logging};

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    raise_open_file_limit();
    let loaded = match Settings::load(arguments) {
        Ok(loaded) => loaded,
        Err(error) => return fail(STATUS_WRONG_SETTINGS, &error),
    };
    let log = match logging::start(&loaded.settings.log) {
        Ok(log) => log,
        Err(error) => return fail(STATUS_WRONG_SETTINGS, &error),
    };
    let to_file = loaded.settings.log.to_file;
    let result = server::run(loaded, arguments);
    if let (Err(error), true) = (&result, to_file) {
        log::error!("{error}");
    }
    // What is in the log comes before the last line on stderr.
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(STATUS_FAILED, &error),
    }
}
