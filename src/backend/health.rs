//! How the way to the back end is, for metrics and for people.

use hdrhistogram::Histogram;

use super::breaker::BreakerState;
use super::cloudevents::Kind;
use super::failure::{Cause, Failure, Refused};

/// How it is, and what has been counted since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    /// Whether anything is sent.
    pub breaker: BreakerState,
    /// How often nothing was any more; each probe that failed counts.
    pub opened: u64,
    /// What has been counted.
    pub counts: Counts,
}

/// Counts of events. Each one that was taken ends as answered, or as failed of one cause.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Events that wait or are under way, without disconnects.
    pub events: usize,
    /// Bytes of them, more or less.
    pub bytes: usize,
    /// Disconnects that wait or are under way.
    pub disconnects: usize,
    /// Bytes of them, more or less.
    pub disconnect_bytes: usize,
    /// Requests that are under way.
    pub in_flight: usize,
    /// Events that were taken.
    pub posted: u64,
    /// Events that the back end has answered as it should.
    pub answered: u64,
    /// Attempts after the first.
    pub retried: u64,
    /// Events that came to nothing, by the place of their cause in [`Cause::ALL`].
    pub failed: [u64; Cause::ALL.len()],
    /// Events that were not taken, as too many waited.
    pub refused_full: u64,
    /// Events that were not taken, as too many of their key waited.
    pub refused_key_full: u64,
    /// Events that were not taken, as the back end was away.
    pub refused_away: u64,
    /// Disconnects that were not taken, as too many waited: the back end never hears of them.
    pub disconnects_lost: u64,
}

impl Counts {
    /// Events that wait, or are to be tried again.
    pub fn waiting(&self) -> usize {
        (self.events + self.disconnects).saturating_sub(self.in_flight)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.events == 0 && self.disconnects == 0
    }

    pub(super) fn taken(&mut self, kind: Kind, bytes: usize) {
        self.posted += 1;
        let (events, sum) = self.of(kind);
        *events += 1;
        *sum += bytes;
    }

    pub(super) fn gone(&mut self, kind: Kind, bytes: usize) {
        let (events, sum) = self.of(kind);
        *events -= 1;
        *sum -= bytes;
    }

    fn of(&mut self, kind: Kind) -> (&mut usize, &mut usize) {
        match kind {
            Kind::Disconnect => (&mut self.disconnects, &mut self.disconnect_bytes),
            Kind::Connect | Kind::Message => (&mut self.events, &mut self.bytes),
        }
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        self.failed[failure.cause() as usize] += 1;
    }

    pub(super) fn refused(&mut self, kind: Kind, refused: Refused) {
        match refused {
            _ if kind == Kind::Disconnect => self.disconnects_lost += 1,
            Refused::Full => self.refused_full += 1,
            Refused::KeyFull => self.refused_key_full += 1,
            Refused::Away => self.refused_away += 1,
            Refused::Stopped => {}
        }
    }
}

/// Microseconds that requests took, from the signature to the whole answer or the failure, each attempt by itself.
pub type Latency = Histogram<u64>;

/// Longest time that is told apart, microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// An empty histogram, of two digits.
pub(super) fn latency() -> Latency {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("bounds that are in order")
}
