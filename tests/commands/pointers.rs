//! Files, headings, targets of `make` and options of the program that documents speak of are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::common::DEADLINE;
use crate::common::server::run_to_end;
use crate::{documents, read, root};

/// A document without its blocks.
fn prose(document: &str) -> String {
    let text = read(document);
    let parts = text.split("\n```").enumerate();
    let outside = parts.filter(|(index, _)| index % 2 == 0);
    outside.map(|(_, part)| part).collect::<Vec<_>>().join("\n")
}

/// What stands between single backquotes.
fn code(document: &str) -> Vec<String> {
    let text = prose(document);
    let parts = text.split('`').enumerate();
    let inside = parts.filter(|(index, _)| index % 2 == 1);
    inside.map(|(_, part)| part.replace('\n', " ")).collect()
}

/// What a link to a heading calls it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for document in documents() {
        let text = prose(&document);
        let beside = root().join(&document);
        let beside = beside.parent().expect("a directory");
        let targets = text.split("](").skip(1);
        for target in targets.filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                root().join(&document)
            } else {
                beside.join(file)
            };
            assert!(path.exists(), "{document}: {target}");
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&path).expect("a document");
                let mut headings = there.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
                assert!(is_there, "{document}: {target}");
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count} links");
}

#[test]
fn files_that_are_named_are_there() {
    let mut count = 0;
    for document in documents() {
        // What was is told there as it was.
        if document == "CHANGELOG.md" {
            continue;
        }
        for word in code(&document) {
            let is_path = [
                "src/",
                "tests/",
                "deploy/",
                "docs/",
                "benches/",
                "autobahn/",
            ]
            .iter()
            .any(|begin| word.starts_with(begin));
            if is_path && !word.contains([' ', '*', '{']) {
                assert!(root().join(&word).exists(), "{document}: {word}");
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} files");
}

#[test]
fn targets_of_make_are_there() {
    let makefile = read("Makefile");
    for document in documents() {
        for word in code(&document) {
            let words: Vec<_> = word.split(' ').collect();
            let at = words.iter().position(|word| *word == "make");
            if let Some(target) = at.and_then(|at| words.get(at + 1)) {
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{document}: {word}");
            }
        }
    }
}

/// The options of each sub-command, as its help has them.
fn options(command: &str) -> BTreeSet<String> {
    let mut help = Command::new(Path::new(env!("CARGO_BIN_EXE_tidegate")));
    help.args(command.split(' ')).arg("--help");
    let (status, output, errors) = run_to_end(help, DEADLINE);
    assert!(status.success(), "{command}: {errors}");
    let words = output.split(|c: char| !(c.is_alphanumeric() || c == '-'));
    let options = words.filter(|word| word.starts_with("--"));
    options.map(str::to_owned).collect()
}

#[test]
fn commands_and_their_options_are_there() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    for document in documents() {
        if document == "CHANGELOG.md" {
            continue;
        }
        for word in code(&document) {
            let Some(rest) = word.strip_prefix("tidegate ") else {
                continue;
            };
            let command = rest.split(' ').next().expect("a word");
            if command.starts_with('-') {
                continue;
            }
            let known = known
                .entry(command.to_owned())
                .or_insert_with(|| options(command));
            for option in rest.split(' ').filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().expect("a name");
                assert!(known.contains(option), "{document}: {word}");
            }
            count += 1;
        }
    }
    assert!(count > 10, "{count} commands");
}
