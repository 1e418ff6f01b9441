//! What a person types: sub-commands and their arguments. No protocol, no socket lives here.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that `arguments` (program name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = arguments.into_iter().count();
    todo!()
}
