//! The circuit breaker: a back end that is away is asked once in a while, and not by everybody.

use std::time::{Duration, Instant};

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerLimits {
    /// It opens where so many requests have failed within `window`, and at least half of all.
    pub failures: u32,
    /// The time in which they are counted; then counting begins anew.
    pub window: Duration,
    /// How long nothing is sent once it has opened; twice as long after each probe that fails.
    pub pause: Duration,
    /// How long that gets at most.
    pub pause_max: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures: 20,
            window: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
        }
    }
}

/// How a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerState {
    /// Everything is sent.
    #[default]
    Closed,
    /// Nothing is sent.
    Open,
    /// One request is sent, to see what comes of it.
    HalfOpen,
}

impl BreakerState {
    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Send,
    /// It may, and what comes of it decides.
    Probe,
    Refuse,
}

#[derive(Debug)]
enum Stage {
    Closed {
        since: Instant,
        failed: u32,
        total: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    HalfOpen {
        pause: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Breaker {
    limits: BreakerLimits,
    stage: Stage,
    /// How often it has opened, or opened again.
    opened: u64,
}

impl Breaker {
    pub(super) fn new(limits: BreakerLimits, now: Instant) -> Self {
        Self {
            limits,
            stage: closed(now),
            opened: 0,
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.stage {
            Stage::Closed { .. } => BreakerState::Closed,
            Stage::Open { .. } => BreakerState::Open,
            Stage::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed { .. })
    }

    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Since when a probe may be sent, or from when on; `None` where none is called for.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Open { until, .. } => Some(until),
            Stage::Closed { .. } | Stage::HalfOpen { .. } => None,
        }
    }

    /// Whether a request that came now would be refused.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        match self.stage {
            Stage::Closed { .. } => false,
            Stage::Open { until, .. } => now < until,
            Stage::HalfOpen { .. } => true,
        }
    }

    /// Asks for leave to send a request, whose end is to be recorded.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match self.stage {
            Stage::Closed { .. } => Admission::Send,
            Stage::Open { until, pause } if now >= until => {
                self.stage = Stage::HalfOpen { pause };
                Admission::Probe
            }
            Stage::Open { .. } | Stage::HalfOpen { .. } => Admission::Refuse,
        }
    }

    /// A request has ended. What was sent before the breaker opened decides nothing.
    pub(super) fn record(&mut self, now: Instant, is_probe: bool, is_outage: bool) {
        let limits = self.limits;
        match &mut self.stage {
            Stage::Closed {
                since,
                failed,
                total,
            } => {
                if now.saturating_duration_since(*since) >= limits.window {
                    (*since, *failed, *total) = (now, 0, 0);
                }
                *total = total.saturating_add(1);
                *failed += u32::from(is_outage);
                if is_outage && *failed >= limits.failures && *failed >= *total - *failed {
                    self.open(now, limits.pause);
                }
            }
            Stage::HalfOpen { pause } if is_probe => {
                let next = (*pause * 2).min(limits.pause_max);
                if is_outage {
                    self.open(now, next);
                } else {
                    self.stage = closed(now);
                    log::info!("the back end is back");
                }
            }
            Stage::Open { .. } | Stage::HalfOpen { .. } => {}
        }
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        if matches!(self.stage, Stage::Closed { .. }) {
            log::warn!(
                "the back end is away: it is tried again in {pause:?}, and then later and later"
            );
        }
        self.opened += 1;
        self.stage = Stage::Open {
            until: now + pause,
            pause,
        };
    }
}

fn closed(now: Instant) -> Stage {
    Stage::Closed {
        since: now,
        failed: 0,
        total: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        failures: 3,
        window: Duration::from_secs(10),
        pause: Duration::from_secs(1),
        pause_max: Duration::from_secs(3),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One that has failed as often as it may, a moment after `now`.
    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(LIMITS, now);
        for _ in 0..3 {
            assert_eq!(breaker.admit(now), Admission::Send);
            breaker.record(now, false, true);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn it_opens_by_failures_in_a_window_that_are_half_of_all() {
        let now = Instant::now();
        let mut breaker = Breaker::new(LIMITS, now);
        for outage in [true, true, false, false, false, false] {
            breaker.record(now, false, outage);
        }
        breaker.record(now, false, true);
        assert_eq!(breaker.state(), BreakerState::Closed, "3 of 7");
        breaker.record(now + seconds(10), false, true);
        breaker.record(now + seconds(10), false, true);
        assert_eq!(breaker.state(), BreakerState::Closed, "2 in a new window");
        breaker.record(now + seconds(10), false, true);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn one_probe_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.probe_at(), Some(now + seconds(1)));
        let early = now + Duration::from_millis(999);
        assert!(breaker.refuses(early));
        assert_eq!(breaker.admit(early), Admission::Refuse);
        let then = now + seconds(1);
        assert!(!breaker.refuses(then));
        assert_eq!(breaker.admit(then), Admission::Probe);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.refuses(then));
        assert_eq!(breaker.admit(then), Admission::Refuse);
        // Those that were under way when it opened.
        breaker.record(then, false, false);
        breaker.record(then, false, true);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.record(then, true, false);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.admit(then), Admission::Send);
    }

    #[test]
    fn it_waits_longer_after_each_probe_that_fails() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for (pause, opened) in [(1, 1), (2, 2), (3, 3), (3, 4)] {
            assert_eq!(breaker.opened(), opened);
            assert_eq!(breaker.probe_at(), Some(now + seconds(pause)));
            now += seconds(pause);
            assert_eq!(breaker.admit(now), Admission::Probe);
            breaker.record(now, true, true);
        }
        now += seconds(3);
        breaker.admit(now);
        breaker.record(now, true, false);
        for _ in 0..3 {
            breaker.record(now, false, true);
        }
        assert_eq!(breaker.probe_at(), Some(now + seconds(1)), "as at first");
    }
}
