//! Holds the floors of the house: who may import whom, who may make system calls, how long a file may be.
//!
//! The sources are read as tokens, so a comment or a string never counts and a path inside a macro does.
//! What is only compiled for tests is left out. The table below is the one of the crate's front page.

#[path = "architecture/reader.rs"]
mod reader;

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use reader::{Finding, Import, Reader};

/// Modules at the crate's root, and the floor on which each stands.
const FLOORS: [(&str, u8); 17] = [
    ("cli", 5),
    ("server", 4),
    ("gateway", 3),
    ("reactor", 2),
    ("hub", 2),
    ("broker", 2),
    ("backend", 2),
    ("websocket", 1),
    ("http", 1),
    ("socketio", 1),
    ("auth", 1),
    ("id", 0),
    ("buffer", 0),
    ("metrics", 0),
    ("limits", 0),
    ("sync", 0),
    ("timestamp", 0),
];

/// Imports of a sibling that the drawing allows: the opening handshake is HTTP.
const SIBLINGS: [(&str, &str); 1] = [("websocket", "http")];

/// Modules that may make system calls.
const SYSTEM: [&str; 5] = ["reactor", "server", "broker", "backend", "cli"];

/// Crates and modules that exist to make system calls.
const SYSTEM_PATHS: [&[&str]; 11] = [
    &["mio"],
    &["socket2"],
    &["rustix"],
    &["signal_hook"],
    &["std", "fs"],
    &["std", "process"],
    &["std", "os", "fd"],
    &["std", "os", "unix"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
];

/// Types that hold a socket, whatever path leads to them.
const SOCKETS: [&str; 5] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
];

/// What floor 1 must not know beyond that: log, thread, environment.
const IMPURE_PATHS: [&[&str]; 5] = [
    &["log"],
    &["std", "thread"],
    &["crate", "sync", "thread"],
    &["std", "env"],
    &["std", "sync", "mpsc"],
];

/// Names in the `rand` crate that make randomness. Generators that are given a seed make none.
const DICE: [&str; 9] = [
    "rng",
    "random",
    "random_range",
    "random_bool",
    "random_iter",
    "make_rng",
    "fill",
    "ThreadRng",
    "SysRng",
];

/// All of `std::net` that floor 1 may name: values, no sockets.
const NET_VALUES: [&str; 6] = [
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "AddrParseError",
    "SocketAddrV4",
];

/// Lines of a source file.
const LINES_MAX: usize = 550;

/// The module that a file of `src` is: `websocket/frame.rs` is `websocket::frame`.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        parts.pop();
    }
    parts
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

/// Everything that is wrong with one file of `src`; the path is relative to it.
fn check(file: &Path, source: &str) -> Vec<Finding> {
    let module = module_of(file);
    let mut reader = Reader::default();
    match source.parse::<TokenStream>() {
        Ok(tokens) => reader.read(tokens, &module),
        Err(error) => reader.findings.push(Finding {
            line: error.span().start().line,
            what: "is no Rust".to_owned(),
        }),
    }
    let Reader {
        imports,
        mut findings,
    } = reader;
    for import in &imports {
        let wrong = match module.first() {
            Some(top) => check_import(top, import),
            None if file == Path::new("main.rs") => check_main(import),
            None => None,
        };
        findings.extend(wrong.map(|what| Finding {
            line: import.line,
            what: format!("{}: {what}", import.segments.join("::")),
        }));
    }
    if let Some(top) = module.first().filter(|top| floor_of(top).is_none()) {
        findings.push(Finding {
            line: 1,
            what: format!("{top} stands on no floor"),
        });
    }
    findings
}

fn check_main(import: &Import) -> Option<&'static str> {
    let inside = import.begins(&["tidegate"]) && !import.begins(&["tidegate", "cli"]);
    inside.then_some("main calls cli and nothing else")
}

fn check_import(top: &str, import: &Import) -> Option<&'static str> {
    let own = floor_of(top)?;
    if import.begins(&["crate"])
        && let Some(target) = import.segments.get(1).filter(|target| *target != top)
        && let Some(floor) = floor_of(target)
        && floor >= own
        && !SIBLINGS.contains(&(top, target))
    {
        return Some("imports run strictly downwards");
    }
    let socket = import
        .segments
        .iter()
        .any(|segment| SOCKETS.contains(&segment.as_str()));
    let system = socket || SYSTEM_PATHS.iter().any(|path| import.begins(path));
    if system && !SYSTEM.contains(&top) {
        return Some("this module makes no system calls");
    }
    (own == 1).then(|| check_pure(import)).flatten()
}

fn check_pure(import: &Import) -> Option<&'static str> {
    if import.contains(["Instant", "now"])
        || import
            .segments
            .iter()
            .any(|segment| segment == "SystemTime")
    {
        return Some("floor 1 has no clock");
    }
    if IMPURE_PATHS.iter().any(|path| import.begins(path)) {
        return Some("floor 1 has no log, thread or environment");
    }
    let mut segments = import.segments.iter().skip(1);
    if import.begins(&["rand"]) && segments.any(|segment| DICE.contains(&segment.as_str())) {
        return Some("floor 1 has no randomness");
    }
    let value = import
        .segments
        .get(2)
        .is_some_and(|name| NET_VALUES.contains(&name.as_str()));
    (import.begins(&["std", "net"]) && !value).then_some("floor 1 has no network")
}

/// Every Rust file below `directory`.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return files;
    };
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn is_test_file(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests") || file.iter().any(|part| part == "tests")
}

#[test]
fn the_house_stands_as_drawn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&root);
    assert!(files.len() > 20, "the sources were not found");
    let mut wrong = String::new();
    for path in files {
        let file = path.strip_prefix(&root).expect("a file of src");
        if is_test_file(file) {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source file");
        for finding in check(file, &source) {
            wrong += &format!("src/{}:{finding}\n", file.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_file_is_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = String::new();
    for part in ["src", "tests", "benches", "examples", "fuzz", "loom"] {
        for path in rust_files(&root.join(part)) {
            let lines = fs::read_to_string(&path)
                .expect("a source file")
                .lines()
                .count();
            if lines > LINES_MAX {
                wrong += &format!("{}: {lines} lines\n", path.display());
            }
        }
    }
    assert!(wrong.is_empty(), "more than {LINES_MAX} lines:\n{wrong}");
}

/// The lines on which the checker finds something.
fn lines(file: &str, source: &str) -> Vec<usize> {
    let mut lines: Vec<usize> = check(Path::new(file), source)
        .iter()
        .map(|finding| finding.line)
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn an_import_upwards_or_sidewards_is_found() {
    assert_eq!(lines("http/head.rs", "use crate::gateway::Route;"), [1]);
    assert_eq!(
        lines(
            "http/head.rs",
            "\nuse crate::{\n  limits,\n  server::{a, b},\n};"
        ),
        [4, 4]
    );
    assert_eq!(
        lines("reactor/mod.rs", "fn f() { vec![crate::gateway::f()]; }"),
        [1]
    );
    assert_eq!(lines("reactor/mod.rs", "use crate::hub::Hub;"), [1]);
    assert_eq!(lines("http/head.rs", "use crate::websocket::mask;"), [1]);
    assert_eq!(lines("limits.rs", "use super::http::head;"), [1]);
    assert_eq!(lines("http/head.rs", "use super::super::cli::run;"), [1]);
    assert_eq!(
        lines(
            "http/head.rs",
            "mod inner { use super::super::super::cli; }"
        ),
        [1]
    );
    assert_eq!(lines("id.rs", "use crate::buffer::Pool;"), [1]);
    assert_eq!(lines("gateway/mod.rs", "pub(in crate::cli) fn f() {}"), [1]);
    assert_eq!(lines("gateway/mod.rs", "use crate::server::*;"), [1]);
    assert_eq!(
        lines("main.rs", "fn main() { tidegate::server::run(); }"),
        [1]
    );
}

#[test]
fn an_import_downwards_is_allowed() {
    let source = "use crate::{limits, buffer::Pool}; use super::head; use self::inner::A; use crate::websocket::frame;";
    assert_eq!(lines("websocket/protocol.rs", source), []);
    assert_eq!(
        lines(
            "websocket/handshake.rs",
            "use crate::http::head::RequestHead;"
        ),
        []
    );
    assert_eq!(
        lines(
            "cli/mod.rs",
            "use crate::server::settings::Settings; use std::fs;"
        ),
        []
    );
    assert_eq!(
        lines(
            "main.rs",
            "fn main() { tidegate::cli::run(std::env::args_os()); }"
        ),
        []
    );
    assert_eq!(lines("lib.rs", "pub mod cli; pub mod http;"), []);
}

#[test]
fn a_module_without_a_floor_is_found() {
    assert_eq!(lines("attic/mod.rs", "pub struct Old;"), [1]);
    assert_eq!(lines("attic.rs", "pub struct Old;"), [1]);
}

#[test]
fn a_system_call_is_found() {
    for path in [
        "std::fs::read",
        "::std::fs::read",
        "std::net::TcpStream",
        "mio::Poll",
        "rustix::net::send",
    ] {
        let source = format!("fn f() {{ {path}(x); }}");
        assert_eq!(lines("gateway/mod.rs", &source), [1], "{path}");
        assert_eq!(lines("buffer/mod.rs", &source), [1], "{path}");
        assert_eq!(lines("server/mod.rs", &source), [], "{path}");
    }
    assert_eq!(lines("gateway/mod.rs", "use std::{fmt, fs};"), [1]);
    assert_eq!(
        lines(
            "gateway/mod.rs",
            "use std::net; fn f() { net::TcpStream::connect(a); }"
        ),
        [1]
    );
    assert_eq!(lines("gateway/mod.rs", "use mio;"), [1]);
    assert_eq!(lines("gateway/mod.rs", "use std::net::SocketAddr;"), []);
}

#[test]
fn a_clock_a_die_and_a_log_are_found_on_floor_1() {
    for path in [
        "Instant::now",
        "std::time::Instant::now",
        "rand::rng",
        "rand::rngs::ThreadRng::default",
        "std::thread::spawn",
        "crate::sync::thread::spawn",
        "std::env::var",
        "log::info",
    ] {
        let source = format!("fn f() {{ {path}() }}");
        assert_eq!(lines("http/head.rs", &source), [1], "{path}");
        assert_eq!(lines("gateway/mod.rs", &source), [], "{path}");
    }
    assert_eq!(lines("auth/jwt.rs", "use std::time::SystemTime;"), [1]);
    let seeded = "use rand::{Rng, SeedableRng, rngs::StdRng};";
    assert_eq!(lines("auth/jwt.rs", seeded), []);
    assert_eq!(lines("auth/jwt.rs", "use log::*;"), [1]);
    assert_eq!(lines("auth/jwt.rs", "fn f() { log::warn!(\"no\"); }"), [1]);
    assert_eq!(
        lines("http/forwarded.rs", "use std::net::{IpAddr, TcpStream};"),
        [1]
    );
    assert_eq!(
        lines("http/forwarded.rs", "use std::net::ToSocketAddrs;"),
        [1]
    );
    assert_eq!(
        lines(
            "http/forwarded.rs",
            "use std::net::{IpAddr, Ipv6Addr}; use std::time::Instant;"
        ),
        []
    );
}

#[test]
fn shared_mutable_state_and_globals_are_found() {
    assert_eq!(
        lines("gateway/mod.rs", "struct A { b: Rc<RefCell<u8>> }"),
        [1]
    );
    assert_eq!(lines("gateway/mod.rs", "static mut A: u8 = 0;"), [1]);
    assert_eq!(lines("gateway/mod.rs", "pub static mut A: u8 = 0;"), [1]);
    assert_eq!(
        lines("gateway/mod.rs", "std::thread_local! { static A: u8 = 0; }"),
        [1]
    );
    assert_eq!(
        lines("gateway/mod.rs", "thread_local! { static A: u8 = 0; }"),
        [1]
    );
    assert_eq!(
        lines(
            "gateway/mod.rs",
            "fn f(a: &'static mut [u8]) {} static B: u8 = 0;"
        ),
        []
    );
}

#[test]
fn comments_strings_and_tests_do_not_count() {
    let source = r#"
        //! use crate::cli; Rc<RefCell<u8>>
        /// [`crate::gateway`], std::fs
        const A: &str = "use crate::server; thread_local! std::fs::read";
        #[cfg(test)]
        mod tests { use std::fs; use crate::cli::run; }
        #[cfg(test)]
        use std::net::TcpStream;
        #[test]
        fn f() { std::thread::sleep(a); }
    "#;
    assert_eq!(lines("http/head.rs", source), []);
    let source = "#[cfg(test)]\nmod tests { use std::fs; }\nuse std::fs;";
    assert_eq!(
        lines("http/head.rs", source),
        [3],
        "what follows the tests counts again"
    );
}

#[test]
fn what_does_not_parse_is_found() {
    assert_eq!(lines("http/head.rs", "fn f() {"), [1]);
}
