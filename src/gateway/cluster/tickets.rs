//! Publications that want to know how many connections got them at other nodes: every node that listened answers, or is waited
//! for in vain.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::broker::Fate;
use crate::limits::CLUSTER_ANSWER_TIMEOUT;

/// Who wants to know, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Asker {
    /// The worker.
    pub(in crate::gateway) worker: usize,
    /// What it calls the question.
    pub(in crate::gateway) number: u32,
    /// Which of the publications of that question it is.
    pub(in crate::gateway) index: usize,
}

/// What came of a publication at other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) asker: Asker,
    /// Connections that got it.
    pub(super) delivered: u32,
    /// Nodes that got it and did not say to how many connections.
    pub(super) unanswered: u32,
    /// Whether it may not have left this node.
    pub(super) is_unsent: bool,
}

#[derive(Debug)]
struct Ticket {
    asker: Asker,
    since: Instant,
    /// Nodes that got it, this one among them where it listens: it answers itself.
    nodes: Option<u32>,
    answers: u32,
    delivered: u32,
}

impl Ticket {
    fn is_complete(&self) -> bool {
        self.nodes.is_some_and(|nodes| self.answers >= nodes)
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            asker: self.asker,
            delivered: self.delivered,
            unanswered: self
                .nodes
                .map_or(0, |nodes| nodes.saturating_sub(self.answers)),
            is_unsent: self.nodes.is_none(),
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    tickets: HashMap<u64, Ticket>,
    last: u64,
}

/// The tickets of a node. Locked for a moment at a time, never while anybody waits.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<Open>);

impl Tickets {
    /// A ticket, never 0.
    pub(super) fn open(&self, asker: Asker) -> u64 {
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        let ticket = Ticket {
            asker,
            since: Instant::now(),
            nodes: None,
            answers: 0,
            delivered: 0,
        };
        open.tickets.insert(number, ticket);
        number
    }

    /// The publication was not taken: nobody will tell of it.
    pub(super) fn cancel(&self, number: u64) {
        self.lock().tickets.remove(&number);
    }

    /// How many nodes got it.
    pub(super) fn settle(&self, number: u64, fate: Fate) -> Option<Outcome> {
        self.change(number, |ticket| match fate {
            Fate::Heard(nodes) => {
                ticket.nodes = Some(nodes);
                ticket.is_complete()
            }
            Fate::Unsent => true,
        })
    }

    /// A node tells how many of its connections got it.
    pub(super) fn answer(&self, number: u64, delivered: u32) -> Option<Outcome> {
        self.change(number, |ticket| {
            ticket.answers += 1;
            ticket.delivered = ticket.delivered.saturating_add(delivered);
            ticket.is_complete()
        })
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Ticket) -> bool) -> Option<Outcome> {
        let mut open = self.lock();
        let ticket = open.tickets.get_mut(&number)?;
        if !change(ticket) {
            return None;
        }
        open.tickets.remove(&number).map(|ticket| ticket.outcome())
    }

    /// Those that have waited long enough at `now`.
    pub(super) fn expire(&self, now: Instant) -> Vec<Outcome> {
        let mut open = self.lock();
        let over = open.tickets.extract_if(|_, ticket| {
            now.saturating_duration_since(ticket.since) >= CLUSTER_ANSWER_TIMEOUT
        });
        over.map(|(_, ticket)| ticket.outcome()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Asker = Asker {
        worker: 1,
        number: 2,
        index: 3,
    };
    const WHOLE: Outcome = Outcome {
        asker: ASKER,
        delivered: 5,
        unanswered: 0,
        is_unsent: false,
    };

    #[test]
    fn all_nodes_that_listened_are_waited_for_in_any_order() {
        let tickets = Tickets::default();
        let first = tickets.open(ASKER);
        assert_eq!(tickets.settle(first, Fate::Heard(2)), None);
        assert_eq!(tickets.answer(first, 5), None);
        assert_eq!(tickets.answer(first, 0), Some(WHOLE));
        assert_eq!(tickets.answer(first, 9), None, "it is over");
        let second = tickets.open(ASKER);
        assert_eq!(tickets.answer(second, 2), None);
        assert_eq!(tickets.answer(second, 3), None);
        assert_eq!(tickets.settle(second, Fate::Heard(2)), Some(WHOLE));
        let nobody = tickets.open(ASKER);
        let nothing = Outcome {
            delivered: 0,
            ..WHOLE
        };
        assert_eq!(tickets.settle(nobody, Fate::Heard(0)), Some(nothing));
        let unsent = tickets.open(ASKER);
        let lost = Outcome {
            is_unsent: true,
            ..nothing
        };
        assert_eq!(tickets.settle(unsent, Fate::Unsent), Some(lost));
        let cancelled = tickets.open(ASKER);
        tickets.cancel(cancelled);
        assert!(tickets.lock().tickets.is_empty());
    }

    #[test]
    fn who_does_not_answer_is_counted() {
        let tickets = Tickets::default();
        let asked = tickets.open(ASKER);
        tickets.settle(asked, Fate::Heard(3));
        tickets.answer(asked, 5);
        assert_eq!(tickets.expire(Instant::now()), []);
        let expected = Outcome {
            unanswered: 2,
            ..WHOLE
        };
        let later = Instant::now() + CLUSTER_ANSWER_TIMEOUT;
        assert_eq!(tickets.expire(later), [expected]);
        assert_eq!(tickets.expire(later), []);
    }
}
