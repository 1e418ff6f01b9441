//! Every block of commands in the documents has somebody who runs it: another test, this one beside a server (`sh served`), or this one
//! as root on a copy of the machine's directories (`sh machine`), where services are enabled but not started, and the kernel's
//! settings are read but not changed. And what the documents point at is there.

mod common;
#[path = "commands/pointers.rs"]
mod pointers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::gateway::API_KEY;
use common::peer::program;
use common::server::{Server, run_to_end};
use rustix::process::geteuid;

/// `tidegate bench` of a document measures for five seconds, beside others.
const LONG: Duration = Duration::from_secs(60);

/// Blocks that other tests run: which document, what stands behind the backquotes, and in which test.
const RUN_ELSEWHERE: [(&str, &str, &str); 12] = [
    ("README.md", "sh", "tests/readme.rs"),
    ("README.md", "console", "tests/readme.rs"),
    ("docs/client.md", "console", "tests/client/document.rs"),
    ("docs/client.md", "terminal", "tests/client/document.rs"),
    ("docs/doctor.md", "sh", "tests/doctor.rs"),
    ("docs/http-api.md", "gateway", "tests/documents.rs"),
    ("docs/protocol.md", "gateway", "tests/documents.rs"),
    ("docs/install.md", "sh package", "tests/package.rs"),
    ("docs/socketio.md", "js", "tests/socketio_peers.rs"),
    ("docs/bench.md", "console", "tests/commands.rs"),
    ("docs/backend.md", "sh", "tests/backend_examples.rs"),
    ("docs/backend.md", "console", "tests/backend_examples.rs"),
];
/// What the machine of the tests lacks: minutes for a build, hours for a measurement, systemd, a container engine, a cluster.
const NOT_RUN: [&str; 5] = [
    "sh release",
    "sh hours",
    "sh systemd",
    "sh engine",
    "sh cluster",
];
/// What is shown and not typed.
const NO_COMMANDS: [&str; 2] = ["json", ""];

/// A block of a document, between two lines of three backquotes.
struct Block {
    document: String,
    kind: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(document: &str) -> String {
    let path = root().join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document that people read, by its path below the checkout.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for directory in ["", "docs", "deploy", "benches", "autobahn"] {
        let entries = fs::read_dir(root().join(directory)).expect("a directory");
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "md") {
                let path = path.strip_prefix(root()).expect("below the checkout");
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn blocks() -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for document in documents() {
        let mut is_inside = false;
        for line in read(&document).lines() {
            match (line.strip_prefix("```"), is_inside) {
                (Some(kind), false) => found.push(Block {
                    document: document.clone(),
                    kind: kind.to_owned(),
                    text: String::new(),
                }),
                (None, true) => {
                    found.last_mut().expect("begun").text += &format!("{line}\n");
                    continue;
                }
                (Some(_), true) => {}
                (None, false) => continue,
            }
            is_inside = !is_inside;
        }
        assert!(!is_inside, "{document} ends within a block");
    }
    found
}

fn of_kind(kind: &str) -> Vec<Block> {
    let blocks = blocks().into_iter();
    let found: Vec<_> = blocks.filter(|block| block.kind == kind).collect();
    assert!(!found.is_empty(), "no block of {kind}");
    found
}

#[test]
fn every_block_has_somebody_who_runs_it() {
    for Block { document, kind, .. } in blocks() {
        let elsewhere = RUN_ELSEWHERE
            .iter()
            .find(|(of, is, _)| *of == document && *is == kind);
        if let Some((_, _, test)) = elsewhere {
            let name = document.rsplit('/').next().expect("a name");
            assert!(read(test).contains(name), "{test} does not read {document}");
            continue;
        }
        let kind = kind.as_str();
        let is_known = matches!(kind, "sh served" | "sh machine")
            || NOT_RUN.contains(&kind)
            || NO_COMMANDS.contains(&kind);
        assert!(is_known, "nobody runs ```{kind} of {document}");
    }
}

/// The same command line where the server and its program are.
fn here(text: &str, server: &Server) -> String {
    let address = server.address().to_string();
    text.replace("localhost:3000", &address)
        .replace("127.0.0.1:3000", &address)
        .replace("--pid 4711", &format!("--pid {}", server.id()))
}

/// `PATH` with the programs that are built, and with these in front.
fn path(first: Option<&Path>) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let built = built.parent().expect("a directory");
    let first = first.map(|first| format!("{}:", first.display()));
    let before = std::env::var("PATH").expect("a PATH");
    format!(
        "{}{}:{before}:/usr/sbin",
        first.unwrap_or_default(),
        built.display()
    )
}

fn expect_good(what: &str, command: Command) -> String {
    let (status, output, errors) = run_to_end(command, LONG);
    assert!(status.success(), "{what}\n{status}\n{output}{errors}");
    output
}

fn run_beside_a_server(document: &str, line: &str) {
    let server = Server::builder().env("API_KEY", API_KEY).start();
    let mut shell = Command::new(program("bash"));
    shell
        .args(["-euo", "pipefail", "-c", &here(line, &server)])
        .env("API_KEY", API_KEY)
        // Where commands look for their settings there are none; what they measure or ask is that server.
        .env("PORT", server.address().port().to_string())
        .env("PATH", path(None))
        .current_dir(server.directory());
    expect_good(&format!("{document}: {line}"), shell);
}

#[test]
fn the_commands_beside_a_server_are_good() {
    thread::scope(|scope| {
        for block in of_kind("sh served") {
            let text = block.text.replace("\\\n", "");
            for line in text.lines().map(str::to_owned) {
                let document = block.document.clone();
                scope.spawn(move || run_beside_a_server(&document, &line));
            }
        }
    });
}

#[test]
fn the_report_of_a_measurement_has_the_lines_that_are_shown() {
    let shown = of_kind("console").into_iter();
    let mut shown = shown.filter(|block| block.document == "docs/bench.md");
    let shown = shown.next().expect("a report").text;
    let (command, shown) = shown.split_once('\n').expect("a command");
    let server = Server::start();
    let mut shell = Command::new(program("bash"));
    let command = here(command.strip_prefix("$ ").expect("typed"), &server);
    shell.args(["-c", &command]).env("PATH", path(None));
    let told = expect_good(&command, shell);
    let labels = |report: &str| -> Vec<String> {
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let words = report.lines().filter_map(first);
        words
            .filter(|word| word.starts_with(char::is_alphabetic))
            .collect()
    };
    assert!(labels(shown).len() > 8, "{shown}");
    assert_eq!(labels(&told), labels(shown), "{told}");
}

/// What stands in for programs that the machine of the tests has not, or that must not do what they are asked here.
fn stand_ins(directory: &Path) -> PathBuf {
    let programs = directory.join("programs");
    fs::create_dir(&programs).expect("made");
    let sysctl = program("sysctl").display().to_string();
    let systemctl = program("systemctl").display().to_string();
    let now = "for word; do shift; [ \"$word\" = --now ] || set -- \"$@\" \"$word\"; done";
    let texts = [
        (
            "sudo",
            "[ \"$1\" = -u ] && shift 2\nexec \"$@\"\n".to_owned(),
        ),
        ("sysctl", format!("exec {sysctl} --dry-run \"$@\"\n")),
        ("systemctl", format!("{now}\nexec {systemctl} \"$@\"\n")),
    ];
    for (name, text) in texts {
        let path = programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).expect("written");
        let mut chmod = Command::new(program("chmod"));
        chmod.arg("755").arg(&path);
        expect_good("chmod", chmod);
    }
    programs
}

/// Has a shell of its own see these directories as they are, and keep to itself what it changes there.
fn on_a_copy(directory: &Path) -> String {
    let mut script = String::new();
    for place in ["etc", "var", "usr/bin"] {
        let own = directory.join(place);
        for part in ["upper", "work"] {
            fs::create_dir_all(own.join(part)).expect("made");
        }
        let own = own.display();
        script += &format!(
            "mount -t overlay overlay -o lowerdir=/{place},upperdir={own}/upper,workdir={own}/work /{place}\n"
        );
    }
    script
}

#[test]
fn the_commands_of_an_administrator_are_good() {
    assert!(
        geteuid().is_root(),
        "installing things needs root: run this test as root, or by `sudo -E env PATH=\"$PATH\"`"
    );
    let blocks = of_kind("sh machine");
    let mut names: Vec<_> = blocks.iter().map(|block| &block.document).collect();
    names.dedup();
    thread::scope(|scope| {
        for document in names {
            let mine = blocks.iter().filter(|block| block.document == *document);
            let text: String = mine.map(|block| block.text.as_str()).collect();
            scope.spawn(move || administrate(document, &text));
        }
    });
}

/// Types the commands of one document one after the other, in the checkout.
fn administrate(document: &str, text: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let typed = text.replace("target/release/tidegate", env!("CARGO_BIN_EXE_tidegate"));
    let script = format!("{}{typed}", on_a_copy(directory.path()));
    let mut shell = Command::new(program("unshare"));
    shell
        .args(["--mount", "--propagation", "private", "bash"])
        .args(["-euxo", "pipefail", "-c", &script])
        .env("API_KEY", API_KEY)
        .env("PORT", "0")
        .env("PATH", path(Some(&stand_ins(directory.path()))))
        // It enables units, and asks nobody to start them.
        .env("SYSTEMD_OFFLINE", "1")
        .current_dir(root());
    expect_good(document, shell);
}

#[test]
fn the_settings_of_the_kernel_are_ones_that_it_has() {
    let file = read("deploy/sysctl/60-tidegate.conf");
    let lines = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let (name, _) = line.split_once(" = ").expect("a name and a value");
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        assert!(path.exists(), "{name}");
        count += 1;
    }
    assert_eq!(count, 6);
}
