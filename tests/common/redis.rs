//! Debian's Redis on a port of 127.0.0.1, with nothing kept on disk.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::lines::Lines;
use super::resp::{RedisClient, Reply};
use super::{DEADLINE, eventually, peer, ports};

/// How often another port is tried where somebody took the free one first.
const STARTS_MAX: usize = 5;
/// The line that Redis logs when it accepts connections.
const READY: &str = "Ready to accept connections";
/// The one that a Sentinel logs then.
const WATCHES: &str = "+monitor master";
/// Name of the connections that [`Redis::command`] and [`Redis::clients`] make.
const PASSING: &str = "passing";

/// How Redis is to be started.
#[derive(Default)]
pub(crate) struct RedisBuilder {
    password: Option<String>,
    settings: String,
    is_sentinel: bool,
}

impl RedisBuilder {
    /// A line of `redis.conf`.
    pub(crate) fn setting(mut self, line: &str) -> Self {
        self.settings += line;
        self.settings.push('\n');
        self
    }

    /// The password of the default user.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.setting(&format!("requirepass {password}"))
    }

    /// One more user by a line of ACL rules without its `user`, such as `node on >secret ~* &* +@all`.
    pub(crate) fn user(self, rules: &str) -> Self {
        self.setting(&format!("user {rules}"))
    }

    /// How much it may hold, and what happens then (`noeviction`, `allkeys-lru`).
    pub(crate) fn memory(self, bytes: u64, policy: &str) -> Self {
        self.setting(&format!("maxmemory {bytes}\nmaxmemory-policy {policy}"))
    }

    /// What may wait for a subscriber: more than `hard` bytes at once, or than `soft` bytes for so many seconds, end it.
    pub(crate) fn subscriber_buffer(self, hard: u64, soft: u64, seconds: u32) -> Self {
        self.setting(&format!(
            "client-output-buffer-limit pubsub {hard} {soft} {seconds}"
        ))
    }

    /// No Redis, but a Sentinel that watches over some.
    pub(crate) fn sentinel(mut self) -> Self {
        self.is_sentinel = true;
        self
    }

    /// Starts Redis and waits until it accepts.
    pub(crate) fn start(self) -> Redis {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..STARTS_MAX {
            let port = ports::lasting();
            self.write_configuration(directory.path(), port);
            match Process::start(directory.path(), self.is_sentinel) {
                Ok(process) => {
                    return Redis {
                        process: Some(process),
                        port,
                        password: self.password,
                        directory,
                        is_sentinel: self.is_sentinel,
                    };
                }
                Err(log) => assert!(log.contains("in use"), "Redis does not start:\n{log}"),
            }
        }
        panic!("Redis found no free port in {STARTS_MAX} tries");
    }

    fn write_configuration(&self, directory: &Path, port: u16) {
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly no\ndaemonize no\nlogfile \"\"\n{}",
            directory.display(),
            self.settings
        );
        fs::write(directory.join("redis.conf"), text).expect("redis.conf can be written");
    }
}

/// The process of Redis, from its start to its end.
struct Process {
    child: Child,
    log: Lines,
    errors: Lines,
}

impl Process {
    /// The log where it did not become ready.
    fn start(directory: &Path, is_sentinel: bool) -> Result<Self, String> {
        let mut child = Command::new(peer::program("redis-server"))
            .arg(directory.join("redis.conf"))
            .args(is_sentinel.then_some("--sentinel"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Redis runs");
        let process = Self {
            log: Lines::collect(child.stdout.take().expect("stdout is piped")),
            errors: Lines::collect(child.stderr.take().expect("stderr is piped")),
            child,
        };
        let ready = if is_sentinel { WATCHES } else { READY };
        if process.log.wait_for(ready, DEADLINE).is_some() {
            return Ok(process);
        }
        let (log, errors) = (process.log.clone(), process.errors.clone());
        drop(process);
        log.wait_end(DEADLINE);
        errors.wait_end(DEADLINE);
        Err(log.text() + &errors.text())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process of Redis is there");
    }

    /// The letter by which the kernel tells what the process does: `T` where it is stopped.
    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .expect("the state of Redis can be read");
        let state = stat.rsplit_once(") ").expect("a name in parentheses").1;
        state.chars().next().expect("a state")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where the process has ended, which is what they are for. SIGKILL ends a stopped one as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let (log, errors) = (self.log.text(), self.errors.text());
            eprintln!("---- the log of Redis ----\n{log}{errors}");
        }
    }
}

/// A Redis; dropping it ends it.
pub(crate) struct Redis {
    // Dropped before the directory that it runs in.
    process: Option<Process>,
    port: u16,
    password: Option<String>,
    directory: TempDir,
    is_sentinel: bool,
}

impl Redis {
    /// Redis as it is without settings, but for what would be kept on disk.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Redis with settings of its own.
    pub(crate) fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// The port, which stays the same over [`Redis::restart`].
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where Redis listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// `redis://` URL, with the password of the default user where it has one.
    pub(crate) fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The same by another way, such as the address of a [`super::faults::Faults`].
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@{address}/"),
            None => format!("redis://{address}/"),
        }
    }

    /// `redis://` URL of a user that [`RedisBuilder::user`] made.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@{}/", self.address())
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("Redis was not killed")
    }

    /// What Redis logged since its last start.
    pub(crate) fn log(&self) -> &Lines {
        &self.process().log
    }

    /// SIGKILL: its connections end, and what it held is gone.
    pub(crate) fn kill(&mut self) {
        drop(self.process.take().expect("Redis was not killed"));
    }

    /// A new, empty Redis on the same port, whether the old one was killed or runs still.
    pub(crate) fn restart(&mut self) {
        drop(self.process.take());
        let process = Process::start(self.directory.path(), self.is_sentinel);
        let process =
            process.unwrap_or_else(|log| panic!("Redis does not start a second time:\n{log}"));
        self.process = Some(process);
    }

    /// SIGSTOP: connections stay open and are taken in by the kernel, and nobody answers.
    pub(crate) fn stop_the_world(&self) {
        self.process().signal(Signal::STOP);
        eventually("Redis stops", || self.process().state() == 'T');
    }

    /// SIGCONT: everything that waited is answered.
    pub(crate) fn go_on(&self) {
        self.process().signal(Signal::CONT);
    }

    /// A connection that has given the password of the default user.
    pub(crate) fn client(&self) -> RedisClient {
        let mut client = RedisClient::connect(self.address());
        if let Some(password) = &self.password {
            let told = client.ask(&["AUTH", password]);
            assert_eq!(told, Reply::Status("OK".to_owned()));
        }
        client
    }

    /// A connection for one question: Redis may see the end of it after the next question, so it has a name.
    fn passing_client(&self) -> RedisClient {
        let mut client = self.client();
        let told = client.ask(&["CLIENT", "SETNAME", PASSING]);
        assert_eq!(told, Reply::Status("OK".to_owned()));
        client
    }

    /// The reply to a command on a connection of its own.
    pub(crate) fn command(&self, command: &[impl AsRef<[u8]>]) -> Reply {
        self.passing_client().ask(command)
    }

    /// Everybody who is connected but who asks here: the fields of `CLIENT LIST` (`addr`, `name`, `sub`, `cmd`).
    pub(crate) fn clients(&self) -> Vec<BTreeMap<String, String>> {
        let mut client = self.passing_client();
        let list = client.ask(&["CLIENT", "LIST"]);
        let fields = |line: &str| {
            line.split(' ')
                .filter_map(|field| field.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let all = list.text().lines().map(fields);
        all.filter(|fields| fields["name"] != PASSING).collect()
    }

    /// Waits until so many are connected.
    pub(crate) fn wait_clients(&self, count: usize) {
        eventually("clients of Redis", || self.clients().len() == count);
    }
}
