//! The mailbox of `src/reactor/mailbox.rs`, whatever way its senders and its worker meet.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, JoinHandle};
use tidegate_loom::reactor::Mailbox;
use tidegate_loom::{Registry, Token, explore};

/// A sender and the number of what it sends, from 0.
type Item = (usize, usize);

/// The worker's end, which does what `Reactor::turn` and `take_mail` do.
struct Worker {
    registry: Registry,
    mailbox: Arc<Mailbox<Item>>,
    /// Items that it takes in one turn.
    per_turn_max: usize,
    has_more: bool,
    turns: usize,
    taken: Vec<Item>,
}

impl Worker {
    fn new(items_max: usize, per_turn_max: usize) -> Self {
        let registry = Registry::default();
        let mailbox = Mailbox::new(&registry, Token(0), items_max).expect("a mailbox");
        Self {
            registry,
            mailbox: Arc::new(mailbox),
            per_turn_max,
            has_more: false,
            turns: 0,
            taken: Vec::new(),
        }
    }

    /// Starts a thread that sends so many items; it gives those that found no room.
    fn sender(&self, sender: usize, items: usize) -> JoinHandle<Vec<Item>> {
        let mailbox = Arc::clone(&self.mailbox);
        thread::spawn(move || {
            let items = (0..items).map(|number| (sender, number));
            items.filter_map(|item| mailbox.send(item).err()).collect()
        })
    }

    /// One turn, with `seen` at the moment from which on a sender wakes it again.
    fn turn_and(&mut self, mut seen: impl FnMut()) {
        let is_woken = self.registry.poll();
        if !is_woken && !std::mem::take(&mut self.has_more) {
            return;
        }
        self.turns += 1;
        self.mailbox.begin_taking();
        seen();
        for _ in 0..self.per_turn_max {
            let Some(item) = self.mailbox.take() else {
                return;
            };
            self.taken.push(item);
        }
        self.has_more = true;
    }

    fn turn(&mut self) {
        self.turn_and(|| ());
    }

    /// Takes turns until nothing would wake it any more.
    fn settle(&mut self) {
        while self.registry.rings() || self.has_more {
            self.turn();
        }
        assert!(self.mailbox.is_empty(), "items lie, and nobody is told");
    }

    /// What came from that sender, in the order in which it came.
    fn taken_from(&self, sender: usize) -> Vec<usize> {
        let own = self.taken.iter().filter(|(from, _)| *from == sender);
        own.map(|(_, number)| *number).collect()
    }
}

#[test]
fn an_item_is_taken_or_announced_and_each_senders_come_in_order() {
    for per_turn_max in [1, 8] {
        explore(3, move || {
            let mut worker = Worker::new(8, per_turn_max);
            let senders = [worker.sender(0, 2), worker.sender(1, 1)];
            worker.turn();
            worker.turn();
            for sender in senders {
                assert_eq!(sender.join().expect("a sender"), []);
            }
            worker.settle();
            assert_eq!(worker.taken_from(0), [0, 1]);
            assert_eq!(worker.taken_from(1), [0]);
        });
    }
}

#[test]
fn the_worker_is_woken_once_between_two_turns() {
    explore(3, || {
        let worker = Worker::new(8, 8);
        let senders = [0, 1, 2].map(|sender| worker.sender(sender, 1));
        for sender in senders {
            sender.join().expect("a sender");
        }
        assert_eq!(worker.registry.wakes(), 1, "nobody has taken yet");
    });
    explore(3, || {
        let mut worker = Worker::new(8, 8);
        let senders = [worker.sender(0, 2), worker.sender(1, 1)];
        worker.turn();
        for sender in senders {
            sender.join().expect("a sender");
        }
        let wakes = worker.registry.wakes();
        assert!(wakes <= worker.turns + 1, "{wakes} of {}", worker.turns);
        let turns_before = worker.turns;
        worker.settle();
        assert!(worker.turns <= turns_before + 1, "woken for nothing");
    });
}

#[test]
fn a_full_mailbox_gives_the_item_back_and_never_holds_more() {
    explore(3, || {
        let worker = Worker::new(2, 8);
        let senders = [
            worker.sender(0, 2),
            worker.sender(1, 1),
            worker.sender(2, 1),
        ];
        let mut refused = Vec::new();
        for sender in senders {
            refused.extend(sender.join().expect("a sender"));
        }
        assert_eq!(refused.len(), 2, "two found room, whoever they were");
        let held = std::iter::from_fn(|| worker.mailbox.take());
        let mut all: Vec<_> = held.chain(refused).collect();
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (0, 1), (1, 0), (2, 0)]);
    });
}

#[test]
fn there_is_room_again_for_as_many_as_were_taken() {
    explore(3, || {
        let mut worker = Worker::new(1, 8);
        let senders = [worker.sender(0, 1), worker.sender(1, 1)];
        worker.turn();
        let mut sent = 2;
        for sender in senders {
            sent -= sender.join().expect("a sender").len();
        }
        let already = worker.taken.len();
        worker.settle();
        assert!(
            worker.taken.len() - already <= 1,
            "more than there is room for"
        );
        assert_eq!(worker.taken.len(), sent, "none lost, none doubled");
        assert_eq!(worker.mailbox.send((2, 0)), Ok(()), "there is room again");
        assert_eq!(worker.mailbox.send((2, 1)), Err((2, 1)), "for one");
        worker.settle();
        assert_eq!(worker.taken_from(2), [0]);
    });
}

/// The acceptor's desk lays orders down beside the mailbox and then wakes the worker; so does whoever comes first for both.
#[test]
fn who_wakes_has_shown_the_worker_what_it_wrote_before() {
    explore(3, || {
        let mut worker = Worker::new(8, 8);
        let orders = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let clerks = [0, 1].map(|clerk| {
            let (mailbox, orders) = (Arc::clone(&worker.mailbox), Arc::clone(&orders));
            thread::spawn(move || {
                orders[clerk].store(true, Ordering::Relaxed);
                mailbox.wake();
            })
        });
        let mut seen = [false; 2];
        let mut look = || {
            for (seen, order) in seen.iter_mut().zip(&*orders) {
                *seen |= order.load(Ordering::Relaxed);
            }
        };
        worker.turn_and(&mut look);
        worker.turn_and(&mut look);
        for clerk in clerks {
            clerk.join().expect("a clerk");
        }
        if !worker.registry.rings() {
            assert_eq!(seen, [true; 2], "an order lies, and nobody is told");
        }
    });
}
