//! What `deploy/` holds besides nginx (tests/nginx.rs) is checked by the programs that will read it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::DEADLINE;
use common::peer::program;
use common::server::{Server, run_to_end};

/// Exposure that `systemd-analyze security` may find, in tenths: 0 is nothing, 100 everything.
const EXPOSURE_MAX: u32 = 15;

/// The unit of one instance, and the template of several.
const UNITS: [&str; 2] = ["tidegate.service", "tidegate@.service"];

fn committed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A unit with the freshly built binary in place of the installed one, which is not there.
fn unit(directory: &Path, name: &str) -> String {
    let unit = committed(&format!("systemd/{name}"));
    assert_eq!(
        unit.matches("ExecStart=/usr/bin/tidegate serve").count(),
        1,
        "{name}"
    );
    let unit = unit.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"));
    fs::write(directory.join(name), &unit).expect("the unit can be written");
    unit
}

fn analyze(directory: &Path, name: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program("systemd-analyze"));
    command
        .args(arguments)
        .arg(format!("./{name}"))
        .current_dir(directory);
    let (status, output, errors) = run_to_end(command, DEADLINE);
    (status.success(), output + &errors)
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    for name in UNITS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        unit(directory.path(), name);
        let (good, told) = analyze(directory.path(), name, &["verify", "--man=no"]);
        assert!(good, "{told}");
        assert!(!told.contains("tidegate"), "{told}");
    }
}

#[test]
fn the_units_are_hardened() {
    for name in UNITS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        unit(directory.path(), name);
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let arguments = ["security", "--offline=yes", &threshold];
        let (good, told) = analyze(directory.path(), name, &arguments);
        assert!(good, "{told}");
    }
}

#[test]
fn the_template_is_the_unit_with_names_of_its_own() {
    // Comments may tell more; what is set may not differ but by the instance.
    let set = |name: &str| {
        let unit = committed(&format!("systemd/{name}"));
        let lines = unit.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut template = set("tidegate@.service");
    let own = "EnvironmentFile=-/etc/tidegate/%i.env";
    assert!(template.iter().any(|line| line == own));
    template.retain(|line| line != own);
    for line in &mut template {
        for instance in ["-%i", " --port %i", " on port %i"] {
            *line = line.replace(instance, "");
        }
    }
    assert_eq!(template, set("tidegate.service"));
}

#[test]
fn the_port_of_an_instance_outranks_the_settings_in_common() {
    let server = Server::builder()
        .env("PORT", "1")
        .arg("serve")
        .arg("--port")
        .arg("0")
        .start();
    assert_ne!(server.address().port(), 1);
}

#[test]
fn nginx_knows_five_instances_by_their_ports() {
    let upstream = committed("nginx/tidegate-upstream.conf");
    let readme = committed("README.md");
    assert!(readme.contains("tidegate@300{1..5}"));
    for port in 3001..=3005 {
        assert!(upstream.contains(&format!("server 127.0.0.1:{port} ")));
    }
}

#[test]
fn the_unit_leaves_time_to_drain_and_descriptors_to_connect() {
    const DRAIN_AND_CLOSE_S: u32 = 10 + 5;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let unit = unit(directory.path(), "tidegate.service");
    let value = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is not in the unit"))
    };
    let stop: u32 = value("TimeoutStopSec=")
        .trim_end_matches('s')
        .parse()
        .expect("seconds");
    assert!(stop > DRAIN_AND_CLOSE_S, "{stop}");
    assert_eq!(value("LimitNOFILE="), "1048576");
    assert_eq!(value("KillSignal="), "SIGTERM");
    assert_eq!(value("ExecReload="), "/bin/kill -HUP $MAINPID");
}
