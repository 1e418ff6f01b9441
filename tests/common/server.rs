//! The real binary as a process, with an environment of its own and addresses learnt from its log.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::Client;
use super::lines::Lines;
use super::tls::TestCertificate;
use super::{DEADLINE, eventually};

/// Where a server said that it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Http(SocketAddr),
    Https(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    fn parse(line: &str) -> Option<Self> {
        let told = line.split_once("listening on ")?.1;
        let told = told.split_whitespace().next()?;
        let told = told.trim_end_matches(['/', ',', '.']);
        if let Some(address) = told.strip_prefix("http://") {
            address.parse().ok().map(Self::Http)
        } else if let Some(address) = told.strip_prefix("https://") {
            address.parse().ok().map(Self::Https)
        } else {
            told.strip_prefix("unix:")
                .map(|path| Self::Unix(path.into()))
        }
    }
}

/// How a server is to be started.
pub(crate) struct ServerBuilder {
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    certificate: Option<TestCertificate>,
    listeners: usize,
    open_files: Option<u64>,
    directory: TempDir,
}

impl ServerBuilder {
    /// Sets one setting through the environment; the rest of it is empty.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "numbers, strings and paths are written alike"
    )]
    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a command-line argument.
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Waits for this many `listening on` lines; 1 without it.
    pub(crate) fn listeners(mut self, listeners: usize) -> Self {
        self.listeners = listeners;
        self
    }

    /// Starts the server with this open-file limit, soft and hard.
    pub(crate) fn open_files(mut self, limit: u64) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Serves TLS with a fresh certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn tls(mut self) -> Self {
        let certificate = TestCertificate::write_to(self.directory.path());
        let (chain, key) = (certificate.chain.clone(), certificate.key.clone());
        self.certificate = Some(certificate);
        self.env("TLS_CERT", chain.display())
            .env("TLS_KEY", key.display())
    }

    /// The server's empty working directory, to put a `.env` or `tidegate.toml` into.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The command that would run, for starts that are meant to fail.
    pub(crate) fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_tidegate");
        let mut command = match self.open_files {
            None => Command::new(binary),
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                let line = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
                shell.args(["-c", &line, binary]);
                shell
            }
        };
        command
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PORT", "0")
            .env("RUST_BACKTRACE", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn start(self) -> Server {
        let mut child = self.command().spawn().expect("the server's binary runs");
        let log = Lines::collect(child.stderr.take().expect("stderr is piped"));
        let output = Lines::collect(child.stdout.take().expect("stdout is piped"));
        let mut server = Server {
            child,
            log,
            output,
            addresses: Vec::new(),
            certificate: self.certificate,
            directory: self.directory,
            exited: None,
        };
        let mut position = 0;
        while server.addresses.len() < self.listeners {
            let found = server
                .log
                .wait_after(position, DEADLINE, |line| Address::parse(line).is_some());
            let Some((next, line)) = found else {
                panic!("the server does not listen:\n{}", server.log.text());
            };
            server.addresses.extend(Address::parse(&line));
            position = next;
        }
        server
    }
}

/// A running server; dropping it ends the process and fails the test if the server panicked or died early.
pub(crate) struct Server {
    child: Child,
    log: Lines,
    output: Lines,
    addresses: Vec<Address>,
    certificate: Option<TestCertificate>,
    directory: TempDir,
    exited: Option<ExitStatus>,
}

impl Server {
    /// A server with the default settings, on a free port of 127.0.0.1.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A server with settings of its own.
    pub(crate) fn builder() -> ServerBuilder {
        ServerBuilder {
            environment: Vec::new(),
            arguments: Vec::new(),
            certificate: None,
            listeners: 1,
            open_files: None,
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// All addresses, in the order in which the server told them.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The first TCP address, plain or TLS.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses
            .iter()
            .find_map(|address| match address {
                Address::Http(address) | Address::Https(address) => Some(*address),
                Address::Unix(_) => None,
            })
            .expect("the server listens on TCP")
    }

    /// `ws://` or `wss://` URL of `path` at the first TCP address.
    pub(crate) fn ws_url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() {
            "wss"
        } else {
            "ws"
        };
        format!("{scheme}://{}{path}", self.address())
    }

    /// The certificate that a server started with [`ServerBuilder::tls`] shows.
    pub(crate) fn certificate(&self) -> &TestCertificate {
        self.certificate
            .as_ref()
            .expect("the server was started with tls()")
    }

    /// The working directory of the server.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A fresh raw connection to the first TCP address, over TLS where the server speaks TLS.
    pub(crate) fn connect(&self) -> Client {
        match &self.certificate {
            Some(certificate) => Client::tls(self.address(), certificate),
            None => Client::tcp(self.address()),
        }
    }

    /// A fresh connection that is already a WebSocket on `path`.
    pub(crate) fn websocket(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.upgrade(path);
        client
    }

    /// Everything that the server logged so far.
    pub(crate) fn log(&self) -> &Lines {
        &self.log
    }

    /// What the server wrote to stdout.
    pub(crate) fn output(&self) -> &Lines {
        &self.output
    }

    /// The first log line that contains `substring`; fails the test at the deadline.
    pub(crate) fn wait_for_log(&self, substring: &str, deadline: Duration) -> String {
        self.log
            .wait_for(substring, deadline)
            .unwrap_or_else(|| panic!("no {substring:?} in the log:\n{}", self.log.text()))
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.exited.is_none(), "the server has ended already");
        kill_process(Pid::from_child(&self.child), signal).expect("the server's process is there");
    }

    /// SIGSTOP: connections stay open and are taken in by the kernel, and nobody answers. Done once none of its threads runs.
    pub(crate) fn stop_the_world(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.id());
        eventually("all threads are stopped", || {
            let tasks = fs::read_dir(&tasks).expect("its threads");
            tasks.flatten().all(|task| {
                let stat = fs::read_to_string(task.path().join("stat")).expect("stat");
                let state = stat.rsplit_once(") ").expect("a name in parentheses").1;
                state.starts_with('T')
            })
        });
    }

    /// SIGCONT: it works off what has come meanwhile.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for the end of the process; fails the test at the deadline.
    pub(crate) fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let status = wait_child(&mut self.child, deadline)
            .unwrap_or_else(|| panic!("the server does not end:\n{}", self.log.text()));
        self.exited = Some(status);
        status
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id()))
            .expect("the server's descriptors can be listed")
            .count()
    }

    /// Waits until the server has at most `count` descriptors; fails the test at the deadline.
    pub(crate) fn wait_descriptors(&self, count: usize, deadline: Duration) {
        let end = Instant::now() + deadline;
        while self.descriptors() > count {
            assert!(
                Instant::now() < end,
                "{} descriptors are open, {count} were expected:\n{}",
                self.descriptors(),
                self.log.text()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// CPU time that the process has used, in steps of 10 ms.
    pub(crate) fn cpu_time(&self) -> Duration {
        const TICKS_PER_SECOND: u64 = 100;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .expect("the server's times can be read");
        // Behind the name, which may hold anything: state is the first field, utime and stime are numbers 12 and 13.
        let fields = stat.rsplit_once(')').expect("a name in parentheses").1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// Resident memory of the process, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that it has had so far.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))
            .expect("the server's status can be read");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes
            .and_then(|n| n.parse().ok())
            .expect("a size in kB");
        kilobytes * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let early = match self.exited {
            Some(_) => None,
            None => self.child.try_wait().ok().flatten(),
        };
        // Both fail where the process has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the server's log ----\n{}", self.log.text());
            return;
        }
        let log = self.log.text();
        assert!(!log.contains("panicked"), "the server panicked:\n{log}");
        if let Some(status) = early {
            panic!("the server ended by itself, {status}:\n{log}");
        }
    }
}

/// Waits for the end of `child`, at most `deadline`.
pub(crate) fn wait_child(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a command that should end by itself, and gives its status, stdout and stderr.
pub(crate) fn run_to_end(mut command: Command, deadline: Duration) -> (ExitStatus, String, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let output = Lines::collect(child.stdout.take().expect("stdout is piped"));
    let errors = Lines::collect(child.stderr.take().expect("stderr is piped"));
    let status = wait_child(&mut child, deadline).unwrap_or_else(|| {
        let _ = child.kill();
        let _ = child.wait();
        panic!(
            "{command:?} does not end:\n{}{}",
            output.text(),
            errors.text()
        )
    });
    output.wait_end(DEADLINE);
    errors.wait_end(DEADLINE);
    (status, output.text(), errors.text())
}

/// Whether a process was ended by `signal`.
pub(crate) fn ended_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal.as_raw())
}
