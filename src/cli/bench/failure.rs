//! Why a run ends without a result.

use std::fmt;
use std::io;

/// What is said on stderr, and which exit status it means.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked for makes no sense: status 2.
    Usage(String),
    /// The server, the network or the machine did not play along: status 1.
    Run(String),
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(super) fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    pub(super) fn run(sentence: impl Into<String>) -> Self {
        Self::Run(sentence.into())
    }

    /// The same, of the connection with this number.
    pub(super) fn of_connection(self, number: usize) -> Self {
        match self {
            Self::Run(sentence) => Self::Run(format!("connection {number}: {sentence}")),
            Self::Usage(_) => self,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(sentence) | Self::Run(sentence) => f.write_str(sentence),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Run(error.to_string())
    }
}
