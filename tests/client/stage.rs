//! A client as a process, with a home of its own and nothing from ours.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::DEADLINE;
use crate::common::peer::{Peer, on_terminal};
use crate::common::server::run_to_end;

pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// `tidegate client` with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .arg("client")
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("RUST_BACKTRACE", "1")
            .current_dir(self.path());
        command
    }

    /// In pipes.
    pub(crate) fn start(&self, arguments: &[&str]) -> Peer {
        Peer::start(self.command(arguments))
    }

    /// To its end, without input: exit status, stdout, stderr.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let (status, output, errors) = run_to_end(self.command(arguments), DEADLINE);
        (status.code().expect("no signal"), output, errors)
    }

    /// On a terminal of its own.
    pub(crate) fn at_terminal(&self, arguments: &[&str]) -> Peer {
        Peer::start(self.terminal_command(arguments))
    }

    pub(crate) fn terminal_command(&self, arguments: &[&str]) -> Command {
        let mut line = format!("'{}' client", env!("CARGO_BIN_EXE_tidegate"));
        for argument in arguments {
            assert!(!argument.contains('\''), "{argument}");
            line += &format!(" '{argument}'");
        }
        let mut command = on_terminal(&line);
        command
            .env("HOME", self.path())
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1")
            .current_dir(self.path());
        for name in [
            "XDG_STATE_HOME",
            "WS_URL",
            "RECONNECT_INTERVAL",
            "MESSAGE_INTERVAL",
        ] {
            command.env_remove(name);
        }
        command
    }
}

/// Exit status and output of [`Home::run`].
pub(crate) fn told(run: &(i32, String, String)) -> (i32, &str) {
    (run.0, &run.1)
}
