//! `tidegate client`: a person, a pipe or a die at one end of a WebSocket connection (`docs/client.md`).
//!
//! One loop owns the connection. What may have to wait has a thread of its own: the input, the output, and each attempt to
//! connect; so Ctrl-C is always heard. The protocol is the `websocket` floor's, in the client role.
//!
//! | module | what lives there |
//! |---|---|
//! | [`arguments`], [`options`], [`trust`] | what was asked for; checked; whom TLS believes |
//! | [`target`], [`dial`], [`wire`] | whom to talk to; how a connection comes to be; its bytes |
//! | [`machine`], [`outcome`], [`backoff`] | what to do, without I/O; how it ended; when to try again |
//! | [`typing`], [`render`] | from lines to messages, and back |
//! | [`mod@run`], [`input`], [`prompt`], [`output`], [`events`] | the loop and its threads |

mod arguments;
mod backoff;
mod dial;
mod events;
mod input;
mod machine;
mod options;
mod outcome;
mod output;
mod prompt;
mod render;
mod run;
mod target;
mod trust;
mod typing;
mod wire;

use std::io::{self, Write};
use std::process::ExitCode;

pub(super) use self::arguments::ClientCommand;
use self::options::Options;
use self::run::Run;
use super::{STATUS_FAILED, STATUS_WRONG_SETTINGS, fail};

/// Talks to a server until somebody leaves.
pub(super) fn run(command: &ClientCommand) -> ExitCode {
    let options = match Options::new(command) {
        Ok(options) => options,
        Err(why) => return fail(STATUS_WRONG_SETTINGS, &why),
    };
    if command.insecure {
        let warning = "tidegate: warning: --insecure believes any certificate: this may be any server, and anybody on the way reads and changes what is said";
        let _ = writeln!(io::stderr(), "{warning}");
    }
    match Run::new(&options).and_then(Run::finish) {
        Ok(status) => ExitCode::from(status),
        Err(error) => fail(STATUS_FAILED, &error),
    }
}
