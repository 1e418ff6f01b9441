//! The tour of the README, taken apart: who types what at which terminal, and what that terminal must show.

/// One step of the tour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A command of the shell, and all that it prints; a line `…` stands for any number of lines.
    Run { command: String, shown: Vec<String> },
    /// A command that goes on at the terminal of that person.
    Begin { who: String, command: String },
    /// A person types a line.
    Type { who: String, line: String },
    /// The next line at a person's terminal.
    Show { who: String, line: String },
}

/// What ends the line before a block for a person's terminal.
const TERMINAL: &str = "'s terminal:";
/// What a command ends with that goes on in the next line.
const CONTINUED: char = '\\';

/// The steps of all `console` blocks, in their order.
pub(crate) fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if line == "```console" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let who = before
                .strip_suffix(TERMINAL)
                .and_then(|text| text.split(' ').next_back());
            match who {
                Some(who) => steps.extend(block.iter().map(|line| step_of(who, line))),
                None => steps.extend(commands(&block)),
            }
        } else if !line.is_empty() {
            before = line;
        }
    }
    steps
}

fn step_of(who: &str, line: &str) -> Step {
    let who = who.to_owned();
    if let Some(command) = line.strip_prefix("$ ") {
        let command = command.to_owned();
        Step::Begin { who, command }
    } else if let Some(typed) = line.strip_prefix("> ") {
        let line = typed.to_owned();
        Step::Type { who, line }
    } else {
        let line = line.to_owned();
        Step::Show { who, line }
    }
}

fn commands(block: &[&str]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Step::Run {
                command: command.to_owned(),
                shown: Vec::new(),
            });
            continue;
        }
        let Some(Step::Run { command, shown }) = found.last_mut() else {
            panic!("a block begins with a command, not with {line}");
        };
        if shown.is_empty() && command.ends_with(CONTINUED) {
            *command = format!("{command}\n{line}");
        } else {
            shown.push((*line).to_owned());
        }
    }
    found
}
