//! `tidegate doctor`, asked by a test.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::DEADLINE;
use super::server::run_to_end;

/// Nobody may see it, whatever a server answers.
pub(crate) const PASSWORD: &str = "hushhush";

/// What the doctor says, and how it ends.
pub(crate) struct Visit {
    pub(crate) status: i32,
    pub(crate) told: Value,
}

impl Visit {
    /// With these settings and arguments, in an empty directory.
    pub(crate) fn new(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let (status, output) = run(environment, &[&["--json"], arguments].concat());
        let told =
            serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        Self { status, told }
    }

    /// With that Redis.
    pub(crate) fn with_redis(url: &str) -> Self {
        Self::new(
            &[("PORT", "0"), ("REDIS_ENABLED", "on"), ("REDIS_URL", url)],
            &[],
        )
    }

    /// Everything that was found about something: the state, what, and what to do.
    pub(crate) fn about(&self, about: &str) -> Vec<(&str, &str, &str)> {
        let findings = self.told["findings"].as_array().expect("a list").iter();
        findings
            .filter(|one| one["about"] == about)
            .map(|one| {
                let text = |name: &str| one[name].as_str().expect("a text");
                (text("state"), text("found"), text("advice"))
            })
            .collect()
    }

    /// The one thing that was found about something.
    pub(crate) fn one(&self, about: &str) -> (&str, &str, &str) {
        let found = self.about(about);
        assert_eq!(found.len(), 1, "{about}: {:#}", self.told);
        found[0]
    }

    /// The problems, whose number the exit status goes by.
    pub(crate) fn problems(&self) -> Vec<&str> {
        let findings = self.told["findings"].as_array().expect("a list").iter();
        let problems = findings.filter(|one| one["state"] == "problem");
        let about: Vec<_> = problems
            .map(|one| one["about"].as_str().expect("a text"))
            .collect();
        assert_eq!(self.told["problems"], about.len());
        assert_eq!(self.status, i32::from(!about.is_empty()), "{:#}", self.told);
        about
    }
}

/// The command that asks it.
pub(crate) fn command(
    environment: &[(&str, &str)],
    arguments: &[&str],
    directory: &Path,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .arg("doctor")
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(directory);
    command
}

/// How it ends and what it says, in an empty directory.
pub(crate) fn run(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let command = command(environment, arguments, directory.path());
    let (status, output, errors) = run_to_end(command, DEADLINE);
    assert_eq!(errors, "");
    assert!(!output.contains(PASSWORD), "{output}");
    (status.code().expect("no signal"), output)
}
