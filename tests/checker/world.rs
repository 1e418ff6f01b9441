//! What those who take part in a run share: its history, and what they are to do now.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::history::{History, Moment};
use super::{CALLERS, PEOPLE};

/// Those who take part.
const PARTIES: usize = PEOPLE + CALLERS;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages, comings and goings.
    Traffic,
    /// Only what is asked for.
    Quiet,
    /// Go home.
    Over,
}

/// What is to be done, and how often it was asked for so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orders {
    pub(crate) phase: Phase,
    /// A message to a user, to a room and to everyone.
    pub(crate) probe: u64,
    /// A look at who is in the own rooms.
    pub(crate) look: u64,
}

/// The orders, and which phase each of those who take part has taken up.
struct Office {
    orders: Orders,
    heeded: [Phase; PARTIES],
}

/// What one was told of who is in a room.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) look: u64,
    pub(crate) connection: usize,
    pub(crate) room: String,
    pub(crate) users: Vec<String>,
}

pub(crate) struct World {
    began: Instant,
    /// Of the nodes.
    pub(crate) addresses: Vec<SocketAddr>,
    history: Mutex<History>,
    seen: Mutex<Vec<Seen>>,
    office: Mutex<Office>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        let orders = Orders {
            phase: Phase::Quiet,
            probe: 0,
            look: 0,
        };
        Self {
            began: Instant::now(),
            addresses,
            history: Mutex::default(),
            seen: Mutex::default(),
            office: Mutex::new(Office {
                orders,
                heeded: [Phase::Quiet; PARTIES],
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.began.elapsed()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        lock(&self.seen)
    }

    pub(crate) fn orders(&self) -> Orders {
        lock(&self.office).orders
    }

    /// The orders, which one of those who take part does nothing against from now on until it asks again.
    pub(crate) fn heed(&self, party: usize) -> Orders {
        let mut office = lock(&self.office);
        office.heeded[party] = office.orders.phase;
        office.orders
    }

    /// Whether all have taken up the phase that was ordered last.
    pub(crate) fn is_heeded(&self) -> bool {
        let office = lock(&self.office);
        let phase = office.orders.phase;
        office.heeded.iter().all(|heeded| *heeded == phase)
    }

    /// Gives other orders.
    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) -> Orders {
        let mut office = lock(&self.office);
        change(&mut office.orders);
        self.changed.notify_all();
        office.orders
    }

    /// Lets so much time pass, or less where the run is over.
    pub(crate) fn rest(&self, time: Duration) {
        let office = lock(&self.office);
        let goes_on = |office: &mut Office| office.orders.phase != Phase::Over;
        let waited = self.changed.wait_timeout_while(office, time, goes_on);
        drop(waited);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.orders().phase == Phase::Over
    }
}
