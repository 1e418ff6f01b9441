//! `tidegate check` and the command line, on the real binary.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the binary said, and how it ended.
struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

/// A working directory of its own, and no environment but what is given.
struct Run {
    directory: PathBuf,
    command: Command,
}

impl Run {
    fn new(arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidegate-settings-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a working directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).env_clear().current_dir(&directory);
        Self { directory, command }
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.join(name), text).expect("write");
        self
    }

    fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    fn outcome(mut self) -> Outcome {
        let output = self.command.output().expect("the binary runs");
        Outcome {
            status: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Value and source of `name` in the table that `check` prints.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let row = table
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name));
    row.expect("the setting has a row")
        .split_whitespace()
        .skip(1)
        .collect()
}

fn test_tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tls")
        .join(name)
}

#[test]
fn check_shows_every_source_in_its_place() {
    let outcome = Run::new(&[
        "check",
        "--max-message-size",
        "2m",
        "--host=127.0.0.1",
        "--host",
        "127.0.0.2",
    ])
    .file(
        "tidegate.toml",
        "port = 0\nworkers = 1\nlog_level = \"debug\"\n[routes]\n\"/e\" = \"echo\"\n",
    )
    .file(".env", "WORKERS=2\nLOG_LEVEL=warn\nDRAIN_PERIOD=1m\n")
    .env("LOG_LEVEL", "error")
    .outcome();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
    let row = |name| row(&outcome.stdout, name);
    assert_eq!(
        row("MAX_MESSAGE_SIZE"),
        ["2MiB", "flag", "--max-message-size"]
    );
    assert_eq!(row("HOST"), ["127.0.0.1,127.0.0.2", "flag", "--host"]);
    assert_eq!(row("LOG_LEVEL"), ["error", "environment"]);
    assert_eq!(row("WORKERS"), ["2", ".env"]);
    assert_eq!(row("DRAIN_PERIOD"), ["1m", ".env"]);
    assert_eq!(row("PORT"), ["0", "tidegate.toml"]);
    assert_eq!(row("ROUTES"), ["/e=echo", "tidegate.toml"]);
    assert_eq!(row("CLOSE_TIMEOUT"), ["5s", "default"]);
    assert!(
        outcome
            .stdout
            .ends_with("\nConfiguration file: tidegate.toml\n")
    );
}

#[test]
fn check_as_json() {
    let outcome = Run::new(&["check", "--json"]).env("PORT", "0").outcome();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let object: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(object["problem"], serde_json::Value::Null);
    assert_eq!(object["config_file"], serde_json::Value::Null);
    assert_eq!(object["warnings"], serde_json::json!([]));
    let settings = object["settings"].as_array().expect("an array");
    let port = settings
        .iter()
        .find(|entry| entry["name"] == "PORT")
        .expect("PORT");
    assert_eq!(
        (&port["value"], &port["source"]),
        (&"0".into(), &"environment".into())
    );
}

#[test]
fn a_wrong_value_stops_check_and_serve_with_one_line_and_status_2() {
    let line = "tidegate: PORT = \"70000\" (environment): must be a whole number from 0 to 65535\n";
    for arguments in [&["check"][..], &["serve"], &[], &["check", "--json"]] {
        let outcome = Run::new(arguments).env("PORT", "70000").outcome();
        assert_eq!(
            (outcome.status, outcome.stderr.as_str()),
            (2, line),
            "{arguments:?}"
        );
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn an_environment_value_that_is_not_utf_8_is_refused() {
    let outcome = Run::new(&["check"])
        .env("LOG_DIR", OsStr::from_bytes(b"/x\xff"))
        .outcome();
    assert_eq!(outcome.status, 2);
    assert_eq!(
        outcome.stderr,
        "tidegate: LOG_DIR = \"/x\u{fffd}\" (environment): must be UTF-8 text\n"
    );
}

#[test]
fn more_connections_than_files_are_refused() {
    let outcome = Run::new(&["check", "--max-connections", "4000000", "--workers", "1"]).outcome();
    if outcome.status != 0 {
        let start =
            "tidegate: MAX_CONNECTIONS = \"4000000\" (flag --max-connections): must be at most ";
        assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
        assert_eq!((outcome.status, outcome.stderr.lines().count()), (2, 1));
    } else {
        // A machine with room for four million files has nothing to refuse.
        assert_eq!(row(&outcome.stdout, "MAX_CONNECTIONS")[0], "4000000");
    }
}

#[test]
fn a_named_file_that_is_missing_and_unknown_keys_are_refused() {
    let outcome = Run::new(&["check", "--config", "gone.toml"]).outcome();
    let line = "tidegate: gone.toml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (2, line));
    let outcome = Run::new(&["check"])
        .file("tidegate.toml", "prot = 1\n")
        .outcome();
    assert_eq!(outcome.status, 2);
    assert!(
        outcome
            .stderr
            .starts_with("tidegate: tidegate.toml: unknown key prot; ")
    );
}

#[test]
fn check_loads_the_certificate() {
    let with = |key: &str| {
        let run = Run::new(&["check", "--port", "0"]);
        run.env("TLS_CERT", test_tls("certificate.pem"))
            .env("TLS_KEY", test_tls(key))
            .outcome()
    };
    let fits = with("key.pem");
    assert_eq!((fits.status, fits.stderr.as_str()), (0, ""));
    let other = with("other-key.pem");
    assert_eq!(other.status, 2);
    assert!(
        other.stderr.starts_with("tidegate: TLS_KEY: "),
        "{}",
        other.stderr
    );
    assert_eq!(other.stderr.lines().count(), 1);
    // The settings are shown all the same.
    assert_eq!(row(&other.stdout, "PORT"), ["0", "flag", "--port"]);
}

#[test]
fn check_says_that_the_log_directory_cannot_be_written_and_makes_none() {
    let run = Run::new(&[
        "check",
        "--port",
        "0",
        "--log-to-file",
        "--log-dir",
        "file/logs",
    ]);
    let outcome = run.file("file", "").outcome();
    assert_eq!(outcome.status, 2);
    assert_eq!(
        outcome.stderr,
        "tidegate: LOG_DIR = \"file/logs\": must be a directory that can be written: not a directory\n"
    );
    let run = Run::new(&["check", "--port", "0", "--log-to-file"]);
    let made = run.directory.join("logs");
    assert_eq!(run.outcome().status, 0);
    assert!(!made.exists());
}

#[test]
fn serve_stops_with_status_2_where_the_log_cannot_be_written() {
    let run = Run::new(&["--port", "0", "--log-to-file", "--log-dir", "file/logs"]);
    let outcome = run.file("file", "").outcome();
    assert_eq!(outcome.status, 2);
    let start = "tidegate: LOG_DIR = \"file/logs\": must be a directory that can be written: ";
    assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn check_warns_of_addresses_that_are_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let outcome = Run::new(&[
        "check",
        "--port",
        &port,
        "--host",
        "127.0.0.1,unix:no/dir/s",
    ])
    .outcome();
    assert_eq!(outcome.status, 0);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let tcp =
        format!("tidegate: warning: HOST, PORT: 127.0.0.1:{port} cannot be listened on now: ");
    assert!(lines[0].starts_with(&tcp), "{lines:?}");
    let unix = "tidegate: warning: HOST: unix:no/dir/s cannot be listened on now: its directory does not exist";
    assert_eq!(lines[1..], [unix]);
}

#[test]
fn help_version_and_usage_errors() {
    let help = Run::new(&["--help"]).outcome();
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("--max-message-size <SIZE>"));
    let version = Run::new(&["--version"]).outcome();
    assert_eq!(
        version.stdout,
        concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let wrong = Run::new(&["--prot", "1"]).outcome();
    assert_eq!((wrong.status, wrong.stdout.as_str()), (2, ""));
    assert!(wrong.stderr.contains("unexpected argument '--prot'"));
}
