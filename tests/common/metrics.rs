//! What a server tells Prometheus, read by the letter of the text format.

use std::collections::BTreeMap;

use super::client::{Client, Response};
use super::gateway::API_KEY;
use super::server::Server;
use super::{DEADLINE, eventually};

/// All samples of one scrape, by their names with their labels, as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Those of a text.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let value = value.parse().expect("a number");
            (name.to_owned(), value)
        });
        Self(samples.collect())
    }

    /// Those that the server tells now.
    pub(crate) fn of(server: &Server) -> Self {
        Self::parse(scrape(&mut server.connect()).text())
    }

    /// The sample of that name.
    pub(crate) fn get(&self, name: &str) -> f64 {
        let found = self.0.get(name);
        *found.unwrap_or_else(|| panic!("no {name} in {:#?}", self.0))
    }

    /// How much each counter has risen since, but the ones that scrapes themselves move and that time does.
    pub(crate) fn risen_since(&self, before: &Self) -> BTreeMap<&str, f64> {
        let moved_by_scrapes = [
            "_bytes",
            "tidegate_loop_turn_seconds",
            "tidegate_worker_",
            "process_",
            "path=\"/metrics\"",
        ];
        let all = self.0.iter().filter_map(|(name, value)| {
            let risen = value - before.0.get(name).copied().unwrap_or(0.0);
            let is_counter = name.split('{').next()?.ends_with("_total");
            let is_still = moved_by_scrapes.iter().all(|part| !name.contains(part));
            (is_counter && is_still && risen != 0.0).then_some((name.as_str(), risen))
        });
        all.collect()
    }
}

/// Asks for the metrics with the key of the tests.
pub(crate) fn scrape(client: &mut Client) -> Response {
    client.request("GET", "/metrics", &[("X-API-Key", API_KEY)]);
    let response = client.read_response();
    assert_eq!(response.status, 200, "{response:?}");
    response
}

/// Waits until the counters have risen since `before` by exactly `expected`, and no other one has.
pub(crate) fn expect_risen(server: &Server, before: &Samples, expected: &[(&str, f64)]) {
    let expected: BTreeMap<_, _> = expected.iter().copied().collect();
    let mut last = before.clone();
    let end = std::time::Instant::now() + DEADLINE;
    while last.risen_since(before) != expected {
        assert!(
            std::time::Instant::now() < end,
            "{:#?} where {expected:#?} was expected",
            last.risen_since(before)
        );
        last = Samples::of(server);
    }
}

/// Waits until a sample has that value.
pub(crate) fn expect_value(server: &Server, name: &str, value: f64) {
    eventually(name, || Samples::of(server).get(name) == value);
}
