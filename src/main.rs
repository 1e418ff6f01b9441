//! The `tidegate` binary: arguments to [`tidegate::cli::run`], nothing else.

fn main() -> std::process::ExitCode {
    tidegate::cli::run(std::env::args_os())
}
