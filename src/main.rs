//! The `tidegate` binary: arguments to [`tidegate::cli::run`], nothing else.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    tidegate::cli::run(std::env::args_os())
}
