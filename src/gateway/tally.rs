//! How often limits were reached: each is counted, and told to the log once a while instead of once a time.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::reactor::Tick;

/// A limit that is reached again is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections of the process.
    Connections,
    /// Connections of one address.
    AddressConnections,
    /// New connections of one address in a time.
    AddressRate,
    /// Connections of one user.
    UserConnections,
    /// Rooms of one connection.
    Rooms,
    /// Characters of a name.
    NameLength,
    /// Messages or bytes of one connection in a time.
    ConnectionRate,
    /// What may wait for one connection, or for all of them.
    SendQueue,
    /// Messages of a room that were dropped for who reads too slowly.
    RoomMessages,
}

impl Limit {
    /// Every limit.
    pub(super) const ALL: [Self; 9] = [
        Self::Connections,
        Self::AddressConnections,
        Self::AddressRate,
        Self::UserConnections,
        Self::Rooms,
        Self::NameLength,
        Self::ConnectionRate,
        Self::SendQueue,
        Self::RoomMessages,
    ];

    /// What the API calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::AddressConnections => "connectionsOfAddress",
            Self::AddressRate => "connectionRateOfAddress",
            Self::UserConnections => "connectionsOfUser",
            Self::Rooms => "roomsOfConnection",
            Self::NameLength => "nameLength",
            Self::ConnectionRate => "messageRate",
            Self::SendQueue => "sendQueue",
            Self::RoomMessages => "roomMessagesDropped",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Connections => "the server had all the connections it may have",
            Self::AddressConnections => "an address had all the connections it may have",
            Self::AddressRate => "an address connected more often than it may",
            Self::UserConnections => "a user had all the connections it may have",
            Self::Rooms => "a connection was in all the rooms it may be in",
            Self::NameLength => "a name was longer than it may be",
            Self::ConnectionRate => "a connection sent faster than it may",
            Self::SendQueue => "a connection read too slowly and was dropped",
            Self::RoomMessages => {
                "messages of a room were dropped for connections that read too slowly"
            }
        }
    }
}

/// The counts of one process.
#[derive(Debug, Default)]
pub struct Tally {
    counts: [AtomicU64; Limit::ALL.len()],
    /// Of them those that the log knows of.
    told: [AtomicU64; Limit::ALL.len()],
    /// When it was told, one more so that 0 is never.
    told_at: [AtomicU32; Limit::ALL.len()],
}

impl Tally {
    /// The limit was reached `times` times, for the last time by `whom`.
    pub fn reached(&self, limit: Limit, times: u64, now: Tick, whom: &dyn fmt::Display) {
        let index = limit as usize;
        let count = self.counts[index].fetch_add(times, Ordering::Relaxed) + times;
        let told_at = self.told_at[index].load(Ordering::Relaxed);
        if told_at != 0 && now.since(Tick(told_at - 1)) < LOG_INTERVAL {
            return;
        }
        let tick = now.0.wrapping_add(1).max(1);
        let claim = self.told_at[index].compare_exchange(
            told_at,
            tick,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if claim.is_ok() {
            let since = count - self.told[index].swap(count, Ordering::Relaxed).min(count);
            log::warn!("{}: times={since} last={whom}", limit.sentence());
        }
    }

    /// How often the limit was reached since the start.
    pub(super) fn count(&self, limit: Limit) -> u64 {
        self.counts[limit as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_little_of_it_told() {
        let tally = Tally::default();
        let told = || tally.told[Limit::Rooms as usize].load(Ordering::Relaxed);
        let start = Tick(u32::MAX - 3);
        tally.reached(Limit::Rooms, 1, start, &"a");
        assert_eq!(told(), 1);
        for step in 0..100 {
            tally.reached(Limit::Rooms, 2, Tick(start.0.wrapping_add(step)), &"b");
        }
        assert_eq!((tally.count(Limit::Rooms), told()), (201, 1));
        tally.reached(Limit::Rooms, 1, start.after(LOG_INTERVAL), &"c");
        assert_eq!((tally.count(Limit::Rooms), told()), (202, 202));
        assert_eq!(tally.count(Limit::SendQueue), 0);
    }
}
