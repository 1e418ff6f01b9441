//! Who is let in: connections of the process and of each address, counted in one place.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::address::{AddressLimits, AddressRefusal, Addresses};
use super::tally::Limit;
use crate::limits::REFUSALS_MAX;
use crate::reactor::Tick;

/// What became of a connection that asked to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Served.
    Admitted,
    /// Answered 503: the process has all the connections it may have.
    ProcessFull,
    /// Answered 429: its address has.
    AddressFull,
    /// Answered 429: its address has come too often in a short time.
    AddressTooOften,
    /// Dropped: too many wait for a refusal already.
    Dropped,
}

impl Verdict {
    /// The limit that was reached, where one was.
    pub fn limit(self) -> Option<Limit> {
        match self {
            Self::Admitted => None,
            Self::ProcessFull | Self::Dropped => Some(Limit::Connections),
            Self::AddressFull => Some(Limit::AddressConnections),
            Self::AddressTooOften => Some(Limit::AddressRate),
        }
    }
}

impl From<AddressRefusal> for Verdict {
    fn from(refusal: AddressRefusal) -> Self {
        match refusal {
            AddressRefusal::Full => Self::AddressFull,
            AddressRefusal::TooOften => Self::AddressTooOften,
        }
    }
}

/// The counts. Asked when a connection comes and when it goes, never for a message.
#[derive(Debug)]
pub struct Admission {
    connections_max: AtomicUsize,
    counts_addresses: AtomicBool,
    admitted: AtomicUsize,
    refusals: AtomicUsize,
    workers: Vec<AtomicUsize>,
    addresses: Mutex<Addresses>,
    /// Addresses by their sessions, which are no connections.
    sessions: Mutex<Addresses>,
    is_starved: AtomicBool,
}

impl Admission {
    /// Nobody is in yet.
    pub fn new(workers: usize, connections_max: usize, per_address: AddressLimits) -> Self {
        Self {
            connections_max: AtomicUsize::new(connections_max),
            counts_addresses: AtomicBool::new(per_address.is_on()),
            admitted: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            workers: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            addresses: Mutex::new(Addresses::new(per_address)),
            sessions: Mutex::new(Addresses::new(of_sessions(per_address))),
            is_starved: AtomicBool::new(false),
        }
    }

    /// Other limits from now on; who is in stays in.
    pub fn set_limits(&self, connections_max: usize, per_address: AddressLimits) {
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
        self.addresses().limits = per_address;
        self.sessions().limits = of_sessions(per_address);
        self.counts_addresses
            .store(per_address.is_on(), Ordering::Relaxed);
    }

    /// A connection asks to be let in, counted under `address` where one is given. Every verdict but `Dropped` is to be
    /// taken back by `leave`.
    pub fn enter(&self, address: Option<IpAddr>, now: Tick) -> Verdict {
        if self.admitted.load(Ordering::Relaxed) >= self.connections_max.load(Ordering::Relaxed) {
            return self.refuse(Verdict::ProcessFull);
        }
        if let Some(address) = address
            && let Err(refusal) = self.enter_address(address, now)
        {
            return self.refuse(refusal.into());
        }
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Verdict::Admitted
    }

    fn refuse(&self, verdict: Verdict) -> Verdict {
        if self.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS_MAX {
            self.refusals.fetch_sub(1, Ordering::Relaxed);
            return Verdict::Dropped;
        }
        verdict
    }

    /// A connection of `verdict` has gone.
    pub fn leave(&self, verdict: Verdict) {
        match verdict {
            Verdict::Admitted => self.admitted.fetch_sub(1, Ordering::Relaxed),
            Verdict::ProcessFull | Verdict::AddressFull | Verdict::AddressTooOften => {
                self.refusals.fetch_sub(1, Ordering::Relaxed)
            }
            Verdict::Dropped => 0,
        };
    }

    /// Whether connections of one address are limited at all.
    pub fn counts_addresses(&self) -> bool {
        self.counts_addresses.load(Ordering::Relaxed)
    }

    /// Counts one more connection of `address`. To be taken back by `leave_address`, also where the limit has been turned
    /// off since.
    ///
    /// # Errors
    /// Why it may not have one more; nothing is counted then.
    pub fn enter_address(&self, address: IpAddr, now: Tick) -> Result<(), AddressRefusal> {
        self.addresses().enter(address, now)
    }

    /// A connection of `address` has gone.
    pub fn leave_address(&self, address: IpAddr) {
        self.addresses().leave(address);
    }

    /// Counts one more session of `address`, where those are limited; gives whether it is counted, and has to be taken back by
    /// `leave_session`.
    ///
    /// # Errors
    /// As `enter_address`: an address may have as many sessions as connections.
    pub fn enter_session(&self, address: IpAddr, now: Tick) -> Result<bool, AddressRefusal> {
        if !self.counts_addresses() {
            return Ok(false);
        }
        self.sessions().enter(address, now).map(|()| true)
    }

    /// A session of `address` has gone.
    pub fn leave_session(&self, address: IpAddr) {
        self.sessions().leave(address);
    }

    fn sessions(&self) -> MutexGuard<'_, Addresses> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        // A panic under this lock ends the process; nobody sees what it left.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that were let in and have not gone.
    pub fn admitted(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Connections that may be let in.
    pub fn connections_max(&self) -> usize {
        self.connections_max.load(Ordering::Relaxed)
    }

    /// What one address may have.
    pub fn per_address(&self) -> AddressLimits {
        self.addresses().limits
    }

    /// Connections of `worker`.
    pub fn assigned(&self, worker: usize) -> usize {
        self.workers[worker].load(Ordering::Relaxed)
    }

    /// The worker with the fewest connections, counted one more.
    pub fn assign(&self) -> usize {
        let least = self
            .workers
            .iter()
            .enumerate()
            .min_by_key(|(_, count)| count.load(Ordering::Relaxed))
            .map_or(0, |(worker, _)| worker);
        self.assign_to(least);
        least
    }

    /// A connection has come to `worker`.
    pub fn assign_to(&self, worker: usize) {
        self.workers[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of `worker` has gone.
    pub fn unassign(&self, worker: usize) {
        self.workers[worker].fetch_sub(1, Ordering::Relaxed);
    }

    /// The acceptor found no descriptor left: the next connection to go should wake it.
    pub fn starve(&self) {
        self.is_starved.store(true, Ordering::Release);
    }

    /// Whether the acceptor waits for a descriptor; asked by who has just closed one, and answered yes once.
    pub fn feed(&self) -> bool {
        self.is_starved.load(Ordering::Relaxed) && self.is_starved.swap(false, Ordering::AcqRel)
    }
}

/// Sessions come over connections, whose rate is limited already.
fn of_sessions(limits: AddressLimits) -> AddressLimits {
    AddressLimits {
        rate_max: 0,
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(5);

    #[test]
    fn the_process_and_each_address_have_their_limit() {
        let limits = AddressLimits {
            connections_max: 2,
            ..AddressLimits::default()
        };
        let admission = Admission::new(2, 3, limits);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().expect("address"));
        assert_eq!(admission.enter(Some(a), NOW), Verdict::Admitted);
        assert_eq!(admission.enter(Some(a), NOW), Verdict::Admitted);
        assert_eq!(admission.enter(Some(a), NOW), Verdict::AddressFull);
        assert_eq!(admission.enter(Some(b), NOW), Verdict::Admitted);
        assert_eq!(admission.enter(Some(b), NOW), Verdict::ProcessFull);
        assert_eq!(admission.admitted(), 3);
        admission.leave(Verdict::Admitted);
        admission.leave_address(a);
        assert_eq!(admission.enter(Some(a), NOW), Verdict::Admitted);
    }

    #[test]
    fn refusals_wait_in_bounded_number() {
        let admission = Admission::new(1, 0, AddressLimits::default());
        for _ in 0..REFUSALS_MAX {
            assert_eq!(admission.enter(None, NOW), Verdict::ProcessFull);
        }
        assert_eq!(admission.enter(None, NOW), Verdict::Dropped);
        admission.leave(Verdict::Dropped);
        admission.leave(Verdict::ProcessFull);
        assert_eq!(admission.enter(None, NOW), Verdict::ProcessFull);
    }

    #[test]
    fn connections_go_to_the_worker_with_the_fewest() {
        let admission = Admission::new(3, 10, AddressLimits::default());
        assert_eq!([(); 6].map(|()| admission.assign()), [0, 1, 2, 0, 1, 2]);
        admission.unassign(1);
        assert_eq!(admission.assign(), 1);
    }
}
