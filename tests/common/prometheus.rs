//! Debian's Prometheus with the project's own configuration, over servers of a test, and its promtool.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::API_KEY;
use super::lines::Lines;
use super::server::run_to_end;
use super::{DEADLINE, peer, ports};

/// How often another port is tried where somebody took the free one first.
const STARTS_MAX: usize = 5;
/// The line that Prometheus logs when it answers.
const READY: &str = "Server is ready to receive web requests";

/// A file of `deploy/`.
pub(crate) fn deployed(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("deploy").join(path)
}

/// Whether promtool is content, and what it says; `input` is given to it.
pub(crate) fn promtool(arguments: &[&str], directory: &Path, input: &str) -> (bool, String) {
    let mut child = Command::new(peer::program("promtool"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // Where it does not read to the end it says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).expect("UTF-8");
    (output.status.success(), told)
}

/// A running Prometheus; dropping it ends it.
pub(crate) struct Prometheus {
    child: Child,
    log: Lines,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// With `deploy/prometheus`, over servers with the key of the tests, which it asks each second.
    pub(crate) fn start(targets: &[SocketAddr]) -> Self {
        for _ in 0..STARTS_MAX {
            match Self::try_start(targets) {
                Ok(prometheus) => return prometheus,
                Err(log) => assert!(log.contains("in use"), "Prometheus does not start:\n{log}"),
            }
        }
        panic!("Prometheus found no free port in {STARTS_MAX} tries");
    }

    fn try_start(targets: &[SocketAddr]) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let read = |path: &str| fs::read_to_string(deployed(path)).expect("a committed file");
        let mut configuration = read("prometheus/prometheus.yml").replace("15s", "1s");
        for (committed, target) in ["127.0.0.1:3001", "127.0.0.1:3002"].iter().zip(targets) {
            assert_eq!(configuration.matches(committed).count(), 1, "{committed}");
            configuration = configuration.replace(committed, &target.to_string());
        }
        fs::write(at("prometheus.yml"), configuration).expect("written");
        fs::write(at("alerts.yml"), read("prometheus/alerts.yml")).expect("written");
        fs::write(at("tidegate.key"), API_KEY).expect("written");
        let address = SocketAddr::from(([127, 0, 0, 1], ports::lasting()));
        let mut child = Command::new(peer::program("prometheus"))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Prometheus runs");
        let log = Lines::collect(child.stderr.take().expect("stderr is piped"));
        let prometheus = Self {
            child,
            log: log.clone(),
            address,
            _directory: directory,
        };
        if log.wait_for(READY, DEADLINE).is_some() {
            return Ok(prometheus);
        }
        drop(prometheus);
        log.wait_end(DEADLINE);
        Err(log.text())
    }

    /// What `/api/v1/PATH` answers, which must be a success.
    pub(crate) fn api(&self, path: &str) -> Value {
        // Long answers come in chunks, which the client of these tests does not read.
        let mut command = Command::new(peer::program("curl"));
        let url = format!("http://{}/api/v1/{path}", self.address);
        command.args(["-sS", "--globoff", "--noproxy", "*", &url]);
        let (status, output, errors) = run_to_end(command, DEADLINE);
        assert!(status.success(), "{path}: {errors}");
        let told: Value = serde_json::from_str(&output).expect("JSON");
        assert_eq!(told["status"], "success", "{path}: {told}");
        told["data"].clone()
    }

    /// What a query finds: the labels of each series, and its value.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let data = self.api(&format!("query?query={encoded}"));
        let found = data["result"].as_array().expect("a list").iter();
        let value = |one: &Value| one["value"][1].as_str().expect("a value").parse();
        found
            .map(|one| (one["metric"].clone(), value(one).expect("a number")))
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the log of Prometheus ----\n{}", self.log.text());
        }
    }
}
