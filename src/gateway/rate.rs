//! How fast a connection may send: a bucket of messages and one of bytes, filled at a steady rate. No session and no socket.

use std::time::Duration;

use crate::reactor::Tick;

/// Thousandths: a rate a second, times milliseconds.
const WHOLE: i64 = 1_000;

/// What becomes of a connection that sends faster than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatePolicy {
    /// It is not read until it may send again: its own TCP makes it wait.
    Throttle,
    /// It is closed with 1008.
    Close,
}

/// How fast a connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Messages, pings and pongs a second; 0 for any number.
    pub messages: u32,
    /// Bytes a second, as they arrive, and of compressed messages also those that they become; 0 for any number.
    pub bytes: u64,
    /// The time whose messages and bytes may come at once.
    pub burst: Duration,
    /// What becomes of who sends faster.
    pub policy: RatePolicy,
}

impl Default for RateLimits {
    /// Nothing is limited.
    fn default() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            burst: Duration::from_secs(1),
            policy: RatePolicy::Throttle,
        }
    }
}

impl RateLimits {
    /// Whether anything is limited.
    pub fn is_on(&self) -> bool {
        self.messages > 0 || self.bytes > 0
    }

    fn burst_ms(&self) -> i64 {
        self.burst.as_millis() as i64
    }

    fn messages_max(&self) -> i64 {
        (i64::from(self.messages) * self.burst_ms()).max(WHOLE)
    }

    fn bytes_max(&self) -> i64 {
        (self.bytes as i64).saturating_mul(self.burst_ms())
    }
}

/// What one connection may send now. The limits are told at each call, so that a reload changes them for everyone.
#[derive(Debug)]
pub(super) struct Meter {
    at: Tick,
    /// Thousandths that are left. Less than nothing, where something large came at once.
    messages: i64,
    bytes: i64,
}

impl Meter {
    /// A full one.
    pub(super) fn new(limits: &RateLimits, now: Tick) -> Self {
        Self {
            at: now,
            messages: limits.messages_max(),
            bytes: limits.bytes_max(),
        }
    }

    /// Time has passed.
    pub(super) fn refill(&mut self, limits: &RateLimits, now: Tick) {
        let passed = now.since(self.at).as_millis() as i64;
        if passed == 0 {
            return;
        }
        self.at = now;
        let filled = |left: i64, rate: i64, max: i64| {
            left.saturating_add(rate.saturating_mul(passed)).min(max)
        };
        let messages = i64::from(limits.messages);
        self.messages = filled(self.messages, messages, limits.messages_max());
        self.bytes = filled(self.bytes, limits.bytes as i64, limits.bytes_max());
    }

    pub(super) fn spend_message(&mut self) {
        self.messages = self.messages.saturating_sub(WHOLE);
    }

    pub(super) fn spend_bytes(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes = self.bytes.saturating_sub(bytes.saturating_mul(WHOLE));
    }

    /// Whether nothing more may come for now.
    pub(super) fn is_spent(&self, limits: &RateLimits) -> bool {
        (limits.messages > 0 && self.messages < WHOLE) || (limits.bytes > 0 && self.bytes <= 0)
    }

    /// Whether nothing was spent that has not come back.
    pub(super) fn is_full(&self, limits: &RateLimits) -> bool {
        self.messages >= limits.messages_max() && self.bytes >= limits.bytes_max()
    }

    /// The time after which something may come again.
    pub(super) fn wait(&self, limits: &RateLimits) -> Duration {
        let until = |missing: i64, rate: i64| {
            if rate == 0 || missing <= 0 {
                return 0;
            }
            missing.unsigned_abs().div_ceil(rate.unsigned_abs())
        };
        let messages = until(WHOLE - self.messages, i64::from(limits.messages));
        let bytes = until(1 - self.bytes, limits.bytes as i64);
        Duration::from_millis(messages.max(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits {
        messages: 10,
        bytes: 1_000,
        burst: Duration::from_secs(2),
        policy: RatePolicy::Throttle,
    };
    const START: Tick = Tick(1_000);

    fn later(duration: Duration) -> Tick {
        START.after(duration)
    }

    #[test]
    fn a_burst_may_come_at_once_and_then_a_steady_rate() {
        let mut meter = Meter::new(&LIMITS, START);
        for _ in 0..20 {
            assert!(!meter.is_spent(&LIMITS));
            meter.spend_message();
        }
        assert!(meter.is_spent(&LIMITS));
        assert_eq!(meter.wait(&LIMITS), Duration::from_millis(100));
        meter.refill(&LIMITS, later(Duration::from_millis(96)));
        assert!(meter.is_spent(&LIMITS));
        meter.refill(&LIMITS, later(Duration::from_millis(104)));
        assert!(!meter.is_spent(&LIMITS));
        meter.spend_message();
        assert!(meter.is_spent(&LIMITS));
        meter.refill(&LIMITS, later(Duration::from_secs(3600)));
        for _ in 0..20 {
            assert!(!meter.is_spent(&LIMITS), "no more than a burst is saved up");
            meter.spend_message();
        }
        assert!(meter.is_spent(&LIMITS));
    }

    #[test]
    fn what_came_too_large_is_waited_for() {
        let mut meter = Meter::new(&LIMITS, START);
        meter.spend_bytes(12_000);
        assert!(meter.is_spent(&LIMITS));
        let wait = meter.wait(&LIMITS);
        assert_eq!(wait, Duration::from_millis(10_001));
        meter.refill(&LIMITS, later(wait));
        assert!(!meter.is_spent(&LIMITS));
    }

    #[test]
    fn what_is_off_limits_nothing() {
        let limits = RateLimits {
            messages: 0,
            ..LIMITS
        };
        let mut meter = Meter::new(&limits, START);
        for _ in 0..1_000 {
            meter.spend_message();
        }
        assert!(!meter.is_spent(&limits) && limits.is_on());
        assert_eq!(meter.wait(&limits), Duration::ZERO);
        assert!(!RateLimits { bytes: 0, ..limits }.is_on());
    }

    #[test]
    fn a_slow_rate_has_room_for_one_message() {
        let limits = RateLimits {
            messages: 1,
            burst: Duration::from_millis(10),
            ..LIMITS
        };
        let mut meter = Meter::new(&limits, START);
        assert!(!meter.is_spent(&limits));
        meter.spend_message();
        assert_eq!(meter.wait(&limits), Duration::from_secs(1));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let limits = RateLimits {
            messages: u32::MAX,
            bytes: 1 << 40,
            burst: Duration::from_secs(60),
            policy: RatePolicy::Close,
        };
        let mut meter = Meter::new(&limits, START);
        meter.spend_bytes(usize::MAX);
        meter.refill(&limits, Tick(START.0.wrapping_add(1 << 30)));
        meter.spend_bytes(usize::MAX);
        assert!(meter.is_spent(&limits));
        assert!(meter.wait(&limits) > Duration::ZERO);
    }
}
