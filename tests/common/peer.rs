//! The foreign programs that the tests drive. A missing one fails the test: nothing is skipped.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::DEADLINE;
use super::lines::Lines;
use super::server::wait_child;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn missing(what: &str) -> ! {
    panic!("the peer {what} is missing; run `make peers`");
}

/// A program of the machine, from PATH or from where Debian keeps its daemons.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = directories.find_map(|directory: PathBuf| {
        let file = directory.join(name);
        file.is_file().then_some(file)
    });
    found.unwrap_or_else(|| missing(name))
}

/// A file of the installed peers.
fn installed(path: &str) -> PathBuf {
    let path = root().join(".peers").join(path);
    if !path.exists() {
        missing(&path.display().to_string());
    }
    path
}

/// node with the pinned npm packages, over a script of `tests/peers/node`.
pub(crate) fn node(script: &str) -> Command {
    let mut command = Command::new(program("node"));
    command
        .env("NODE_PATH", installed("node/node_modules"))
        .env("CHROMIUM", chromium())
        .arg(root().join("tests/peers/node").join(script));
    command
}

/// The same, with npm `socket.io-client` for a page at hand.
pub(crate) fn node_with_socketio(script: &str) -> Command {
    let mut command = node(script);
    let client = installed("socketio/node_modules/socket.io-client/dist/socket.io.js");
    command.env("SOCKETIO", client);
    command
}

/// The same, with the accessibility checker at hand.
pub(crate) fn node_with_axe(script: &str) -> Command {
    let mut command = node(script);
    command.env("AXE", installed("axe/node_modules"));
    command
}

/// node with the parser of AsyncAPI, over a script of `tests/peers/asyncapi`.
pub(crate) fn asyncapi(script: &str) -> Command {
    let mut command = Command::new(program("node"));
    command
        .env("NODE_PATH", installed("asyncapi/node_modules"))
        .arg(root().join("tests/peers/asyncapi").join(script));
    command
}

/// node with npm `socket.io-client`, over a script of `tests/peers/socketio`.
pub(crate) fn socketio(script: &str) -> Command {
    socketio_script(&root().join("tests/peers/socketio").join(script))
}

/// The same over a script anywhere.
pub(crate) fn socketio_script(script: &Path) -> Command {
    let mut command = Command::new(program("node"));
    command
        .env("NODE_PATH", installed("socketio/node_modules"))
        .arg(script);
    command
}

/// Python with `python-socketio`, over a script of `tests/peers/socketio-python`.
pub(crate) fn socketio_python(script: &str) -> Command {
    let mut command = Command::new(installed("socketio-python/bin/python3"));
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .arg(root().join("tests/peers/socketio-python").join(script));
    command
}

/// node with what others verify and read events with, over a script of `tests/peers/webhooks`.
pub(crate) fn webhooks(script: &str) -> Command {
    let mut command = Command::new(program("node"));
    command
        .env("NODE_PATH", installed("webhooks/node_modules"))
        .arg(root().join("tests/peers/webhooks").join(script));
    command
}

/// A command line of a document, typed in the checkout, where `python3` and `node` have what others verify events with.
pub(crate) fn with_webhooks(line: &str) -> Command {
    let python = installed("webhooks-python/bin");
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program("bash"));
    command
        .args(["-c", &format!("exec env {line}")])
        .env("PATH", format!("{}:{path}", python.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NODE_PATH", installed("webhooks/node_modules"))
        .current_dir(root());
    command
}

/// Node's Socket.IO servers in a Redis, over a script of `tests/peers/adapter`.
pub(crate) fn socketio_nodes(script: &str) -> Command {
    let mut command = Command::new(program("node"));
    command
        .env("NODE_PATH", installed("adapter/node_modules"))
        .arg(root().join("tests/peers/adapter").join(script));
    command
}

/// Path of the `wscat` that npm installed.
pub(crate) fn wscat_path() -> PathBuf {
    installed("node/node_modules/.bin/wscat")
}

/// The same `wscat`, on a terminal of its own.
pub(crate) fn wscat(url: &str) -> Command {
    let wscat = wscat_path();
    on_terminal(&format!("'{}' --no-color -c '{url}'", wscat.display()))
}

/// A command of the shell, on a terminal of its own (`script` of bsdutils makes it one).
pub(crate) fn on_terminal(command: &str) -> Command {
    let line = format!("exec {command}");
    let mut command = Command::new(program("script"));
    command
        .args(["-q", "-e", "-f", "-c", &line, "/dev/null"])
        .env("TERM", "xterm");
    command
}

/// Python with the pinned `websockets`, over a script of `tests/peers/python`.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(installed("python/bin/python3"));
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("tests/peers/python").join(script));
    command
}

/// A program of the pinned Schemathesis, or of what came with it; it finds the hooks in `tests/peers/schemathesis`.
pub(crate) fn schemathesis(program: &str) -> Command {
    let mut command = Command::new(installed(&format!("schemathesis/bin/{program}")));
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", root().join("tests/peers/schemathesis"))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        // The server is on this machine, whatever the way to others is.
        .env("NO_PROXY", "*");
    command
}

/// A program that checks files of `deploy/`, or the Python that it came with; it is started in the checkout.
pub(crate) fn deploy_checker(program: &str) -> Command {
    let mut command = Command::new(installed(&format!("deploy/bin/{program}")));
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(root());
    command
}

/// A file of `tests/peers`.
pub(crate) fn peer_file(path: &str) -> PathBuf {
    root().join("tests/peers").join(path)
}

/// Path of Chromium.
pub(crate) fn chromium() -> PathBuf {
    program("chromium")
}

/// A running peer with its input and its output lines; dropping it ends it.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines,
    errors: Lines,
}

impl Peer {
    /// Starts a peer.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self {
            input: child.stdin.take(),
            output: Lines::collect(child.stdout.take().expect("stdout is piped")),
            errors: Lines::collect(child.stderr.take().expect("stderr is piped")),
            child,
        }
    }

    /// Writes a line to the peer's input.
    pub(crate) fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        writeln!(input, "{line}")
            .and_then(|()| input.flush())
            .expect("the peer reads its input");
    }

    /// Writes bytes to the peer's input, as they are.
    pub(crate) fn type_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        input
            .write_all(bytes)
            .and_then(|()| input.flush())
            .expect("the peer reads its input");
    }

    /// Presses a key again and again until the peer ends: one that is pressed while a terminal changes its mode may be lost.
    pub(crate) fn press_until_exit(&mut self, key: &[u8]) -> ExitStatus {
        const PAUSE: Duration = Duration::from_millis(100);
        let presses = DEADLINE.as_millis() / PAUSE.as_millis();
        for _ in 0..presses {
            // Where it has ended nobody reads.
            let _ = self.input.as_mut().map(|input| input.write_all(key));
            if wait_child(&mut self.child, PAUSE).is_some() {
                break;
            }
        }
        self.wait_exit()
    }

    /// Ends the peer's input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for the peer to end, and gives its exit status.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let status = wait_child(&mut self.child, DEADLINE);
        let status = status.unwrap_or_else(|| panic!("the peer does not end:\n{}", self.text()));
        self.output.wait_end(DEADLINE);
        self.errors.wait_end(DEADLINE);
        status
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the peer wrote to stdout.
    pub(crate) fn output(&self) -> &Lines {
        &self.output
    }

    /// What the peer wrote to stderr.
    pub(crate) fn errors(&self) -> &Lines {
        &self.errors
    }

    /// Waits for an output line that contains `substring`; fails the test at the deadline.
    pub(crate) fn wait_for(&self, substring: &str) -> String {
        let found = self.output.wait_for(substring, DEADLINE);
        found.unwrap_or_else(|| panic!("no {substring:?} from the peer:\n{}", self.text()))
    }

    /// First output line at or after `position` that `accept` takes, with the position behind it; fails the test at the
    /// deadline.
    pub(crate) fn wait_after(
        &self,
        position: usize,
        deadline: Duration,
        accept: impl Fn(&str) -> bool,
    ) -> (usize, String) {
        let found = self.output.wait_after(position, deadline, accept);
        found.unwrap_or_else(|| panic!("nothing more from the peer:\n{}", self.text()))
    }

    /// Waits for the peer to end well, and gives the JSON object that is the last line of its output.
    pub(crate) fn facts(mut self) -> Value {
        let status = wait_child(&mut self.child, DEADLINE * 3);
        let status = status.unwrap_or_else(|| panic!("the peer does not end:\n{}", self.text()));
        self.output.wait_end(DEADLINE);
        self.errors.wait_end(DEADLINE);
        assert!(
            status.success(),
            "the peer failed, {status}:\n{}",
            self.text()
        );
        let text = self.output.text();
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn text(&self) -> String {
        self.output.text() + &self.errors.text()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail where the peer has ended, which is the rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the peer's output ----\n{}", self.text());
        }
    }
}

/// Runs a peer to its end, and gives the facts that it found.
pub(crate) fn facts(command: Command) -> Value {
    Peer::start(command).facts()
}
