//! The queue under chance: whatever comes, each event ends once.

use std::collections::HashMap;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::*;

/// A queue to which chance does everything that can be done.
struct Chance {
    rng: StdRng,
    now: Instant,
    queue: Queue,
    under_way: Vec<Job>,
    taken: usize,
    /// How often each event was told of.
    told: HashMap<u64, u32>,
    /// The last event of each key that was sent to its end.
    last_of: HashMap<Key, u64>,
}

impl Chance {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let policy = if rng.random_bool(0.5) {
            QueuePolicy::Refuse
        } else {
            QueuePolicy::DropOldest
        };
        Self {
            rng,
            now,
            queue: queue(QueueLimits { policy, ..limits() }, now),
            under_way: Vec::new(),
            taken: 0,
            told: HashMap::new(),
            last_of: HashMap::new(),
        }
    }

    fn post(&mut self, ticket: u64) {
        let kinds = [Kind::Message, Kind::Connect, Kind::Disconnect];
        let kind = *kinds.choose(&mut self.rng).expect("one of them");
        let event = event(kind, self.rng.random_range(0..6), ticket);
        self.taken += usize::from(self.queue.push(event, self.now).is_ok());
    }

    fn end_one(&mut self, failure: Option<&Failure>) {
        let index = self.rng.random_range(0..self.under_way.len());
        let job = self.under_way.swap_remove(index);
        let key = job.entry.event.key;
        if let Some(ticket) = end(&mut self.queue, job, failure, self.now) {
            *self.told.entry(ticket).or_default() += 1;
            let last = self.last_of.insert(key, ticket);
            assert!(
                last.is_none_or(|last| last < ticket),
                "{last:?} then {ticket}"
            );
        }
    }

    /// What the threads do when they are due.
    fn go_on(&mut self) {
        self.queue.tick(self.now);
        if self.under_way.len() < 4 {
            self.under_way.extend(self.queue.take(self.now));
        }
        for (ticket, _) in self.queue.take_undelivered() {
            *self.told.entry(ticket).or_default() += 1;
        }
    }
}

/// Each event that was taken is told of once, those of a key that were sent end in order, and in the end nothing is left.
#[test]
fn every_event_ends_once() {
    let failures = [
        Failure::Lost,
        Failure::TimedOut,
        Failure::Status(503),
        Failure::TooLarge,
    ];
    let mut opened = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let mut chance = Chance::new(seed);
        for ticket in 0..3_000 {
            if chance.rng.random_bool(0.6) {
                chance.post(ticket);
            }
            chance.now += chance.rng.random_range(0..40) * MS;
            chance.go_on();
            if chance.rng.random_bool(0.5) && !chance.under_way.is_empty() {
                let fails = chance.rng.random_bool(0.4);
                let failure = failures.choose(&mut chance.rng).filter(|_| fails);
                chance.end_one(failure);
            }
        }
        for step in 0.. {
            if chance.queue.counts.is_idle() {
                break;
            }
            assert!(step < 10_000, "{:?}", chance.queue.counts);
            let next = chance.queue.next_tick().unwrap_or(chance.now);
            chance.now = chance.now.max(next);
            chance.go_on();
            if !chance.under_way.is_empty() {
                chance.end_one(None);
            }
        }
        chance.go_on();
        assert!(chance.told.values().all(|times| *times == 1));
        assert_eq!(chance.told.len(), chance.taken);
        let (queue, counts) = (&chance.queue, chance.queue.counts);
        let ended = counts.answered + counts.failed.iter().sum::<u64>();
        assert_eq!(ended, counts.posted);
        assert!(counts.retried > 0);
        opened += queue.breaker.opened();
        assert_eq!(
            (counts.bytes, counts.disconnect_bytes, counts.in_flight),
            (0, 0, 0)
        );
        assert!(queue.fresh.is_empty() && queue.held.is_empty());
    }
    assert!(opened > 60, "chance has hardly opened a breaker");
}
