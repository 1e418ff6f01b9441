//! Whether something keeps the clock right. Tokens end by it.

use std::path::Path;

use super::finding::Finding;

const ABOUT: &str = "clock";

/// What a service that keeps the clock leaves while it runs.
const TRACES: [(&str, &str); 5] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
    ("/run/chrony/chronyd.pid", "chrony"),
    ("/run/chronyd.pid", "chrony"),
    ("/run/ntpd.pid", "ntpd"),
    ("/run/ntpsec/ntpd.pid", "ntpsec"),
];

/// `matters` where tokens end by the clock.
pub(super) fn look(matters: bool) -> Finding {
    let mut traces = TRACES.iter();
    let found = traces.find(|(trace, _)| Path::new(trace).exists());
    judge(found.map(|(_, service)| *service), matters)
}

fn judge(service: Option<&str>, matters: bool) -> Finding {
    match service {
        Some(service) => Finding::ok(ABOUT, format!("kept by {service}")),
        None if matters => Finding::warning(
            ABOUT,
            "nothing that keeps it is visible here",
            "Tokens end by the clock: run systemd-timesyncd or chrony, here or on the machine that lends its clock.",
        ),
        None => Finding::ok(
            ABOUT,
            "nothing that keeps it is visible here; without tokens only the log goes by it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_clock_that_nobody_keeps_matters_to_tokens() {
        for (service, matters, state) in [
            (Some("chrony"), true, State::Ok),
            (None, false, State::Ok),
            (None, true, State::Warning),
        ] {
            assert_eq!(judge(service, matters).state, state);
        }
    }
}
