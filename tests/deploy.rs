//! What `deploy/` holds besides nginx (tests/nginx.rs) is checked by the programs that will read it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::DEADLINE;
use common::peer::program;
use common::server::run_to_end;

/// Exposure that `systemd-analyze security` may find, in tenths: 0 is nothing, 100 everything.
const EXPOSURE_MAX: u32 = 15;

/// The unit with the freshly built binary in place of the installed one, which is not there.
fn unit(directory: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/tidegate.service");
    let unit = fs::read_to_string(path).expect("the unit can be read");
    assert_eq!(
        unit.matches("ExecStart=/usr/bin/tidegate serve\n").count(),
        1
    );
    let unit = unit.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"));
    fs::write(directory.join("tidegate.service"), &unit).expect("the unit can be written");
    unit
}

fn analyze(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program("systemd-analyze"));
    command
        .args(arguments)
        .arg("./tidegate.service")
        .current_dir(directory);
    let (status, output, errors) = run_to_end(command, DEADLINE);
    (status.success(), output + &errors)
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    unit(directory.path());
    let (good, told) = analyze(directory.path(), &["verify", "--man=no"]);
    assert!(good, "{told}");
    assert!(!told.contains("tidegate.service"), "{told}");
}

#[test]
fn the_unit_is_hardened() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    unit(directory.path());
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (good, told) = analyze(directory.path(), &["security", "--offline=yes", &threshold]);
    assert!(good, "{told}");
}

#[test]
fn the_unit_leaves_time_to_drain_and_descriptors_to_connect() {
    const DRAIN_AND_CLOSE_S: u32 = 10 + 5;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let unit = unit(directory.path());
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
