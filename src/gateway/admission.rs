//! Who is let in: connections of the process and of each address, counted in one place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::REFUSALS_MAX;

/// What became of a connection that asked to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Served.
    Admitted,
    /// Answered 503: the process has all the connections it may have.
    ProcessFull,
    /// Answered 429: its address has.
    AddressFull,
    /// Dropped: too many wait for a refusal already.
    Dropped,
}

/// The counts. Asked when a connection comes and when it goes, never for a message.
#[derive(Debug)]
pub struct Admission {
    connections_max: AtomicUsize,
    per_address_max: AtomicUsize,
    admitted: AtomicUsize,
    refusals: AtomicUsize,
    workers: Vec<AtomicUsize>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    is_starved: AtomicBool,
}

impl Admission {
    /// Nobody is in yet.
    pub fn new(workers: usize, connections_max: usize, per_address_max: usize) -> Self {
        Self {
            connections_max: AtomicUsize::new(connections_max),
            per_address_max: AtomicUsize::new(per_address_max),
            admitted: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            workers: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            addresses: Mutex::new(HashMap::new()),
            is_starved: AtomicBool::new(false),
        }
    }

    /// Other limits from now on; who is in stays in.
    pub fn set_limits(&self, connections_max: usize, per_address_max: usize) {
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
        self.per_address_max
            .store(per_address_max, Ordering::Relaxed);
    }

    /// A connection asks to be let in, counted under `address` where one is given. Every verdict but `Dropped` is to be
    /// taken back by `leave`.
    pub fn enter(&self, address: Option<IpAddr>) -> Verdict {
        if self.admitted.load(Ordering::Relaxed) >= self.connections_max.load(Ordering::Relaxed) {
            return self.refuse(Verdict::ProcessFull);
        }
        if address.is_some_and(|address| !self.enter_address(address)) {
            return self.refuse(Verdict::AddressFull);
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
            Verdict::ProcessFull | Verdict::AddressFull => {
                self.refusals.fetch_sub(1, Ordering::Relaxed)
            }
            Verdict::Dropped => 0,
        };
    }

    /// Whether connections of one address are limited at all.
    pub fn counts_addresses(&self) -> bool {
        self.per_address_max.load(Ordering::Relaxed) > 0
    }

    /// Counts one more connection of `address`; false, and nothing counted, where it has all it may have. To be taken back
    /// by `leave_address`, also where the limit has been turned off since.
    pub fn enter_address(&self, address: IpAddr) -> bool {
        let max = self.per_address_max.load(Ordering::Relaxed);
        let mut addresses = self.addresses();
        let count = addresses.entry(address).or_insert(0);
        if max > 0 && *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// A connection of `address` has gone.
    pub fn leave_address(&self, address: IpAddr) {
        let mut addresses = self.addresses();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
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

    /// Connections of one address that may be; 0 for any number.
    pub fn per_address_max(&self) -> usize {
        self.per_address_max.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_and_each_address_have_their_limit() {
        let admission = Admission::new(2, 3, 2);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().expect("address"));
        assert_eq!(admission.enter(Some(a)), Verdict::Admitted);
        assert_eq!(admission.enter(Some(a)), Verdict::Admitted);
        assert_eq!(admission.enter(Some(a)), Verdict::AddressFull);
        assert_eq!(admission.enter(Some(b)), Verdict::Admitted);
        assert_eq!(admission.enter(Some(b)), Verdict::ProcessFull);
        assert_eq!(admission.admitted(), 3);
        admission.leave(Verdict::Admitted);
        admission.leave_address(a);
        assert_eq!(admission.enter(Some(a)), Verdict::Admitted);
    }

    #[test]
    fn refusals_wait_in_bounded_number() {
        let admission = Admission::new(1, 0, 0);
        for _ in 0..REFUSALS_MAX {
            assert_eq!(admission.enter(None), Verdict::ProcessFull);
        }
        assert_eq!(admission.enter(None), Verdict::Dropped);
        admission.leave(Verdict::Dropped);
        admission.leave(Verdict::ProcessFull);
        assert_eq!(admission.enter(None), Verdict::ProcessFull);
    }

    #[test]
    fn connections_go_to_the_worker_with_the_fewest() {
        let admission = Admission::new(3, 10, 0);
        assert_eq!([(); 6].map(|()| admission.assign()), [0, 1, 2, 0, 1, 2]);
        admission.unassign(1);
        assert_eq!(admission.assign(), 1);
    }

    #[test]
    fn a_table_of_addresses_forgets_who_left() {
        let admission = Admission::new(1, 10, 1);
        let address = IpAddr::from([10, 0, 0, 9]);
        assert!(admission.enter_address(address) && !admission.enter_address(address));
        admission.leave_address(address);
        assert!(admission.addresses().is_empty());
    }
}
