//! Runs `tidegate bench` as a process.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::process::Command;

use serde_json::Value;

use crate::common::DEADLINE;
use crate::common::server::run_to_end;

/// Times that make a run short.
pub(crate) const BRIEF: [&str; 4] = ["--seconds", "0.3", "--warm-up", "0.1"];

pub(crate) fn bench(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("bench").args(arguments);
    let (status, output, errors) = run_to_end(command, 3 * DEADLINE);
    (status.code(), output, errors)
}

/// The JSON object of a short run that must succeed.
pub(crate) fn measured(arguments: &[&str]) -> Value {
    let line = [arguments, &BRIEF, &["--json"]].concat();
    let (status, output, errors) = bench(&line);
    assert_eq!(status, Some(0), "{line:?}\n{errors}");
    let value: Value = serde_json::from_str(&output).expect("one JSON object");
    assert!(number(&value["count"]) > 0.0 && number(&value["per_second"]) > 0.0);
    value
}

pub(crate) fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// Asserts that a run is refused with this status, and gives what it wrote to stderr.
pub(crate) fn refused(arguments: &[&str], status: i32) -> String {
    let (code, output, errors) = bench(arguments);
    assert_eq!(code, Some(status), "{arguments:?}\n{output}{errors}");
    assert_eq!(output, "", "{arguments:?}");
    errors
}

/// Asserts that a short run fails at the server, and that stderr is one line which says this.
pub(crate) fn fails(arguments: &[&str], says: &str) {
    let errors = refused(&[arguments, &BRIEF].concat(), 1);
    assert!(
        errors.contains(says) && errors.lines().count() == 1,
        "{arguments:?}: {errors}"
    );
}
