//! What those who take part in a run share: its history, and what they are to do now.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::history::{History, Moment};

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
    orders: Mutex<Orders>,
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
            orders: Mutex::new(orders),
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
        *lock(&self.orders)
    }

    /// Gives other orders.
    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) -> Orders {
        let mut orders = lock(&self.orders);
        change(&mut orders);
        self.changed.notify_all();
        *orders
    }

    /// Lets so much time pass, or less where the run is over.
    pub(crate) fn rest(&self, time: Duration) {
        let orders = lock(&self.orders);
        let goes_on = |orders: &mut Orders| orders.phase != Phase::Over;
        let waited = self.changed.wait_timeout_while(orders, time, goes_on);
        drop(waited);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.orders().phase == Phase::Over
    }
}
