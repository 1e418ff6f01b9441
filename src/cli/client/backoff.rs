//! How long to wait before the next attempt to connect: exponential, with jitter. No clock lives here.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The longest wait, unless the first is longer.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// The waits of one client.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    /// Failures since the last connection that held.
    failures: u32,
    dice: StdRng,
}

impl Backoff {
    pub(super) fn new(first: Duration, seed: [u8; 32]) -> Self {
        Self {
            first,
            failures: 0,
            dice: StdRng::from_seed(seed),
        }
    }

    /// A connection held.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: twice the last one, give or take a quarter, so that a thousand clients of a server that restarts do not
    /// all come back in the same moment; never shorter than the server asked for.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let wait = self
            .first
            .saturating_mul(factor)
            .min(WAIT_MAX.max(self.first));
        let wait = wait.mul_f64(self.dice.random_range(0.75..1.25));
        wait.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(first_ms: u64) -> Vec<f64> {
        let mut backoff = Backoff::new(Duration::from_millis(first_ms), [7; 32]);
        (0..40).map(|_| backoff.next(None).as_secs_f64()).collect()
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let waits = waits(5_000);
        for (wait, middle) in waits.iter().zip([5.0, 10.0, 20.0, 40.0, 60.0, 60.0]) {
            assert!(
                (0.75 * middle..=1.25 * middle).contains(wait),
                "{wait} {middle}"
            );
        }
        assert!(waits.iter().all(|&wait| wait <= 75.0));
        assert!(waits[5..].windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_long_first_wait_stays() {
        assert!(
            waits(120_000)
                .iter()
                .all(|&wait| (90.0..=150.0).contains(&wait))
        );
    }

    #[test]
    fn what_held_begins_anew_and_what_is_asked_for_counts() {
        let mut backoff = Backoff::new(Duration::from_secs(1), [7; 32]);
        for _ in 0..5 {
            backoff.next(None);
        }
        backoff.reset();
        assert!(backoff.next(None) < Duration::from_secs(2));
        let asked = Some(Duration::from_secs(90));
        assert_eq!(backoff.next(asked), Duration::from_secs(90));
        assert_eq!(backoff.next(Some(Duration::MAX)), RETRY_AFTER_MAX);
    }
}
