//! The thread that keeps what clients who come back may need, and finds it for them.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::memory::Memory;
use super::missed::{Found, missed, origins};
use super::shared::Shared;
use super::{Answer, Attempt, Order, Outcome, Record, Recovery, Told, Wanted, Wish};
use crate::broker;
use crate::gateway::node::Node;
use crate::gateway::session::Mail;
use crate::limits::RECOVERY_CLAIM_MS_MAX;
use crate::socketio::Moment;

/// The thread looks at the time this often.
const TICK: Duration = Duration::from_millis(TICK_MS as u64);
const TICK_MS: u32 = 500;
/// Orders that are worked off before anything else is looked at.
const ORDERS_MAX: usize = 4_096;
/// Clients for whom is read at once what was published.
const SEARCHES_MAX: usize = 256;
/// Who is back before it is known that it was lost is looked for this often.
const RETRY: Duration = Duration::from_millis(20);

/// A client that is back.
struct Waiting {
    pid: Box<str>,
    attempt: Attempt,
    until: Moment,
}

/// Where it is kept.
enum Store {
    Memory(Memory),
    Shared(Shared),
}

/// Takes what workers of `node` send until the node is gone; where nodes keep it together, it is `keeper` that keeps it.
pub fn serve_recovery(
    node: &Weak<Node>,
    orders: &Receiver<Order>,
    keeper: Option<Box<dyn broker::Keeper>>,
) {
    let Some(mut keeper) = node.upgrade().and_then(|node| Keeper::new(&node, keeper)) else {
        return;
    };
    let mut looked_at = None::<Moment>;
    loop {
        let wait = match looked_at {
            // The clock first: who comes before it is known is not recovered.
            None => Duration::ZERO,
            Some(_) if keeper.waiting.is_empty() => TICK,
            Some(_) => RETRY,
        };
        let order = match orders.recv_timeout(wait) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(node) = node.upgrade() else {
            return;
        };
        let Some(recovery) = node.recovery() else {
            return;
        };
        let more = std::iter::from_fn(|| orders.try_recv().ok());
        for Order(wish) in order.into_iter().chain(more).take(ORDERS_MAX) {
            keeper.grant(&node, recovery, wish);
        }
        keeper.flush(node.moment());
        keeper.claim(&node, recovery);
        keeper.find(&node, recovery);
        let now = node.moment();
        if looked_at.is_none_or(|at| at.after(TICK_MS).is_reached(now)) {
            looked_at = Some(now);
            keeper.pass_time(&node, now);
        }
        keeper.tell_figures(recovery);
    }
}

struct Keeper {
    store: Store,
    waiting: Vec<Waiting>,
    /// Those who are to be told what they have missed.
    searches: Vec<(Box<Wanted>, Attempt)>,
}

impl Keeper {
    fn new(node: &Node, keeper: Option<Box<dyn broker::Keeper>>) -> Option<Self> {
        let config = node.recovery()?.config;
        let store = match keeper {
            Some(keeper) => Store::Shared(Shared::new(keeper, node.number(), &config)),
            None => Store::Memory(Memory::new(&config)),
        };
        Some(Self {
            store,
            waiting: Vec::new(),
            searches: Vec::new(),
        })
    }

    fn grant(&mut self, node: &Node, recovery: &Recovery, wish: Wish) {
        let now = node.moment();
        match wish {
            Wish::Keep(kept) => {
                let bytes = kept.envelope.len() as u64;
                recovery.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                if let Store::Memory(memory) = &mut self.store {
                    memory.keep(kept);
                }
            }
            Wish::Save(pid, record) => match &mut self.store {
                Store::Memory(memory) => memory.save(pid, record),
                Store::Shared(shared) => shared.save(pid, record),
            },
            Wish::Lose(pid, record) => match &mut self.store {
                Store::Memory(memory) => memory.lose(pid, record, now),
                Store::Shared(shared) => shared.lose(pid, record, now),
            },
            Wish::Forget(pid) => match &mut self.store {
                Store::Memory(memory) => memory.forget(&pid),
                Store::Shared(shared) => shared.forget(pid),
            },
            Wish::Claim(pid, attempt) => self.waiting.push(Waiting {
                pid,
                attempt,
                until: now.after(RECOVERY_CLAIM_MS_MAX),
            }),
            Wish::Find(wanted, attempt) => self.searches.push((wanted, attempt)),
            Wish::Settle(settled) => {
                self.flush(now);
                let _ = settled.send(());
            }
        }
    }

    fn flush(&mut self, now: Moment) {
        if let Store::Shared(shared) = &mut self.store {
            shared.flush(now);
        }
    }

    fn pass_time(&mut self, node: &Node, now: Moment) {
        match &mut self.store {
            Store::Memory(memory) => memory.pass_time(now),
            Store::Shared(shared) => shared.pass_time(now, || node.moment()),
        }
    }

    fn tell_figures(&self, recovery: &Recovery) {
        match &self.store {
            Store::Memory(memory) => {
                let (entries, bytes) = memory.size();
                recovery.entries.store(entries as u64, Ordering::Relaxed);
                recovery.entry_bytes.store(bytes as u64, Ordering::Relaxed);
            }
            Store::Shared(shared) => {
                let clock = shared.clock().unwrap_or(0);
                recovery.clock.store(clock, Ordering::Release);
                recovery.failures.store(shared.failures, Ordering::Relaxed);
                recovery.is_up.store(shared.is_up, Ordering::Relaxed);
            }
        }
    }

    /// Looks for those who are back; for who was there still the next time as well.
    fn claim(&mut self, node: &Node, recovery: &Recovery) {
        let waiting = std::mem::take(&mut self.waiting);
        let now = node.moment();
        let pids: Vec<_> = waiting.iter().map(|one| &*one.pid).collect();
        let claimed = self.store.claim(&pids, node, now);
        for (one, claimed) in waiting.into_iter().zip(claimed) {
            let is_over = one.until.is_reached(now);
            match claimed.or_else(|| is_over.then_some(Err(Outcome::Unknown))) {
                Some(claimed) => {
                    recovery.attempts.fetch_sub(1, Ordering::Relaxed);
                    tell_claimed(node, one.pid, one.attempt, claimed);
                }
                None => self.waiting.push(one),
            }
        }
    }

    /// Finds what those who are members again have missed.
    fn find(&mut self, node: &Node, recovery: &Recovery) {
        let now = node.moment();
        let hole = recovery.hole.load(Ordering::Acquire);
        let searches = std::mem::take(&mut self.searches);
        for searches in searches.chunks(SEARCHES_MAX) {
            let wanted: Vec<_> = searches.iter().map(|(wanted, _)| &**wanted).collect();
            let found = self.store.find(&wanted, node, now);
            for ((wanted, attempt), found) in searches.iter().zip(found) {
                let found = found.filter(|_| hole < wanted.record.since);
                let answer = found.and_then(|found| {
                    let missed = missed(&found, wanted)?;
                    Some(Answer::Missed(missed, origins(&found)))
                });
                tell(node, *attempt, answer.unwrap_or(Answer::Gap));
            }
        }
    }
}

impl Store {
    fn claim(
        &mut self,
        pids: &[&str],
        node: &Node,
        now: Moment,
    ) -> Vec<Option<Result<Record, Outcome>>> {
        match (self, node.cluster()) {
            (Self::Shared(shared), Some(cluster)) => shared.claim(pids, cluster, now),
            (Self::Shared(_), None) => Vec::new(),
            (Self::Memory(memory), _) => pids.iter().map(|pid| memory.claim(pid, now)).collect(),
        }
    }

    fn find(&mut self, wanted: &[&Wanted], node: &Node, now: Moment) -> Vec<Option<Vec<Found>>> {
        match (self, node.cluster()) {
            (Self::Shared(shared), Some(cluster)) => shared.find(wanted, cluster, now),
            (Self::Shared(_), None) => Vec::new(),
            (Self::Memory(memory), _) => wanted.iter().map(|one| memory.find(one, now)).collect(),
        }
    }
}

fn tell_claimed(node: &Node, pid: Box<str>, attempt: Attempt, claimed: Result<Record, Outcome>) {
    let claimed = claimed.map(|record| Answer::Claimed(pid, Box::new(record)));
    tell(node, attempt, claimed.unwrap_or_else(Answer::NotClaimed));
}

fn tell(node: &Node, attempt: Attempt, what: Answer) {
    let told = Box::new(Told { attempt, what });
    node.deliver(attempt.worker, Mail::Recovery(told));
}
