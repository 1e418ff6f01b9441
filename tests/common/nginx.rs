//! Debian's nginx with the project's own configuration, moved to a free port and a temporary directory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::DEADLINE;
use super::client::Client;
use super::lines::Lines;
use super::peer;
use super::server::wait_child;

/// How often another port is tried where somebody took the free one first.
const STARTS_MAX: usize = 5;

/// How the upstreams of the committed configuration begin and end.
const UPSTREAM: (&str, &str) = ("upstream tidegate", "\n}\n");

/// The configuration as it is committed.
pub(crate) fn configuration() -> String {
    committed("tidegate.conf")
}

/// A file of `deploy/nginx`.
pub(crate) fn committed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx");
    let path = path.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The upstream of several servers as it is committed, over other servers.
pub(crate) fn upstream(servers: &[SocketAddr]) -> String {
    let text = committed("tidegate-upstream.conf");
    let is_server = |line: &&str| line.trim_start().starts_with("server ");
    let line = text.lines().find(is_server).expect("a server");
    let options = line
        .split_once("127.0.0.1:3001")
        .expect("the first server")
        .1;
    let written = servers
        .iter()
        .map(|server| format!("    server {server}{options}"));
    let written: Vec<_> = written.collect();
    let committed: Vec<_> = text
        .lines()
        .take_while(|line| *line != "}")
        .filter(is_server)
        .collect();
    let committed = committed.join("\n");
    assert_eq!(
        text.matches(&committed).count(),
        2,
        "each upstream has the same servers"
    );
    text.replace(&committed, &written.join("\n"))
}

/// Takes the upstreams out of the configuration, as `deploy/README.md` does by `sed`.
pub(crate) fn without_upstream(site: &mut String) {
    let (start, end) = UPSTREAM;
    for _ in 0..2 {
        let (before, rest) = site.split_once(start).expect("an upstream");
        let (_, after) = rest.split_once(end).expect("the end of the upstream");
        *site = before.to_owned() + after;
    }
}

/// How nginx is to be started.
pub(crate) struct NginxBuilder {
    configuration: String,
}

impl NginxBuilder {
    /// Replaces a piece of the configuration, which must stand in it exactly once.
    pub(crate) fn replace(mut self, from: &str, to: &str) -> Self {
        replace_once(&mut self.configuration, from, to);
        self
    }

    /// Starts nginx and waits until it accepts.
    pub(crate) fn start(self, upstream: SocketAddr) -> Nginx {
        self.start_before(&[upstream])
    }

    /// The same in front of several servers, by `deploy/nginx/tidegate-upstream.conf` where they are not one.
    pub(crate) fn start_before(self, upstreams: &[SocketAddr]) -> Nginx {
        for _ in 0..STARTS_MAX {
            if let Some(nginx) = self.try_start(upstreams) {
                return nginx;
            }
        }
        panic!("nginx found no free port in {STARTS_MAX} tries");
    }

    /// `None` where the port was taken in between.
    fn try_start(&self, upstreams: &[SocketAddr]) -> Option<Nginx> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        let directory = write_configuration(&self.configuration, address, upstreams);
        let mut child = command(directory.path()).spawn().expect("nginx runs");
        let log = Lines::collect(child.stderr.take().expect("stderr is piped"));
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().expect("a child can be waited for");
            if ended.is_some() || Instant::now() > end {
                // It may have ended, which is what this is for.
                let _ = child.kill();
                let _ = child.wait();
                log.wait_end(DEADLINE);
                assert!(
                    log.text().contains("in use"),
                    "nginx does not start:\n{}",
                    log.text()
                );
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Some(Nginx {
            child,
            log,
            address,
            directory,
        })
    }
}

/// A running nginx; dropping it ends it.
pub(crate) struct Nginx {
    child: Child,
    log: Lines,
    address: SocketAddr,
    directory: TempDir,
}

impl Nginx {
    /// The project's configuration in front of `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        Self::builder().start(upstream)
    }

    /// The project's configuration in front of several servers.
    pub(crate) fn start_before(upstreams: &[SocketAddr]) -> Self {
        Self::builder().start_before(upstreams)
    }

    /// The project's configuration, to be changed for a test.
    pub(crate) fn builder() -> NginxBuilder {
        NginxBuilder {
            configuration: configuration(),
        }
    }

    /// Where nginx listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `ws://` URL of `path`.
    pub(crate) fn ws_url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// A fresh raw connection.
    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address)
    }

    /// nginx's error log.
    pub(crate) fn log(&self) -> &Lines {
        &self.log
    }

    /// Waits until `substring` is in the access log; fails the test at the deadline. nginx writes a line only after it has
    /// answered, so a client that has the answer may look too early.
    pub(crate) fn wait_for_access(&self, substring: &str, deadline: Duration) {
        let end = Instant::now() + deadline;
        loop {
            let log = fs::read_to_string(self.access_log_path()).unwrap_or_default();
            if log.contains(substring) {
                return;
            }
            assert!(
                Instant::now() < end,
                "no {substring:?} in the access log:\n{log}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where nginx writes its access log.
    pub(crate) fn access_log_path(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: the master must take its workers with it.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if wait_child(&mut self.child, DEADLINE).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("---- nginx's log ----\n{}", self.log.text());
        }
    }
}

/// Path of the nginx program.
pub(crate) fn program() -> PathBuf {
    peer::program("nginx")
}

/// nginx over what [`write_configuration`] wrote.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(program());
    command
        .arg("-e")
        .arg("stderr")
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Writes the configuration with its addresses replaced, and the file around it, into a temporary directory.
pub(crate) fn write_configuration(
    configuration: &str,
    address: SocketAddr,
    upstreams: &[SocketAddr],
) -> TempDir {
    let mut site = configuration.to_owned();
    replace_once(&mut site, "listen 8080;", &format!("listen {address};"));
    replace_once(&mut site, "listen [::]:8080;", "");
    if let [one] = upstreams {
        let committed = "server 127.0.0.1:3000;";
        assert_eq!(site.matches(committed).count(), 2, "each upstream has it");
        site = site.replace(committed, &format!("server {one};"));
    } else {
        without_upstream(&mut site);
        site += &upstream(upstreams);
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path().display();
    // The worker of a master that is root must reach the directory, hence `user root`.
    let main = format!(
        "user root;\nworker_processes 1;\ndaemon off;\npid {at}/nginx.pid;\nerror_log stderr info;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log {at}/access.log;\n  client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n\
         \x20 fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n\
         \x20 include {at}/tidegate.conf;\n}}\n"
    );
    fs::write(directory.path().join("nginx.conf"), main).expect("nginx.conf can be written");
    fs::write(directory.path().join("tidegate.conf"), site).expect("tidegate.conf can be written");
    directory
}

fn replace_once(text: &mut String, from: &str, to: &str) {
    assert_eq!(
        text.matches(from).count(),
        1,
        "{from:?} in the configuration"
    );
    *text = text.replace(from, to);
}
