//! What one client address may have: connections at a time, and new ones in a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::rate::{Meter, RateLimits};
use crate::reactor::Tick;

/// Addresses that have gone quiet are forgotten once in this time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What one address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressLimits {
    /// Connections at a time; 0 for any number.
    pub connections_max: usize,
    /// New connections a second; 0 for any number.
    pub rate_max: u32,
    /// The time whose new connections may come at once.
    pub burst: Duration,
}

impl AddressLimits {
    /// Whether anything is limited.
    pub fn is_on(&self) -> bool {
        self.connections_max > 0 || self.rate_max > 0
    }

    fn rate(&self) -> RateLimits {
        RateLimits {
            messages: self.rate_max,
            burst: self.burst,
            ..RateLimits::default()
        }
    }
}

/// Why an address may have no further connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressRefusal {
    /// It has all that it may have.
    Full,
    /// It has come too often in a short time.
    TooOften,
}

#[derive(Debug, Default)]
struct Address {
    connections: usize,
    /// New connections that it may open; where these are limited.
    meter: Option<Meter>,
}

/// All addresses that are known.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) limits: AddressLimits,
    known: HashMap<IpAddr, Address>,
    swept_at: Tick,
}

impl Addresses {
    pub(super) fn new(limits: AddressLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// One more connection of that address.
    ///
    /// # Errors
    /// Why it may not have one; nothing is counted then but the attempt.
    pub(super) fn enter(&mut self, address: IpAddr, now: Tick) -> Result<(), AddressRefusal> {
        self.sweep(now);
        let rate = self.limits.rate();
        let known = self.known.entry(address).or_default();
        if rate.is_on() {
            let meter = known.meter.get_or_insert_with(|| Meter::new(&rate, now));
            meter.refill(&rate, now);
            if meter.is_spent(&rate) {
                return Err(AddressRefusal::TooOften);
            }
            meter.spend_message();
        }
        let max = self.limits.connections_max;
        if max > 0 && known.connections >= max {
            return Err(AddressRefusal::Full);
        }
        known.connections += 1;
        Ok(())
    }

    /// One connection of that address has gone.
    pub(super) fn leave(&mut self, address: IpAddr) {
        if let Some(known) = self.known.get_mut(&address) {
            known.connections -= 1;
            if known.connections == 0 && known.meter.is_none() {
                self.known.remove(&address);
            }
        }
    }

    /// Forgets who has nothing here and may come as often as anyone.
    fn sweep(&mut self, now: Tick) {
        if now.since(self.swept_at) < SWEEP_INTERVAL {
            return;
        }
        self.swept_at = now;
        let rate = self.limits.rate();
        self.known.retain(|_, known| {
            if let Some(meter) = &mut known.meter {
                meter.refill(&rate, now);
                if meter.is_full(&rate) {
                    known.meter = None;
                }
            }
            known.connections > 0 || known.meter.is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let mut addresses = Addresses::new(AddressLimits {
            connections_max: 1,
            ..AddressLimits::default()
        });
        let (one, now) = (ip("10.0.0.9"), Tick(0));
        assert_eq!(addresses.enter(one, now), Ok(()));
        assert_eq!(addresses.enter(one, now), Err(AddressRefusal::Full));
        assert_eq!(addresses.enter(ip("::1"), now), Ok(()), "another");
        addresses.leave(one);
        addresses.leave(ip("::1"));
        assert!(addresses.known.is_empty());
    }

    #[test]
    fn new_connections_come_at_a_rate_whether_the_old_ones_stay_or_not() {
        let limits = AddressLimits {
            connections_max: 0,
            rate_max: 2,
            burst: Duration::from_secs(2),
        };
        let mut addresses = Addresses::new(limits);
        let (one, start) = (ip("10.0.0.9"), Tick(77));
        for _ in 0..4 {
            assert_eq!(addresses.enter(one, start), Ok(()));
            addresses.leave(one);
        }
        assert_eq!(addresses.enter(one, start), Err(AddressRefusal::TooOften));
        assert_eq!(addresses.enter(ip("10.0.0.8"), start), Ok(()), "another");
        let later = start.after(Duration::from_millis(500));
        assert_eq!(addresses.enter(one, later), Ok(()));
        assert_eq!(addresses.enter(one, later), Err(AddressRefusal::TooOften));
        addresses.leave(one);
        let much_later = start.after(Duration::from_secs(60));
        assert_eq!(addresses.enter(ip("10.0.0.7"), much_later), Ok(()));
        assert!(!addresses.known.contains_key(&one), "swept");
        assert!(
            addresses.known.contains_key(&ip("10.0.0.8")),
            "it is still here"
        );
    }
}
