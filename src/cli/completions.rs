//! `tidegate completions`: what has a shell complete the command line, made from its definition.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

#[derive(Debug, Args)]
#[command(
    after_help = "bash: tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate\n\
                        zsh: tidegate completions zsh > DIRECTORY/_tidegate, of a DIRECTORY in fpath\n\
                        fish: tidegate completions fish > ~/.config/fish/completions/tidegate.fish"
)]
pub(super) struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

pub(super) fn run(command: &CompletionsCommand, definition: &mut Command) -> ExitCode {
    let mut script = Vec::new();
    generate(command.shell, definition, "tidegate", &mut script);
    // A reader that went away has enough.
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
