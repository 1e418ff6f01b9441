//! The tour of the README, taken: every command is typed at a real terminal, against the real server, and what stands below it
//! has to come.

mod common;
#[path = "readme/terminal.rs"]
mod terminal;
#[path = "readme/tour.rs"]
mod tour;

use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};

use common::example::ANY;
use common::peer;
use common::server::Server;
use terminal::Terminal;
use tour::Step;

const README: &str = include_str!("../README.md");

/// A command of the tour, with the programs and the address of this test.
fn command_here(command: &str, server: &Server) -> String {
    command
        .replace("localhost:3000", &server.address().to_string())
        .replace("npx wscat", &peer::wscat_path().display().to_string())
        .replace("target/release/tidegate", env!("CARGO_BIN_EXE_tidegate"))
}

/// Runs a command to its end; what it prints.
fn printed(command: &str, server: &Server) -> String {
    // The input stays open until the output ends, as it does at a person's terminal.
    let mut child = Command::new("bash")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .current_dir(server.directory())
        .spawn()
        .expect("bash");
    let input = child.stdin.take();
    let mut output = String::new();
    let stdout = child.stdout.take();
    stdout
        .expect("piped")
        .read_to_string(&mut output)
        .expect("text");
    drop(input);
    child.wait().expect("bash ends");
    output
}

/// Whether these are the lines shown, where `…` stands for any number of lines.
fn are_like(lines: &[&str], shown: &[String]) -> bool {
    match (lines, shown) {
        (_, [any, rest @ ..]) if any == ANY => {
            (0..=lines.len()).any(|from| are_like(&lines[from..], rest))
        }
        ([line, lines @ ..], [shown, rest @ ..]) => line == shown && are_like(lines, rest),
        (lines, shown) => lines.is_empty() && shown.is_empty(),
    }
}

/// The key that the server of the tour is started with.
fn api_key() -> &'static str {
    let start = README.split("API_KEY='").nth(1).expect("a key");
    start.split('\'').next().expect("its end")
}

fn at<'t>(terminals: &'t mut HashMap<String, Terminal>, who: &str) -> &'t mut Terminal {
    let terminal = terminals.get_mut(who);
    terminal.unwrap_or_else(|| panic!("{who} has started nothing"))
}

#[test]
fn the_tour_shows_what_it_says() {
    let server = Server::builder().env("API_KEY", api_key()).start();
    let mut terminals: HashMap<String, Terminal> = HashMap::new();
    let steps = tour::steps(README);
    for step in &steps {
        match step {
            Step::Run { command, shown } => {
                let output = printed(&command_here(command, &server), &server);
                let lines: Vec<_> = output.lines().collect();
                assert!(are_like(&lines, shown), "`{command}` printed\n{output}");
            }
            Step::Begin { who, command } => {
                let terminal = Terminal::begin(&command_here(command, &server));
                terminals.insert(who.clone(), terminal);
            }
            Step::Type { who, line } => at(&mut terminals, who).type_line(line),
            Step::Show { who, line } => at(&mut terminals, who).expect(line),
        }
    }
    assert_eq!(terminals.len(), 2, "people on the tour");
    for terminal in terminals.values_mut() {
        terminal.expect_silence();
    }
    let count = |is: fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count();
    assert!(count(|step| matches!(step, Step::Run { .. })) >= 6);
    assert!(count(|step| matches!(step, Step::Show { .. })) >= 10);
}

#[test]
fn a_tour_is_taken_apart_by_terminal() {
    let document = "Text. Ann's terminal:\n\n```console\n$ run\n> a\n< b\n```\nText\n```console\n$ one \\\n  two\nthree\n```\n";
    let ann = || "Ann".to_owned();
    assert_eq!(
        tour::steps(document),
        [
            Step::Begin {
                who: ann(),
                command: "run".into()
            },
            Step::Type {
                who: ann(),
                line: "a".into()
            },
            Step::Show {
                who: ann(),
                line: "< b".into()
            },
            Step::Run {
                command: "one \\\n  two".into(),
                shown: vec!["three".into()]
            },
        ]
    );
}

#[test]
fn the_two_commands_come_first() {
    let first = README.split("```").nth(1).expect("a block of commands");
    let commands: Vec<_> = first
        .lines()
        .skip(1)
        .map(|line| line.split('#').next())
        .collect();
    let commands: Vec<_> = commands.into_iter().flatten().map(str::trim).collect();
    assert_eq!(commands, ["cargo run --release", "make test"]);
}
