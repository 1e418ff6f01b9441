//! `tidegate doctor` on the real binary: over this machine, right and wrong configurations of nginx, certificates.

mod common;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use common::DEADLINE;
use common::doctor::{PASSWORD, Visit, command, run};
use common::nginx;
use common::ports;
use common::server::{Server, run_to_end};
use common::tls::TestCertificate;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn this_machine_can_be_looked_at_and_people_can_read_what_was_found() {
    let (status, output) = run(&[("PORT", "0")], &[]);
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("ok       settings: every value is allowed\n"));
    assert!(output.contains("ok       Redis: not used (REDIS_ENABLED is off)\n"));
    assert!(
        output
            .lines()
            .any(|line| line.starts_with("problems: 0, warnings: "))
    );
    for line in output.lines().filter(|line| !line.is_empty()) {
        let begin = line.get(..9).expect("a line");
        let known = [
            "ok       ",
            "warning  ",
            "problem  ",
            "         ",
            "problems:",
        ];
        assert!(known.contains(&begin), "{line:?}");
    }
}

#[test]
fn the_commands_of_the_document() {
    const INSTALLED: &str = "/etc/nginx/conf.d/tidegate.conf";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/doctor.md")).expect("the document");
    let lines = document.lines();
    let commands: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("tidegate doctor"))
        .collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let committed = root.join("deploy/nginx/tidegate.conf");
    for arguments in commands {
        let arguments = arguments.replace(INSTALLED, &committed.display().to_string());
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        assert_eq!(run(&[("PORT", "0")], &arguments).0, 0, "{arguments:?}");
    }
    // Everything that it tells of has a row there.
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let rows: String = rows.collect();
    let (_, output) = run(&[("PORT", "0")], &["--json"]);
    let told: Value = serde_json::from_str(&output).expect("JSON");
    for finding in told["findings"].as_array().expect("a list") {
        let about = finding["about"].as_str().expect("a text");
        assert!(rows.contains(&format!("`{about}`")), "{about}");
    }
}

#[test]
fn wrong_settings_are_a_problem_and_not_the_end() {
    let visit = Visit::new(&[("HEARTBEAT_INTERVAL", "often")], &[]);
    assert_eq!(visit.problems(), ["settings"]);
    let (_, found, _) = visit.one("settings");
    assert!(found.contains("HEARTBEAT_INTERVAL"), "{found}");
    assert_eq!(visit.about("clock").len(), 1);
    let visit = Visit::new(&[("PORT", "0"), ("JWT_PUBLIC_KEY_FILE", "gone.pem")], &[]);
    assert_eq!(visit.problems(), ["settings"]);
    let (status, _, errors) = run_to_end(command(&[], &["--nginks"], Path::new("/")), DEADLINE);
    assert_eq!(status.code(), Some(2), "{errors}");
}

#[test]
fn too_few_file_descriptors() {
    let directory = tempfile::tempdir().expect("a directory");
    let limited = |limit: u32, connections: Option<&str>| {
        let mut shell = Command::new("/bin/sh");
        let line = format!("ulimit -n {limit} && exec \"$0\" doctor --json");
        shell
            .args(["-c", &line, env!("CARGO_BIN_EXE_tidegate")])
            .env_clear()
            .env("PORT", "0")
            .env("WORKERS", "2")
            .envs(connections.map(|connections| ("MAX_CONNECTIONS", connections)))
            .current_dir(directory.path());
        let (status, output, _) = run_to_end(shell, DEADLINE);
        let told = serde_json::from_str(&output).expect("JSON");
        Visit {
            status: status.code().expect("no signal"),
            told,
        }
    };
    let visit = limited(1024, None);
    assert_eq!(visit.problems(), [""; 0]);
    let (state, found, advice) = visit.one("open files");
    assert_eq!(state, "warning");
    assert_eq!(
        found,
        "1024 at most, 72 of them in reserve; MAX_CONNECTIONS is 952"
    );
    assert!(advice.contains("LimitNOFILE="), "{advice}");
    let visit = limited(1024, Some("5000"));
    assert_eq!(visit.problems(), ["settings"]);
    let (_, found, _) = visit.one("settings");
    assert!(
        found.contains("MAX_CONNECTIONS") && found.contains("1024"),
        "{found}"
    );
}

/// A directory with configurations of nginx, and the port that they pass to.
struct Site {
    directory: TempDir,
    port: u16,
}

impl Site {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            port: ports::lasting(),
        }
    }

    /// The committed configuration, before a server at that port.
    fn committed(&self) -> String {
        nginx::configuration().replace("127.0.0.1:3000", &format!("127.0.0.1:{}", self.port))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).expect("written");
    }

    /// What the doctor says of a file.
    fn visit(&self, name: &str, settings: &[(&str, &str)]) -> Visit {
        let port = self.port.to_string();
        let settings = [&[("PORT", port.as_str())], settings].concat();
        let file = self.directory.path().join(name);
        Visit::new(&settings, &["--nginx", &file.display().to_string()])
    }
}

/// With a back end at that URL.
fn with_back_end(url: &str, settings: &[(&str, &str)]) -> Visit {
    let settings = [&[("PORT", "0"), ("BACKEND_URL", url)], settings].concat();
    Visit::new(&settings, &[])
}

#[test]
fn a_back_end_is_reached_and_told_nothing() {
    let visit = Visit::new(&[("PORT", "0")], &[]);
    assert_eq!(visit.one("back end").1, "not used (BACKEND_URL is not set)");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}/events?key={PASSWORD}");
    let visit = with_back_end(&url, &[]);
    assert_eq!(visit.problems(), [""; 0]);
    let (state, found, _) = visit.one("back end");
    assert_eq!(state, "ok");
    assert!(found.starts_with(&format!("{address} is reached within ")));
    assert_eq!(visit.one("back end secret").0, "warning");
    assert!(visit.about("back end URL").is_empty());
    assert!(visit.about("back end endpoints").is_empty());
    let aside = ("BACKEND_ENDPOINTS", "gateway");
    let visit = with_back_end(&url, &[aside]);
    let (state, found, _) = visit.one("back end endpoints");
    assert_eq!(state, "warning");
    assert!(found.starts_with("/socket.io/ lets clients"), "{found}");
    for setting in [
        ("JWT_SECRET", "a secret of the tests"),
        ("ROUTES", "/ = gateway"),
        ("BACKEND_EVENTS", "disconnect"),
    ] {
        let visit = with_back_end(&url, &[aside, setting]);
        assert!(visit.about("back end endpoints").is_empty(), "{setting:?}");
    }
    let (mut stream, _) = listener.accept().expect("it came");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("it hung up");
    assert_eq!(heard, b"");

    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let visit = with_back_end(&url, &[("BACKEND_SECRET", secret)]);
    assert_eq!(visit.one("back end secret").1, "events are signed");
    drop((stream, listener));
    let visit = with_back_end(&url, &[]);
    assert_eq!(visit.problems(), ["back end"]);
    let (_, found, advice) = visit.one("back end");
    assert!(found.starts_with(&address.to_string()), "{found}");
    assert!(advice.contains("BACKEND_URL"), "{advice}");
    let visit = with_back_end("http://nobody.invalid/", &[]);
    assert_eq!(visit.problems(), ["back end"]);
    assert!(visit.one("back end").1.contains("nobody.invalid"));
    assert_eq!(visit.one("back end URL").0, "warning");
}

#[test]
fn the_certificate_of_a_back_end_has_to_be_believed() {
    // It speaks TLS, which is all that counts here.
    let server = Server::builder().tls();
    let chain = server.directory().join("cert.pem").display().to_string();
    let server = server.start();
    let url = format!("https://{}/", server.address());
    let visit = with_back_end(&url, &[("BACKEND_TLS_CA", &chain)]);
    assert_eq!(visit.problems(), [""; 0]);
    let (state, found, _) = visit.one("back end certificate");
    assert_eq!(state, "ok");
    assert!(found.starts_with("it serves, and ends in "), "{found}");
    let gone = with_back_end(&url, &[("BACKEND_TLS_CA", "gone.pem")]);
    assert_eq!(gone.problems(), ["back end certificate"]);
    let strangers = tempfile::tempdir().expect("a directory");
    let other = TestCertificate::write_to(strangers.path());
    let visit = with_back_end(
        &url,
        &[("BACKEND_TLS_CA", &other.chain.display().to_string())],
    );
    assert_eq!(visit.problems(), ["back end"]);
    assert!(visit.one("back end").1.contains("certificate"));
    // One that takes the connection and says nothing, one that hangs up, and one that speaks no TLS.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let plain = Server::start();
    let hasty = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hasty_address = hasty.local_addr().expect("an address");
    let hangs_up = thread::spawn(move || drop(hasty.accept()));
    for (address, says) in [
        (
            silent.local_addr().expect("an address"),
            "it does not answer in time",
        ),
        (hasty_address, "it hangs up"),
        (plain.address(), "corrupt message"),
    ] {
        let visit = with_back_end(
            &format!("https://{address}/"),
            &[("BACKEND_TLS_CA", &chain)],
        );
        assert_eq!(visit.problems(), ["back end"]);
        let found = visit.one("back end").1;
        assert!(found.contains(says), "{found}");
    }
    hangs_up.join().expect("it came");
}

#[test]
fn the_committed_configuration_of_nginx_is_right_and_what_is_left_out_of_it_is_missed() {
    let site = Site::new();
    let committed = site.committed();
    site.write("site.conf", &committed);
    let good = site.visit("site.conf", &[]);
    assert_eq!(good.problems(), [""; 0]);
    let (state, found, _) = good.one("nginx");
    assert_eq!(state, "ok");
    assert!(found.contains("passes WebSockets on"), "{found}");
    for (from, to, says) in [
        (
            "proxy_http_version 1.1;",
            "",
            "proxy_http_version is not 1.1",
        ),
        (
            "proxy_set_header Upgrade           $tidegate_upgrade;",
            "",
            "the header Upgrade is not passed on",
        ),
        (
            "$tidegate_connection;\n    proxy_set_header Host",
            "close;\n    proxy_set_header Host",
            "the header Connection does not say upgrade",
        ),
        (
            "proxy_read_timeout    90s",
            "proxy_read_timeout    20s",
            "nginx cuts every silent connection",
        ),
    ] {
        assert_eq!(committed.matches(from).count(), 1, "{from}");
        site.write("site.conf", &committed.replace(from, to));
        let visit = site.visit("site.conf", &[]);
        // At each of its four locations.
        assert_eq!(visit.problems(), ["nginx"; 4], "{says}");
        for (_, found, _) in visit.about("nginx") {
            assert!(found.contains(says), "{found}");
        }
    }
}

#[test]
fn nginx_is_held_against_the_settings() {
    let site = Site::new();
    site.write("site.conf", &site.committed());
    let patient = site.visit("site.conf", &[("HEARTBEAT_INTERVAL", "5m")]);
    assert_eq!(patient.problems(), ["nginx"; 4]);
    let main =
        "worker_processes 1;\nevents { worker_connections 100; }\nhttp { include s*.conf; }\n";
    site.write("nginx.conf", main);
    let full = site.visit("nginx.conf", &[("MAX_CONNECTIONS", "51")]);
    assert_eq!(full.problems(), [""; 0]);
    let (state, found, advice) = full.one("nginx");
    assert_eq!(state, "warning");
    assert!(found.starts_with("room for 50 WebSockets"), "{found}");
    assert!(advice.starts_with("worker_connections "), "{advice}");
    let enough = site.visit("nginx.conf", &[("MAX_CONNECTIONS", "50")]);
    assert_eq!(enough.one("nginx").0, "ok");
}

#[test]
fn files_that_are_no_configuration_of_this_nginx() {
    let site = Site::new();
    for (text, says) in [
        ("server {", "site.conf:1: a block does not end"),
        ("server { listen 80; }", "passes nothing to"),
    ] {
        site.write("site.conf", text);
        let visit = site.visit("site.conf", &[]);
        assert_eq!(visit.problems(), ["nginx"]);
        assert!(visit.one("nginx").1.contains(says), "{text}");
    }
    let gone = site.visit("gone.conf", &[]);
    assert_eq!(gone.problems(), ["nginx"]);
    assert!(gone.one("nginx").1.contains("gone.conf cannot be read"));
}

#[test]
fn certificates_and_their_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let (chain, key) = (
        directory.path().join("chain.pem"),
        directory.path().join("key.pem"),
    );
    let visit = |until: i32, mode: u32| {
        let pair = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        parameters.not_before = date_time_ymd(2001, 1, 1);
        parameters.not_after = date_time_ymd(until, 1, 1);
        let certificate = parameters.self_signed(&pair).expect("signed");
        fs::write(&chain, certificate.pem()).expect("written");
        fs::write(&key, pair.serialize_pem()).expect("written");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&key, permissions).expect("set");
        let (chain, key) = (chain.display().to_string(), key.display().to_string());
        Visit::new(
            &[("PORT", "0"), ("TLS_CERT", &chain), ("TLS_KEY", &key)],
            &[],
        )
    };
    let good = visit(2200, 0o640);
    assert_eq!(good.problems(), [""; 0]);
    assert_eq!(good.one("TLS certificate").0, "ok");
    assert_eq!(good.one("TLS key").0, "ok");
    let open = visit(2200, 0o644);
    assert_eq!(open.problems(), [""; 0]);
    assert_eq!(open.one("TLS key").0, "warning");
    let ended = visit(2002, 0o640);
    assert_eq!(ended.problems(), ["TLS certificate"]);
    assert!(ended.one("TLS certificate").1.contains("it ended "));
    fs::write(&key, "no key").expect("written");
    let chain = chain.display().to_string();
    let key = key.display().to_string();
    let broken = Visit::new(
        &[("PORT", "0"), ("TLS_CERT", &chain), ("TLS_KEY", &key)],
        &[],
    );
    assert_eq!(broken.problems(), ["TLS certificate"]);
}

#[test]
fn an_address_that_is_free_ours_or_somebodys() {
    let visit = |port: u16| Visit::new(&[("PORT", &port.to_string())], &[]);
    let free = visit(ports::lasting());
    assert!(free.one("address").1.ends_with(" is free"));
    let server = Server::start();
    let ours = visit(server.address().port());
    let (state, found, _) = ours.one("address");
    assert_eq!(state, "ok");
    assert!(found.ends_with("is served by Tidegate already"), "{found}");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("an address").port();
    let taken = visit(port);
    assert_eq!(taken.problems(), ["address"]);
    assert!(
        taken
            .one("address")
            .1
            .ends_with("is in use, and not by Tidegate")
    );
    let elsewhere = Visit::new(&[("HOST", "192.0.2.1"), ("PORT", "3000")], &[]);
    assert_eq!(elsewhere.problems(), ["address"]);
    let nowhere = Visit::new(&[("HOST", "unix:/no/such/directory/socket")], &[]);
    assert_eq!(nowhere.problems(), ["address"]);
}
