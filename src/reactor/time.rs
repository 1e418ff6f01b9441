//! The reactor's monotonic time, in ticks: coarse enough to fit a word, fine enough for every deadline.

use std::time::{Duration, Instant};

/// Length of a tick, milliseconds.
pub(super) const TICK_MS: u64 = 8;

/// A point in time, counted in ticks since the clock's start, wrapping after about 400 days. Two ticks compare rightly
/// while they are less than 200 days apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tick(pub u32);

impl Tick {
    /// The first tick that is at least `duration` later.
    pub fn after(self, duration: Duration) -> Self {
        let ticks = duration
            .as_millis()
            .div_ceil(u128::from(TICK_MS))
            .min(i32::MAX as u128 / 2);
        Self(self.0.wrapping_add(ticks as u32))
    }

    /// Whether this point has come at `now`.
    pub fn is_reached(self, now: Self) -> bool {
        now.0.wrapping_sub(self.0) as i32 >= 0
    }

    /// Ticks from `earlier` to here; 0 where it is not earlier.
    pub fn ticks_since(self, earlier: Self) -> u32 {
        let ticks = self.0.wrapping_sub(earlier.0);
        if ticks as i32 > 0 { ticks } else { 0 }
    }

    /// Time from `earlier` to here; zero where it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::from(self.ticks_since(earlier)) * TICK_MS)
    }

    /// The earlier of two points.
    pub fn earlier(self, other: Self) -> Self {
        if self.is_reached(other) { self } else { other }
    }
}

/// Turns the monotonic clock into ticks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Tick 0 is now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The current tick.
    pub fn now(&self) -> Tick {
        self.at(Instant::now())
    }

    /// The tick of `instant`; tick 0 where that is before the start.
    pub fn at(&self, instant: Instant) -> Tick {
        let elapsed = instant.saturating_duration_since(self.start);
        Tick((elapsed.as_millis() as u64 / TICK_MS) as u32)
    }

    /// Time from now until `tick` has come; zero where it has.
    pub fn until(&self, tick: Tick) -> Duration {
        let elapsed = self.start.elapsed();
        let now = Tick((elapsed.as_millis() as u64 / TICK_MS) as u32);
        let into_tick =
            Duration::from_nanos((elapsed.as_nanos() % (u128::from(TICK_MS) * 1_000_000)) as u64);
        tick.since(now).saturating_sub(into_tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_up_and_compare_across_the_wrap() {
        let late = Tick(u32::MAX);
        let after = late.after(Duration::from_millis(TICK_MS + 1));
        assert_eq!(after, Tick(1));
        assert!(late.is_reached(after) && !after.is_reached(late));
        assert_eq!(after.since(late), Duration::from_millis(2 * TICK_MS));
        assert_eq!(late.since(after), Duration::ZERO);
        assert_eq!(late.earlier(after), late);
        assert_eq!(after.earlier(late), late);
    }
}
