//! The tour of the README, run: every `$ command` in it, against the real server, must print the lines that stand below.

mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::peer;
use common::server::Server;

/// A command of the tour, and the texts that its output must contain, in order.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in readme.lines() {
        match line {
            "```console" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => match line.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step {
                        command: command.to_owned(),
                        expected: Vec::new(),
                    });
                }
                None => {
                    let step = steps.last_mut().expect("a block begins with a command");
                    step.expected.push(line.to_owned());
                }
            },
            _ => {}
        }
    }
    steps
}

fn run(step: &Step, server: &Server) -> String {
    let command = step
        .command
        .replace("localhost:3000", &server.address().to_string())
        .replace("npx wscat", &peer::wscat_path().display().to_string())
        .replace("target/release/tidegate", env!("CARGO_BIN_EXE_tidegate"));
    // The input stays open until the output ends, as it does at a person's terminal.
    let mut child = Command::new("bash")
        .args(["-c", &format!("{{ {command}; }} 2>&1")])
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

#[test]
fn the_tour_shows_what_it_says() {
    let server = Server::builder()
        .env("API_KEY", common::gateway::API_KEY)
        .start();
    let steps = steps(include_str!("../README.md"));
    assert!(steps.len() >= 6, "the tour has {} steps", steps.len());
    for step in &steps {
        let output = run(step, &server);
        let mut rest = output.as_str();
        for expected in &step.expected {
            let Some(at) = rest.find(expected.as_str()) else {
                panic!(
                    "`{}` printed no `{expected}` (in this order):\n{output}",
                    step.command
                );
            };
            rest = &rest[at + expected.len()..];
        }
        assert!(
            !step.expected.is_empty(),
            "`{}` is expected to print nothing",
            step.command
        );
    }
}

#[test]
fn the_two_commands_come_first() {
    let readme = include_str!("../README.md");
    let first = readme.split("```").nth(1).expect("a block of commands");
    let commands: Vec<_> = first
        .lines()
        .skip(1)
        .map(|line| line.split('#').next())
        .collect();
    let commands: Vec<_> = commands.into_iter().flatten().map(str::trim).collect();
    assert_eq!(commands, ["cargo run --release", "make test"]);
}
