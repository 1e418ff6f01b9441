//! `docs/client.md`: its examples, at a terminal and in pipes.

use std::process::Command;

use crate::common::DEADLINE;
use crate::common::peer::Peer;
use crate::common::server::{Server, run_to_end};
use crate::stage::Home;

const DOCUMENT: &str = include_str!("../../docs/client.md");

/// The lines of all blocks of that kind.
fn blocks(kind: &str) -> Vec<Vec<&'static str>> {
    let opening = format!("```{kind}\n");
    let parts = DOCUMENT.split(&opening).skip(1);
    let block = parts.map(|part| part.split("```").next().unwrap_or_default());
    block.map(|block| block.lines().collect()).collect()
}

/// A command of the document, with the program and the address of this test.
fn here(command: &str, server: &Server) -> String {
    command
        .replace("localhost:3000", &server.address().to_string())
        .replace(
            "tidegate client",
            &format!("'{}' client", env!("CARGO_BIN_EXE_tidegate")),
        )
}

/// Commands with what they print.
fn examples(block: &[&str]) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), examples.last_mut()) {
            (Some(command), _) => examples.push((command.to_owned(), String::new())),
            (None, Some((_, shown))) => *shown += &format!("{line}\n"),
            (None, None) => panic!("{line} before a command"),
        }
    }
    examples
}

#[test]
fn the_examples_in_pipes_are_true() {
    let server = Server::start();
    let home = Home::new();
    let examples: Vec<_> = blocks("console")
        .iter()
        .flat_map(|block| examples(block))
        .collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for (command, shown) in examples {
        let mut shell = Command::new("sh");
        let line = here(&command, &server);
        shell.args(["-c", &line]).current_dir(home.path());
        let (_, output, errors) = run_to_end(shell, DEADLINE);
        assert_eq!(output, shown, "{command}: {errors}");
    }
}

#[test]
fn the_examples_at_a_terminal_are_true() {
    let server = Server::start();
    let home = Home::new();
    let blocks = blocks("terminal");
    assert!(!blocks.is_empty());
    for block in blocks {
        let (start, lines) = block.split_first().expect("a command");
        let url = here(
            start.strip_prefix("$ tidegate client ").expect("a client"),
            &server,
        );
        let mut client: Peer = home.at_terminal(&[&url]);
        let mut position = 0;
        for line in lines {
            match line.strip_prefix("> ") {
                Some(typed) => client.type_line(typed),
                None => {
                    let shown = here(line, &server);
                    let is_it = |line: &str| line.contains(&shown);
                    (position, _) = client.wait_after(position, DEADLINE, is_it);
                }
            }
        }
        assert_eq!(client.wait_exit().code(), Some(0));
    }
}
