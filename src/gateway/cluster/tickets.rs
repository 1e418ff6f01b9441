//! Publications that want to know how many connections got them at other nodes: every node that listened answers, or is waited
//! for in vain.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::broker::Fate;
use crate::gateway::ask::Gathered;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) asker: Asker,
    /// What the other nodes have said, and how many have not.
    pub(super) part: Gathered,
}

#[derive(Debug)]
struct Ticket {
    asker: Asker,
    /// When whoever has not answered is not waited for any more.
    until: Instant,
    /// Nodes that got it, this one among them where it listens: it answers itself.
    nodes: Option<u32>,
    answers: u32,
    part: Gathered,
}

impl Ticket {
    fn is_complete(&self) -> bool {
        self.nodes.is_some_and(|nodes| self.answers >= nodes)
    }

    fn outcome(self) -> Outcome {
        let nodes = self.nodes.unwrap_or(0);
        let mut part = self.part;
        part.unanswered = nodes.saturating_sub(self.answers);
        part.is_unsent = self.nodes.is_none();
        Outcome {
            asker: self.asker,
            part,
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
    /// A ticket, never 0, for what nodes need so much time for besides that of the way.
    pub(super) fn open(&self, asker: Asker, patience: Duration) -> u64 {
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        let ticket = Ticket {
            asker,
            until: Instant::now() + CLUSTER_ANSWER_TIMEOUT + patience,
            nodes: None,
            answers: 0,
            part: Gathered::default(),
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

    /// A node tells to how many of its connections it went.
    pub(super) fn answer(&self, number: u64, delivered: u32) -> Option<Outcome> {
        self.change(number, |ticket| {
            let index = ticket.asker.index;
            ticket.answers += 1;
            ticket.part.deliver(index, delivered);
            ticket.is_complete()
        })
    }

    /// A node answers a question.
    pub(super) fn reply(&self, number: u64, part: Gathered) -> Option<Outcome> {
        self.change(number, |ticket| {
            ticket.answers += 1;
            ticket.part.add(part);
            ticket.is_complete()
        })
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Ticket) -> bool) -> Option<Outcome> {
        let mut open = self.lock();
        let ticket = open.tickets.get_mut(&number)?;
        if !change(ticket) {
            return None;
        }
        open.tickets.remove(&number).map(Ticket::outcome)
    }

    /// Those that have waited long enough at `now`.
    pub(super) fn expire(&self, now: Instant) -> Vec<Outcome> {
        let mut open = self.lock();
        let over = open.tickets.extract_if(|_, ticket| ticket.until <= now);
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
        index: 1,
    };

    fn outcome(delivered: Option<u64>, unanswered: u32, is_unsent: bool) -> Outcome {
        let delivered = delivered.map_or_else(Vec::new, |count| vec![0, count]);
        Outcome {
            asker: ASKER,
            part: Gathered {
                delivered,
                unanswered,
                is_unsent,
                ..Gathered::default()
            },
        }
    }

    #[test]
    fn all_nodes_that_listened_are_waited_for_in_any_order() {
        let tickets = Tickets::default();
        let whole = Some(outcome(Some(5), 0, false));
        let first = tickets.open(ASKER, Duration::ZERO);
        assert_eq!(tickets.settle(first, Fate::Heard(2)), None);
        assert_eq!(tickets.answer(first, 5), None);
        assert_eq!(tickets.answer(first, 0), whole);
        assert_eq!(tickets.answer(first, 9), None, "it is over");
        let second = tickets.open(ASKER, Duration::ZERO);
        assert_eq!(tickets.answer(second, 2), None);
        assert_eq!(tickets.reply(second, outcome(Some(3), 0, false).part), None);
        assert_eq!(tickets.settle(second, Fate::Heard(2)), whole);
        let nobody = tickets.open(ASKER, Duration::ZERO);
        let nothing = Some(outcome(None, 0, false));
        assert_eq!(tickets.settle(nobody, Fate::Heard(0)), nothing);
        let unsent = tickets.open(ASKER, Duration::ZERO);
        let lost = Some(outcome(None, 0, true));
        assert_eq!(tickets.settle(unsent, Fate::Unsent), lost);
        let cancelled = tickets.open(ASKER, Duration::ZERO);
        tickets.cancel(cancelled);
        assert!(tickets.lock().tickets.is_empty());
    }

    #[test]
    fn who_does_not_answer_is_counted() {
        let tickets = Tickets::default();
        let asked = tickets.open(ASKER, Duration::ZERO);
        tickets.settle(asked, Fate::Heard(3));
        tickets.answer(asked, 5);
        assert_eq!(tickets.expire(Instant::now()), []);
        let later = Instant::now() + CLUSTER_ANSWER_TIMEOUT;
        assert_eq!(tickets.expire(later), [outcome(Some(5), 2, false)]);
        assert_eq!(tickets.expire(later), []);
        let patience = Duration::from_secs(5);
        tickets.open(ASKER, patience);
        assert_eq!(tickets.expire(later), []);
        let later = Instant::now() + CLUSTER_ANSWER_TIMEOUT + patience;
        assert_eq!(tickets.expire(later), [outcome(None, 0, true)]);
    }
}
