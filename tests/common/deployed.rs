//! The files of `deploy/` that others read, read by a test: YAML as values, and what the server makes of the settings in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::DEADLINE;
use super::peer::deploy_checker;
use super::server::run_to_end;

/// A file of the checkout.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether a command ends well, and what it says.
pub(crate) fn told(command: Command) -> (bool, String) {
    let (status, output, errors) = run_to_end(command, DEADLINE * 3);
    (status.success(), output + &errors)
}

/// The documents of a YAML file.
pub(crate) fn yaml(path: &Path) -> Vec<Value> {
    let mut command = deploy_checker("python3");
    command
        .arg(file("tests/peers/deploy/yaml_as_json.py"))
        .arg(path);
    let (is_good, told) = told(command);
    assert!(is_good, "{}: {told}", path.display());
    serde_json::from_str(&told).expect("JSON")
}

/// What a server makes of these variables: the settings by name. Fails the test where it refuses one.
pub(crate) fn effective(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["check", "--json"])
        .current_dir(directory.path())
        .env_clear()
        .envs(environment);
    let (status, output, errors) = run_to_end(command, DEADLINE);
    assert!(status.success(), "{errors}");
    let told: Value = serde_json::from_str(&output).expect("JSON");
    let text = |setting: &Value, name: &str| match &setting[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let settings = told["settings"].as_array().expect("settings").iter();
    let settings: BTreeMap<_, _> = settings
        .map(|setting| (text(setting, "name"), text(setting, "value")))
        .collect();
    for name in environment.keys() {
        assert!(settings.contains_key(name), "{name} is no setting");
    }
    settings
}

/// Seconds of `30s`.
pub(crate) fn seconds(text: &str) -> u64 {
    let number = text
        .strip_suffix('s')
        .and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{text:?} is no number of seconds"))
}

/// Mebibytes of `512m`, `1g` (Compose), `512Mi`, `1Gi` (Kubernetes), `128MiB` (Tidegate).
pub(crate) fn mebibytes(text: &str) -> u64 {
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{text:?}"));
    match unit {
        "m" | "Mi" | "MiB" => number,
        "g" | "Gi" | "GiB" => number * 1024,
        _ => panic!("{text:?} has no unit that is known here"),
    }
}
