//! What the doctor has found, for people and for programs.

use std::fmt::Write;

use serde_json::json;

use crate::server::logging::escape::Escaped;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// As it should be, or of no account here.
    Ok,
    /// It works, and will not always.
    Warning,
    /// It does not work.
    Problem,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What.
    pub(super) about: &'static str,
    pub(super) state: State,
    /// How it is.
    pub(super) found: String,
    /// What to do; empty where nothing is.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(about, State::Ok, found.into(), String::new())
    }

    pub(super) fn warning(
        about: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(about, State::Warning, found.into(), advice.into())
    }

    pub(super) fn problem(
        about: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(about, State::Problem, found.into(), advice.into())
    }

    fn new(about: &'static str, state: State, found: String, advice: String) -> Self {
        Self {
            about,
            state,
            found,
            advice,
        }
    }
}

fn count(findings: &[Finding], state: State) -> usize {
    let same = findings.iter().filter(|finding| finding.state == state);
    same.count()
}

/// A line for each, what to do below it, and how many there are of which kind.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding {
            about,
            state,
            found,
            advice,
        } = finding;
        let name = state.name();
        // Files and servers say what they like.
        let _ = writeln!(text, "{name:<8} {about}: {}", Escaped(found));
        if !advice.is_empty() {
            let _ = writeln!(text, "         -> {}", Escaped(advice));
        }
    }
    let (problems, warnings) = (
        count(findings, State::Problem),
        count(findings, State::Warning),
    );
    let _ = writeln!(text, "\nproblems: {problems}, warnings: {warnings}");
    text
}

/// The same as one JSON object.
pub(super) fn json(findings: &[Finding]) -> String {
    let all: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "about": finding.about,
                "state": finding.state.name(),
                "found": finding.found,
                "advice": finding.advice,
            })
        })
        .collect();
    let object = json!({
        "problems": count(findings, State::Problem),
        "warnings": count(findings, State::Warning),
        "findings": all,
    });
    format!("{object:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_line_each_whatever_was_found() {
        let findings = [
            Finding::ok("a", "well"),
            Finding::problem("b", "bad\nok       c: \u{1b}[31mforged", "mend"),
        ];
        let expected = "ok       a: well\nproblem  b: bad\\nok       c: \\u{1b}[31mforged\n         -> mend\n\
                        \nproblems: 1, warnings: 0\n";
        assert_eq!(lines(&findings), expected);
        let told: serde_json::Value = serde_json::from_str(&json(&findings)).expect("JSON");
        assert_eq!(told["findings"][1]["state"], "problem");
        assert_eq!(
            (&told["problems"], &told["warnings"]),
            (&json!(1), &json!(0))
        );
    }
}
