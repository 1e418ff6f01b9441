//! Settings to running threads: acceptor, workers, signals, drain.

mod acceptor;
mod listeners;
pub mod logging;
pub mod open_files;
mod process;
pub mod redis_tls;
mod running;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls_files;
pub mod token_keys;
mod translate;

use std::fmt;
use std::io;

use logging::escape::Escaped;
use settings::{Arguments, Loaded};
use tls_files::TlsFilesError;
use token_keys::TokenKeysError;

/// Why the server cannot start or had to stop. `Display` gives one line.
#[derive(Debug)]
pub enum StartError {
    /// An address that cannot be listened on.
    Listen(String, io::Error),
    /// Certificate or key.
    Tls(TlsFilesError),
    /// Keys of tokens.
    Tokens(TokenKeysError),
    /// Files for TLS with Redis.
    RedisTls(String),
    /// The way to the back end, for what is wrong with its certificates.
    Backend(String),
    /// A poller, a thread, a signal handler that the system does not give.
    System(io::Error),
    /// A second signal while connections were still being sent away.
    Interrupted,
}

impl std::error::Error for StartError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Tls(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
            Self::Backend(problem) => write!(f, "the back end: {}", Escaped(problem)),
            Self::RedisTls(problem) => write!(f, "{}", Escaped(problem)),
            Self::System(error) => write!(f, "the system gives too little to start: {error}"),
            Self::Interrupted => f.write_str("stopped before every connection was sent away"),
        }
    }
}

/// Serves until SIGTERM or SIGINT has drained every connection. The log is on and the open-file limit is raised
/// by the caller; `arguments` are for reading the settings again at SIGHUP.
///
/// # Errors
/// A start that cannot work, such as a port that is taken.
pub fn run(loaded: Loaded, arguments: &Arguments) -> Result<(), StartError> {
    running::run(loaded, arguments)
}
