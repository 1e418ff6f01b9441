//! The Debian package, built of the debug binary as `make deb` builds it of the release binary: lintian finds no fault, and on this
//! very machine it is installed, run as its user, upgraded, removed and purged without a trace, by the commands of `docs/install.md`.
//!
//! That needs root, and a machine on which Tidegate is not installed; nothing is skipped.

mod common;

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::lines::Lines;
use common::peer::program;
use common::server::{run_to_end, wait_child};
use common::{DEADLINE, eventually, ports};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

const USER: &str = "tidegate";
const CONFIG: &str = "/etc/tidegate/tidegate.toml";
const ENVIRONMENT: &str = "/etc/tidegate/tidegate.env";
const UNIT: &str = "/usr/lib/systemd/system/tidegate.service";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/tidegate.service";
const INSTANCE: &str = "/etc/systemd/system/multi-user.target.wants/tidegate@3001.service";
/// What is there only while the package is, or was not purged.
const PLACES: [&str; 14] = [
    "/usr/bin/tidegate",
    "/usr/share/man/man1/tidegate.1.gz",
    "/usr/share/man/man1/tidegate-serve.1.gz",
    "/usr/share/bash-completion/completions/tidegate",
    "/usr/share/zsh/vendor-completions/_tidegate",
    "/usr/share/fish/vendor_completions.d/tidegate.fish",
    "/etc/tidegate",
    "/var/lib/tidegate",
    "/var/log/tidegate",
    "/usr/share/doc/tidegate",
    UNIT,
    "/usr/lib/systemd/system/tidegate@.service",
    ENABLED,
    "/var/lib/systemd/deb-systemd-helper-enabled/tidegate.service.dsh-also",
];
/// What `make deb` does after the build.
const BUILD: &str = "deploy/deb/build";
/// Exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE_MAX: u32 = 15;
/// Building and installing wait for whoever else builds and installs.
const LONG: Duration = Duration::from_secs(120);

/// What a command says, and whether it ended well.
fn told(command: Command) -> (bool, String) {
    let (status, output, errors) = run_to_end(command, LONG);
    (status.success(), output + &errors)
}

/// The same of a command that must end well.
fn good(command: Command) -> String {
    let shown = format!("{command:?}");
    let (is_good, told) = told(command);
    assert!(is_good, "{shown}:\n{told}");
    told
}

fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    command.args(arguments);
    command
}

/// Runs a program as the user, with nothing in its environment.
fn as_user(user: &str, line: &[&str]) -> Command {
    let mut command = command(
        "setpriv",
        &[
            "--reuid",
            user,
            "--regid",
            user,
            "--init-groups",
            "--no-new-privs",
        ],
    );
    command.args(line).env_clear().current_dir("/");
    command
}

/// The package and the one of its debug symbols, built once.
fn packages() -> &'static Path {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // cargo-deb takes what a build for release has left in the target directory.
        let release = directory.path().join("release");
        fs::create_dir(&release).expect("made");
        fs::copy(env!("CARGO_BIN_EXE_tidegate"), release.join("tidegate")).expect("copied");
        let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(BUILD));
        // Compressed less, which takes a second instead of many.
        build
            .arg("--fast")
            .env("CARGO_TARGET_DIR", directory.path());
        good(build);
        directory
    });
    directory.path()
}

/// The one file of the packages with this ending.
fn package(ending: &str) -> PathBuf {
    let files = fs::read_dir(packages().join("debian")).expect("packages");
    let mut files = files.map(|file| file.expect("a file").path());
    let found = files.find(|file| file.extension().is_some_and(|is| is == ending));
    found.unwrap_or_else(|| panic!("no .{ending}"))
}

#[test]
fn lintian_finds_no_fault() {
    let mut lintian = command("lintian", &["--fail-on", "error,warning"]);
    lintian.arg(package("deb"));
    let (is_good, told) = told(lintian);
    assert!(is_good, "{told}");
}

#[test]
fn the_changelog_is_of_this_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changelog = fs::read_to_string(root.join("deploy/deb/changelog")).expect("a changelog");
    let version = format!("tidegate ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&version), "{changelog}");
    let name = package("deb");
    let name = name.file_name().expect("a name").to_string_lossy();
    let begin = format!("tidegate_{}-1_", env!("CARGO_PKG_VERSION"));
    assert!(name.starts_with(&begin), "{name}");
}

#[test]
fn make_deb_does_the_same_to_the_release_binary() {
    let mut make = command("make", &["--no-print-directory", "--dry-run", "deb"]);
    make.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What a `make test` hands on to those it runs, this one is not a part of.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let told = good(make);
    assert!(
        told.contains("\ncargo build --locked --release\n"),
        "{told}"
    );
    let last = told.lines().last().expect("a command");
    assert_eq!(last, BUILD);
    let release = blocks().into_iter().find(|(run_by, _)| run_by == "release");
    assert_eq!(release.expect("a block").1, ["make deb"]);
}

#[test]
fn what_the_document_has_others_run_is_about_files_that_there_are() {
    let mut files = 0;
    for (_, lines) in blocks() {
        for word in lines.iter().flat_map(|line| line.split(' ')) {
            if word.starts_with("deploy/") && !word.ends_with("/.env") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(word);
                assert!(path.exists(), "{word}");
                files += 1;
            }
        }
    }
    assert!(files > 0, "none was looked at");
}

#[test]
fn debug_symbols_are_a_package_of_their_own() {
    let list = good(command("dpkg", &["-c", &package("ddeb").to_string_lossy()]));
    assert!(list.contains("/usr/lib/debug/.build-id/"), "{list}");
    let list = good(command("dpkg", &["-c", &package("deb").to_string_lossy()]));
    assert!(!list.contains("debug"), "{list}");
}

/// Who runs the commands of a block of `docs/install.md`: this test, or what a test machine lacks.
const RUN_BY: [&str; 5] = ["package", "release", "systemd", "engine", "cluster"];

/// The blocks of commands in `docs/install.md`: who runs them, and their lines.
fn blocks() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md");
    let document = fs::read_to_string(path).expect("a document");
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut is_inside = false;
    for line in document.lines() {
        match (line.strip_prefix("```"), is_inside) {
            (Some(begin), false) => {
                let run_by = begin.strip_prefix("sh ").unwrap_or_default();
                assert!(
                    RUN_BY.contains(&run_by),
                    "nobody runs what is behind {line}"
                );
                found.push((run_by.to_owned(), Vec::new()));
                is_inside = true;
            }
            (Some(_), true) => is_inside = false,
            (None, true) => found.last_mut().expect("begun").1.push(line.to_owned()),
            (None, false) => {}
        }
    }
    found
}

/// The commands that this test types, one after the other.
struct Document(std::vec::IntoIter<String>);

impl Document {
    fn open() -> Self {
        let mine = blocks()
            .into_iter()
            .filter(|(run_by, _)| run_by == "package");
        let lines: Vec<_> = mine.flat_map(|(_, lines)| lines).collect();
        Self(lines.into_iter())
    }

    /// The words of the next command, which begins so; without `sudo`, since this is root.
    fn next(&mut self, begin: &str) -> Vec<String> {
        let line = self.0.next().unwrap_or_else(|| panic!("no more: {begin}"));
        assert!(line.starts_with(begin), "{line}");
        let words = line.split(' ').map(str::to_owned);
        words.skip_while(|word| word == "sudo").collect()
    }

    /// The arguments of the next command, which is this one of dpkg.
    fn dpkg(&mut self, option: &str) -> Vec<String> {
        self.next(&format!("sudo dpkg {option} ")).split_off(1)
    }
}

/// The package on this machine; dropping it purges it.
struct Installed {
    port: u16,
    // Nobody else installs it meanwhile: it is unlocked after the purge.
    _lock: File,
}

impl Installed {
    fn new(document: &mut Document) -> Self {
        assert!(
            geteuid().is_root(),
            "installing a package needs root: run this test as root, or by `sudo -E env PATH=\"$PATH\"`"
        );
        let lock = env::temp_dir().join("tidegate-package-test.lock");
        let lock = File::create(lock).expect("a file to lock");
        lock.lock().expect("locked");
        for place in PLACES {
            let is_there = Path::new(place).symlink_metadata().is_ok();
            assert!(
                !is_there,
                "this machine has a Tidegate already: {place} is there"
            );
        }
        assert!(!is_known(USER), "this machine has a user {USER} already");
        let installed = Self {
            port: ports::lasting(),
            _lock: lock,
        };
        // Where systemd runs it starts at once: not where a server may listen already.
        fs::create_dir("/etc/tidegate").expect("made");
        fs::write(ENVIRONMENT, format!("PORT={}\n", installed.port)).expect("written");
        let told = format!(
            "target/debian/tidegate_{}-1_amd64.deb",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(document.dpkg("-i"), ["-i", &told]);
        installed.install();
        installed
    }

    fn install(&self) {
        dpkg(&["-i", &package("deb").to_string_lossy()]);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // Where the test has purged it there is nothing to do, and after a failure as much as can be.
        let _ = told(command("dpkg", &["--purge", "tidegate"]));
        let _ = fs::remove_file(ENVIRONMENT);
        let _ = fs::remove_dir("/etc/tidegate");
    }
}

/// Runs dpkg, once nobody else does.
fn dpkg(arguments: &[impl AsRef<str> + std::fmt::Debug]) {
    let end = Instant::now() + LONG;
    loop {
        let mut command = Command::new(program("dpkg"));
        // Images of Debian for containers leave documents out.
        command.arg("--path-include=/*");
        command.args(arguments.iter().map(AsRef::as_ref));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        let (is_good, told) = told(command);
        if is_good {
            return;
        }
        let is_locked = told.contains("is locked by another process");
        assert!(is_locked && Instant::now() < end, "{arguments:?}:\n{told}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn is_known(user: &str) -> bool {
    told(command("getent", &["passwd", user])).0
}

fn does_systemd_run() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Mode, owner and group of a file.
fn access(path: &str) -> (u32, String, String) {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let name = |database: &str, id: u32| {
        let line = good(command("getent", &[database, &id.to_string()]));
        line.split(':').next().expect("a name").to_owned()
    };
    (
        metadata.permissions().mode() & 0o7777,
        name("passwd", metadata.uid()),
        name("group", metadata.gid()),
    )
}

/// The value of a line of the installed unit.
fn unit(name: &str) -> String {
    let unit = fs::read_to_string(UNIT).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// What systemd would start, started by hand where there is none: the line of the unit, as its user, with its settings.
struct ByHand(Child);

impl ByHand {
    fn start() -> Self {
        let line = unit("ExecStart=");
        let line: Vec<&str> = line.split(' ').collect();
        let mut command = as_user(&unit("User="), &line);
        let settings = unit("EnvironmentFile=-");
        let settings = fs::read_to_string(settings).expect("the settings");
        let pairs = settings.lines().filter_map(|line| line.split_once('='));
        command
            .envs(pairs)
            .current_dir(unit("WorkingDirectory="))
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let log = Lines::collect(child.stderr.take().expect("stderr is piped"));
        let listening = log.wait_for("listening on", DEADLINE);
        let by_hand = Self(child);
        assert!(listening.is_some(), "it does not listen:\n{}", log.text());
        by_hand
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it is there");
        let status = wait_child(&mut self.0, DEADLINE).expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // Both fail where it has ended, which is the rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn expect_files() {
    let told = good(command("dpkg", &["--verify", "tidegate"]));
    assert_eq!(told, "", "files are not as they were packed");
    for place in PLACES {
        assert!(Path::new(place).symlink_metadata().is_ok(), "{place}");
    }
    let named = |mode, owner: &str, group: &str| (mode, owner.to_owned(), group.to_owned());
    assert_eq!(access("/usr/bin/tidegate"), named(0o755, "root", "root"));
    assert_eq!(access(CONFIG), named(0o640, "root", USER));
    for directory in ["/var/lib/tidegate", "/var/log/tidegate"] {
        assert_eq!(access(directory), named(0o750, USER, USER), "{directory}");
    }
}

fn expect_settings(document: &mut Document) {
    let line = document.next("sudo -u tidegate tidegate check");
    let check = ["tidegate", "check", "--config", CONFIG];
    assert_eq!(line[2..], check);
    let told = good(as_user(USER, &check));
    assert!(
        told.contains(&format!("Configuration file: {CONFIG}")),
        "{told}"
    );
    // Nothing in it says anything, and it names every setting.
    let lines = told.lines().filter(|line| line.ends_with(CONFIG));
    assert_eq!(lines.count(), 1, "{told}");
    let (status, _, errors) = run_to_end(as_user("daemon", &check), DEADLINE);
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(errors.contains("Permission denied"), "{errors}");
}

fn expect_units() {
    for unit in [UNIT, "/usr/lib/systemd/system/tidegate@.service"] {
        let told = good(command("systemd-analyze", &["verify", "--man=no", unit]));
        assert!(!told.contains("tidegate"), "{told}");
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        good(command(
            "systemd-analyze",
            &["security", "--offline=yes", &threshold, unit],
        ));
    }
}

#[test]
fn is_installed_serves_and_is_purged_without_a_trace() {
    let mut document = Document::open();
    let installed = Installed::new(&mut document);
    expect_files();
    expect_settings(&mut document);
    expect_units();

    // The server goes by what the administrator has written.
    let by_hand = (!does_systemd_run()).then(ByHand::start);
    let health = document.next("tidegate health");
    let health: Vec<_> = health
        .iter()
        .map(|word| word.replace("3000", &installed.port.to_string()))
        .collect();
    let health: Vec<_> = health.iter().map(String::as_str).collect();
    eventually("the service is well", || told(as_user(USER, &health)).0);
    if let Some(by_hand) = by_hand {
        by_hand.end();
    }

    // An upgrade asks nothing and keeps what the administrator wrote, and who may read it.
    let mut settings = fs::read_to_string(CONFIG).expect("settings");
    settings += "\n[routes]\n\"/mine\" = \"echo\"\n";
    fs::write(CONFIG, &settings).expect("written");
    good(command("chmod", &["600", CONFIG]));
    installed.install();
    assert_eq!(fs::read_to_string(CONFIG).expect("settings"), settings);
    assert_eq!(access(CONFIG).0, 0o600);

    dpkg(&document.dpkg("--remove"));
    assert!(!Path::new("/usr/bin/tidegate").exists());
    assert!(!Path::new(UNIT).exists());
    assert_eq!(fs::read_to_string(CONFIG).expect("settings"), settings);
    // What an instance leaves behind.
    fs::create_dir("/var/lib/tidegate-3001").expect("made");
    symlink("tidegate@.service", INSTANCE).expect("made");

    dpkg(&document.dpkg("--purge"));
    assert_eq!(document.0.next(), None, "a command that nobody types");
    for place in PLACES.iter().chain(&["/var/lib/tidegate-3001", INSTANCE]) {
        assert!(
            Path::new(place).symlink_metadata().is_err(),
            "{place} is left"
        );
    }
    assert!(!is_known(USER), "the user is left");
    assert!(
        !told(command("getent", &["group", USER])).0,
        "its group is left"
    );
    let (_, told) = told(command("dpkg-query", &["-W", "tidegate"]));
    assert!(told.contains("no packages found"), "{told}");
}
