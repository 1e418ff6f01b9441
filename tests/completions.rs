//! `tidegate completions`, in a real bash and a real fish; zsh, which completes only for a person at a terminal, reads its script.

mod common;

use std::fs;
use std::process::Command;

use common::DEADLINE;
use common::peer::program;
use common::server::run_to_end;

fn script(shell: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["completions", shell]);
    let (status, output, errors) = run_to_end(command, DEADLINE);
    assert!(status.success(), "{errors}");
    output
}

/// What bash offers for the last of `words`.
fn offered(words: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("tidegate.bash");
    fs::write(&file, script("bash")).expect("written");
    // Asks the function that bash itself would ask.
    let ask = r#"
        source "$1" && shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        asked=$(complete -p tidegate | sed 's/.*-F \([^ ]*\).*/\1/')
        "$asked" tidegate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new(program("bash"));
    bash.args(["--norc", "-c", ask, "bash"])
        .arg(&file)
        .args(words)
        .current_dir(directory.path());
    let (status, output, errors) = run_to_end(bash, DEADLINE);
    assert!(status.success() && errors.is_empty(), "{errors}");
    output.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    assert_eq!(offered(&["tidegate", "cl"]), ["client"]);
    assert_eq!(offered(&["tidegate", "client", "--exec"]), ["--execute"]);
    assert_eq!(offered(&["tidegate", "bench", "fan"]), ["fanout"]);
    let shells = offered(&["tidegate", "completions", ""]);
    assert!(shells.contains(&"zsh".to_owned()), "{shells:?}");
}

#[test]
fn bash_finds_no_fault_in_the_script() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("tidegate.bash");
    fs::write(&file, script("bash")).expect("written");
    let mut bash = Command::new(program("bash"));
    bash.arg("-n").arg(&file);
    let (status, _, errors) = run_to_end(bash, DEADLINE);
    assert!(status.success() && errors.is_empty(), "{errors}");
}

/// What a shell says to a command, with the script for it as `$1` (`$argv[1]` in fish).
fn told_by(shell: &str, options: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("_tidegate");
    fs::write(&file, script(shell)).expect("written");
    let mut command = Command::new(program(shell));
    command
        .args(options)
        .arg(&file)
        .env("HOME", directory.path());
    let (status, output, errors) = run_to_end(command, DEADLINE);
    assert!(status.success() && errors.is_empty(), "{shell}: {errors}");
    output
}

#[test]
fn fish_completes_commands_and_options() {
    let ask = "source $argv[1]; complete -C 'tidegate cl'; complete -C 'tidegate client --exec'";
    let told = told_by("fish", &["--no-config", "-c", ask]);
    let words: Vec<_> = told.split(['\t', '\n']).collect();
    assert_eq!(words[0], "client", "{told}");
    assert!(words.contains(&"--execute"), "{told}");
}

#[test]
fn zsh_finds_no_fault_in_the_script() {
    assert_eq!(told_by("zsh", &["--no-rcs", "-n"]), "");
}

#[test]
fn other_shells_have_scripts_too() {
    for (shell, says) in [
        ("zsh", "#compdef tidegate"),
        ("fish", "complete -c tidegate"),
        ("elvish", "edit:completion:arg-completer[tidegate]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = script(shell);
        assert!(script.contains(says), "{shell}");
        assert!(script.contains("reconnect-interval"), "{shell}");
    }
}

#[test]
fn an_unknown_shell_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["completions", "csh"]);
    let (status, output, errors) = run_to_end(command, DEADLINE);
    assert_eq!((status.code(), &output[..]), (Some(2), ""));
    assert!(errors.contains("possible values: bash"), "{errors}");
}
