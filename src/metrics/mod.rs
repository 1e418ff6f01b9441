//! Counters that one thread writes and any thread reads: no lock, and no cache line that two threads write. What is counted, and
//! what it is called, is known above.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A count. Only one thread may add to it, which makes adding a load and a store; any thread may read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// So many more.
    #[inline]
    pub fn add(&self, more: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(more);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// How many there have been.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets of [`Durations`], microseconds. One more bucket takes what is longer.
pub const BOUNDS_US: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000,
];

/// How long something took, each time: counted in buckets, written as a [`Counter`] is.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [Counter; BOUNDS_US.len() + 1],
    nanos: Counter,
}

impl Durations {
    /// It has taken that long once more.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let nanos = duration.as_nanos() as u64;
        let index = BOUNDS_US.iter().position(|bound| nanos <= bound * 1_000);
        self.buckets[index.unwrap_or(BOUNDS_US.len())].add(1);
        self.nanos.add(nanos);
    }

    /// How often it was within each bound of [`BOUNDS_US`] and beyond the one before, and last how often it was longer.
    pub fn counts(&self) -> [u64; BOUNDS_US.len() + 1] {
        std::array::from_fn(|index| self.buckets[index].get())
    }

    /// All of them together.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        let micros = [0, 50, 51, 1_000_000, 1_000_001, 5_000_000];
        for micros in micros {
            durations.record(Duration::from_micros(micros));
        }
        durations.record(Duration::from_nanos(50_001));
        let mut expected = [0; BOUNDS_US.len() + 1];
        expected[..2].copy_from_slice(&[2, 2]);
        expected[13..].copy_from_slice(&[1, 2]);
        assert_eq!(durations.counts(), expected);
        let total = Duration::from_micros(micros.iter().sum()) + Duration::from_nanos(50_001);
        assert_eq!(durations.total(), total);
    }
}
