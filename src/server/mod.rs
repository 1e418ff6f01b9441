//! Settings to running threads: acceptor, workers, signals, drain.

pub mod logging;
pub mod open_files;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod tls_files;

use settings::{Arguments, Loaded};

/// Why the server cannot start or had to stop. `Display` gives one line.
#[derive(Debug)]
pub enum StartError {}

impl std::error::Error for StartError {}

impl std::fmt::Display for StartError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

/// Serves until SIGTERM or SIGINT has drained every connection. The log is on and the open-file limit is raised
/// by the caller; `arguments` are for reading the settings again at SIGHUP.
///
/// # Errors
/// A start that cannot work, such as a port that is taken.
pub fn run(loaded: Loaded, arguments: &Arguments) -> Result<(), StartError> {
    let _ = (loaded, arguments);
    todo!()
}
