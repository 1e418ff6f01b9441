//! How long things took: counted in a histogram, so that a long run costs no more memory than a short one.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Longest time that is told apart, nanoseconds: ten minutes.
const NANOSECONDS_MAX: u64 = 600_000_000_000;
/// Digits that are told apart.
const DIGITS: u8 = 3;

/// What is shown of a distribution: its name in JSON, and its share of all.
pub(super) const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99_9", 0.999),
    ("p99_99", 0.9999),
];

/// A distribution of times.
#[derive(Debug, Clone)]
pub(super) struct Latency(Histogram<u64>);

impl Latency {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, NANOSECONDS_MAX, DIGITS);
        Self(histogram.expect("the bounds are sound"))
    }

    /// Counts `count` times of `nanoseconds` each.
    #[inline]
    pub(super) fn record(&mut self, nanoseconds: u64, count: u64) {
        self.0.saturating_record_n(nanoseconds, count);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that a share of all did not pass, 1.0 being all.
    pub(super) fn at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    pub(super) fn min(&self) -> f64 {
        self.0.min() as f64 / 1e3
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.mean() / 1e3
    }

    pub(super) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// In microseconds.
    pub(super) fn json(&self) -> Value {
        let mut object = json!({
            "min": rounded(self.min()),
            "mean": rounded(self.mean()),
            "max": rounded(self.max()),
        });
        for (name, share) in PERCENTILES {
            object[name] = json!(rounded(self.at(share)));
        }
        object
    }
}

/// Nanoseconds are the last that mean something.
fn rounded(microseconds: f64) -> f64 {
    (microseconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_told_in_microseconds() {
        let mut latency = Latency::new();
        latency.record(10_000, 98);
        latency.record(1_000_000, 1);
        latency.record(u64::MAX, 1);
        assert_eq!(latency.count(), 100);
        let object = latency.json();
        assert_eq!(object["min"], 10.0);
        let near = |name: &str, expected: f64| {
            let value = object[name].as_f64().expect("a number");
            assert!((value / expected - 1.0).abs() < 0.002, "{name}: {value}");
        };
        near("p50", 10.0);
        near("p99", 1_000.0);
        near("max", 600_000_000.0);
        latency.clear();
        assert_eq!(latency.count(), 0);
    }
}
